"""Significance tests, ranks, and the scores of DD-Ranking."""

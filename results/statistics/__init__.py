"""Tests of significance, rankings, and DD-Ranking's scores."""

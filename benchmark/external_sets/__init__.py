"""Synthetic sets made elsewhere: loaded safely, validated and converted to pixels."""

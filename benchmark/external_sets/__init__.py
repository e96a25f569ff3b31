"""Synthetic sets made elsewhere: read safely, checked, converted to pixels, and imported."""

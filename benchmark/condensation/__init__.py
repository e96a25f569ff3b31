"""The problem that a method is given, and the synthetic set that it returns, on disk."""

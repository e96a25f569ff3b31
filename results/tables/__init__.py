"""The tables: which columns each has, and what its caption says."""

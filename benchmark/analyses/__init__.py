"""What can be learnt of sets and experts beside their scores: one file for each analysis, none looks at a test image.

A version is part of what a task asks: raise it when a change alters what the analysis finds.
"""

VERSIONS = {"curve": 1, "discrepancy": 1, "interpolation": 1, "expert": 1, "embedding": 1}

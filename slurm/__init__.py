"""Submitting a plan to SLURM, jobs that survive whatever ends them, and watching them."""

"""SLURM: the settings of a cluster, submitting job arrays, what a job does when interrupted, and reading the queue."""

"""Who runs the tasks of a plan: this machine's worker processes, or jobs of a SLURM cluster."""

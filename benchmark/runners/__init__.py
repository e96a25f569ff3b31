"""Running the tasks of a plan: worker processes of this machine, or jobs of a SLURM cluster."""

"""What commands share: starting Hydra and reporting errors, progress bars, printing, and the flow of a run."""

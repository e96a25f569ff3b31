"""The store: one folder for each task, its record, lock and files."""

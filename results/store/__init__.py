"""The store: a folder for each task with its specification, record, lock and files."""

"""The kinds of tasks: prepare an expert, condense a set, import a set, evaluate a set, analyze sets and experts."""

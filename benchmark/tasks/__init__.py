"""The kinds of tasks: prepare an expert, condense a set, import one, evaluate it, analyze."""

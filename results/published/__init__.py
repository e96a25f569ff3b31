"""The numbers that papers printed, and whether a measured cell agrees with one."""

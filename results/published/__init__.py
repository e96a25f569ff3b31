"""The numbers of papers, and whether a measured cell agrees with one."""

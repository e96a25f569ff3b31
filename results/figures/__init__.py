"""Figures for papers and talks, drawn from stored records and sets alone."""

from results.figures.write import write_figures as write_figures

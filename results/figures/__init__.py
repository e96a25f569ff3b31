"""Figures for papers and talks, drawn from records and stored sets alone: data in, a matplotlib Figure out."""

from results.figures.write import write_figures as write_figures

"""A page to look at: one report.html that needs no network, made from what is stored."""

from results.page.write import write_page as write_page

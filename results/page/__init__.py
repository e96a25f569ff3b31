"""The report page: one report.html that needs no network, made from the store."""

from results.page.write import write_page as write_page

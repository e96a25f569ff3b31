"""Tables as text, Markdown, HTML, CSV and LaTeX."""

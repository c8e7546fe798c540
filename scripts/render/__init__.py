"""Terminal output and exports: documents of `store.queries` in, text out.

No click, no clock, no database: the time comes with the document, the terminal's properties as an argument.
"""

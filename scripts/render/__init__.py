"""Terminal output and exports: documents of `store.queries` in, text out.

No module here uses click, a clock or the database: a document carries its time, a `TerminalProfile` the terminal.
Names, models and threads may come from the wire: text passes through `sanitize`, and never through markup.
"""

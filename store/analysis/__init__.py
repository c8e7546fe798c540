"""Conclusions from what was recorded: pure functions, one module for each topic.

A function takes rows, documents and the current time as arguments and returns values, documents of `store.documents`,
or the sentences in them. SQL belongs in `store.queries`, and text for a terminal in `scripts.render`. No clock, no file
and no database is read here.
"""

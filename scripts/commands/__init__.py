"""The commands, one module each: click options, and calls of the programs that do the work.

No SQL and no layout: questions belong to `store.queries`, terminal output to `scripts.render`.
"""

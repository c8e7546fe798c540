"""What a person runs: the command line, and the programs behind it.

Only `cli.py` lies loose here; `commands` is click, `render` turns documents into text, `support` is shared.
"""

"""Kept answers: what is expensive to make again from the rows of the database, in a file of its own.

The file is in the user's cache folder and belongs to one database. It may be deleted at any time: every question has a
path without it, which gives the same answer. Only what is final is kept, according to the kind all but the last hour,
two hours or 25; what is newer is asked of the rows and added.

A **kind** (`kind.Kind`) is one sort of kept rows with a `RULES` number of its own. Its **coverage** says for each
account from when to when its rows are complete. `filling` extends the coverage in pieces, each of which is one short
transaction. `validity` cuts the coverage back where rows of the database arrived late or were changed. `reading` gives
a question what holds for the state of the database that it sees.
"""

"""What a database keeps in order to send its rows to a team's database, each of them once.

The tables ``ship_*`` are made by the first ``codex-tap ship``, and everything here does nothing before that.
"""

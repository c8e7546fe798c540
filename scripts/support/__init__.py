"""Shared by several programs: errors, opening the database, time specifications, sanitizing, shutdown.

No module here imports a command or a program.
"""

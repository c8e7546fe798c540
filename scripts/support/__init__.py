"""What several programs need: errors, opening the database, time specifications, sanitizing, shutdown.

Nothing here knows a command or a program.
"""

"""What a person runs: the command line, how its answers look, and what it starts."""

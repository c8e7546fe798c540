"""Ships the rows of a database to a team's database: ``codex-tap ship``."""

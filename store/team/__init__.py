"""The team's database: PostgreSQL."""

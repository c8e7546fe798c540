"""What is known and kept: models, the database, its one writer, and the questions asked of it."""

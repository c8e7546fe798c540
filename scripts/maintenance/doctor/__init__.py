"""The checks of ``doctor``: one function for each check, and one type of result."""

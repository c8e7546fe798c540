"""The work of ``install``: what is changed so that every Codex of the user is read, and how each change is undone."""

"""Codex's own files on this machine: where they are, and what each of them tells."""

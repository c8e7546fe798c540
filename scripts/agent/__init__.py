"""Answers the questions of agents: ``codex-tap mcp``."""

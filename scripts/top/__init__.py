"""``codex-tap top``: a live screen of accounts, turns under way, and what used a window today."""

"""A stand-in for OpenAI's backend, a client that asks like Codex, and the demo that is made of both."""

"""A stand-in for OpenAI's backend, a client that asks like Codex, and the demo made of both.

It ships with the product for ``codex-tap demo``, and the tests drive the real Codex against it.
"""

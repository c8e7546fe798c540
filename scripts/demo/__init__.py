"""The demo: a stand-in for OpenAI's backend, and a small client that makes requests as Codex does.

It ships with the product for ``codex-tap demo``: a new user sees the real proxy, addon and database at work without an
account, and no request reaches OpenAI. The client is the real Codex CLI where it is installed, so the stand-in has to
speak what the real backend speaks: HTTP/1.1, HTTP/2 and websockets inside TLS. The tests use the same stand-in.
"""

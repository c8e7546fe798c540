"""The launcher: the proxy and the user's command, started and stopped together.

It imports nothing heavy and nothing of the addon: mitmdump is a program of its own.
"""

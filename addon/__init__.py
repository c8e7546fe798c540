"""The tap on the wire: mitmproxy hooks, and pure parsers of what they see.

Here belongs all that touches mitmproxy or reads bytes off the wire. Storage and questions belong to `store`, what a
person runs to `scripts`; this folder imports nothing of the latter.
"""

"""The tap on the wire: mitmproxy hooks, and pure parsers of the traffic.

Everything that touches mitmproxy or reads bytes off the wire is here. Storage and queries are in `store`, the programs
that a person runs in `scripts`, from which nothing is imported here.
"""

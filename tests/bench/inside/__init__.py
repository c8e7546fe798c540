"""What the benchmark loads into mitmdump.

mitmproxy puts the folder of a script on `sys.path`: no file here is named like a module of anybody else.
"""

"""What ``mitmdump -s`` is given; the tap itself is in `addon.tap`."""

import sys
from pathlib import Path

# mitmproxy executes this file by its path: in a checkout, the package it belongs to is not importable by itself.
_root = str(Path(__file__).resolve().parent.parent)
if _root not in sys.path:
    sys.path.append(_root)

from addon.tap import Tap  # noqa: E402 (importable only from here on)

addons = [Tap()]

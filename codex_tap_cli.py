"""The entry point of ``codex-tap``: a module of a name that no project uses, which finds the packages beside it.

``addon``, ``store`` and ``scripts`` are common names. A folder of such a name in the user's project would take their
place as soon as ``PYTHONPATH`` or the working directory leads there.
"""

from __future__ import annotations

import gc
import os
import sys

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is not imported yet)
_PACKAGES = ("addon", "store", "scripts")


def isolate() -> None:
    """Make this process independent of the Python variables of the user's environment.

    The folder of this module comes first in ``sys.path``. The folders of ``PYTHONPATH`` come last: the libraries of an
    unusual installation may be there. The folder that Python puts first, that of the script or the working directory,
    is left out. Warnings are ignored where ``PYTHONWARNINGS`` is set: it may turn them into errors.
    """
    listed = (os.environ.get("PYTHONPATH") or "").split(os.pathsep)
    last = {os.path.abspath(each) for each in listed if each}  # noqa: PTH100 (as above)
    path = sys.path if sys.flags.safe_path else sys.path[1:]
    path = [each for each in path if each and os.path.abspath(each) != _OWN_FOLDER]  # noqa: PTH100 (as above)
    sys.path[:] = [_OWN_FOLDER, *sorted(path, key=lambda each: os.path.abspath(each) in last)]  # noqa: PTH100 (as above)
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]  # imported by a `sitecustomize`, from wherever that found it
    if os.environ.get("PYTHONWARNINGS"):
        import warnings

        warnings.simplefilter("ignore")


def main() -> None:
    """Run the command line."""
    isolate()
    gc.disable()  # during the imports, too: they make objects, and nothing for the garbage collector
    from scripts.cli import main as run

    run()


if __name__ == "__main__":
    main()

"""An HTTP server of a test, on loopback and in a thread of its own."""

from __future__ import annotations

import http.server
import threading
from typing import Self


class LoopbackServer:
    """Serves while it is entered; ``port`` is where."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler], port: int = 0) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

"""The program that the launcher starts as its proxy: mitmdump, which lets nobody in from elsewhere without a password.

What mitmdump's own arguments and configuration come to is known only in its own process, and there before any port is
open. So that is where it is checked.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import sys
from typing import TYPE_CHECKING

from mitmproxy.proxy import mode_specs
from mitmproxy.tools import dump
from mitmproxy.tools.main import mitmdump

if TYPE_CHECKING:
    from mitmproxy.options import Options

WRONG_USE = 2


class LocalMaster(dump.DumpMaster):
    """A mitmdump that ends, with one line and exit code 2, where it would let others in."""

    async def run(self) -> None:
        """Serve until asked to end."""
        refusal = why_refused(self.options)
        if refusal:
            print(refusal, flush=True)
            sys.exit(WRONG_USE)
        await super().run()


def why_refused(options: Options) -> str | None:
    """Return what is wrong with where mitmproxy's options say to listen, or None."""
    if not options.server or _asks_for_password(options.proxyauth):
        return None
    for mode in map(mode_specs.ProxyMode.parse, options.mode):
        host = mode.listen_host(options.listen_host)
        if mode.default_port is not None and not _is_loopback(host):
            return (
                f"at {host or 'all addresses'} others than this machine could use the proxy: "
                "listen at 127.0.0.1, or ask them for a password with -- --set proxyauth=USER:PASSWORD "
                "(or proxyauth=@FILE, as htpasswd writes it, which the list of processes does not show)"
            )
    return None


def _asks_for_password(proxyauth: str | None) -> bool:
    return bool(proxyauth) and proxyauth != "any"  # "any" asks, and takes whatever it is told


def _is_loopback(host: str) -> bool:
    # As in `scripts.commands.serve`, of which nothing can be imported: this is run by its path and with -P.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # what a name leads to is not known until then


def main() -> None:
    """Run it; what it writes is for nobody else to read."""
    os.umask(0o077)
    dump.DumpMaster = LocalMaster  # type: ignore[misc]  # mitmdump() takes its master from there
    mitmdump()
    gc.freeze()  # its exit, which the user waits for, takes 0.05 s instead of 0.3


if __name__ == "__main__":
    main()

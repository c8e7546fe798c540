"""A real browser with the page: Debian's chromium or any other, driven by playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from playwright.sync_api import expect, sync_playwright

from tests.support.harness import required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SECONDS = 15
PHONE = (390, 844)


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    named = os.environ.get("CODEX_TAP_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


def require_chromium() -> str:
    """Return the path of a Chromium. Without one, skip the test, or fail it if `CODEX_TAP_REQUIRE_BROWSER` is 1."""
    reason = "no Chromium: install it, or name it in CODEX_TAP_CHROMIUM"
    return required(find_chromium(), reason, "CODEX_TAP_REQUIRE_BROWSER")


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser with an empty profile while the `with` block lasts."""
    path = require_chromium()
    expect.set_options(timeout=_SECONDS * 1_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS, headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Watched(NamedTuple):
    """A page, the URLs that it requested, and its errors."""

    page: Page
    asked: list[str]
    wrong: list[str]

    def words(self, selector: str) -> str:
        """Return the visible text of an element, with single spaces."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def axe(self) -> list[str]:
        """Return the serious and critical findings of axe-core."""
        self.page.evaluate(_axe_script())
        found: list[dict[str, Any]] = self.page.evaluate("axe.run().then((results) => results.violations)")
        return [
            f"{each['id']} ({each['impact']}): {node['target']} {node.get('failureSummary', '')}"
            for each in found
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]


@contextlib.contextmanager
def opened(
    browser: Browser,
    port: int,
    *,
    size: tuple[int, int] = (1280, 900),
    dark: bool = False,
    wait: str = "#line[data-state=live]",
    at: str = "/",
    forgiven: str | None = None,
) -> Iterator[Watched]:
    """Open the page `at` a path of the server at `port`, and wait until an element is visible. Errors fail the test.

    Errors are those on the console (such as violations of the content security policy), exceptions, dialogs of the
    browser, and requests to other hosts. `forgiven` is a pattern of expected errors.
    """
    origin = f"http://127.0.0.1:{port}"
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(_SECONDS * 1_000)
    watched = Watched(context.new_page(), [], [])

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            watched.wrong.append(f"console: {message.text} {message.location}")

    def on_exception(error: Error) -> None:
        watched.wrong.append(f"exception: {error.message} {error.stack}")

    def on_dialog(dialog: Dialog) -> None:
        watched.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request: Request) -> None:
        watched.asked.append(request.url)
        if not request.url.startswith((f"{origin}/", "data:")):
            watched.wrong.append(f"request to elsewhere: {request.url}")

    watched.page.on("console", on_console)
    watched.page.on("pageerror", on_exception)
    watched.page.on("dialog", on_dialog)
    watched.page.on("request", on_request)
    try:
        watched.page.goto(f"{origin}{at}")
        watched.page.wait_for_selector(wait, state="visible")
        yield watched
    finally:
        context.close()
    wrong = [each for each in watched.wrong if not (forgiven and re.search(forgiven, each))]
    assert wrong == [], wrong


def _axe_script() -> str:
    package = importlib.util.find_spec("axe_playwright_python")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).with_name("axe.min.js").read_text(encoding="utf-8")

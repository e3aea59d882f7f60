"""JupyterLab and Chromium for the tests of this folder; without a browser they are skipped, and say what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import Lab, serve

INSTALL_PLAYWRIGHT = "the browser tests need Playwright: pip install 'sr-course[browser]'"
INSTALL_CHROMIUM = (
    "the browser tests need Chromium: apt-get install chromium, or `playwright install chromium`, "
    "or set CHROMIUM to the path of a Chrome that is there"
)
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("jupyterlab", reason="the browser tests need JupyterLab: pip install 'sr-course[test]'")
    with serve(tmp_path_factory.mktemp("lab")) as running:
        yield running


# Not for the whole session: as long as Playwright is up, no other test of the process can run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason=INSTALL_PLAYWRIGHT)
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_chromium(playwright), args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any, lab: Lab) -> Iterator[Callable[..., Any]]:
    """Open pages that reach nothing but the local server; at the end none may have asked for more, or met an error."""
    contexts: list[Any] = []
    outside: list[str] = []
    errors: list[str] = []

    def local(url: str) -> bool:
        address = lab.url.removeprefix("http")
        return url.startswith(("data:", "blob:", "file:", f"http{address}/", f"ws{address}/"))

    def decide(route: Any) -> None:
        if local(route.request.url):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    def open_page(width: int = 1280, height: int = 1000, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, service_workers="block", **options)
        contexts.append(context)
        context.route("**/*", decide)
        page = context.new_page()
        page.on("websocket", lambda socket: None if local(socket.url) else outside.append(socket.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.evaluate("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
        context.close()
    assert not outside, f"the page asked for {outside}"
    assert not errors, errors


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    return new_page()


def _chromium(playwright: Any) -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)
    found = found or playwright.chromium.executable_path
    if not Path(found).is_file():
        (pytest.fail if os.environ.get("SR_COURSE_REQUIRE_BROWSER") else pytest.skip)(INSTALL_CHROMIUM)
    return str(found)

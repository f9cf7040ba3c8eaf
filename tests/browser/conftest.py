"""Chromium on the two sites that the fixture `built_sites` builds once."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from orchestration.publishing.serve import site_server

AUDIENCES = ("leaders", "committee")
PHONE_WIDTH = 390


@dataclass
class Watched:
    """What a page did that nobody asked for."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)
        page.on("request", lambda request: self._on_request(request.url))
        page.on("dialog", self._on_dialog)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, url: str) -> None:
        if not url.startswith((self.origin, "data:", "blob:")):
            self.outside.append(url)

    def _on_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@dataclass(frozen=True)
class Site:
    """A served site: where it is, where its files are, and a browser to open it."""

    audience: str
    origin: str
    folder: Path
    published: Path
    browser: Browser

    @property
    def paths(self) -> list[str]:
        """Every page's path, the home page first."""
        pages = sorted(
            self.folder.rglob("index.html"), key=lambda page: len(page.parts)
        )
        return [
            "" if page.parent == self.folder
            else f"{page.parent.relative_to(self.folder).as_posix()}/"
            for page in pages
        ]  # fmt: skip

    def open(self, path: str, **context: Any) -> tuple[Page, Watched]:
        """Return a page in a context of its own, settled, and what it did."""
        page = self.browser.new_context(**context).new_page()
        watched = Watched(self.origin)
        watched.watch(page)
        page.goto(f"{self.origin}/{path}", wait_until="networkidle")
        return page, watched


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail(
            "Chromium is missing: `apt-get install chromium`, or `make test-core` "
            "for everything else",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sites(built_sites: Any, browser: Browser) -> Iterator[dict[str, Site]]:
    servers = {
        audience: site_server(
            built_sites.generation / "sites" / audience, bind="127.0.0.1", port=0
        )
        for audience in AUDIENCES
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        audience: Site(
            audience=audience,
            origin=f"http://127.0.0.1:{server.server_address[1]}",
            folder=built_sites.generation / "sites" / audience,
            published=built_sites.generation / "published" / audience,
            browser=browser,
        )
        for audience, server in servers.items()
    }
    for server in servers.values():
        server.shutdown()


@dataclass(frozen=True)
class Visit:
    """One look at one page on a desktop, then on a phone."""

    path: str
    watched: Watched
    text: str
    nameless: list[str]
    phone_width: int


# Controls and pictures that a screen reader would announce as nothing.
NAMELESS = """() => [...document.querySelectorAll('button, [role=img], img, input')]
    .filter(element => element.checkVisibility()
        && !(element.getAttribute('aria-label') || element.alt
            || element.textContent.trim() || element.placeholder))
    .map(element => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="session")
def visits(sites: dict[str, Site]) -> dict[str, list[Visit]]:
    """Every page of both sites, looked at once for all the tests that only look."""
    seen: dict[str, list[Visit]] = {}
    for audience, site in sites.items():
        context = site.browser.new_context()
        seen[audience] = []
        for path in site.paths:
            page = context.new_page()
            watched = Watched(site.origin)
            watched.watch(page)
            page.goto(f"{site.origin}/{path}", wait_until="networkidle")
            text = page.locator("body").inner_text()
            nameless = page.evaluate(NAMELESS)
            page.set_viewport_size({"width": PHONE_WIDTH, "height": 844})
            width = page.evaluate("document.documentElement.scrollWidth")
            seen[audience].append(Visit(path, watched, text, nameless, width))
            page.close()
        context.close()
    return seen


@pytest.fixture(params=AUDIENCES)
def audience(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site(audience: str, sites: dict[str, Site]) -> Site:
    return sites[audience]


@pytest.fixture
def leaders(sites: dict[str, Site]) -> Site:
    return sites["leaders"]


@pytest.fixture
def committee(sites: dict[str, Site]) -> Site:
    return sites["committee"]

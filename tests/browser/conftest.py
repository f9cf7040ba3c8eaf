"""Chromium on the two sites of one generation, built once per session.

The company is `dev` with tokens planted where people are (names, e-mails, notes, ids)
and with labels that a careless page would run (markup, templates, formulas, SQL).
"""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from orchestration.doctor import node_problem
from orchestration.publishing.generation import AUDIENCES, current_generation, hold
from orchestration.publishing.serve import site_server
from orchestration.settings import Home, load_settings

PHONE_WIDTH = 390
BINARIES = ("chromium", "chromium-browser")

# What stands in the place of a chart or table whose query still runs.
WAITING = ".animate-pulse"

# Every value of these columns gets the token and a number: one search finds them all.
TOKENS = {
    "candidates.full_name": "Zqcandidate",
    "candidates.email": "zqmail",
    "interviewers.full_name": "Zqinterviewer",
    "scorecards.notes": "Zqnote",
    "employees.full_name": "Zqemployee",
    "employees.work_email": "zqworkmail",
}
# Put before every id of the kind, in every table that has the column.
ID_TOKENS = {
    "application_id": "zqapp",
    "candidate_id": "zqcan",
    "interviewer_id": "zqint",
    "scorecard_id": "zqcard",
    "employee_id": "zqemp",
    "reviewer_id": "zqrev",
    "recruiter_id": "zqrec",
}
SHOWN_TO_COMMITTEE = {TOKENS["interviewers.full_name"]}

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"
TEMPLATE = "{{7*7}}"
FORMULA = "=cmd|' /C calc'!A0"
QUOTES = 'it\'s "quoted"; drop table funnel; --'
# Column: label to what it is replaced by; `*` stands for every label.
INJECTIONS: dict[str, dict[str, str]] = {
    "applications.source": {
        "university": SCRIPT,
        "referral": QUOTES,
        "agency": FORMULA,
    },
    "jobs.role_family": {"applied_research": TEMPLATE},
    "stages.role_family": {"applied_research": TEMPLATE},
    "jobs.department": {"*": SCRIPT},
    "interviewers.department": {"*": SCRIPT},
    "offers.decline_reason": {"*": IMAGE},
    "ratings.competency": {"pragmatism": FORMULA},
}


@dataclass(frozen=True)
class BuiltSites:
    """A generation with its two sites, and what was planted before it was made."""

    home: Home
    generation: Path
    forbidden: dict[str, tuple[str, ...]]
    injections: tuple[str, ...]
    formula: str = FORMULA
    quotes: str = QUOTES


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _planted(entity: str, columns: list[str]) -> str:
    """The columns of an entity's file with tokens and injections in their place."""
    chosen = []
    for column in columns:
        name = f"{entity}.{column}"
        text = f'"{column}"'
        if name in TOKENS:
            text = f"{_literal(TOKENS[name])} || ' ' || row_number() over ()"
        if column in ID_TOKENS:
            token = ID_TOKENS[column]
            text = rf"regexp_replace({text}, '^(\w+:)?', '\1{token}')"
        for old, new in INJECTIONS.get(name, {}).items():
            case = "is not null" if old == "*" else f"= {_literal(old)}"
            text = f"case when {text} {case} then {_literal(new)} else {text} end"
        chosen.append(f'{text} as "{column}"')
    return ", ".join(chosen)


def _plant(home: Home) -> None:
    """Rewrite the inbox, and the rubric that names the competency."""
    with duckdb.connect() as connection:
        for path in sorted(home.inbox.glob("*/*.parquet")):
            aside = path.with_name(f".{path.name}")
            columns = connection.execute(
                f"describe select * from {_literal(str(path))}"
            ).fetchall()
            chosen = _planted(path.stem, [name for name, *_ in columns])
            connection.execute(
                f"copy (select {chosen} from {_literal(str(path))})"
                f" to {_literal(str(aside))} (format parquet)"
            )
            aside.replace(path)
    [(old, new)] = INJECTIONS["ratings.competency"].items()
    for path in home.design.rglob("*.yaml"):
        text = path.read_text()
        path.write_text(text.replace(f"competency: {old}", f'competency: "{new}"'))


@pytest.fixture(scope="session")
def built_sites(browser: Browser, scratch: Path) -> BuiltSites:
    """The one generation every browser test reads; without a browser none is made."""
    from orchestration.defs.launch import launch_main
    from orchestration.landing import ingest
    from orchestration.simulation import simulate_home

    problem = node_problem()
    if problem:
        pytest.fail(f"{problem}; `make test-core` is everything else", pytrace=False)
    home = Home(scratch / "browser")
    simulate_home(home, "dev")
    _plant(home)
    # Fewer replicates: what is tested here is the pages, not their intervals.
    home.policy_file.write_text("bootstrap_replicates: 100\n")
    with hold(home, run_id="browser-tests"):
        taken = ingest(home, load_settings(home.root).sources, progress=str)
        assert not taken.problems, taken.problems
        outcome = launch_main(home, as_of=None, sites=True, rebuild=False)
    assert outcome.success, [*outcome.gate_failures, *outcome.failures]
    generation = current_generation(home)
    assert generation is not None
    people = (*TOKENS.values(), *ID_TOKENS.values())
    return BuiltSites(
        home=home,
        generation=generation.root,
        forbidden={
            "leaders": people,
            "committee": tuple(
                token for token in people if token not in SHOWN_TO_COMMITTEE
            ),
        },
        injections=(SCRIPT, IMAGE, TEMPLATE, FORMULA, QUOTES),
    )


@dataclass
class Watched:
    """What a page did that nobody asked for."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        # What leaves the origin is stopped as well as counted.
        page.route("**/*", self._on_route)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)
        page.on("dialog", self._on_dialog)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_route(self, route: Route) -> None:
        url = route.request.url
        if url.startswith((f"{self.origin}/", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(url)
            route.abort()

    def _on_dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def visit(page: Page, url: str, *, runs_queries: bool = True) -> None:
    """Go to a page and wait until every chart and table has its rows.

    A quiet network says nothing of queries, which run in the browser.
    """
    page.goto(url, wait_until="networkidle")
    if runs_queries:
        page.wait_for_function(f"!document.querySelector({WAITING!r})", timeout=60_000)


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
        runs_queries = context.get("java_script_enabled", True)
        visit(page, f"{self.origin}/{path}", runs_queries=runs_queries)
        return page, watched


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = [path for path in map(shutil.which, BINARIES) if path]
    if not found:
        pytest.fail("Chromium is missing: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found[0],
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
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
    headline: str
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
            visit(page, f"{site.origin}/{path}")
            headline = page.get_by_test_id("headline").first.inner_text()
            text = page.locator("body").inner_text()
            nameless = page.evaluate(NAMELESS)
            page.set_viewport_size({"width": PHONE_WIDTH, "height": 844})
            width = page.evaluate("document.documentElement.scrollWidth")
            seen[audience].append(Visit(path, watched, headline, text, nameless, width))
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

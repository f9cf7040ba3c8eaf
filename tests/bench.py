"""`make bench`: how long a run takes and how much memory, each beside its yardstick.

Every measured run is a process of its own; writes `docs/benchmarks.md`. Options:
`--quick` for the small sizes only, `--sites HOME` for a home whose sites are built.
"""

import argparse
import datetime as dt
import json
import logging
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "benchmarks.md"
DBT_STAGES = ("dbt core", "dbt reports", "dbt recommendations")
# The company of `full`, cut to size: the same rounds and questions per competency.
SIZES = {
    "100k": {"applications": 100_000, "jobs": 40, "interviewers": 180},
    "1M": {"applications": 1_000_000, "jobs": 400, "interviewers": 1_800},
}
VERSIONS = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "great-expectations",
            "numpy", "pandas", "scipy")  # fmt: skip
# What a site must do, in seconds and megabytes.
HEADLINE, FILTERED, SITE_DATA = 1.5, 4.0, 2.0

LANDING_ROWS = 1_000_000


@contextmanager
def _timed(parts: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - started


class _Stages(logging.Handler):
    """The seconds that each stage of a run reports."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and len(record.args) == 3:
            name, seconds = record.args[0], record.args[1]
            self.seconds[str(name)] = float(str(seconds))


def _first_run(home: Path) -> dict[str, Any]:
    """Parts of a first run in this process, and the time of a second one."""
    parts: dict[str, float] = {}
    with _timed(parts, "imports"):
        import dagster_dbt  # noqa: F401
        import dbt.cli.main  # noqa: F401

        import orchestration.cli
        import orchestration.estimates
    with _timed(parts, "parse"):
        from orchestration import dbt_runner

        dbt_runner._parsed()
        dbt_runner.prepare_manifest()
    with _timed(parts, "definitions"):
        import orchestration.definitions
    from orchestration.landing import ingest
    from orchestration.settings import Home, load_settings

    with _timed(parts, "ingest"):
        ingest(Home(home), load_settings(home).sources, progress=lambda _: None)
    progress, stages = logging.getLogger("calibrant.progress"), _Stages()
    progress.setLevel(logging.INFO)
    progress.addHandler(stages)
    progress.propagate = False
    arguments = ["run", "--home", str(home), "--no-sites"]
    with _timed(parts, "run"):
        code = orchestration.cli.app(arguments, standalone_mode=False)
    if code:
        raise SystemExit(f"the run that was to be measured ended with code {code}")
    seconds = dict(stages.seconds)
    with _timed(parts, "second run"):
        orchestration.cli.app(arguments, standalone_mode=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "parts": parts,
        "stages": seconds,
        "peak_gib": peak,
        "cpu": used.ru_utime + used.ru_stime,
    }


def _bare(home_root: Path) -> dict[str, Any]:
    """Seconds of the run's compiled models, in order, on one connection to a new file.

    Neither tests nor contracts nor events: the engine's own time for the same SQL.
    """
    import duckdb

    from orchestration.defs.dbt import parquet_sources
    from orchestration.landing import ingest
    from orchestration.publishing.generation import (
        current_generation,
        plan_generation,
        start_building,
    )
    from orchestration.settings import Home, load_settings

    home, settings = Home(home_root), load_settings(home_root)
    generation = current_generation(home)
    if generation is None:
        raise SystemExit(f"{home_root} has no generation to repeat")
    taken = ingest(home, settings.sources, progress=lambda _: None)
    plan = plan_generation(settings, taken, as_of=generation.as_of)
    building = start_building(settings, "bench", plan, taken)
    shutil.copytree(
        generation.root / "statistics", building.statistics, dirs_exist_ok=True
    )
    target = home.cache / "dbt"
    nodes = json.loads((target / "manifest.json").read_text("utf-8"))["nodes"]
    seconds, slowest = 0.0, {}
    with duckdb.connect(str(building.warehouse)) as connection:
        connection.execute("set timezone = 'UTC'; set threads = 2")
        connection.execute("set memory_limit = '4GB'")
        for schema, tables in parquet_sources(building).items():
            connection.execute(f'create schema if not exists "{schema}"')
            for table, files in tables.items():
                quoted = ", ".join(f"'{file}'" for file in files)
                connection.execute(
                    f'create view "{schema}"."{table}" as select *'
                    f" from read_parquet([{quoted}], union_by_name = true)"
                )
        for node in _in_order(nodes):
            connection.execute(f'create schema if not exists "{node["schema"]}"')
            sql = (
                target / "compiled" / "calibrant" / "models" / node["path"]
            ).read_text()
            kind = node["config"]["materialized"]
            started = time.perf_counter()
            connection.execute(
                f'create {kind} "{node["schema"]}"."{node["name"]}" as {sql}'
            )
            slowest[node["name"]] = time.perf_counter() - started
            seconds += slowest[node["name"]]
    shutil.rmtree(building.root)
    top = sorted(slowest.items(), key=lambda item: -item[1])[:8]
    return {"seconds": seconds, "models": len(slowest), "slowest": dict(top)}


def _in_order(nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """Models, parents first."""
    found: dict[str, dict[str, Any]] = {}

    def add(name: str) -> None:
        node = nodes.get(name)
        if node is None or name in found or node["resource_type"] != "model":
            return
        for parent in node["depends_on"]["nodes"]:
            add(parent)
        found[name] = node

    for name in sorted(nodes):
        add(name)
    return list(found.values())


def _simulate(home_root: Path, preset: str) -> dict[str, Any]:
    """Fill a home with a preset, or with `full` cut to one of the sizes."""
    import numpy as np

    from orchestration.settings import Home
    from orchestration.simulation import (
        load_preset,
        simulate,
        simulate_home,
        write_configuration,
        write_inbox,
    )

    home, started = Home(home_root), time.perf_counter()
    if preset in SIZES:
        full = load_preset("full")
        chosen = replace(full, company={**full.company, **SIZES[preset]})
        rng = np.random.default_rng(chosen.default_seed)
        write_inbox(simulate(rng, chosen), home.inbox)
        write_configuration(home, chosen)
    else:
        simulate_home(home, preset)
    return {"seconds": time.perf_counter() - started}


def _sites(home_root: Path) -> dict[str, Any]:
    """Seconds until a headline and a filtered chart show, and each site's data.

    Empty where the home has no sites; the browser is the system's Chromium.
    """
    import threading

    from playwright.sync_api import sync_playwright

    from orchestration.publishing.generation import current_generation
    from orchestration.publishing.serve import site_server
    from orchestration.settings import Home

    generation = current_generation(Home(home_root))
    found = [shutil.which(name) for name in ("chromium", "chromium-browser")]
    if generation is None or not any(found):
        return {}
    figures: dict[str, Any] = {}
    with sync_playwright() as playwright:
        binary = next(path for path in found if path)
        browser = playwright.chromium.launch(executable_path=binary)
        for audience, page_path in (("leaders", "funnel"), ("committee", "rubrics")):
            folder = generation.site(audience)
            if not folder.is_dir():
                continue
            server = site_server(folder, bind="127.0.0.1", port=0)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            origin = f"http://127.0.0.1:{server.server_address[1]}"
            page, started = browser.new_page(), time.perf_counter()
            page.goto(origin, wait_until="commit")
            page.get_by_test_id("headline").first.wait_for(state="visible")
            headline = time.perf_counter() - started
            page.goto(f"{origin}/{page_path}", wait_until="networkidle")
            started = time.perf_counter()
            page.get_by_role("combobox").locator("visible=true").first.click()
            page.get_by_role("option").last.click()
            page.wait_for_load_state("networkidle")
            chart = page.locator("main canvas, main svg").locator("visible=true")
            chart.first.wait_for(state="visible")
            figures[audience] = {
                "headline": headline,
                "filtered": time.perf_counter() - started,
                "data_mb": sum(
                    path.stat().st_size
                    for part in ("data", "api")
                    for path in (folder / part).rglob("*")
                    if path.is_file()
                )
                / 1e6,
            }
            page.close()
            server.shutdown()
        browser.close()
    return figures


def _landing(home_root: Path, form: str) -> dict[str, Any]:
    """Rows per second that landing takes in from one file of ratings."""
    import duckdb

    from orchestration.landing import ingest
    from orchestration.settings import Home, Sources

    folder = home_root / "inbox" / "bench"
    folder.mkdir(parents=True)
    (folder / "applications.csv").write_text("application_id,candidate_id,applied_at\n")
    kinds = {
        "csv": "format csv, header",
        "jsonl": "format json",
        "parquet": "format parquet",
    }
    with duckdb.connect() as connection:
        connection.execute(
            f"""copy (
                select
                    'card' || (range // 3) as scorecard_id,
                    'competency' || (range % 3) as competency,
                    cast(range % 5 + 1 as varchar) as rating
                from range({LANDING_ROWS})
            ) to '{folder / f"ratings.{form}"}' ({kinds[form]})"""
        )
    started = time.perf_counter()
    taken = ingest(Home(home_root), Sources(), progress=lambda _: None)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = sum(file.rows_in for file in taken.files)
    return {"rate": rows / seconds, "peak_gib": peak}


ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "simulate": _simulate,
    "run": _first_run,
    "bare": _bare,
    "sites": _sites,
    "landing": _landing,
}


def _apart(work: Path, action: str, home: Path, *more: str) -> dict[str, Any]:
    """What an action measures in a fresh process, with bytecode kept as usual."""
    answer = work / "answer.json"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE"
    }
    environment["PYTHONPYCACHEPREFIX"] = str(work / "bytecode")
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tests.bench", "--measure", action, str(home),
         str(answer), *more],
        check=True,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(answer.read_text())
    return {**found, "process": time.perf_counter() - started}


def _measured(work: Path, name: str) -> dict[str, Any]:
    """A size simulated, run and repeated bare."""
    home = work / name
    _say(f"{name}: simulate")
    simulated = _apart(work, "simulate", home, name)["seconds"]
    _say(f"{name}: first run and second run")
    ran = _apart(work, "run", home)
    _say(f"{name}: the same SQL bare")
    bare = _apart(work, "bare", home)
    shutil.rmtree(home)
    stages = ran["stages"]
    dbt = sum(stages.get(stage, 0.0) for stage in DBT_STAGES)
    events = ran["parts"]["run"] - sum(stages.values())
    found = {**ran, "simulated": simulated, "bare": bare, "dbt": dbt, "events": events}
    found["load"] = os.getloadavg()[0]
    found["total"] = ran["process"] - ran["parts"]["second run"]
    _say(f"{name}: {json.dumps(found)}")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Row = tuple[str, str, str, str]


def _row(measure: str, figure: float, target: float, unit: str) -> Row:
    met = "yes" if figure <= target else "**no**"
    return (measure, f"{figure:.1f}{unit}", f"≤ {target:g}{unit}", met)


def _rows(results: dict[str, dict[str, Any]], sites: dict[str, Any]) -> list[Row]:
    """One row per promise."""
    rows = []
    if tiny := results.get("tiny"):
        rows.append(_row("(a) `tiny`, fresh process", tiny["total"], 25, " s"))
        rows.append(_row("(a) its processor time", tiny["cpu"], 25, " s"))
    for name in ("20k", "100k", "1M"):
        if found := results.get(name):
            ratio = (found["dbt"] + found["events"]) / found["bare"]["seconds"]
            # Fixed costs weigh most on the small sizes: the promise is for 1M.
            limit = 3.0 if name == "1M" else float("inf")
            rows.append(_row(f"(b) transform ÷ bare SQL, {name}", ratio, limit, ""))
    if big := results.get("1M"):
        rows.append(_row("(b) whole first run, 1M", big["total"] / 60, 6, " min"))
        rows.append(_row("(b) peak memory, 1M", big["peak_gib"], 6, " GiB"))
        if middle := results.get("100k"):
            growth = big["total"] / middle["total"]
            rows.append(_row("(c) growth 100k → 1M", growth, 8, "×"))
    for name, found in results.items():
        second = found["parts"]["second run"]
        rows.append(_row(f"(d) no new input, {name}", second, 5, " s"))
    for audience, seen in sites.items():
        headline, filtered = seen["headline"], seen["filtered"]
        rows.append(_row(f"(e) headline, {audience}", headline, HEADLINE, " s"))
        rows.append(_row(f"(e) filtered chart, {audience}", filtered, FILTERED, " s"))
        rows.append(_row(f"(e) data of {audience}", seen["data_mb"], SITE_DATA, " MB"))
    if not sites:
        rows.append(("(e) sites", "not measured", "", ""))
    if "1M" not in results:
        rows.append(("(b, c) 1M applications", "not measured", "", ""))
    return [
        (measure, figure, "none" if "inf" in target else target,
         "–" if "inf" in target else met)
        for measure, figure, target, met in rows
    ]  # fmt: skip


def _report(
    results: dict[str, dict[str, Any]],
    sites: dict[str, Any],
    landing: dict[str, dict[str, Any]],
    day: dt.date,
) -> str:
    """The page of figures."""
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"a machine with {cores} cores and {memory:.0f} GiB"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    load = max((found["load"] for found in results.values()), default=0.0)
    busy = (
        f"The machine was shared: up to {load:.1f} processes wanted its {cores} cores,"
        " so times are longer than they would be alone; processor time stands beside.\n"
        if load > (cores or 1) + 0.5
        else ""
    )
    lines = [
        "# Benchmarks\n",
        "Written by `make bench`; do not edit.",
        f"Measured on {day:%-d %B %Y} on {machine}, Python"
        f" {platform.python_version()}, {versions}.",
        busy,
        "Each size is simulated, run in a fresh process without sites, run again in"
        " the same process, and its compiled SQL repeated bare on one connection.",
        '"Transform" is the three dbt sets with their tests and all of Dagster\'s own'
        " time.\n",
        "| measure | figure | target | met |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in _rows(results, sites)),
        "\n## Parts of the first run\n",
        "Seconds.\n",
        f"| part | {' | '.join(results)} |",
        f"|---|{'---|' * len(results)}",
    ]
    columns = [_parts(found) for found in results.values()]
    for part in dict.fromkeys(part for column in columns for part in column):
        cells = [f"{column[part]:.1f}" if part in column else "" for column in columns]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    for name, found in results.items():
        slow = ", ".join(f"{m} {s:.1f}" for m, s in found["bare"]["slowest"].items())
        lines.append(f"\nSlowest models bare at {name}, in seconds: {slow}.")
    lines += [
        "\n## Landing\n",
        f"One file of {LANDING_ROWS:,} ratings.\n",
        "| form | rows a second | target | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {form} | {found['rate']:,.0f} | ≥ 100,000 |"
            f" {found['peak_gib']:.1f} GiB |"
            for form, found in landing.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _parts(found: dict[str, Any]) -> dict[str, float]:
    """Parts of one size in the order in which they happen."""
    before = {
        name: found["parts"][name]
        for name in ("imports", "parse", "definitions", "ingest")
    }
    stages = {n: s for n, s in found["stages"].items() if n != "ingest"}
    return {
        "simulate (not in the total)": found["simulated"],
        **before,
        **stages,
        "Dagster: events, storage, checks": found["events"],
        "**total**": found["total"],
        "processor time, both cores": found["cpu"],
        "second run, nothing new": found["parts"]["second run"],
        "dbt sets only": found["dbt"],
        "same SQL bare": found["bare"]["seconds"],
        "peak memory, GiB": found["peak_gib"],
    }


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny and 20k only")
    parser.add_argument("--skip-1m", action="store_true", help="up to 100k")
    parser.add_argument("--sites", type=Path, help="a home whose sites are built")
    parser.add_argument("--date", type=dt.date.fromisoformat)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        action, home, answer, *more = options.measure
        Path(answer).write_text(json.dumps(ACTIONS[action](Path(home), *more)))
        return
    names = ["tiny", "dev"] if options.quick else ["tiny", "100k", "1M"]
    if options.skip_1m:
        names = [name for name in names if name != "1M"]
    day = options.date or dt.datetime.now(dt.UTC).date()
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _measured(work, "tiny")  # once unmeasured, so that bytecode is there
        landing = {}
        for form in ("csv", "jsonl", "parquet"):
            _say(f"landing: {form}")
            landing[form] = _apart(work, "landing", work / form, form)
        for name in names:
            results["20k" if name == "dev" else name] = _measured(work, name)
            sites = _apart(work, "sites", options.sites) if options.sites else {}
            sites.pop("process", None)
            text = _report(results, sites, landing, day)
            REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

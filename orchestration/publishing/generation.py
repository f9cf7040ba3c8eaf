"""A generation: everything one run builds, and the one pointer that readers follow.

A generation is made in `generations/.building-<run>` and renamed when it is whole;
`current` is then replaced in one step. A crash at any point leaves the last good
generation current and a folder that the next run removes.
"""

import contextlib
import datetime as dt
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from orchestration.hiring_design.rubrics import rating_scales
from orchestration.landing import Ingest
from orchestration.landing.people import decisions, links, load_identity
from orchestration.settings import Home, Settings

GATES = ("raw", "marts", "reports", "recommendations")
AUDIENCES = ("leaders", "committee")
PROJECT = Path(__file__).resolve().parents[2]
# What changes the numbers or the pages; the tests and the documents do not.
CODE_FOLDERS = ("orchestration", "expectations", "dbt_project", "dashboards")
CODE_SUFFIXES = frozenset({".py", ".sql", ".yml", ".yaml", ".md", ".svelte", ".patch"})
BUILT_FOLDERS = frozenset(
    {
        "target",
        "logs",
        "node_modules",
        "build",
        ".evidence",
        ".svelte-kit",
        "__pycache__",
    }
)
KEPT_PACKAGES = (
    "calibrant", "dagster", "dbt-core", "dbt-duckdb", "duckdb", "great-expectations",
    "numpy", "pandas", "pingouin", "pyarrow", "scipy", "statsmodels",
)  # fmt: skip


class GenerationError(Exception):
    """A generation that may not go on: what, where, why, and what to do."""


class HomeHeldError(GenerationError):
    """Another run holds the home."""


@dataclass(frozen=True)
class Plan:
    """What a run will build, known before anything is built.

    `inputs` identifies what comes in (raw files, configuration, `as_of`, code);
    `generation` adds what it is built upon (baseline, ledger, frozen quarters).
    """

    generation: str
    inputs: str
    as_of: dt.date
    baseline: str | None
    code_version: str
    config_hash: str
    policy: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]]
    paths: Mapping[str, Sequence[str]]
    warnings: Sequence[str]

    def to_json(self) -> str:
        """Return the plan as JSON with sorted keys."""
        content = {**self.__dict__, "as_of": self.as_of.isoformat()}
        return json.dumps(content, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Return the plan that `to_json` wrote."""
        content = json.loads(text)
        content["as_of"] = dt.date.fromisoformat(content["as_of"])
        return cls(**content)


@dataclass(frozen=True)
class Generation:
    """A finished generation on disk."""

    root: Path

    @property
    def id(self) -> str:
        """The hash of its inputs and of what it was built upon."""
        return str(self.manifest["generation"])

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of `manifest.json`."""
        content: dict[str, Any] = json.loads(
            (self.root / "manifest.json").read_text(encoding="utf-8")
        )
        return content

    @property
    def as_of(self) -> dt.date:
        """The date its figures close with."""
        return dt.date.fromisoformat(self.manifest["as_of"])

    @property
    def warehouse(self) -> Path:
        """Its DuckDB file; only the current generation keeps it."""
        return self.root / "warehouse.duckdb"

    def published(self, audience: str) -> Path:
        """Return the folder of the tables published to an audience."""
        return self.root / "published" / audience

    def site(self, audience: str) -> Path:
        """Return the folder of an audience's site."""
        return self.root / "sites" / audience

    def damaged_files(self) -> list[str]:
        """Return the files whose bytes are not those of the manifest."""
        return [
            name
            for name, expected in sorted(self.manifest["files"].items())
            if not (self.root / name).is_file() or sha256(self.root / name) != expected
        ]


@dataclass(frozen=True)
class Building:
    """A generation that is being made by one run."""

    root: Path
    plan: Plan

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that dbt writes."""
        return self.root / "warehouse.duckdb"

    @property
    def statistics(self) -> Path:
        """Estimates as Parquet, one file per table."""
        return self.root / "statistics"

    @property
    def inputs(self) -> Path:
        """Tables about the inputs: files, quarantined rows, rating scales."""
        return self.root / "inputs"

    def table(self, name: str) -> Path:
        """Return the Parquet file of an estimate."""
        return self.statistics / f"{name}.parquet"

    def published(self, audience: str) -> Path:
        """Return the folder of the tables published to an audience."""
        return self.root / "published" / audience

    def site(self, audience: str) -> Path:
        """Return the folder of an audience's site."""
        return self.root / "sites" / audience

    def write_gate(self, gate: str, content: Mapping[str, Any]) -> None:
        """Store a gate's result with the generation that it judged."""
        folder = self.root / "gates"
        folder.mkdir(exist_ok=True)
        stored = {**content, "gate": gate, "generation": self.plan.generation}
        _write(folder / f"{gate}.json", json.dumps(stored, indent=1, sort_keys=True))

    def gates(self) -> dict[str, dict[str, Any]]:
        """Return the stored results by gate."""
        return {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((self.root / "gates").glob("*.json"))
        }

    def require_gates(self, gates: Sequence[str] = GATES) -> dict[str, dict[str, Any]]:
        """Return the stored gate results if every one of them passed.

        A run that selects only the last assets passes the blocking checks by, so
        whatever publishes asks here and not the orchestrator.

        Raises
        ------
        GenerationError
            If a result is missing, failed, or judged another generation.
        """
        stored = self.gates()
        for gate in gates:
            result = stored.get(gate)
            if result is None:
                why = "has no stored result"
            elif result["generation"] != self.plan.generation:
                why = f"judged generation {result['generation']}"
            elif not result["success"]:
                why = "failed"
            else:
                continue
            raise GenerationError(
                f"generation {self.plan.generation} is not published: the gate"
                f" `{gate}` {why}. Launch the whole job `main`."
            )
        return stored


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_version() -> str:
    """Return the package's version and the hash of the code that makes the numbers."""
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.suffix not in CODE_SUFFIXES or BUILT_FOLDERS & set(path.parts):
                continue
            digest.update(str(path.relative_to(PROJECT)).encode())
            digest.update(path.read_bytes())
    return f"{metadata.version('calibrant')}+{digest.hexdigest()[:12]}"


def plan_generation(
    settings: Settings, ingest: Ingest, *, as_of: dt.date | None = None
) -> Plan:
    """Return what a run over these inputs builds.

    Parameters
    ----------
    as_of : date, optional
        The last day whose events count, UTC; default the last event date in the
        landed data.

    Raises
    ------
    GenerationError
        If no date can be told, or `as_of` is before that of the current generation.
    """
    home = settings.home
    dates = [file.last_event_on for file in ingest.files if file.last_event_on]
    if as_of is None and not dates:
        raise GenerationError(
            f"{home.inbox}: no file holds a dated event; give --as-of YYYY-MM-DD"
        )
    chosen = as_of or max(dates)
    baseline = current_generation(home)
    if baseline and chosen < baseline.as_of:
        raise GenerationError(
            f"as_of {chosen} is before {baseline.as_of} of the current generation"
            f" {baseline.id}; readers would go back in time. Give a later --as-of,"
            " or use another --home for a look back."
        )
    files = sorted(
        (
            {
                "source": file.source,
                "entity": file.entity,
                "name": file.name,
                "sha256": file.sha256,
                "rows_in": file.rows_in,
                "accepted": file.accepted,
                "duplicates": file.duplicates,
                "quarantined": file.quarantined,
            }
            for file in ingest.files
        ),
        key=lambda file: (file["source"], file["entity"], file["name"]),
    )
    config_hash = _hash(
        settings.policy.model_dump(mode="json"),
        settings.sources.reading(),
        [sha256(path) for path in sorted(home.design.rglob("*.yaml"))],
        load_identity(home).aliases,
        decisions(home).entries(),
    )
    inputs = _hash(files, config_hash, chosen.isoformat(), code_version())
    upon = baseline.id if baseline else None
    if baseline and baseline.manifest["inputs"] == inputs:
        # The same inputs again are the same generation, upon what it was built upon.
        upon = baseline.manifest["baseline"]
    built_upon = (
        upon,
        [sha256(path) for path in sorted(home.ledger.glob("*.jsonl"))],
        sorted(path.name for path in home.quarters.glob("*")),
    )
    return Plan(
        generation=_hash(inputs, built_upon)[:16],
        inputs=inputs,
        as_of=chosen,
        baseline=upon,
        code_version=code_version(),
        config_hash=config_hash,
        policy=settings.policy.model_dump(mode="json"),
        files=files,
        paths={
            entity: [str(path) for path in paths]
            for entity, paths in sorted(ingest.paths.items())
        },
        warnings=[str(warning) for warning in ingest.warnings],
    )


def is_current(home: Home, plan: Plan, *, sites: bool) -> bool:
    """Return whether the current generation was made from exactly these inputs."""
    generation = current_generation(home)
    return (
        generation is not None
        and generation.manifest["inputs"] == plan.inputs
        and (not sites or all(generation.site(name).is_dir() for name in AUDIENCES))
    )


def start_building(
    settings: Settings, run_id: str, plan: Plan, ingest: Ingest
) -> Building:
    """Return a fresh folder for a run, with the tables about its inputs.

    The caller holds the home, so folders of other runs are leftovers and removed.
    """
    home = settings.home
    home.generations.mkdir(parents=True, exist_ok=True)
    for leftover in home.generations.glob(".building-*"):
        shutil.rmtree(leftover)
    building = Building(home.generations / f".building-{run_id}", plan)
    for folder in (building.root, building.statistics, building.inputs):
        folder.mkdir()
    scales = rating_scales(home, settings.sources)
    pq.write_table(scales, building.inputs / "rating_scales.parquet")
    pq.write_table(ingest.files_table(), building.inputs / "files.parquet")
    pq.write_table(
        ingest.quarantine_table(), building.inputs / "quarantined_rows.parquet"
    )
    pq.write_table(links(ingest.proposals), building.inputs / "employee_links.parquet")
    _write(building.root / "plan.json", plan.to_json())
    return building


def open_building(home: Home, run_id: str) -> Building:
    """Return the folder that this run is making.

    Raises
    ------
    GenerationError
        If the run has not started one: a single asset was materialised alone.
    """
    root = home.generations / f".building-{run_id}"
    plan = root / "plan.json"
    if not plan.is_file():
        raise GenerationError(
            "this run has no generation to build into: one asset alone cannot be"
            " trusted, because a generation is made as a whole. Launch the job `main`."
        )
    return Building(root, Plan.from_json(plan.read_text(encoding="utf-8")))


def complete(home: Home, building: Building, *, run: Mapping[str, Any]) -> Generation:
    """Write the manifest, rename the folder and move `current`; return the generation.

    Parameters
    ----------
    run : mapping
        What differs between two runs of the same identity (run id, times, host);
        written to `run.json`, outside the manifest.

    Raises
    ------
    GenerationError
        If a gate has not passed.
    """
    gates = building.require_gates()
    plan = building.plan
    kept = [
        path
        for folder in ("published", "gates", "sites")
        for path in sorted((building.root / folder).rglob("*"))
        if path.is_file()
    ]
    manifest = {
        "generation": plan.generation,
        "inputs": plan.inputs,
        "as_of": plan.as_of.isoformat(),
        "baseline": plan.baseline,
        "code_version": plan.code_version,
        "config_hash": plan.config_hash,
        "versions": versions(),
        "input_files": list(plan.files),
        "warnings": list(plan.warnings),
        "gates": {
            gate: {"success": result["success"], "n_checks": len(result["results"])}
            for gate, result in gates.items()
        },
        "row_counts": {
            str(path.relative_to(building.root / "published").with_suffix("")): (
                pq.read_metadata(path).num_rows
            )
            for path in kept
            if path.suffix == ".parquet"
            and "published" in path.parts
            and "sites" not in path.relative_to(building.root).parts
        },
        "files": {str(path.relative_to(building.root)): sha256(path) for path in kept},
    }
    _write(
        building.root / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True)
    )
    about = {**run, "host": platform.node(), "pid": os.getpid()}
    _write(building.root / "run.json", json.dumps(about, indent=1, sort_keys=True))
    for scratch in ("plan.json", "inputs"):
        _remove(building.root / scratch)
    final = home.generations / plan.generation
    if final.exists():
        # The same identity built again: readers keep the old folder until they move.
        final = final.with_name(f"{plan.generation}-{building.root.name[-8:]}")
    building.root.rename(final)
    _sync_folder(home.generations)
    _point(home.current, final)
    _drop_bulk_of_others(home, final)
    return Generation(final)


def current_generation(home: Home) -> Generation | None:
    """Return the generation that readers see; None before the first."""
    if not (home.current / "manifest.json").is_file():
        return None
    return Generation(home.current.resolve())


def kept_generation(home: Home, generation: str | None) -> Generation | None:
    """Return a generation by its id; None where it is not, or no longer, kept."""
    if generation is None:
        return None
    for root in sorted(home.generations.glob(f"{generation}*")):
        if (root / "manifest.json").is_file():
            return Generation(root)
    return None


def versions() -> dict[str, str]:
    """Return the versions that the figures were made with."""
    found = {name: metadata.version(name) for name in KEPT_PACKAGES}
    return {"python": platform.python_version(), **found}


@contextlib.contextmanager
def hold(home: Home, *, run_id: str) -> Iterator[None]:
    """Hold the home for one run; nested holds in one process are one.

    Raises
    ------
    HomeHeldError
        If another process holds it; the message names it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    lock = _lock(home.root)
    holder = home.root / ".lock.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HomeHeldError(
            f"{home.root} is held by another run ({_holder(holder)}). Wait until it"
            " ends, or use another --home. A run that died holds nothing."
        ) from None
    try:
        about = {"pid": os.getpid(), "run_id": run_id, "host": platform.node()}
        _write(holder, json.dumps(about))
        yield
    finally:
        lock.release()


def is_held(home: Home) -> str | None:
    """Return who holds the home, in words; None where nobody does."""
    lock = FileLock(home.root / ".lock")
    if not home.root.is_dir():
        return None
    try:
        with lock.acquire(timeout=0):
            return None
    except Timeout:
        return _holder(home.root / ".lock.json")


@cache
def _lock(root: Path) -> FileLock:
    """One lock object per home and process, so that nested holds are counted."""
    return FileLock(root / ".lock")


def _holder(path: Path) -> str:
    """What the lock's note says of its holder."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return f"pid {note['pid']} on {note['host']}, run {note['run_id']}"
    except (OSError, ValueError, KeyError):
        return "holder unknown"


def _hash(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    """Write a whole file or none: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _point(pointer: Path, target: Path) -> None:
    """Replace a symbolic link in one step."""
    temporary = pointer.with_name(f".{pointer.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, pointer.parent))
    temporary.replace(pointer)
    _sync_folder(pointer.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_bulk_of_others(home: Home, current: Path) -> None:
    """Remove warehouse and sites of the generations that are no longer current."""
    for root in home.generations.iterdir():
        if root == current or root.name.startswith("."):
            continue
        if root.name.partition("-")[0] == current.name.partition("-")[0]:
            _remove(root)
        else:
            for bulk in ("warehouse.duckdb", "sites", "statistics"):
                _remove(root / bulk)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

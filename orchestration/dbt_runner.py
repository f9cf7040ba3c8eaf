"""dbt in this process: parsed once, invoked by set, connections closed after each.

A subprocess per invocation costs eight to ten seconds before the first model runs.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from orchestration.publishing.generation import PROJECT

DBT_PROJECT = PROJECT / "dbt_project"
MANIFEST = DBT_PROJECT / "target" / "manifest.json"
WAREHOUSE_NAME = "warehouse.duckdb"
_STAMP = DBT_PROJECT / "target" / "calibrant-stamp"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class DbtError(Exception):
    """A dbt invocation that failed: which nodes, and why, without any data value."""


@dataclass(frozen=True)
class NodeResult:
    """What became of one dbt node."""

    unique_id: str
    status: str
    seconds: float
    failures: int
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether the node was built, or the test passed or only warned."""
        return self.status in {"success", "pass", "warn"}


def refuse_unknown_dbt() -> None:
    """Raise where the installed dbt is one that Dagster misreads.

    Raises
    ------
    DbtError
        If dbt-core is not 1.11.
    """
    version = metadata.version("dbt-core")
    if not version.startswith("1.11."):
        raise DbtError(
            f"dbt-core {version} is installed; this version of dagster-dbt misreads"
            " anything but 1.11. Run `make install` to restore the locked environment."
        )


def prepare_manifest() -> Path:
    """Return the path of a manifest that is newer than every file of the project."""
    digest = hashlib.sha256(metadata.version("dbt-core").encode())
    for path in sorted(DBT_PROJECT.rglob("*")):
        if path.suffix in {".sql", ".yml", ".csv"} and "target" not in path.parts:
            digest.update(str(path.relative_to(DBT_PROJECT)).encode())
            digest.update(path.read_bytes())
    stamp = digest.hexdigest()
    if not MANIFEST.is_file() or not _STAMP.is_file() or _STAMP.read_text() != stamp:
        _parsed()
        _replace(_STAMP, stamp.encode())
    return MANIFEST


def _replace(path: Path, content: bytes) -> None:
    """Write a file that other processes may be reading."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


def build(
    select: str,
    *,
    warehouse: Path,
    target: Path,
    variables: Mapping[str, Any],
    exclude_resource_types: Sequence[str] = ("unit_test",),
) -> list[NodeResult]:
    """Build a selection of the project into a warehouse; return a result per node.

    Parameters
    ----------
    select : str
        A dbt selection, e.g. `path:models/reports`.
    warehouse : Path
        The DuckDB file, called `warehouse.duckdb`; created where it is missing.
    target : Path
        Folder for dbt's artefacts.
    exclude_resource_types : sequence of str
        Unit tests check the code, not the data: they run in the test suite.

    Raises
    ------
    DbtError
        If dbt could not run at all; failed nodes are in the results.
    """
    arguments = ["build", "--select", *select.split()]
    for kind in exclude_resource_types:
        arguments += ["--exclude-resource-type", kind]
    return _invoked(arguments, warehouse, target, variables)


def unit_tests(
    *, warehouse: Path, target: Path, variables: Mapping[str, Any]
) -> list[NodeResult]:
    """Run the project's unit tests beside a built warehouse; return a result per test.

    Raises
    ------
    DbtError
        If dbt could not run at all; failed tests are in the results.
    """
    arguments = ["test", "--select", "test_type:unit"]
    return _invoked(arguments, warehouse, target, variables)


def _invoked(
    arguments: Sequence[str],
    warehouse: Path,
    target: Path,
    variables: Mapping[str, Any],
) -> list[NodeResult]:
    """What dbt made of a command, node by node."""
    from dbt.cli.main import dbtRunner

    command = [
        *arguments, "--target-path", str(target),
        "--vars", json.dumps(variables, default=str), *_COMMON,
    ]  # fmt: skip
    with _environment(CALIBRANT_WAREHOUSE=str(warehouse)), _quiet():
        try:
            outcome = dbtRunner(manifest=_parsed()).invoke(command)
        finally:
            _close_connections()
    if outcome.result is None:
        raise DbtError(f"dbt did not run: {without_values(str(outcome.exception))}")
    return [
        NodeResult(
            unique_id=result.node.unique_id,
            status=str(result.status),
            seconds=result.execution_time,
            failures=result.failures or 0,
            message=without_values(result.message or ""),
        )
        for result in outcome.result.results
    ]


def write_docs(warehouse: Path, *, folder: Path) -> Path:
    """Return the path of dbt's documentation of a warehouse, one static HTML file.

    dbt opens what it documents for writing, so it gets a copy.

    Raises
    ------
    DbtError
        If the warehouse is not there or dbt could not document it.
    """
    from dbt.cli.main import dbtRunner

    if not warehouse.is_file():
        raise DbtError(f"{warehouse} is not there; run `calibrant run` to build it")
    folder.mkdir(parents=True, exist_ok=True)
    copied = folder / WAREHOUSE_NAME
    shutil.copyfile(warehouse, copied)
    try:
        with _environment(CALIBRANT_WAREHOUSE=str(copied)), _quiet():
            outcome = dbtRunner(manifest=_parsed()).invoke(
                [
                    "docs", "generate", "--static",
                    "--target-path", str(folder), *_COMMON,
                ]
            )  # fmt: skip
    finally:
        _close_connections()
        copied.unlink()
    if not outcome.success:
        raise DbtError(
            f"dbt docs did not run: {without_values(str(outcome.exception))}"
        )
    return folder / "static_index.html"


def without_values(message: str) -> str:
    """Return the first lines of a message without anything quoted.

    An engine's error quotes the value it could not convert.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _QUOTED.sub("…", " ".join(lines[:3]))[:400]


_COMMON = (
    "--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT),
    "--quiet", "--no-use-colors", "--log-level-file", "none",
    "--no-send-anonymous-usage-stats", "--no-version-check",
)  # fmt: skip


@functools.cache
def _parsed() -> Any:
    """The project's manifest, parsed once in this process."""
    from dbt.cli.main import dbtRunner

    refuse_unknown_dbt()
    # A fixed path, because dbt parses anew whenever the profile differs from the last
    # one; and its stem is the database's name, which the manifest records.
    nowhere = str(MANIFEST.with_name(WAREHOUSE_NAME))
    folder = MANIFEST.parent / "parsed"
    folder.mkdir(parents=True, exist_ok=True)
    # Dagster loads definitions in several processes at once.
    with (
        FileLock(folder / ".lock"),
        _environment(CALIBRANT_WAREHOUSE=nowhere),
        _quiet(),
    ):
        outcome = dbtRunner().invoke(["parse", "--target-path", str(folder), *_COMMON])
        if not outcome.success:
            raise DbtError(f"the dbt project cannot be parsed: {outcome.exception}")
        _replace(MANIFEST, (folder / MANIFEST.name).read_bytes())
    return outcome.result


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for as long as dbt reads them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep dbt's own printing away: results are returned, not read off a screen."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _close_connections() -> None:
    """Let go of the warehouse file, which dbt's adapter keeps open otherwise."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()

"""What can be wrong with an installation, and the cure of each finding."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from orchestration.dbt_runner import DbtError, refuse_unknown_dbt
from orchestration.publishing.generation import current_generation, is_held, versions
from orchestration.settings import Home, SettingsError, load_settings

NODE_MINIMUM = 20
# A generation of a million applications takes about two gigabytes while it is built.
SPACE_MINIMUM_GB = 3.0

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found and, unless it is well, what to do."""

    name: str
    level: Level
    found: str
    cure: str = ""


def node_problem() -> str | None:
    """Return what keeps the sites from being built; None where nothing does."""
    node = shutil.which("node")
    install = "install Node 20 or later (with npm) and run again"
    if node is None or shutil.which("npm") is None:
        return f"Node is missing, so the sites are not built: {install}"
    # A fixed program with a fixed argument.
    text = subprocess.run(  # noqa: S603
        [node, "--version"], capture_output=True, text=True, check=False
    ).stdout.strip()
    major = text.lstrip("v").split(".")[0]
    if not major.isdigit() or int(major) < NODE_MINIMUM:
        return f"Node {text or '?'} is too old, so the sites are not built: {install}"
    return None


def examine(home: Home) -> list[Finding]:
    """Return every finding about the machine, the environment and a home."""
    return [check(home) for check in _CHECKS]


def _python(home: Home) -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("python", "ok", version)
    return Finding("python", "fault", version, "use Python 3.11, 3.12 or 3.13")


def _packages(home: Home) -> Finding:
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    return Finding("packages", "ok", found)


def _dbt(home: Home) -> Finding:
    version = metadata.version("dbt-core")
    try:
        refuse_unknown_dbt()
    except DbtError as error:
        return Finding("dbt", "fault", version, str(error))
    return Finding("dbt", "ok", version)


def _node(home: Home) -> Finding:
    problem = node_problem()
    if problem:
        return Finding("node", "fault", problem, "apt-get install nodejs npm, or nvm")
    return Finding("node", "ok", "20 or later")


def _space(home: Home) -> Finding:
    place = home.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    text = f"{free:.1f} GB free at {place}"
    if free < SPACE_MINIMUM_GB:
        cure = f"free {SPACE_MINIMUM_GB - free:.1f} GB, or move the home with --home"
        return Finding("space", "fault", text, cure)
    return Finding("space", "ok", text)


def _settings(home: Home) -> Finding:
    try:
        load_settings(home.root)
    except SettingsError as error:
        return Finding("settings", "fault", str(error), "correct the file named above")
    return Finding("settings", "ok", "policy.yaml and sources.yaml are valid")


def _lock(home: Home) -> Finding:
    holder = is_held(home)
    if holder:
        cure = "wait for it; a process that died holds nothing"
        return Finding("lock", "warning", f"held by {holder}", cure)
    return Finding("lock", "ok", "free")


def _leftovers(home: Home) -> Finding:
    found = sorted(path.name for path in home.generations.glob(".building-*"))
    if found and not is_held(home):
        cure = "nothing to do: the next run removes them"
        return Finding("leftovers", "warning", ", ".join(found), cure)
    return Finding("leftovers", "ok", "none")


def _generation(home: Home) -> Finding:
    generation = current_generation(home)
    if generation is None:
        return Finding("generation", "warning", "none yet", "calibrant run")
    damaged = generation.damaged_files()
    if damaged:
        cure = "calibrant run --rebuild makes it anew from raw"
        text = f"{generation.id}: {len(damaged)} files differ from the manifest"
        return Finding("generation", "fault", f"{text}: {damaged[0]}", cure)
    return Finding("generation", "ok", f"{generation.id}, every byte as published")


def _pools(home: Home) -> Finding:
    if not (home.root / "dagster" / "dagster.yaml").exists():
        return Finding("pools", "ok", "no Dagster instance yet")
    from orchestration.defs.launch import free_stale_slots

    freed = free_stale_slots(home)
    if freed:
        cure = "freed just now; run_monitoring frees them by itself where a daemon runs"
        return Finding("pools", "warning", f"{freed} slots of ended runs", cure)
    return Finding("pools", "ok", "no slot held by a run that has ended")


_CHECKS: tuple[Callable[[Home], Finding], ...] = (
    _python, _packages, _dbt, _node, _space, _settings, _lock, _leftovers,
    _generation, _pools,
)  # fmt: skip

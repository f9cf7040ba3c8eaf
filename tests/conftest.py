"""Fixtures every tier shares; a test's folder is its tier and its marker."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from typer.testing import CliRunner

from orchestration.publishing.generation import Generation, current_generation
from orchestration.settings import Home

# The same examples in every run: a push fails by what it changed. Others are tried with
# HYPOTHESIS_PROFILE=default.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

TIERS = ("unit", "gates", "pipeline", "browser")
ROOT = Path(__file__).parent
# Dagster commits some 800 events per run to SQLite: 40 s on a slow disk, 5 in memory.
MEMORY = Path("/dev/shm")  # noqa: S108
MEMORY_NEEDED = 2_000_000_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it lives in."""
    for item in items:
        tier = item.path.relative_to(ROOT).parts[0]
        if tier in TIERS:
            item.add_marker(getattr(pytest.mark, tier))


@dataclass(frozen=True)
class Told:
    """How a call of the command ended and everything it printed."""

    code: int
    text: str
    out: str


Calibrant = Callable[..., Told]


@dataclass(frozen=True)
class Tiny:
    """A home with one good generation of the company `tiny`, built without Node."""

    home: Home
    built: Told

    @property
    def generation(self) -> Generation:
        return _current(self.home)


def _current(home: Home) -> Generation:
    generation = current_generation(home)
    assert generation is not None
    return generation


def call(*arguments: object, home: Home | None = None, **environment: str) -> Told:
    """Call the command in this process: importing it anew costs fifteen seconds."""
    from orchestration.cli import app

    words = [str(word) for word in arguments]
    result = CliRunner().invoke(
        app,
        [*words, "--home", str(home.root)] if home else words,
        env={"COLUMNS": "200", **environment},
        catch_exceptions=False,
    )
    return Told(result.exit_code, result.output, result.stdout)


@pytest.fixture(scope="session")
def calibrant() -> Calibrant:
    """The command: `calibrant("run", home=home)`."""
    return call


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for homes, in memory where the machine has room for it."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED
    with tempfile.TemporaryDirectory(
        prefix="calibrant-tests-",
        dir=MEMORY if has_room and os.access(MEMORY, os.W_OK) else None,
        ignore_cleanup_errors=True,
    ) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def tiny(scratch: Path) -> Tiny:
    """The one home that every tier reads; a test that changes it takes a copy."""
    home = Home(scratch / "tiny")
    nothing = scratch / "no-programs"
    nothing.mkdir()
    call("simulate", "--preset", "tiny", home=home)
    # Fewer replicates: what is tested here is the way of the data, not its intervals.
    home.policy_file.write_text("bootstrap_replicates: 100\n")
    built = call("run", home=home, PATH=str(nothing))
    assert current_generation(home) is not None, built.text
    return Tiny(home, built)


@pytest.fixture(scope="session")
def copies(tiny: Tiny, scratch: Path) -> Callable[[], Home]:
    """Copies of the tiny home, with its generation and its history."""
    numbers = itertools.count()

    def copied() -> Home:
        target = scratch / f"copy-{next(numbers)}"
        shutil.copytree(
            tiny.home.root,
            target,
            symlinks=True,
            ignore=shutil.ignore_patterns("dagster", "cache"),
        )
        return Home(target)

    return copied


@pytest.fixture
def copy(copies: Callable[[], Home]) -> Iterator[Home]:
    """A copy of the tiny home for one test."""
    home = copies()
    yield home
    shutil.rmtree(home.root, ignore_errors=True)


@pytest.fixture
def fresh(scratch: Path) -> Iterator[Home]:
    """A home that is not there yet, for one test."""
    root = Path(tempfile.mkdtemp(dir=scratch))
    yield Home(root / "home")
    shutil.rmtree(root, ignore_errors=True)

"""Studies, their cells, and the store that keeps what each finished cell found."""

import ast
import hashlib
import inspect
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from orchestration.statistics.proportions import clopper_pearson

ROOT = Path(__file__).parents[2]
Floats = NDArray[np.float64]
Row = dict[str, Any]
Simulation = Callable[[np.random.Generator, int, int], Iterable[Row]]

SIZES = (30, 100, 400)
CLOSED, FITTED = 2_000, 1_000
# What coverage is held to, in per cent: by kind of study.
CLOSED_TARGET, FITTED_TARGET, AT_LEAST = (93.0, 97.0), (92.0, 98.0), (93.0, 100.0)
Z95 = 1.959963984540054
# Bounds that rounding alone keeps from the truth hold it.
ROUNDING = 1e-9
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# What a simulation's numbers may depend on besides code, and where its helpers live.
CONSTANTS = (bool, int, float, str, tuple, list, dict, np.ndarray)
OURS = tuple(f"tests.calibration.{name}" for name in ("study", "scales", "panels"))
PARTS = ("coverage", "alarms", "power", "companies")


@dataclass(frozen=True)
class Study:
    """One simulation, run at each of its sizes.

    `unit` says what a size counts. `target` bounds the coverage, in per cent; for
    alarms and power it is the share of companies.
    """

    part: str
    name: str
    unit: str
    simulation: Simulation
    sizes: tuple[int, ...]
    replicates: int
    target: tuple[float, float]
    about: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A study at one size: what is run, kept and repeated as a whole."""

    study: Study
    n: int
    replicates: int

    @property
    def slug(self) -> str:
        """The file name, without the digest."""
        words = "".join(c if c.isalnum() else "-" for c in self.study.name.lower())
        return f"{self.study.part}-{'-'.join(filter(None, words.split('-')))}-{self.n}"

    @property
    def seed(self) -> int:
        """Where the random numbers begin: the same for the same cell, always."""
        return zlib.crc32(self.slug.encode())

    @property
    def digest(self) -> str:
        """Of the definition and of all source that the numbers come from."""
        definition = [self.slug, self.replicates, self.seed, self.study.target]
        parts = [json.dumps(definition), *sources(self.study.simulation)]
        parts += [_folder_source(folder) for folder in self.study.also]
        parts += [metadata.version(name) for name in ("numpy", "scipy")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


STUDIES: dict[str, Study] = {}


def study(
    part: str,
    name: str,
    *,
    unit: str,
    sizes: tuple[int, ...] = SIZES,
    replicates: int = CLOSED,
    target: tuple[float, float] = CLOSED_TARGET,
    also: tuple[str, ...] = (),
) -> Callable[[Simulation], Simulation]:
    """Enter a simulation among the studies; its docstring tells what is simulated."""

    def entered(simulation: Simulation) -> Simulation:
        about = " ".join((simulation.__doc__ or "").split())
        STUDIES[f"{part}: {name}"] = Study(
            part, name, unit, simulation, sizes, replicates, target, about, also
        )
        return simulation

    return entered


def cells(replicates: int | None = None) -> list[Cell]:
    """All cells, in the order in which they are run."""
    return [
        Cell(one, n, replicates or one.replicates)
        for part in PARTS
        for one in STUDIES.values()
        if one.part == part
        for n in one.sizes
    ]


# --- what the numbers depend on --------------------------------------------------


def sources(function: Callable[..., Any]) -> list[str]:
    """Source of a simulation, of what it calls here, and of our modules it uses."""
    here: set[str] = set()
    modules: set[str] = set()
    queue: list[Any] = [function]
    seen: set[Any] = set()
    while queue:
        one = queue.pop()
        if one in seen:
            continue
        seen.add(one)
        here.add(_bare(inspect.getsource(one)))
        for name in _names(one):
            value = one.__globals__.get(name)
            is_module = isinstance(value, ModuleType)
            origin = value.__name__ if is_module else getattr(value, "__module__", "")
            if isinstance(value, CONSTANTS):
                here.add(f"{name} = {value!r}")
            elif str(origin).startswith("orchestration."):
                modules.add(str(origin))
            elif isinstance(value, (FunctionType, type)) and origin in (
                function.__module__, *OURS,
            ):  # fmt: skip
                queue.append(value)
    return sorted(here) + [_module_source(name) for name in _with_imports(modules)]


def _names(one: Any) -> list[str]:
    """Global names that a function's code mentions; a class has none of interest."""
    codes, found = [one.__code__] if isinstance(one, FunctionType) else [], set()
    while codes:
        code = codes.pop()
        found.update(code.co_names)
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return sorted(found)


def _with_imports(modules: Iterable[str]) -> list[str]:
    """Names of our modules and of those of ours that they import."""
    found, queue = set(), list(modules)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        for value in vars(sys.modules[name]).values():
            is_module = isinstance(value, ModuleType)
            origin = value.__name__ if is_module else getattr(value, "__module__", "")
            if str(origin).startswith("orchestration."):
                queue.append(str(origin))
    return sorted(found)


@cache
def _module_source(name: str) -> str:
    return _bare(Path(str(sys.modules[name].__file__)).read_text("utf-8"))


@cache
def _folder_source(folder: str) -> str:
    """Digest of the code of a folder, or of one file."""
    place, total = ROOT / folder, hashlib.sha256()
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.suffix in (".py", ".sql", ".csv", ".yml", ".yaml"):
            text = path.read_text("utf-8")
            if path.suffix == ".py":
                text = _bare(text)
            elif path.suffix in (".yml", ".yaml"):
                text = json.dumps(_undescribed(yaml.safe_load(text)), default=str)
            total.update(text.encode())
    return total.hexdigest()


def _undescribed(value: Any) -> Any:
    """YAML without descriptions, which change no number."""
    if isinstance(value, dict):
        return {
            key: _undescribed(part)
            for key, part in value.items()
            if key != "description"
        }
    return [_undescribed(part) for part in value] if isinstance(value, list) else value


def _bare(source: str) -> str:
    """Code without comments, docstrings and layout, which change no number."""
    tree = ast.parse(inspect.cleandoc(source) if source[:1].isspace() else source)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
            continue
        if node.body and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


# --- the store -------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """A folder with one JSON file per finished cell."""

    folder: Path

    def path(self, cell: Cell) -> Path:
        """Where the cell's findings are, if it is finished."""
        return self.folder / f"{cell.slug}.{cell.digest}.json"

    def found(self, cell: Cell) -> dict[str, Any] | None:
        """The findings of a finished cell."""
        path = self.path(cell)
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def keep(self, cell: Cell, rows: list[Row], seconds: float) -> None:
        """Write the findings of a cell as it is defined now."""
        keep(self.path(cell), rows, seconds)


def keep(path: Path, rows: list[Row], seconds: float) -> None:
    """Write findings at once or not at all; older ones of the same cell go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rows": rows, "seconds": seconds}, allow_nan=False, indent=1)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    for old in path.parent.glob(f"{path.name.split('.')[0]}.*.json"):
        if old != path:
            old.unlink(missing_ok=True)
    part.replace(path)


def run(cell: Cell, path: Path) -> float:
    """Run a cell and keep what it found; returns the seconds it took."""
    started = time.perf_counter()
    rng = np.random.default_rng(cell.seed)
    with np.errstate(all="ignore"):
        found = cell.study.simulation(rng, cell.n, cell.replicates)
        rows = [_plain(row) for row in found]
    seconds = time.perf_counter() - started
    keep(path, rows, seconds)
    return seconds


def run_all(todo: Sequence[Cell], folder: Path, workers: int) -> int:
    """Run cells, in this process without workers; returns how many failed."""
    # Named now: what is edited while cells run is not what they measure.
    jobs, failed = [(cell, Store(folder).path(cell)) for cell in todo], 0

    def told(results: Iterable[tuple[str, float, str]]) -> None:
        nonlocal failed
        for place, (slug, seconds, trouble) in enumerate(results, start=1):
            failed += bool(trouble)
            said = trouble or f"{seconds:.1f} s"
            print(f"[{place}/{len(todo)}] {slug}: {said}", file=sys.stderr, flush=True)

    if workers < 1 or not todo:
        told(map(_attempt, jobs))
        return failed
    # Read when linear algebra is first imported: in the new processes.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    context = multiprocessing.get_context("spawn")
    # Whole runs leave caches behind in their process: it is renewed now and then.
    pool = context.Pool(workers, _worker, maxtasksperchild=20)
    try:
        told(pool.imap_unordered(_attempt, jobs))
    except KeyboardInterrupt:
        # Dagster takes a request to end for the end of its run, not of the process.
        for child in multiprocessing.active_children():
            child.kill()
        raise
    pool.close()
    pool.join()
    return failed


def _attempt(job: tuple[Cell, Path]) -> tuple[str, float, str]:
    """A cell's name, the seconds it took, and what went wrong."""
    cell, path = job
    try:
        return cell.slug, run(cell, path), ""
    except Exception:
        return cell.slug, 0.0, traceback.format_exc()


def _worker() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _plain(row: Row) -> Row:
    """Numbers of Python; None for those that are not finite."""
    plain: Row = {}
    for name, value in row.items():
        if isinstance(value, (float, np.floating)):
            plain[name] = float(value) if np.isfinite(value) else None
        else:
            plain[name] = value.item() if isinstance(value, np.generic) else value
    return plain


# --- tallies ---------------------------------------------------------------------


def tally(interval: str, low: ArrayLike, high: ArrayLike, truth: ArrayLike) -> Row:
    """How often intervals hold the truth, with the Monte-Carlo error of that share.

    The first axis counts replicates. Several intervals of a replicate depend on each
    other, so the error is then that of a ratio of sums over replicates. NaN bounds are
    not estimable; infinite ones are.
    """
    lows, highs, truths = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (low, high, truth))
    )
    replicates = lows.shape[0]
    lows, highs, truths = (v.reshape(replicates, -1) for v in (lows, highs, truths))
    known = ~np.isnan(lows) & ~np.isnan(highs) & ~np.isnan(truths)
    slack = ROUNDING * (1 + np.abs(truths))
    below = known & (highs < truths - slack)
    above = known & (lows > truths + slack)
    n_known = int(known.sum())
    inside = n_known - int(below.sum()) - int(above.sum())
    bounds = share_bounds(known & ~below & ~above, known)
    constant = truths.size and np.ptp(truths) == 0
    widths = (highs - lows)[known]
    return {
        "interval": interval,
        "truth": float(truths.flat[0]) if constant else None,
        "replicates": replicates,
        "estimable": n_known / known.size,
        "coverage": inside / n_known if n_known else np.nan,
        "coverage_low": bounds[0],
        "coverage_high": bounds[1],
        "below": int(below.sum()) / n_known if n_known else np.nan,
        "above": int(above.sum()) / n_known if n_known else np.nan,
        "width": float(np.median(widths)) if widths.size else np.nan,
    }


def share_bounds(
    hits: NDArray[np.bool_], known: NDArray[np.bool_]
) -> tuple[float, float]:
    """Monte-Carlo interval of a share; rows are replicates."""
    total = int(known.sum())
    if not total:
        return (np.nan, np.nan)
    if known.shape[1] == 1:
        exact = clopper_pearson(int(hits.sum()), total)
        return float(exact.low), float(exact.high)
    share = hits.sum() / total
    apart = (hits & known).sum(axis=1) - share * known.sum(axis=1)
    error = Z95 * np.sqrt(np.sum(apart**2)) / total
    return max(share - error, 0.0), min(share + error, 1.0)


def happened(
    what: str,
    hits: ArrayLike,
    *,
    stated: str = "",
    note: str = "",
    is_judged: bool = True,
) -> Row:
    """Share of simulated companies in which something happened.

    `stated` is what was planned; a row that is not judged stands for comparison.
    """
    flags = np.asarray(hits, dtype=bool).reshape(-1, 1)
    low, high = share_bounds(flags, np.ones_like(flags))
    return {
        "what": what,
        "replicates": len(flags),
        "share": float(flags.mean()),
        "share_low": low,
        "share_high": high,
        "stated": stated,
        "note": note,
        "is_judged": is_judged,
    }


def people(n: int, replicates: int) -> NDArray[np.int64]:
    """Replicate of each of n people a replicate."""
    return np.repeat(np.arange(replicates), n)

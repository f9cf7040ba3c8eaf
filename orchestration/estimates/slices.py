"""What slices of the data came to, kept as long as their input stays the same."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits

from orchestration.estimates.windows import Window

Part: TypeAlias = str | pd.DataFrame
Result = TypeVar("Result")

# More would hold more windows in memory at once.
_AT_ONCE = 2
# Below, starting processes takes longer than they save.
_MANY_CASES = 250_000


class Slices:
    """Tables of slices by the content of their input.

    Parameters
    ----------
    folder : Path, optional
        Where tables are kept; None keeps nothing and computes everything.
    salt : str
        What else a result depends on, such as the version of the code.
    """

    def __init__(self, folder: Path | None = None, *, salt: str = "") -> None:
        self._folder = folder
        self._salt = salt
        self._used: set[str] = set()

    def table(self, parts: Iterable[Part], compute: Callable[[], pa.Table]) -> pa.Table:
        """Return what `compute` gives, from the folder if it did so for equal parts."""
        path = self._path(parts)
        found = self._kept(path)
        if found is None:
            found = compute()
            self._keep(path, found)
        return found

    def by_window(
        self,
        windows: Sequence[Window],
        parts: Callable[[Window], Iterable[Part]],
        compute: Callable[[list[Window]], pa.Table],
    ) -> pa.Table:
        """Return the rows of all windows, computed for those whose parts are new.

        Parameters
        ----------
        windows : sequence of Window
        parts : callable
            What the rows of a window depend on, besides its id and bounds.
        compute : callable
            The rows of some windows at once, or of none, each with its `window_id`;
            those of a window must not depend on which others are asked for.
        """
        paths = {
            window.id: self._path([window.part, *parts(window)]) for window in windows
        }
        found = {name: self._kept(path) for name, path in paths.items()}
        new = [window for window in windows if found[window.id] is None]
        table = compute(new)
        tables = []
        for window in windows:
            rows = found[window.id]
            if rows is None:
                rows = table.filter(pc.field("window_id") == window.id)
                self._keep(paths[window.id], rows)
            tables.append(rows)
        return pa.concat_tables([table.slice(0, 0), *tables])

    def _path(self, parts: Iterable[Part]) -> Path | None:
        """Where the table of equal parts is kept."""
        if self._folder is None:
            return None
        name = f"{_digest(self._salt, parts)}.arrow"
        self._used.add(name)
        return self._folder / name

    def _kept(self, path: Path | None) -> pa.Table | None:
        return feather.read_table(path) if path and path.is_file() else None

    def _keep(self, path: Path | None, table: pa.Table) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # A crash leaves no half table behind.
        aside = path.with_name(f".{path.name}-{os.getpid()}")
        feather.write_feather(table, aside, compression="zstd")
        aside.replace(path)

    def forget_others(self) -> None:
        """Remove the tables nobody asked for since this was made."""
        for path in self._folder.glob("*") if self._folder else ():
            if path.name not in self._used:
                path.unlink()


NOTHING_KEPT = Slices()


def side_by_side(
    work: Callable[..., Result], items: Iterable[tuple[Any, ...]], *, n_cases: int
) -> list[Result]:
    """Return what `work` gives for each item's arguments, in their order.

    With many cases two processes share the work: two threads, which wait for each other
    between the many small steps of a fit, take nine tenths of the time of one.

    Parameters
    ----------
    work : callable
        A function of a module: both it and the arguments are sent to the processes.
    items : iterable of tuple
        Arguments, made when their turn comes.
    n_cases : int
        What the items hold together.
    """
    if n_cases < _MANY_CASES or cpu_count() < _AT_ONCE:
        return [work(*item) for item in items]
    # Nothing is put on disk; processes wait a minute for the next table.
    run = Parallel(
        n_jobs=_AT_ONCE, max_nbytes=None, pre_dispatch=_AT_ONCE, idle_worker_timeout=60
    )
    found: list[Result] = run(delayed(_on_one_core)(work, *item) for item in items)
    return found


def _on_one_core(work: Callable[..., Result], *arguments: Any) -> Result:
    """What work gives by one thread, as in the process that asks."""
    with threadpool_limits(1, user_api="blas"):
        return work(*arguments)


def stream(rng: np.random.Generator, name: str) -> np.random.Generator:
    """Return a generator of its own for a named slice, whatever was drawn before."""
    sequence = rng.bit_generator.seed_seq
    if not isinstance(sequence, np.random.SeedSequence):
        raise TypeError(f"rng must know its seed, got {type(sequence).__name__}")
    entropy = sequence.entropy
    own = [entropy] if isinstance(entropy, int) else list(entropy or ())
    return np.random.default_rng([*own, zlib.crc32(name.encode())])


def _digest(salt: str, parts: Iterable[Part]) -> str:
    digest = hashlib.blake2b(salt.encode(), digest_size=16)
    for part in parts:
        if isinstance(part, pd.DataFrame):
            digest.update("|".join(part.columns).encode())
            digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy())
        else:
            digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()

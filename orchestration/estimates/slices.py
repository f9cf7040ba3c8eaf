"""What slices of the data came to, kept as long as their input stays the same."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from numpy.typing import NDArray

Part: TypeAlias = str | NDArray[Any] | pd.DataFrame
Item = TypeVar("Item")
Result = TypeVar("Result")

# More would hold more windows in memory at once.
_AT_ONCE = 2


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
        if self._folder is None:
            return compute()
        name = f"{_digest(self._salt, parts)}.arrow"
        self._used.add(name)
        path = self._folder / name
        if path.is_file():
            return feather.read_table(path)
        table = compute()
        self._folder.mkdir(parents=True, exist_ok=True)
        # A crash leaves no half table behind.
        aside = path.with_name(f".{name}-{os.getpid()}")
        feather.write_feather(table, aside, compression="zstd")
        aside.replace(path)
        return table

    def forget_others(self) -> None:
        """Remove the tables nobody asked for since this was made."""
        for path in self._folder.glob("*") if self._folder else ():
            if path.name not in self._used:
                path.unlink()


NOTHING_KEPT = Slices()


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what `work` gives for each item, in their order; two run at a time.

    Threads, not processes: nearly all of the work is in libraries that let others run.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


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
            part = pd.util.hash_pandas_object(part, index=False).to_numpy()
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(b"\0")
    return digest.hexdigest()

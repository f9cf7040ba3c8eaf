"""What brings data in: everything that writes extracts into the inbox.

Landing reads `inbox/<source>/<entity>[_<extract date>].{csv,jsonl,parquet}` and cannot
tell who wrote a file: a person, the simulator or a connector. So a connector is a class
with one method, and everything after it stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq


class SourceError(Exception):
    """A source that cannot be read: what, where, why, and what to do."""


class Source(Protocol):
    """Something that delivers entities of the landing contract."""

    @property
    def name(self) -> str:
        """Folder of the inbox, and prefix of every id it delivers."""
        ...

    def deliver(self, inbox: Path) -> Sequence[Path]:
        """Write what is new under `<inbox>/<name>/` and return the files.

        A file is whole when it gets its name, and holds one entity in the contract's
        columns. A later file of the same name replaces the earlier one; with a date in
        the name both count, and the newest version of each row wins.
        """
        ...


@dataclass(frozen=True)
class TableSource:
    """A source whose entities are tables in memory, as the simulator makes them.

    Attributes
    ----------
    name : str
    tables : mapping of str to Table
        Entity to its rows.
    form : {"parquet", "csv"}
    """

    name: str
    tables: Mapping[str, pa.Table]
    form: str = "parquet"

    def deliver(self, inbox: Path) -> Sequence[Path]:
        """Write one file per entity and return them."""
        folder = inbox / self.name
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for entity, table in self.tables.items():
            path = folder / f"{entity}.{self.form}"
            aside = path.with_name(f".{path.name}")
            if self.form == "csv":
                pacsv.write_csv(table, aside)
            else:
                pq.write_table(table, aside, compression="zstd")
            written.append(aside.replace(path))
        return written

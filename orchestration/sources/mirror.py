"""What a service holds, as last seen: one SQLite file per source, written by page.

A page and the place to go on from are one transaction, so a sync that is killed goes on
where it was and ends with the same records. Only the fields that are translated are
kept; names and e-mails among them, so the file lies in `restricted/`.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

_SCHEMA = """
create table if not exists records (
    stream text not null, id text not null, parent text not null default '',
    version text not null default '', seen integer not null, body text not null,
    primary key (stream, id)
) without rowid;
create index if not exists by_parent on records (stream, parent);
create table if not exists places (stream text primary key, place text not null)
    without rowid;
create table if not exists waiting (
    stream text not null, parent text not null, primary key (stream, parent)
) without rowid;
"""
_PAGE = 50_000


@dataclass(frozen=True)
class Record:
    """One record of a stream.

    Attributes
    ----------
    id : str
    body : mapping
        What is kept of it.
    version : str
        Sorts as the service orders versions (its update time); "" where there is none.
    parent : str
        Id of the record it was listed under; "" for a list of its own.
    """

    id: str
    body: Mapping[str, Any]
    version: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Shrinkage:
    """Records of a stream that a full read no longer found."""

    stream: str
    before: int
    gone: int


class Mirror:
    """The records of one source."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        excluded: Callable[[str, Record], bool] | None = None,
    ) -> None:
        self._db = connection
        self._excluded = excluded
        # Since it was opened: what two successive reads of a list differ in.
        self.changed: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, excluded: Callable[[str, Record], bool] | None = None
    ) -> Iterator["Mirror"]:
        """Open a source's mirror, readable by its owner only; made on first use.

        Parameters
        ----------
        excluded : callable, optional
            Whether a record of a stream is never kept: it is about somebody erased.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        if not path.exists():
            path.touch(mode=0o600)
        # DuckDB reads batches in a thread of its own while this one waits for it.
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            # What is erased is overwritten, not only forgotten.
            connection.execute("pragma secure_delete = on")
            connection.executescript(_SCHEMA)
            yield cls(connection, excluded)
        finally:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def place(self, stream: str) -> dict[str, Any]:
        """Return where a stream's sync stands; {} before its first."""
        row = self._db.execute(
            "select place from places where stream = ?", [stream]
        ).fetchone()
        return json.loads(row[0]) if row else {}

    def put(
        self,
        stream: str,
        records: Iterable[Record],
        *,
        place: Mapping[str, Any],
        seen: int,
        children: Iterable[str] = (),
    ) -> int:
        """Keep a page, and the place to go on from; return how many records changed.

        A record whose version is older than what is there changes nothing. Records that
        are new or changed are queued for each of the `children` streams.

        Parameters
        ----------
        seen : int
            Number of the pass; a full pass drops what it has not seen.
        """
        changed = 0
        with self._transaction():
            for record in records:
                changed += self._keep(stream, record, seen, children)
            self._set_place(stream, place)
        return changed

    def _keep(
        self, stream: str, record: Record, seen: int, children: Iterable[str]
    ) -> int:
        if self._excluded and self._excluded(stream, record):
            return 0
        body = json.dumps(
            record.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        row = self._db.execute(
            "select version, body from records where stream = ? and id = ?",
            [stream, record.id],
        ).fetchone()
        is_older = row is not None and record.version < row[0]
        is_same = row is not None and row[1] == body and row[0] == record.version
        if is_older or is_same:
            self._db.execute(
                "update records set seen = ? where stream = ? and id = ?",
                [seen, stream, record.id],
            )
            return 0
        self._db.execute(
            "insert or replace into records values (?, ?, ?, ?, ?, ?)",
            [stream, record.id, record.parent, record.version, seen, body],
        )
        self.changed[stream] += 1
        self._db.executemany(
            "insert or ignore into waiting values (?, ?)",
            [(child, record.id) for child in children],
        )
        return 1

    def body(self, stream: str, id_: str) -> dict[str, Any] | None:
        """Return what is kept of a record; None where there is none."""
        row = self._db.execute(
            "select body from records where stream = ? and id = ?", [stream, id_]
        ).fetchone()
        return json.loads(row[0]) if row else None

    def queue(self, children: Iterable[str], parents: Iterable[str]) -> None:
        """Queue parents whose children have to be read again, changed or not."""
        parents = list(parents)
        with self._transaction():
            self._db.executemany(
                "insert or ignore into waiting values (?, ?)",
                [(child, parent) for child in children for parent in parents],
            )

    def waiting(self, stream: str, most: int = 1000) -> list[str]:
        """Return parents whose children have to be read again."""
        rows = self._db.execute(
            "select parent from waiting where stream = ? order by parent limit ?",
            [stream, most],
        )
        return [row[0] for row in rows]

    def replace_children(
        self, stream: str, parent: str, records: Iterable[Record], *, seen: int
    ) -> None:
        """Replace what was listed under a parent, and take it off the queue."""
        with self._transaction():
            self._db.execute(
                "delete from records where stream = ? and parent = ?", [stream, parent]
            )
            for record in records:
                self._keep(stream, record, seen, ())
            self._db.execute(
                "delete from waiting where stream = ? and parent = ?", [stream, parent]
            )

    def finish(
        self, stream: str, *, place: Mapping[str, Any], unseen_before: int | None = None
    ) -> None:
        """Note that a pass has ended; drop what a full pass has not seen."""
        with self._transaction():
            if unseen_before is not None:
                self.gone[stream] += self._db.execute(
                    "delete from records where stream = ? and seen < ?",
                    [stream, unseen_before],
                ).rowcount
            self._set_place(stream, place)

    def unseen(self, stream: str, seen: int) -> Shrinkage:
        """Return how many records a full pass has not seen."""
        before, gone = self._db.execute(
            "select count(*), coalesce(sum(seen < ?), 0) from records where stream = ?",
            [seen, stream],
        ).fetchone()
        return Shrinkage(stream, before, gone)

    def unseen_ids(self, stream: str, seen: int, most: int = 1000) -> list[str]:
        """Return the first ids that a full pass has not seen."""
        rows = self._db.execute(
            "select id from records where stream = ? and seen < ? order by id limit ?",
            [stream, seen, most],
        )
        return [row[0] for row in rows]

    def remove(self, stream: str, ids: Iterable[str]) -> int:
        """Remove records by id; return how many there were."""
        with self._transaction():
            return sum(
                self._db.execute(
                    "delete from records where stream = ? and id = ?", [stream, id_]
                ).rowcount
                for id_ in ids
            )

    def remove_where(self, stream: str, field: str, values: Iterable[str]) -> int:
        """Remove records whose top-level field has one of the values."""
        with self._transaction():
            return sum(
                self._db.execute(
                    "delete from records where stream = ?"
                    " and json_extract(body, ?) = ?",
                    [stream, f'$."{field}"', value],
                ).rowcount
                for value in values
            )

    def remove_orphans(self, stream: str, parents: str) -> None:
        """Remove records of a stream, and what waits, whose parent is gone."""
        gone = "parent not in (select id from records where stream = ?)"
        with self._transaction():
            for table in ("records", "waiting"):
                self._db.execute(
                    f"delete from {table} where stream = ? and {gone}",
                    [stream, parents],
                )

    def count(self, stream: str) -> int:
        """Return how many records a stream has."""
        row = self._db.execute(
            "select count(*) from records where stream = ?", [stream]
        ).fetchone()
        return int(row[0])

    def streams(self) -> list[str]:
        """Return the streams that have records."""
        rows = self._db.execute("select distinct stream from records order by stream")
        return [row[0] for row in rows]

    def batches(self, stream: str) -> pa.RecordBatchReader:
        """Return a stream's records by id: `id`, `parent` and `body` (JSON text)."""
        schema = pa.schema(
            [("id", pa.string()), ("parent", pa.string()), ("body", pa.string())]
        )

        def pages() -> Iterator[pa.RecordBatch]:
            cursor = self._db.execute(
                "select id, parent, body from records where stream = ? order by id",
                [stream],
            )
            while rows := cursor.fetchmany(_PAGE):
                columns = [list(column) for column in zip(*rows, strict=True)]
                yield pa.RecordBatch.from_arrays(
                    [pa.array(column, pa.string()) for column in columns], schema=schema
                )

        return pa.RecordBatchReader.from_batches(schema, pages())

    def _set_place(self, stream: str, place: Mapping[str, Any]) -> None:
        self._db.execute(
            "insert or replace into places values (?, ?)",
            [stream, json.dumps(place, sort_keys=True)],
        )

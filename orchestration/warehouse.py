"""The warehouse as Python sees it: SQL in, Arrow out; one class per engine."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import duckdb
import pyarrow as pa


class Warehouse(Protocol):
    """What estimates, gates and publishing need of an engine."""

    def read_arrow(
        self, sql: str, parameters: Sequence[object] | None = None
    ) -> pa.Table:
        """Return the rows of a query; `?` in it is bound to `parameters`."""
        ...

    def exists(self, table: str) -> bool:
        """Return whether `schema.table` is there."""
        ...


class DuckDBWarehouse:
    """A DuckDB file, read-only: only dbt opens the warehouse for writing."""

    def __init__(self, path: Path | str) -> None:
        self._connection = duckdb.connect(
            str(path),
            read_only=str(path) != ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        self._connection.execute("set timezone = 'UTC'")

    def __enter__(self) -> Self:
        """Return itself; the connection closes on exit."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def read_arrow(
        self, sql: str, parameters: Sequence[object] | None = None
    ) -> pa.Table:
        """Return the rows of a query; `?` in it is bound to `parameters`."""
        table = self._connection.execute(sql, parameters).to_arrow_table()
        if table is None:
            raise ValueError(f"no query: {sql[:80]}")
        return table

    def exists(self, table: str) -> bool:
        """Return whether `schema.table` is there."""
        schema, _, name = table.rpartition(".")
        found = self._connection.execute(
            "select count(*) from information_schema.tables"
            " where table_schema = ? and table_name = ?",
            [schema or "main", name],
        ).fetchone()
        return bool(found and found[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

"""The warehouse as Python sees it: SQL in, Arrow out; one class per engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import duckdb
import pyarrow as pa


def connect(
    path: Path | str = ":memory:", *, read_only: bool = False, **settings: str | int
) -> duckdb.DuckDBPyConnection:
    """Return a connection that fetches nothing and prints nothing.

    DuckDB writes a progress bar among our output wherever a query takes two seconds,
    unless it is told not to.
    """
    connection = duckdb.connect(
        str(path),
        read_only=read_only,
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            **settings,
        },
    )
    connection.execute("set enable_progress_bar = false")
    return connection


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
    """A DuckDB file, read-only: only dbt opens the warehouse for writing.

    Parameters
    ----------
    path : Path or ":memory:"
    parquet : mapping of str to sequence of str, optional
        Views by `schema.table` over Parquet files; in memory only.
    """

    def __init__(
        self,
        path: Path | str = ":memory:",
        *,
        parquet: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._connection = connect(path, read_only=str(path) != ":memory:")
        self._connection.execute("set timezone = 'UTC'")
        for name, files in (parquet or {}).items():
            schema, _, table = name.partition(".")
            self._connection.execute(f'create schema if not exists "{schema}"')
            quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
            self._connection.execute(
                f'create view "{schema}"."{table}" as select *'
                f" from read_parquet([{quoted}], union_by_name = true)"
            )

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
        relation = self._connection.sql(sql, params=parameters)
        table: pa.Table = relation.to_arrow_table()
        return table

    def exists(self, table: str) -> bool:
        """Return whether `schema.table` is there."""
        schema, _, name = table.rpartition(".")
        found = self._connection.execute(
            "select count(*) from information_schema.tables"
            " where table_schema = ? and table_name = ?",
            [schema or "main", name],
        ).fetchall()
        # A result that is not read to its end blocks the connection.
        return bool(found[0][0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

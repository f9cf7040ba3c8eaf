"""Between SQL's rows and the arrays of the statistics."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")


def group_codes(
    rows: pd.DataFrame, keys: Sequence[str]
) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Return each row's group code from 0, and the groups in order of their labels."""
    if rows.empty:
        return np.zeros(0, np.int64), rows[list(keys)].reset_index(drop=True)
    grouped = rows.groupby(list(keys), sort=True, dropna=False)
    code = grouped.ngroup().to_numpy(np.int64)
    first = np.unique(code, return_index=True)[1]
    return code, rows.iloc[first][list(keys)].reset_index(drop=True)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, side_by_side: bool
) -> list[Result]:
    """Return the results in the order of the items, worked out two at a time or not.

    Arithmetic on large arrays leaves the interpreter free; on small ones two threads
    only wait for each other.
    """
    if not side_by_side:
        return [function(item) for item in items]
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(function, items))


def arrow_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the columns of the schema; absent ones and NaN become null."""
    return pa.Table.from_pandas(
        frame.reindex(columns=schema.names), schema=schema, preserve_index=False
    )

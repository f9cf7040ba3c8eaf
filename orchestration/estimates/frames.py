"""Between SQL's rows and the arrays of the statistics."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import norm

# Half the width of a 95 % interval in standard errors.
Z95 = float(norm.ppf(0.975))


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


def arrow_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return the columns of the schema; absent ones and NaN become null."""
    return pa.Table.from_pandas(
        frame.reindex(columns=schema.names), schema=schema, preserve_index=False
    )

"""Published tables as CSV and XLSX that no spreadsheet takes for formulas."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from orchestration.publishing.generation import Generation, GenerationError

# Spreadsheets evaluate text that starts so; the full-width twins are folded by some
# of them on import (OWASP ASVS 1.2.10).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
FORMATS = ("csv", "xlsx")


def export(
    generation: Generation,
    *,
    audience: str,
    tables: Sequence[str],
    form: str,
    folder: Path,
) -> list[Path]:
    """Write published tables to a folder and return the files.

    Parameters
    ----------
    tables : sequence of str
        Names of published tables; empty for every table of the audience.
    form : {"csv", "xlsx"}

    Raises
    ------
    GenerationError
        If a table is not published to the audience; the message lists those that are.
    """
    known = {
        path.stem: path for path in generation.published(audience).glob("*.parquet")
    }
    unknown = sorted(set(tables) - set(known))
    if unknown:
        raise GenerationError(
            f"not published to {audience}: {', '.join(unknown)};"
            f" published: {', '.join(sorted(known))}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in tables or sorted(known):
        frame = without_formulas(pd.read_parquet(known[name]))
        path = folder / f"{audience}_{name}.{form}"
        if form == "csv":
            frame.to_csv(path, index=False, lineterminator="\r\n")
        else:
            frame.to_excel(path, index=False, sheet_name=name[:31])
        written.append(path)
    return written


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with a quote before text that a spreadsheet would evaluate."""
    safe = frame.copy()
    for name in safe.columns:
        column = safe[name]
        if pd.api.types.is_string_dtype(column) or column.dtype == object:
            text = column.astype("string")
            risky = text.str.startswith(_FORMULA_STARTS).fillna(False)
            safe[name] = text.mask(risky, "'" + text)
    return safe

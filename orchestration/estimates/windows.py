"""Windows of the report, and what the rows that fall into each amount to."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.warehouse import Warehouse

_WINDOWS = """
    select window_id, window_kind, window_start, window_end
    from marts.dim_windows
    where window_kind in ({})
    order by window_kind, window_start
"""
# Halves of hashes, for a sum of whole ones would leave 64 bits.
_SUMS = """
    cast(count(*) as bigint) as n,
    cast(sum(hash(cases) >> 32) as bigint) as high,
    cast(sum(hash(cases) & 4294967295) as bigint) as low
"""
_CONTENTS = f"""
    with cases as ({{query}}),
    summed as (
        select {{key}} as key, {_SUMS}
        from cases
        group by 1
    )
    select
        windows.window_id,
        concat_ws('|', sum(summed.n), sum(summed.high), sum(summed.low)) as content
    from marts.dim_windows as windows
    left join summed on {{within}}
    group by windows.window_id
    order by windows.window_id
"""
_BY_DAY = "summed.key >= windows.window_start and summed.key < windows.window_end"


@dataclass(frozen=True)
class Window:
    """One reporting window: `[start, end)`."""

    id: str
    kind: str
    start: dt.date
    end: dt.date

    @property
    def part(self) -> str:
        """What results may depend on."""
        return f"{self.id}|{self.start}|{self.end}"


def windows(warehouse: Warehouse, *kinds: str) -> list[Window]:
    """Return the windows of the kinds asked for, oldest first."""
    rows = warehouse.read_arrow(
        _WINDOWS.format(", ".join("?" for _ in kinds)), list(kinds)
    ).to_pylist()
    return [
        Window(row["window_id"], row["window_kind"], row["window_start"],
               row["window_end"])
        for row in rows
    ]  # fmt: skip


def contents(
    warehouse: Warehouse,
    query: str,
    *,
    by: str,
    parameters: Sequence[object] | None = None,
) -> dict[str, str]:
    """Return what the rows of each window amount to, by id of the window.

    Texts are equal where the rows are, in any order: rows are counted and hashed in the
    warehouse, which takes a tenth of the time of reading them.

    Parameters
    ----------
    warehouse : Warehouse
    query : str
        Selects the columns that a result depends on.
    by : str
        Which column places a row: a moment, or `window_id`.
    parameters : sequence, optional
        What `?` in the query is bound to.
    """
    has_id = by == "window_id"
    found = warehouse.read_arrow(
        _CONTENTS.format(
            query=query,
            key=by if has_id else f"cast({by} as date)",
            within="summed.key = windows.window_id" if has_id else _BY_DAY,
        ),
        parameters,
    )
    return dict(
        zip(found["window_id"].to_pylist(), found["content"].to_pylist(), strict=True)
    )


def contents_of(warehouse: Warehouse, marts: Sequence[str]) -> list[str]:
    """Return what whole marts amount to."""
    texts = []
    for mart in marts:
        found = warehouse.read_arrow(f"select {_SUMS} from marts.{mart} as cases")
        texts.append("|".join(map(str, found.to_pylist()[0].values())))
    return texts

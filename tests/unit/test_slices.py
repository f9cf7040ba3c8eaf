"""Results of slices are kept by the content of what they were computed from."""

import datetime as dt
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from orchestration.estimates import slices
from orchestration.estimates.slices import Slices, side_by_side, stream
from orchestration.estimates.windows import Window


class Counted:
    """A computation that says how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> pa.Table:
        self.runs += 1
        return pa.table({"run": [self.runs], "name": ["ä"]})


PARTS = ("2026Q1", pd.DataFrame({"round": ["onsite"], "n": [2]}))
QUARTERS = [
    Window(f"2026Q{n}", "quarter", dt.date(2026, 3 * n - 2, 1), dt.date(2026, 3 * n, 1))
    for n in (1, 2, 3)
]


class CountedWindows:
    """A computation that says which windows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, windows: list[Window]) -> pa.Table:
        self.asked += [window.id for window in windows]
        ids = [window.id for window in windows for _ in range(2)]
        return pa.table({"window_id": pa.array(ids, pa.string())})


def test_equal_parts_are_computed_once(tmp_path):
    compute = Counted()

    first = Slices(tmp_path).table(PARTS, compute)
    again = Slices(tmp_path).table(PARTS, compute)

    assert compute.runs == 1
    assert again.equals(first)


@pytest.mark.parametrize(
    "other",
    [
        ("2026Q2", *PARTS[1:]),
        ("2026Q1", PARTS[1].assign(n=3)),
        ("2026Q1", PARTS[1].assign(n=2.5)),
        ("2026Q1", PARTS[1].rename(columns={"n": "m"})),
        ("2026Q1", PARTS[1].iloc[[0, 0]]),
    ],
    ids=["text", "value", "type", "column", "length"],
)
def test_other_parts_are_computed_anew(tmp_path, other):
    compute = Counted()
    Slices(tmp_path).table(PARTS, compute)

    Slices(tmp_path).table(other, compute)

    assert compute.runs == 2


def test_only_windows_with_new_parts_are_computed(tmp_path):
    contents = {window.id: "1" for window in QUARTERS}
    compute, again = CountedWindows(), CountedWindows()
    first = Slices(tmp_path).by_window(QUARTERS, lambda w: [contents[w.id]], compute)
    contents["2026Q2"] = "2"

    second = Slices(tmp_path).by_window(QUARTERS, lambda w: [contents[w.id]], again)

    assert compute.asked == ["2026Q1", "2026Q2", "2026Q3"]
    assert again.asked == ["2026Q2"]
    assert second.equals(first)


def test_a_window_that_moves_is_computed_anew(tmp_path):
    Slices(tmp_path).by_window(QUARTERS[:1], lambda _: ["1"], CountedWindows())
    moved = Window("2026Q1", "quarter", dt.date(2026, 2, 1), dt.date(2026, 5, 1))
    compute = CountedWindows()

    Slices(tmp_path).by_window([moved], lambda _: ["1"], compute)

    assert compute.asked == ["2026Q1"]


def test_no_windows_are_a_table_without_rows():
    table = Slices().by_window([], lambda _: ["1"], CountedWindows())

    assert table.num_rows == 0
    assert table.schema.names == ["window_id"]


def test_another_version_of_the_code_computes_anew(tmp_path):
    compute = Counted()
    Slices(tmp_path, salt="1").table(PARTS, compute)

    Slices(tmp_path, salt="2").table(PARTS, compute)

    assert compute.runs == 2


def test_what_nobody_asked_for_is_forgotten(tmp_path):
    Slices(tmp_path).table(PARTS, Counted())
    later = Slices(tmp_path)
    later.table(("other",), Counted())

    later.forget_others()

    compute = Counted()
    Slices(tmp_path).table(PARTS, compute)
    assert compute.runs == 1
    assert len(list(tmp_path.iterdir())) == 2


def drawn(name, rng):
    return name, os.getpid(), stream(rng, name).normal()


def test_much_work_is_shared_and_comes_in_the_order_of_its_items(monkeypatch):
    monkeypatch.setattr(slices, "cpu_count", lambda: 2)
    rng = np.random.default_rng([7, 8])
    items = [(str(place), rng) for place in range(6)]

    alone = side_by_side(drawn, items, n_cases=1)
    shared = side_by_side(drawn, items, n_cases=10**9)

    assert [name for name, _, _ in shared] == [name for name, _, _ in alone]
    assert [value for _, _, value in shared] == [value for _, _, value in alone]
    assert {process for _, process, _ in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, process, _ in shared}


def test_without_a_folder_nothing_is_kept():
    compute, kept = Counted(), Slices()
    kept.table(PARTS, compute)

    kept.table(PARTS, compute)

    assert compute.runs == 2
    kept.forget_others()


def test_a_slice_draws_the_same_whatever_was_drawn_before():
    rng = np.random.default_rng([7, 8])
    before = stream(rng, "2026Q1").normal(size=3)
    rng.normal(size=100)

    after = stream(rng, "2026Q1").normal(size=3)

    assert after.tolist() == before.tolist()
    assert stream(rng, "2026Q2").normal() != before[0]

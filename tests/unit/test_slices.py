"""Results of slices are kept by the content of what they were computed from."""

from threading import Event

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from orchestration.estimates.slices import Slices, side_by_side, stream


class Counted:
    """A computation that says how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> pa.Table:
        self.runs += 1
        return pa.table({"run": [self.runs], "name": ["ä"]})


PARTS = ("2026Q1", np.arange(3), pd.DataFrame({"round": ["onsite"], "n": [2]}))


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
        ("2026Q1", np.arange(4), PARTS[2]),
        ("2026Q1", np.arange(3.0), PARTS[2]),
        ("2026Q1", np.arange(3), PARTS[2].assign(n=3)),
        ("2026Q1", np.arange(3), PARTS[2].rename(columns={"n": "m"})),
    ],
    ids=["text", "length", "type", "value", "column"],
)
def test_other_parts_are_computed_anew(tmp_path, other):
    compute = Counted()
    Slices(tmp_path).table(PARTS, compute)

    Slices(tmp_path).table(other, compute)

    assert compute.runs == 2


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


def test_what_runs_side_by_side_comes_in_the_order_of_its_items():
    second = Event()

    def work(name):
        # The second item ends before the first.
        if name == "first":
            second.wait(5)
        else:
            second.set()
        return name, second.is_set()

    found = side_by_side(work, ["first", "second"])

    assert found == [("first", True), ("second", True)]


def test_without_a_folder_nothing_is_kept():
    compute, slices = Counted(), Slices()
    slices.table(PARTS, compute)

    slices.table(PARTS, compute)

    assert compute.runs == 2
    slices.forget_others()


def test_a_slice_draws_the_same_whatever_was_drawn_before():
    rng = np.random.default_rng([7, 8])
    before = stream(rng, "2026Q1").normal(size=3)
    rng.normal(size=100)

    after = stream(rng, "2026Q1").normal(size=3)

    assert after.tolist() == before.tolist()
    assert stream(rng, "2026Q2").normal() != before[0]

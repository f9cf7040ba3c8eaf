"""Wilson, Clopper–Pearson and Newcombe intervals."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from orchestration.statistics.proportions import (
    clopper_pearson,
    newcombe_difference,
    wilson,
)

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"


@pytest.mark.parametrize(
    ("passed", "entered", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_intervals_of_newcombe_1998(passed, entered, low, high):
    """Statistics in Medicine 17, 857-872, table I, method 3."""
    interval = wilson(passed, entered)

    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)],
)
def test_difference_gives_the_intervals_of_newcombe_1998(first, second, low, high):
    """Statistics in Medicine 17, 873-890, table II, method 10."""
    interval = newcombe_difference(
        *first, other_passed=second[0], other_entered=second[1]
    )

    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(
    ("passed", "entered", "low", "high"),
    [
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_exact_intervals_are_those_of_newcombe_1998(passed, entered, low, high):
    """Statistics in Medicine 17, 857-872, table I, method 5."""
    interval = clopper_pearson(passed, entered)

    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_every_interval_equals_the_reference_to_nine_digits():
    file = REFERENCE / "47_wilson_newcombe" / "expected.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    expected = {
        row["key"]: row["value"] for row in json.loads(file.read_text())["expected"]
    }

    got = {}
    for passed, entered in ((81, 263), (15, 148), (0, 20), (1, 29)):
        interval = wilson(passed, entered)
        got[f"wilson_{passed}_{entered}_lower"] = float(interval.low)
        got[f"wilson_{passed}_{entered}_upper"] = float(interval.high)
    for one, two in (((56, 70), (48, 80)), ((9, 10), (3, 10))):
        interval = newcombe_difference(*one, other_passed=two[0], other_entered=two[1])
        name = f"newcombe_diff_{one[0]}_{one[1]}_vs_{two[0]}_{two[1]}"
        got[f"{name}_lower"] = float(interval.low)
        got[f"{name}_upper"] = float(interval.high)

    got["clopper_pearson_0_20_upper"] = float(clopper_pearson(0, 20).high)

    assert got == pytest.approx(expected, abs=1e-9)


counts = st.integers(1, 10_000).flatmap(
    lambda entered: st.tuples(st.integers(0, entered), st.just(entered))
)


@given(counts)
def test_wilson_lies_in_the_unit_interval_and_holds_the_rate(sample):
    interval = wilson(*sample)

    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


@given(counts)
def test_exact_bounds_leave_the_tail_on_each_side(sample):
    """At the bounds the counts seen, or more extreme ones, have 2.5 %."""
    passed, entered = sample

    interval = clopper_pearson(passed, entered)

    if passed > 0:
        above = binom.sf(passed - 1, entered, interval.low)
        assert above == pytest.approx(0.025, rel=1e-6)
    if passed < entered:
        below = binom.cdf(passed, entered, interval.high)
        assert below == pytest.approx(0.025, rel=1e-6)
    assert interval.low <= interval.estimate <= interval.high


@given(counts)
def test_exact_interval_mirrors_when_passing_and_failing_swap(sample):
    passed, entered = sample

    interval = clopper_pearson(passed, entered)

    mirrored = clopper_pearson(entered - passed, entered)
    assert interval.low == pytest.approx(1 - mirrored.high)
    assert interval.high == pytest.approx(1 - mirrored.low)


@given(counts)
def test_twice_the_cases_give_a_narrower_interval(sample):
    passed, entered = sample

    once, twice = wilson(passed, entered), wilson(2 * passed, 2 * entered)

    assert twice.high - twice.low < once.high - once.low


@given(counts, counts)
def test_difference_changes_sign_when_the_sides_swap(one, two):
    forth = newcombe_difference(*one, other_passed=two[0], other_entered=two[1])
    back = newcombe_difference(*two, other_passed=one[0], other_entered=one[1])

    assert forth.estimate == -back.estimate
    assert forth.low == pytest.approx(-back.high)
    assert forth.low <= forth.estimate <= forth.high


@pytest.mark.parametrize("interval_of", [wilson, clopper_pearson])
def test_bounds_are_exact_where_nobody_or_everybody_passed(interval_of):
    interval = interval_of([0, 7], [7, 7])

    assert interval.low[0] == 0.0
    assert interval.high[1] == 1.0


@pytest.mark.parametrize("interval_of", [wilson, clopper_pearson])
def test_nobody_entered_and_missing_counts_are_not_estimable(interval_of):
    interval = interval_of([0, np.nan], [0, 5])

    assert np.isnan([interval.estimate, interval.low, interval.high]).all()


@pytest.mark.parametrize("interval_of", [wilson, clopper_pearson])
def test_counts_of_any_shape_keep_it(interval_of):
    assert interval_of(np.ones((2, 3)), 4).low.shape == (2, 3)
    assert interval_of([], []).low.shape == (0,)


@pytest.mark.parametrize(
    ("passed", "entered", "message"),
    [
        (-1, 5, "passed must not be negative, got -1"),
        (6, 5, "passed must not exceed entered, got 6 of 5"),
    ],
)
@pytest.mark.parametrize("interval_of", [wilson, clopper_pearson])
def test_impossible_counts_are_named(interval_of, passed, entered, message):
    with pytest.raises(ValueError, match=message):
        interval_of(passed, entered)

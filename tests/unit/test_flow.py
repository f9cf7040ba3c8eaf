"""Little's law, and growth of a backlog from weekly counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from orchestration.statistics.flow import backlog_growth, littles_law


def growth(arrived, left):  # type: ignore[no-untyped-def]
    return backlog_growth(arrived, left)


def test_growth_is_what_piles_up_per_week() -> None:
    arrived = np.full((1, 20), 12)
    left = np.full((1, 20), 10)

    result = growth(arrived, left)

    assert result.estimate[0] == 2
    assert (result.low[0], result.high[0]) == (2, 2)


def test_balance_with_noise_is_not_called_growth() -> None:
    rng = np.random.default_rng(3)
    arrived, left = rng.poisson(10, (50, 52)), rng.poisson(10, (50, 52))

    result = growth(arrived, left)

    assert (result.p < 0.05).mean() < 0.15
    assert ((result.low <= 0) & (result.high >= 0)).mean() > 0.85


def test_steady_growth_is_found() -> None:
    rng = np.random.default_rng(3)
    arrived, left = rng.poisson(14, (20, 52)), rng.poisson(10, (20, 52))

    assert (growth(arrived, left).p < 0.05).all()


def test_the_error_is_that_of_the_circular_block_bootstrap() -> None:
    """Politis & Romano (1992): the variance of the mean over draws of blocks."""
    rng = np.random.default_rng(8)
    arrived, left = rng.poisson(12, (1, 24)), rng.poisson(11, (1, 24))
    net = (arrived - left)[0].astype(float)
    starts = rng.integers(24, size=(40_000, 6))
    weeks = (starts[:, :, None] + np.arange(4)).reshape(40_000, 24) % 24
    drawn = net[weeks].mean(axis=1).std()

    result = backlog_growth(arrived, left, block=4)

    half = (result.high[0] - result.low[0]) / 2
    t = 2.3060041350333704  # Student's 97.5 % quantile with 8 degrees of freedom
    assert_allclose(half / t / np.sqrt(24 / 20), drawn, rtol=0.02)


@pytest.mark.parametrize("n_weeks", [13, 52])
def test_intervals_of_a_quarter_hold_what_they_say(n_weeks: int) -> None:
    rng = np.random.default_rng(11)
    arrived, left = rng.poisson(10, (2, 4_000, n_weeks))

    result = growth(arrived, left)

    held = ((result.low <= 0) & (result.high >= 0)).mean()
    assert 0.93 <= held <= 0.97
    assert (result.p < 0.05).mean() <= 0.06


def test_duplicating_the_weeks_keeps_the_growth_and_narrows_the_interval() -> None:
    rng = np.random.default_rng(5)
    arrived, left = rng.poisson(12, (3, 30)), rng.poisson(10, (3, 30))

    once = growth(arrived, left)
    twice = growth(np.tile(arrived, 2), np.tile(left, 2))

    assert_allclose(once.estimate, twice.estimate)
    assert (twice.high - twice.low < once.high - once.low).all()


def test_swapping_arrivals_and_departures_turns_the_sign() -> None:
    rng = np.random.default_rng(5)
    arrived, left = rng.poisson(12, (3, 30)), rng.poisson(10, (3, 30))

    forward, backward = growth(arrived, left), growth(left, arrived)

    assert_allclose(forward.estimate, -backward.estimate)
    assert_allclose(forward.low, -backward.high)


@pytest.mark.parametrize("n_weeks", [0, 1, 3])
def test_too_few_weeks_have_no_interval(n_weeks: int) -> None:
    result = growth(np.ones((1, n_weeks)), np.zeros((1, n_weeks)))

    assert np.isnan(result.low).all()
    assert np.isnan(result.p).all()


def test_a_stage_nobody_saw_has_no_growth() -> None:
    assert np.isnan(growth(np.zeros((1, 12)), np.zeros((1, 12))).estimate[0])


def test_tables_of_unequal_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="stages by weeks"):
        growth(np.zeros((1, 12)), np.zeros((2, 12)))


@pytest.mark.parametrize(("n_weeks", "block"), [(4, 2), (13, 4), (52, 6), (104, 8)])
def test_blocks_grow_with_the_cube_root_of_the_weeks(n_weeks: int, block: int) -> None:
    rng = np.random.default_rng(2)
    arrived, left = rng.poisson(12, (3, n_weeks)), rng.poisson(11, (3, n_weeks))

    assert_array_equal(
        growth(arrived, left).low, backlog_growth(arrived, left, block=block).low
    )


def test_a_year_of_weeks_that_depend_is_told_nearly_as_well() -> None:
    """Rates carry half of their deviation into the next week."""
    rng = np.random.default_rng(5)
    rates = np.empty((2, 4_000, 52))
    now = rng.normal(size=(2, 4_000))
    for week in range(52):
        now = 0.5 * now + np.sqrt(0.75) * rng.normal(size=now.shape)
        rates[..., week] = now
    arrived, left = rng.poisson(np.maximum(18 + 3 * rates, 0.5))

    result = growth(arrived, left)

    assert 0.922 < ((result.low <= 0) & (result.high >= 0)).mean() < 0.96


def test_littles_law_gives_the_published_examples() -> None:
    """Little & Graves (2008), Building Intuition: 150 messages with 50 a day wait 3
    days; 160 bottles with 8 bought a month stay 20 months."""
    month = 30
    inbox = littles_law([150 * month], [50 * month], [50 * month], length=month)
    cellar = littles_law([160 * 12], [8 * 12], [8 * 12], length=12)

    assert (inbox.number[0], inbox.arrival_rate[0], inbox.time[0]) == (150, 50, 3)
    assert (cellar.number[0], cellar.throughput[0], cellar.time[0]) == (160, 8, 20)


VISITS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=40
)


@given(VISITS)
def test_littles_law_is_exact_where_the_window_starts_and_ends_empty(
    visits: list[tuple[int, int]],
) -> None:
    entered, stays = np.array(visits).T
    days = np.arange(91)
    # The mean number, counted day by day and not from the stays.
    present = (entered <= days[:, None]) & (entered + stays > days[:, None])
    n = len(visits)

    queue = littles_law([present.sum()], [n], [n], length=91, per=7)

    assert_allclose(queue.number, present.sum(axis=1).mean())
    assert_allclose(queue.time, stays.mean())
    assert_allclose(queue.arrival_rate, n / 13)
    assert_allclose(queue.number * 7, queue.arrival_rate * queue.time, atol=1e-12)


@given(VISITS, st.integers(1, 60))
def test_littles_law_holds_inside_a_window_that_cuts_visits(
    visits: list[tuple[int, int]], end: int
) -> None:
    entered, stays = np.array(visits).T
    seen = entered < end
    inside = (np.minimum(entered + stays, end) - entered)[seen].sum()
    ended = (entered + stays <= end)[seen].sum()

    queue = littles_law([inside], [seen.sum()], [ended], length=end)

    if seen.any():
        assert_allclose(queue.number, queue.arrival_rate * queue.time, atol=1e-12)
        assert queue.time[0] <= stays[seen].mean()
    else:
        assert_array_equal(queue.time, [np.nan])


def test_littles_law_tells_what_it_cannot_know() -> None:
    queue = littles_law([14.0, 0.0, np.nan], [0, 0, 5], [1, 0, 5], length=7)

    assert_array_equal(queue.time, [np.nan] * 3)
    assert_array_equal(queue.number, [2, 0, np.nan])
    assert_array_equal(queue.throughput, [1 / 7, 0, 5 / 7])
    assert littles_law([], [], [], length=7).time.shape == (0,)
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(1,\) and \(1,\)"):
        littles_law([1, 2], [1], [1], length=7)
    with pytest.raises(ValueError, match="above zero, got 0 and 1"):
        littles_law([1], [1], [1], length=0)

"""Halo: one judgement more than the peers' on all competencies of a card."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f, kstest

from orchestration.statistics.halo import halo


def cards(ratings):
    """Sum, sum of squares and number of a card's ratings."""
    return ratings.sum(axis=1), (ratings**2).sum(axis=1), np.full(len(ratings), 4)


def drawn(rng, n_interviewers=12, n_cards=40, shared=0.5, more=0.0):
    """Normal ratings of four competencies; the first interviewer's share `more`."""
    who = np.repeat(np.arange(n_interviewers), n_cards)
    common = shared + np.where(who == 0, more, 0.0)
    ratings = np.sqrt(common)[:, None] * rng.normal(size=(who.size, 1))
    ratings = ratings + np.sqrt(1 - common)[:, None] * rng.normal(size=(who.size, 4))
    return ratings, who


def told(ratings, who, cell=None):
    place = np.zeros(who.size, int) if cell is None else cell
    return halo(*cards(ratings), place, who)


def test_two_interviewers_of_one_cell_are_an_f_ratio_of_f_ratios():
    rng = np.random.default_rng(3)
    ratings, who = drawn(rng, n_interviewers=2)

    found = told(ratings, who)

    # Winer (1971), Statistical Principles in Experimental Design, 2nd ed., 4.4:
    # one-way mean squares, cards as classes.
    ratios = []
    for code in (0, 1):
        own = ratings[who == code]
        mean = own.mean(axis=1)
        between = 4 * ((mean - own.mean()) ** 2).sum() / (len(own) - 1)
        within = ((own - mean[:, None]) ** 2).sum() / (3 * len(own))
        ratios.append(between / within)
    assert found.ratio[0] == pytest.approx(ratios[0] / ratios[1])
    assert found.ratio[1] == pytest.approx(ratios[1] / ratios[0])
    assert found.n.tolist() == [40, 40]


def test_among_alike_p_is_uniform_and_comes_from_the_f_distribution():
    rng = np.random.default_rng(4)
    found = [told(*drawn(rng)) for _ in range(150)]

    p = np.concatenate([one.p for one in found])

    assert kstest(p, "uniform").pvalue > 0.01
    first = found[0]
    np.testing.assert_allclose(
        first.p, f.sf(first.ratio, first.df_numerator, first.df_denominator)
    )


def test_halo_is_found_where_competencies_correlate_85_and_not_55():
    rng = np.random.default_rng(5)
    found = [
        told(*drawn(rng, n_interviewers=36, n_cards=65, shared=0.55, more=0.30))
        for _ in range(40)
    ]

    p = np.array([one.p for one in found])

    assert (p[:, 0] < 0.05 / 108).mean() >= 0.9
    assert (p[:, 1:].min(axis=1) < 0.05 / 108).mean() <= 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(-3, 3), st.floats(0.2, 5))
def test_neither_severity_nor_unit_nor_names_change_anything(seed, shift, unit):
    ratings, who = drawn(np.random.default_rng(seed), n_interviewers=4, n_cards=20)
    first = told(ratings, who)

    severe = ratings * unit + shift * (who == 2)[:, None]
    other = told(severe, 3 - who)

    np.testing.assert_allclose(other.ratio[::-1], first.ratio, rtol=1e-6)
    np.testing.assert_allclose(other.p[::-1], first.p, rtol=1e-5, atol=1e-12)


def test_the_same_cards_twice_keep_the_ratio_and_halve_the_error():
    ratings, who = drawn(np.random.default_rng(6), more=0.2)
    once = told(ratings, who)

    twice = told(np.tile(ratings, (2, 1)), np.tile(who, 2))

    np.testing.assert_allclose(twice.ratio, once.ratio, rtol=0.02)
    np.testing.assert_allclose(twice.df_numerator / once.df_numerator, 2, rtol=0.1)
    assert twice.p[0] < once.p[0]


def test_cells_are_compared_with_themselves_only():
    rng = np.random.default_rng(7)
    alike, who = drawn(rng, shared=0.8)
    unlike, _ = drawn(rng, shared=0.2)
    cell = np.repeat([0, 1], who.size)

    found = told(np.vstack([alike, unlike * 3]), np.tile(who, 2), cell)

    # Everybody rates in both rounds, each of which has a correlation of its own.
    assert np.all(np.abs(np.log(found.ratio)) < 0.7)
    assert found.p.min() > 0.001


def test_cards_of_one_competency_count_for_nothing():
    ratings, who = drawn(np.random.default_rng(8))
    one = (np.full(30, 2.0), np.full(30, 4.0), np.ones(30, int))
    both = [np.concatenate(pair) for pair in zip(cards(ratings), one, strict=True)]

    found = halo(*both, np.zeros(who.size + 30, int), np.append(who, np.zeros(30, int)))

    np.testing.assert_array_equal(found.p, told(ratings, who).p)


@pytest.mark.parametrize(
    ("ratings", "who"),
    [
        (np.zeros((0, 4)), np.zeros(0, int)),
        (np.ones((1, 4)), np.zeros(1, int)),
        (np.random.default_rng(1).normal(size=(50, 4)), np.zeros(50, int)),
        (np.full((60, 4), 3.0), np.repeat([0, 1, 2], 20)),
        (np.random.default_rng(1).normal(size=(6, 4)), np.repeat([0, 1, 2], 2)),
    ],
    ids=["no card", "one card", "no peer", "all equal", "two cards each"],
)
def test_without_peers_or_differences_nothing_is_told(ratings, who):
    found = told(ratings, who)

    assert np.isnan(found.p).all()


def test_arrays_of_different_lengths_are_named():
    with pytest.raises(ValueError, match=r"one entry per card, got \[2, 2, 2, 1, 2\]"):
        halo([1, 2], [1, 2], [2, 2], [0], [0, 1])

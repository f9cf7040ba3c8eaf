"""Correlations of true scores from ratings, also where rounds choose who goes on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from orchestration.statistics.true_scores import true_correlations


def rated(rng, n=300, r=0.6, error=0.7, twice=1.0, share=1.0):
    """Ratings of three rounds that correlate by r; `share` pass each of them."""
    between = np.full((3, 3), r)
    np.fill_diagonal(between, 1)
    values, vectors = np.linalg.eigh(between)
    true = rng.normal(size=(n, 3)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    left, parts = np.arange(n), []
    for place in range(3):
        kept = np.ones((left.size, 2), bool)
        kept[:, 1] = rng.random(left.size) < twice
        row = np.nonzero(kept)[0]
        score = true[left[row], place] + error * rng.normal(size=row.size)
        parts.append((score, left[row], np.full(row.size, place)))
        mean = np.bincount(row, score) / np.bincount(row)
        if share < 1:
            left = left[mean >= np.quantile(mean, 1 - share)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def test_a_balanced_panel_has_the_closed_answer():
    score, candidate, step = rated(np.random.default_rng(1))

    found = true_correlations(score, candidate, step, n_rounds=3)

    # Searle, Casella & McCulloch (1992), Variance Components, 4.4: for balanced data
    # restricted maximum likelihood is the analysis of variance.
    ratings = score.reshape(3, 300, 2)
    means = ratings.mean(axis=2)
    error = ratings.var(axis=2, ddof=1).mean(axis=1)
    true = np.cov(means) - np.diag(error / 2)
    sd = np.sqrt(np.diagonal(true))
    expected = true / np.outer(sd, sd)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.estimate[off], expected[off], rtol=1e-6)
    assert np.isnan(np.diagonal(found.estimate)).all()


def test_what_is_missing_is_taken_by_the_likelihood():
    score, candidate, step = rated(np.random.default_rng(2), n=60, twice=0.5, share=0.6)

    found = true_correlations(score, candidate, step, n_rounds=3)

    assert found.estimate[0, 1] == pytest.approx(searched(score, candidate, step), 1e-3)


def searched(score, candidate, step):
    """The correlation at the highest restricted likelihood, by a blind search."""

    def deviance(parameters):
        root = np.zeros((3, 3))
        root[np.tril_indices(3)] = parameters[:6]
        true, error = root @ root.T, np.exp(parameters[6:])
        total, precision, pull, form = 0.0, np.zeros((3, 3)), np.zeros(3), 0.0
        for person in np.unique(candidate):
            own = candidate == person
            at, y = step[own], score[own]
            covariance = true[np.ix_(at, at)] + np.diag(error[at])
            design = np.eye(3)[at]
            inverse = np.linalg.inv(covariance)
            total += np.linalg.slogdet(covariance)[1]
            precision += design.T @ inverse @ design
            pull += design.T @ inverse @ y
            form += y @ inverse @ y
        fit = pull @ np.linalg.solve(precision, pull)
        return total + form - fit + np.linalg.slogdet(precision)[1]

    start = np.array([1, 0.5, 0.8, 0.5, 0.3, 0.8, -0.7, -0.7, -0.7])
    best = minimize(deviance, start, method="BFGS").x
    root = np.zeros((3, 3))
    root[np.tril_indices(3)] = best[:6]
    true = root @ root.T
    return true[0, 1] / np.sqrt(true[0, 0] * true[1, 1])


def test_rounds_that_choose_who_goes_on_do_not_hide_that_they_are_alike():
    rng = np.random.default_rng(3)
    loops = [rated(rng, n=800, r=1.0, twice=0.6, share=0.5) for _ in range(40)]

    found = [true_correlations(*loop, n_rounds=3) for loop in loops]

    estimate = np.array([one.estimate[1, 2] for one in found])
    assert abs(estimate.mean() - 1) < 3 * estimate.std() / np.sqrt(40)
    held = [one.low[1, 2] <= 1 <= one.high[1, 2] for one in found]
    assert np.mean(held) >= 0.85


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.floats(-5, 5), st.floats(0.1, 10))
def test_units_names_and_order_change_nothing(seed, shift, unit):
    rng = np.random.default_rng(seed)
    score, candidate, step = rated(rng, n=80, share=0.7)
    first = true_correlations(score, candidate, step, n_rounds=3)
    order = rng.permutation(score.size)

    other = true_correlations(
        np.where(step == 0, score * unit + shift, score)[order],
        1000 - candidate[order],
        (step[order] + 1) % 3,
        n_rounds=3,
    )

    for name in ("estimate", "low", "high"):
        moved = np.roll(getattr(other, name), (-1, -1), axis=(0, 1))
        np.testing.assert_allclose(moved, getattr(first, name), rtol=1e-3, atol=1e-3)


def test_twice_the_candidates_keep_the_estimate_and_narrow_the_interval():
    score, candidate, step = rated(np.random.default_rng(5), n=200, share=0.6)
    once = true_correlations(score, candidate, step, n_rounds=3)

    twice = true_correlations(
        np.tile(score, 2),
        np.concatenate([candidate, candidate + 10_000]),
        np.tile(step, 2),
        n_rounds=3,
    )

    np.testing.assert_allclose(twice.estimate, once.estimate, atol=0.01)
    ratio = (twice.high - twice.low) / (once.high - once.low)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(ratio[off], 1 / np.sqrt(2), rtol=0.15)


@pytest.mark.parametrize(
    ("score", "candidate", "step"),
    [
        ([], [], []),
        ([3.0], [0], [0]),
        ([1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 1]),
        ([3.0] * 8, [0, 0, 1, 1] * 2, [0] * 4 + [1] * 4),
        ([1, 2, 4, 5, 1, 2, 4, 5], [0, 0, 1, 1, 2, 2, 3, 3], [0] * 4 + [1] * 4),
    ],
    ids=["nothing", "one", "rated once", "all equal", "nobody took both"],
)
def test_what_cannot_be_told_is_nan(score, candidate, step):
    found = true_correlations(score, candidate, step, n_rounds=2)

    assert np.isnan(found.estimate).all()
    assert np.isnan(found.low).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": [0]}, "one entry per rating"),
        ({"score": [1.0, np.nan]}, "score must be finite"),
        ({"step": [0, 2]}, "step must lie in 0 to 1, got 0 to 2"),
    ],
)
def test_impossible_ratings_are_named(change, message):
    rating = {"score": [1.0, 2.0], "candidate": [0, 0], "step": [0, 1]} | change

    with pytest.raises(ValueError, match=message):
        true_correlations(**rating, n_rounds=2)

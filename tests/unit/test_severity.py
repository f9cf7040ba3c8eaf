"""Severity beside peers, and what chance makes of misfit."""

import numpy as np
import pytest

from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.statistics.severity import Severity, misfit, severity


def company(
    rng: np.random.Generator,
    *,
    n_interviewers: int = 30,
    n_candidates: int = 150,
    n_cells: int = 3,
    careless: int = -1,
    cell_error: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two cards per candidate and cell; `careless` errs twice as far as the others."""
    candidate = np.repeat(np.arange(n_candidates), n_cells * 2)
    cell = np.tile(np.repeat(np.arange(n_cells), 2), n_candidates)
    interviewer = np.concatenate(
        [
            rng.choice(n_interviewers, 2, replace=False)
            for _ in range(n_candidates * n_cells)
        ]
    )
    error = 0.5 * np.where(interviewer == careless, 2.0, 1.0)
    error *= np.where(cell == 0, cell_error, 1.0)
    score = (
        rng.normal(0, 0.45, n_candidates)[candidate]
        + rng.normal(0, 0.35, (n_candidates, n_cells))[candidate, cell]
        - rng.normal(0, 0.1, n_interviewers)[interviewer]
        + error * rng.normal(size=candidate.size)
    )
    return score, candidate, cell, interviewer


def everybody(found: Severity) -> np.ndarray:
    return np.ones(found.residual.size, dtype=bool)


def test_the_stricter_of_two_interviewers_has_half_their_difference():
    candidate = np.repeat(np.arange(40), 2)
    interviewer = np.tile([0, 1], 40)
    score = np.random.default_rng(1).normal(size=40)[candidate] - interviewer

    found = severity(score, candidate, np.zeros(80, int), interviewer)

    np.testing.assert_allclose(found.raw, [-0.5, 0.5], atol=1e-9)


def test_misfit_is_the_distance_from_what_the_other_cards_lead_to_expect():
    score, candidate, cell, interviewer = company(
        np.random.default_rng(2), n_interviewers=5, n_candidates=20
    )
    found = severity(score, candidate, cell, interviewer)
    same = candidate[:, None] == candidate
    variance = (
        found.var_candidate * same
        + found.var_candidate_round * (same & (cell[:, None] == cell))
        + found.var_resid * np.eye(score.size)
    )
    # Each card on its own, against the regression on all others.
    z2 = np.empty(score.size)
    for card in range(score.size):
        rest = np.arange(score.size) != card
        weights = np.linalg.solve(variance[np.ix_(rest, rest)], variance[rest, card])
        left = variance[card, card] - weights @ variance[rest, card]
        z2[card] = (found.residual[card] - weights @ found.residual[rest]) ** 2 / left
    relative = z2 / np.array([z2[cell == place].mean() for place in range(3)])[cell]

    fitted = misfit(found, everybody(found), rng=np.random.default_rng(0), n_draws=2)

    np.testing.assert_allclose(
        fitted.outfit,
        [relative[interviewer == who].mean() for who in range(5)],
        rtol=1e-8,
    )
    assert fitted.n.tolist() == np.bincount(interviewer).tolist()


def test_chance_reaches_the_critical_values_in_one_of_twenty():
    over, rejected, flagged = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = severity(*company(rng))
        fitted = misfit(found, everybody(found), rng=rng, n_draws=40)
        over.append((fitted.infit > fitted.infit_critical).mean())
        rejected.append((fitted.p < 0.05).mean())
        flagged.append((benjamini_hochberg(fitted.p) < 0.05).any())

    # 1,200 interviewers, of whom none differs: three standard errors are .02.
    assert 0.03 < np.mean(over) < 0.07
    assert 0.03 < np.mean(rejected) < 0.07
    assert np.sum(flagged) <= 5


def test_an_interviewer_who_errs_twice_as_far_is_found():
    hits = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = severity(*company(rng, n_candidates=300, careless=7))
        fitted = misfit(found, everybody(found), rng=rng, n_draws=40)
        q = benjamini_hochberg(fitted.p)
        hits.append((q < 0.05) & (fitted.outfit >= 1.5))

    alarms = np.sum(hits, axis=0)
    assert alarms[7] == 10
    assert alarms.sum() == 10


def test_a_round_that_is_hard_to_score_makes_nobody_noisy():
    rng = np.random.default_rng(4)
    score, candidate, cell, interviewer = company(rng, cell_error=3.0, n_candidates=400)
    # Ten interviewers give cards in that round only, twenty in the others only.
    interviewer = np.where(cell == 0, interviewer % 10, 10 + interviewer % 20)
    found = severity(score, candidate, cell, interviewer)

    fitted = misfit(found, everybody(found), rng=rng, n_draws=40)

    assert fitted.outfit[:10].mean() == pytest.approx(1, abs=0.1)
    assert not (benjamini_hochberg(fitted.p) < 0.05).any()


def test_misfit_does_not_depend_on_the_scale_or_the_level_of_scores():
    score, candidate, cell, interviewer = company(np.random.default_rng(5))
    plain = severity(score, candidate, cell, interviewer)
    moved = severity(7 * score + np.array([1.0, -2, 3])[cell], candidate, cell,
                     interviewer)  # fmt: skip

    one, other = (
        misfit(found, everybody(found), rng=np.random.default_rng(0), n_draws=5)
        for found in (plain, moved)
    )

    np.testing.assert_allclose(other.outfit, one.outfit, rtol=1e-4)
    np.testing.assert_allclose(other.infit_critical, one.infit_critical, rtol=1e-4)


def test_more_cards_leave_less_to_chance():
    rng = np.random.default_rng(6)
    few, many = (
        severity(*company(rng, n_interviewers=8, n_candidates=n)) for n in (20, 200)
    )

    small, large = (
        misfit(found, everybody(found), rng=rng, n_draws=60) for found in (few, many)
    )

    assert 1 < large.outfit_critical.max() < small.outfit_critical.min()


def test_nothing_to_compare_gives_no_misfit():
    found = severity(*company(np.random.default_rng(7), n_candidates=10))

    fitted = misfit(found, ~everybody(found), rng=np.random.default_rng(0), n_draws=3)

    assert fitted.n.tolist() == [0] * fitted.n.size
    for part in (fitted.outfit, fitted.infit, fitted.outfit_critical, fitted.p):
        assert np.isnan(part).all()


def test_scores_that_are_all_equal_raise_nothing():
    _, candidate, cell, interviewer = company(np.random.default_rng(8))

    found = severity(np.full(candidate.size, 3.0), candidate, cell, interviewer)
    fitted = misfit(found, everybody(found), rng=np.random.default_rng(0), n_draws=3)

    np.testing.assert_allclose(fitted.outfit, 0, atol=1e-6)
    assert (fitted.p > 0.05).all()


@pytest.mark.parametrize(("n_draws", "size"), [(1, 900), (3, 5)])
def test_no_draws_or_a_mask_of_another_size_are_refused(n_draws, size):
    found = severity(*company(np.random.default_rng(9)))

    with pytest.raises(ValueError, match=r"n_draws must be at least 2"):
        misfit(
            found, np.ones(size, bool), rng=np.random.default_rng(0), n_draws=n_draws
        )

"""Many-facet Rasch models: estimates, errors, levels, fit and separation."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import roots_hermitenorm

from orchestration.statistics.rasch import (
    ManyFacet,
    candidate_separation,
    interviewer_separation,
    level_use,
    many_facet,
    mean_square_limits,
    mean_squares,
)

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Law School Admission Test, section 6: people with answers 00000, 00001, … 11111 to
# five items (Bock & Lieberman 1970, Psychometrika 35, 179-197, table 1).
LSAT6 = [
    *(3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15),
    *(10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28, 298),
]

seeds = st.integers(0, 10_000)


class Panel(NamedTuple):
    score: np.ndarray
    candidate: np.ndarray
    item: np.ndarray
    interviewer: np.ndarray


def fitted(panel: Panel, n_levels: int = 4, **options) -> ManyFacet:
    return many_facet(
        panel.score,
        panel.candidate,
        item=panel.item,
        interviewer=panel.interviewer,
        n_levels=n_levels,
        **options,
    )


def design(
    rng: np.random.Generator, n_candidates: int, *, panel_of: int, per_candidate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and interviewer of each meeting."""
    order = rng.random((n_candidates, panel_of)).argsort(axis=1)[:, :per_candidate]
    return np.repeat(np.arange(n_candidates), per_candidate), order.ravel()


def simulated(
    seed: int,
    *,
    n_candidates: int = 60,
    severity: tuple[float, ...] = (-0.6, -0.2, 0.1, 0.7),
    difficulty: tuple[float, ...] = (-0.4, 0.0, 0.4),
    threshold: tuple[float, ...] = (-1.5, 0.0, 1.5),
    deviation: float = 1.2,
    per_candidate: int = 2,
    noisy: int | None = None,
) -> Panel:
    """Ratings from the model; a noisy interviewer throws dice."""
    rng = np.random.default_rng(seed)
    candidate, interviewer = design(
        rng, n_candidates, panel_of=len(severity), per_candidate=per_candidate
    )
    n_items = len(difficulty)
    candidate, interviewer = (np.repeat(x, n_items) for x in (candidate, interviewer))
    item = np.tile(np.arange(n_items), candidate.size // n_items)
    place = (
        rng.normal(0, deviation, n_candidates)[candidate]
        - np.array(severity)[interviewer]
        - np.array(difficulty)[item]
    )
    terms = np.concatenate([[0], np.cumsum(threshold)])
    chance = np.exp(np.arange(terms.size) * place[:, None] - terms)
    chance /= chance.sum(axis=1, keepdims=True)
    if noisy is not None:
        chance[interviewer == noisy] = 1 / terms.size
    score = (rng.random((place.size, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    return Panel(score, candidate, item, interviewer)


def steps(panel: Panel, values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Sums of thresholds, difficulty and severity up to each level, by rating."""
    n_items, n_interviewers, n_levels = shape
    mean, rest = values[0], values[1:-1]
    difficulty = np.append(rest[: n_items - 1], -rest[: n_items - 1].sum())
    severity = rest[n_items - 1 :][: n_interviewers - 1]
    severity = np.append(severity, -severity.sum())
    inner = rest[n_items + n_interviewers - 2 :].reshape(-1, n_levels - 2)
    terms = np.pad(inner, ((0, 0), (1, 1)))
    scale = panel.item if len(terms) > 1 else np.zeros_like(panel.item)
    location = difficulty[panel.item] + severity[panel.interviewer] - mean
    return location[:, None] * np.arange(n_levels) + terms[scale]


def log_chance(
    panel: Panel, values: np.ndarray, shape: tuple[int, int, int], nodes: np.ndarray
) -> np.ndarray:
    """Log-probability of every level, by rating, level and node."""
    level = np.arange(shape[2])[:, None]
    logit = level * values[-1] * nodes - steps(panel, values, shape)[:, :, None]
    return logit - np.log(np.exp(logit).sum(axis=1, keepdims=True))


def joint(
    panel: Panel, values: np.ndarray, shape: tuple[int, int, int], n_nodes: int = 150
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each candidate's ratings with each node; Gauss–Hermite's rule."""
    nodes, weight = roots_hermitenorm(n_nodes)
    nodes, weight = nodes[weight > 1e-40], weight[weight > 1e-40]
    own = log_chance(panel, values, shape, nodes)[
        np.arange(panel.score.size), panel.score
    ]
    total = np.zeros((panel.candidate.max() + 1, nodes.size))
    np.add.at(total, panel.candidate, own)
    return nodes, np.exp(total) * weight / weight.sum()


def plain_log_likelihood(
    panel: Panel, values: np.ndarray, shape: tuple[int, int, int], n_nodes: int = 150
) -> float:
    return float(np.log(joint(panel, values, shape, n_nodes)[1].sum(axis=1)).sum())


def free_values(fit: ManyFacet) -> np.ndarray:
    """Mean, all but one difficulty and severity, summed thresholds and deviation."""
    return np.concatenate(
        [
            [fit.mean],
            fit.difficulty[:-1],
            fit.severity[:-1],
            fit.threshold.cumsum(axis=1)[:, :-1].ravel(),
            [np.sqrt(fit.variance)],
        ]
    )


def reference_panel() -> tuple[Panel, list[str], dict[str, float]]:
    folder = REFERENCE / "51_mfrm_rater_severity"
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    raters = sorted({row["rater"] for row in rows})
    _, text = np.unique([row["idstud"] for row in rows], return_inverse=True)
    score = np.array([[int(row[f"k{k}"]) for k in range(1, 6)] for row in rows])
    panel = Panel(
        score.ravel(),
        np.repeat(text, 5),
        np.tile(np.arange(5), len(rows)),
        np.repeat([raters.index(row["rater"]) for row in rows], 5),
    )
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    return panel, raters, {row["key"]: row["value"] for row in expected}


# --- estimates ---------------------------------------------------------------------


def test_lsat6_equals_the_published_one_parameter_model():
    """Rizopoulos (2006), J. Stat. Softw. 17(5), 10-11: rasch(LSAT) of R's ltm.

    There candidates have a standard deviation of 1 and items a common discrimination;
    dividing by the deviation gives its difficulties.
    """
    answers = np.array([[int(bit) for bit in f"{k:05b}"] for k in range(32)])
    people = np.repeat(answers, LSAT6, axis=0)
    candidate, item = np.indices(people.shape)
    panel = Panel(people.ravel(), candidate.ravel(), item.ravel(), 0 * item.ravel())

    fit = fitted(panel, n_levels=2)

    deviation = np.sqrt(fit.variance)
    assert fit.log_likelihood == pytest.approx(-2466.938, abs=5e-4)
    assert deviation == pytest.approx(0.7551, abs=5e-5)
    assert fit.variance_se / (2 * deviation) == pytest.approx(0.0694, abs=5e-5)
    np.testing.assert_allclose(
        (fit.difficulty - fit.mean) / deviation,
        [-3.6153, -1.3224, -0.3176, -1.7301, -2.7802],
        atol=6e-5,
    )
    assert fit.n_parameters == 6


def test_a_rated_panel_equals_tam():
    panel, raters, expected = reference_panel()

    fit = fitted(panel)

    got = {f"severity_{rater}": fit.severity[k] for k, rater in enumerate(raters)}
    got |= {f"step_{k + 1}": fit.threshold[0, k] for k in range(3)}
    # TAM leaves the mean of candidates at zero and the items free.
    got |= {f"item_k{k + 1}": fit.difficulty[k] - fit.mean for k in range(5)}
    for key, value in got.items():
        assert value == pytest.approx(expected[key], abs=1e-5), key
    assert fit.variance == pytest.approx(expected["latent_variance"], rel=1e-4)
    assert candidate_separation(fit).reliability == pytest.approx(
        expected["eap_reliability"], abs=1e-4
    )


@pytest.mark.parametrize("partial_credit", [False, True])
def test_estimates_and_errors_are_those_of_the_plain_likelihood(partial_credit):
    """The same model without patterns, sufficient statistics or Louis's identity."""
    panel, shape = simulated(3, n_candidates=45), (3, 4, 4)

    fit = fitted(panel, partial_credit=partial_credit)

    top = free_values(fit)
    value = plain_log_likelihood(panel, top, shape)
    moves = 1e-3 * np.eye(top.size)
    slope = [
        plain_log_likelihood(panel, top + move, shape)
        - plain_log_likelihood(panel, top - move, shape)
        for move in moves
    ]
    curvature = np.array(
        [
            [
                sum(
                    sign * plain_log_likelihood(panel, top + move, shape)
                    for sign, move in (
                        (1, one + two),
                        (-1, one - two),
                        (-1, two - one),
                        (1, -one - two),
                    )
                )
                for two in moves
            ]
            for one in moves
        ]
    )
    covariance = np.linalg.inv(-curvature / 4e-6)
    errors = np.sqrt(np.diagonal(covariance))
    assert fit.log_likelihood == pytest.approx(value, abs=1e-7)
    assert fit.n_parameters == top.size
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    np.testing.assert_allclose(fit.mean_se, errors[0], rtol=1e-4)
    np.testing.assert_allclose(fit.difficulty_se[:-1], errors[1:3], rtol=1e-4)
    np.testing.assert_allclose(fit.severity_se[:-1], errors[3:6], rtol=1e-4)
    np.testing.assert_allclose(fit.threshold_se[:, 0], errors[6:-1:2], rtol=1e-4)
    np.testing.assert_allclose(
        fit.variance_se, 2 * np.sqrt(fit.variance) * errors[-1], rtol=1e-4
    )
    distance_se = np.sqrt(
        4 * covariance[6, 6] + covariance[7, 7] - 4 * covariance[6, 7]
    )
    assert level_use(fit).distance_se[0, 0] == pytest.approx(distance_se, rel=1e-4)


def test_wide_spreads_need_no_tuning_of_nodes():
    """TAM's default of 21 nodes on (-6, 6) is 1 % off already at a variance of 4."""
    panel = simulated(5, deviation=5.0, threshold=(-4.0, 0.0, 4.0))

    fit = fitted(panel)

    assert fit.variance > 15
    assert fit.log_likelihood == pytest.approx(
        plain_log_likelihood(panel, free_values(fit), (3, 4, 4), 1000), abs=1e-7
    )


def test_true_severities_lie_within_their_errors():
    truth = np.linspace(-1, 1, 20)
    panel = simulated(8, n_candidates=600, severity=tuple(truth))

    fit = fitted(panel)

    z = (fit.severity - truth) / fit.severity_se
    assert np.abs(z).max() < 4
    assert 0.6 < z.std() < 1.5
    assert abs(fit.variance - 1.44) < 3 * fit.variance_se


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_names_of_interviewers_items_and_candidates_do_not_matter(seed):
    panel = simulated(seed)
    rng = np.random.default_rng(seed)
    new = [rng.permutation(size) for size in (60, 3, 4)]
    order = rng.permutation(panel.score.size)
    renamed = Panel(
        panel.score[order],
        new[0][panel.candidate][order],
        new[1][panel.item][order],
        new[2][panel.interviewer][order],
    )

    before, after = fitted(panel), fitted(renamed)

    np.testing.assert_allclose(after.severity[new[2]], before.severity, atol=1e-5)
    np.testing.assert_allclose(after.severity_se[new[2]], before.severity_se, rtol=1e-5)
    np.testing.assert_allclose(after.difficulty[new[1]], before.difficulty, atol=1e-5)
    np.testing.assert_allclose(after.threshold, before.threshold, atol=1e-5)
    np.testing.assert_allclose(after.measure[new[0]], before.measure, atol=1e-5)
    assert after.log_likelihood == pytest.approx(before.log_likelihood, abs=1e-8)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_twice_the_candidates_keep_estimates_and_narrow_errors(seed):
    panel = simulated(seed)
    twice = Panel(*(np.tile(column, 2) for column in panel))
    twice.candidate[panel.score.size :] += 60

    once, both = fitted(panel), fitted(twice)

    np.testing.assert_allclose(both.severity, once.severity, atol=1e-5)
    np.testing.assert_allclose(both.threshold, once.threshold, atol=1e-5)
    assert both.variance == pytest.approx(once.variance, rel=1e-4)
    for name in ("severity_se", "difficulty_se", "threshold_se", "mean_se"):
        np.testing.assert_allclose(
            getattr(both, name) * np.sqrt(2), getattr(once, name), rtol=1e-4
        )


@settings(max_examples=10, deadline=None)
@given(seeds, st.booleans())
def test_counting_levels_from_the_top_turns_all_signs(seed, partial_credit):
    panel = simulated(seed)
    turned = panel._replace(score=3 - panel.score)

    up = fitted(panel, partial_credit=partial_credit)
    down = fitted(turned, partial_credit=partial_credit)

    np.testing.assert_allclose(down.severity, -up.severity, atol=1e-5)
    np.testing.assert_allclose(down.threshold[:, ::-1], -up.threshold, atol=1e-5)
    np.testing.assert_allclose(down.measure, -up.measure, atol=1e-5)
    assert down.variance == pytest.approx(up.variance, rel=1e-4)


def test_a_stricter_interviewer_moves_alone():
    severity = (-0.6, -0.2, 0.1, 0.7)
    before = fitted(simulated(4, n_candidates=1500, severity=severity))

    after = fitted(simulated(4, n_candidates=1500, severity=(*severity[:3], 1.7)))

    moved = after.severity - before.severity
    # Severities sum to zero: the others give way together.
    np.testing.assert_allclose(moved[:3], -0.25, atol=0.1)
    assert moved[3] - moved[:3].mean() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(after.difficulty, before.difficulty, atol=0.1)
    np.testing.assert_allclose(after.threshold, before.threshold, atol=0.1)


def test_missing_scores_are_as_good_as_no_rows():
    panel = simulated(6)
    keep = np.random.default_rng(0).random(panel.score.size) < 0.7
    gaps = panel._replace(score=np.where(keep, panel.score, np.nan))

    with_gaps = fitted(gaps)
    without = fitted(Panel(*(column[keep] for column in panel)))

    np.testing.assert_array_equal(with_gaps.severity, without.severity)
    assert with_gaps.n_ratings == keep.sum()


def test_thresholds_by_item_fit_no_worse_and_are_the_same_for_one_item():
    panel = simulated(7)
    one = Panel(*(column[panel.item == 0] for column in panel))

    common, own = fitted(panel), fitted(panel, partial_credit=True)
    one_common, one_own = fitted(one), fitted(one, partial_credit=True)

    assert own.log_likelihood > common.log_likelihood
    assert own.n_parameters == common.n_parameters + 4
    assert own.threshold.shape == (3, 3)
    np.testing.assert_allclose(own.threshold.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(one_own.threshold, one_common.threshold)
    np.testing.assert_allclose(one_own.severity, one_common.severity)


# --- comparable sets ---------------------------------------------------------------


def test_panels_that_never_meet_are_compared_within_only():
    one, two = simulated(1), simulated(2, severity=(-0.5, 0.0, 0.5))
    both = Panel(*(np.concatenate([a, b]) for a, b in zip(one, two, strict=True)))
    both.candidate[one.score.size :] += 60
    both.interviewer[one.score.size :] += 4

    fit = fitted(both)

    np.testing.assert_array_equal(fit.severity_set, [0, 0, 0, 0, 1, 1, 1])
    assert fit.severity[:4].sum() == pytest.approx(0, abs=1e-9)
    assert fit.severity[4:].sum() == pytest.approx(0, abs=1e-9)


def test_a_chain_of_shared_candidates_links_its_ends():
    rng = np.random.default_rng(3)
    candidate = np.repeat(np.arange(90), 2)
    interviewer = np.repeat(np.arange(9), 10)[candidate[::2]]
    interviewer = np.column_stack([interviewer, interviewer + 1]).ravel()
    panel = Panel(rng.integers(0, 4, 180), candidate, 0 * candidate, interviewer)

    fit = fitted(panel)

    np.testing.assert_array_equal(fit.severity_set, np.zeros(10))
    assert fit.severity_se[0] > fit.severity_se[5]


def test_interviewers_of_different_items_cannot_be_compared():
    """Ratings cannot say whether an item is hard or its interviewers are strict."""
    rng = np.random.default_rng(5)
    first = rng.integers(0, 2, 80)
    second = rng.integers(2, 4, 80)
    candidate = np.repeat(np.arange(80), 2)
    panel = Panel(
        rng.integers(0, 4, 160),
        candidate,
        np.tile([0, 1], 80),
        np.column_stack([first, second]).ravel(),
    )

    fit = fitted(panel)

    np.testing.assert_array_equal(fit.severity_set, [0, 0, 1, 1])
    assert fit.severity[0] == pytest.approx(-fit.severity[1])
    assert fit.severity[2] == pytest.approx(-fit.severity[3])


def test_interviewers_without_common_candidates_have_no_severity():
    panel = simulated(9, per_candidate=1)

    fit = fitted(panel)

    assert fit.converged
    assert np.isnan(fit.severity).all()
    np.testing.assert_array_equal(fit.severity_set, -1)
    assert np.isnan(interviewer_separation(fit).separation)


# --- edges -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "candidate"),
    [
        ([], []),
        ([1], [0]),
        ([np.nan, np.nan], [0, 0]),
        ([2, 2, 2, 2], [0, 0, 1, 1]),
        ([0, 1, 2, 3], [0, 1, 2, 3]),
    ],
    ids=["empty", "one row", "all missing", "all equal", "nobody rated twice"],
)
def test_too_little_to_tell_is_nan_everywhere(score, candidate):
    zeros = np.zeros(len(score), dtype=int)
    panel = Panel(np.array(score), np.array(candidate, dtype=int), zeros, zeros)

    fit = fitted(panel, n_items=2, n_interviewers=3, n_candidates=4)

    assert not fit.converged
    for values, shape in (
        (fit.severity, (3,)),
        (fit.difficulty, (2,)),
        (fit.threshold, (1, 3)),
        (fit.measure, (4,)),
        (mean_squares(fit).interviewer.infit, (3,)),
        (mean_square_limits(fit, np.random.default_rng(0)).item.infit_low, (2,)),
        (level_use(fit).measure, (1, 4)),
    ):
        assert values.shape == shape
        assert np.isnan(values).all()
    assert np.isnan(fit.variance)
    assert np.isnan(candidate_separation(fit).reliability)
    assert level_use(fit).n.sum() == np.isfinite(score).sum()


def test_one_interviewer_leaves_items_and_thresholds():
    panel = simulated(11, severity=(0.0,), per_candidate=1)

    fit = fitted(panel)

    assert np.isnan(fit.severity).all()
    assert np.isfinite(fit.difficulty).all()
    assert np.isfinite(fit.threshold_se).all()


def test_one_item_leaves_severities():
    panel = simulated(12, difficulty=(0.0,))

    fit = fitted(panel)

    np.testing.assert_array_equal(fit.difficulty, [0.0])
    assert np.isfinite(fit.severity_se).all()


def test_candidates_without_spread_give_a_variance_of_zero():
    panel = simulated(13, deviation=0.0)
    shuffled = panel._replace(
        candidate=np.random.default_rng(2).permutation(panel.candidate)
    )

    fit = fitted(shuffled)

    assert fit.converged
    assert fit.boundary
    assert fit.variance == 0
    assert np.isnan(fit.variance_se)
    assert np.isfinite(fit.severity_se).all()
    assert candidate_separation(fit).reliability == 0


@pytest.mark.parametrize("given", [0, 3])
def test_an_interviewer_at_one_end_is_left_out_and_changes_nothing(given):
    panel = simulated(14)
    extreme = Panel(
        np.append(panel.score, [given] * 3),
        np.append(panel.candidate, [0, 1, 60]),
        np.append(panel.item, [0, 1, 2]),
        np.append(panel.interviewer, [4, 4, 4]),
    )

    without, fit = fitted(panel), fitted(extreme)

    assert np.isnan(fit.severity[4])
    assert fit.severity_set[4] == -1
    assert np.isnan(fit.measure[60])
    np.testing.assert_array_equal(fit.severity[:4], without.severity)
    assert fit.log_likelihood == without.log_likelihood
    assert mean_squares(fit).interviewer.n[4] == 0
    assert level_use(fit).n.sum() == extreme.score.size


def test_an_item_that_everyone_passes_is_left_out():
    panel = simulated(15)
    easy = panel._replace(score=np.where(panel.item == 1, 3, panel.score))

    fit = fitted(easy)

    np.testing.assert_array_equal(np.isnan(fit.difficulty), [False, True, False])
    assert fit.difficulty[0] == pytest.approx(-fit.difficulty[2])


def test_a_candidate_with_perfect_scores_has_a_measure():
    panel = simulated(16)
    perfect = panel._replace(score=np.where(panel.candidate == 7, 3, panel.score))

    fit = fitted(perfect)

    assert np.isfinite(fit.measure[7])
    assert fit.measure[7] == fit.measure.max()
    assert fit.measure_sd[7] > np.median(fit.measure_sd)


def test_the_top_level_nobody_used_has_no_threshold():
    panel = simulated(17)

    shorter, longer = fitted(panel), fitted(panel, n_levels=5)

    np.testing.assert_allclose(longer.threshold[0, :3], shorter.threshold[0])
    assert np.isnan(longer.threshold[0, 3])
    assert np.isnan(longer.threshold_se[0, 3])
    assert longer.log_likelihood == pytest.approx(shorter.log_likelihood)
    use = level_use(longer)
    assert use.n[0, 4] == 0
    assert np.isnan(use.measure[0, 4])
    assert use.is_increasing
    assert not use.is_disordered


def test_a_middle_level_nobody_used_keeps_its_place():
    """Its probability is zero; taking it out would make the steps around it one."""
    panel = simulated(18)
    skipped = panel._replace(score=panel.score + (panel.score >= 2))

    gap, closed = fitted(skipped, n_levels=5), fitted(panel)

    np.testing.assert_array_equal(
        np.isnan(gap.threshold[0]), [False, True, True, False]
    )
    assert np.isnan(level_use(gap).distance).all()
    assert gap.log_likelihood != pytest.approx(closed.log_likelihood, abs=1e-3)
    values = np.concatenate([free_values(closed)[:-1], [np.sqrt(gap.variance)]])
    values[:6] = free_values(gap)[:6]
    values = np.insert(values, 7, 40.0)
    values[[6, 8]] = gap.threshold[0, 0], -gap.threshold[0, 3]
    assert gap.log_likelihood == pytest.approx(
        plain_log_likelihood(skipped, values, (3, 4, 5)), abs=1e-6
    )


def test_a_likelihood_without_a_highest_point_is_no_fit():
    """Nobody stands at one end, yet item 0 and interviewer 1 can drift apart for ever.

    The more lenient the item and the stricter the interviewer, the likelier it is that
    interviewer 0 always passes item 0 and interviewer 1 always fails item 1.
    """
    candidate = np.repeat(np.arange(40), 2)
    item = np.tile([0, 1], 40)
    interviewer = candidate % 2
    score = np.random.default_rng(4).integers(0, 2, 80)
    score[(item == 0) & (interviewer == 0)] = 1
    score[(item == 1) & (interviewer == 1)] = 0

    fit = fitted(Panel(score, candidate, item, interviewer), n_levels=2)

    assert not fit.converged
    assert np.isnan(fit.difficulty).all()
    assert np.isnan(fit.log_likelihood)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": [0, 4]}, "score must be a level from 0 to 3, got 4"),
        ({"score": [0, 1.5]}, "score must be a level from 0 to 3, got 1.5"),
        ({"score": [-1, 0]}, "score must be a level from 0 to 3, got -1"),
        ({"item": [0]}, "item must have one code per score"),
        ({"interviewer": [0, -2]}, "interviewer must not be negative, got -2"),
        ({"n_candidates": 1}, "candidate must be below 1, got 1"),
        ({"n_levels": 1}, "n_levels must be at least 2, got 1"),
    ],
)
def test_impossible_ratings_are_named(change, message):
    ratings = {
        "score": [0, 1],
        "candidate": [0, 1],
        "item": [0, 0],
        "interviewer": [0, 0],
        "n_levels": 4,
    }

    with pytest.raises(ValueError, match=message):
        many_facet(**ratings | change)


# --- levels ------------------------------------------------------------------------


def test_average_measures_are_candidate_less_difficulty_less_severity():
    panel = simulated(21)
    fit = fitted(panel)

    use = level_use(fit)

    place = (
        fit.measure[panel.candidate]
        - fit.difficulty[panel.item]
        - fit.severity[panel.interviewer]
    )
    np.testing.assert_array_equal(use.n[0], np.bincount(panel.score))
    np.testing.assert_allclose(
        use.measure[0], np.bincount(panel.score, place) / use.n[0], atol=1e-9
    )
    assert use.is_increasing


def test_levels_too_close_together_are_found_and_wide_ones_are_not():
    close = fitted(simulated(22, n_candidates=400, threshold=(-0.3, 0.0, 0.3)))
    wide = fitted(simulated(22, n_candidates=400, threshold=(-2.0, 0.0, 2.0)))

    near, far = level_use(close), level_use(wide)

    np.testing.assert_allclose(near.distance, 0.3, atol=4 * near.distance_se.max())
    np.testing.assert_allclose(
        near.distance_z, (near.distance - 1.4) / near.distance_se
    )
    assert (near.distance_z < -1.64).all()
    assert (far.distance_z > 0).all()
    np.testing.assert_allclose(
        level_use(wide, advance=1.0).distance_z, (far.distance - 1) / far.distance_se
    )


def test_a_level_that_is_never_the_likeliest_disorders_its_thresholds():
    panel = simulated(23, n_candidates=300, threshold=(0.9, -0.9, 0.0))

    use = level_use(fitted(panel))

    assert use.is_disordered
    assert use.distance[0, 0] < 0
    assert use.n[0].min() > 0


def test_each_item_has_its_own_verdict():
    panel = simulated(24, n_candidates=300)
    other = simulated(24, n_candidates=300, threshold=(0.9, -0.9, 0.0))
    muddled = panel._replace(score=np.where(panel.item == 0, other.score, panel.score))

    use = level_use(fitted(muddled, partial_credit=True))

    np.testing.assert_array_equal(use.is_disordered, [True, False, False])
    np.testing.assert_array_equal(use.n.sum(axis=1), np.bincount(panel.item))


def test_two_levels_have_no_distances():
    panel = simulated(25, threshold=(0.0,))

    use = level_use(fitted(panel, n_levels=2))

    assert use.distance.shape == (1, 0)
    assert not use.is_disordered
    assert use.is_increasing


# --- fit ---------------------------------------------------------------------------


def test_mean_squares_are_averages_over_each_candidates_posterior():
    panel, shape = simulated(31, n_candidates=40), (3, 4, 4)
    fit = fitted(panel)

    squares = mean_squares(fit)

    nodes, chance = joint(panel, free_values(fit), shape)
    posterior = (chance / chance.sum(axis=1, keepdims=True))[panel.candidate]
    level = np.arange(4)[:, None]
    probability = np.exp(log_chance(panel, free_values(fit), shape, nodes))
    expected = (level * probability).sum(axis=1)
    variance = (probability * (level - expected[:, None]) ** 2).sum(axis=1)
    residual = (panel.score[:, None] - expected) ** 2
    for got, code in (
        (squares.interviewer, panel.interviewer),
        (squares.item, panel.item),
    ):
        above = np.bincount(code, (posterior * residual).sum(axis=1))
        below = np.bincount(code, (posterior * variance).sum(axis=1))
        outer = np.bincount(code, (posterior * residual / variance).sum(axis=1))
        np.testing.assert_allclose(got.infit, above / below, rtol=1e-6)
        np.testing.assert_allclose(got.outfit, outer / np.bincount(code), rtol=1e-6)
        np.testing.assert_array_equal(got.n, np.bincount(code))


def test_bootstrap_limits_hold_on_data_that_fit_where_fixed_limits_do_not():
    severity = tuple(np.linspace(-0.5, 0.5, 8))
    outside, by_rule = [], []

    for seed in range(14):
        fit = fitted(simulated(seed, n_candidates=40, severity=severity))
        squares = mean_squares(fit).interviewer
        limits = mean_square_limits(
            fit, np.random.default_rng(seed), replicates=39
        ).interviewer
        outside.append(
            (squares.infit < limits.infit_low) | (squares.infit > limits.infit_high)
        )
        by_rule.append((squares.infit < 0.8) | (squares.infit > 1.2))

    assert 0.01 < np.mean(outside) < 0.1
    assert np.mean(by_rule) > 0.2


def test_an_interviewer_who_throws_dice_is_found():
    panel = simulated(33, n_candidates=120, deviation=1.5, noisy=2)
    fit = fitted(panel)

    limits = mean_square_limits(fit, np.random.default_rng(1), replicates=39)

    squares = mean_squares(fit).interviewer
    assert squares.infit.argmax() == 2
    assert squares.outfit.argmax() == 2
    assert squares.infit[2] > limits.interviewer.infit_high[2]
    assert limits.interviewer.infit_p[2] == pytest.approx(2 / 40)


def test_p_values_agree_with_the_limits():
    fit = fitted(simulated(34))

    limits = mean_square_limits(
        fit, np.random.default_rng(3), replicates=39, level=0.8
    ).interviewer

    squares = mean_squares(fit).interviewer
    inside = (limits.outfit_low <= squares.outfit) & (
        squares.outfit <= limits.outfit_high
    )
    np.testing.assert_array_equal(inside, limits.outfit_p > 0.2 + 1e-9)
    assert (limits.infit_low < limits.infit_high).all()


def test_limits_come_from_the_generator_alone():
    fit = fitted(simulated(35))

    one, same, other = (
        mean_square_limits(fit, np.random.default_rng(seed), replicates=9, level=0.8)
        for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one.item.infit_high, same.item.infit_high)
    assert (one.item.infit_high != other.item.infit_high).any()


def test_too_few_replicates_give_no_limit():
    fit = fitted(simulated(36))

    limits = mean_square_limits(fit, np.random.default_rng(0), replicates=3).interviewer

    assert np.isneginf(limits.infit_low).all()
    assert np.isposinf(limits.infit_high).all()
    assert (limits.infit_p >= 0.5).all()


# --- separation --------------------------------------------------------------------


def test_separation_follows_from_spread_and_error():
    fit = fitted(simulated(41, n_candidates=200))

    panel, people = interviewer_separation(fit), candidate_separation(fit)

    error = np.sum(fit.severity_se**2) / 3
    true = np.sum(fit.severity**2) / 3 - error
    assert (panel.n, people.n) == (4, 200)
    assert panel.rmse == pytest.approx(np.sqrt(error))
    assert panel.true_sd == pytest.approx(np.sqrt(true))
    assert panel.separation == pytest.approx(np.sqrt(true / error))
    assert panel.strata == pytest.approx((4 * panel.separation + 1) / 3)
    for found in (panel, people):
        g = found.separation
        assert found.reliability == pytest.approx(g**2 / (1 + g**2))
    spread = np.var(fit.measure)
    assert people.reliability == pytest.approx(
        spread / (spread + np.mean(fit.measure_sd**2))
    )


def test_equally_strict_interviewers_are_not_separated():
    reliability = [
        interviewer_separation(fitted(simulated(seed, severity=(0.0,) * 8))).reliability
        for seed in range(12)
    ]

    assert min(reliability) == 0
    assert np.median(reliability) < 0.4


def test_more_ratings_separate_candidates_better():
    found = [
        candidate_separation(fitted(simulated(43, per_candidate=k))).reliability
        for k in (1, 2, 4)
    ]

    assert all(more > less for less, more in pairwise(found))

"""Interviewer drift: slopes, series, control charts, change points and flags."""

import csv
import json
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from orchestration.statistics.drift import (
    Series,
    Slopes,
    change_point,
    cusum,
    drift_flags,
    drift_slopes,
    ewma,
    minimum_detectable_drift,
    quarter_severities,
)
from orchestration.statistics.multiplicity import benjamini_hochberg

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Reaction times after 0 to 9 days of sleep deprivation, one row per subject: Belenky et
# al. (2003), J. Sleep Res. 12, 1-12, as `sleepstudy` in R's lme4.
SLEEP = [
    [249.56, 258.7047, 250.8006, 321.4398, 356.8519,
     414.6901, 382.2038, 290.1486, 430.5853, 466.3535],
    [222.7339, 205.2658, 202.9778, 204.707, 207.7161,
     215.9618, 213.6303, 217.7272, 224.2957, 237.3142],
    [199.0539, 194.3322, 234.32, 232.8416, 229.3074,
     220.4579, 235.4208, 255.7511, 261.0125, 247.5153],
    [321.5426, 300.4002, 283.8565, 285.133, 285.7973,
     297.5855, 280.2396, 318.2613, 305.3495, 354.0487],
    [287.6079, 285, 301.8206, 320.1153, 316.2773,
     293.3187, 290.075, 334.8177, 293.7469, 371.5811],
    [234.8606, 242.8118, 272.9613, 309.7688, 317.4629,
     309.9976, 454.1619, 346.8311, 330.3003, 253.8644],
    [283.8424, 289.555, 276.7693, 299.8097, 297.171,
     338.1665, 332.0265, 348.8399, 333.36, 362.0428],
    [265.4731, 276.2012, 243.3647, 254.6723, 279.0244,
     284.1912, 305.5248, 331.5229, 335.7469, 377.299],
    [241.6083, 273.9472, 254.4907, 270.8021, 251.4519,
     254.6362, 245.4523, 235.311, 235.7541, 237.2466],
    [312.3666, 313.8058, 291.6112, 346.1222, 365.7324,
     391.8385, 404.2601, 416.6923, 455.8643, 458.9167],
    [236.1032, 230.3167, 238.9256, 254.922, 250.7103,
     269.7744, 281.5648, 308.102, 336.2806, 351.6451],
    [256.2968, 243.4543, 256.2046, 255.5271, 268.9165,
     329.7247, 379.4445, 362.9184, 394.4872, 389.0527],
    [250.5265, 300.0576, 269.8939, 280.5891, 271.8274,
     304.6336, 287.7466, 266.5955, 321.5418, 347.5655],
    [221.6771, 298.1939, 326.8785, 346.8555, 348.7402,
     352.8287, 354.4266, 360.4326, 375.6406, 388.5417],
    [271.9235, 268.4369, 257.2424, 277.6566, 314.8222,
     317.2135, 298.1353, 348.1229, 340.28, 366.5131],
    [225.264, 234.5235, 238.9008, 240.473, 267.5373,
     344.1937, 281.1481, 347.5855, 365.163, 372.2288],
    [269.8804, 272.4428, 277.8989, 281.7895, 279.1705,
     284.512, 259.2658, 304.6306, 350.7807, 369.4692],
    [269.4117, 273.474, 297.5968, 310.6316, 287.1726,
     329.6076, 334.4818, 343.2199, 369.1417, 364.1236],
]  # fmt: skip
# lmList(Reaction ~ Days | Subject, sleepstudy), as in lme4's own tests/lmList.R.
SLEEP_INTERCEPTS = [
    244.19267, 205.05495, 203.48423, 289.68509, 285.73897, 264.25161, 275.01911,
    240.16291, 263.03469, 290.10413, 215.11177, 225.8346, 261.14701, 276.37207,
    254.96815, 210.44909, 253.63604, 267.0448,
]  # fmt: skip
SLEEP_SLOPES = [
    21.764702, 2.2617855, 6.1148988, 3.0080727, 5.2660188, 9.5667679, 9.1420455,
    12.253141, -2.8810339, 19.025974, 13.493933, 19.504017, 6.4334976, 13.566549,
    11.348109, 18.056151, 9.1884448, 11.298073,
]  # fmt: skip

# Annual flow of the Nile at Aswan, 1871 to 1970, in 10⁸ m³: Cobb (1978), Biometrika 65,
# 243-251, as `Nile` in R.
NILE = [
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994,
    1020, 960, 1180, 799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100,
    774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824,
    702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
    781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040,
    860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906,
    901, 1170, 912, 746, 919, 718, 714, 740,
]  # fmt: skip

# Montgomery (2013), Introduction to Statistical Quality Control, table 9.1: twenty
# points from N(10, 1), then ten from N(11, 1); upper sums of his table 9.2 up to 29.
MONTGOMERY = [
    9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47,
    10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84, 10.90, 9.33, 12.29, 11.50,
    10.60, 11.08, 10.38, 11.62, 11.31, 10.52,
]  # fmt: skip
MONTGOMERY_UPPER = [
    0, 0, 0, 1.16, 2.82, 2.50, 0.04, 1.00, 0, 0, 0, 0.97, 0.98, 0, 0, 0, 0.12, 0, 0,
    0.34, 0.74, 0, 1.79, 2.79, 2.89, 3.47, 3.35, 4.47, 5.28,
]  # fmt: skip

# NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4 (EWMA) and 6.3.2.3 (CUSUM).
NIST_EWMA_DATA = [
    52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5,
    49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1,
]  # fmt: skip
NIST_EWMA = [
    50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33,
    50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99,
]  # fmt: skip
NIST_CUSUM_DATA = [
    324.925, 324.675, 324.725, 324.350, 325.350, 325.225, 324.125, 324.525, 325.225,
    324.600, 324.625, 325.150, 328.325, 327.250, 327.825, 328.500, 326.675, 327.775,
    326.875, 328.350,
]  # fmt: skip
NIST_HIGH = [
    0, 0, 0, 0, 0.03, 0, 0, 0, 0, 0, 0, 0, 3.01, 4.94, 7.45, 10.63, 11.99, 14.44, 16.00,
    19.04,
]  # fmt: skip
NIST_LOW = [0, 0.01, 0, 0.33, 0, 0, 0.56, 0.72, 0.17, 0.25, 0.31] + 9 * [0]


class Panel(NamedTuple):
    """Cards of a simulated company."""

    score: np.ndarray
    quarter: np.ndarray
    interviewer: np.ndarray
    candidate: np.ndarray

    def slopes(self, **options: object) -> Slopes:
        return drift_slopes(
            self.score,
            self.quarter,
            interviewer=self.interviewer,
            candidate=self.candidate,
            **options,
        )

    def series(self, **options: object) -> Series:
        return quarter_severities(
            self.score,
            self.quarter,
            interviewer=self.interviewer,
            candidate=self.candidate,
            **options,
        )


def panel(
    seed: int,
    *,
    n_interviewers: int = 6,
    n_quarters: int = 6,
    cards: int = 4,
    raters: int = 2,
    slopes: np.ndarray | None = None,
    straddling: float = 0.0,
) -> Panel:
    """Candidates of a quarter with so many raters each; `cards` per rater and quarter.

    Variances are those of reference case 66; shares of cards slip to the next quarter.
    """
    rng = np.random.default_rng(seed)
    n_candidates = n_quarters * max(1, n_interviewers * cards // raters)
    candidate = np.repeat(np.arange(n_candidates), raters)
    interviewer = rng.permuted(
        np.tile(np.arange(n_interviewers), (n_candidates, 1)), axis=1
    )[:, :raters].ravel()
    quarter = candidate * n_quarters // n_candidates
    slips = rng.random(candidate.size) < straddling
    quarter = np.minimum(quarter + slips, n_quarters - 1)
    own = np.zeros(n_interviewers) if slopes is None else slopes
    score = (
        3.2
        + rng.normal(0, 0.64, n_candidates)[candidate]
        + rng.normal(0, 0.2, n_interviewers)[interviewer]
        + own[interviewer] * quarter
        + rng.normal(0, 0.58, candidate.size)
    )
    return Panel(score, quarter, interviewer, candidate)


def reference_66() -> tuple[Panel, dict[str, dict[str, float]]]:
    folder = REFERENCE / "66_sim_interviewer_drift_sparse"
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    codes = (
        np.array([int(row[key]) for row in rows])
        for key in ("quarter", "interviewer", "candidate")
    )
    quarter, interviewer, candidate = codes
    score = np.array([float(row["score"]) for row in rows])
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    return Panel(score, quarter, interviewer - 1, candidate), {
        row["key"]: row for row in expected
    }


class Dense(NamedTuple):
    """Generalised least squares and REML straight from their definitions."""

    effects: np.ndarray
    covariance: np.ndarray
    null: np.ndarray
    var_unit: float
    var_resid: float


def dense(score: np.ndarray, columns: np.ndarray, unit: np.ndarray) -> Dense:
    """Fit with the full covariance of the cards; columns may depend on each other."""
    left, sizes, right = np.linalg.svd(columns)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    basis, df = left[:, :rank], score.size - rank
    same = (unit[:, None] == unit).astype(float)

    def parts(ratio: float) -> tuple[float, float, np.ndarray]:
        covariance = np.eye(score.size) + ratio * same
        inverse = np.linalg.inv(covariance)
        normal = basis.T @ inverse @ basis
        residual = score - basis @ np.linalg.solve(normal, basis.T @ inverse @ score)
        squares = residual @ inverse @ residual
        logs = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
        return logs + df * np.log(squares), squares / df, inverse

    def criterion(position: float) -> float:
        return parts(np.expm1(position))[0]

    found = minimize_scalar(
        criterion, bounds=(0, 5), method="bounded", options={"xatol": 1e-10}
    )
    ratio = np.expm1(found.x) if found.fun < criterion(0) else 0.0
    _, var_resid, inverse = parts(ratio)
    normal = columns.T @ inverse @ columns
    inverse_normal = np.linalg.pinv(normal, rcond=1e-11, hermitian=True)
    return Dense(
        inverse_normal @ columns.T @ inverse @ score,
        var_resid * inverse_normal,
        right[rank:].T,
        ratio * var_resid,
        var_resid,
    )


def dummies(*codes: np.ndarray) -> np.ndarray:
    return np.hstack([np.equal.outer(code, np.unique(code)) for code in codes]) * 1.0


def assert_same(first: Slopes, second: Slopes, **tolerance: float) -> None:
    for field in fields(first):
        np.testing.assert_allclose(
            getattr(first, field.name),
            getattr(second, field.name),
            **({"rtol": 1e-6, "atol": 1e-9} | tolerance),
            err_msg=field.name,
        )


# --- slopes ----------------------------------------------------------------------


def test_one_card_per_candidate_gives_the_published_lines_of_each_subject():
    """What is left of the model is a line per subject with a pooled residual."""
    subject, day = np.indices((18, 10)).reshape(2, -1)

    found = drift_slopes(
        np.ravel(SLEEP), day, interviewer=subject, candidate=np.arange(180)
    )

    np.testing.assert_allclose(found.slope, SLEEP_SLOPES, rtol=1e-7)
    np.testing.assert_allclose(found.intercept, SLEEP_INTERCEPTS, rtol=1e-7)
    assert np.isnan(found.var_candidate)
    np.testing.assert_array_equal(found.df, 144)


def test_balanced_lines_have_the_published_variances_of_lme4():
    """Reaction ~ Days + (Days | Subject): Days 35.07, residual 654.94, mean 10.467.

    Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), section 5; in a
    balanced design REML and Paule–Mandel agree.
    """
    subject, day = np.indices((18, 10)).reshape(2, -1)

    found = drift_slopes(
        np.ravel(SLEEP), day, interviewer=subject, candidate=np.arange(180)
    )

    assert found.var_resid == pytest.approx(654.94, abs=0.005)
    assert found.var_slope == pytest.approx(35.07, abs=0.005)
    assert found.common == pytest.approx(10.467286, abs=5e-7)
    assert found.shrunk_common == pytest.approx(found.common)
    kept = found.var_slope / (found.var_slope + found.var_resid / 82.5)
    np.testing.assert_allclose(
        found.shrunk - found.common, kept * (found.slope - found.common)
    )


def test_sparse_drift_equals_lme4():
    cards, expected = reference_66()

    found = cards.slopes()

    got = {
        "n_ratings": found.n_cards.sum(),
        "blue_var_candidate": found.var_candidate,
        "blue_var_residual": found.var_resid,
    }
    for one in (1, 3, 11, 24, 37):
        got[f"slope_blue_{one}"] = found.slope[one - 1]
        got[f"slope_se_{one}"] = found.se[one - 1]
        got[f"z_vs_common_drift_{one}"] = found.z_plain[one - 1]
    for key, value in got.items():
        assert value == pytest.approx(expected[key]["value"], rel=1e-6, abs=1e-7), key


def test_sparse_drift_flags_those_the_reference_flags():
    cards, expected = reference_66()

    q = benjamini_hochberg(cards.slopes().p)

    flagged = ",".join(str(one + 1) for one in np.flatnonzero(q < 0.05))
    assert flagged == expected["flagged_bh_05"]["value"]


def test_shrunken_slopes_of_the_reference_would_find_nobody():
    """Finding 8: z = BLUP over posterior deviation found none of four drifters."""
    cards, _ = reference_66()
    found = cards.slopes()

    z = (found.shrunk - found.shrunk_common) / found.shrunk_sd

    assert (benjamini_hochberg(2 * norm.sf(np.abs(z))) > 0.05).all()


@pytest.mark.parametrize("seed", range(6))
def test_slopes_equal_dense_generalised_least_squares(seed):
    cards = panel(seed, straddling=0.2)
    cell = np.random.default_rng(seed).integers(0, 3, cards.score.size)
    lines = dummies(cards.interviewer)
    columns = np.hstack([lines, lines * cards.quarter[:, None], dummies(cell)])

    found, wanted = (
        cards.slopes(cell=cell),
        dense(cards.score, columns, cards.candidate),
    )

    slopes = slice(6, 12)
    covariance = wanted.covariance[slopes, slopes]
    weight = 1 / np.diag(covariance) / np.sum(1 / np.diag(covariance))
    apart = np.eye(6) - weight
    np.testing.assert_allclose(found.slope, wanted.effects[slopes], atol=1e-6)
    np.testing.assert_allclose(found.se, np.sqrt(np.diag(covariance)), rtol=1e-5)
    assert found.var_candidate == pytest.approx(wanted.var_unit, abs=1e-5)
    assert found.var_resid == pytest.approx(wanted.var_resid, rel=1e-5)
    assert found.common == pytest.approx(weight @ wanted.effects[slopes], abs=1e-6)
    assert found.common_se**2 == pytest.approx(weight @ covariance @ weight, rel=1e-5)
    np.testing.assert_allclose(
        found.z,
        apart @ wanted.effects[slopes] / np.sqrt(np.diag(apart @ covariance @ apart.T)),
        rtol=1e-4,
    )


def test_intercepts_are_expected_scores_over_the_mix_of_cells():
    cards = panel(3)
    cell = np.random.default_rng(3).integers(0, 2, cards.score.size)
    lines = dummies(cards.interviewer)
    columns = np.hstack([lines, lines * cards.quarter[:, None], dummies(cell)])

    found = cards.slopes(cell=cell)

    effects = dense(cards.score, columns, cards.candidate).effects
    shares = np.bincount(cell) / cell.size
    np.testing.assert_allclose(
        found.intercept, effects[:6] + effects[12:] @ shares, atol=1e-5
    )


def test_shrunken_slopes_are_best_linear_predictions():
    """Against their definition, with the slopes' whole covariance."""
    cards = panel(5, slopes=np.linspace(-0.2, 0.2, 6))
    lines = dummies(cards.interviewer)
    columns = np.hstack([lines, lines * cards.quarter[:, None]])

    found = cards.slopes()

    fit = dense(cards.score, columns, cards.candidate)
    slope, within = fit.effects[6:], fit.covariance[6:, 6:]
    total = np.linalg.inv(within + found.var_slope * np.eye(6))
    projected = total - total @ np.ones((6, 6)) @ total / total.sum()
    assert slope @ projected @ slope == pytest.approx(5, rel=1e-6)
    np.testing.assert_allclose(
        found.shrunk, slope - within @ projected @ slope, atol=1e-6
    )
    # Prasad & Rao (1990): the weights' slope in the variance, b, as b' V b × Var(A).
    moved = within @ total @ total
    unsure = 2 * 5 / np.trace(projected) ** 2
    added = 2 * unsure * np.diag(moved @ np.linalg.inv(total) @ moved.T)
    posterior = np.diag(within - within @ projected @ within) + added
    assert (added > 0).all()
    np.testing.assert_allclose(
        found.shrunk_sd, np.sqrt(np.minimum(posterior, np.diag(within))), rtol=1e-4
    )


def test_without_true_differences_all_shrink_to_the_common_drift():
    slopes = (panel(seed, slopes=np.full(6, 0.1)).slopes() for seed in range(20))

    alike = next(found for found in slopes if found.var_slope == 0)

    np.testing.assert_allclose(alike.shrunk, alike.shrunk_common)
    np.testing.assert_allclose(alike.change_vs_common, 0, atol=1e-12)
    assert (alike.shrunk_sd > 0).all()
    assert (alike.shrunk_sd <= alike.se).all()


def test_shrunken_slopes_hold_the_truth_where_their_variance_is_hardly_known():
    """24 panels; .85 if their variance, 0 in a third, were taken for the truth."""
    inside = []
    for seed in range(24):
        own = np.random.default_rng([seed, 1]).normal(0, 0.05, 24)
        found = panel(
            seed, n_interviewers=24, n_quarters=8, cards=2, slopes=own
        ).slopes()
        inside.append(np.abs(found.shrunk - own) <= 1.96 * found.shrunk_sd)

    assert np.mean(inside) == pytest.approx(0.94, abs=0.03)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_shrunken_slopes_lie_closer_together(seed):
    found = panel(seed, slopes=np.linspace(-0.1, 0.1, 6)).slopes()

    assert np.std(found.shrunk) <= np.std(found.slope)
    assert (found.shrunk_sd <= found.se * (1 + 1e-9)).all()


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-50, 50))
@settings(max_examples=15, deadline=None)
def test_slopes_follow_the_scale_of_the_score(seed, factor, shift):
    cards = panel(seed)
    plain = cards.slopes()

    scaled = cards._replace(score=factor * cards.score + shift).slopes()

    np.testing.assert_allclose(scaled.slope, factor * plain.slope, atol=1e-6 * factor)
    np.testing.assert_allclose(scaled.se, factor * plain.se, rtol=1e-5)
    np.testing.assert_allclose(scaled.p, plain.p, atol=1e-5)


@given(st.integers(0, 10_000), st.floats(-1, 1))
@settings(max_examples=15, deadline=None)
def test_a_drift_of_all_is_nobodys_drift(seed, drift):
    cards = panel(seed)
    before = cards.slopes()

    after = cards._replace(score=cards.score + drift * cards.quarter).slopes()

    np.testing.assert_allclose(after.z, before.z, atol=1e-5)
    np.testing.assert_allclose(
        after.change_vs_common, before.change_vs_common, atol=1e-5
    )
    assert after.common - before.common == pytest.approx(drift, abs=1e-6)


def test_names_and_order_of_cards_change_nothing():
    cards, rng = panel(1), np.random.default_rng(1)
    order, names = rng.permutation(cards.score.size), rng.permutation(1_000)

    shuffled = Panel(*(column[order] for column in cards))
    found = shuffled._replace(candidate=names[shuffled.candidate]).slopes()

    assert_same(found, cards.slopes())


def test_cards_without_a_score_are_left_out():
    cards = panel(2)
    with_gaps = Panel(*(np.repeat(column, 2) for column in cards))
    with_gaps.score[1::2] = np.nan

    found = with_gaps.slopes()

    assert_same(found, cards.slopes())


def test_level_differences_between_cells_leave_slopes_alone():
    cards = panel(4)
    cell = np.random.default_rng(4).integers(0, 3, cards.score.size)
    before = cards.slopes(cell=cell)

    after = cards._replace(score=cards.score + np.array([0, 5, -7])[cell]).slopes(
        cell=cell
    )

    np.testing.assert_allclose(after.slope, before.slope, atol=1e-9)
    np.testing.assert_allclose(after.z, before.z, atol=1e-6)


def test_twice_the_candidates_narrow_the_error_by_the_root_of_two():
    cards = panel(6, cards=10)
    doubled = Panel(*(np.tile(column, 2) for column in cards))
    doubled.candidate[cards.score.size :] += 10_000

    once, twice = cards.slopes(), doubled.slopes()

    np.testing.assert_allclose(twice.slope, once.slope, atol=1e-3)
    np.testing.assert_allclose(twice.se, once.se / np.sqrt(2), rtol=0.02)


def test_presence_counts_quarters_and_the_span_between_them():
    found = drift_slopes(
        [1.0, 2, 3, 1, 2, 5],
        [0, 0, 2, 7, 1, 4],
        interviewer=[0, 0, 0, 0, 2, 3],
        candidate=[0, 1, 2, 3, 4, 5],
        n_interviewers=5,
    )

    np.testing.assert_array_equal(found.n_cards, [4, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.n_quarters, [3, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.span, [7, 0, 0, 0, 0])


def test_change_is_the_shrunken_slope_over_the_own_span():
    cards = panel(7, slopes=np.linspace(-0.3, 0.3, 6))
    kept = (cards.interviewer > 0) | (cards.quarter > 2)

    found = Panel(*(column[kept] for column in cards)).slopes()

    np.testing.assert_array_equal(found.span, [2, 5, 5, 5, 5, 5])
    np.testing.assert_allclose(found.change, found.shrunk * found.span)
    np.testing.assert_allclose(
        found.change_vs_common, (found.shrunk - found.shrunk_common) * found.span
    )


# --- honesty and power -----------------------------------------------------------


def test_without_drift_z_exceeds_1_96_in_five_percent():
    z = np.concatenate(
        [panel(seed, n_interviewers=50, n_quarters=8).slopes().z for seed in range(12)]
    )

    share = np.mean(np.abs(z) > 1.96)

    assert abs(share - 0.05) < 3 * np.sqrt(0.05 * 0.95 / z.size)


def test_p_is_honest_in_very_small_panels():
    """Sixteen cards: a normal test would call 16 % of the steady drifting."""
    small = [
        panel(seed, n_interviewers=4, n_quarters=4, cards=1).slopes()
        for seed in range(250)
    ]
    p, z = (np.concatenate([getattr(one, name) for one in small]) for name in "pz")

    alarms, naive = np.nanmean(p < 0.05), np.nanmean(np.abs(z) > 1.96)

    assert naive > 0.12
    assert alarms < 0.09


def test_shrunken_slopes_find_fewer_drifters():
    """Finding 8: test on unshrunken slopes, show shrunken ones."""
    drifts = np.arange(400) < 40
    cards = panel(11, n_interviewers=400, n_quarters=8, cards=7, slopes=0.15 * drifts)

    found = cards.slopes()

    z_shrunk = (found.shrunk - found.shrunk_common) / found.shrunk_sd
    by_slope, by_shrunk = (
        np.count_nonzero(np.abs(z[drifts]) > 3) for z in (found.z, z_shrunk)
    )
    assert by_slope >= 15
    assert by_shrunk <= by_slope / 3


@pytest.mark.parametrize(("cards", "power"), [(25, 0.91), (8, 0.29)])
def test_errors_are_those_behind_the_published_power(cards, power):
    """Finding 7: .10 a quarter over eight quarters, at z > 3, found by simulation."""
    found = panel(9, n_interviewers=40, n_quarters=8, cards=cards).slopes()

    assert norm.sf(3 - 0.1 / found.se).mean() == pytest.approx(power, abs=0.04)


def test_minimum_detectable_drift_shares_the_level_out():
    """(z of 1 − .05 / 80 + .84) × se = (3.2272 + .8416) × se for forty."""
    np.testing.assert_allclose(
        minimum_detectable_drift([0.04, np.nan], 40), [0.04 * 4.0688, np.nan], atol=2e-6
    )
    assert minimum_detectable_drift(1.0, 1) == pytest.approx(
        1.95996 + 0.84162, abs=1e-5
    )
    assert np.isnan(minimum_detectable_drift([0.1], 0)).all()


def test_more_power_or_more_tests_need_a_larger_drift():
    cards = panel(1)

    plain, strict = cards.slopes(), cards.slopes(level=0.01, power=0.9)

    np.testing.assert_allclose(plain.mdd, minimum_detectable_drift(plain.se, 6))
    assert (strict.mdd > plain.mdd).all()
    assert (minimum_detectable_drift(plain.se, 60) > plain.mdd).all()


# --- what cannot be told ---------------------------------------------------------


def test_no_cards_give_no_slopes():
    none = drift_slopes([], [], interviewer=[], candidate=[], n_interviewers=2)
    missing = drift_slopes([np.nan], [0], interviewer=[0], candidate=[0])

    assert np.isnan(none.slope).all()
    assert none.slope.shape == (2,)
    assert np.isnan(missing.mdd).all()
    assert missing.n_tested == 0


@pytest.mark.parametrize("n_cards", [1, 2, 3])
def test_a_handful_of_cards_is_no_error(n_cards):
    cards = Panel(*(column[:n_cards] for column in panel(1)))

    assert np.isnan(cards.slopes().z).all()


def test_equal_scores_have_no_drift_and_no_error():
    cards = panel(1)

    found = cards._replace(score=np.full(cards.score.size, 3.7)).slopes()

    np.testing.assert_allclose(found.slope, 0, atol=1e-12)
    assert found.var_resid == 0
    for name in ("se", "z", "p", "shrunk", "mdd"):
        assert np.isnan(getattr(found, name)).all(), name


def test_a_lone_interviewer_has_a_slope_but_no_peers():
    found = panel(1, n_interviewers=1, raters=1, cards=6).slopes()

    assert np.isfinite(found.se).all()
    assert np.isnan([found.z[0], found.p[0], found.shrunk[0]]).all()
    assert found.n_tested == 0


def test_one_quarter_gives_no_slope_but_helps_the_others():
    cards = panel(2)
    kept = (cards.interviewer > 0) | (cards.quarter == 1)

    found = Panel(*(column[kept] for column in cards)).slopes()

    np.testing.assert_array_equal(np.isnan(found.slope), np.arange(6) == 0)
    assert found.n_tested == 5


def test_cells_that_are_the_quarters_leave_no_slope():
    cards = panel(1)

    found = cards.slopes(cell=cards.quarter)

    assert np.isnan(found.slope).all()
    assert np.isnan(found.common)
    assert found.var_resid > 0


def test_cells_of_one_set_that_are_quarters_spare_the_other_set():
    cards = panel(1)
    first = cards.interviewer < 3

    found = cards.slopes(cell=np.where(first, cards.quarter, 10))

    np.testing.assert_array_equal(np.isnan(found.slope), np.arange(6) < 3)


def test_interviewers_without_shared_candidates_are_still_compared():
    """Candidates are random, so levels and slopes need no links."""
    cards = panel(3, raters=1)

    found = cards.slopes()

    assert np.isfinite(found.z).all()
    assert np.isnan(found.var_candidate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quarter": [0, -1]}, "quarter must not be negative, got -1"),
        ({"interviewer": [0, 0, 0]}, "interviewer must have shape"),
        ({"score": [1.0, np.inf]}, "score must be finite or NaN"),
        ({"n_interviewers": 1}, "interviewer must be below 1, got 1"),
        ({"power": 1.0}, "power must lie in"),
    ],
)
def test_impossible_cards_are_named(changes, message):
    good = {
        "score": [1.0, 2.0], "quarter": [0, 1], "interviewer": [0, 1],
        "candidate": [0, 0],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        drift_slopes(**(good | changes))


# --- severities by quarter -------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_severities_equal_dense_generalised_least_squares(seed):
    cards = panel(seed, n_quarters=4, straddling=0.2)
    cell = np.random.default_rng(seed).integers(0, 3, cards.score.size)
    point = cards.quarter * 6 + cards.interviewer

    found = cards.series(cell=cell)

    wanted = dense(
        cards.score, dummies(point, cell), cards.candidate * 4 + cards.quarter
    )
    weight = np.bincount(point, minlength=24).reshape(4, 6)
    weight = weight / weight.sum(axis=1, keepdims=True)
    for quarter in range(4):
        own = slice(6 * quarter, 6 * quarter + 6)
        apart = weight[quarter] - np.eye(6)
        np.testing.assert_allclose(
            found.severity[:, quarter], apart @ wanted.effects[own], atol=1e-6
        )
        np.testing.assert_allclose(
            found.se[:, quarter] ** 2,
            np.diag(apart @ wanted.covariance[own, own] @ apart.T),
            rtol=1e-4,
        )
    assert found.var_candidate == pytest.approx(wanted.var_unit, abs=1e-5)


def test_severities_of_complete_panels_are_deviations_of_means():
    """Everybody sees everybody: the analysis of variance of a two-way table."""
    rng = np.random.default_rng(2)
    table = rng.normal(3, 1, (10, 4))
    candidate, interviewer = np.indices(table.shape).reshape(2, -1)

    found = quarter_severities(
        table.ravel(),
        np.zeros(40, int),
        interviewer=interviewer,
        candidate=candidate,
    )

    means = table.mean(axis=0)
    residual = table - means - table.mean(axis=1, keepdims=True) + table.mean()
    within = np.sum(residual**2) / 27
    np.testing.assert_allclose(found.severity[:, 0], means.mean() - means, atol=1e-9)
    np.testing.assert_allclose(found.se[:, 0], np.sqrt(within / 10 * 3 / 4), rtol=1e-5)


def test_severity_is_positive_for_the_stricter_and_zero_on_average():
    cards = panel(3, n_quarters=3, cards=20)
    cards.score[(cards.interviewer == 2) & (cards.quarter == 1)] -= 2

    found = cards.series()

    assert found.severity[:, 1].argmax() == 2
    np.testing.assert_allclose(
        np.sum(found.severity * found.n_cards, axis=0), 0, atol=1e-9
    )


def test_a_shift_of_a_whole_quarter_is_nobodys_severity():
    cards = panel(3)
    before = cards.series()

    after = cards._replace(score=cards.score + 3.0 * (cards.quarter == 2)).series()

    np.testing.assert_allclose(after.severity, before.severity, atol=1e-9)


def test_series_slope_is_close_to_the_opposite_of_the_fitted_slope():
    cards = panel(4, cards=20, slopes=np.linspace(-0.3, 0.3, 6))

    series, found = cards.series(), cards.slopes()

    steps = np.polyfit(np.arange(6), series.severity.T, 1)[0]
    np.testing.assert_allclose(-steps, found.slope - found.common, atol=0.05)


def test_points_without_cards_or_peers_are_not_estimable():
    cards = panel(3)
    kept = (cards.quarter != 2) | (cards.interviewer == 4)

    found = Panel(*(column[kept] for column in cards)).series(
        n_interviewers=7, n_quarters=8
    )

    assert found.severity.shape == (7, 8)
    assert np.isnan(found.severity[:, [2, 6, 7]]).all()
    assert np.isnan(found.se[6]).all()
    assert np.isfinite(found.severity[:6, [0, 1, 3, 4, 5]]).all()


def test_peers_are_those_whom_cells_connect():
    cards = panel(3)

    found = cards.series(cell=np.where(cards.interviewer == 5, 1, 0))

    assert np.isnan(found.severity[5]).all()
    assert np.isfinite(found.severity[:5]).all()


def test_empty_and_equal_series_are_not_estimable():
    cards = panel(1)
    none = quarter_severities([], [], interviewer=[], candidate=[])

    equal = cards._replace(score=np.ones(cards.score.size)).series()

    assert none.severity.shape == (0, 0)
    np.testing.assert_allclose(equal.severity, 0, atol=1e-12)
    assert np.isnan(equal.se).all()


# --- moving averages -------------------------------------------------------------


def test_nist_moving_averages_and_late_limits():
    chart = ewma(NIST_EWMA_DATA, 2.0539, centre=50, weight=0.3)

    np.testing.assert_allclose(chart.average, NIST_EWMA, atol=0.005)
    # The handbook's limits are the asymptotic ones, reached after twenty points.
    assert chart.high[-1] == pytest.approx(52.5884, abs=2e-4)
    assert chart.low[-1] == pytest.approx(47.4115, abs=2e-4)
    assert not chart.is_outside.any()


def test_montgomerys_limits_widen_with_time():
    """His example 9.2 and table 9.10: λ = .1, L = 2.7."""
    chart = ewma(MONTGOMERY, 1.0, centre=10, weight=0.1, width=2.7)

    np.testing.assert_allclose(chart.high[[0, 1, -1]], [10.27, 10.36, 10.62], atol=5e-3)
    np.testing.assert_allclose(chart.low[[0, 1, -1]], [9.73, 9.64, 9.38], atol=5e-3)
    np.testing.assert_allclose(
        chart.average[[0, 1, -1]], [9.945, 9.7495, 10.6341], atol=5e-5
    )
    assert np.flatnonzero(chart.is_outside).tolist() == [28, 29]


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    st.floats(0.05, 1),
    st.floats(0.1, 3),
)
def test_equal_errors_give_the_textbook_limits(points, weight, sigma):
    chart = ewma(points, sigma, weight=weight)

    t = np.arange(1, len(points) + 1)
    spread = np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * t)))
    np.testing.assert_allclose(chart.high, 3 * sigma * spread)
    np.testing.assert_allclose(chart.low, -chart.high)


@pytest.mark.parametrize("centre", [0.0, None])
def test_limits_have_the_variance_of_the_weights_the_points_get(centre):
    """Average less centre is linear in the points: unit points show the weights."""
    se = np.array([0.2, 0.5, 0.3, 1.0, 0.4])

    chart = ewma(np.eye(5), se, centre=centre)

    target = np.broadcast_to((chart.high[:, :1] + chart.low[:, :1]) / 2, (5, 5))
    weights = chart.average - target
    variance = np.sum((weights * se[:, None]) ** 2, axis=0)
    np.testing.assert_allclose((chart.high - target)[0], 3 * np.sqrt(variance))


def test_missing_quarters_are_carried_over():
    with_gap = ewma([1.0, np.nan, 2.0, 3.0], [0.5, 0.5, np.nan, 0.7])

    short = ewma([1.0, 3.0], [0.5, 0.7])

    assert np.isnan(with_gap.average[1:3]).all()
    assert not with_gap.is_outside[1:3].any()
    for name in ("average", "low", "high"):
        np.testing.assert_allclose(
            getattr(with_gap, name)[[0, 3]], getattr(short, name)
        )


def test_rows_of_charts_do_not_touch_each_other():
    rng = np.random.default_rng(1)
    points, se = rng.normal(0, 1, (4, 9)), rng.uniform(0.3, 1, (4, 9))

    together = ewma(points, se, centre=None), cusum(points, se, centre=None)

    for row in range(4):
        alone = ewma(points[row], se[row], centre=None)
        np.testing.assert_allclose(together[0].high[row], alone.high)
        sums = cusum(points[row], se[row], centre=None)
        np.testing.assert_allclose(together[1].high[row], sums.high)


def test_charts_of_nothing_are_empty_or_missing():
    assert ewma(np.zeros((3, 0)), 1.0, centre=None).average.shape == (3, 0)
    assert np.isnan(ewma([np.nan, np.nan], 1.0, centre=None).average).all()
    assert np.isnan(cusum([np.nan], 1.0).high).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"se": [1.0, 0.0]}, "se must be positive, got 0"),
        ({"se": 1.0, "weight": 0.0}, "weight must lie in"),
    ],
)
def test_impossible_charts_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ewma([1.0, 2.0], **options)


# --- cumulative sums -------------------------------------------------------------


def test_nist_cumulative_sums():
    """k = .3175 = .5 σ and h = 4.1959 in the units of the data."""
    chart = cusum(NIST_CUSUM_DATA, 0.635, centre=325, decision=4.1959 / 0.635)

    np.testing.assert_allclose(0.635 * chart.high, NIST_HIGH, atol=0.0051)
    np.testing.assert_allclose(0.635 * chart.low, NIST_LOW, atol=0.0051)
    assert np.flatnonzero(chart.is_outside)[0] == 13


def test_montgomerys_cumulative_sums_signal_at_the_29th_point():
    chart = cusum(MONTGOMERY, 1.0, centre=10)

    np.testing.assert_allclose(chart.high[:29], MONTGOMERY_UPPER, atol=1e-9)
    assert np.flatnonzero(chart.is_outside)[0] == 28


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=15))
def test_turning_the_points_over_swaps_the_sums(points):
    up, down = cusum(points, 0.7), cusum(np.negative(points), 0.7)

    np.testing.assert_array_equal(up.high, down.low)
    np.testing.assert_array_equal(up.low, down.high)


def test_sums_wait_at_missing_quarters():
    with_gap, short = cusum([2.0, np.nan, 3.0], 1.0), cusum([2.0, 3.0], 1.0)

    np.testing.assert_allclose(with_gap.high[[0, 2]], short.high)
    assert np.isnan(with_gap.high[1])


# --- change points ---------------------------------------------------------------


def test_the_nile_changed_after_1898():
    """Zeileis, Kleiber, Krämer & Hornik (2003), Comput. Stat. Data Anal. 44, 109-123.

    Residual squares of R's strucchange: 2,835,157 without and 1,597,457 with a change.
    """
    found = change_point([NILE], rng=np.random.default_rng(1))

    assert 1871 + found.position[0] - 1 == 1898
    assert found.statistic[0] == pytest.approx(
        (2_835_157 - 1_597_457) / (1_597_457 / 98), rel=1e-6
    )
    assert found.before[0] == pytest.approx(1097.75)
    assert found.after[0] == pytest.approx(849.9722, abs=5e-5)
    assert found.p[0] == 1 / 2_000


def test_long_series_agree_with_the_asymptotic_critical_value():
    """Andrews (1993), table I, one parameter, 15 % trimmed: 8.85 at 5 %.

    His correction (2003), Econometrica 71, 395-397, gives 8.68.
    """
    rng = np.random.default_rng(2)
    steps = np.linspace(0.2, 0.8, 60)[:, None] * (np.arange(120) >= 60)

    found = change_point(
        rng.normal(size=120) + steps, rng=rng, min_points=18, n_draws=2_999
    )

    order = np.argsort(found.statistic)
    assert found.statistic.min() < 8 < 10 < found.statistic.max()
    at_critical = np.interp(8.68, found.statistic[order], found.p[order])
    assert at_critical == pytest.approx(0.05, abs=0.012)


def test_p_is_uniform_without_a_change_in_short_weighted_series():
    rng = np.random.default_rng(3)
    se = rng.uniform(0.1, 1, (1_500, 8))
    points = rng.normal(0, se)
    points[rng.random(se.shape) < 0.1] = np.nan

    p = change_point(points, se, rng=rng, n_draws=999).p

    for level in (0.05, 0.25, 0.5):
        share = np.nanmean(p <= level)
        assert abs(share - level) < 3 * np.sqrt(level * (1 - level) / 1_500)


def test_a_step_is_dated_and_measured():
    rng = np.random.default_rng(4)
    points = np.where(np.arange(12) < 7, 0.1, 0.7) + rng.normal(0, 0.05, (5, 12))

    found = change_point(points, np.full(12, 0.05), rng=rng)

    np.testing.assert_array_equal(found.position, 7)
    np.testing.assert_allclose(found.after - found.before, 0.6, atol=0.1)
    assert (found.p < 0.01).all()


def test_weights_are_inverse_squared_errors():
    """A point twice as exact counts as four."""
    found = change_point([[0.0, 1, 5, 6]], [0.5, 1, 1, 1], rng=np.random.default_rng(1))

    assert found.before[0] == pytest.approx((4 * 0 + 1) / 5)
    # Falls and rests of the weighted squares by hand: means .2 and 5.5 against 12 / 7.
    rest = 4 * 0.2**2 + 0.8**2 + 2 * 0.5**2
    total = 4 * 0**2 + 1 + 25 + 36 - 12**2 / 7
    assert found.statistic[0] == pytest.approx((total - rest) / (rest / 2))


def test_errors_matter_only_relative_to_each_other():
    points = np.random.default_rng(5).normal(size=(3, 8))

    plain = change_point(points, rng=np.random.default_rng(1))
    scaled = change_point(points, 0.01, rng=np.random.default_rng(1))

    np.testing.assert_allclose(scaled.statistic, plain.statistic)
    np.testing.assert_array_equal(scaled.p, plain.p)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_time_reversed_changes_at_the_same_place(seed):
    rng = np.random.default_rng(seed)
    points, se = rng.normal(size=(1, 9)), rng.uniform(0.5, 1, (1, 9))

    forth = change_point(points, se, rng=rng, n_draws=1)
    back = change_point(points[:, ::-1], se[:, ::-1], rng=rng, n_draws=1)

    assert forth.position == 9 - back.position
    assert forth.statistic == pytest.approx(back.statistic)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_row_has_the_same_change_among_others(seed):
    rng = np.random.default_rng(seed)
    points, se = rng.normal(size=(3, 8)), rng.uniform(0.5, 1, (3, 8))
    points[1, 4] = np.nan

    together = change_point(points, se, rng=np.random.default_rng(9), n_draws=99)
    alone = change_point(points[1:2], se[1:2], rng=np.random.default_rng(9), n_draws=99)

    assert together.p[1] == alone.p[0]
    assert together.position[1] == alone.position[0]


def test_a_missing_quarter_is_not_the_first_of_a_new_level():
    points = [[0.0, 0.1, 0.0, np.nan, 1.0, 1.1, 0.9]]

    found = change_point(points, rng=np.random.default_rng(1))

    assert found.position[0] == 4
    assert found.n_points[0] == 6


def test_too_few_or_equal_points_have_no_change():
    points = [[1.0, 2, 3, np.nan], [2.2, 2.2, 2.2, 2.2], [np.nan] * 4]

    found = change_point(points, rng=np.random.default_rng(1))

    np.testing.assert_array_equal(found.position, -1)
    for name in ("before", "after", "statistic", "p"):
        assert np.isnan(getattr(found, name)).all()


@pytest.mark.parametrize(("shape", "n_points"), [((0, 5), 0), ((2, 0), 0), ((2, 1), 1)])
def test_rows_without_room_for_a_split_are_no_error(shape, n_points):
    found = change_point(np.zeros(shape), rng=np.random.default_rng(1))

    np.testing.assert_array_equal(found.n_points, np.full(shape[0], n_points))
    np.testing.assert_array_equal(found.p, np.full(shape[0], np.nan))


def test_a_perfect_step_has_an_infinite_statistic():
    found = change_point([[0.0, 0, 0, 1, 1, 1]], rng=np.random.default_rng(1))

    assert found.statistic[0] > 1e12
    assert found.p[0] < 0.01


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        ([1.0, 2.0], {}, "value must have rows and points"),
        ([[1.0, 2.0]], {"se": -1.0}, "se must be positive, got -1"),
        ([[1.0, 2.0]], {"min_points": 0}, "min_points must be at least 1, got 0"),
    ],
)
def test_impossible_series_are_named(value, options, message):
    with pytest.raises(ValueError, match=message):
        change_point(value, rng=np.random.default_rng(1), **options)


# --- flags -----------------------------------------------------------------------


def test_a_flag_needs_significance_size_and_quarters():
    q = [0.01, 0.01, 0.01, 0.2, np.nan, 0.01, 0.05]
    change = [0.25, -0.4, 0.24, 0.9, 0.9, 0.9, 0.9]
    n_quarters = [6, 12, 8, 8, 8, 5, 8]

    flags = drift_flags(q, change, n_quarters)

    np.testing.assert_array_equal(flags.direction, [1, -1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(flags.is_flagged, np.array(flags.direction) != 0)


def test_rows_are_shown_from_four_quarters():
    flags = drift_flags([np.nan] * 3, [np.nan] * 3, [3, 4, 12])

    np.testing.assert_array_equal(flags.is_shown, [False, True, True])
    assert not flags.is_flagged.any()


def test_thresholds_are_arguments():
    flags = drift_flags(
        [0.08], [0.1], [3], level=0.1, min_change=0.1, flag_quarters=3, show_quarters=3
    )

    assert flags.is_flagged.all()
    assert flags.is_shown.all()


@pytest.mark.parametrize(
    ("q", "change", "message"),
    [
        ([1.2], [0.1], "q must lie in .0, 1., got 1.2"),
        ([0.2], [0.1, 0.2], "q, change and n_quarters must have one entry"),
    ],
)
def test_impossible_flags_are_named(q, change, message):
    with pytest.raises(ValueError, match=message):
        drift_flags(q, change, [4])

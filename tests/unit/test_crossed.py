"""Variance components, reliability and their intervals for unbalanced panels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from orchestration.statistics import crossed, crossed_likelihood, crossed_sparse
from orchestration.statistics.crossed import (
    Components,
    components,
    d_study,
    g_qk,
    g_with,
    intervals,
    k_harmonic,
    largest_component,
    q_overlap,
    sem,
    variance_intervals,
)
from orchestration.statistics.crossed_likelihood import likelihood_of
from orchestration.statistics.fixed_effects import design

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Shrout & Fleiss (1979), Psychol. Bull. 86, 420-428, table 2: targets by judges.
SHROUT_FLEISS = np.array(
    [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
    ],
    dtype=float,
)

Panel = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def reference(name: str) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, ...]]]:
    folder = REFERENCE / name
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    return columns, {
        row["key"]: (row["value"], row["tol"] * (row["tol_kind"] == "rel"), row["tol"])
        for row in expected
    }


def assert_matches(actual: float, expected: tuple[float, ...]) -> None:
    value, relative, absolute = expected
    tolerance = {"rel": relative} if relative else {"abs": absolute}
    assert actual == pytest.approx(value, **tolerance)


def shrout_fleiss() -> Components:
    target, judge = np.indices(SHROUT_FLEISS.shape)
    return components(SHROUT_FLEISS.ravel(), target.ravel(), judge.ravel())


def simulated(seed: int, n_candidates: int = 60, per_card: int = 1) -> Panel:
    """Two or three of ten interviewers per candidate: score, codes and questions."""
    rng = np.random.default_rng(seed)
    rows = [
        (candidate, interviewer)
        for candidate in range(n_candidates)
        for interviewer in rng.choice(10, rng.integers(2, 4), replace=False)
        for _ in range(per_card)
    ]
    candidate, interviewer = np.array(rows).T
    question = rng.integers(0, 6, candidate.size)
    score = (
        3
        + rng.normal(0, 0.6, n_candidates)[candidate]
        + rng.normal(0, 0.3, 10)[interviewer]
        + rng.normal(0, 0.3, (n_candidates, 10))[candidate, interviewer]
        + rng.normal(0, 0.2, 6)[question]
        + rng.normal(0, 0.6, candidate.size)
    )
    return score, candidate, interviewer, question


def dense_criterion(panel: Panel, variances: dict[str, float], resid: float) -> float:
    """REML criterion straight from its definition, with the full covariance."""
    score, candidate, interviewer, question = panel
    codes = {
        "candidate": candidate,
        "interviewer": interviewer,
        "question": question,
        "cand_x_int": candidate * 1000 + interviewer,
    }
    covariance = resid * np.eye(score.size)
    for name, variance in variances.items():
        covariance += variance * (codes[name][:, None] == codes[name])
    inverse = np.linalg.inv(covariance)
    weight = inverse.sum()
    residual = score - inverse.sum(axis=0) @ score / weight
    return float(
        (score.size - 1) * np.log(2 * np.pi)
        + np.linalg.slogdet(covariance)[1]
        + np.log(weight)
        + residual @ inverse @ residual
    )


def standard_errors(fit: Components) -> np.ndarray:
    """Of the variance ratios, from the curvature of the dense criterion."""
    at = crossed_likelihood.position_of(np.array(fit._ratios))
    bend = crossed_likelihood.curvature_at(fit._likelihood, at)
    scale = np.array(fit._ratios) + crossed_likelihood.KNEE
    return np.sqrt(2 * np.diagonal(np.linalg.inv(bend))) * scale


# --- components ------------------------------------------------------------------


def test_a_balanced_panel_equals_its_analysis_of_variance() -> None:
    fit = shrout_fleiss()
    assert fit.var_candidate == pytest.approx((11.2417 - 1.0194) / 4, rel=1e-4)
    assert fit.var_interviewer == pytest.approx((32.4861 - 1.0194) / 6, rel=1e-4)
    assert fit.var_resid == pytest.approx(1.0194, abs=1e-4)
    assert fit.icc_single == pytest.approx(0.2898, abs=5e-5)
    assert fit.intercept == pytest.approx(SHROUT_FLEISS.mean())
    assert fit.terms == ("candidate", "interviewer")
    assert (fit.converged, fit.boundary) == (True, False)
    # ICC(A,4) and, with the judges fixed (q = 0), ICC(C,4).
    assert g_qk(fit, 1 / 4, 4) == pytest.approx(0.6201, abs=5e-5)
    assert g_qk(fit, 0, 4) == pytest.approx(0.9093, abs=5e-5)


@pytest.mark.parametrize("interaction", [None, False])
def test_crossed_questions_equal_lme4(interaction: bool | None) -> None:
    data, expected = reference("60_sim_crossed_small")
    fit = components(
        data["score"],
        data["candidate"],
        data["interviewer"],
        data["question"],
        cand_x_int=interaction,
    )
    assert fit.n_ratings == expected["n_ratings"][0]
    assert_matches(fit.intercept, expected["intercept"])
    assert_matches(fit.var_candidate, expected["reml_var_candidate"])
    assert_matches(fit.var_question, expected["reml_var_question"])
    assert_matches(fit.var_interviewer, expected["reml_var_interviewer"])
    assert_matches(fit.var_resid, expected["reml_var_residual"])
    assert_matches(fit.reml_criterion, expected["reml_criterion"])
    assert_matches(fit.icc_single, expected["icc_single_rating_absolute"])
    # The interaction is estimated at zero, so both models are one.
    assert fit.boundary == (interaction is None)
    assert np.isnan(fit.var_cand_x_int) == (interaction is False)


def test_four_terms_equal_brennan() -> None:
    # Tasks stand for interviewers and raters in tasks for questions.
    data, expected = reference("12_brennan_3_2_gstudy")
    rater = data["Task"] * 100 + data["Rater"]
    fit = components(data["Score"], data["Person"], data["Task"], rater)
    assert_matches(fit.var_candidate, expected["var_person"])
    assert_matches(fit.var_interviewer, expected["var_task"])
    assert_matches(fit.var_question, expected["var_rater_in_task"])
    assert_matches(fit.var_cand_x_int, expected["var_person_task"])
    assert_matches(fit.var_resid, expected["var_residual"])
    # Everybody met all tasks and raters: against the grand mean q = 1/3, raters 1/12.
    dependability = g_qk(fit, 1 / 3, 3, q_question=1 / 12, m=4)
    assert_matches(dependability, expected["dependability_Phi"])
    relative = g_qk(fit, 0, 3, q_question=0, m=4)
    assert_matches(relative, expected["generalizability_Erho2"])
    error = sem(fit, 1 / 3, 3, q_question=1 / 12, m=4)
    assert_matches(error, expected["sem_abs"])


def test_a_real_sparse_panel_equals_lme4() -> None:
    data, expected = reference("18_kuhlisch_reviewers_2to4_per_paper")
    fit = components(data["score"], data["subject"], data["rater"])
    assert_matches(fit.var_candidate, expected["reml_var_subject"])
    assert_matches(fit.var_interviewer, expected["reml_var_rater"])
    assert_matches(fit.var_resid, expected["reml_var_residual"])
    assert_matches(k_harmonic(data["subject"], data["rater"]), expected["k_harmonic"])


def test_a_rater_per_rating_leaves_the_one_way_model() -> None:
    data, expected = reference("13_bliese_bh1996_icc1_icc2")
    fit = components(data["score"], data["subject"], np.arange(data["score"].size))
    assert fit.terms == ("candidate",)
    assert_matches(fit.var_candidate, expected["reml_var_group"])
    assert_matches(fit.var_resid, expected["reml_var_residual"])


@pytest.mark.parametrize("per_card", [1, 3])
@pytest.mark.parametrize("with_question", [False, True])
def test_the_criterion_is_that_of_the_full_covariance(
    per_card: int, with_question: bool
) -> None:
    panel = simulated(11, n_candidates=25, per_card=per_card)
    fit = components(*panel[:3], panel[3] if with_question else None)
    variances = {name: getattr(fit, f"var_{name}") for name in fit.terms}
    assert ("question" in fit.terms, "cand_x_int" in fit.terms) == (
        with_question,
        per_card > 1,
    )
    best = dense_criterion(panel, variances, fit.var_resid)
    assert fit.reml_criterion == pytest.approx(best, abs=1e-6)
    for name in (*fit.terms, "resid"):
        for factor in (0.97, 1.03):
            moved = {
                key: value * (factor if key == name else 1)
                for key, value in variances.items()
            }
            resid = fit.var_resid * (factor if name == "resid" else 1)
            assert dense_criterion(panel, moved, resid) >= best - 1e-9


def test_sparse_and_dense_sums_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = simulated(5, n_candidates=40, per_card=2)
    dense = components(*panel)
    monkeypatch.setattr("orchestration.statistics.crossed_likelihood._DENSE_CELLS", 0)
    sparse = components(*panel)
    assert sparse.reml_criterion == pytest.approx(dense.reml_criterion, abs=1e-8)
    assert sparse.icc_single == pytest.approx(dense.icc_single, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_codes_are_only_names(seed: int) -> None:
    score, candidate, interviewer, question = simulated(seed, n_candidates=20)
    rng = np.random.default_rng(seed)
    fit = components(score, candidate, interviewer, question)
    order = rng.permutation(score.size)
    renamed = components(
        score[order],
        rng.permutation(20)[candidate][order] * 7 + 3,
        rng.permutation(10)[interviewer][order],
        5 - question[order],
    )
    assert renamed.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-6)
    assert renamed.icc_single == pytest.approx(fit.icc_single, abs=1e-4)
    assert renamed.terms == fit.terms


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
def test_a_shift_moves_the_intercept_only(seed: int, shift: float) -> None:
    score, candidate, interviewer, _ = simulated(seed, n_candidates=20)
    fit = components(score, candidate, interviewer)
    moved = components(score + shift, candidate, interviewer)
    assert moved.intercept == pytest.approx(fit.intercept + shift, abs=1e-6)
    assert moved.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-6)
    assert moved.var_candidate == pytest.approx(fit.var_candidate, abs=1e-4)
    assert moved.var_resid == pytest.approx(fit.var_resid, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_one_strict_interviewer_raises_their_variance(seed: int) -> None:
    score, candidate, interviewer, _ = simulated(seed)
    before = components(score, candidate, interviewer)
    after = components(score - 3.0 * (interviewer == 4), candidate, interviewer)
    assert after.var_interviewer > before.var_interviewer
    assert after.icc_single < before.icc_single


def test_scale_is_squared() -> None:
    score, candidate, interviewer, _ = simulated(3)
    fit = components(score, candidate, interviewer)
    tripled = components(3 * score, candidate, interviewer)
    assert tripled.var_resid == pytest.approx(9 * fit.var_resid, rel=1e-6)
    assert tripled.icc_single == pytest.approx(fit.icc_single, abs=1e-6)


def test_a_large_panel_finds_what_made_it() -> None:
    rng = np.random.default_rng(1)
    candidate, interviewer = (
        rng.integers(0, 40_000, 120_000),
        rng.integers(0, 60, 120_000),
    )
    score = (
        rng.normal(0, 0.5, 40_000)[candidate]
        + rng.normal(0, 0.3, 60)[interviewer]
        + rng.normal(0, 1, 120_000)
    )
    fit = components(score, candidate, interviewer, cand_x_int=False)
    assert fit.converged
    assert fit.var_candidate == pytest.approx(0.25, abs=0.02)
    assert fit.var_interviewer == pytest.approx(0.09, abs=0.05)
    assert fit.var_resid == pytest.approx(1, abs=0.02)
    limits = intervals(fit, q_overlap=0.3, k_harmonic=2.5)
    assert limits.icc_low < fit.icc_single < limits.icc_high
    assert limits.icc_high - limits.icc_low < 0.05


# --- without dense factors -------------------------------------------------------


def wide(monkeypatch: pytest.MonkeyPatch, panel: Panel) -> tuple[Components, ...]:
    """The same panel by dense factors and without."""
    dense = components(*panel)
    monkeypatch.setattr(crossed, "_WIDEST", 1)
    return dense, components(*panel)


@pytest.mark.parametrize("per_card", [1, 3], ids=["one rating", "three ratings"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wide_panels_find_the_dense_maximum(
    monkeypatch: pytest.MonkeyPatch, seed: int, per_card: int
) -> None:
    dense, sparse = wide(monkeypatch, simulated(seed, 300, per_card))

    assert sparse._likelihood is None
    assert sparse.converged
    assert sparse.terms == dense.terms
    distance = np.array(sparse._ratios) - np.array(dense._ratios)
    assert np.all(np.abs(distance) <= 0.02 * standard_errors(dense))
    assert sparse.var_resid == pytest.approx(dense.var_resid, rel=1e-3)
    assert sparse.intercept == pytest.approx(dense.intercept, abs=1e-3)


def test_the_slope_without_factors_is_the_dense_one() -> None:
    score, candidate, interviewer, question = simulated(5, 80, 3)
    standard = (score - score.mean()) / score.std()
    levels = [crossed._levels(c) for c in (candidate, interviewer, question)]
    terms, _ = crossed._identified(levels, design(score.size), interaction=True)
    likelihood = likelihood_of(standard, np.ones((score.size, 1)), terms)
    ratios = np.array([0.7, 0.3, 0.2, 0.1])
    panel = crossed_sparse._panel(
        standard, *(code for code, _ in levels), names=likelihood.names
    )

    dense = crossed_likelihood.value_at(likelihood, ratios)
    sparse = crossed_sparse._score(panel, ratios, 4000)

    assert sparse.var_resid == pytest.approx(dense.var_resid, rel=1e-9)
    assert sparse.intercept == pytest.approx(dense.fixed[0], abs=1e-9)
    assert np.all(np.abs(sparse.gradient - dense.gradient) <= 4 * sparse.error + 1e-6)
    assert np.all(sparse.error <= 0.01 * np.abs(sparse.information.diagonal()) + 1e-9)


def test_average_information_is_near_the_curvature() -> None:
    score, candidate, interviewer, _ = simulated(6, 600)
    dense = components(score, candidate, interviewer)
    ratios = np.array(dense._ratios)
    standard = (score - score.mean()) / score.std()
    panel = crossed_sparse._panel(
        standard, candidate, interviewer, None, names=dense._names
    )

    information = crossed_sparse._score(panel, ratios, 8).information

    assert np.sqrt(2 * np.diagonal(np.linalg.inv(information))) == pytest.approx(
        standard_errors(dense), rel=0.25
    )


def test_wide_panels_give_the_interval_of_the_curvature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel = simulated(7, 900)[:3]
    q, k = q_overlap(*panel[1:]), k_harmonic(*panel[1:])
    monkeypatch.setattr(crossed, "_PROFILE_UP_TO", 100)
    dense, sparse = wide(monkeypatch, panel)

    before = intervals(dense, q_overlap=q, k_harmonic=k)
    after = intervals(sparse, q_overlap=q, k_harmonic=k)

    assert after.ci_method == before.ci_method == "asymptotic REML"
    assert (after.g_low, after.g_high) == pytest.approx(
        (before.g_low, before.g_high), abs=0.01
    )
    assert (after.icc_low, after.icc_high) == pytest.approx(
        (before.icc_low, before.icc_high), abs=0.01
    )


def test_a_wide_panel_without_candidate_variance_starts_at_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    candidate = np.repeat(np.arange(300), 2)
    interviewer = rng.integers(0, 12, candidate.size)
    gap = rng.normal(size=300)
    # Two raters of one candidate contradict each other: no variance is left over.
    score = np.column_stack([gap, -gap]).ravel()
    _, sparse = wide(monkeypatch, (score, candidate, interviewer))

    found = intervals(sparse, q_overlap=0.4, k_harmonic=2.0)

    assert sparse.var_candidate == 0
    assert sparse.boundary
    assert found.icc_low == found.g_low == 0
    assert 0 < found.icc_high < 0.3


def test_wide_panels_the_terms_explain_exactly_fall_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, candidate, interviewer, _ = simulated(8, 60)
    score = np.sin(candidate) + 0.5 * np.cos(interviewer)

    dense, sparse = wide(monkeypatch, (score, candidate, interviewer))

    assert sparse.var_candidate == pytest.approx(dense.var_candidate, rel=1e-3)


def test_interviewers_of_teams_that_hardly_mix_are_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(11)
    candidate = np.repeat(np.arange(400), 3)
    team = np.arange(400) % 8
    inside = np.array([rng.choice(4, 3, replace=False) for _ in range(400)])
    interviewer = (team[:, None] * 4 + inside).ravel()
    interviewer[::50] = rng.integers(0, 32, interviewer[::50].size)
    score = (
        rng.normal(0, 0.6, 400)[candidate]
        + rng.normal(0, 0.4, 32)[interviewer]
        + rng.normal(0, 0.7, candidate.size)
    )

    dense, sparse = wide(monkeypatch, (score, candidate, interviewer))

    distance = np.array(sparse._ratios) - np.array(dense._ratios)
    assert np.all(np.abs(distance) <= 0.04 * standard_errors(dense))


# --- which terms -----------------------------------------------------------------


def test_the_interaction_needs_a_card_with_two_ratings() -> None:
    score, candidate, interviewer, _ = simulated(1)
    assert "cand_x_int" not in components(score, candidate, interviewer).terms
    panel = simulated(1, per_card=2)[:3]
    assert "cand_x_int" in components(*panel).terms
    assert "cand_x_int" not in components(*panel, cand_x_int=False).terms


@pytest.mark.parametrize("kind", ["one", "per rating", "per candidate"])
def test_a_question_that_cannot_be_told_apart_is_left_out(kind: str) -> None:
    score, candidate, interviewer, _ = simulated(1)
    question = {
        "one": np.zeros_like(candidate),
        "per rating": np.arange(candidate.size),
        "per candidate": candidate,
    }[kind]
    fit = components(score, candidate, interviewer, question)
    assert fit.terms == ("candidate", "interviewer")
    assert np.isnan(fit.var_question)
    plain = components(score, candidate, interviewer)
    assert fit.reml_criterion == plain.reml_criterion


# --- edges -----------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("score", "candidate", "interviewer"),
    [
        ([], [], []),
        ([3.0], [0], [0]),
        ([3.0, 4.0], [0, 0], [0, 1]),
        ([3.0, 4.0, 5.0, 2.0], [0, 1, 2, 3], [0, 0, 1, 1]),
        ([3.0, 4.0, 5.0, 2.0, 1.0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 2]),
        ([3.0, 3.0, 3.0, 3.0], [0, 0, 1, 1], [0, 1, 0, 1]),
        ([1.0, 2.0, 4.0, 3.0], [0, 0, 1, 1], [0, 0, 1, 1]),
    ],
    ids=["empty", "one", "two", "unreplicated", "one candidate", "equal", "the same"],
)
def test_what_cannot_be_estimated_is_nan(
    score: list[float], candidate: list[int], interviewer: list[int]
) -> None:
    fit = components(score, candidate, interviewer)
    q, k = q_overlap(candidate, interviewer), k_harmonic(candidate, interviewer)
    limits = intervals(fit, q_overlap=q, k_harmonic=k)
    assert np.isnan(fit.icc_single)
    assert np.isnan([limits.icc_low, limits.icc_high, limits.g_low]).all()
    assert np.isnan(g_qk(fit, q, k))
    assert d_study(fit) is None
    assert fit.n_ratings == len(score)


def test_equal_scores_have_no_variance() -> None:
    fit = components([3.0] * 8, [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4)
    assert (fit.var_candidate, fit.var_interviewer, fit.var_resid) == (0, 0, 0)
    assert fit.boundary
    assert fit.intercept == 3.0


def test_one_interviewer_gives_no_absolute_agreement() -> None:
    score, candidate, _, _ = simulated(2)
    fit = components(score, candidate, np.zeros_like(candidate))
    limits = intervals(fit, q_overlap=0.0, k_harmonic=1.0)
    assert np.isnan([fit.icc_single, fit.var_interviewer, limits.icc_low]).all()
    assert 0 <= limits.g_low < g_qk(fit, 0.0, 1.0) < limits.g_high


def test_scores_the_terms_explain_exactly() -> None:
    candidate, interviewer = (code.ravel() for code in np.indices((6, 4)))
    fit = components((candidate + interviewer).astype(float), candidate, interviewer)
    assert fit.var_candidate == pytest.approx(np.var(range(6), ddof=1), rel=1e-3)
    assert fit.var_interviewer == pytest.approx(np.var(range(4), ddof=1), rel=1e-3)
    assert fit.boundary
    limits = intervals(fit, q_overlap=0.0, k_harmonic=4.0)
    assert limits.icc_low < fit.icc_single < limits.icc_high


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one entry per"):
        components([1.0, 2.0], [0, 1], [0])
    with pytest.raises(ValueError, match="one entry per"):
        components([1.0, 2.0], [0, 1], [0, 1], [0])
    with pytest.raises(ValueError, match="finite"):
        components([1.0, np.nan], [0, 1], [0, 1])
    for function in (q_overlap, k_harmonic, largest_component):
        with pytest.raises(ValueError, match="one entry per"):
            function([0, 1], [0])


# --- intervals -------------------------------------------------------------------


def grid_range(
    panel: Panel, fit: Components, q: float, k: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Range of ICC and G over a grid of the ratios the likelihood does not reject."""
    ratios = [np.linspace(0, 5, 220) ** 2 / 5, np.linspace(0, 1.4, 110) ** 2]
    score, candidate, interviewer, _ = panel
    same = [code[:, None] == code for code in (candidate, interviewer)]
    icc, g, n = [], [], score.size
    # By ratio of candidates one eigenvalue problem serves all ratios of interviewers.
    for between in ratios[0]:
        inner = np.eye(n) + between * same[0]
        root = np.linalg.inv(np.linalg.cholesky(inner))
        values, vectors = np.linalg.eigh(root @ same[1] @ root.T)
        one, turned = vectors.T @ root @ np.ones(n), vectors.T @ root @ score
        scale = 1 + np.multiply.outer(ratios[1], np.maximum(values, 0))
        weight = (one**2 / scale).sum(axis=1)
        squares = (turned**2 / scale).sum(axis=1) - (
            (one * turned / scale).sum(axis=1) ** 2 / weight
        )
        criterion = (
            np.log(scale).sum(axis=1)
            - 2 * np.log(np.diagonal(root)).sum()
            + np.log(weight)
            + (n - 1) * (1 + np.log(2 * np.pi * squares / (n - 1)))
        )
        inside = ratios[1][criterion - fit.reml_criterion <= chi2.ppf(0.95, 1)]
        icc.extend(between / (between + inside + 1))
        if between > 0:
            g.extend(between / (between + q * inside + 1 / k))
    return (min(icc), max(icc)), (min(g), max(g))


@pytest.mark.parametrize("seed", [2, 9])
def test_the_interval_is_the_range_over_a_grid(seed: int) -> None:
    panel = simulated(seed, n_candidates=25)
    _, candidate, interviewer, _ = panel
    fit = components(*panel[:3])
    q, k = q_overlap(candidate, interviewer), k_harmonic(candidate, interviewer)
    limits = intervals(fit, q_overlap=q, k_harmonic=k)
    icc, g = grid_range(panel, fit, q, k)
    assert limits.icc_low == pytest.approx(icc[0], abs=1e-2)
    assert limits.icc_high == pytest.approx(icc[1], abs=1e-2)
    assert limits.g_low == pytest.approx(g[0], abs=1e-2)
    assert limits.g_high == pytest.approx(g[1], abs=1e-2)
    assert limits.icc_low < fit.icc_single < limits.icc_high
    assert limits.g_low < g_qk(fit, q, k) < limits.g_high
    assert limits.ci_method == "profile likelihood"


def test_rays_find_what_the_search_does(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = simulated(4, n_candidates=30)
    fit = components(*panel[:3])
    found = intervals(fit, q_overlap=0.4, k_harmonic=2.4)
    monkeypatch.setattr(
        "orchestration.statistics.crossed_profile._Region._search", lambda *_: None
    )
    rays = intervals(fit, q_overlap=0.4, k_harmonic=2.4)
    assert rays.icc_low == pytest.approx(found.icc_low, abs=0.02)
    assert rays.icc_high == pytest.approx(found.icc_high, abs=0.02)
    assert rays.g_low >= found.g_low - 1e-6


def test_no_candidate_variance_has_zero_as_its_lower_limit() -> None:
    rng = np.random.default_rng(1)
    _, candidate, interviewer, _ = simulated(1, n_candidates=30)
    fits = [
        components(rng.normal(size=candidate.size), candidate, interviewer)
        for _ in range(12)
    ]
    flat = [fit for fit in fits if fit.var_candidate == 0]
    assert flat
    for fit in flat:
        limits = intervals(fit, q_overlap=0.4, k_harmonic=2.4)
        assert fit.boundary
        assert limits.icc_low == pytest.approx(0, abs=1e-9)
        assert 0 < limits.icc_high < 0.6
        assert limits.icc_high < limits.g_high < 1


def test_more_candidates_narrow_the_interval() -> None:
    score, candidate, interviewer, _ = simulated(6)
    fit = components(score, candidate, interviewer)
    twice = components(
        np.tile(score, 2),
        np.concatenate([candidate, candidate + 60]),
        np.tile(interviewer, 2),
    )
    narrow, wide = (
        intervals(each, q_overlap=0.4, k_harmonic=2.4) for each in (twice, fit)
    )
    assert narrow.icc_high - narrow.icc_low < wide.icc_high - wide.icc_low
    assert narrow.g_high - narrow.g_low < wide.g_high - wide.g_low


def test_a_higher_level_is_wider() -> None:
    fit = components(*simulated(6)[:3])
    levels = [
        intervals(fit, q_overlap=0.4, k_harmonic=2.4, level=level)
        for level in (0.5, 0.9, 0.99)
    ]
    lows, highs = ([each.icc_low for each in levels], [e.icc_high for e in levels])
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)


def test_large_panels_use_the_normal_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = components(*simulated(8, n_candidates=400)[:3])
    exact = intervals(fit, q_overlap=0.4, k_harmonic=2.4)
    monkeypatch.setattr("orchestration.statistics.crossed._PROFILE_UP_TO", 100)
    normal = intervals(fit, q_overlap=0.4, k_harmonic=2.4)
    assert normal.ci_method == "asymptotic REML"
    assert normal.icc_low == pytest.approx(exact.icc_low, abs=0.03)
    assert normal.icc_high == pytest.approx(exact.icc_high, abs=0.03)
    assert normal.g_low == pytest.approx(exact.g_low, abs=0.03)


# --- intervals of variances ------------------------------------------------------


def risen(panel: Panel, fit: Components, name: str, value: float) -> float:
    """How far the full criterion rises if one variance has a value, the others free."""
    names = [*fit.terms, "resid"]
    hat = np.array([getattr(fit, f"var_{each}") for each in names])
    place = names.index(name)

    def criterion(logs: np.ndarray) -> float:
        every = np.insert(np.exp(logs), place, value)
        return dense_criterion(
            panel, dict(zip(fit.terms, every[:-1], strict=True)), every[-1]
        )

    start = np.log(np.maximum(np.delete(hat, place), 1e-3))
    least = minimize(criterion, start, method="Nelder-Mead", options={"fatol": 1e-7})
    return float(least.fun) - fit.reml_criterion


@pytest.mark.parametrize("name", ["candidate", "interviewer", "resid"])
def test_a_variance_is_rejected_beyond_its_limits(name: str) -> None:
    panel = simulated(2, n_candidates=30)
    fit = components(*panel[:3])

    found = variance_intervals(fit)

    place = found.terms.index(name)
    allowed = chi2.ppf(0.95, 1)
    assert found.ci_method == "profile likelihood"
    for limit in (found.low[place], found.high[place]):
        assert risen(panel, fit, name, limit) == pytest.approx(allowed, abs=2e-3)
    assert found.low[place] < getattr(fit, f"var_{name}") < found.high[place]


def test_limits_of_variances_are_in_squared_points() -> None:
    score, candidate, interviewer, _ = simulated(2, n_candidates=25)
    one, ten = (
        variance_intervals(components(scale * score, candidate, interviewer))
        for scale in (1, 10)
    )
    np.testing.assert_allclose(ten.high, 100 * one.high, rtol=1e-3)
    np.testing.assert_allclose(ten.low, 100 * one.low, rtol=1e-3, atol=1e-6)


def test_a_variance_of_zero_has_zero_as_its_lower_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score, candidate, interviewer, _ = simulated(6, n_candidates=30)
    centred = (
        score
        - np.bincount(interviewer, score)[interviewer]
        / np.bincount(interviewer)[interviewer]
    )
    fit = components(centred, candidate, interviewer)
    assert fit.var_interviewer == 0
    profile = variance_intervals(fit)
    monkeypatch.setattr(crossed, "_PROFILE_UP_TO", 10)
    normal = variance_intervals(fit)
    for limits in (profile, normal):
        assert limits.low[1] == pytest.approx(0, abs=1e-9)
        assert 0 < limits.high[1] < 0.3


def test_large_panels_take_logarithms_of_variances_as_normal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = components(*simulated(8, n_candidates=400)[:3])
    exact = variance_intervals(fit)
    monkeypatch.setattr(crossed, "_PROFILE_UP_TO", 100)
    normal = variance_intervals(fit)
    assert normal.ci_method == "asymptotic REML"
    for place in (0, 2):
        assert normal.low[place] == pytest.approx(exact.low[place], rel=0.05)
        assert normal.high[place] == pytest.approx(exact.high[place], rel=0.05)


def test_wide_panels_have_the_limits_of_dense_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense, sparse = wide(monkeypatch, simulated(1, 300))
    before, after = variance_intervals(dense), variance_intervals(sparse)
    np.testing.assert_allclose(after.low, before.low, atol=0.01)
    np.testing.assert_allclose(after.high, before.high, atol=0.01)


@pytest.mark.filterwarnings("error")
def test_limits_of_variances_that_are_not_known_are_nan() -> None:
    for fit in (
        components([], [], []),
        components([3.0] * 4, [0, 0, 1, 1], [0, 1, 0, 1]),
    ):
        found = variance_intervals(fit)
        assert np.isnan([found.low, found.high]).all()
        assert found.ci_method == "none"


# --- panels ----------------------------------------------------------------------


def test_q_is_zero_crossed_and_one_over_k_nested() -> None:
    candidate = np.repeat(np.arange(7), 3)
    assert q_overlap(candidate, np.tile(np.arange(3), 7)) == pytest.approx(0)
    assert q_overlap(candidate, np.arange(21)) == pytest.approx(1 / 3)
    assert k_harmonic(candidate, np.arange(21)) == pytest.approx(3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), min_size=1, max_size=60)
)
def test_q_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    candidate, interviewer = np.array(pairs).T
    met = [set(interviewer[candidate == code]) for code in np.unique(candidate)]
    k = k_harmonic(candidate, interviewer)
    assert k == pytest.approx(len(met) / sum(1 / len(each) for each in met))
    shared = [
        len(a & b) / (len(a) * len(b))
        for i, a in enumerate(met)
        for j, b in enumerate(met)
        if i != j
    ]
    q = q_overlap(candidate, interviewer)
    if shared:
        assert q == pytest.approx(max(1 / k - np.mean(shared), 0), abs=1e-12)
    else:
        assert np.isnan(q)


def test_a_decision_study_finds_the_panel_size() -> None:
    fit = shrout_fleiss()
    k = d_study(fit, target=0.70)
    assert k is not None
    assert g_with(fit, k) >= 0.70 > g_with(fit, k - 1)
    assert g_with(fit, 1) == pytest.approx(fit.icc_single)
    assert d_study(fit, target=0.99) is None


def test_more_ratings_per_card_help() -> None:
    fit = components(*simulated(3, per_card=2))
    assert g_with(fit, 2, m=3) > g_with(fit, 2)
    assert sem(fit, 0.5, 2, m=3) < sem(fit, 0.5, 2)


def test_the_largest_connected_set() -> None:
    found = largest_component([0, 0, 1, 2, 3, 3], [5, 6, 6, 8, 9, 9])
    assert found.n_components == 3
    assert found.mask.tolist() == [True, True, True, False, False, False]
    assert found.share == 0.5
    nothing = largest_component([], [])
    assert (nothing.n_components, nothing.mask.size) == (0, 0)
    assert np.isnan(nothing.share)

"""Dependability, cut scores and decision studies."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.statistics import crossed
from orchestration.statistics.crossed import (
    Components,
    components,
    d_study,
    g_qk,
    g_with,
    intervals,
    nested_codes,
    sem,
)
from orchestration.statistics.crossed_bootstrap import draw_components
from orchestration.statistics.crossed_effects import fixed_effects
from orchestration.statistics.dstudy import (
    ALL_NESTED,
    CROSSED,
    DESIGNS,
    INTERVIEWERS_NESTED,
    QUESTIONS_NESTED,
    decision_study,
    phi,
    phi_cut,
    sem_absolute,
)

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Brennan (2001), Generalizability Theory, table 3.2 (synthetic data set 4): ten persons
# by three tasks with four raters each, who rate one task only.
BRENNAN = np.array(
    [
        [[5, 6, 5, 5], [5, 3, 4, 5], [6, 7, 3, 3]],
        [[9, 3, 7, 7], [7, 5, 5, 5], [7, 7, 5, 2]],
        [[3, 4, 3, 3], [5, 3, 3, 5], [6, 5, 1, 6]],
        [[7, 5, 5, 3], [3, 1, 4, 3], [5, 3, 3, 5]],
        [[9, 2, 9, 7], [7, 7, 3, 7], [2, 7, 5, 3]],
        [[3, 4, 3, 5], [3, 3, 6, 3], [4, 5, 1, 2]],
        [[7, 3, 7, 7], [7, 5, 5, 7], [5, 5, 5, 4]],
        [[5, 8, 5, 7], [7, 5, 5, 4], [3, 2, 1, 1]],
        [[9, 9, 8, 8], [6, 6, 6, 5], [5, 8, 1, 1]],
        [[4, 4, 4, 3], [3, 5, 6, 5], [5, 7, 1, 1]],
    ],
    dtype=float,
)


def brennan() -> Components:
    """Tasks stand for interviewers, raters within tasks for questions."""
    person, task, rater = (code.ravel() for code in np.indices(BRENNAN.shape))
    return components(BRENNAN.ravel(), person, task, nested_codes(task, rater))


def with_variances(*variances: float) -> Components:
    """A fit with the variances of candidate, interviewer, question, pair, residual."""
    return Components(
        0.0, *variances, 0.0, (), False, 0, 0, 0, float("nan"), True
    )  # fmt: skip


def simulated(seed: int) -> Components:
    rng = np.random.default_rng(seed)
    candidate, place, question = (code.ravel() for code in np.indices((50, 2, 3)))
    met = rng.integers(0, 8, (50, 1)) + np.array([0, 3])
    interviewer = met[candidate, place] % 8
    score = (
        rng.normal(0, 0.6, 50)[candidate]
        + rng.normal(0, 0.3, 8)[interviewer]
        + rng.normal(0, 0.3, (50, 8))[candidate, interviewer]
        + rng.normal(0, 0.3, 3)[question]
        + rng.normal(0, 0.7, candidate.size)
    )
    return components(score, candidate, interviewer, question)


# --- published values ---------------------------------------------------------------


def test_components_of_nested_raters_equal_brennan() -> None:
    """Brennan (2001), p. 116, to the four places printed."""
    fit = brennan()

    assert fit.var_candidate == pytest.approx(0.4731, abs=1e-4)
    assert fit.var_interviewer == pytest.approx(0.3252, abs=1e-4)
    assert fit.var_question == pytest.approx(0.6475, abs=1e-4)
    assert fit.var_cand_x_int == pytest.approx(0.5596, abs=1e-4)
    assert fit.var_resid == pytest.approx(2.3802, abs=1e-4)


def test_the_decision_study_equals_brennans() -> None:
    """gtheory 0.1.2 on R 4.2.2: dstudy at three tasks and four raters; relative and
    absolute error variance from the expected mean squares."""
    study = decision_study(brennan(), 3, 4, design=QUESTIONS_NESTED)

    assert study.g[0, 0] == pytest.approx(0.551439, abs=1e-5)
    assert study.phi[0, 0] == pytest.approx(0.463702, abs=1e-5)
    assert study.sem_relative[0, 0] ** 2 == pytest.approx(0.384877, abs=1e-5)
    assert study.sem_absolute[0, 0] ** 2 == pytest.approx(0.547222, abs=1e-5)


def test_every_key_of_brennans_reference_is_met() -> None:
    folder = REFERENCE / "12_brennan_3_2_gstudy"
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    score, person, task, rater = (
        np.array([int(row[name]) for row in rows])
        for name in ("Score", "Person", "Task", "Rater")
    )
    expected = json.loads((folder / "expected.json").read_text())["expected"]

    fit = components(score, person, task, nested_codes(task, rater))

    study = decision_study(fit, 3, 4, design=QUESTIONS_NESTED)
    found = {
        "var_person": fit.var_candidate,
        "var_task": fit.var_interviewer,
        "var_rater_in_task": fit.var_question,
        "var_person_task": fit.var_cand_x_int,
        "var_residual": fit.var_resid,
        "rel_error_var": study.sem_relative[0, 0] ** 2,
        "abs_error_var": study.sem_absolute[0, 0] ** 2,
        "generalizability_Erho2": study.g[0, 0],
        "dependability_Phi": study.phi[0, 0],
        "sem_abs": study.sem_absolute[0, 0],
    }
    assert set(found) == {row["key"] for row in expected}
    for row in expected:
        assert row["tol_kind"] == "rel"
        assert found[row["key"]] == pytest.approx(row["value"], rel=row["tol"])


# --- coefficients -------------------------------------------------------------------


def test_phi_counts_all_of_the_severity_and_g_what_differs() -> None:
    fit = with_variances(1.0, 0.3, 0.2, 0.4, 0.6)

    dependability = phi(fit, 2, m=3)

    error = 0.3 / 2 + 0.2 / 6 + 0.4 / 2 + 0.6 / 6
    assert dependability == pytest.approx(1 / (1 + error))
    assert sem_absolute(fit, 2, m=3) == pytest.approx(np.sqrt(error))
    assert phi(fit, 2, n_questions=3, m=3) == pytest.approx(
        1 / (1 + error - 0.2 / 6 + 0.2 / 3)
    )
    # With panels that no other candidate meets there is no difference between them.
    assert g_qk(fit, 1 / 2, 2, m=3) == pytest.approx(dependability)
    assert g_qk(fit, 0.1, 2, m=3) > dependability
    assert sem(fit, 0.1, 2, m=3) < sem_absolute(fit, 2, m=3)


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.8])
def test_phi_of_a_cut_equals_brennans_form_for_right_and_wrong_answers(
    cut: float,
) -> None:
    """Brennan & Kane (1977), J. Educ. Meas. 14, 277-289: for scores of 0 and 1 the
    index needs only mean and variance of the persons' means; KR-21 at the mean."""
    rng = np.random.default_rng(5)
    ability, difficulty = rng.normal(0, 1.2, (40, 1)), rng.normal(0, 0.8, (1, 15))
    right = (rng.random((40, 15)) < 1 / (1 + np.exp(difficulty - ability))).astype(int)
    person, item = (code.ravel() for code in np.indices(right.shape))
    fit = components(right.ravel(), person, item)
    level = fixed_effects(fit)

    found = phi_cut(fit, 15, cut, mean=level.mean, mean_se=level.mean_se)
    at_mean = phi_cut(fit, 15, level.mean, mean=level.mean, mean_se=level.mean_se)

    mean, spread = right.mean(), right.mean(axis=1).var()
    error = (mean * (1 - mean) - spread) / 14
    assert found == pytest.approx(1 - error / ((mean - cut) ** 2 + spread), abs=1e-5)
    total = right.sum(axis=1)
    kr21 = 15 / 14 * (1 - total.mean() * (15 - total.mean()) / (15 * total.var()))
    assert at_mean == pytest.approx(kr21, abs=1e-5)
    assert at_mean < phi(fit, 15) < 1


@settings(max_examples=40, deadline=None)
@given(
    cut=st.floats(-3, 3),
    variances=st.lists(st.floats(0.01, 2), min_size=5, max_size=5),
)
def test_a_cut_away_from_the_mean_is_told_better(
    cut: float, variances: list[float]
) -> None:
    fit = with_variances(*variances)

    near, far = (phi_cut(fit, 2, at, mean=0.0) for at in (cut, 2 * cut))

    assert phi(fit, 2) <= near + 1e-12 <= far + 2e-12 <= 1 + 3e-12
    assert phi_cut(fit, 2, -cut, mean=0.0) == pytest.approx(near)


def test_a_mean_known_badly_leaves_no_dependability() -> None:
    fit = with_variances(0.1, 0.1, 0.1, 0.1, 0.5)

    assert phi_cut(fit, 2, 3.0, mean=3.0, mean_se=2.0) == 0


# --- decision studies ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "relative", "absolute"),
    [
        (CROSSED, 0.4 / 3 + 0.6 / 6, 0.3 / 3 + 0.2 / 2 + 0.4 / 3 + 0.6 / 6),
        (QUESTIONS_NESTED, 0.4 / 3 + 0.6 / 6, 0.3 / 3 + 0.2 / 6 + 0.4 / 3 + 0.6 / 6),
        (
            INTERVIEWERS_NESTED,
            0.3 / 3 + 0.4 / 3 + 0.6 / 6,
            0.3 / 3 + 0.2 / 2 + 0.4 / 3 + 0.6 / 6,
        ),
        (ALL_NESTED, *[0.3 / 3 + 0.2 / 6 + 0.4 / 3 + 0.6 / 6] * 2),
    ],
)
def test_error_is_what_the_design_does_not_share(
    design: str, relative: float, absolute: float
) -> None:
    fit = with_variances(1.0, 0.3, 0.2, 0.4, 0.6)

    study = decision_study(fit, [1, 3], [2], design=design)

    assert study.sem_relative[1, 0] == pytest.approx(np.sqrt(relative))
    assert study.sem_absolute[1, 0] == pytest.approx(np.sqrt(absolute))
    assert study.g[1, 0] == pytest.approx(1 / (1 + relative))
    assert study.phi[1, 0] == pytest.approx(1 / (1 + absolute))


@settings(max_examples=40, deadline=None)
@given(
    variances=st.lists(st.floats(0.01, 2), min_size=5, max_size=5),
    design=st.sampled_from(DESIGNS),
    target=st.floats(0.3, 0.95),
)
def test_the_fewest_interviewers_are_those_of_the_grid(
    variances: list[float], design: str, target: float
) -> None:
    fit = with_variances(*variances)

    study = decision_study(fit, range(1, 60), [1, 4], design=design, target=target)

    assert np.all(np.diff(study.g, axis=0) > 0)
    assert np.all(np.diff(study.phi, axis=1) > 0)
    assert np.all(study.g >= study.phi - 1e-12)
    for reached, fewest in (
        (study.g >= target, study.interviewers_for_g),
        (study.phi >= target, study.interviewers_for_phi),
    ):
        for column in (0, 1):
            if reached[:, column].any():
                first = 1 + int(reached[:, column].argmax())
                assert fewest[column] == pytest.approx(first, abs=1e-6)
            else:
                assert not fewest[column] < 60


def test_no_number_of_interviewers_mends_one_shared_question() -> None:
    fit = with_variances(1.0, 0.1, 0.9, 0.1, 0.3)

    study = decision_study(fit, [1, 50], [1, 3], design=CROSSED)

    assert np.isnan(study.interviewers_for_phi[0])
    assert np.isfinite(study.interviewers_for_phi[1])
    assert np.isfinite(study.interviewers_for_g).all()


def test_panels_that_share_nothing_are_those_of_d_study() -> None:
    fit = simulated(1)

    study = decision_study(fit, range(1, 6), [1, 2])

    assert study.design == ALL_NESTED
    assert study.interviewers_for_g[0] == d_study(fit, 0.70)
    assert study.interviewers_for_g[1] == d_study(fit, 0.70, m=2)
    assert study.g[2, 1] == pytest.approx(g_with(fit, 3, m=2))
    assert study.phi.tolist() == study.g.tolist()


def test_limits_are_those_of_the_panel() -> None:
    fit = simulated(2)
    wanted = intervals(fit, q_overlap=1 / 3, k_harmonic=3, ratings_per_card=2)

    study = decision_study(fit, [1, 3], [1, 2])

    assert study.ci_method == "profile likelihood"
    assert study.g_low[1, 1] == pytest.approx(wanted.g_low, abs=1e-6)
    assert study.g_high[1, 1] == pytest.approx(wanted.g_high, abs=1e-6)
    assert study.phi_low[0, 0] == pytest.approx(wanted.icc_low, abs=1e-6)
    assert np.all(study.g_low < study.g)
    assert np.all(study.g < study.g_high)


@pytest.mark.parametrize("seed", [2, 5])
def test_errors_by_delta_method_and_by_bootstrap_agree(seed: int) -> None:
    fit = simulated(seed)
    draws = draw_components(fit, rng=np.random.default_rng(3), replicates=300)
    plain = decision_study(fit, [2, 4], [3], design=QUESTIONS_NESTED)

    drawn = decision_study(fit, [2, 4], [3], design=QUESTIONS_NESTED, draws=draws)

    assert drawn.ci_method == "parametric bootstrap"
    assert drawn.g.tolist() == plain.g.tolist()
    np.testing.assert_allclose(drawn.g_se, plain.g_se, rtol=0.35)
    np.testing.assert_allclose(drawn.g_low, plain.g_low, atol=0.12)
    np.testing.assert_allclose(drawn.phi_high, plain.phi_high, atol=0.08)


def test_the_delta_method_is_the_spread_of_panels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Large panels take limits from the same error, on the logit."""
    fit = simulated(2)
    monkeypatch.setattr(crossed, "_PROFILE_UP_TO", 10)

    study = decision_study(fit, [2], [3])

    assert study.ci_method == "asymptotic REML"
    logit = np.log(study.g / (1 - study.g))[0, 0]
    half = 1.959964 * (study.g_se / (study.g * (1 - study.g)))[0, 0]
    assert study.g_low[0, 0] == pytest.approx(1 / (1 + np.exp(half - logit)), abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["equal", "one candidate", "empty"])
def test_what_is_not_known_is_nan(kind: str) -> None:
    score, candidate, interviewer = {
        "equal": ([3.0] * 6, [0, 0, 1, 1, 2, 2], [0, 1] * 3),
        "one candidate": ([1.0, 2, 4, 3, 2, 5], [0] * 6, [0, 0, 1, 1, 2, 2]),
        "empty": ([], [], []),
    }[kind]
    fit = components(score, candidate, interviewer)

    study = decision_study(fit, [1, 2], [1])

    assert np.isnan(study.g).all()
    assert np.isnan(study.g_low).all()
    assert np.isnan(study.interviewers_for_g).all()
    assert study.ci_method == "none"
    assert np.isnan([phi(fit, 2), phi_cut(fit, 2, 3.0, mean=3.0)]).all()


def test_no_candidate_variance_has_limits_and_no_error() -> None:
    gap = np.random.default_rng(1).normal(size=30)
    # Two raters of one candidate contradict each other: no variance is left over.
    score = np.column_stack([gap, -gap]).ravel()
    fit = components(score, np.repeat(np.arange(30), 2), np.arange(60))

    study = decision_study(fit, [1, 3])

    assert fit.var_candidate == 0
    assert study.g.ravel().tolist() == study.g_low.ravel().tolist() == [0, 0]
    assert np.all(study.g_high > 0)
    assert np.isnan(study.g_se).all()
    assert np.isnan(study.interviewers_for_g).all()


def test_bad_studies_are_refused() -> None:
    fit = with_variances(1.0, 0.3, 0.2, 0.4, 0.6)
    with pytest.raises(ValueError, match="numbers must be at least 1"):
        decision_study(fit, [0, 1])
    with pytest.raises(ValueError, match="design must be one of"):
        decision_study(fit, 1, design="p x i")
    with pytest.raises(ValueError, match="target must be between"):
        decision_study(fit, 1, target=1.0)

"""Fixed effects, nested factors, and what a fit says of every level."""

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import cg
from scipy.stats import spearmanr

from orchestration.statistics import crossed
from orchestration.statistics.crossed import (
    Components,
    components,
    intervals,
    k_harmonic,
    nested_codes,
    nesting,
)
from orchestration.statistics.crossed_effects import (
    fixed_effects,
    interviewer_effects,
    random_effects,
)
from orchestration.statistics.fixed_effects import design

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

Columns = dict[str, np.ndarray]


def reference(name: str) -> tuple[Columns, dict[str, dict[str, float]]]:
    folder = REFERENCE / name
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return columns, {row["key"]: row for row in expected}


def assert_keys(
    found: dict[str, float],
    expected: dict[str, dict[str, float]],
    elsewhere: tuple[str, ...],
) -> None:
    """Every key is met within its tolerance, or begins as those of another test."""
    assert set(found) == {key for key in expected if not key.startswith(elsewhere)}
    for key, value in found.items():
        row = expected[key]
        tolerance = {row["tol_kind"]: row["tol"]}
        assert value == pytest.approx(row["value"], **tolerance), key


def panel(n_candidates: int = 30) -> Columns:
    """Two or three of seven interviewers a candidate, one to three ratings a card.

    Without random numbers, so that R can be given the same.
    """
    rows = [
        (c, (c * 5 + j * 3 + c // 7) % 7, (c + 2 * j + a) % 5, (c + a) % 3, c % 4)
        for c in range(n_candidates)
        for j in range(2 + c % 2)
        for a in range(1 + (c + j) % 3)
    ]
    c, i, q, r, t = np.array(rows).T
    x = np.sin(1.7 * np.arange(c.size))
    score = (
        3
        + 0.8 * np.sin(3.1 * c)
        + 0.5 * np.cos(2.3 * i)
        + 0.8 * np.sin(5.7 * (7 * c + i))
        + 0.25 * np.sin(1.9 * q)
        + 0.3 * (r == 1)
        - 0.2 * (r == 2)
        + 0.15 * x
        + 0.7 * np.sin(12.9898 * np.arange(c.size) * 1.618)
    )
    return {
        "score": np.round(score, 3), "candidate": c, "interviewer": i, "question": q,
        "round": r, "team": t, "x": x,
    }  # fmt: skip


def fitted(data: Columns, **options: object) -> Components:
    return components(data["score"], data["candidate"], data["interviewer"], **options)


def everything(data: Columns) -> Components:
    return fitted(
        data, question=data["question"], covariates=data["x"], factors=data["round"]
    )


def indicators(data: Columns, fit: Components) -> dict[str, np.ndarray]:
    """Dense columns of every random term, levels ascending."""
    codes = {
        "candidate": data["candidate"],
        "interviewer": data["interviewer"],
        "question": data["question"],
        "cand_x_int": data["candidate"] * 1000 + data["interviewer"],
    }
    return {
        name: (codes[name][:, None] == np.unique(codes[name])).astype(float)
        for name in fit.terms
    }


def covariance(data: Columns, fit: Components) -> np.ndarray:
    parts = indicators(data, fit).items()
    total = sum(getattr(fit, f"var_{name}") * z @ z.T for name, z in parts)
    return total + fit.var_resid * np.eye(data["score"].size)


def fixed_columns(data: Columns) -> np.ndarray:
    r = data["round"]
    return np.column_stack([np.ones(r.size), data["x"], r == 1, r == 2]).astype(float)


# --- reference cases ---------------------------------------------------------------


def test_every_key_of_the_crossed_reference_is_met() -> None:
    data, expected = reference("60_sim_crossed_small")
    score = data["score"].astype(float)
    codes = [data[name].astype(int) for name in ("candidate", "interviewer")]
    fit = components(score, *codes, data["question"].astype(int))

    interviewers = random_effects(fit)["interviewer"]

    place = {level: k for k, level in enumerate(interviewers.level.tolist())}
    found = {
        "n_ratings": fit.n_ratings,
        "intercept": fit.intercept,
        "reml_var_candidate": fit.var_candidate,
        "reml_var_question": fit.var_question,
        "reml_var_interviewer": fit.var_interviewer,
        "reml_var_residual": fit.var_resid,
        "reml_criterion": fit.reml_criterion,
        "icc_single_rating_absolute": fit.icc_single,
        "blup_se_interviewer_7": interviewers.conditional_se[place[7]],
    }
    for one in (3, 4, 7):
        found[f"blup_interviewer_{one}"] = interviewers.estimate[place[one]]
    assert_keys(found, expected, elsewhere=("timing",))


def test_every_key_of_the_reviewers_reference_is_met() -> None:
    """One-way coefficients and alpha are asserted in test_agreement.py."""
    data, expected = reference("18_kuhlisch_reviewers_2to4_per_paper")
    codes = [data[name].astype(int) for name in ("subject", "rater")]
    fit = components(data["score"].astype(float), *codes)

    reviewers = random_effects(fit)["interviewer"]

    most = int(reviewers.estimate.argmin())
    found = {
        "n_subjects": fit.n_candidates,
        "n_raters": fit.n_interviewers,
        "reml_var_subject": fit.var_candidate,
        "reml_var_rater": fit.var_interviewer,
        "reml_var_residual": fit.var_resid,
        "k_harmonic": k_harmonic(*codes),
        "most_severe_rater": reviewers.level[most],
        "most_severe_rater_shrunk_effect": reviewers.estimate[most],
    }
    assert_keys(found, expected, elsewhere=("icc1", "k0", "alpha"))


def test_predictions_rank_raters_as_the_rasch_model_does() -> None:
    """The other keys are asserted in test_rasch.py."""
    data, expected = reference("51_mfrm_rater_severity")
    score = np.column_stack([data[f"k{k}"] for k in range(1, 6)]).astype(float)
    names, rater = np.unique(data["rater"], return_inverse=True)
    person = np.repeat(data["idstud"].astype(int), 5)
    items = np.tile(np.arange(5), rater.size)
    fit = components(score.ravel(), person, np.repeat(rater, 5), items)

    severity = -random_effects(fit)["interviewer"].estimate

    rasch = [expected[f"severity_{name}"]["value"] for name in names]
    correlation = spearmanr(severity, rasch).statistic
    row = expected["spearman_lmer_blup_vs_mfrm"]
    assert correlation == pytest.approx(row["value"], abs=row["tol"])


def test_eighty_fixed_effects_equal_lme4() -> None:
    """score ~ 0 + interviewer + interviewer:quarter + (1|candidate)."""
    data, expected = reference("66_sim_interviewer_drift_sparse")
    candidate, quarter, interviewer = (
        data[name].astype(int) for name in ("candidate", "quarter", "interviewer")
    )
    slopes = (interviewer[:, None] == np.unique(interviewer)) * quarter[:, None]
    score = data["score"].astype(float)
    fit = components(
        score, candidate, interviewer,
        covariates=slopes, factors=interviewer, cand_x_int=False,
    )  # fmt: skip

    found = fixed_effects(fit)

    assert fit.folded == (("interviewer", "in the fixed effects"),)
    wanted = {
        "blue_var_candidate": fit.var_candidate,
        "blue_var_residual": fit.var_resid,
    }
    for one in (1, 3, 11, 24, 37):
        wanted[f"slope_blue_{one}"] = found.estimate[one]
        wanted[f"slope_se_{one}"] = found.se[one]
    for key, value in wanted.items():
        assert value == pytest.approx(expected[key]["value"], abs=2e-6), key


# --- fixed effects -----------------------------------------------------------------


def test_fixed_effects_equal_lme4() -> None:
    """lme4 1.1-31, R 4.2.2, computed on 24 November 2026 with `panel` written to csv:
    lmer(score ~ x + factor(round) + (1|candidate) + (1|interviewer) + (1|question) +
    (1|candidate:interviewer)), bobyqa with rhoend 1e-10."""
    fit = everything(panel())

    found = fixed_effects(fit)

    assert fit.reml_criterion == pytest.approx(391.340770117, abs=1e-7)
    assert fit.var_candidate == pytest.approx(0.0554281191, rel=2e-6)
    assert fit.var_interviewer == pytest.approx(0.1259836588, rel=2e-6)
    assert fit.var_question == pytest.approx(0.0428312702, rel=2e-6)
    assert fit.var_cand_x_int == pytest.approx(0.4349147353, rel=2e-6)
    assert fit.var_resid == pytest.approx(0.3842670748, rel=2e-6)
    assert found.names == ("intercept", "covariate 0", "factor 0 = 1", "factor 0 = 2")
    np.testing.assert_allclose(
        found.estimate, [3.186479536, 0.146883605, 0.343413921, -0.174974603], atol=1e-7
    )
    np.testing.assert_allclose(
        found.se, [0.2081972466, 0.0842043542, 0.133733338, 0.1391203922], atol=1e-7
    )


def test_the_estimates_covariance_equals_lme4() -> None:
    """As above, without question and interaction: vcov(fit)."""
    data = panel()
    fit = fitted(data, covariates=data["x"], factors=data["round"], cand_x_int=False)

    found = fixed_effects(fit)

    assert fit.reml_criterion == pytest.approx(412.656107425, abs=1e-7)
    assert fit.intercept == pytest.approx(3.170739605, abs=1e-7)
    assert found.covariance[0, 1] == pytest.approx(-6.3524264e-4, abs=1e-9)
    assert found.covariance[2, 3] == pytest.approx(0.01530942823, abs=1e-8)
    assert found.covariance[1, 3] == pytest.approx(0.0018645647, abs=1e-8)


def test_fixed_effects_are_generalised_least_squares() -> None:
    """The criterion and the estimates from their definition, with V in full."""
    data = panel()
    fit = everything(data)
    x, y, n = fixed_columns(data), data["score"], data["score"].size
    v = covariance(data, fit)
    inverse = np.linalg.inv(v)
    bread = x.T @ inverse @ x
    beta = np.linalg.solve(bread, x.T @ inverse @ y)
    rest = y - x @ beta

    found = fixed_effects(fit)

    criterion = (
        (n - 4) * np.log(2 * np.pi)
        + np.linalg.slogdet(v)[1]
        + np.linalg.slogdet(bread)[1]
        + rest @ inverse @ rest
    )
    assert fit.reml_criterion == pytest.approx(criterion, abs=1e-8)
    np.testing.assert_allclose(found.estimate, beta, atol=1e-10)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(bread), atol=1e-10)
    centre = x.mean(axis=0)
    assert found.mean == pytest.approx(centre @ beta)
    assert found.mean_se == pytest.approx(
        np.sqrt(centre @ np.linalg.inv(bread) @ centre)
    )


def test_one_fixed_effect_is_the_intercept() -> None:
    fit = fitted(panel())

    found = fixed_effects(fit)

    assert found.names == ("intercept",)
    assert found.estimate[0] == pytest.approx(fit.intercept)
    assert found.mean == pytest.approx(fit.intercept)
    assert found.mean_se == pytest.approx(found.se[0])


def test_columns_that_others_explain_are_named_and_change_nothing() -> None:
    data = panel()
    x, r = data["x"], data["round"]
    plain = fitted(data, covariates=x, factors=r)
    doubled = fitted(
        data, covariates=np.column_stack([x, 2 * x - 1, 0 * x]), factors=np.c_[r, 7 - r]
    )

    found = fixed_effects(doubled)

    assert found.dropped == (2, 3, 6, 7)
    assert [found.names[k] for k in found.dropped] == [
        "covariate 1", "covariate 2", "factor 1 = 6", "factor 1 = 7",
    ]  # fmt: skip
    assert np.isnan(found.estimate[[2, 3, 6, 7]]).all()
    assert doubled.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(
        found.estimate[[0, 1, 4, 5]], fixed_effects(plain).estimate, atol=1e-8
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_shifted_and_scaled_covariates_change_only_their_unit(
    seed: int, scale: float
) -> None:
    data = panel(16)
    x = np.random.default_rng(seed).normal(size=data["x"].size)
    before = fitted(data, covariates=x)
    after = fitted(data, covariates=1e3 + scale * x)

    slopes = [fixed_effects(fit).estimate[1] for fit in (before, after)]

    assert slopes[1] * scale == pytest.approx(slopes[0], rel=1e-5, abs=1e-9)
    assert after.var_resid == pytest.approx(before.var_resid, rel=1e-4)
    # |X'V⁻¹X| has the unit of the covariate squared.
    assert after.reml_criterion == pytest.approx(
        before.reml_criterion + 2 * np.log(scale), abs=1e-5
    )


def test_adding_fixed_effects_to_scores_changes_no_variance() -> None:
    data = panel()
    moved = data | {"score": data["score"] + 50 * data["x"] - 20 * (data["round"] == 2)}

    before, after = everything(data), everything(moved)

    assert after.reml_criterion == pytest.approx(before.reml_criterion, abs=1e-7)
    assert after.var_candidate == pytest.approx(before.var_candidate, rel=1e-4)
    np.testing.assert_allclose(
        fixed_effects(after).estimate - fixed_effects(before).estimate,
        [0, 50, 0, -20],
        atol=1e-6,
    )


def test_a_fixed_effect_leaves_intervals_and_wide_panels_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dense factors there is a mean only, so fixed effects keep them."""
    data = panel()
    narrow = fitted(data, factors=data["round"])
    monkeypatch.setattr(crossed, "_WIDEST", 1)

    wide = fitted(data, factors=data["round"])

    assert wide._likelihood is not None
    assert wide.reml_criterion == narrow.reml_criterion
    limits = intervals(wide, q_overlap=0.3, k_harmonic=2.4)
    assert limits.icc_low < wide.icc_single < limits.icc_high


@pytest.mark.filterwarnings("error")
def test_scores_that_are_their_fixed_effects_have_no_variance() -> None:
    data = panel(12)
    score = 2.0 + 0.5 * data["round"]

    fit = fitted(data | {"score": score}, factors=data["round"])

    assert (fit.var_candidate, fit.var_resid) == (0, 0)
    assert np.isnan(fit.icc_single)
    found = fixed_effects(fit)
    np.testing.assert_allclose(found.estimate, [2, 0.5, 1], atol=1e-12)
    assert np.isnan(found.se).all()
    assert random_effects(fit) == {}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_ratings_for_the_fixed_effects_give_nan(n: int) -> None:
    data = {name: column[:n] for name, column in panel(5).items()}

    fit = fitted(data, covariates=data["x"], factors=data["round"])

    assert np.isnan([fit.var_candidate, fit.icc_single]).all()
    assert np.isnan(fixed_effects(fit).se).all()
    assert random_effects(fit) == {}


def test_bad_fixed_effects_are_refused() -> None:
    data = panel(5)
    with pytest.raises(ValueError, match="factors must have"):
        fitted(data, factors=data["round"][:3])
    with pytest.raises(ValueError, match="covariates must be finite"):
        fitted(data, covariates=np.full(data["score"].size, np.nan))
    with pytest.raises(ValueError, match="covariates must have"):
        fitted(data, covariates=np.zeros((2, 2, 2)))


def test_orthogonal_columns_times_the_triangle_are_the_columns() -> None:
    data = panel()

    found = design(data["x"].size, data["x"], data["round"])

    n = data["x"].size
    np.testing.assert_allclose(
        found.columns @ found.triangle, fixed_columns(data), atol=1e-12
    )
    np.testing.assert_allclose(
        found.columns.T @ found.columns, n * np.eye(4), atol=1e-10
    )


# --- nested factors ----------------------------------------------------------------


def test_interviewers_nested_in_teams_equal_lme4() -> None:
    """lme4 1.1-31, R 4.2.2, computed on 24 November 2026:
    lmer(score ~ factor(round) + (1|team/interviewer) + (1|candidate))."""
    data = panel()
    fit = components(
        data["score"],
        data["candidate"],
        nested_codes(data["team"], data["interviewer"]),
        data["team"],
        factors=data["round"],
        cand_x_int=False,
    )

    estimate = fixed_effects(fit).estimate

    assert fit.reml_criterion == pytest.approx(406.673087352, abs=1e-7)
    assert fit.var_candidate == pytest.approx(0.068407714, rel=1e-5)
    assert fit.var_interviewer == pytest.approx(0.0476279561, rel=1e-5)
    assert fit.var_question == pytest.approx(0.21161325, rel=1e-5)
    assert fit.var_resid == pytest.approx(0.7324545919, rel=1e-5)
    np.testing.assert_allclose(
        estimate, [3.135715413, 0.322042557, -0.189891726], atol=1e-6
    )


def test_nested_codes_differ_between_outer_levels() -> None:
    assert nested_codes([0, 0, 1, 1, 0], [5, 6, 5, 5, 6]).tolist() == [0, 1, 2, 2, 1]
    assert nested_codes([], []).size == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 1, 1], [7, 7, 3, 3], "identical"),
        ([0, 1, 2, 2], [0, 0, 1, 1], "first in second"),
        ([0, 0, 1, 1], [0, 1, 2, 2], "second in first"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "crossed"),
    ],
)
def test_nesting_says_how_factors_lie(
    first: list[int], second: list[int], expected: str
) -> None:
    assert nesting(first, second) == expected


def test_nesting_needs_one_entry_per_rating() -> None:
    with pytest.raises(ValueError, match="first and second must have"):
        nesting([0, 1], [0])


@pytest.mark.parametrize(
    ("change", "folded"),
    [
        ({}, ()),
        ({"question": "candidate"}, (("question", "in candidate"),)),
        ({"question": "interviewer"}, (("question", "in interviewer"),)),
        ({"question": "rating"}, (("question", "in the residual"),)),
        ({"question": "one"}, (("question", "one level"),)),
        ({"question": "round"}, (("question", "in the fixed effects"),)),
    ],
)
def test_what_cannot_be_told_apart_is_folded_and_said(
    change: dict[str, str], folded: tuple[tuple[str, str], ...]
) -> None:
    data = panel()
    size = data["score"].size
    data |= {"rating": np.arange(size), "one": np.zeros(size, dtype=int)}
    data |= {name: data[source] for name, source in change.items()}

    fit = fitted(data, question=data["question"], factors=data["round"])

    assert fit.folded == folded
    assert ("question" in fit.terms) == (not folded)


def test_an_interaction_of_single_ratings_is_in_the_residual() -> None:
    candidate, interviewer = (code.ravel() for code in np.indices((8, 4)))
    score = np.sin(1.3 * np.arange(32)) + 0.5 * candidate

    fit = components(score, candidate, interviewer)
    without = components(score, candidate, interviewer, cand_x_int=False)

    assert fit.folded == (("cand_x_int", "in the residual"),)
    assert without.folded == ()
    assert fit.var_resid == without.var_resid


def test_one_interviewer_per_candidate_folds_the_interaction() -> None:
    data = panel()
    fit = components(data["score"], data["candidate"], data["candidate"] % 4)

    assert fit.folded == (("cand_x_int", "in candidate"),)
    assert nesting(data["candidate"], data["candidate"] % 4) == "first in second"


def test_fixed_interviewers_give_no_absolute_agreement() -> None:
    data = panel()

    fit = fitted(data, factors=data["interviewer"], cand_x_int=False)

    assert fit.folded == (("interviewer", "in the fixed effects"),)
    assert np.isnan([fit.icc_single, fit.var_interviewer]).all()
    assert fit.var_candidate > 0


# --- predictions -------------------------------------------------------------------


def test_predictions_equal_lme4() -> None:
    """lme4 1.1-31, R 4.2.2, computed on 24 November 2026: ranef(fit, condVar = TRUE)
    of the fit of `test_fixed_effects_equal_lme4`."""
    fit = everything(panel())

    found = random_effects(fit)

    expected = {
        "candidate": (
            [-0.0500632501, -0.0218286215, 0.0828665206],
            [0.220029231, 0.211914479, 0.219265772],
        ),
        "interviewer": (
            [0.3214227351, -0.0898323934, 0.0349267549],
            [0.215211652, 0.220316962, 0.207867295],
        ),
        "question": (
            [-0.0277087933, 0.085748746, -0.1014298148],
            [0.128938386, 0.129082179, 0.129086059],
        ),
    }
    for name, (estimate, se) in expected.items():
        np.testing.assert_allclose(found[name].estimate[:3], estimate, atol=1e-7)
        np.testing.assert_allclose(found[name].conditional_se[:3], se, atol=1e-7)
    cards = found["cand_x_int"]
    assert cards.level[:2].tolist() == [[0, 0], [0, 3]]
    assert cards.estimate[0] == pytest.approx(0.0370948101, abs=1e-7)
    assert cards.conditional_se[0] == pytest.approx(0.481003964, abs=1e-7)


@pytest.mark.parametrize("interaction", [True, False])
def test_errors_are_those_of_hendersons_equations(interaction: bool) -> None:
    """All effects at once, by the inverse of the whole coefficient matrix."""
    data = panel()
    fit = fitted(
        data,
        question=data["question"],
        covariates=data["x"],
        factors=data["round"],
        cand_x_int=interaction,
    )
    terms = indicators(data, fit)
    x = fixed_columns(data)
    w = np.hstack([x, *terms.values()])
    sizes = [z.shape[1] for z in terms.values()]
    ratio = [fit.var_resid / getattr(fit, f"var_{name}") for name in terms]
    ridge = np.concatenate([np.zeros(4), np.repeat(ratio, sizes)])
    inverse = np.linalg.inv(w.T @ w + np.diag(ridge))
    solution = inverse @ w.T @ data["score"]
    known = np.linalg.inv(w.T @ w + np.diag(ridge + 1e12 * (ridge == 0)))

    found = random_effects(fit)

    assert tuple(found) == fit.terms
    ends = 4 + np.cumsum(sizes)
    for name, size, end in zip(terms, sizes, ends, strict=True):
        at = slice(end - size, end)
        effects = found[name]
        np.testing.assert_allclose(effects.estimate, solution[at], atol=1e-9)
        for se, matrix in (
            (effects.prediction_se, inverse),
            (effects.conditional_se, known),
        ):
            variance = fit.var_resid * np.diagonal(matrix)[at]
            np.testing.assert_allclose(se**2, variance, rtol=1e-6, atol=1e-9)
        assert np.all(effects.prediction_se >= effects.conditional_se - 1e-12)


@pytest.mark.parametrize("most", [None, 1], ids=["to the end", "stopped too early"])
def test_what_interviewers_add_is_what_is_predicted_of_them(
    monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    monkeypatch.setattr(
        "orchestration.statistics.crossed_effects.cg", partial(cg, maxiter=most)
    )
    data = panel()
    fit = everything(data)
    found = random_effects(fit)["interviewer"]
    asked = np.append(data["interviewer"][::-1], [-5, 10_000])

    added = interviewer_effects(fit, asked)

    expected = found.estimate[np.searchsorted(found.level, asked[:-2])]
    np.testing.assert_allclose(added, np.append(expected, [0.0, 0.0]), atol=1e-11)


def test_predictions_in_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = everything(panel())
    whole = random_effects(fit)
    monkeypatch.setattr("orchestration.statistics.crossed_effects._BATCH", 40)

    parts = random_effects(fit)

    for name, effects in whole.items():
        assert parts[name].prediction_se.tolist() == effects.prediction_se.tolist()


def test_predictions_of_wide_panels_solve_the_equations_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = panel(200)
    dense = random_effects(fitted(data))
    monkeypatch.setattr(crossed, "_WIDEST", 1)
    fit = fitted(data)

    wide = random_effects(fit)

    assert fit._likelihood is None
    for name, effects in dense.items():
        np.testing.assert_allclose(wide[name].estimate, effects.estimate, atol=0.01)
        np.testing.assert_allclose(
            wide[name].prediction_se, effects.prediction_se, atol=0.01
        )


def test_a_variance_of_zero_predicts_zero() -> None:
    rng = np.random.default_rng(3)
    candidate = np.repeat(np.arange(100), 2)
    gap = rng.normal(size=100)
    # Two raters of one candidate contradict each other: no variance is left over.
    score = np.column_stack([gap, -gap]).ravel()
    fit = components(score, candidate, rng.integers(0, 12, 200))

    found = random_effects(fit)["candidate"]

    assert fit.var_candidate == 0
    assert not found.estimate.any()
    assert not found.prediction_se.any()


def test_levels_are_named_as_they_were_given() -> None:
    data = panel()
    renamed = data | {"interviewer": 900 - 3 * data["interviewer"]}

    before = random_effects(fitted(data))["interviewer"]
    after = random_effects(fitted(renamed))["interviewer"]

    assert after.level.tolist() == [882, 885, 888, 891, 894, 897, 900]
    np.testing.assert_allclose(after.estimate, before.estimate[::-1], atol=1e-5)


def test_effects_need_a_fit() -> None:
    bare = Components(*[float("nan")] * 7, (), False, 0, 0, 0, float("nan"), False)
    for function in (fixed_effects, random_effects):
        with pytest.raises(ValueError, match="must come from components"):
            function(bare)

"""The parametric bootstrap of variance components, beside the profile likelihood."""

import numpy as np
import pytest

from orchestration.statistics.crossed import (
    Components,
    components,
    g_qk,
    intervals,
    k_harmonic,
    panel_weights,
    q_overlap,
    variance_intervals,
)
from orchestration.statistics.crossed_bootstrap import (
    Draws,
    _batch,
    _drawn,
    bootstrap_intervals,
    bootstrap_variance_intervals,
    draw_components,
    fit_together,
    percentile_limits,
)
from orchestration.statistics.crossed_likelihood import likelihood_of, value_at

Panel = tuple[np.ndarray, ...]


def simulated(seed: int, n_candidates: int = 60, per_card: int = 1) -> Panel:
    """Two or three of ten interviewers per candidate: score, codes and questions."""
    rng = np.random.default_rng(seed)
    rows = [
        (candidate, interviewer)
        for candidate in range(n_candidates)
        for interviewer in rng.choice(10, rng.integers(2, 4), replace=False)
        for _ in range(rng.integers(1, per_card + 1))
    ]
    candidate, interviewer = np.array(rows).T
    question = rng.integers(0, 5, candidate.size)
    score = (
        3
        + rng.normal(0, 0.6, n_candidates)[candidate]
        + rng.normal(0, 0.3, 10)[interviewer]
        + rng.normal(0, 0.3, (n_candidates, 10))[candidate, interviewer]
        + rng.normal(0, 0.2, 5)[question]
        + rng.normal(0, 0.6, candidate.size)
    )
    return score, candidate, interviewer, question


def drawn(fit: Components, n: int, seed: int = 0) -> np.ndarray:
    deviations = np.sqrt(np.array([*fit._ratios, 1.0]) * fit.var_resid)
    panel = fit._panel
    return _drawn(
        panel, fit._names, deviations / panel.spread, np.random.default_rng(seed), n
    )


@pytest.mark.parametrize("with_question", [False, True])
@pytest.mark.parametrize("per_card", [1, 3])
def test_panels_fitted_together_are_fitted_as_alone(
    per_card: int, with_question: bool
) -> None:
    score, *codes, question = simulated(11, 30, per_card)
    codes = [*codes, question] if with_question else codes
    fit = components(score, *codes)
    scores = drawn(fit, 12)

    together = fit_together(fit._likelihood, fit._panel, scores, np.array(fit._ratios))

    alone = [components(column, *codes) for column in scores.T]
    for variances, one in zip(together, alone, strict=True):
        expected = [getattr(one, f"var_{name}") for name in (*one._names, "resid")]
        np.testing.assert_allclose(variances, expected, atol=2e-5)


def test_the_slope_of_many_panels_is_that_of_each() -> None:
    score, candidate, interviewer, question = simulated(5, 25, 3)
    fit = components(score, candidate, interviewer, question, factors=question % 2)
    scores, panel = drawn(fit, 4), fit._panel
    rng = np.random.default_rng(1)
    ratios = rng.uniform(0, 1.5, (4, len(fit._names))) * [[1], [1], [0.005], [0]]

    deviance, gradient, var_resid = _batch(fit._likelihood, panel, scores).values(
        ratios
    )

    for k, column in enumerate(scores.T):
        likelihood = likelihood_of(column, panel.design.columns, panel.chosen)
        one = value_at(likelihood, ratios[k])
        assert deviance[k] == pytest.approx(one.deviance, abs=1e-8)
        assert var_resid[k] == pytest.approx(one.var_resid, rel=1e-9)
        np.testing.assert_allclose(gradient[k], one.gradient, rtol=1e-6, atol=1e-6)


def test_drawn_scores_have_the_variances_of_the_fit() -> None:
    score, candidate, interviewer, _ = simulated(3, per_card=2)
    fit = components(score, candidate, interviewer)

    scores = drawn(fit, 4000) * fit._panel.spread

    products = scores @ scores.T / 4000
    same = candidate[:, None] == candidate
    met = interviewer[:, None] == interviewer
    between = fit.var_candidate
    assert products[same & ~met].mean() == pytest.approx(between, abs=0.02)
    assert products[~same & met].mean() == pytest.approx(fit.var_interviewer, abs=0.02)
    assert products[~same & ~met].mean() == pytest.approx(0, abs=0.01)
    total = between + fit.var_interviewer + fit.var_cand_x_int + fit.var_resid
    assert np.diagonal(products).mean() == pytest.approx(total, abs=0.03)


def test_the_bootstrap_agrees_with_the_profile_likelihood() -> None:
    score, candidate, interviewer, _ = simulated(2)
    fit = components(score, candidate, interviewer)
    q, k = q_overlap(candidate, interviewer), k_harmonic(candidate, interviewer)
    profile = intervals(fit, q_overlap=q, k_harmonic=k)

    draws = draw_components(fit, rng=np.random.default_rng(20), replicates=600)
    found = bootstrap_intervals(draws, q_overlap=q, k_harmonic=k)

    assert found.ci_method == "parametric bootstrap"
    for name in ("icc_low", "icc_high", "g_low", "g_high"):
        assert getattr(found, name) == pytest.approx(getattr(profile, name), abs=0.06)
    assert found.icc_low < fit.icc_single < found.icc_high
    assert found.g_low < g_qk(fit, q, k) < found.g_high


def test_limits_of_variances_agree_with_the_profile_likelihood() -> None:
    """The upper limit of a variance of few interviewers is the profile's weak spot."""
    score, candidate, interviewer, question = simulated(6, 80, 3)
    fit = components(score, candidate, interviewer, question)
    profile = variance_intervals(fit)

    draws = draw_components(fit, rng=np.random.default_rng(5), replicates=500)
    found = bootstrap_variance_intervals(draws)

    assert found.terms == profile.terms == (*fit.terms, "resid")
    sure = [found.terms.index(name) for name in ("candidate", "cand_x_int", "resid")]
    np.testing.assert_allclose(found.low[sure], profile.low[sure], atol=0.08)
    np.testing.assert_allclose(found.high[sure], profile.high[sure], rtol=0.15)
    assert np.all(found.high < profile.high)


def test_draws_scatter_around_the_fit() -> None:
    score, candidate, interviewer, question = simulated(8, 80, 2)
    fit = components(score, candidate, interviewer, question)

    draws = draw_components(fit, rng=np.random.default_rng(4), replicates=300)

    assert draws.terms == (*fit.terms, "resid")
    assert draws.variances.shape == (300, 5)
    error = draws.variances.std(axis=0, ddof=1) / np.sqrt(300)
    fitted = np.array([getattr(fit, f"var_{name}") for name in draws.terms])
    # Estimates cut off at zero are biased upwards, by less than their spread.
    assert np.all(np.abs(draws.variances.mean(axis=0) - fitted) < 6 * error + 0.01)


def test_a_seed_tells_the_draws_and_batches_lose_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = components(*simulated(2, 20)[:3])
    first = draw_components(fit, rng=np.random.default_rng(7), replicates=20)
    again = draw_components(fit, rng=np.random.default_rng(7), replicates=20)
    monkeypatch.setattr("orchestration.statistics.crossed_bootstrap._BATCH", 500)

    batched = draw_components(fit, rng=np.random.default_rng(7), replicates=20)

    assert first.variances.tolist() == again.variances.tolist()
    assert batched.variances.shape == first.variances.shape


def test_draws_are_in_squared_points() -> None:
    score, candidate, interviewer, _ = simulated(2, 20)
    draws = [
        draw_components(
            components(scale * score, candidate, interviewer),
            rng=np.random.default_rng(1),
            replicates=30,
        )
        for scale in (1, 10)
    ]

    one, ten = (each.variances for each in draws)

    np.testing.assert_allclose(ten, 100 * one, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(draws[0].icc_single(), draws[1].icc_single(), atol=1e-4)


def test_a_share_is_its_definition() -> None:
    draws = Draws(
        ("candidate", "interviewer", "resid"), np.array([[2.0, 1, 4], [0, 0, 0]])
    )

    share = draws.share(panel_weights(0.5, 2))

    assert share[0] == pytest.approx(2 / (2 + 0.5 + 2))
    assert np.isnan(share[1])
    assert draws.icc_single()[0] == pytest.approx(2 / 7)


def test_percentiles_leave_out_what_is_not_known() -> None:
    values = np.append(np.arange(101.0), np.nan)

    assert percentile_limits(values, level=0.9) == pytest.approx((5, 95))
    assert np.isnan(percentile_limits(np.array([np.nan]))).all()


@pytest.mark.filterwarnings("error")
def test_a_panel_without_components_has_no_draws() -> None:
    fit = components([3.0] * 6, [0, 0, 1, 1, 2, 2], [0, 1] * 3)

    draws = draw_components(fit, rng=np.random.default_rng(0), replicates=5)
    found = bootstrap_intervals(draws, q_overlap=0.2, k_harmonic=2.0)

    assert draws.variances.shape == (0, 3)
    assert np.isnan(bootstrap_variance_intervals(draws).low).all()
    assert np.isnan([found.icc_low, found.g_high]).all()


def test_one_interviewer_gives_no_absolute_agreement() -> None:
    score, candidate, interviewer, _ = simulated(2, 20)
    fit = components(score, candidate, np.zeros_like(interviewer))

    draws = draw_components(fit, rng=np.random.default_rng(0), replicates=20)
    found = bootstrap_intervals(draws, q_overlap=0.0, k_harmonic=1.0)

    assert np.isnan([found.icc_low, found.icc_high]).all()
    assert 0 <= found.g_low < found.g_high < 1


def test_too_few_replicates_and_foreign_fits_are_refused() -> None:
    fit = components(*simulated(2, 10)[:3])
    bare = Components(*[float("nan")] * 7, (), False, 0, 0, 0, float("nan"), False)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        draw_components(fit, rng=rng, replicates=1)
    with pytest.raises(ValueError, match="must come from components"):
        draw_components(bare, rng=rng, replicates=5)

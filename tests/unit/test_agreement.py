import csv
import json
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import cohens_kappa

from orchestration.statistics.agreement import (
    FORMS,
    Agreement,
    Coefficient,
    Coincidences,
    agreement,
    alpha,
    alpha_interval,
    bootstrap,
    candidate_sums,
    chance_corrected,
    cohen_kappa,
    coincidences,
    complete_block,
    complete_blocks,
    conger_kappa,
    consensus,
    fleiss_null_se,
    gwet_ac2,
    interval,
    null_variance,
    one_way,
    one_way_of,
    pair_tables,
    uniform_variance,
)

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
# Shrout & Fleiss (1979), Psychol. Bull. 86(2), table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
    ]
)
# Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C: twelve
# units, four observers, rows are observers.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
).T
# The same ratings in Gwet (2014) and irrCAC's cac.raw4raters, where the single rating
# of the last unit is the third rater's.
GWET = KRIPPENDORFF.copy()
GWET[11] = [0, 0, 3, 0]
# irr::anxiety of R: twenty subjects, three raters, levels 1 to 6.
ANXIETY = np.array(
    [
        [3, 3, 2], [3, 6, 1], [3, 4, 4], [4, 6, 4], [5, 2, 3], [5, 4, 2], [2, 2, 1],
        [3, 4, 6], [5, 3, 1], [2, 3, 1], [2, 2, 1], [6, 3, 2], [1, 3, 3], [5, 3, 3],
        [2, 2, 1], [2, 2, 1], [1, 1, 3], [2, 3, 3], [4, 3, 2], [3, 4, 2],
    ]
)  # fmt: skip
# Fleiss (1971), Psychol. Bull. 76(5), 378-382, table 1: six of 43 psychiatrists put
# each of thirty patients into one of five diagnoses.
FLEISS = np.array(
    [
        [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6],
        [0, 3, 0, 3, 0], [2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0],
        [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0],
        [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1],
        [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3],
        [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
        [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0],
        [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
    ]
)  # fmt: skip
# multilevel::lq2002 of R (Bliese, Halverson & Schriesheim 2002), company 14: ten
# soldiers by eleven items on leadership, levels 1 to 5.
COMPANY = np.array(
    [
        [1, 1, 1, 1, 4, 4, 1, 4, 1, 1, 1],
        [3, 3, 2, 3, 3, 3, 1, 3, 3, 4, 3],
        [2, 4, 1, 1, 4, 4, 1, 4, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [4, 5, 3, 2, 3, 3, 3, 4, 3, 3, 3],
        [2, 2, 3, 3, 4, 4, 5, 5, 5, 5, 4],
        [3, 3, 3, 4, 4, 4, 2, 3, 2, 2, 2],
        [3, 3, 3, 1, 3, 3, 3, 3, 3, 3, 3],
        [4, 4, 3, 4, 3, 3, 4, 2, 4, 3, 4],
        [3, 3, 2, 2, 2, 3, 3, 3, 2, 3, 2],
    ]
)
SCHEMES = ("identity", "linear", "quadratic", "ordinal")

Rows = tuple[NDArray[np.int64], ...]


def long_form(
    table: NDArray[np.int64], *, missing: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    unit, _rater = np.indices(table.shape)
    kept = np.ones(table.shape, bool) if missing is None else table != missing
    return table[kept], unit[kept]


def with_raters(table: NDArray[np.int64]) -> Rows:
    """Level from 0, unit and rater of each rating; 0 in the table is a gap."""
    unit, rater = np.nonzero(table)
    return table[unit, rater] - 1, unit, rater


def of_one_group(
    level: NDArray[np.int64], unit: NDArray[np.int64], n_levels: int = 5
) -> Coincidences:
    return coincidences(level, unit, np.zeros_like(unit), n_levels=n_levels, n_groups=1)


def of_counts(table: NDArray[np.int64]) -> Coincidences:
    unit, level = np.nonzero(table)
    times = table[unit, level]
    return of_one_group(np.repeat(level, times), np.repeat(unit, times), table.shape[1])


def panel(seed: int, *, n_groups: int = 3, raters: int = 4) -> Rows:
    """Level, unit, rater and group of a panel with gaps, in no order."""
    rng = np.random.default_rng(seed)
    group, unit, rater = (
        part.ravel() for part in np.indices((n_groups, 9, raters), dtype=np.int64)
    )
    person = rng.integers(0, 5, (n_groups, 9))[group, unit]
    level = np.clip(person + rng.integers(-1, 2, group.size), 0, 4)
    kept = rng.permutation(group.size)[: int(0.7 * group.size)]
    return level[kept], unit[kept], rater[kept], group[kept]


def expected_of(case: str) -> tuple[dict[str, dict], list[dict[str, str]]]:
    folder = REFERENCE / case
    if not folder.is_dir():
        pytest.skip(f"reference data {folder} is not there")
    with (folder / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    return {row["key"]: row for row in expected}, rows


def assert_every_key(
    got: dict[str, float], expected: dict[str, dict], *, elsewhere: tuple[str, ...] = ()
) -> None:
    assert {*got, *elsewhere} == {*expected}
    for key, value in got.items():
        row = expected[key]
        tolerance = {row["tol_kind"]: row["tol"]}
        assert value == pytest.approx(row["value"], **{"abs": 0, **tolerance}), key


# One-way, unbalanced


def test_one_way_icc_equals_shrout_and_fleiss() -> None:
    value, unit = long_form(SHROUT_FLEISS)

    result = one_way(value, unit, np.zeros_like(unit), n_groups=1)

    assert result.estimate[0] == pytest.approx(0.1657, abs=5e-5)
    assert result.low[0] == pytest.approx(-0.1329, abs=5e-4)
    assert result.high[0] == pytest.approx(0.7226, abs=5e-4)
    assert result.mean_estimate[0] == pytest.approx(0.4428, abs=5e-5)
    assert result.mean_low[0] == pytest.approx(-0.8844, abs=5e-5)
    assert result.mean_high[0] == pytest.approx(0.9124, abs=5e-5)
    assert result.k_effective[0] == pytest.approx(4)
    assert result.ms_between[0] == pytest.approx(11.24, abs=5e-3)
    assert result.ms_within[0] == pytest.approx(6.26, abs=5e-3)


def test_every_value_of_unequal_groups_equals_the_reference() -> None:
    expected, rows = expected_of("13_bliese_bh1996_icc1_icc2")
    value = np.array([float(row["score"]) for row in rows])
    unit = np.array([int(row["subject"]) for row in rows])

    found = one_way(value, unit, np.zeros_like(unit), n_groups=1)

    between, within = found.ms_between[0], found.ms_within[0]
    mean_k = found.n_ratings[0] / found.n[0]
    got = {
        "ms_between": between,
        "ms_within": within,
        "k0_anova": found.k_effective[0],
        "icc1_using_k0": found.estimate[0],
        "icc1_multilevel_pkg_uses_mean_k": (between - within)
        / (between + (mean_k - 1) * within),
        "icc2": found.mean_estimate[0],
    }
    # The REML components are those of `crossed`, and asserted with it.
    assert_every_key(got, expected, elsewhere=("reml_var_group", "reml_var_residual"))


def test_every_value_of_conference_papers_equals_the_reference() -> None:
    expected, rows = expected_of("18_kuhlisch_reviewers_2to4_per_paper")
    level = np.array([int(row["score"]) for row in rows])
    unit = np.array([int(row["subject"]) for row in rows])
    sums = candidate_sums(level, unit, np.zeros_like(unit), n_groups=1)

    single = one_way_of(sums)

    pairs = of_one_group(level, unit, n_levels=int(level.max()) + 1)
    got = {
        "n_subjects": single.n[0],
        "n_raters": len({row["rater"] for row in rows}),
        "icc1_anova_unbalanced": single.estimate[0],
        "k0_anova": single.k_effective[0],
        "k_harmonic": 1 / np.mean(1 / sums.size),
        "alpha_interval": alpha_interval(sums)[0],
        "alpha_ordinal": alpha(pairs, metric="ordinal")[0],
    }
    elsewhere = [key for key in expected if key.startswith(("reml_", "most_severe"))]
    assert_every_key(got, expected, elsewhere=tuple(elsewhere))


def test_a_shifted_scale_keeps_every_digit() -> None:
    value, unit = long_form(SHROUT_FLEISS)
    group = np.zeros_like(unit)

    near = one_way(value, unit, group, n_groups=1)
    far = one_way(value + 1e9, unit, group, n_groups=1)

    assert far.estimate[0] == near.estimate[0]
    assert far.ms_within[0] == near.ms_within[0]


def test_equal_ratings_have_no_reliability_on_any_scale() -> None:
    """The mean of equal decimals is not one of them to the last bit."""
    value, unit = np.full(7, 0.1), np.array([0, 0, 0, 1, 1, 2, 2])
    sums = candidate_sums(value, unit, 0 * unit, n_groups=1)

    assert np.isnan(one_way_of(sums).estimate[0])
    assert np.isnan(alpha_interval(sums)[0])


# Krippendorff's alpha


def test_alpha_equals_krippendorffs_example_with_missing_values() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    result = agreement(of_one_group(level - 1, unit))

    assert result.alpha_nominal[0] == pytest.approx(0.743421052631579)
    assert result.alpha_ordinal[0] == pytest.approx(0.815387503754881)
    assert result.alpha_interval[0] == pytest.approx(0.849107142857143)


@pytest.mark.parametrize(
    ("metric", "published"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_alpha_by_each_metric_equals_krippendorffs_example(
    metric: str, published: float
) -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    result = alpha(of_one_group(level - 1, unit), metric=metric, values=range(1, 6))

    assert result[0] == pytest.approx(published, abs=5e-4)


def test_every_alpha_equals_the_reference() -> None:
    expected, rows = expected_of("03_krippendorff_c_missing")
    level = np.array([int(row["score"]) for row in rows]) - 1
    unit = np.array([int(row["subject"]) for row in rows])
    pairs = of_one_group(level, unit)

    got = {
        f"alpha_{metric}": alpha(pairs, metric=metric, values=range(1, 6))[0]
        for metric in ("nominal", "ordinal", "interval", "ratio")
    }

    size = pairs.counts.sum(axis=1)
    got["n_pairable_values"] = size[size > 1].sum()
    ordinal_weights = chance_corrected(pairs, 5, weights="ordinal").alpha.estimate[0]
    got["gwet_ordinal_weight_alpha_DIFFERENT_definition"] = ordinal_weights
    assert_every_key(got, expected)


def test_complete_data_of_three_raters_weigh_pairs_by_ratings_less_one() -> None:
    """R's irr 0.84.1 forgets the weight here and prints .163."""
    level, unit = long_form(ANXIETY - 1)
    pairs = of_one_group(level, unit, n_levels=6)

    result = agreement(pairs)

    assert result.alpha_interval[0] == pytest.approx(0.170, abs=5e-4)
    sums = candidate_sums(level, unit, 0 * unit, n_groups=1)
    assert alpha_interval(sums)[0] == pytest.approx(result.alpha_interval[0])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_alpha_by_every_metric_equals_the_krippendorff_package(seed: int) -> None:
    level, unit, rater, _ = panel(seed, n_groups=1)
    table = np.full((4, 9), np.nan)
    table[rater, unit] = level + 1
    pairs = of_one_group(level, unit)

    for metric in ("nominal", "ordinal", "interval", "ratio"):
        ours = alpha(pairs, metric=metric, values=range(1, 6))[0]
        peer = krippendorff.alpha(table, level_of_measurement=metric)
        assert ours == pytest.approx(peer, abs=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_faster_ways_to_alpha_agree_with_the_coincidences(seed: int) -> None:
    level, unit, _, group = panel(seed)
    pairs = coincidences(level, unit, group, n_levels=5, n_groups=3)

    together = agreement(pairs)

    sums = candidate_sums(level, unit, group, n_groups=3)
    for metric in ("nominal", "ordinal", "interval"):
        found = alpha(pairs, metric=metric)
        assert_allclose(found, getattr(together, f"alpha_{metric}"), atol=1e-12)
    assert_allclose(alpha_interval(sums), together.alpha_interval, atol=1e-12)


def test_ratio_alpha_ignores_the_unit_and_interval_alpha_the_origin() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    pairs, values = of_one_group(level - 1, unit), np.arange(1.0, 6.0)

    ratio, tenfold = (
        alpha(pairs, metric="ratio", values=part) for part in (values, 10 * values)
    )
    interval, shifted = (
        alpha(pairs, metric="interval", values=part) for part in (values, values - 7)
    )

    assert_allclose(tenfold, ratio)
    assert_allclose(shifted, interval)
    assert ratio[0] != pytest.approx(interval[0], abs=0.01)


@pytest.mark.parametrize(
    ("metric", "values", "message"),
    [
        ("cubic", None, "metric must be nominal, ordinal, interval or ratio"),
        ("ratio", None, "the ratio metric needs the value of each level"),
        ("ratio", [-1, 0, 1, 2, 3], "no values below 0, got -1"),
        ("interval", [1, 2], r"values must have shape \(5,\)"),
    ],
)
def test_impossible_metrics_are_named(metric, values, message) -> None:
    pairs = of_one_group(np.array([0, 1]), np.array([0, 0]))

    with pytest.raises(ValueError, match=message):
        alpha(pairs, metric=metric, values=values)


# Coefficients corrected for chance


def test_ac2_equals_gwets_example() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    result = gwet_ac2(of_one_group(level - 1, unit), [5])

    assert result[0] == pytest.approx(0.914, abs=5e-4)


def test_ac2_depends_on_levels_of_the_rubric_nobody_used() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    five = gwet_ac2(of_one_group(level - 1, unit, n_levels=7), [5])
    seven = gwet_ac2(of_one_group(level - 1, unit, n_levels=7), [7])

    assert five[0] != pytest.approx(seven[0], abs=1e-3)


def test_six_coefficients_and_errors_equal_gwets_example() -> None:
    """The README of irrCAC, cac.raw4raters: estimate and standard error."""
    published = {
        "percent": (0.8181818, 0.12561),
        "gwet": (0.77544, 0.14295),
        "fleiss": (0.76117, 0.15302),
        "alpha": (0.74342, 0.14557),
        "conger": (0.76282, 0.14917),
        "brennan_prediger": (0.77273, 0.14472),
    }
    level, unit, rater = with_raters(GWET)

    found = vars(chance_corrected(of_one_group(level, unit), 5))

    found["conger"] = conger_kappa(level, unit, rater, 0 * unit, n_levels=5, n_groups=1)
    for name, (estimate, se) in published.items():
        assert found[name].estimate[0] == pytest.approx(estimate, abs=5e-6), name
        assert found[name].se[0] == pytest.approx(se, abs=5e-6), name
    assert found["gwet"].n[0] == 12
    assert found["alpha"].n[0] == 11


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        (
            "linear",
            [0.858739136, 0.817944767, 0.848484848, 0.800383877, 0.81377632,
             0.117329022, 0.148504355, 0.123356124, 0.135477744, 0.145085402],
        ),
        (
            "quadratic",
            [0.914000724, 0.864935065, 0.901515152, 0.849107143, 0.857710656,
             0.103962245, 0.146033611, 0.110894375, 0.129129966, 0.143670664],
        ),
        (
            "ordinal",
            [0.89893977, 0.850206189, 0.886363636, 0.833638026, 0.843659525,
             0.106903524, 0.147035694, 0.113905904, 0.13107343, 0.144099959],
        ),
    ],
)  # fmt: skip
def test_weighted_coefficients_and_errors_equal_irrcac(weights, published) -> None:
    """irrCAC 0.4.4 on Gwet's example with nine digits: five estimates, five errors."""
    level, unit, rater = with_raters(GWET)

    found = chance_corrected(of_one_group(level, unit), 5, weights=weights)

    conger = conger_kappa(
        level, unit, rater, 0 * unit, n_levels=5, n_groups=1, weights=weights
    )
    parts = [found.gwet, found.fleiss, found.brennan_prediger, found.alpha, conger]
    got = [part.estimate[0] for part in parts] + [part.se[0] for part in parts]
    assert_allclose(got, published, atol=6e-10)


def test_six_ratings_each_equal_gwets_example() -> None:
    """The README of irrCAC, distrib.6raters: the first half of Fleiss' patients."""
    found = chance_corrected(of_counts(FLEISS[:15]), 5)

    assert found.gwet.estimate[0] == pytest.approx(0.4448007, abs=5e-8)
    assert found.gwet.se[0] == pytest.approx(0.08418757, abs=5e-9)
    assert found.gwet.chance[0] == pytest.approx(0.1914815, abs=5e-8)
    assert found.fleiss.estimate[0] == pytest.approx(0.4139265, abs=5e-8)
    assert found.fleiss.se[0] == pytest.approx(0.08119291, abs=5e-9)
    assert found.fleiss.observed[0] == pytest.approx(0.5511111, abs=5e-8)
    assert found.brennan_prediger.estimate[0] == pytest.approx(0.4388889, abs=5e-8)
    assert found.brennan_prediger.se[0] == pytest.approx(0.08312142, abs=5e-9)
    assert found.alpha.estimate[0] == pytest.approx(0.4204384, abs=5e-8)


def test_every_coefficient_equals_the_reference() -> None:
    expected, rows = expected_of("10_gwet_4raters_missing")
    level = np.array([int(row["score"]) for row in rows]) - 1
    unit = np.array([int(row["subject"]) for row in rows])
    rater = np.array([int(row["rater"][1:]) for row in rows])
    pairs = of_one_group(level, unit)

    plain = chance_corrected(pairs, 5)

    found = {
        "gwet_ac1": plain.gwet,
        "fleiss_kappa": plain.fleiss,
        "conger_kappa": conger_kappa(
            level, unit, rater, 0 * unit, n_levels=5, n_groups=1
        ),
        "brennan_prediger": plain.brennan_prediger,
        "alpha_nominal": plain.alpha,
        "percent_agreement": plain.percent,
    }
    got = {name: part.estimate[0] for name, part in found.items()}
    got |= {f"{name}_se": part.se[0] for name, part in found.items()}
    for weights in SCHEMES[1:]:
        gwet = chance_corrected(pairs, 5, weights=weights).gwet
        got[f"gwet_ac2_{weights}"] = gwet.estimate[0]
    assert_every_key(got, expected)


def test_fleiss_kappa_and_its_test_equal_the_published() -> None:
    """Fleiss (1971) gives .430; z is that of kappam.fleiss(diagnoses) of R's irr."""
    pairs = of_counts(FLEISS)

    kappa = chance_corrected(pairs, 5).fleiss.estimate[0]
    se = fleiss_null_se(pairs)[0]

    assert kappa == pytest.approx(0.430, abs=5e-4)
    assert kappa / se == pytest.approx(17.7, abs=0.05)


def test_fleiss_null_error_needs_as_many_ratings_of_each() -> None:
    uneven, one_level = FLEISS.copy(), np.zeros_like(FLEISS)
    uneven[0, 3] = 5
    one_level[:, 0] = 6

    assert np.isnan(fleiss_null_se(of_counts(uneven))[0])
    assert np.isnan(fleiss_null_se(of_counts(one_level))[0])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_gwets_form_of_alpha_is_krippendorffs(seed: int) -> None:
    level, unit, _, group = panel(seed)
    pairs = coincidences(level, unit, group, n_levels=5, n_groups=3)

    plain = chance_corrected(pairs, 5).alpha
    quadratic = chance_corrected(pairs, 5, weights="quadratic")

    assert_allclose(plain.estimate, alpha(pairs, metric="nominal"), atol=1e-12)
    interval = alpha(pairs, metric="interval")
    assert_allclose(quadratic.alpha.estimate, interval, atol=1e-12)
    assert_allclose(quadratic.gwet.estimate, gwet_ac2(pairs, [5] * 3), atol=1e-12)


@pytest.mark.parametrize("weights", SCHEMES)
def test_a_scheme_equals_its_matrix(weights: str) -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    pairs = of_one_group(level - 1, unit)
    gap = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    lost = {
        "identity": gap > 0,
        "linear": gap / 4,
        "quadratic": gap**2 / 16,
        "ordinal": gap * (gap + 1) / 20,
    }[weights]

    named = vars(chance_corrected(pairs, 5, weights=weights))
    own = vars(chance_corrected(pairs, 5, weights=1 - lost))

    for name, part in named.items():
        assert_allclose(part.estimate, own[name].estimate, atol=1e-12)
        assert_allclose(part.se, own[name].se, atol=1e-12)


def test_rubrics_of_different_lengths_stand_side_by_side() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    level, n = level - 1, level.size
    both = coincidences(
        np.tile(level, 2),
        np.tile(unit, 2),
        np.repeat([0, 1], n),
        n_levels=7,
        n_groups=2,
    )

    together = chance_corrected(both, [5, 7], weights="linear").gwet

    for place, levels in enumerate((5, 7)):
        alone = chance_corrected(
            of_one_group(level, unit, n_levels=levels), levels, weights="linear"
        ).gwet
        assert together.estimate[place] == pytest.approx(alone.estimate[0])
        assert together.se[place] == pytest.approx(alone.se[0])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_twice_the_candidates_keep_coefficients_and_shrink_errors(seed: int) -> None:
    level, unit, _, group = panel(seed)
    twice = coincidences(
        np.tile(level, 2),
        np.concatenate([unit, unit + 9]),
        np.tile(group, 2),
        n_levels=5,
        n_groups=3,
    )

    once = coincidences(level, unit, group, n_levels=5, n_groups=3)
    first = vars(chance_corrected(once, 5, weights="linear"))
    second = vars(chance_corrected(twice, 5, weights="linear"))

    for name in ("percent", "gwet", "fleiss", "brennan_prediger"):
        n = first[name].n
        assert_allclose(second[name].estimate, first[name].estimate, atol=1e-12)
        shrunk = first[name].se * np.sqrt((n - 1) / (2 * n - 1))
        assert_allclose(second[name].se, shrunk, atol=1e-12)


def test_without_disagreement_ac1_is_one_where_kappa_is_nowhere() -> None:
    pairs = of_one_group(np.full(6, 2), np.repeat(np.arange(3), 2))

    found = chance_corrected(pairs, 5)

    assert (found.gwet.estimate[0], found.gwet.se[0]) == (1, 0)
    assert found.brennan_prediger.estimate[0] == 1
    assert np.isnan(found.fleiss.estimate[0])
    assert np.isnan(found.alpha.estimate[0])


@pytest.mark.parametrize(
    ("weights", "n_levels", "message"),
    [
        ("cubic", 5, "weights must be one of identity, linear, quadratic, ordinal"),
        (np.eye(4), 5, r"weights of shape \(4, 4\) do not fit 5 levels"),
        (np.zeros((5, 5)), 5, "finite and 1 on the diagonal"),
        (np.tri(5), 5, "weights must be symmetric"),
        ("identity", 2, "group 0 has 2 levels, got a rating at level 3"),
    ],
)
def test_impossible_weights_are_named(weights, n_levels, message) -> None:
    pairs = of_one_group(np.array([1, 3]), np.array([0, 0]))

    with pytest.raises(ValueError, match=message):
        chance_corrected(pairs, n_levels, weights=weights)


# Conger and Cohen


@pytest.mark.parametrize("weights", SCHEMES)
def test_conger_of_two_raters_is_cohen(weights: str) -> None:
    level, unit, rater = with_raters(ANXIETY[:, :2])
    table = pair_tables(
        ANXIETY[:, 0] - 1, ANXIETY[:, 1] - 1, np.zeros(20, int), n_levels=6, n_groups=1
    )

    conger = conger_kappa(
        level, unit, rater, 0 * unit, n_levels=6, n_groups=1, weights=weights
    )

    cohen = cohen_kappa(table, weights=weights)
    assert conger.estimate[0] == pytest.approx(cohen.estimate[0])
    # Gwet divides by n - 1, the large-sample formula by n.
    assert conger.se[0] == pytest.approx(cohen.se[0] * np.sqrt(20 / 19))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_conger_ignores_names_and_other_groups(seed: int) -> None:
    level, unit, rater, group = panel(seed)
    renamed = np.random.default_rng(seed).permutation(4)[rater] + 3

    together = conger_kappa(level, unit, rater, group, n_levels=5, n_groups=3)

    other = conger_kappa(level, unit, renamed, group, n_levels=5, n_groups=3)
    assert_allclose(together.estimate, other.estimate)
    assert_allclose(together.se, other.se)
    for code in range(3):
        own = group == code
        alone = conger_kappa(
            level[own], unit[own], rater[own], 0 * unit[own], n_levels=5, n_groups=1
        )
        assert together.estimate[code] == pytest.approx(alone.estimate[0])
        assert together.se[code] == pytest.approx(alone.se[0])


def test_conger_of_one_rater_is_not_estimable() -> None:
    unit = np.arange(4)

    found = conger_kappa(unit, unit, 0 * unit, 0 * unit, n_levels=5, n_groups=1)

    assert np.isnan(found.estimate[0])
    assert np.isnan(found.se[0])


def test_cohens_kappa_equals_gwets_abstractors() -> None:
    """The README of irrCAC, cont3x3abstractors."""
    found = cohen_kappa([[13, 0, 0], [0, 20, 7], [0, 4, 56]])

    assert found.estimate == pytest.approx(0.7964094, abs=5e-8)
    assert found.se == pytest.approx(0.05891072, abs=5e-9)


def test_cohens_kappa_equals_the_dermatologists_of_sas() -> None:
    """SAS/STAT, PROC FREQ, "Cohen's Kappa Coefficient": 88 patients, two doctors."""
    table = [[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]]

    plain, linear = cohen_kappa(table), cohen_kappa(table, weights="linear")

    assert plain.estimate == pytest.approx(0.3449, abs=5e-5)
    assert plain.se == pytest.approx(0.0724, abs=5e-5)
    assert linear.estimate == pytest.approx(0.5082, abs=5e-5)
    assert linear.se == pytest.approx(0.0655, abs=5e-5)


def test_own_weights_give_the_kappa_of_cohen_1968() -> None:
    """Psychol. Bull. 70, 213-220: .492, and .348 where some errors are worse."""
    table = [[88, 10, 2], [14, 40, 6], [18, 10, 12]]
    loss = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]])

    plain, weighted = cohen_kappa(table), cohen_kappa(table, weights=1 - loss / 6)

    assert plain.estimate == pytest.approx(0.492, abs=5e-4)
    assert weighted.estimate == pytest.approx(0.348, abs=5e-4)


@pytest.mark.parametrize(
    ("weights", "published"),
    [("identity", 0.1195), ("linear", 0.1892), ("quadratic", 0.2968)],
)
def test_two_anxiety_raters_equal_irr(weights: str, published: float) -> None:
    """kappa2(anxiety[, 1:2]) of R's irr, plain, "equal" and "squared"."""
    table = pair_tables(
        ANXIETY[:, 0] - 1, ANXIETY[:, 1] - 1, np.zeros(20, int), n_levels=6, n_groups=1
    )

    found = cohen_kappa(table, weights=weights)

    assert found.estimate[0] == pytest.approx(published, abs=5e-5)


tables = st.lists(st.integers(0, 9), min_size=16, max_size=16).map(
    lambda cells: np.array(cells).reshape(4, 4) + np.eye(4, dtype=int)
)


@given(st.lists(tables, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_kappas_of_many_tables_equal_statsmodels(tables) -> None:
    own = np.array(
        [[1, 0.9, 0.2, 0], [0.5, 1, 0.6, 0.1], [0, 0.6, 1, 0.7], [0, 0, 0.8, 1]]
    )
    schemes = (("identity", None), ("linear", "linear"), ("quadratic", "quadratic"))
    for ours, theirs in (*schemes, (own, 1 - own)):
        named = theirs is None or isinstance(theirs, str)
        found = cohen_kappa(np.array(tables), weights=ours)
        for place, table in enumerate(tables):
            wt, matrix = (theirs, None) if named else (None, theirs)
            # Its variance without error is a difference and may fall below 0.
            with np.errstate(invalid="ignore"):
                peer = cohens_kappa(table, wt=wt, weights=matrix)
            se, se_null = (
                np.sqrt(max(part, 0)) for part in (peer.var_kappa, peer.var_kappa0)
            )
            assert found.estimate[place] == pytest.approx(peer.kappa, abs=1e-12)
            assert found.se[place] == pytest.approx(se, abs=1e-7)
            assert found.se_null[place] == pytest.approx(se_null, abs=1e-7)


def test_kappa_of_nothing_and_of_one_level_is_not_estimable() -> None:
    found = cohen_kappa([np.zeros((3, 3)), np.diag([4, 0, 0]), np.diag([2, 2, 2])])

    assert_array_equal(found.estimate, [np.nan, np.nan, 1])
    assert_array_equal(found.se, [np.nan, np.nan, 0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2, 3], [1, 2, 3]], "tables must be square"),
        ([[1, -2], [0, 1]], "counts must not be negative, got -2"),
    ],
)
def test_impossible_tables_are_named(table, message) -> None:
    with pytest.raises(ValueError, match=message):
        cohen_kappa(table)


# Limits of coefficients


def coefficient(estimate: float, se: float, n: int = 12) -> Coefficient:
    one = np.ones(1)
    return Coefficient(np.array([n]), one, 0 * one, estimate * one, se * one)


def test_limits_of_gwets_example_are_those_of_its_published_error() -> None:
    """irrCAC's .77544 and .14295 of 12 subjects; t of 11 df is 2.200985 (tables)."""
    level, unit, _ = with_raters(GWET)
    middle, half = np.arctanh(0.77544), 2.200985 * 0.14295 / (1 - 0.77544**2)

    low, high = interval(chance_corrected(of_one_group(level, unit), 5).gwet)

    assert low[0] == pytest.approx(np.tanh(middle - half), abs=2e-5)
    assert high[0] == pytest.approx(np.tanh(middle + half), abs=2e-5)


@pytest.mark.parametrize("weights", SCHEMES)
def test_two_raters_have_the_same_limits_by_conger_and_by_cohen(weights) -> None:
    first, second = ANXIETY[:, 0] - 1, ANXIETY[:, 1] - 1
    unit = np.arange(20)
    table = pair_tables(first, second, 0 * unit, n_levels=6, n_groups=1)

    by_cohen = interval(cohen_kappa(table, weights=weights))

    conger = conger_kappa(
        np.concatenate([first, second]),
        np.tile(unit, 2),
        np.repeat([0, 1], 20),
        np.zeros(40, int),
        n_levels=6,
        n_groups=1,
        weights=weights,
    )
    assert_allclose(by_cohen, interval(conger), atol=1e-12)


@given(
    estimate=st.floats(-0.99, 0.99), se=st.floats(1e-6, 0.5), n=st.integers(2, 10_000)
)
@settings(max_examples=50, deadline=None)
def test_limits_enclose_the_estimate_and_turn_with_its_sign(estimate, se, n) -> None:
    low, high = interval(coefficient(estimate, se, n))

    less = interval(coefficient(estimate, se, n), level=0.8)
    turned = interval(coefficient(-estimate, se, n))
    assert -1 <= low[0] <= less[0][0] <= estimate <= less[1][0] <= high[0] <= 1
    assert_allclose((-high, -low), turned, atol=1e-12)


@pytest.mark.parametrize(
    ("estimate", "se", "n", "wanted"),
    [
        (1.0, 0.0, 12, (1, 1)),
        (-1.0, 0.0, 12, (-1, -1)),
        (0.6, 0.0, 12, (0.6, 0.6)),
        (1.0, 0.1, 12, (1 - 0.2200985, 1)),
        (-1.5, 0.1, 12, (-1.5 - 0.2200985, -1.5 + 0.2200985)),
        (0.6, 0.1, 1, (np.nan, np.nan)),
        (0.6, np.nan, 12, (np.nan, np.nan)),
        (np.nan, 0.1, 12, (np.nan, np.nan)),
    ],
)
def test_limits_at_the_ends_of_the_scale(estimate, se, n, wanted) -> None:
    low, high = interval(coefficient(estimate, se, n))

    assert_allclose((low[0], high[0]), wanted, atol=1e-7)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_an_impossible_level_of_limits_is_named(level: float) -> None:
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\), got"):
        interval(coefficient(0.5, 0.1), level=level)


def test_limits_of_thirty_candidates_miss_less_than_equal_distances() -> None:
    """The variance of a rating is .36, so pairs differ by .72 squared levels."""
    rng, n, replicates = np.random.default_rng(30), 30, 2_000
    shares = [0.02, 0.1, 0.76, 0.1, 0.02]
    level = rng.choice(5, replicates * n * 2, p=shares)
    unit = np.repeat(np.arange(replicates * n), 2)
    pairs = coincidences(level, unit, unit // n, n_levels=5, n_groups=replicates)
    truth = 1 - 0.72 / 16

    percent = chance_corrected(pairs, 5, weights="quadratic").percent

    low, high = interval(percent)
    at_equal_distances = np.abs(percent.estimate - truth) <= 2.045230 * percent.se
    assert np.mean((low <= truth) & (truth <= high)) > 0.91
    assert at_equal_distances.mean() < 0.90


# Within-group agreement


def test_r_wg_equals_three_companies_of_bliese() -> None:
    """Bliese, Multilevel Modeling in R: rwg(bhr2000$RELIG, bhr2000$GRP, ranvar = 2).

    AD is `ad.m` of the same package, multilevel 2.7.
    """
    times = np.array([[14, 11, 18, 8, 8], [14, 9, 15, 4, 3], [18, 20, 24, 13, 8]])
    value = np.repeat(np.tile(np.arange(1, 6), 3), times.ravel())
    unit = np.repeat(np.arange(3), times.sum(axis=1))

    found = consensus(value, unit, n_units=3, null=uniform_variance(5))

    assert_array_equal(found.n_ratings, [59, 45, 83])
    assert_allclose(found.r_wg, [0.11046172, 0.26363636, 0.21818983], atol=5e-9)
    assert_allclose(
        found.ad_mean, [1.10657856937662, 1.03111111111111, 1.05153142691247]
    )
    assert_allclose(
        found.ad_median, [1.06779661016949, 1.02222222222222, 1.02409638554217]
    )


def test_r_wg_j_equals_a_company_of_lq2002() -> None:
    """rwg.j(x, company, ranvar = 2) and ad.m(x, company) of multilevel 2.7."""
    unit, item = np.indices(COMPANY.shape)

    found = consensus(
        COMPANY.ravel(), 0 * unit.ravel(), n_units=1, null=2, item=item.ravel()
    )

    assert found.n_items[0] == 11
    assert found.r_wg[0] == pytest.approx(0.826037735849057)
    assert found.ad_mean[0] == pytest.approx(0.930909090909091)
    assert found.ad_median[0] == pytest.approx(0.9)


def test_null_variances_are_those_of_lebreton_and_senter() -> None:
    """LeBreton & Senter (2008): slight to heavy skew, triangle, bell; five levels."""
    shares = [
        [0.05, 0.15, 0.20, 0.35, 0.25],
        [0.00, 0.10, 0.15, 0.40, 0.35],
        [0.00, 0.00, 0.10, 0.40, 0.50],
        [0.11, 0.22, 0.34, 0.22, 0.11],
        [0.07, 0.24, 0.38, 0.24, 0.07],
    ]

    found = null_variance(shares)

    assert_allclose(found, [1.34, 0.90, 0.44, 1.32, 1.04])
    assert null_variance(np.full(5, 0.2)) == pytest.approx(uniform_variance(5))
    assert_allclose(uniform_variance([4, 5, 7]), [1.25, 2, 4])


@pytest.mark.parametrize(("n_levels", "published"), [(5, 1.2), (7, 1.71), (9, 2.22)])
def test_uniform_ratings_have_the_deviation_of_burke_1999(
    n_levels: int, published: float
) -> None:
    """The mean deviation expected of random answers, by number of levels."""
    value = np.repeat(np.arange(n_levels), 3)

    found = consensus(value, 0 * value, n_units=1, null=1)

    assert found.ad_mean[0] == pytest.approx(published, abs=5e-3)


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 2), st.integers(0, 2)), min_size=1
    )
)
@settings(deadline=None)
def test_consensus_equals_its_formulas_one_unit_at_a_time(rows) -> None:
    value, unit, item = (np.array(part) for part in zip(*rows, strict=True))

    found = consensus(value, unit, n_units=3, null=[2.0, 1.25, 0.5], item=item)

    for code, null in enumerate((2.0, 1.25, 0.5)):
        parts = [value[(unit == code) & (item == name)] for name in range(3)]
        parts = [part for part in parts if part.size > 1]
        if not parts:
            assert np.isnan([found.r_wg[code], found.ad_mean[code]]).all()
            continue
        unlike = np.mean([part.var(ddof=1) for part in parts]) / null
        together = len(parts) * (1 - unlike)
        is_beyond = len(parts) > 1 and unlike > 1
        r_wg = 0 if is_beyond else together / (together + unlike)
        mean = np.mean([np.abs(part - part.mean()).mean() for part in parts])
        median = np.mean([np.abs(part - np.median(part)).mean() for part in parts])
        assert found.r_wg[code] == pytest.approx(r_wg)
        assert found.ad_mean[code] == pytest.approx(mean)
        assert found.ad_median[code] == pytest.approx(median)


def test_more_spread_than_by_chance_is_negative_for_one_item_and_0_for_two() -> None:
    value, unit = np.array([1, 5, 1, 5]), np.zeros(4, int)

    one = consensus(value, unit, n_units=1, null=2)
    two = consensus(value, unit, n_units=1, null=2, item=[0, 0, 1, 1])

    assert one.r_wg[0] == pytest.approx(1 - (16 / 3) / 2)
    assert two.r_wg[0] == 0


def test_consensus_of_equal_ratings_is_one_and_of_one_rating_nothing() -> None:
    found = consensus([0.1, 0.1, 0.1, 4], [0, 0, 0, 1], n_units=3, null=2)

    assert_array_equal(found.r_wg, [1, np.nan, np.nan])
    assert_array_equal(found.ad_mean, [0, np.nan, np.nan])
    assert_array_equal(found.n_items, [1, 0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: consensus([1.0], [0], n_units=1, null=0), "null must be above 0"),
        (lambda: consensus([1.0], [2], n_units=2, null=1), "units must lie in 0 to 1"),
        (lambda: consensus([1.0, 2], [0], n_units=1, null=1), "differ in length"),
        (lambda: null_variance([0.5, 0.6]), "add up to 1"),
    ],
)
def test_impossible_consensus_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# Complete blocks


def test_the_six_coefficients_equal_shrout_and_fleiss() -> None:
    block = complete_block(SHROUT_FLEISS)

    assert_allclose(
        [block.icc_1, block.icc_a1, block.icc_c1],
        [0.1657, 0.2898, 0.7148],
        atol=5e-5,
    )
    assert_allclose(
        [block.icc_1k, block.icc_ak, block.icc_ck], [0.4428, 0.6201, 0.9093], atol=5e-5
    )


def test_six_forms_and_intervals_equal_psych() -> None:
    """ICC(anxiety, lmer = FALSE) of psych 2.2.9 on R 4.2.2."""
    found = complete_blocks(ANXIETY[None])

    assert_allclose(
        found.estimate[0],
        [0.175022381378693, 0.197998259355962, 0.216049382716049,
         0.388925729442971, 0.425498753117207, 0.452586206896551],
        atol=1e-12,
    )  # fmt: skip
    assert_allclose(
        found.low[0],
        [-0.0774465748654547, -0.0389106260931603, -0.0462578853236332,
         -0.2749234898786879, -0.1265827027094597, -0.1529212866540728],
        atol=1e-9,
    )  # fmt: skip
    assert_allclose(
        found.high[0],
        [0.484336093818820, 0.493573945972123, 0.522259078395644,
         0.738065123579582, 0.745149288545210, 0.766330800234059],
        atol=1e-9,
    )  # fmt: skip
    assert_allclose(found.f[0], [1.63646228974498, *[1.82677165354331] * 2] * 2)
    assert_array_equal(found.df_between[0], [19] * 6)
    assert_array_equal(found.df_error[0], [40, 38, 38] * 2)


def test_every_form_and_bound_equals_the_reference() -> None:
    expected, rows = expected_of("01_shrout_fleiss_six_icc")
    table = np.array([float(row["score"]) for row in rows]).reshape(1, 6, 4)

    found = complete_blocks(table)

    got = {}
    for place, name in enumerate(("ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k")):
        got[name] = found.estimate[0, place]
        got[f"{name}_F"] = found.f[0, place]
        got[f"{name}_ci95_lower"] = found.low[0, place]
        got[f"{name}_ci95_upper"] = found.high[0, place]
    assert_every_key(got, expected)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_blocks_do_not_touch_each_other(seed: int) -> None:
    blocks = np.random.default_rng(seed).integers(0, 5, (4, 6, 3)).astype(float)
    blocks[1] += np.arange(6)[:, None]

    together = complete_blocks(blocks)

    for place, block in enumerate(blocks):
        alone = complete_blocks(block[None])
        for name in ("estimate", "low", "high", "f"):
            assert_allclose(getattr(together, name)[place], getattr(alone, name)[0])
        six = complete_block(block)
        assert_allclose(
            together.estimate[place], [getattr(six, name) for name in FORMS]
        )


@given(seed=st.integers(0, 10_000), level=st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=20, deadline=None)
def test_the_one_way_form_of_a_block_is_that_of_any_panel(
    seed: int, level: float
) -> None:
    blocks = np.random.default_rng(seed).normal(size=(3, 7, 4))
    blocks += np.random.default_rng(seed).normal(size=(3, 7, 1))
    group, unit, _ = (part.ravel() for part in np.indices(blocks.shape))

    found = complete_blocks(blocks, level=level)

    panels = one_way(blocks.ravel(), unit, group, n_groups=3, level=level)
    for name in ("estimate", "low", "high"):
        assert_allclose(getattr(found, name)[:, 0], getattr(panels, name))
        assert_allclose(getattr(found, name)[:, 3], getattr(panels, f"mean_{name}"))


def test_one_harsh_rater_lowers_agreement_but_not_consistency() -> None:
    harsh = ANXIETY - np.array([0, 2, 0])

    before, after = complete_block(ANXIETY), complete_block(harsh)

    assert after.icc_a1 < before.icc_a1
    assert after.icc_c1 == pytest.approx(before.icc_c1)


def test_intervals_hold_their_estimates_and_narrow_with_candidates() -> None:
    once, thrice = (
        complete_blocks(np.tile(ANXIETY, (times, 1))[None]) for times in (1, 3)
    )

    assert (once.low < once.estimate).all()
    assert (once.estimate < once.high).all()
    assert (thrice.high - thrice.low < once.high - once.low).all()


@pytest.mark.filterwarnings("error")
def test_degenerate_blocks_have_no_coefficients_or_whole_ones() -> None:
    candidates = np.array([[0.1] * 3, [0.7] * 3, [0.4] * 3])
    found = complete_blocks(
        [candidates, candidates.T, np.full((3, 3), 0.1), np.full((3, 3), np.nan)]
    )

    assert_allclose(found.estimate[0], 1)
    assert_allclose(found.low[0], 1)
    # Candidates alike, raters not: nothing to tell apart, and nothing inconsistent.
    assert_allclose(found.estimate[1, :2], [-0.5, 0], atol=1e-12)
    assert np.isnan(found.estimate[1, 2])
    assert np.isnan(found.estimate[2:]).all()
    assert np.isnan(found.high[2:]).all()


@pytest.mark.parametrize("shape", [(3, 4), (2, 1, 4), (2, 4, 1)])
def test_blocks_of_one_candidate_or_rater_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two candidates and two raters or more"):
        complete_blocks(np.zeros(shape))


# All of them


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_groups_do_not_touch_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 5, 60)
    unit = rng.integers(0, 12, 60)
    group = rng.integers(0, 3, 60)

    together = agreement(
        coincidences(level, unit, group, n_levels=5, n_groups=3)
    ).alpha_ordinal
    alone = [
        agreement(of_one_group(level[group == g], unit[group == g])).alpha_ordinal[0]
        for g in range(3)
    ]
    icc = one_way(level, unit, group, n_groups=3).estimate
    icc_alone = [
        one_way(
            level[group == g], unit[group == g], group[group == g] * 0, n_groups=1
        ).estimate[0]
        for g in range(3)
    ]

    assert_allclose(together, alone)
    assert_allclose(icc, icc_alone)


@given(seed=st.integers(0, 10_000), spread=st.sampled_from([1, 10_000_000]))
@settings(max_examples=25, deadline=None)
def test_the_order_of_ratings_and_the_codes_of_candidates_do_not_matter(
    seed: int, spread: int
) -> None:
    """Sorted, unsorted and thinly spread codes are read in three ways."""
    level, unit, rater, group = panel(seed)
    order = np.lexsort((rater, unit, group))

    mixed = candidate_sums(level, unit * spread, group, n_groups=3)

    in_order = candidate_sums(level[order], unit[order], group[order], n_groups=3)
    for name in ("group", "size", "total", "squares"):
        assert_allclose(getattr(mixed, name), getattr(in_order, name), atol=1e-12)
    counts, counts_in_order = (
        coincidences(*parts, n_levels=5, n_groups=3).counts
        for parts in (
            (level, unit * spread, group),
            (level[order], unit[order], group[order]),
        )
    )
    assert_array_equal(counts, counts_in_order)


def test_renaming_candidates_changes_nothing() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    renamed = np.random.default_rng(1).permutation(12)[unit]

    before = agreement(of_one_group(level - 1, unit))
    after = agreement(of_one_group(level - 1, renamed))

    assert_allclose(_all(before), _all(after))


def test_duplicating_candidates_keeps_estimates_and_narrows_intervals() -> None:
    rng = np.random.default_rng(5)
    person = rng.normal(size=80)
    level = np.clip(np.round(2 + np.repeat(person, 2) + rng.normal(0, 0.8, 160)), 0, 4)
    level, unit = level.astype(np.int64), np.repeat(np.arange(80), 2)
    once = of_one_group(level, unit)
    thrice = of_one_group(
        np.tile(level, 3), np.concatenate([unit, unit + 80, unit + 160])
    )

    one, three = (
        bootstrap(pairs, chosen=[True], replicates=300, rng=np.random.default_rng(2))
        for pairs in (once, thrice)
    )

    assert_allclose(
        agreement(once).within_one, agreement(thrice).within_one, rtol=1e-12
    )
    assert three[1].alpha_interval - three[0].alpha_interval < 0.8 * (
        one[1].alpha_interval - one[0].alpha_interval
    )
    assert one[0].alpha_interval < agreement(once).alpha_interval
    assert agreement(once).alpha_interval < one[1].alpha_interval


def test_the_same_seed_gives_the_same_interval() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    pairs = of_one_group(level - 1, unit)

    first, second = (
        bootstrap(pairs, chosen=[True], replicates=200, rng=np.random.default_rng(9))
        for _ in range(2)
    )

    assert_allclose(_all(first[0]), _all(second[0]))


def test_renaming_candidates_keeps_the_interval() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)
    renamed = np.random.default_rng(1).permutation(12)[unit]

    before, after = (
        bootstrap(
            of_one_group(level - 1, codes),
            chosen=[True],
            replicates=200,
            rng=np.random.default_rng(9),
        )
        for codes in (unit, renamed)
    )

    assert_allclose(_all(before[0]), _all(after[0]), rtol=1e-12)
    assert_allclose(_all(before[1]), _all(after[1]), rtol=1e-12)


@pytest.mark.parametrize(
    ("level", "unit"),
    [
        ([], []),
        ([3], [0]),
        ([3, 3], [0, 1]),
        ([2, 2, 2, 2], [0, 0, 1, 1]),
    ],
    ids=["empty", "one row", "nobody rated twice", "all equal"],
)
def test_edges_give_nan_and_never_raise(level: list[int], unit: list[int]) -> None:
    levels, units = np.array(level, np.int64), np.array(unit, np.int64)
    sums = candidate_sums(levels, units, np.zeros_like(units), n_groups=1)

    pairs = of_one_group(levels, units)
    result = agreement(pairs)
    icc = one_way(levels, units, np.zeros_like(units), n_groups=1)

    assert np.isnan(result.alpha_interval[0])
    assert np.isnan(icc.estimate[0])
    assert np.isnan(icc.mean_estimate[0])
    assert np.isnan(alpha_interval(sums)[0])
    for metric in ("nominal", "ordinal", "interval", "ratio"):
        found = alpha(pairs, metric=metric, values=range(5))
        assert np.isnan(found[0])
    assert np.isnan(gwet_ac2(pairs, [1])[0])
    assert np.isnan(chance_corrected(pairs, 5).fleiss.estimate[0])
    assert np.isnan(chance_corrected(pairs, 5).alpha.se[0])
    assert np.isnan(fleiss_null_se(pairs)[0])
    low, _ = bootstrap(
        pairs, chosen=[True], replicates=100, rng=np.random.default_rng(1)
    )
    assert np.isnan(low.alpha_interval[0])


def test_raters_who_always_agree_reach_one() -> None:
    level, unit = np.array([0, 0, 2, 2, 4, 4]), np.array([0, 0, 1, 1, 2, 2])

    result = agreement(of_one_group(level, unit))
    icc = one_way(level, unit, np.zeros_like(unit), n_groups=1)

    assert result.exact[0] == 1
    assert result.alpha_ordinal[0] == 1
    assert (icc.estimate[0], icc.low[0], icc.high[0]) == (1, 1, 1)
    assert chance_corrected(of_one_group(level, unit), 5).fleiss.estimate[0] == 1


def test_a_level_off_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="levels must lie in 0 to 4"):
        of_one_group(np.array([5]), np.array([0]))


@pytest.mark.parametrize(
    ("unit", "group", "message"),
    [
        ([-1], [0], "units must not be negative, got -1"),
        ([0], [2], "groups must lie in 0 to 1, got 2 to 2"),
        ([0.5], [0], "units must be whole numbers, got float64"),
        ([0, 1], [0, 0], "differ in length"),
    ],
)
def test_impossible_codes_are_named(unit, group, message) -> None:
    with pytest.raises(ValueError, match=message):
        one_way([1.0], unit, group, n_groups=2)


def _all(values: Agreement) -> NDArray[np.float64]:
    return np.array(
        [values.alpha_nominal, values.alpha_ordinal, values.alpha_interval,
         values.exact, values.within_one, values.mean_difference]
    )  # fmt: skip

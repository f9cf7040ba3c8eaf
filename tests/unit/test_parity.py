"""Selection rates compared: published cases, exact strata and the bias audit."""

import csv
import json
from collections import Counter
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtrc
from scipy.stats import fisher_exact, nchypergeom_fisher

from orchestration.statistics.parity import (
    evidence,
    exact_mantel_haenszel,
    impact_ratio,
    mantel_haenszel,
    reference_groups,
    scoring_audit,
    selection_audit,
    selection_tests,
)

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference"

# Women and men admitted and rejected by department A to F, Berkeley 1973: Bickel,
# Hammel & O'Connell (1975), Science 187, 398-404, as in R's UCBAdmissions.
WOMEN = np.array([[89, 19], [17, 8], [202, 391], [131, 244], [94, 299], [24, 317]])
MEN = np.array([[512, 313], [353, 207], [120, 205], [138, 279], [53, 138], [22, 351]])

# Cured and all rabbits by dose, penicillin at once or after 1.5 hours: Agresti (1990),
# Categorical Data Analysis, 231-237, as in R's ?mantelhaen.test.
RABBITS = {
    "selected": [0, 3, 6, 5, 2],
    "entered": [6, 6, 6, 6, 2],
    "reference_selected": [0, 0, 2, 6, 5],
    "reference_entered": [5, 6, 6, 6, 5],
    "slice_code": [0] * 5,
}

# Right and wrong on item S2WantShout by total score 0 to 24, women then men: the verbal
# aggression data of Vansteelandt (2000), as in R's difR.
SHOUT = np.array(
    [
        [0, 4, 0, 0], [0, 3, 0, 1], [1, 8, 0, 1], [1, 6, 0, 0], [3, 12, 0, 3],
        [2, 7, 1, 3], [1, 8, 0, 2], [6, 8, 1, 2], [4, 10, 2, 5], [7, 8, 1, 4],
        [7, 9, 0, 3], [7, 6, 0, 2], [9, 6, 1, 3], [4, 5, 3, 3], [16, 4, 0, 5],
        [12, 6, 3, 2], [7, 2, 5, 2], [5, 1, 3, 0], [8, 1, 1, 2], [8, 0, 2, 0],
        [5, 0, 0, 1], [6, 0, 3, 0], [5, 0, 0, 0], [1, 0, 2, 0], [4, 0, 1, 0],
    ]
)  # fmt: skip

# Race by sex in the examples of 6 RCNY 5-301: applicants and selected of (b), and of
# (c) applicants and how many of them the published rates put above the median.
RESUMES_MEN = np.array(
    [[205, 90], [412, 215], [226, 95], [87, 37], [321, 167], [24, 11], [115, 52]]
)
RESUMES_WOMEN = np.array(
    [[190, 82], [385, 197], [164, 75], [32, 15], [295, 135], [17, 7], [98, 44]]
)
CULTURE_MEN = np.array([[16, 12], [20, 7], [20, 10], [4, 3], [12, 7], [8, 5], [12, 6]])
CULTURE_WOMEN = np.array([[12, 6], [20, 8], [12, 6], [4, 2], [12, 3], [8, 5], [8, 4]])

# Strata small enough to be counted out by hand: selected and not, both sides.
cell = st.integers(0, 4)
strata = st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=4)


def reference(case: str) -> dict[str, dict]:
    file = REFERENCE / case / "expected.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    return {row["key"]: row for row in json.loads(file.read_text())["expected"]}


def rows_of(case: str, name: str) -> list[dict[str, str]]:
    with (REFERENCE / case / name).open() as file:
        return list(csv.DictReader(file))


def agree(got: dict, expected: dict[str, dict]) -> None:
    """Every value computed lies within the tolerance of its key."""
    for key, value in got.items():
        row = expected[key]
        if isinstance(row["value"], float):
            assert value == pytest.approx(row["value"], abs=row["tol"], rel=0), key
        else:
            assert value == row["value"], key


def sides(tables, *, slice_code=None) -> dict:
    """Arguments of the stratified functions from rows of four cells."""
    table = np.asarray(tables).reshape(-1, 4)
    return {
        "selected": table[:, 0],
        "entered": table[:, 0] + table[:, 1],
        "reference_selected": table[:, 2],
        "reference_entered": table[:, 2] + table[:, 3],
        "slice_code": [0] * len(table) if slice_code is None else slice_code,
    }


def berkeley() -> dict:
    return sides(np.hstack([WOMEN, MEN]))


def counted_out(tables) -> tuple[list[int], int]:
    """Whole-number weight of every sum of selections, and where the observed one is."""
    weights, observed = [1], 0
    for s, f, s_ref, f_ref in tables:
        if s + f and s_ref + f_ref:
            n, n_ref, total = s + f, s_ref + f_ref, s + s_ref
            first, last = max(0, total - n_ref), min(n, total)
            one = [comb(n, k) * comb(n_ref, total - k) for k in range(first, last + 1)]
            product = [0] * (len(weights) + len(one) - 1)
            for i, left in enumerate(weights):
                for j, right in enumerate(one):
                    product[i + j] += left * right
            weights, observed = product, observed + s - first
    return weights, observed


def people(by_race_men, by_race_women) -> tuple[np.ndarray, ...]:
    """Outcome, sex and race of everybody in two tables of n and selected by race."""
    outcome, sex, race = [], [], []
    for code, table in enumerate((by_race_men, by_race_women)):
        for group, (n, selected) in enumerate(table):
            outcome += [True] * selected + [False] * (n - selected)
            sex += [code] * n
            race += [group] * n
    return np.array(outcome), np.array(sex), np.array(race)


def test_the_guidelines_own_example_is_judged_as_they_judge_it():
    """UGESP Questions and Answers 11: 60, 45, 48 and 51 %; exactly 80 % is no flag."""
    selected, entered = np.array([60, 45, 48, 51]), np.full(4, 100)

    best = reference_groups(selected, entered, slice_code=[0] * 4)
    ratio = impact_ratio(
        selected, entered, reference_selected=60, reference_entered=100
    )

    assert (best.row == 0).all()
    np.testing.assert_allclose(ratio.estimate, [1, 0.75, 0.8, 0.85], rtol=1e-15)
    np.testing.assert_array_equal(
        ratio.is_below_four_fifths, [False, True, False, False]
    )


def test_a_favourable_bottom_line_does_not_hide_the_test_of_teal():
    """Connecticut v. Teal, 457 U.S. 440: 54.17 to 79.54 %, overall 22.9 to 13.5 %."""
    stage = impact_ratio(26, 48, reference_selected=206, reference_entered=259)
    bottom = impact_ratio(11, 48, reference_selected=35, reference_entered=259)

    assert stage.estimate == pytest.approx(0.68, abs=0.005)
    assert stage.is_below_four_fifths
    assert bottom.estimate == pytest.approx(0.229 / 0.135, abs=0.01)
    assert not bottom.is_below_four_fifths


def test_berkeley_by_department_reverses_the_crude_ratio():
    """mantelhaen.test(UCBAdmissions) in R, which puts men before women."""
    result = mantel_haenszel(**berkeley(), continuity=0.5)

    assert 1 / result.odds_ratio == pytest.approx(0.9046968, abs=5e-8)
    assert result.chi_square == pytest.approx(1.4269, abs=5e-5)
    assert result.p == pytest.approx(0.2323, abs=5e-5)
    assert 1 / result.or_high == pytest.approx(0.7719074, abs=5e-8)
    assert 1 / result.or_low == pytest.approx(1.0603298, abs=5e-8)
    assert result.crude_ratio == pytest.approx(0.682, abs=5e-4)
    assert result.is_simpson


def test_the_berkeley_example_of_this_repository_has_the_published_counts():
    folder = ROOT / "examples" / "berkeley_1973" / "inbox" / "berkeley"
    with (folder / "demographics.csv").open() as file:
        sex = {row["application_id"]: row["value"] for row in csv.DictReader(file)}

    with (folder / "applications.csv").open() as file:
        counts = Counter(
            (row["job_id"][-1], sex[row["application_id"]], row["status"] == "hired")
            for row in csv.DictReader(file)
        )

    for table, word in ((WOMEN, "female"), (MEN, "male")):
        for letter, (admitted, rejected) in zip("ABCDEF", table, strict=True):
            assert counts[letter, word, True] == admitted
            assert counts[letter, word, False] == rejected


def test_four_fifths_case_equals_the_reference():
    expected = reference("30_ugesp_qa_four_fifths")
    rows = rows_of("30_ugesp_qa_four_fifths", "rates.csv")
    selected = [int(row["selected"]) for row in rows]
    entered = [int(row["applicants"]) for row in rows]

    best = reference_groups(selected, entered, slice_code=[0] * len(rows))
    ratio = impact_ratio(
        selected,
        entered,
        reference_selected=best.selected,
        reference_entered=best.entered,
    )

    got = {"reference_group": rows[best.row[0]]["group"]}
    for place, row in enumerate(rows):
        if row["group"] != got["reference_group"]:
            got[f"impact_ratio_{row['group']}"] = ratio.estimate[place]
            got[f"flag_{row['group']}"] = bool(ratio.is_below_four_fifths[place])
    assert got.keys() == expected.keys()
    agree(got, expected)


@pytest.mark.parametrize(
    ("stage", "counts"),
    [
        ("test_stage", (26, 48, 206, 259)),
        ("bottom_line", (11, 48, 35, 259)),
        ("post_test_stage", (11, 26, 35, 206)),
    ],
)
def test_two_stage_case_equals_the_reference(stage, counts):
    expected = reference("31_connecticut_v_teal_two_stages")
    s, n, s_ref, n_ref = counts

    ratio = impact_ratio(s, n, reference_selected=s_ref, reference_entered=n_ref)
    tests = selection_tests(s, n, other_selected=s_ref, other_entered=n_ref)

    values = {
        "impact_ratio": ratio.estimate,
        "ir_ci95_lower_katz": ratio.low,
        "ir_ci95_upper_katz": ratio.high,
        "fisher_two_sided_p": tests.fisher_p,
        "midp_two_sided": tests.mid_p,
        "z_pooled": tests.sd_units,
        "p_chisq_uncorrected": chdtrc(1, tests.sd_units**2),
        "z_hypergeometric": tests.z_hyper,
        "phi": tests.phi,
        "cohen_h": ratio.cohen_h,
        "shortfall_vs_pooled_rate": tests.shortfall,
    }
    agree({f"{stage}_{key}": value[0] for key, value in values.items()}, expected)
    flags = {
        "test_stage": "test_stage_flag_four_fifths",
        "bottom_line": "bottom_line_flag_for_black",
    }
    if stage in flags:
        agree({flags[stage]: bool(ratio.is_below_four_fifths[0])}, expected)


def test_simpson_case_equals_the_reference():
    case = "33_berkeley_1973_simpson"
    expected = reference(case)
    cells = {
        (row["gender"], row["dept"]): (int(row["admitted"]), int(row["rejected"]))
        for row in rows_of(case, "counts.csv")
    }
    women, men = (
        np.array([cells[word, letter] for letter in "ABCDEF"])
        for word in ("Female", "Male")
    )
    counts = sides(np.hstack([women, men]))

    result = mantel_haenszel(**counts)
    corrected = mantel_haenszel(**counts, continuity=0.5)
    by_department = impact_ratio(
        women[:, 0],
        women.sum(axis=1),
        reference_selected=men[:, 0],
        reference_entered=men.sum(axis=1),
    )
    crude = selection_tests(
        women[:, 0].sum(),
        women.sum(),
        other_selected=men[:, 0].sum(),
        other_entered=men.sum(),
    )

    got = {
        "crude_impact_ratio_female_male": result.crude_ratio[0],
        "crude_z": crude.sd_units[0],
        "mh_odds_ratio_R_orientation": 1 / result.odds_ratio[0],
        "mh_chisq_corrected": corrected.chi_square[0],
        "mh_p_corrected": corrected.p[0],
        "mh_chisq_uncorrected": result.chi_square[0],
        "mh_or_female_vs_male": result.odds_ratio[0],
        "mh_or_ci_lower": result.or_low[0],
        "mh_or_ci_upper": result.or_high[0],
        "mh_rr_female_vs_male": result.rate_ratio[0],
        "mh_rr_ci_lower": result.rr_low[0],
        "mh_rr_ci_upper": result.rr_high[0],
        "breslow_day_chisq": result.breslow_day[0],
        "breslow_day_p": chdtrc(5, result.breslow_day[0]),
        "tarone_chisq": result.tarone[0],
        "standardised_rate_female": result.standardised_rate[0],
        "standardised_rate_male": result.reference_standardised_rate[0],
        "simpson_flag": bool(result.is_simpson[0]),
        **{
            f"impact_ratio_dept_{letter}": by_department.estimate[place]
            for place, letter in enumerate("ABCDEF")
        },
    }
    assert got.keys() == expected.keys()
    agree(got, expected)


@given(strata)
def test_shortfall_in_standard_deviations_squares_to_the_chi_square(tables):
    result = mantel_haenszel(**sides(tables))

    np.testing.assert_allclose(result.z_hyper**2, result.chi_square, atol=1e-12)
    if not np.isnan(result.z_hyper):
        assert np.sign(result.z_hyper) == -np.sign(result.shortfall)


def test_shortfall_of_one_stratum_is_that_of_the_plain_table():
    plain = selection_tests(26, 48, other_selected=206, other_entered=259)

    result = mantel_haenszel(**sides([[26, 22, 206, 53]]))

    assert result.shortfall == pytest.approx(plain.shortfall, rel=1e-12)
    assert result.z_hyper == pytest.approx(plain.z_hyper, rel=1e-12)


def test_exact_rabbits_equal_r():
    """mantelhaen.test(Rabbits, exact = TRUE), R 4.2.2; its roots stop at 1e-4.

    R finds 1/high to an absolute 1.2e-4, so its upper bound 529.837 is .3 % off the
    odds ratio 531.513 at which 16 or fewer cures have a chance of .025.
    """
    result = exact_mantel_haenszel(**RABBITS)

    assert result.n_strata == 3
    assert result.p == pytest.approx(0.0399449, abs=5e-8)
    assert result.odds_ratio == pytest.approx(10.361024, abs=1e-4)
    assert result.low == pytest.approx(1.077401, abs=1e-4)
    assert 1 / result.high == pytest.approx(1 / 529.837399, abs=1.2e-4)
    assert result.high == pytest.approx(531.5128, abs=1e-4)


def test_exact_dif_of_verbal_aggression_equals_difr():
    """difMH(verbal, "Gender", 1, exact = TRUE): item S2WantShout, p .0015."""
    result = exact_mantel_haenszel(**sides(SHOUT))

    assert SHOUT[:, 0].sum() == 129
    assert result.p == pytest.approx(0.0015, abs=5e-5)


def test_exact_berkeley_equals_whole_number_arithmetic():
    """Counted out in integers of thousands of digits: p = .227762526798206."""
    result = exact_mantel_haenszel(**berkeley())

    assert result.p == pytest.approx(0.22776252679820602, rel=1e-12)
    assert result.mid_p == pytest.approx(0.2169858301974624, rel=1e-12)


@pytest.mark.parametrize(
    ("table", "p", "odds_ratio", "bounds"),
    [
        ([3, 1, 1, 3], 0.4857, 6.408309, (0.2117329, 621.9337505)),
        ([2, 15, 10, 3], 0.0005367, 0.04693661, (0.003325764, 0.363182271)),
    ],
)
def test_one_stratum_is_fishers_test_of_r(table, p, odds_ratio, bounds):
    """fisher.test on Fisher's tea tasting and convictions, to its root tolerance."""
    result = exact_mantel_haenszel(**sides([table]))

    assert result.p == pytest.approx(p, rel=2e-4)
    assert result.odds_ratio == pytest.approx(odds_ratio, rel=2e-4)
    assert result.low == pytest.approx(bounds[0], abs=1.2e-4)
    assert 1 / result.high == pytest.approx(1 / bounds[1], abs=1.2e-4)


@given(strata)
def test_exact_p_equals_counting_out(tables):
    weights, observed = counted_out(tables)
    below, above = sum(weights[:observed]), sum(weights[observed + 1 :])
    here, whole = weights[observed], sum(weights)

    result = exact_mantel_haenszel(**sides(tables))

    if not any(s + f and s_ref + f_ref for s, f, s_ref, f_ref in tables):
        assert np.isnan(result.p)
        return
    rarer = Fraction(sum(w for w in weights if w <= here), whole)
    mid = 2 * (Fraction(min(below, above), whole) + Fraction(here, 2 * whole))
    assert result.p == pytest.approx(float(rarer), rel=1e-9)
    assert result.mid_p == pytest.approx(min(float(mid), 1.0), rel=1e-9)


@given(strata)
def test_odds_ratio_makes_the_observed_sum_the_expected_one(tables):
    weights, observed = counted_out(tables)

    odds_ratio = exact_mantel_haenszel(**sides(tables)).odds_ratio

    if len(weights) == 1:
        assert np.isnan(odds_ratio)
    elif observed in (0, len(weights) - 1):
        assert odds_ratio == (0 if observed == 0 else np.inf)
    else:
        chance = np.array(weights, float) * odds_ratio ** np.arange(len(weights))
        mean = (chance * np.arange(len(weights))).sum() / chance.sum()
        assert mean == pytest.approx(observed, rel=1e-9)


@given(
    st.tuples(
        st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)
    )
)
def test_one_stratum_equals_scipy_and_the_plain_tests(table):
    s, f, s_ref, f_ref = table
    plain = selection_tests(s, s + f, other_selected=s_ref, other_entered=s_ref + f_ref)

    result = exact_mantel_haenszel(**sides([table]))
    mid = exact_mantel_haenszel(**sides([table]), interval="mid-p")

    assert result.p == pytest.approx(plain.fisher_p, rel=1e-9)
    assert result.p == pytest.approx(
        fisher_exact([[s, f], [s_ref, f_ref]])[1], rel=1e-6
    )
    assert result.mid_p == pytest.approx(plain.mid_p, rel=1e-9)
    margins = sum(table), s + f, s + s_ref
    at_low = nchypergeom_fisher(*margins, result.low[0])
    at_high = nchypergeom_fisher(*margins, result.high[0])
    assert at_low.sf(s - 1) == pytest.approx(0.025, rel=1e-6)
    assert at_high.cdf(s) == pytest.approx(0.025, rel=1e-6)
    half = nchypergeom_fisher(*margins, mid.low[0])
    assert half.sf(s) + half.pmf(s) / 2 == pytest.approx(0.025, rel=1e-6)


@given(strata)
def test_exact_bounds_hold_the_estimate_and_mid_p_is_inside(tables):
    exact = exact_mantel_haenszel(**sides(tables))
    mid = exact_mantel_haenszel(**sides(tables), interval="mid-p")

    if exact.n_strata > 0:
        assert exact.low <= mid.low <= exact.odds_ratio <= mid.high <= exact.high


@given(strata)
def test_swapping_the_sides_inverts_the_exact_odds_ratio(tables):
    swapped = [(s_ref, f_ref, s, f) for s, f, s_ref, f_ref in tables]
    one = exact_mantel_haenszel(**sides(tables))

    other = exact_mantel_haenszel(**sides(swapped))

    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(1 / other.odds_ratio, one.odds_ratio, rtol=1e-9)
        np.testing.assert_allclose(1 / other.high, one.low, rtol=1e-9)
    np.testing.assert_allclose(other.p, one.p, rtol=1e-9)


@given(st.lists(strata, min_size=1, max_size=5))
def test_exact_slices_do_not_touch_each_other(slices):
    code = np.repeat(np.arange(len(slices)), [len(tables) for tables in slices])

    together = exact_mantel_haenszel(
        **sides([row for tables in slices for row in tables], slice_code=code)
    )

    for place, tables in enumerate(slices):
        alone = exact_mantel_haenszel(**sides(tables[::-1]))
        for name in ("n_strata", "p", "mid_p", "odds_ratio", "low", "high"):
            np.testing.assert_allclose(
                getattr(together, name)[place], getattr(alone, name)[0], rtol=1e-9
            )


def test_more_of_the_same_narrows_the_exact_interval_and_moves_p_away():
    once = exact_mantel_haenszel(**sides(SHOUT))

    four_times = exact_mantel_haenszel(**sides(np.tile(SHOUT, (4, 1))))

    assert four_times.odds_ratio == pytest.approx(once.odds_ratio, rel=1e-9)
    assert once.low < four_times.low < four_times.high < once.high
    assert four_times.p < once.p


def test_mantel_haenszel_comes_close_to_the_exact_answer_in_large_strata():
    exact = exact_mantel_haenszel(**berkeley())

    plain = mantel_haenszel(**berkeley())

    assert plain.odds_ratio == pytest.approx(exact.odds_ratio, rel=1e-3)
    assert plain.or_low == pytest.approx(exact.low, rel=0.01)
    assert plain.or_high == pytest.approx(exact.high, rel=0.01)
    assert plain.p == pytest.approx(exact.mid_p, rel=0.01)


def test_complete_separation_of_large_groups_has_one_finite_bound():
    result = exact_mantel_haenszel(**sides([[1000, 0, 0, 1000]]))

    assert result.odds_ratio == np.inf
    assert result.high == np.inf
    assert 1e5 < result.low < 1e6
    assert result.p < 1e-300


def test_strata_with_one_side_or_one_outcome_say_nothing():
    kept = exact_mantel_haenszel(**sides([[1, 3, 2, 1]]))

    more = exact_mantel_haenszel(
        **sides([[1, 3, 2, 1], [4, 0, 5, 0], [0, 2, 0, 3], [3, 1, 0, 0]])
    )

    assert more.n_strata == 1
    for name in ("p", "mid_p", "odds_ratio", "low", "high"):
        assert getattr(more, name) == pytest.approx(getattr(kept, name), rel=1e-12)


def test_slices_without_information_are_not_estimable():
    nobody_there = exact_mantel_haenszel([], [], reference_selected=[],
        reference_entered=[], slice_code=[], n_slices=2)  # fmt: skip
    all_selected = exact_mantel_haenszel(**sides([[4, 0, 5, 0]]))

    assert np.isnan(nobody_there.p).all()
    assert np.isnan(nobody_there.odds_ratio).all()
    np.testing.assert_array_equal(nobody_there.n_strata, [0, 0])
    assert all_selected.p == all_selected.mid_p == 1
    assert np.isnan(
        [all_selected.odds_ratio, all_selected.low, all_selected.high]
    ).all()


def test_impossible_arguments_of_the_exact_test_are_named():
    with pytest.raises(ValueError, match="interval must be 'exact' or 'mid-p'"):
        exact_mantel_haenszel(**RABBITS, interval="wald")
    with pytest.raises(ValueError, match="selected must not exceed entered"):
        exact_mantel_haenszel(**sides([[1, -1, 2, 3]]))
    with pytest.raises(ValueError, match="slice_code must be below 1, got 3"):
        exact_mantel_haenszel(**sides([[1, 1, 2, 3]], slice_code=[3]), n_slices=1)


def test_resume_example_of_the_rules_has_its_published_ratios():
    """6 RCNY 5-301 (b), example: 250 of unknown category are not in the tables.

    The rules print 408 applicants in the race table for Hispanic or Latino, and 395 in
    the intersection; the other rows agree with each other.
    """
    selected, sex, race = people(RESUMES_MEN, RESUMES_WOMEN)
    selected = np.append(selected, [True] * 250)
    sex, race = np.append(sex, [-1] * 250), np.append(race, [-1] * 250)

    audit = selection_audit(selected, sex=sex, race=race, min_share=0)

    np.testing.assert_array_equal(audit.sex.n, [1390, 1181])
    np.testing.assert_array_equal(audit.sex.n_selected, [667, 555])
    np.testing.assert_allclose(audit.sex.impact_ratio, [1, 0.979], atol=5e-4)
    np.testing.assert_array_equal(audit.race.n[1:], [797, 390, 119, 616, 41, 213])
    np.testing.assert_allclose(
        audit.race.impact_ratio[1:], [1, 0.84, 0.85, 0.95, 0.85, 0.87], atol=5e-3
    )
    np.testing.assert_allclose(
        audit.intersection.impact_ratio.reshape(2, 7),
        [
            [0.841, 1, 0.806, 0.815, 0.997, 0.878, 0.866],
            [0.827, 0.981, 0.876, 0.898, 0.877, 0.789, 0.860],
        ],
        atol=5.1e-4,
    )
    tables = (audit.sex, audit.race, audit.intersection)
    assert [table.n_unknown for table in tables] == [250, 250, 250]
    assert [table.reference for table in tables] == [0, 1, 1]


def test_culture_fit_example_of_the_rules_has_its_published_ratios():
    """6 RCNY 5-301 (c), example: scores above the median, 15 of unknown category."""
    above, sex, race = people(CULTURE_MEN, CULTURE_WOMEN)
    score = np.append(np.where(above, 80.0, 60.0), [70.0] * 15)
    sex, race = np.append(sex, [-1] * 15), np.append(race, [-1] * 15)

    audit = scoring_audit(score, sex=sex, race=race)

    assert audit.median == 70
    np.testing.assert_array_equal(audit.sex.n, [92, 76])
    np.testing.assert_allclose(audit.sex.rate, [0.543, 0.447], atol=5e-4)
    np.testing.assert_allclose(audit.sex.impact_ratio, [1, 0.82], atol=5e-3)
    np.testing.assert_array_equal(audit.race.n, [28, 40, 32, 8, 24, 16, 20])
    np.testing.assert_allclose(
        audit.race.rate, [0.642, 0.375, 0.5, 0.625, 0.417, 0.625, 0.5], atol=1e-3
    )
    np.testing.assert_allclose(
        audit.race.impact_ratio, [1, 0.58, 0.78, 0.97, 0.65, 0.97, 0.78], atol=5e-3
    )
    np.testing.assert_allclose(
        audit.intersection.impact_ratio,
        [1, 0.47, 0.67, 1, 0.78, 0.83, 0.67, 0.67, 0.53, 0.67, 0.67, 0.33, 0.83, 0.67],
        atol=5e-3,
    )


def test_small_categories_are_listed_with_a_reason_and_set_no_standard():
    selected, sex, race = people([[98, 20], [2, 2]], [[100, 30], [2, 0]])

    audit = selection_audit(selected, sex=sex, race=race)

    np.testing.assert_array_equal(audit.race.n, [198, 4])
    np.testing.assert_array_equal(audit.race.reason, ["", "below_min_share"])
    np.testing.assert_array_equal(audit.race.rate, [50 / 198, 0.5])
    np.testing.assert_array_equal(audit.race.impact_ratio, [1, np.nan])
    np.testing.assert_array_equal(
        audit.intersection.reason, ["", "below_min_share", "", "below_min_share"]
    )
    assert audit.intersection.reference == 2


@pytest.mark.parametrize(("n_small", "reason"), [(3, ""), (2, "below_min_share")])
def test_exactly_two_percent_is_not_below_two_percent(n_small, reason):
    race = [0] * (150 - n_small) + [1] * n_small

    audit = selection_audit([True] * 150, sex=[0] * 150, race=race)

    assert audit.race.reason[1] == reason


def test_each_table_keeps_those_whose_category_it_knows():
    audit = selection_audit(
        [True, False, True, True], sex=[0, 1, -1, 0], race=[0, 0, 1, -1]
    )

    np.testing.assert_array_equal(audit.sex.n, [2, 1])
    np.testing.assert_array_equal(audit.race.n, [2, 1])
    np.testing.assert_array_equal(audit.intersection.n, [1, 0, 1, 0])
    assert [
        table.n_unknown for table in (audit.sex, audit.race, audit.intersection)
    ] == [1, 1, 2]


def test_the_median_is_that_of_the_full_sample():
    """People of unknown category count for the median and in no table."""
    audit = scoring_audit(
        [1.0, 2.0, 3.0, 9.0, 9.0, 9.0], sex=[0, 0, 1, -1, -1, -1], race=[0] * 6
    )

    assert audit.median == 6
    np.testing.assert_array_equal(audit.sex.n_selected, [0, 0])
    np.testing.assert_array_equal(audit.sex.reason, ["nobody_selected"] * 2)


def test_missing_scores_are_nobody_assessed():
    audit = scoring_audit([np.nan, 4.0, 6.0], sex=[1, 0, 0], race=[0, 0, 1], n_sex=3)

    assert audit.median == 5
    np.testing.assert_array_equal(audit.sex.n, [2, 0, 0])
    np.testing.assert_array_equal(
        audit.sex.reason, ["", "nobody_assessed", "nobody_assessed"]
    )
    np.testing.assert_array_equal(audit.sex.rate, [0.5, np.nan, np.nan])


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-1, 1), st.integers(-1, 2)),
        min_size=1,
        max_size=40,
    )
)
def test_tables_of_an_audit_account_for_everybody(rows):
    selected, sex, race = (np.array(column) for column in zip(*rows, strict=True))

    audit = selection_audit(selected, sex=sex, race=race, n_sex=2, n_race=3)

    for table in (audit.sex, audit.race, audit.intersection):
        assert table.n.sum() + table.n_unknown == len(rows)
        ratio = table.impact_ratio[table.reason == ""]
        assert np.isnan(table.impact_ratio[table.reason != ""]).all()
        assert ((ratio >= 0) & (ratio <= 1)).all()
        if ratio.size:
            assert table.impact_ratio[table.reference] == 1


def test_an_audit_of_nobody_is_empty():
    audit = selection_audit([], sex=[], race=[], n_sex=2, n_race=1)
    scores = scoring_audit([np.nan], sex=[0], race=[0])

    np.testing.assert_array_equal(audit.intersection.n, [0, 0])
    assert audit.sex.reference == -1
    assert np.isnan(scores.median)
    np.testing.assert_array_equal(scores.race.reason, ["nobody_assessed"])


def test_impossible_audits_are_named():
    with pytest.raises(ValueError, match="race must have one code per person"):
        selection_audit([True], sex=[0], race=[0, 1])
    with pytest.raises(ValueError, match="sex must be below 2, got 2"):
        selection_audit([True], sex=[2], race=[0], n_sex=2)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 30), st.integers(0, 30))
def test_swapping_the_sides_inverts_the_impact_ratio(s, f, s_ref, f_ref):
    one = impact_ratio(
        s, s + f, reference_selected=s_ref, reference_entered=s_ref + f_ref
    )

    other = impact_ratio(
        s_ref, s_ref + f_ref, reference_selected=s, reference_entered=s + f
    )

    assert other.estimate == pytest.approx(1 / one.estimate)
    assert other.low == pytest.approx(1 / one.high, rel=1e-6)


def test_a_low_ratio_alone_is_watched_and_with_significance_reviewed():
    counts = {
        "selected": [20, 20],
        "entered": [100, 100],
        "reference_selected": 40,
        "reference_entered": 100,
        "other_selected": 40,
        "other_entered": 100,
    }

    words = evidence(**counts, q=[0.2, 0.01])

    assert words.tolist() == ["watch_ratio", "review"]

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from orchestration.statistics.agreement import (
    Agreement,
    agreement,
    bootstrap,
    coincidences,
    complete_block,
    gwet_ac2,
    one_way,
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


def long_form(
    table: NDArray[np.int64], *, missing: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    unit, _rater = np.indices(table.shape)
    kept = np.ones(table.shape, bool) if missing is None else table != missing
    return table[kept], unit[kept]


def of_one_group(level: NDArray[np.int64], unit: NDArray[np.int64], n_levels: int = 5):  # type: ignore[no-untyped-def]
    return coincidences(level, unit, np.zeros_like(unit), n_levels=n_levels, n_groups=1)


def test_one_way_icc_equals_shrout_and_fleiss() -> None:
    value, unit = long_form(SHROUT_FLEISS)

    result = one_way(value, unit, np.zeros_like(unit), n_groups=1)

    assert result.estimate[0] == pytest.approx(0.1657, abs=5e-5)
    assert result.low[0] == pytest.approx(-0.1329, abs=5e-4)
    assert result.high[0] == pytest.approx(0.7226, abs=5e-4)
    assert result.k_effective[0] == pytest.approx(4)


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


def test_alpha_equals_krippendorffs_example_with_missing_values() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    result = agreement(of_one_group(level - 1, unit))

    assert result.alpha_nominal[0] == pytest.approx(0.743421052631579)
    assert result.alpha_ordinal[0] == pytest.approx(0.815387503754881)
    assert result.alpha_interval[0] == pytest.approx(0.849107142857143)


def test_ac2_equals_gwets_example() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    result = gwet_ac2(of_one_group(level - 1, unit), [5])

    assert result[0] == pytest.approx(0.914, abs=5e-4)


def test_ac2_depends_on_levels_of_the_rubric_nobody_used() -> None:
    level, unit = long_form(KRIPPENDORFF, missing=0)

    five = gwet_ac2(of_one_group(level - 1, unit, n_levels=7), [5])
    seven = gwet_ac2(of_one_group(level - 1, unit, n_levels=7), [7])

    assert five[0] != pytest.approx(seven[0], abs=1e-3)


@pytest.mark.parametrize(
    "case", ["13_bliese_bh1996_icc1_icc2", "18_kuhlisch_reviewers_2to4_per_paper"]
)
def test_unbalanced_panels_equal_the_reference(case: str) -> None:
    folder = REFERENCE / case
    if not folder.exists():
        pytest.skip("the reference data are not beside this checkout")
    ratings = pd.read_csv(folder / "ratings.csv")
    expected = {
        row["key"]: row["value"]
        for row in json.loads((folder / "expected.json").read_text())["expected"]
    }
    unit = ratings["subject"].to_numpy()
    group = np.zeros(len(ratings), np.int64)

    result = one_way(ratings["score"], unit, group, n_groups=1)

    assert result.k_effective[0] == pytest.approx(expected["k0_anova"])
    icc = expected.get("icc1_using_k0", expected.get("icc1_anova_unbalanced"))
    assert result.estimate[0] == pytest.approx(icc)
    if "alpha_interval" in expected:
        level = ratings["score"].to_numpy()
        found = agreement(of_one_group(level, unit, n_levels=int(level.max()) + 1))
        assert found.alpha_interval[0] == pytest.approx(expected["alpha_interval"])
        assert found.alpha_ordinal[0] == pytest.approx(expected["alpha_ordinal"])


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

    pairs = of_one_group(levels, units)
    result = agreement(pairs)
    icc = one_way(levels, units, np.zeros_like(units), n_groups=1)

    assert np.isnan(result.alpha_interval[0])
    assert np.isnan(icc.estimate[0])
    assert np.isnan(gwet_ac2(pairs, [1])[0])
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


def test_a_level_off_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="levels must lie in 0 to 4"):
        of_one_group(np.array([5]), np.array([0]))


def _all(values: Agreement) -> NDArray[np.float64]:
    return np.array(
        [values.alpha_nominal, values.alpha_ordinal, values.alpha_interval,
         values.exact, values.within_one, values.mean_difference]
    )  # fmt: skip

"""Control over many tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from orchestration.statistics.multiplicity import (
    benjamini_hochberg,
    family_wise,
    holm,
    simes,
)

# The fifteen p-values of Benjamini & Hochberg (1995), JRSS B 57, section 3.2.
PUBLISHED = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
]  # fmt: skip

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_the_published_example_rejects_four_at_five_percent():
    assert (benjamini_hochberg(PUBLISHED) <= 0.05).sum() == 4


@given(p_values)
def test_q_values_equal_scipy(p):
    np.testing.assert_allclose(
        benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=1))
def test_families_do_not_touch_each_other(tests):
    p = np.array([value for value, _ in tests])
    family = np.array([code for _, code in tests])

    q = benjamini_hochberg(p, family)

    for code in np.unique(family):
        own = family == code
        np.testing.assert_allclose(q[own], false_discovery_control(p[own]), rtol=1e-12)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
@given(p=p_values)
def test_missing_p_values_change_nothing_for_the_others(adjust, p):
    with_gaps = np.ravel([[value, np.nan] for value in p])

    adjusted = adjust(with_gaps)

    np.testing.assert_array_equal(adjusted[::2], adjust(p))
    assert np.isnan(adjusted[1::2]).all()


def test_holm_rejects_three_of_the_published_example():
    """As Bonferroni does there; p.adjust(p, "holm") of R gives the values."""
    adjusted = holm(PUBLISHED)

    np.testing.assert_allclose(
        adjusted,
        [0.0015, 0.0056, 0.0247, 0.1140, 0.2211, 0.2780, 0.2780, 0.2780, 0.3213]
        + [1] * 6,
    )
    assert (adjusted <= 0.05).sum() == 3


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=1))
def test_holm_rejects_step_by_step_in_each_family(tests):
    """The level at which each test falls when the smallest p-values go first."""
    p = np.array([value for value, _ in tests])
    family = np.array([code for _, code in tests])

    adjusted = holm(p, family)

    for code in np.unique(family):
        own = family == code
        level, steps = 0.0, []
        for left, value in zip(range(own.sum(), 0, -1), np.sort(p[own]), strict=True):
            level = min(max(level, left * value), 1.0)
            steps.append(level)
        np.testing.assert_array_equal(np.sort(adjusted[own]), steps)


@given(p_values)
def test_holm_lies_between_the_q_value_and_bonferroni(p):
    adjusted = holm(p)

    assert (adjusted >= benjamini_hochberg(p) * (1 - 1e-12)).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1)).all()


def test_holm_of_one_test_is_its_p_and_of_none_is_empty():
    np.testing.assert_array_equal(holm([0.04, 0.3], [0, 1]), [0.04, 0.3])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()


@given(p_values, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_of_tests(p, random):
    order = list(range(len(p)))
    random.shuffle(order)

    shuffled = holm(np.array(p)[order])

    np.testing.assert_array_equal(shuffled, holm(p)[order])


@given(p_values)
def test_q_is_never_below_p_and_keeps_its_order(p):
    q = benjamini_hochberg(p)

    assert (q >= np.array(p) * (1 - 1e-12)).all()
    assert (np.diff(q[np.argsort(p)]) >= 0).all()


def test_tiny_p_values_keep_their_digits_in_late_families():
    p = np.tile([1e-300, 0.5], 2_000)
    family = np.repeat(np.arange(2_000), 2)

    q = benjamini_hochberg(p, family)

    np.testing.assert_allclose(q[::2], 2e-300)


def test_simes_p_is_the_smallest_of_m_p_over_rank():
    p = [0.04, 0.01, 0.03, 0.2]

    assert simes(p) == pytest.approx([min(4 * 0.01, 4 * 0.03 / 2, 4 * 0.04 / 3)])


def test_families_without_a_p_value_are_not_estimable():
    np.testing.assert_array_equal(simes([0.3, np.nan], [0, 2]), [0.3, np.nan, np.nan])


def test_selected_families_are_tested_at_their_share_of_the_level():
    """Two of four families pass, so inside them tests stand at half the level."""
    p = [0.001, 0.02, 0.04, 0.003, 0.9, 0.4, 0.5, 0.8]
    family = [0, 0, 0, 1, 1, 2, 2, 3]

    control = family_wise(p, family, level=0.05)

    np.testing.assert_array_equal(control.is_selected, [True, True, False, False])
    assert control.inner_level == 0.025
    np.testing.assert_array_equal(
        control.rejected, [True, False, False, True, False, False, False, False]
    )


def test_one_family_is_plain_benjamini_hochberg():
    control = family_wise(PUBLISHED, np.zeros(15, int))

    assert control.inner_level == 0.05
    assert control.rejected.sum() == 4


def test_no_false_company_more_often_than_the_level():
    """With no true effect, any rejection at all comes in at most 5 % of the runs."""
    rng = np.random.default_rng(20_261)
    family = np.repeat(np.arange(12), 10)

    alarms = sum(
        family_wise(rng.random(120), family).rejected.any() for _ in range(2_000)
    )

    assert alarms / 2_000 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)


def test_nothing_to_test_rejects_nothing():
    empty = family_wise([], [])
    missing = family_wise([np.nan, np.nan], [0, 1])

    assert empty.rejected.shape == (0,)
    assert not missing.rejected.any()
    assert missing.inner_level == 0.0


@pytest.mark.parametrize(
    ("p", "family", "message"),
    [
        ([0.2, 1.5], None, "p must lie in .0, 1., got 1.5"),
        ([0.2], [-1], "family must not be negative, got -1"),
        ([0.2], [0, 1], "family must have one code per p"),
    ],
)
def test_impossible_input_is_named(p, family, message):
    with pytest.raises(ValueError, match=message):
        benjamini_hochberg(p, family)

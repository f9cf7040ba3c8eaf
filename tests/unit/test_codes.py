"""Distinct codes equal those of numpy.unique, whatever their order and range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from orchestration.statistics.codes import distinct, levels

CODES = st.one_of(
    st.lists(st.integers(-5, 30)),
    st.lists(st.integers(-(2**62), 2**62)),
    st.lists(st.integers(0, 30)).map(sorted),
)


@given(CODES)
def test_levels_are_those_of_unique(codes):
    code = np.array(codes, dtype=np.int64)

    values, place = levels(code)

    expected, inverse = np.unique(code, return_inverse=True)
    assert_array_equal(values, expected)
    assert_array_equal(place, inverse)
    assert place.dtype == np.int64


@given(CODES)
def test_distinct_codes_are_those_of_unique(codes):
    code = np.array(codes, dtype=np.int64)

    assert_array_equal(distinct(code), np.unique(code))


@pytest.mark.parametrize(
    "code",
    [
        np.array([127, -128, 0], dtype=np.int8),
        np.array([3, 1, 3], dtype=np.uint32),
        np.array(["b", "a", "b"]),
        np.array([2.5, -1.0]),
        np.array([True, False]),
    ],
    ids=lambda code: str(code.dtype),
)
def test_codes_of_any_type_have_levels(code):
    values, place = levels(code)

    assert_array_equal(values[place], code)
    assert values.size == np.unique(code).size

"""Inverses of positive definite matrices, made of products."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from orchestration.statistics.positive_inverse import positive_inverse


def positive(size: int, seed: int = 1) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(size, size + 20))
    return rows @ rows.T + np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_the_inverse_is_that_of_a_general_routine(size):
    matrix = positive(size)

    inverse = positive_inverse(matrix)

    assert_allclose(inverse, np.linalg.inv(matrix), atol=1e-12)
    assert_array_equal(inverse, inverse.T)


def test_a_hilbert_matrix_has_whole_numbers_for_an_inverse():
    """Choi (1983), Amer. Math. Monthly 90, 301-312."""
    place = np.arange(3)

    inverse = positive_inverse(1 / (place[:, None] + place + 1))

    expected = [[9, -36, 30], [-36, 192, -180], [30, -180, 180]]
    assert_allclose(inverse, expected, rtol=1e-12)


def test_only_the_lower_half_is_read():
    matrix = positive(300)

    inverse = positive_inverse(np.tril(matrix))

    assert_array_equal(inverse, positive_inverse(matrix))


def test_blocks_apart_are_inverted_apart():
    matrix = np.zeros((520, 520))
    matrix[:300, :300], matrix[300:, 300:] = positive(300), positive(220, seed=2)

    inverse = positive_inverse(matrix)

    assert not inverse[:300, 300:].any()
    assert_allclose(inverse[300:, 300:], np.linalg.inv(matrix[300:, 300:]), atol=1e-12)


@pytest.mark.parametrize("size", [4, 400])
def test_a_matrix_that_is_not_positive_definite_has_none(size):
    matrix = -positive(size)

    inverse = positive_inverse(matrix)

    assert np.isnan(inverse).all()


def test_of_nothing_there_is_nothing():
    assert positive_inverse(np.zeros((0, 0))).shape == (0, 0)

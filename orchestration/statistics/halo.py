"""Halo: how alike one interviewer's ratings of different competencies are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc

from orchestration.statistics.codes import levels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# What other cards of a cell leave of a sum by rounding alone, as a share of it.
_ROUNDING = 1e-9
# Cards of a cell's own that weigh as much as those of all cells in telling how far
# squares of its cards scatter.
_CELL_CARDS = 100
# Below, a few uneven cards carry the mean squares, as on a scale of which hardly any
# level but one is used; they follow no chi-squared distribution then.
_FEWEST_DF = 10.0


@dataclass(frozen=True)
class Halo:
    """How alike competencies are on each interviewer's cards, beside the peers'.

    Attributes
    ----------
    n : ndarray of int, shape (n_interviewers,)
        Cards compared: of two competencies or more, in a cell that others rated in.
    ratio : ndarray
        Variance between cards over variance within cards, as a multiple of what peers
        show in the same cells; above 1 is halo, infinite if no card tells competencies
        apart. NaN without a card to compare.
    df_numerator, df_denominator : ndarray
        Degrees of freedom of the F distribution that chance gives it.
    p : ndarray
        Probability that one like the peers reaches the ratio; NaN where either has
        fewer than 10 degrees of freedom.
    """

    n: Integers
    ratio: Floats
    df_numerator: Floats
    df_denominator: Floats
    p: Floats


@dataclass(frozen=True)
class _Squares:
    """Squares of cards by source, in units of the peers', and their degrees."""

    value: Floats
    df: Floats
    peers_df: Floats


@dataclass(frozen=True)
class _Pairs:
    """Which interviewer and cell each card belongs to, and the pairs of them."""

    card: Integers
    who: Integers
    cell: Integers

    def total(self, value: Floats) -> Floats:
        """Sum of the cards of each pair."""
        return np.bincount(self.card, value, minlength=self.who.size)

    def peers(self, value: Floats) -> Floats:
        """Sum of the other interviewers' cards in the cell of each pair."""
        own = self.total(value)
        everybody = np.bincount(self.cell, own)[self.cell]
        rest = everybody - own
        return np.where(rest > _ROUNDING * everybody, rest, 0.0)


def halo(
    total: ArrayLike,
    squares: ArrayLike,
    n_rated: ArrayLike,
    cell: ArrayLike,
    interviewer: ArrayLike,
) -> Halo:
    """Return whether each interviewer's cards hold one judgement more than the peers'.

    The mean square between cards over that within cards is (1 + (m - 1) r) / (1 - r)
    for m competencies that correlate by r on a card. Its logarithm is Fisher's
    transformation of an intraclass correlation, on which a difference from the peers
    has the same error at any r; the correlations' own difference is told worst where
    it is largest. Both mean squares are taken in units of what the cell's other
    interviewers show, summed over cells, and their ratio is an F ratio, of which the
    peers' error is part. Ratings are whole steps with ends, whose squares scatter
    otherwise than those of normal deviates: degrees of freedom are those of normal
    ratings over how much more the peers' cards scatter, each beside its interviewer's
    mean, so that halo among peers adds nothing to it.

    Parameters
    ----------
    total, squares : array_like of float, shape (n_cards,)
        Sum and sum of squares of a card's deviations from the means of its
        competencies in the cell. An interviewer's own mean is taken out.
    n_rated : array_like of int, shape (n_cards,)
        Competencies rated on the card; cards of one are left out.
    cell, interviewer : array_like of int, shape (n_cards,)
        Codes from 0. A cell is what is compared with itself only, such as a round of
        a role family under one rubric.

    Returns
    -------
    Halo
        By interviewer code.

    Raises
    ------
    ValueError
        If the arrays differ in length.

    References
    ----------
    Fisher (1925), Statistical Methods for Research Workers, sec. 38-40; Box & Andersen
    (1955), J. R. Stat. Soc. B 17, 1-34, for the degrees of freedom.
    """
    cards = [np.asarray(x, dtype=np.float64) for x in (total, squares, n_rated)]
    codes = [np.asarray(x, dtype=np.int64) for x in (cell, interviewer)]
    sizes = [array.size for array in (*cards, *codes)]
    if len(set(sizes)) > 1:
        raise ValueError(f"all arrays must have one entry per card, got {sizes}")
    n_interviewers = int(codes[1].max(initial=-1)) + 1
    several = cards[2] > 1
    sums, squared, m = (array[several] for array in cards)
    place, who = (array[several] for array in codes)
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = _pairs(who, place)
        between, within, is_compared = _in_peers_units(sums, squared, m, who, pairs)
        return _compared(between, within, is_compared, who, pairs, n_interviewers)


def _pairs(who: Integers, cell: Integers) -> _Pairs:
    n_cells = int(cell.max(initial=0)) + 1
    found, card = levels(who * n_cells + cell)
    return _Pairs(card, found // n_cells, found % n_cells)


def _in_peers_units(
    total: Floats, squares: Floats, m: Floats, who: Integers, pairs: _Pairs
) -> tuple[_Squares, _Squares, NDArray[np.bool_]]:
    """Squares between and within cards, and which cards have peers' beside them."""
    level = (np.bincount(who, total) / np.bincount(who, m))[who]
    between = (total - m * level) ** 2 / m
    within = np.maximum(squares - total**2 / m, 0.0)
    # An interviewer's mean costs one degree of freedom, shared by the cards.
    df, df_within = 1 - 1 / np.bincount(who)[who], m - 1
    peers_df, peers_df_within = pairs.peers(df), pairs.peers(df_within)
    usual_within = pairs.peers(within) / peers_df_within
    usual = pairs.peers(between)
    # Cards of more competencies vary more between them, by what competencies share.
    shared = (usual - usual_within * peers_df) / pairs.peers(df * m)
    grows = shared > 0
    usual_between = (
        np.where(grows, usual_within, usual / peers_df)[pairs.card]
        + np.where(grows, shared, 0.0)[pairs.card] * m
    )
    usual_within = usual_within[pairs.card]
    is_compared = (usual_between > 0) & (usual_within > 0)

    def squares_of(value: Floats, usual: Floats, df: Floats, peers: Floats) -> _Squares:
        kept = np.where(is_compared, df, 0.0)
        return _Squares(np.where(is_compared, value / usual, 0.0), kept, peers)

    return (
        squares_of(between, usual_between, df, peers_df),
        squares_of(within, usual_within, df_within, peers_df_within),
        is_compared,
    )


def _compared(
    between: _Squares,
    within: _Squares,
    is_compared: NDArray[np.bool_],
    who: Integers,
    pairs: _Pairs,
    n_interviewers: int,
) -> Halo:
    """The ratio of both sources, and what chance makes of it."""
    n = np.bincount(who[is_compared], minlength=n_interviewers)
    sums = [
        np.bincount(who, array, minlength=n_interviewers)
        for array in (between.value, between.df, within.value, within.df)
    ]
    ratio = (sums[0] / sums[1]) / (sums[2] / sums[3])
    left_between, chance_between = _scatter(between, sums[0], sums[1], who, n)
    left_within, chance_within = _scatter(within, sums[2], sums[3], who, n)
    # Squares between and within cards that go together would narrow the error; peers
    # with few uneven cards show that by chance, so it is only let widen it.
    both = left_between * left_within
    own_between, peers_between = _errors(
        between, sums[1], left_between**2, chance_between, both, pairs, n.size
    )
    own_within, peers_within = _errors(
        within, sums[3], left_within**2, chance_within, both, pairs, n.size
    )
    numerator = 1 / (own_between + peers_within)
    denominator = 1 / (own_within + peers_between)
    is_told = (numerator >= _FEWEST_DF) & (denominator >= _FEWEST_DF)
    p = np.where(is_told, fdtrc(numerator, denominator, ratio), np.nan)
    return Halo(n, ratio, numerator, denominator, p)


def _scatter(
    source: _Squares, total: Floats, df: Floats, who: Integers, n: Integers
) -> tuple[Floats, Floats]:
    """Each card's distance from its interviewer's mean, and the variance of normal
    ratings, both in shares of that mean."""
    share = source.df / df[who]
    left = np.where(total[who] > 0, source.value / total[who] - share, 0.0)
    # Shares of a sum of squares are a Dirichlet draw.
    chance = np.where(total[who] > 0, 2 * share * (1 - share) / (df[who] + 2), 0.0)
    size = n[who]
    return np.nan_to_num(left) * size, np.nan_to_num(chance) * size**2


def _errors(
    source: _Squares,
    df: Floats,
    squared: Floats,
    chance: Floats,
    both: Floats,
    pairs: _Pairs,
    n_interviewers: int,
) -> tuple[Floats, Floats]:
    """One over the degrees of freedom, by interviewer: own cards' and the peers'."""
    found = pairs.total(squared) + np.maximum(-both.sum(), 0) / max(both.sum(), 1)
    return found, found

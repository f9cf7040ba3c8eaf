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
# Cards of other cells that help to tell how far squares of a cell's cards scatter.
_BORROWED_CARDS = 100
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
    """Squares of cards in units of the peers', their degrees, and peers' by pair."""

    value: Floats
    df: Floats
    peers_df: Floats


@dataclass(frozen=True)
class _Pairs:
    """Pairs of an interviewer and a cell; `card` and `who` name each card's."""

    card: Integers
    who: Integers
    interviewer: Integers
    cell: Integers
    n_interviewers: int

    def of_pair(self, value: Floats) -> Floats:
        """Sum of the cards of each pair."""
        return _sum(value, self.card, self.cell.size)

    def peers(self, value: Floats) -> Floats:
        """Sum of the other interviewers' cards in the cell of each pair."""
        own = self.of_pair(value)
        return _sum(own, self.cell, 0)[self.cell] - own

    def of_interviewer(self, value: Floats) -> Floats:
        """Sum of the cards of each interviewer."""
        return _sum(value, self.who, self.n_interviewers)


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
    pairs = _pairs(who, place, n_interviewers)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _compared(*_in_peers_units(sums, squared, m, pairs), pairs)


def _sum(value: Floats, group: Integers, n: int) -> Floats:
    return np.asarray(np.bincount(group, value, minlength=n), dtype=np.float64)


def _pairs(who: Integers, cell: Integers, n_interviewers: int) -> _Pairs:
    n_cells = int(cell.max(initial=0)) + 1
    found, card = levels(who * n_cells + cell)
    return _Pairs(card, who, found // n_cells, found % n_cells, n_interviewers)


def _in_peers_units(
    total: Floats, squares: Floats, m: Floats, pairs: _Pairs
) -> tuple[_Squares, _Squares]:
    """Squares between and within cards; cards without peers' beside them have none."""
    own = pairs.of_interviewer(total) / pairs.of_interviewer(m)
    between = (total - m * own[pairs.who]) ** 2 / m
    within = np.maximum(squares - total**2 / m, 0.0)
    # An interviewer's mean costs one degree of freedom, shared by the cards.
    df = 1 - 1 / np.bincount(pairs.who)[pairs.who]
    usual, usual_df = pairs.peers(between), pairs.peers(df)
    usual_within, within_df = pairs.peers(within), pairs.peers(m - 1)
    is_usual = usual > _ROUNDING * pairs.of_pair(between)
    is_usual &= usual_within > _ROUNDING * pairs.of_pair(within)
    usual_within = usual_within / within_df
    # Cards of more competencies vary more between them, by what competencies share.
    shared = (usual - usual_within * usual_df) / pairs.peers(df * m)
    grows = shared > 0
    base = np.where(grows, usual_within, usual / usual_df)[pairs.card]
    slope = np.where(grows, shared, 0.0)[pairs.card]
    kept = is_usual[pairs.card]

    def told(value: Floats, unit: Floats, df: Floats, peers: Floats) -> _Squares:
        return _Squares(np.where(kept, value / unit, 0), np.where(kept, df, 0), peers)

    return (
        told(between, base + slope * m, df, usual_df),
        told(within, usual_within[pairs.card], m - 1, within_df),
    )


def _compared(between: _Squares, within: _Squares, pairs: _Pairs) -> Halo:
    """The ratio of both sources, and what chance makes of it."""
    n = pairs.of_interviewer((within.df > 0).astype(float)).astype(np.int64)
    ratio = _mean_square(between, pairs) / _mean_square(within, pairs)
    scatter, expected = _scatter(between, n, pairs)
    scatter_within, expected_within = _scatter(within, n, pairs)
    # Squares that are large together narrow the error of their ratio; where few uneven
    # cards make them so by chance, the error must not follow.
    together = np.minimum(_pooled(scatter * scatter_within, n, pairs), 0.0)
    excess, excess_within = (
        (_pooled(left**2, n, pairs) - together) / _pooled(chance, n, pairs)
        for left, chance in ((scatter, expected), (scatter_within, expected_within))
    )
    error, peers_error = _errors(between, excess, pairs)
    error_within, peers_error_within = _errors(within, excess_within, pairs)
    numerator = 1 / (error + peers_error_within)
    denominator = 1 / (error_within + peers_error)
    is_told = np.minimum(numerator, denominator) >= _FEWEST_DF
    p = np.where(is_told, fdtrc(numerator, denominator, ratio), np.nan)
    return Halo(n, ratio, numerator, denominator, p)


def _mean_square(source: _Squares, pairs: _Pairs) -> Floats:
    return pairs.of_interviewer(source.value) / pairs.of_interviewer(source.df)


def _scatter(source: _Squares, n: Integers, pairs: _Pairs) -> tuple[Floats, Floats]:
    """Squares' distance from the interviewer's mean, and its variance if normal.

    Both are in units of that mean, so that it does not matter how large it is.
    """
    sums = pairs.of_interviewer(source.value)[pairs.who]
    df = pairs.of_interviewer(source.df)[pairs.who]
    size, is_told = n[pairs.who], (sums > 0) & (df > 0)
    share = source.df / df
    # Squares over their sum are a Dirichlet draw.
    variance = 2 * share * (1 - share) / (df + 2)
    return (
        np.where(is_told, size * (source.value / sums - share), 0.0),
        np.where(is_told, size**2 * variance, 0.0),
    )


def _pooled(value: Floats, n: Integers, pairs: _Pairs) -> Floats:
    """Sum over the peers' cards in each cell, and some cards as all other peers give.

    A cell's own cards tell it best, as scales and their ends are those of cells, but
    may be few.
    """
    others = value.sum() - pairs.of_interviewer(value)
    usual = others / (n.sum() - n)
    return pairs.peers(value) + _BORROWED_CARDS * usual[pairs.interviewer]


def _errors(source: _Squares, excess: Floats, pairs: _Pairs) -> tuple[Floats, Floats]:
    """Inverse degrees of freedom of own mean squares, and of those of the peers."""
    df = pairs.of_pair(source.df)
    weight = df / pairs.of_interviewer(source.df)[pairs.interviewer]
    own = np.where(df > 0, excess * weight**2 / df, 0.0)
    peers = np.where(df > 0, excess * weight**2 / source.peers_df, 0.0)
    whose, n = pairs.interviewer, pairs.n_interviewers
    return _sum(own, whose, n), _sum(peers, whose, n)

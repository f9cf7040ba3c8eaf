"""Interviewer calibration: how each interviewer rates beside peers (T2)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import chi2

from orchestration.estimates.frames import Z95
from orchestration.estimates.ratings import RatingHistory, Ratings, rating_contents
from orchestration.estimates.slices import NOTHING_KEPT, Slices, side_by_side, stream
from orchestration.estimates.windows import Window, windows
from orchestration.settings import Policy
from orchestration.statistics.codes import distinct, levels
from orchestration.statistics.halo import halo
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.statistics.severity import (
    Misfit,
    Severity,
    misfit,
    severity,
    severity_p,
)
from orchestration.warehouse import Warehouse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# Severity is told in points of a five-point scale, for which the policy's margins were
# argued; deviations on another scale are stretched to its range.
_POINTS = 4.0
# How far beyond peers an index must lie to be worth a word, besides q, which says that
# it is no chance: two thirds of their spread, half as much again of their squared
# error, .15 of correlation.
_COMPRESSED = 0.7
_NOISY = 1.5
_HALO = 0.15
# Companies drawn to tell chance from misfit: fewer where cards are many, whose
# interviewers then tell the tails together.
_DRAWS = (25, 100)
_DRAWN_CARDS = 2_000_000

SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("interviewer_id", pa.string()), ("n", pa.int64()),
        ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("n_cards", pa.int64()), ("n_corated", pa.int64()),
        ("severity_raw", pa.float64()), ("severity_shrunk", pa.float64()),
        ("se", pa.float64()), ("z", pa.float64()), ("p", pa.float64()),
        ("q", pa.float64()), ("sd_ratio", pa.float64()), ("modal_share", pa.float64()),
        ("halo_index", pa.float64()), ("rest_correlation", pa.float64()),
        ("infit", pa.float64()), ("outfit", pa.float64()),
        ("infit_critical", pa.float64()), ("outfit_critical", pa.float64()),
        ("flag", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Cards:
    """One entry per card of a round.

    Attributes
    ----------
    score : ndarray
        Mean deviation from its criteria's means, in points of a five-point scale.
    candidate, cell, interviewer : ndarray of int
        Codes; a cell is a round of a role family under one rubric and scale.
    family : ndarray of int
        A criterion of the card, which names its role family.
    submitted_at : ndarray of datetime64
        When its last rating was given.
    n_competencies, total, squares : ndarray
        Competencies rated, and sum and sum of squares of their deviations.
    """

    score: Floats
    candidate: Integers
    cell: Integers
    interviewer: Integers
    family: Integers
    submitted_at: NDArray[np.datetime64]
    n_competencies: Integers
    total: Floats
    squares: Floats


def interviewer_calibration(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return severity and rating habits per window, role family and interviewer.

    Role family `all` compares all interviewers, each within the rounds of the family
    they rated in; quarters have no other role family. Numbers need the policy's minimum
    of candidates; below it a row has its counts and status `insufficient`. What misfit
    chance makes comes from scores drawn from the model, each slice with a stream of its
    own from `rng`.
    """
    asked = windows(warehouse, "quarter", "rolling", "year")
    rated = rating_contents(warehouse, asked)

    def compute(new: list[Window]) -> pa.Table:
        history = RatingHistory(warehouse, new)
        items = ((history.ratings(window), window, policy, rng) for window in new)
        tables = side_by_side(_window_table, items, n_cases=len(history))
        return pa.concat_tables([SCHEMA.empty_table(), *tables])

    return slices.by_window(
        asked, lambda window: [policy.model_dump_json(), rated[window.id]], compute
    )


def _window_table(
    rated: Ratings, window: Window, policy: Policy, rng: np.random.Generator
) -> pa.Table:
    """All role families of one window, with q over the window."""
    if not rated.value.size:
        return SCHEMA.empty_table()
    cards = cards_of(rated)
    families, codes = np.unique(
        rated.criteria["role_family"].to_numpy(str), return_inverse=True
    )
    modal = _modal_shares(rated, codes[rated.criterion])
    everyone = np.ones(cards.score.size, dtype=bool)

    def rows(chosen: NDArray[np.bool_], family: str, modal: Floats) -> pd.DataFrame:
        own = stream(rng, f"{window.id} {family}")
        return _slice(cards, chosen, family, rated, modal, policy, own)

    parts = [rows(everyone, "all", modal[-1])]
    # Quarters of single roles are too thin to judge anybody by.
    for code, family in enumerate(families if window.kind != "quarter" else ()):
        chosen = codes[cards.family] == code
        if chosen.all():
            parts.append(parts[0].assign(role_family=str(family)))
        elif chosen.any():
            parts.append(rows(chosen, str(family), modal[code]))
    frame = pd.concat(parts, ignore_index=True).assign(window_id=window.id)
    # Pooled rows and rows by role family are two readings of the same ratings.
    group = (frame["role_family"] != "all").to_numpy().astype(np.int64)
    frame["q"] = benjamini_hochberg(frame["p"].to_numpy(), group)
    frame["flag"] = _flags(frame, group, policy)
    return pa.Table.from_pandas(
        frame[SCHEMA.names], schema=SCHEMA, preserve_index=False
    )


def cards_of(rated: Ratings) -> Cards:
    """Return the cards of some ratings, of which there is at least one."""
    criteria = rated.criteria
    span = (criteria["scale_max"] - criteria["scale_min"]).to_numpy(float)
    factor = np.where(span > 0, _POINTS / np.where(span > 0, span, 1.0), 1.0)
    # Several questions of a competency on one card are one judgement of it.
    key = rated.criterion * (rated.card.max() + 1) + rated.card
    _, first, judgement = np.unique(key, return_index=True, return_inverse=True)
    answers = np.bincount(judgement)
    value = np.bincount(judgement, rated.value) / answers
    criterion = rated.criterion[first]
    value = value * factor[criterion]
    mean = np.bincount(criterion, value) / np.maximum(np.bincount(criterion), 1)
    deviation = value - mean[criterion]
    cells = criteria.drop(columns="competency")[
        ["role_family", "round", "rubric_id", "rubric_version", "scale_id"]
    ]
    cell_of = cells.groupby(list(cells.columns), sort=True).ngroup().to_numpy()
    cell = cell_of[criterion]
    key = rated.card[first] * (cell_of.max() + 1) + cell
    _, one, card = np.unique(key, return_index=True, return_inverse=True)
    size = np.bincount(card)
    total = np.bincount(card, deviation)
    at = np.full(size.size, np.datetime64(0, "us"))
    np.maximum.at(at, card, rated.submitted_at[first].astype("datetime64[us]"))
    return Cards(
        score=total / size,
        candidate=rated.candidate[first][one],
        cell=cell[one],
        interviewer=rated.interviewer[first][one],
        family=criterion[one],
        submitted_at=at,
        n_competencies=size,
        total=np.asarray(total, dtype=np.float64),
        squares=np.asarray(np.bincount(card, deviation**2), dtype=np.float64),
    )


def _modal_shares(rated: Ratings, family: Integers) -> list[Floats]:
    """Share of each interviewer's most used level, by role family; the last pools."""
    scale = pd.factorize(rated.criteria["scale_id"], sort=True)[0][rated.criterion]
    value, values = pd.factorize(rated.value)
    level, levels = pd.factorize(scale * len(values) + value)
    n, n_families = len(rated.interviewers), int(family.max()) + 1
    counts = np.bincount(
        (family * n + rated.interviewer) * len(levels) + level,
        minlength=n_families * n * len(levels),
    ).reshape(n_families, n, len(levels))
    with np.errstate(invalid="ignore"):
        return [
            table.max(axis=1) / table.sum(axis=1) for table in [*counts, counts.sum(0)]
        ]


def _slice(
    cards: Cards,
    chosen: NDArray[np.bool_],
    family: str,
    rated: Ratings,
    modal: Floats,
    policy: Policy,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The rows of one role family of one window, without q and flag."""
    present, interviewer = levels(cards.interviewer[chosen])
    _, cell = levels(cards.cell[chosen])
    _, candidate = levels(cards.candidate[chosen])
    model = severity(cards.score[chosen], candidate, cell, interviewer)
    others = _other_raters(candidate, cell, interviewer)
    n_draws = int(np.clip(_DRAWN_CARDS // cell.size, *_DRAWS))
    found = misfit(model, others > 0, rng=rng, n_draws=n_draws)
    frame = pd.DataFrame(
        {
            "role_family": family,
            "interviewer_id": np.array(rated.interviewers, dtype=object)[present],
            "n": _distinct(interviewer, candidate, present.size),
            "n_cards": np.bincount(interviewer),
            "n_corated": _distinct(
                interviewer[others > 0], candidate[others > 0], present.size
            ),
            "severity_raw": model.raw,
            "severity_shrunk": model.shrunk,
            "se": model.se,
            "modal_share": modal[present],
            **_habits(model, interviewer, candidate, cell, others),
            **_misfit(found),
            **_halo(cards, chosen, model, interviewer, cell),
        }
    )
    z, p = severity_p(model.raw, model.se, margin=policy.severity_margin)
    frame = frame.assign(
        z=z,
        p=p,
        estimate=model.shrunk,
        ci_low=model.shrunk - Z95 * model.shrunk_sd,
        ci_high=model.shrunk + Z95 * model.shrunk_sd,
        ci_method="posterior of the mixed model",
    )
    return _with_status(frame, model.var_interviewer, policy)


def _with_status(
    frame: pd.DataFrame, var_interviewer: float, policy: Policy
) -> pd.DataFrame:
    """Status by row; numbers go where there are too few candidates or no peers."""
    few = frame["n"] < policy.show_minimum_interviewer_candidates
    few |= frame["severity_raw"].isna()
    measures = [
        "estimate", "ci_low", "ci_high", "severity_raw", "severity_shrunk", "se", "z",
        "p", "sd_ratio", "modal_share", "halo_index", "rest_correlation", "infit",
        "outfit", "infit_critical", "outfit_critical",
    ]  # fmt: skip
    crosses = (frame["ci_low"] <= 0) & (frame["ci_high"] >= 0)
    status = np.select(
        [few, np.full(len(frame), var_interviewer == 0), crosses],
        ["insufficient", "boundary", "inconclusive"],
        "ok",
    )
    frame.loc[few, measures] = np.nan
    return frame.assign(
        status=status, ci_method=np.where(few, "none", frame["ci_method"])
    )


def _other_raters(
    candidate: Integers, cell: Integers, interviewer: Integers
) -> Integers:
    """How many other interviewers rated the same candidate in the same cell."""
    _, visit = levels(candidate * (cell.max() + 1) + cell)
    different = distinct(visit * (interviewer.max() + 1) + interviewer)
    return np.bincount(different // (interviewer.max() + 1))[visit] - 1


def _distinct(group: Integers, item: Integers, n_groups: int) -> Integers:
    """Number of different items in each group."""
    if not group.size:
        return np.zeros(n_groups, dtype=np.int64)
    pairs = distinct(group * (item.max() + 1) + item)
    return np.bincount(pairs // (item.max() + 1), minlength=n_groups)


def _habits(
    model: Severity,
    interviewer: Integers,
    candidate: Integers,
    cell: Integers,
    others: Integers,
) -> dict[str, Floats]:
    """Spread and agreement with the other raters, by interviewer."""
    n = int(interviewer.max()) + 1
    size = np.bincount(interviewer, minlength=n).astype(float)
    mean = np.bincount(interviewer, model.residual, minlength=n) / size
    spread = _variance(model.residual, interviewer, n)
    predicted = _variance(model.expected, interviewer, n) + (
        np.bincount(interviewer, model.expected_var, minlength=n) / size
    )
    shared = others > 0
    who = interviewer[shared]
    rest = _rest_mean(model.residual - mean[interviewer], candidate, cell, interviewer)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.bincount(who, minlength=n).astype(float)
        correlation = _correlation(model.residual[shared], rest[shared], who, n)
        signal = model.var_candidate + model.var_candidate_round
        k = count / np.bincount(who, 1 / others[shared], minlength=n)
        reliability = signal / (signal + model.var_resid / k)
        return {
            "sd_ratio": np.sqrt(spread / predicted),
            "rest_correlation": np.clip(correlation / np.sqrt(reliability), -1, 1),
        }


def _misfit(found: Misfit) -> dict[str, Floats]:
    """Distance of cards from what the candidate's other cards lead to expect."""
    return {
        "infit": found.infit,
        "outfit": found.outfit,
        "infit_critical": found.infit_critical,
        "outfit_critical": found.outfit_critical,
        "_misfit_p": found.p,
    }


def _variance(value: Floats, group: Integers, n: int) -> Floats:
    """Sample variance in each group; NaN below two values."""
    size = np.bincount(group, minlength=n).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, value, minlength=n) / size
        squares = np.bincount(group, (value - mean[group]) ** 2, minlength=n)
        return np.where(size > 1, squares / (size - 1), np.nan)


def _rest_mean(
    value: Floats, candidate: Integers, cell: Integers, interviewer: Integers
) -> Floats:
    """Mean of the candidate's cards in the cell by other interviewers; NaN if none."""
    _, visit = levels(candidate * (cell.max() + 1) + cell)
    _, own = levels(visit * (interviewer.max() + 1) + interviewer)
    total = np.bincount(visit, value)[visit] - np.bincount(own, value)[own]
    count = np.bincount(visit)[visit] - np.bincount(own)[own]
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def _correlation(x: Floats, y: Floats, group: Integers, n: int) -> Floats:
    """Product-moment correlation in each group; NaN without spread."""
    size = np.bincount(group, minlength=n)
    x = x - (np.bincount(group, x, minlength=n) / size)[group]
    y = y - (np.bincount(group, y, minlength=n) / size)[group]
    xy, xx, yy = (
        np.bincount(group, product, minlength=n) for product in (x * y, x * x, y * y)
    )
    return np.where((xx > 0) & (yy > 0), xy / np.sqrt(xx * yy), np.nan)


def _halo(
    cards: Cards,
    chosen: NDArray[np.bool_],
    model: Severity,
    interviewer: Integers,
    cell: Integers,
) -> dict[str, Floats]:
    """Correlation between competencies on the interviewer's cards, minus the peers'.

    Peers are all cards of the same cell. The index is for reading; p tests the ratio
    of variances between and within cards, which finds halo at fewer cards.
    """
    m = cards.n_competencies[chosen].astype(float)
    # Card deviations from what this interviewer usually gives.
    level = -np.nan_to_num(model.raw)[interviewer]
    total = cards.total[chosen] - m * level
    squares = cards.squares[chosen] - 2 * level * cards.total[chosen] + m * level**2
    several = m > 1
    m, total, squares = m[several], total[several], squares[several]
    who, where = interviewer[several], cell[several]
    n = int(interviewer.max()) + 1
    together = (total**2 - squares) / (m * (m - 1))
    variance = squares / m
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = np.bincount(where, together) / np.bincount(where, variance)
        excess = together - usual[where] * variance
        base = np.bincount(who, variance, minlength=n)
        index = np.bincount(who, excess, minlength=n) / base
    found = halo(
        cards.total[chosen], cards.squares[chosen], cards.n_competencies[chosen], cell,
        interviewer,
    )  # fmt: skip
    return {"halo_index": index, "_halo_p": found.p}


def _flags(frame: pd.DataFrame, group: Integers, policy: Policy) -> NDArray[np.object_]:
    """The first habit that stands out; severity before the others."""
    rate = policy.false_discovery_rate
    enough = (frame["n"] >= policy.act_minimum_interviewer_candidates) & (
        frame["n_corated"] >= policy.act_minimum_interviewer_corated
    )
    judged = frame.where(enough)
    severe = (
        enough
        & (frame["severity_shrunk"].abs() >= policy.severity_flag)
        & (frame["q"] < rate)
    )

    cards = judged["n_cards"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.stack(
            [
                judged["_halo_p"].to_numpy(float),
                chi2.cdf((cards - 1) * judged["sd_ratio"].to_numpy() ** 2, cards - 1),
                judged["_misfit_p"].to_numpy(float),
            ]
        )
    # One family: three at the rate each would flag somebody in 10 % of healthy
    # companies.
    q = benjamini_hochberg(p.ravel(), np.tile(group, 3)).reshape(p.shape)
    has_halo, compressed, noisy = (q < rate) & np.stack(
        [
            judged["halo_index"] >= _HALO,
            judged["sd_ratio"] <= _COMPRESSED,
            judged["outfit"] >= _NOISY,
        ]
    )
    return np.select(
        [
            severe & (frame["severity_shrunk"] > 0),
            severe & (frame["severity_shrunk"] < 0),
            has_halo,
            compressed,
            noisy,
        ],
        ["severe", "lenient", "halo", "compressed", "noisy"],
        "none",
    )

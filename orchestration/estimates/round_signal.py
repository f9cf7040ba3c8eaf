"""Round signal: what a round tells for the hours it costs (T9)."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.calibration import Cards, cards_of
from orchestration.estimates.frames import Z95, arrow_table
from orchestration.estimates.ratings import RatingHistory, Ratings, rating_contents
from orchestration.estimates.reliability import JUDGED
from orchestration.estimates.slices import NOTHING_KEPT, Part, Slices, side_by_side
from orchestration.estimates.windows import Window, windows
from orchestration.settings import Policy
from orchestration.statistics.codes import distinct, levels
from orchestration.statistics.crossed import (
    components,
    g_qk,
    g_with,
    intervals,
    k_harmonic,
    largest_component,
    q_overlap,
    sem,
)
from orchestration.statistics.crossed_effects import interviewer_effects
from orchestration.statistics.rounds import (
    RoundStatistics,
    Thresholds,
    TrueCorrelation,
    borderline_share,
    candidate_dropoff,
    decisions,
    flip_rate,
    information_per_hour,
    marginal_reliability,
    signal_to_noise,
    verdict,
)
from orchestration.statistics.true_scores import true_correlations
from orchestration.warehouse import Warehouse

Floats = NDArray[np.float64]

_KEYS = ["role_family", "round"]
_KINDS = ("rolling", "year")
# Raters that may be added before a round is given up.
_MORE_RATERS = 2

_OUTCOMES = f"""
    {JUDGED}
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        round,
        cast(count(*) filter (where outcome <> 'open') as bigint) as n_left,
        cast(count(*) filter (where outcome = 'withdrew') as bigint) as n_withdrew,
        cast(count(*) filter (where outcome = 'advanced') as double) / nullif(
            count(*) filter (where outcome in ('advanced', 'rejected')), 0
        ) as pass_rate
    from judged
    group by window_id, round, cube (role_family)
"""
# Sums of decimals do not depend on the order of rows.
_HOURS = """
    with spent as (
        select
            application_id,
            role_family,
            round,
            sum(cast(minutes as decimal(18, 6))) as minutes
        from marts.fct_scorecards
        where submitted_at >= cast(? as timestamp)
            and submitted_at < cast(? as timestamp)
            and not is_shadow and round is not null
        group by application_id, role_family, round
    )
    select
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        round,
        cast(sum(minutes) as double) / (60.0 * count(minutes)) as hours_per_candidate
    from spent
    group by round, cube (role_family)
"""

_PAIRS = ("marginal_reliability", "redundancy_r", "flip_rate", "candidate_dropoff",
          "borderline_share")  # fmt: skip
_NUMBERS = (
    "estimate", "ci_low", "ci_high", "snr", "hours_per_candidate", "info_per_hour",
    "composite_reliability", "reliability_without", "decision_consistency",
    *(f"{name}{end}" for name in _PAIRS for end in ("", "_ci_low", "_ci_high")),
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("round", pa.string()), ("n", pa.int64()), ("n_multi", pa.int64()),
        ("n_all_rounds", pa.int64()), ("ci_method", pa.string()),
        ("status", pa.string()),
        *((name, pa.float64()) for name in _NUMBERS),
        ("redundant_with", pa.string()), ("verdict", pa.string()),
    ]
)  # fmt: skip


def round_signal(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return what each round adds, by four closed quarters and role family.

    The estimate is G(q,k), the reliability of the round's panel score. What the round
    adds to the composite of all rounds, and which round it resembles, come from the
    candidates who took every round of the role family; scores are means over a card's
    competencies, deviations from their criteria's means in points of a five-point
    scale. The validity of rounds is not looked at. `rng` is not drawn from.
    """
    asked = windows(warehouse, *_KINDS)
    rated = rating_contents(warehouse, asked)
    outcomes = warehouse.read_arrow(_OUTCOMES, [list(_KINDS)]).to_pandas()
    facts = {window.id: _facts(outcomes, warehouse, window) for window in asked}

    def parts(window: Window) -> list[Part]:
        return [policy.model_dump_json(), rated[window.id], facts[window.id]]

    def compute(new: list[Window]) -> pa.Table:
        history = RatingHistory(warehouse, new)
        items = (
            (history.ratings(window), window, facts[window.id], policy)
            for window in new
        )
        tables = side_by_side(_window_table, items, n_cases=len(history))
        return pa.concat_tables([SCHEMA.empty_table(), *tables])

    return slices.by_window(asked, parts, compute)


def _facts(
    outcomes: pd.DataFrame, warehouse: Warehouse, window: Window
) -> pd.DataFrame:
    """Outcomes and hours of each round in a window."""
    ended = outcomes[outcomes["window_id"] == window.id].drop(columns="window_id")
    hours = warehouse.read_arrow(_HOURS, [window.start, window.end]).to_pandas()
    # Plain objects: pandas cannot merge empty columns of Arrow text.
    plain = dict.fromkeys(_KEYS, object)
    both = ended.astype(plain).merge(hours.astype(plain), on=_KEYS, how="outer")
    return both.sort_values(_KEYS)


def _window_table(
    rated: Ratings, window: Window, about: pd.DataFrame, policy: Policy
) -> pa.Table:
    """All rounds of one window."""
    if not rated.value.size:
        return SCHEMA.empty_table()
    cards = cards_of(rated)
    family = rated.criteria["role_family"].to_numpy(str)[cards.family]
    step = rated.criteria["round"].to_numpy(str)[cards.family]
    covered = _sole_covers(rated.criteria)
    rows: list[dict[str, Any]] = []
    for name in ["all", *np.unique(family)]:
        chosen = np.ones(family.size, bool) if name == "all" else family == name
        facts = about[about["role_family"] == name].set_index("round")
        rows += _rounds(name, cards, step, chosen, facts, covered, policy)
    frame = pd.DataFrame(rows).assign(window_id=window.id)
    return arrow_table(frame.sort_values(_KEYS), SCHEMA)


def _sole_covers(criteria: pd.DataFrame) -> set[str]:
    """Rounds that rate a competency which no other round rates."""
    pairs = criteria[["round", "competency"]].drop_duplicates()
    alone = pairs.groupby("competency")["round"].transform("size") == 1
    return set(pairs["round"][alone])


def _rounds(
    family: str,
    cards: Cards,
    step: NDArray[np.str_],
    chosen: NDArray[np.bool_],
    facts: pd.DataFrame,
    covered: set[str],
    policy: Policy,
) -> list[dict[str, Any]]:
    """One row per round of a role family."""
    names = np.unique(step[chosen])
    single = {
        name: _alone(cards, chosen & (step == name), facts, name, policy)
        for name in names
    }
    shown = [name for name in names if np.isfinite(single[name]["estimate"])]
    together = _together(cards, step, chosen, shown, single, facts, policy)
    rows = []
    for name in names:
        row = {**single[name], **together.get(name, {}), "round": str(name)}
        row["role_family"] = family
        row["verdict"] = _verdict(row, covered, policy)
        rows.append(row)
    return rows


def _alone(
    cards: Cards,
    here: NDArray[np.bool_],
    facts: pd.DataFrame,
    name: str,
    policy: Policy,
) -> dict[str, Any]:
    """What a round's own cards tell."""
    score, candidate, interviewer = (
        cards.score[here], cards.candidate[here], cards.interviewer[here],
    )  # fmt: skip
    people, code = levels(candidate)
    n_interviewers = int(interviewer.max()) + 1
    pairs = distinct(code * n_interviewers + interviewer)
    n_multi = int(np.sum(np.bincount(pairs // n_interviewers) > 1))
    row: dict[str, Any] = {"n": people.size, "n_multi": n_multi}
    row |= dict.fromkeys(_NUMBERS, np.nan) | {"ci_method": "none"}
    row["status"] = "insufficient"
    if n_multi < policy.show_minimum_candidates:
        return row
    linked = largest_component(candidate, interviewer).mask
    fit = components(score[linked], candidate[linked], interviewer[linked])
    row["_score"] = score - interviewer_effects(fit, interviewer)
    k = k_harmonic(candidate[linked], interviewer[linked])
    q = q_overlap(candidate[linked], interviewer[linked])
    bounds = intervals(fit, q_overlap=q, k_harmonic=k)
    g = g_qk(fit, q, k)
    if not np.isfinite(g):
        return row
    fact = facts.loc[name] if name in facts.index else pd.Series(dtype=float)
    hours = float(fact.get("hours_per_candidate", np.nan))
    rate = float(fact.get("pass_rate", np.nan))
    means = np.bincount(code, score) / np.bincount(code)
    cut = float(np.quantile(means, 1 - rate)) if np.isfinite(rate) else np.nan
    near = borderline_share(means, cut=cut, sem=sem(fit, q, k), group=0 * people)
    left = candidate_dropoff(
        [int(np.nan_to_num(fact.get("n_withdrew", 0)))],
        [int(np.nan_to_num(fact.get("n_left", 0)))],
    )
    row |= {
        "estimate": g,
        "ci_low": bounds.g_low,
        "ci_high": bounds.g_high,
        "ci_method": bounds.ci_method,
        "status": "boundary" if fit.var_candidate == 0 else "ok",
        "snr": float(signal_to_noise(g)),
        "hours_per_candidate": hours,
        "info_per_hour": float(information_per_hour(g, hours=hours))
        if hours > 0
        else np.nan,
        "decision_consistency": float(decisions(g, pass_rate=rate).consistency)
        if np.isfinite(rate)
        else np.nan,
        "_with_more": g_with(fit, k + _MORE_RATERS),
    }
    for part, found in (("borderline_share", near), ("candidate_dropoff", left)):
        row[part] = float(found.estimate[0])
        row[f"{part}_ci_low"] = float(found.low[0])
        row[f"{part}_ci_high"] = float(found.high[0])
    return row


def _together(
    cards: Cards,
    step: NDArray[np.str_],
    chosen: NDArray[np.bool_],
    names: list[str],
    single: dict[str, dict[str, Any]],
    facts: pd.DataFrame,
    policy: Policy,
) -> dict[str, dict[str, Any]]:
    """What rounds add to each other, from candidates who took all of them.

    Which round one resembles comes from all cards: those who took every round were
    chosen by the earlier ones, among whom equal rounds no longer look alike.
    """
    if len(names) < 2:
        return {}
    frame = pd.DataFrame(
        {
            "candidate": cards.candidate[chosen],
            "round": step[chosen],
            "score": cards.score[chosen],
        }
    )
    table = frame.pivot_table(index="candidate", columns="round", values="score")
    scores = table[names].dropna().to_numpy()
    n = len(scores)
    if n < policy.show_minimum_candidates:
        return {name: {"n_all_rounds": n} for name in names}
    covariance = np.cov(scores, rowvar=False)
    reliability = np.array([single[name]["estimate"] for name in names])
    se = np.array(
        [(single[m]["ci_high"] - single[m]["ci_low"]) / (2 * Z95) for m in names]
    )
    behind = np.array([single[name]["n"] for name in names])
    added = marginal_reliability(
        covariance, reliability, n, reliability_se=se, reliability_n=behind
    )
    cards_of = [np.flatnonzero(chosen & (step == name)) for name in names]
    found = true_correlations(
        np.concatenate([single[name]["_score"] for name in names]),
        cards.candidate[np.concatenate(cards_of)],
        np.repeat(np.arange(len(names)), [part.size for part in cards_of]),
        n_rounds=len(names),
    )
    alike, partner = _most_alike(found)
    # Decisions on the whole loop are taken where the fewest candidates are left.
    last = min(names, key=lambda name: single[name]["n"])
    rate = float(facts["pass_rate"].get(last, np.nan))
    flips = flip_rate(scores, pass_rate=[rate], group=np.zeros(n, np.int64))
    return {
        name: {
            "n_all_rounds": n,
            "composite_reliability": float(added.with_all),
            "reliability_without": float(added.without[j]),
            "marginal_reliability": float(added.estimate[j]),
            "marginal_reliability_ci_low": float(added.low[j]),
            "marginal_reliability_ci_high": float(added.high[j]),
            "redundancy_r": float(alike[0][j]),
            "redundancy_r_ci_low": float(alike[1][j]),
            "redundancy_r_ci_high": float(alike[2][j]),
            "redundant_with": names[partner[j]] if np.isfinite(alike[0][j]) else None,
            "flip_rate": float(flips.estimate[0, j]),
            "flip_rate_ci_low": float(flips.low[0, j]),
            "flip_rate_ci_high": float(flips.high[0, j]),
        }
        for j, name in enumerate(names)
    }


def _most_alike(
    found: TrueCorrelation,
) -> tuple[tuple[Floats, Floats, Floats], NDArray[np.int64]]:
    """True correlation of each round with the one it resembles most, and which."""
    size = len(found.estimate)
    itself = np.eye(size, dtype=bool)
    off = np.where(itself, -np.inf, np.nan_to_num(found.estimate, nan=-9.0))
    partner = off.argmax(axis=1)
    at = (np.arange(size), partner)
    return (found.estimate[at], found.low[at], found.high[at]), partner


def _verdict(row: dict[str, Any], covered: set[str], policy: Policy) -> str:
    """The verdict on a round, by the recommendation rules' thresholds."""
    statistics = RoundStatistics(
        n_candidates=[row.get("n_all_rounds", 0)],
        reliability_high=[row["ci_high"]],
        reliability_with_more=[row.get("_with_more", np.nan)],
        marginal_high=[row.get("marginal_reliability_ci_high", np.nan)],
        flip_rate=[row.get("flip_rate", np.nan)],
        delta_r2_p=[np.nan],
        redundancy=[row.get("redundancy_r", np.nan)],
        redundancy_low=[row.get("redundancy_r_ci_low", np.nan)],
        borderline_share=[row.get("borderline_share", np.nan)],
        is_sole_cover=[row["round"] in covered],
        is_other_sole_cover=[row.get("redundant_with") in covered],
    )
    thresholds = Thresholds(n_candidates=policy.act_minimum_candidates)
    return str(verdict(statistics, thresholds)[0])

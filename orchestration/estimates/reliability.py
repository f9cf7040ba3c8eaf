"""Rater reliability: would two interviewers give the same candidate the same score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.estimates.ratings import RatingHistory, Ratings, rating_contents
from orchestration.estimates.slices import (
    NOTHING_KEPT,
    Part,
    Slices,
    side_by_side,
    stream,
)
from orchestration.estimates.windows import Window, windows
from orchestration.settings import Policy
from orchestration.statistics.agreement import (
    agreement,
    bootstrap,
    coincidences,
    complete_block,
    gwet_ac2,
    gwet_ac2_limits,
    one_way,
)
from orchestration.statistics.codes import distinct, levels
from orchestration.statistics.crossed import (
    components,
    d_study,
    g_qk,
    g_with,
    intervals,
    k_harmonic,
    largest_component,
    q_overlap,
    sem,
)
from orchestration.warehouse import Warehouse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CELL = [
    "role_family", "round", "competency", "rubric_id", "rubric_version", "scale_id",
]  # fmt: skip
_KINDS = ("quarter", "rolling", "year")
# Scales with more steps than this are read as numbers: their levels mean nothing.
_MOST_LEVELS = 20
_SMALLEST_BLOCK = 5
_MOST_BLOCKS = 200
# A coefficient beyond this has a denominator that only rounding keeps from zero.
_POLE = 1e9

# What became of applications in the stage they were rated in, by window of the kinds
# asked for. Ratings of one day are one before windows, which overlap, are told apart.
JUDGED = """
    with spans as (
        select window_id, window_start, window_end
        from marts.dim_windows
        where window_kind in (select unnest(?))
    ),
    days as (
        select
            application_id,
            role_family,
            coalesce(round, 'unspecified') as round,
            max(submitted_at) as rated_at
        from marts.fct_ratings
        where submitted_at >= (select min(window_start) from spans)
            and submitted_at < (select max(window_end) from spans)
        group by
            application_id,
            role_family,
            coalesce(round, 'unspecified'),
            cast(submitted_at as date)
    ),
    reached as (
        select
            days.application_id,
            days.role_family,
            days.round,
            days.rated_at,
            max_by(
                outcomes.outcome, (outcomes.stage_order, outcomes.stage)
            ) as outcome
        from days
        inner join marts.fct_stage_outcomes as outcomes
            on days.application_id = outcomes.application_id
            and outcomes.first_entered_at <= days.rated_at
            and not outcomes.is_skipped
        group by
            days.application_id, days.role_family, days.round, days.rated_at
    ),
    judged as (
        select
            spans.window_id,
            reached.role_family,
            reached.round,
            max_by(reached.outcome, reached.rated_at) as outcome
        from reached
        inner join spans
            on reached.rated_at >= spans.window_start
            and reached.rated_at < spans.window_end
        group by
            spans.window_id, reached.application_id, reached.role_family,
            reached.round
    )
"""
# Share of the decided applications that advanced from it. Equal data give equal rows:
# counted in integers, in a fixed order.
ADVANCED_SHARES = f"""
    {JUDGED}
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        round,
        cast(count(*) filter (where outcome = 'advanced') as double) / count(*)
            as pass_rate
    from judged
    where outcome in ('advanced', 'rejected')
    group by window_id, round, cube (role_family)
    order by window_id, role_family, round
"""

_INTERVALS = (
    "icc_single", "icc1_anova", "alpha_ordinal", "alpha_interval", "ac2_quadratic",
    "mean_pair_difference",
)  # fmt: skip
_COUNTS = (
    "n", "n_multi", "n_raters", "n_ratings", "n_after_debrief",
    "n_independence_unknown", "n_components", "n_levels", "reliability_needed_k",
)  # fmt: skip
_NUMBERS = (
    "estimate", "ci_low", "ci_high", "k_harmonic", "q_overlap",
    "largest_component_share", "var_candidate", "var_interviewer", "var_question",
    "var_cand_x_int", "var_resid", "g_qk", "pct_exact", "pct_within1", "score_mean",
    "score_sd", "modal_level", "modal_share", "sem", "g_plus_one", "g_plus_two",
    "borderline_share",
    *(f"{name}{end}" for name in _INTERVALS for end in ("", "_ci_low", "_ci_high")),
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("window_id", pa.string()),
        *((name, pa.string()) for name in CELL),
        *((name, pa.int64()) for name in _COUNTS),
        *((name, pa.float64()) for name in _NUMBERS),
        ("modal_is_extreme", pa.bool_()),
        ("ci_method", pa.string()),
        ("status", pa.string()),
    ]
)
CROSSCHECK_SCHEMA = pa.schema(
    [
        ("window_id", pa.string()),
        *((name, pa.string()) for name in CELL),
        ("n", pa.int64()),
        ("n_raters", pa.int64()),
        ("icc1", pa.float64()),
        ("icc_a1", pa.float64()),
        ("difference", pa.float64()),
    ]
)


@dataclass(frozen=True)
class _Cells:
    """Judgements (one per cell, candidate and interviewer), ordered by cell.

    `questions` holds the single ratings of each cell of one competency, ordered by
    cell, for the model that tells questions apart.
    """

    labels: pd.DataFrame
    cell: Integers
    candidate: Integers
    interviewer: Integers
    value: Floats
    level: Integers
    questions: pd.DataFrame


def rater_reliability(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return reliability and agreement by window, role family, round and competency.

    Competency `all` is a card's mean over its competencies; role family `all` pools
    families that share a rubric version. Different scales are never pooled. Ratings
    after the debrief are left out and counted. The estimate is G(q,k), the reliability
    of the panel's score; below the policy's minimum of candidates with two raters a
    row keeps its counts. `rng` draws candidates for the intervals of agreement.
    """
    asked = windows(warehouse, *_KINDS)
    rated = rating_contents(warehouse, asked)
    shares = warehouse.read_arrow(ADVANCED_SHARES, [list(_KINDS)]).to_pandas()
    rates = dict(list(shares.set_index("window_id").groupby("window_id")))
    none = shares.iloc[:0].set_index("window_id")

    def parts(window: Window) -> list[Part]:
        advanced = rates.get(window.id, none)
        return [policy.model_dump_json(), rated[window.id], advanced]

    def compute(new: list[Window]) -> pa.Table:
        history = RatingHistory(warehouse, new)
        items = (
            (window, history.ratings(window), rates.get(window.id, none), policy, rng)
            for window in new
        )
        tables = side_by_side(_window_table, items, n_cases=len(history))
        return pa.concat_tables([SCHEMA.empty_table(), *tables])

    return slices.by_window(asked, parts, compute)


def reliability_crosscheck(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return our intraclass correlations beside pingouin's, by complete block.

    A block is five candidates or more of one criterion who met the same interviewers,
    over all quarters reported. `difference` is the largest over the six coefficients;
    the largest 200 blocks are compared. `rng` is not drawn from.
    """
    quarters = windows(warehouse, "quarter")
    if not quarters:
        return CROSSCHECK_SCHEMA.empty_table()
    history = Window(
        "history",
        "history",
        min(quarter.start for quarter in quarters),
        max(quarter.end for quarter in quarters),
    )

    def compared() -> pa.Table:
        rated = RatingHistory(warehouse, [history]).ratings(history)
        cells = _cells(rated, pooled=[True]) if rated.value.size else None
        rows = _blocks(cells, history) if cells else []
        # A stable sort: blocks of one size keep the order of their labels.
        rows.sort(key=lambda row: -row["n"] * row["n_raters"])
        chosen = [_compared(row) for row in rows[:_MOST_BLOCKS]]
        return pa.Table.from_pylist(chosen, schema=CROSSCHECK_SCHEMA)

    contents = rating_contents(warehouse, quarters)
    parts = [history.part, *(contents[quarter.id] for quarter in quarters)]
    return slices.table(parts, compared)


def _window_table(
    window: Window,
    rated: Ratings,
    rates: pd.DataFrame,
    policy: Policy,
    rng: np.random.Generator,
) -> pa.Table:
    """All cells of one window."""
    if not rated.value.size:
        return SCHEMA.empty_table()
    cells = _cells(rated)
    frame = _spread(cells)
    frame = _agreement(frame, cells, policy, stream(rng, window.id))
    frame = frame.merge(rates, on=["role_family", "round"], how="left")
    starts = np.searchsorted(cells.cell, np.arange(len(frame) + 1))
    asked = np.searchsorted(cells.questions["cell"], np.arange(len(frame) + 1))
    shown = frame["n_multi"] >= policy.show_minimum_candidates

    def modelled(place: int) -> dict[str, Any]:
        if not shown[place]:
            return {}
        rows = slice(starts[place], starts[place + 1])
        rate = float(frame["pass_rate"][place])
        singles = cells.questions.iloc[asked[place] : asked[place + 1]]
        model: dict[str, Any] = _model(cells, rows, singles)
        return model | _borderline(cells, rows, rate)

    models = [modelled(place) for place in range(len(frame))]
    frame = pd.concat([frame, pd.DataFrame(models, index=frame.index)], axis=1)
    frame = _finished(frame, shown, policy).assign(window_id=window.id)
    return arrow_table(frame.sort_values(CELL), SCHEMA)


def _cells(rated: Ratings, pooled: Sequence[bool] = (False, True)) -> _Cells:
    """Judgements by competency and by round, by role family and pooled."""
    criteria = rated.criteria
    single = pd.DataFrame(
        {
            "candidate": rated.candidate,
            "interviewer": rated.interviewer,
            "question": rated.question,
            "value": rated.value,
        }
    )
    criterion, of, by, judged = _judgements(
        rated.criterion, rated.candidate, rated.interviewer, rated.value
    )
    parts, labels, questions, first = [], [], [], 0
    for is_pooled in pooled:
        for total in (False, True):
            named = criteria[CELL].copy()
            if is_pooled:
                named["role_family"] = "all"
            if total:
                named["competency"] = "all"
            code, groups = group_codes(named, CELL)
            parts.append(_judgements(code[criterion] + first, of, by, judged))
            sums = criteria.groupby(code)[
                ["n_after_debrief", "n_independence_unknown"]
            ].sum()
            bounds = criteria.groupby(code).agg(
                {"scale_min": "min", "scale_max": "max", "n_levels": "max"}
            )
            labels.append(groups.join(sums).join(bounds))
            if not total:
                own = single.assign(cell=code[rated.criterion] + first)
                questions.append(own.sort_values("cell", kind="stable"))
            first += len(groups)
    all_labels = pd.concat(labels, ignore_index=True)
    cell, candidate, interviewer, value = map(np.concatenate, zip(*parts, strict=True))
    low = all_labels["scale_min"].to_numpy(float)
    step, n_levels = _steps(all_labels)
    level = np.floor((value - low[cell]) / step[cell] + 0.5)
    level = np.clip(np.nan_to_num(level), 0, np.maximum(n_levels[cell] - 1, 0))
    return _Cells(
        labels=all_labels.assign(step=step, n_levels=n_levels),
        cell=cell,
        candidate=candidate,
        interviewer=interviewer,
        value=value,
        level=level.astype(np.int64),
        questions=pd.concat(questions, ignore_index=True),
    )


def _judgements(
    cell: Integers, candidate: Integers, interviewer: Integers, value: Floats
) -> tuple[Integers, Integers, Integers, Floats]:
    """Mean of each cell, candidate and interviewer, in their order."""
    n_candidates, n_interviewers = (int(c.max()) + 1 for c in (candidate, interviewer))
    key = (cell * n_candidates + candidate) * n_interviewers + interviewer
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    size = np.diff(np.append(first, key.size))
    mean = np.add.reduceat(value[order], first) / size
    one = order[first]
    return cell[one], candidate[one], interviewer[one], mean


def _steps(labels: pd.DataFrame) -> tuple[Floats, Integers]:
    """Distance of two levels, and how many there are, by cell.

    A scale of whole numbers has a level at each of them, used or not.
    """
    low = labels["scale_min"].to_numpy(float)
    span = labels["scale_max"].to_numpy(float) - low
    declared = labels["n_levels"].fillna(0).to_numpy(float)
    whole = (span == np.round(span)) & (span + 1 >= declared)
    step = np.where(whole | (declared < 2), 1.0, span / np.maximum(declared - 1, 1))
    step = np.where(step > 0, step, 1.0)
    return step, (np.round(span / step) + 1).astype(np.int64)


def _spread(cells: _Cells) -> pd.DataFrame:
    """Counts, one-way reliability, and how scores spread over the scale."""
    size = len(cells.labels)
    single = one_way(cells.value, cells.candidate, cells.cell, n_groups=size)
    n_raters = int(cells.interviewer.max(initial=0)) + 1
    raters = distinct(cells.cell * n_raters + cells.interviewer) // n_raters
    # A cell whose ratings all came after the debrief has counts only.
    count = np.bincount(cells.cell, minlength=size).astype(float)
    count[count == 0] = np.nan
    mean = np.bincount(cells.cell, cells.value, size) / count
    squares = np.bincount(cells.cell, (cells.value - mean[cells.cell]) ** 2, size)
    widest = int(cells.labels["n_levels"].max())
    used = np.bincount(
        cells.cell * widest + cells.level, minlength=size * widest
    ).reshape(size, widest)
    modal = used.argmax(axis=1)
    labels = cells.labels
    return labels.assign(
        n=single.n,
        n_multi=single.n_multi,
        n_ratings=single.n_ratings,
        n_raters=np.bincount(raters, minlength=size),
        icc1_anova=single.estimate,
        icc1_anova_ci_low=single.low,
        icc1_anova_ci_high=single.high,
        score_mean=mean,
        score_sd=np.sqrt(squares / np.where(count > 1, count - 1, np.nan)),
        modal_level=labels["scale_min"] + modal * labels["step"],
        modal_share=used.max(axis=1) / count,
        modal_is_extreme=(modal == 0) | (modal == labels["n_levels"] - 1),
    )


def _agreement(
    frame: pd.DataFrame, cells: _Cells, policy: Policy, rng: np.random.Generator
) -> pd.DataFrame:
    """Agreement by level, with intervals where enough candidates have two raters."""
    by_level = (frame["n_levels"] <= _MOST_LEVELS) & (frame["n_levels"] > 1)
    kept = by_level.to_numpy()[cells.cell]
    n_levels = frame["n_levels"].to_numpy()
    pairs = coincidences(
        cells.level[kept],
        cells.candidate[kept],
        cells.cell[kept],
        n_levels=int(n_levels[by_level].max()) if by_level.any() else 1,
        n_groups=len(frame),
    )
    found = agreement(pairs)
    shown = by_level & (frame["n_multi"] >= policy.show_minimum_candidates)
    low, high = bootstrap(
        pairs, chosen=shown, replicates=policy.bootstrap_replicates, rng=rng
    )
    steps = np.maximum(n_levels - 1, 1)
    ac2_low, ac2_high = gwet_ac2_limits(pairs, n_levels)
    columns: dict[str, Floats] = {
        "ac2_quadratic": gwet_ac2(pairs, n_levels),
        "ac2_quadratic_ci_low": ac2_low,
        "ac2_quadratic_ci_high": ac2_high,
        "pct_exact": found.exact,
        "pct_within1": found.within_one,
    }
    for end, part in (("", found), ("_ci_low", low), ("_ci_high", high)):
        columns[f"alpha_ordinal{end}"] = part.alpha_ordinal
        columns[f"alpha_interval{end}"] = part.alpha_interval
        columns[f"mean_pair_difference{end}"] = part.mean_difference / steps
    return frame.assign(**columns)


def _model(
    cells: _Cells, rows: slice, singles: pd.DataFrame
) -> dict[str, float | int | str | None]:
    """Variance components of one cell and what follows from them."""
    linked = largest_component(cells.candidate[rows], cells.interviewer[rows])
    candidate = cells.candidate[rows][linked.mask]
    interviewer = cells.interviewer[rows][linked.mask]
    value, question, per_card = cells.value[rows][linked.mask], None, 1.0
    if len(singles) > len(cells.cell[rows]):
        inside = np.isin(singles["candidate"], candidate) & np.isin(
            singles["interviewer"], interviewer
        )
        asked = singles[inside]
        candidate_of, interviewer_of = asked["candidate"], asked["interviewer"]
        value, question = asked["value"].to_numpy(), asked["question"].to_numpy()
        per_card = len(asked) / max(candidate.size, 1)
        fit = components(value, candidate_of, interviewer_of, question)
    else:
        fit = components(value, candidate, interviewer)
    k, q = k_harmonic(candidate, interviewer), q_overlap(candidate, interviewer)
    q_question = None
    if question is not None:
        q_question = q_overlap(asked["candidate"], asked["question"])
    bounds = intervals(
        fit,
        q_overlap=q,
        k_harmonic=k,
        ratings_per_card=per_card,
        q_question=q_question,
    )
    g = g_qk(fit, q, k, q_question=q_question, m=per_card)
    return {
        "estimate": g,
        "g_qk": g,
        "ci_low": bounds.g_low,
        "ci_high": bounds.g_high,
        "ci_method": bounds.ci_method,
        "icc_single": fit.icc_single,
        "icc_single_ci_low": bounds.icc_low,
        "icc_single_ci_high": bounds.icc_high,
        "k_harmonic": k,
        "q_overlap": q,
        "n_components": linked.n_components,
        "largest_component_share": linked.share,
        "var_candidate": fit.var_candidate,
        "var_interviewer": fit.var_interviewer,
        "var_question": fit.var_question,
        "var_cand_x_int": fit.var_cand_x_int,
        "var_resid": fit.var_resid,
        "sem": sem(fit, q, k, q_question=q_question, m=per_card),
        "reliability_needed_k": d_study(fit, 0.70, m=per_card),
        "g_plus_one": g_with(fit, k + 1, m=per_card),
        "g_plus_two": g_with(fit, k + 2, m=per_card),
    }


def _borderline(cells: _Cells, rows: slice, pass_rate: float) -> dict[str, Any]:
    """Panel means of the cell and the cut at which its pass rate would be met."""
    if not np.isfinite(pass_rate):
        return {}
    _, code = levels(cells.candidate[rows])
    means = np.bincount(code, cells.value[rows]) / np.bincount(code)
    return {"_gaps": np.abs(means - np.quantile(means, 1 - pass_rate))}


def _finished(frame: pd.DataFrame, shown: pd.Series, policy: Policy) -> pd.DataFrame:
    """Status, and no number where too few candidates have two raters."""
    frame = frame.reindex(columns=[*frame.columns.difference(["_gaps"]), "_gaps"])
    for name in (*_NUMBERS, "reliability_needed_k", "n_components", "ci_method"):
        if name not in frame:
            frame[name] = None
    frame["borderline_share"] = [
        float(np.mean(gaps <= error)) if isinstance(gaps, np.ndarray) else np.nan
        for gaps, error in zip(frame["_gaps"], frame["sem"], strict=True)
    ]
    kept = {"score_mean", "score_sd", "modal_level", "modal_share"}
    spread_shown = frame["n"] >= policy.show_minimum_candidates
    for name in _NUMBERS:
        here = spread_shown if name in kept else shown
        frame[name] = pd.to_numeric(frame[name]).where(here)
    for name in ("reliability_needed_k", "n_components", "n_levels"):
        frame[name] = pd.to_numeric(frame[name]).astype("Int64")
    return frame.assign(
        modal_is_extreme=frame["modal_is_extreme"]
        .astype(object)
        .where(spread_shown, None),
        ci_method=frame["ci_method"].where(frame["ci_method"].notna(), "none"),
        status=np.select(
            [~shown | frame["estimate"].isna(), frame["var_candidate"] == 0],
            ["insufficient", "boundary"],
            "ok",
        ),
    )


def _blocks(cells: _Cells, window: Window) -> list[dict[str, Any]]:
    """Complete blocks of the pooled cells: same interviewers, five candidates."""
    # Candidates who met the same interviewers have the same sum of random marks.
    marks = np.random.default_rng(0).integers(
        1, 2**62, int(cells.interviewer.max()) + 1, dtype=np.uint64
    )
    rows = pd.DataFrame(
        {
            "cell": cells.cell,
            "candidate": cells.candidate,
            "interviewer": cells.interviewer,
            "value": cells.value,
            "mark": marks[cells.interviewer],
        }
    )
    panels = rows.groupby(["cell", "candidate"])["mark"].transform("sum")
    rows = rows.assign(panel=panels)
    size = rows.groupby(["cell", "candidate"])["mark"].transform("size")
    n_rows = rows.groupby(["cell", "panel"])["mark"].transform("size")
    rows = rows[(size > 1) & (n_rows >= size * _SMALLEST_BLOCK)]
    found = []
    for (cell, _), block in rows.groupby(["cell", "panel"], sort=True):
        table = block.pivot(index="candidate", columns="interviewer", values="value")
        found.append(
            {
                "window_id": window.id,
                **cells.labels.loc[cell, CELL].to_dict(),
                "n": len(table),
                "n_raters": table.shape[1],
                "_table": table.to_numpy(float),
            }
        )
    return found


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    """The block with our coefficients and their distance from pingouin's."""
    import pingouin

    table = row.pop("_table")
    ours = complete_block(table)
    unit, rater = np.indices(table.shape)
    single = one_way(table.ravel(), unit.ravel(), 0 * unit.ravel(), n_groups=1)
    long = pd.DataFrame(
        {"unit": unit.ravel(), "rater": rater.ravel(), "value": table.ravel()}
    )
    with np.errstate(all="ignore"):
        peer = pingouin.intraclass_corr(
            long, targets="unit", raters="rater", ratings="value"
        )["ICC"].to_numpy(float)
    mine = np.array(
        [single.estimate[0], ours.icc_a1, ours.icc_c1, ours.icc_1k, ours.icc_ak,
         ours.icc_ck]
    )  # fmt: skip
    usable = np.isfinite(peer) & np.isfinite(mine)
    # Where the denominator is zero but for rounding, there is no value to compare.
    usable &= (np.abs(peer) < _POLE) | (np.abs(mine) < _POLE)
    return {
        **row,
        "icc1": float(single.estimate[0]),
        "icc_a1": ours.icc_a1,
        "difference": float(np.abs(mine - peer)[usable].max(initial=0.0)),
    }

"""Predictive validity: do interview scores go with later reviews of the hired (T8)."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.added_validity import CORE_SHARE, added_validity
from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.estimates.slices import NOTHING_KEPT, Slices, side_by_side
from orchestration.estimates.windows import Window, contents_of, windows
from orchestration.settings import Policy
from orchestration.statistics import validity
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.warehouse import Warehouse

Booleans = NDArray[np.bool_]

# Sackett, Zhang, Berry & Lievens (2022), JAP 107(11), 2040-2068, table 3: mean
# operational validities of structured interviews and of work samples.
_STRUCTURED_INTERVIEW = 0.42
_WORK_SAMPLE = 0.33
# Self-ratings, peers and surveys of the new hire are no outcome of the job.
_OTHER_KINDS = ("self", "peer", "hire_survey")

MARTS = ("dim_windows", "fct_hires", "fct_performance_reviews", "fct_ratings")
_SCORES = """
    select
        application_id,
        role_family,
        round,
        competency,
        rubric_id,
        rubric_version,
        scale_id,
        sum(rating_value) as total,
        cast(count(*) as bigint) as n_ratings,
        max(submitted_at) as last_at
    from marts.fct_ratings
    where is_independent and not is_shadow
    group by
        application_id, role_family, round, competency, rubric_id, rubric_version,
        scale_id
    order by
        application_id, role_family, round, competency, rubric_id, rubric_version,
        scale_id
"""
_HIRES = """
    with reviews as (
        select
            employee_id,
            review_score,
            months_since_hire,
            row_number() over (
                partition by employee_id
                order by reviewed_on asc, kind asc, review_id asc
            ) as place
        from marts.fct_performance_reviews
        where kind not in ('{}') and review_score is not null
    ),
    outcomes as (
        select
            employee_id,
            max(case when place = 1 then review_score end) as first_review,
            max(case when place = 1 then months_since_hire end) as first_review_months,
            avg(review_score) as mean_review,
            avg(months_since_hire) as mean_review_months
        from reviews
        group by employee_id
    )
    select
        application_id, hired_on, is_left, first_review, first_review_months,
        mean_review, mean_review_months
    from marts.fct_hires
    left join outcomes using (employee_id)
    order by application_id, employee_id
""".format("', '".join(_OTHER_KINDS))

SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("predictor_kind", pa.string()), ("predictor", pa.string()),
        ("outcome", pa.string()), ("horizon_months", pa.int64()), ("n", pa.int64()),
        ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("n_applicants_scored", pa.int64()),
        ("n_hired", pa.int64()), ("share_left", pa.float64()),
        ("sd_ratio_u", pa.float64()), ("selection_kind", pa.string()),
        ("r_corrected", pa.float64()), ("r_corrected_ci_low", pa.float64()),
        ("r_corrected_ci_high", pa.float64()), ("ryy_assumed", pa.float64()),
        ("r_operational", pa.float64()), ("benchmark", pa.float64()),
        ("n_complete", pa.int64()), ("delta_r2", pa.float64()),
        ("delta_r2_p", pa.float64()), ("delta_r2_q", pa.float64()),
        ("unique_r2", pa.float64()), ("unique_r2_ci_low", pa.float64()),
        ("unique_r2_ci_high", pa.float64()), ("dominated_by", pa.string()),
    ]
)  # fmt: skip


def predictive_validity(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return the correlation of interview scores with later reviews, by predictor.

    Scores are standardised over all applicants of the same role family, round, rubric
    version and scale. Hires count in the window they were hired in, applicants in that
    of their last scorecard. Pooled rows correlate within role families: differences
    between families are taken out of both sides. What a score adds to the others, and
    the correction of rounds for selection on all of them, come from the hires who have
    every score of the set. `rng` is not drawn from. Every window depends on all of the
    history, which the scores are standardised over.
    """
    return slices.table(
        [policy.model_dump_json(), *contents_of(warehouse, MARTS)],
        lambda: _predictive_validity(warehouse, policy),
    )


def _predictive_validity(warehouse: Warehouse, policy: Policy) -> pa.Table:
    """All windows, from scores read once."""
    scores = warehouse.read_arrow(_SCORES).to_pandas()
    hires = warehouse.read_arrow(_HIRES).to_pandas()
    if scores.empty or hires.empty:
        return SCHEMA.empty_table()
    hires = hires.drop_duplicates("application_id")
    scored = _predictors(scores, hires["application_id"])
    scored = scored.merge(hires, on="application_id", how="left")
    # Numbers are compared faster than names.
    scored["application_id"] = pd.factorize(scored["application_id"])[0]
    items = (
        (rows, window, policy)
        for window in windows(warehouse, "all", "rolling", "year")
        if not (rows := _of_window(scored, window)).empty
    )
    parts = side_by_side(_window_rows, items, n_cases=len(scored))
    kept = [part for part in parts if not part.empty]
    if not kept:
        return SCHEMA.empty_table()
    return arrow_table(pd.concat(kept, ignore_index=True), SCHEMA)


_PREDICTOR = ["role_family", "predictor_kind", "predictor"]


def _predictors(scores: pd.DataFrame, hired: pd.Series) -> pd.DataFrame:
    """Standard scores of each application by competency, round and composite."""
    rubric = ["role_family", "round", "competency", "rubric_id", "rubric_version",
              "scale_id"]  # fmt: skip
    mean = scores["total"] / scores["n_ratings"]
    by_rubric = mean.groupby([scores[name].fillna("") for name in rubric])
    spread = by_rubric.transform("std")
    scores = scores.assign(
        z=(mean - by_rubric.transform("mean")) / spread.where(spread > 0),
        round=scores["round"].fillna("unspecified"),
    ).dropna(subset="z")
    keys = ["application_id", "role_family"]
    latest = {"z": ("z", "mean"), "last_at": ("last_at", "max")}
    competency = scores.groupby([*keys, "round", "competency"], as_index=False).agg(
        **latest
    )
    rounds = competency.groupby([*keys, "round"], as_index=False).agg(**latest)
    # The composite is of the rounds that nearly all hires of a family took; who has
    # not taken all of them has none.
    taken = rounds[rounds["application_id"].isin(hired)]
    share = taken.groupby(["role_family", "round"])["application_id"].nunique()
    n_hired = taken.groupby("role_family")["application_id"].nunique()
    core = share.div(n_hired, level="role_family") >= CORE_SHARE
    core = core[core].reset_index()[["role_family", "round"]]
    in_core = rounds.merge(core, on=["role_family", "round"])
    n_core = core.groupby("role_family").size()
    composite = in_core.groupby(keys, as_index=False).agg(
        **latest, n_rounds=("round", "nunique")
    )
    complete = composite["n_rounds"] == composite["role_family"].map(n_core)
    return pd.concat(
        [
            competency.assign(
                predictor_kind="competency",
                predictor=competency["round"] + ": " + competency["competency"],
                of_set=competency["round"],
            ),
            rounds.assign(
                predictor_kind="round", predictor=rounds["round"], of_set="loop"
            ),
            composite[complete].assign(
                predictor_kind="composite", predictor="composite", of_set=None
            ),
        ],
        ignore_index=True,
    )[["application_id", *_PREDICTOR, "of_set", "z", "last_at"]]


def _of_window(scored: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Scores of a window's hires and applicants; none where nobody was hired."""
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    rated_at = pd.to_datetime(scored["last_at"])
    hired_on = pd.to_datetime(scored["hired_on"])
    is_hired = (hired_on >= start) & (hired_on < end)
    inside = is_hired | ((rated_at >= start) & (rated_at < end))
    inside &= is_hired.any()
    return scored.assign(is_hired=is_hired)[inside].reset_index(drop=True)


def _window_rows(
    everyone: pd.DataFrame, window: Window, policy: Policy
) -> pd.DataFrame:
    """The rows of one window, by role family and pooled, for both outcomes."""
    # Differences between families leave both sides before pooling.
    parts = [
        _correlated(everyone, outcome, pooled=pooled, policy=policy)
        for outcome in ("first_review", "mean_review")
        for pooled in (True, False)
    ]
    return pd.concat(parts, ignore_index=True).assign(window_id=window.id)


def _correlated(
    everyone: pd.DataFrame,
    outcome: str,
    *,
    pooled: bool,
    policy: Policy,
) -> pd.DataFrame:
    """One row per predictor: observed validity, and corrected beside it."""
    added = added_validity(everyone, outcome, pooled=pooled, policy=policy)
    reviewed = everyone[outcome].notna() & everyone["is_hired"]
    family = pd.factorize(everyone["role_family"])[0] if pooled else None
    if pooled:
        everyone = everyone.assign(role_family="all")
    code, frame = group_codes(everyone, _PREDICTOR)
    size = len(frame)
    is_hired = everyone["is_hired"].to_numpy()
    ratio = validity.sd_ratios(
        everyone["z"], is_hired, group=code, stratum=family, n_groups=size
    )
    usable = np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1.0)
    chosen = reviewed.to_numpy()
    found = validity.predictive_validity(
        everyone["z"][chosen],
        everyone[outcome][chosen],
        group=code[chosen],
        stratum=None if family is None else family[chosen],
        sd_ratio=usable,
        criterion_reliability=policy.criterion_reliability or 1.0,
        n_groups=size,
    )
    n = np.bincount(code[chosen], minlength=size)
    n_hired = np.bincount(code[is_hired], minlength=size)
    left = everyone["is_left"].fillna(False).to_numpy(bool) & is_hired
    months = everyone[f"{outcome}_months"].to_numpy(float)
    with np.errstate(invalid="ignore"):
        share_left = np.bincount(code[left], minlength=size) / n_hired
        horizon = np.bincount(code[chosen], months[chosen], size) / n
    few = (n < policy.show_minimum_outcomes) | ~np.isfinite(found.observed.estimate)
    operational = (
        np.nan if policy.criterion_reliability is None else found.operational.estimate
    )
    shown = {
        "estimate": found.observed.estimate,
        "ci_low": found.observed.low,
        "ci_high": found.observed.high,
        "sd_ratio_u": ratio,
        "r_corrected": found.corrected.estimate,
        "r_corrected_ci_low": found.corrected.low,
        "r_corrected_ci_high": found.corrected.high,
        "r_operational": operational * np.ones(size),
    }
    crosses = (found.observed.low <= 0) & (found.observed.high >= 0)
    take_home = frame["predictor"].str.contains("take_home")
    frame = frame.assign(
        outcome=outcome,
        horizon_months=pd.Series(np.round(horizon)).astype("Int64"),
        n=n,
        n_hired=n_hired,
        n_applicants_scored=np.bincount(code, minlength=size),
        share_left=share_left,
        selection_kind="direct",
        ryy_assumed=policy.criterion_reliability,
        benchmark=np.where(take_home, _WORK_SAMPLE, _STRUCTURED_INTERVIEW),
        ci_method=np.where(few, "none", "Fisher z"),
        status=np.select([few, crosses], ["insufficient", "inconclusive"], "ok"),
        **{name: np.where(few, np.nan, value) for name, value in shown.items()},
    )
    return _with_added(frame, added, few)


def _with_added(
    frame: pd.DataFrame, added: pd.DataFrame, few: Booleans
) -> pd.DataFrame:
    """What a score adds beside its validity; rounds corrected for all of them.

    Hires were chosen by all rounds together, so a round corrected for itself alone
    stays falsely low where the others chose against it.
    """
    frame = frame.merge(added, on=_PREDICTOR, how="left")
    is_joint = frame["joint"].notna().to_numpy(bool) & ~few
    for name in ("r_corrected", "r_corrected_ci_low", "r_corrected_ci_high"):
        joint = frame[name.replace("r_corrected", "joint")]
        frame[name] = frame[name].where(~is_joint, joint)
    frame["r_operational"] = frame["r_operational"].where(
        ~is_joint, frame["joint_operational"]
    )
    frame["selection_kind"] = np.where(is_joint, "joint", "direct")
    kind = group_codes(frame, ["predictor_kind"])[0]
    return frame.assign(
        n_complete=frame["n_complete"].astype("Int64"),
        delta_r2_q=benjamini_hochberg(frame["delta_r2_p"].to_numpy(), kind),
    )

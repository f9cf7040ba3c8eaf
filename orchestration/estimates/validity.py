"""Predictive validity: do interview scores go with later reviews of those hired (T8)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.ratings import Window, windows
from orchestration.settings import Policy
from orchestration.statistics.validity import restricted_validity
from orchestration.warehouse import Warehouse

# Sackett, Zhang, Berry & Lievens (2022), JAP 107(11), 2040-2068, table 3: mean
# operational validities of structured interviews and of work samples.
_STRUCTURED_INTERVIEW = 0.42
_WORK_SAMPLE = 0.33
# A round belongs to the composite where four of five hires of the family took it.
_CORE_ROUND_SHARE = 0.8
# Self-ratings, peers and surveys of the new hire are no outcome of the job.
_OTHER_KINDS = ("self", "peer", "hire_survey")

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
    ]
)  # fmt: skip


def predictive_validity(
    warehouse: Warehouse, policy: Policy, *, rng: np.random.Generator
) -> pa.Table:
    """Return the correlation of interview scores with later reviews, by predictor.

    Scores are standardised over all applicants of the same role family, round, rubric
    version and scale. Hires count in the window they were hired in, applicants in that
    of their last scorecard. Pooled rows correlate within role families: differences
    between families are taken out of both sides. `rng` is not drawn from.
    """
    scores = warehouse.read_arrow(_SCORES).to_pandas()
    if scores.empty:
        return SCHEMA.empty_table()
    hires = warehouse.read_arrow(_HIRES).to_pandas()
    predictors = _predictors(scores, set(hires["application_id"]))
    scored = predictors.merge(hires, on="application_id", how="left")
    rows = [
        row
        for window in windows(warehouse, "all", "year")
        for row in _window_rows(scored, window, policy)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)

"""One SQL pass per guarded table: a few numbers, never a value of a row.

A suite judges these numbers. Judging a million rows one expectation at a time costs
seventy times as much and tells no more.
"""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

Measures = dict[str, float | None]


class ReadsArrow(Protocol):
    """What measuring needs of a warehouse."""

    def read_arrow(self, sql: str) -> pa.Table:
        """Return the rows of a query."""
        ...

    def exists(self, table: str) -> bool:
        """Return whether `schema.table` is there."""
        ...


_RAW_EXTRA = {
    "applications": """
        avg(case when candidate_id is null then 1.0 else 0.0 end)
            as missing_candidate_rate,
        date_diff('day', quantile_disc(applied_at, 0.98), max(applied_at))
            as newest_gap_days
    """,
    "ratings": """
        avg(case when rating is null then 1.0 else 0.0 end) as missing_rating_rate
    """,
    "stage_events": """
        avg(case when entered_at is null then 1.0 else 0.0 end)
            as missing_entry_rate
    """,
    "demographics": """
        avg(case when lower(value) in ('declined', 'unanswered') then 1.0 else 0.0 end)
            as undisclosed_rate
    """,
}

_MARTS = {
    "marts.fct_applications": """
        select
            count(*) as n_rows,
            avg(case when is_open then 1.0 else 0.0 end) as open_rate,
            avg(case when terminal_kind = 'hired' then 1.0 else 0.0 end) as hired_rate,
            -- Where no jobs were delivered, none can be missing.
            case
                when (select count(*) from staging.stg_jobs) > 0 and count(job_id) > 0
                    then
                        count(*) filter (
                            where role_family = 'unspecified' and job_id is not null
                        ) * 1.0 / count(job_id)
                else 0
            end as unmapped_rate,
            (
                select max(n_ended) * 1.0 / nullif(sum(n_ended), 0)
                from (
                    select count(*) as n_ended
                    from marts.fct_applications
                    where terminal_at is not null and terminal_kind <> 'hired'
                    group by cast(terminal_at as date)
                )
                having sum(n_ended) >= 30
            ) as busiest_day_rate
        from marts.fct_applications
    """,
    "marts.fct_stage_visits": """
        select
            count(*) as n_rows,
            count(*) filter (where visit_days < 0) as n_negative,
            avg(case when is_censored then 1.0 else 0.0 end) as open_rate,
            avg(case when entered_at_quality = 'missing' then 1.0 else 0.0 end)
                as missing_entry_rate,
            coalesce((
                select count(*) * 1.0
                from intermediate.int_quarantined_rows
                where code = 'unknown_stage'
            ) / nullif(
                count(*) + (
                    select count(*)
                    from intermediate.int_quarantined_rows
                    where code = 'unknown_stage'
                ), 0
            ), 0) as unmapped_rate
        from marts.fct_stage_visits
    """,
    "marts.fct_scorecards": """
        select
            count(*) as n_rows,
            avg(case when has_debrief and not is_before_debrief then 1.0 else 0.0 end)
                as late_rate,
            avg(case when interviewer_id is null then 1.0 else 0.0 end)
                as missing_interviewer_rate
        from marts.fct_scorecards
    """,
    "marts.fct_ratings": """
        select
            count(*) as n_rows,
            count(distinct rating_value) as n_levels_used,
            count(*) filter (
                where rating_value < scale_min or rating_value > scale_max
            ) as n_off_scale,
            max(level_rate) as modal_rate
        from (
            select
                *,
                count(*) over (partition by scale_id, rating_value) * 1.0
                / count(*) over (partition by scale_id) as level_rate
            from marts.fct_ratings
        )
    """,
    "marts.fct_offers": """
        select
            count(*) as n_rows,
            count(*) filter (where resolved_at < extended_at) as n_resolved_before
        from marts.fct_offers
    """,
    "marts.fct_selection_counts": """
        select
            count(*) as n_rows,
            sum(n_entered) filter (
                where not is_disclosed and attribute <> 'intersection'
            ) * 1.0
                / nullif(
                    sum(n_entered) filter (where attribute <> 'intersection'), 0
                ) as undisclosed_rate,
            count(*) filter (where n_selected > n_decided or n_decided > n_entered)
                as n_impossible
        from marts.fct_selection_counts
        where stage = 'overall'
    """,
    # Of the hires that are three months old, those whom the HRIS knows. Fewer than ten
    # tell nothing; where no employees were delivered, none can be missing.
    "marts.fct_hires": """
        with known as (
            select distinct application_id from marts.fct_hires
        ),
        hired as (
            select known.application_id
            from marts.fct_applications as applications
            left join known
                on applications.application_id = known.application_id
            where
                applications.terminal_kind = 'hired'
                and applications.terminal_at < (
                    select max(terminal_at) from marts.fct_applications
                ) - to_days(90)
                and (select count(*) from staging.stg_employees) > 0
        )
        select
            (select count(*) from marts.fct_hires) as n_rows,
            case
                when count(*) < 10 then 1.0
                else count(application_id) * 1.0 / count(*)
            end as joined_rate
        from hired
    """,
    "marts.fct_performance_reviews": """
        select
            count(*) as n_rows,
            count(*) filter (where review_score < 0 or review_score > 1)
                as n_off_scale,
            count(*) filter (where months_since_hire < 0) as n_before_hire
        from marts.fct_performance_reviews
    """,
    "intermediate.int_row_counts": """
        select
            count(*) as n_rows,
            count(*) filter (where accepted <> "current" + superseded + quarantined)
                as n_unbalanced,
            max(quarantined * 1.0 / nullif(accepted, 0)) as quarantine_rate
        from intermediate.int_row_counts
    """,
}

_NEVER_EMPTY = frozenset({"marts.fct_applications", "intermediate.int_row_counts"})

# What every report promises: ordered intervals, a status with every row, no number
# without its n.
_REPORT = """
    select
        count(*) as n_rows,
        count(*) filter (where ci_low > estimate or ci_high < estimate)
            as n_outside_interval,
        count(*) filter (where ci_low > ci_high) as n_reversed,
        count(*) filter (where status is null) as n_without_status,
        count(*) filter (where status = 'ok' and (estimate is null or n is null))
            as n_ok_without_number,
        count(*) filter (where isnan(estimate) or isinf(estimate)) as n_not_finite
        {extra}
    from {table}
"""
_RATE = (
    ", count(*) filter (where estimate < 0 or estimate > 1) as n_out_of_bounds"
)  # fmt: skip
_REPORT_EXTRA = {
    "reports.rpt_funnel": _RATE
    + """
        , count(*) filter (
            where basis = 'cohort' and status <> 'suppressed'
            and entered <> advanced + rejected + withdrew + closed_no_decision + open
        ) as n_unbalanced
    """,
    "reports.rpt_offer_acceptance": _RATE,
    "reports.rpt_time_to_hire": (
        ", count(*) filter (where estimate < 0) as n_out_of_bounds"
    ),
    "reports.rpt_bottlenecks": (
        ", count(*) filter (where avg_wip < 0 or arrival_rate < 0"
        " or interviewer_hours_demand < 0 or interviewer_hours_capacity < 0)"
        " as n_out_of_bounds"
    ),
    "reports.rpt_stage_weeks": (
        ", count(*) filter (where avg_wip < 0 or avg_wip > n + 1e-9"
        " or wip_end > n or little_w_days < 0) as n_out_of_bounds"
    ),
    "reports.rpt_adverse_impact": (
        ", count(*) filter (where estimate < 0 or selection_rate < 0"
        " or selection_rate > 1 or p < 0 or p > 1) as n_out_of_bounds"
    ),
    "reports.rpt_rater_reliability": (
        ", count(*) filter (where estimate < -1e-9 or estimate > 1 + 1e-9"
        " or alpha_ordinal > 1 + 1e-9 or pct_exact < 0 or pct_exact > 1)"
        " as n_out_of_bounds"
    ),
    "reports.rpt_interviewer_calibration": (
        ", count(*) filter (where abs(estimate) > 10 or se < 0 or outfit < 0"
        " or outfit_critical < 0) as n_out_of_bounds"
    ),
    "reports.rpt_interviewer_drift": (
        ", count(*) filter (where abs(estimate) > 10 or se < 0 or mdd < 0)"
        " as n_out_of_bounds"
    ),
    "reports.rpt_round_signal": (
        ", count(*) filter (where estimate < -1e-9 or estimate > 1 + 1e-9"
        " or flip_rate < 0 or flip_rate > 1 or hours_per_candidate < 0)"
        " as n_out_of_bounds"
    ),
    "reports.rpt_score_gaps": (
        ", count(*) filter (where abs(estimate) > 10 or p < 0 or p > 1"
        " or expected_impact_ratio < 0) as n_out_of_bounds"
    ),
    "reports.rpt_predictive_validity": (
        ", count(*) filter (where abs(estimate) > 1 or unique_r2 < 0"
        " or unique_r2 > 1 + 1e-9 or delta_r2_p < 0 or delta_r2_p > 1)"
        " as n_out_of_bounds"
    ),
}

_OTHER = {
    "reports.rpt_data_quality": """
        select count(*) as n_rows,
            count(*) filter (where status is null) as n_without_status
        from reports.rpt_data_quality
    """,
    "statistics.reliability_crosscheck": """
        select count(*) as n_rows, max(abs(difference)) as largest_difference
        from statistics.reliability_crosscheck
    """,
    "recommendations.rpt_rubric_recommendations": """
        select
            count(*) as n_rows,
            count(*) filter (where is_action and interviewer_id is null) as n_actions,
            coalesce(count(*) filter (
                where is_action and interviewer_id is not null
            ) * 1.0 / nullif((
                    select max(n_rated)
                    from (
                        select count(*) filter (where status <> 'insufficient')
                            as n_rated
                        from reports.rpt_interviewer_calibration
                        where role_family = 'all'
                        group by window_id
                    )
                ), 0), 0) as interviewer_action_rate,
            count(*) filter (where is_action and (n is null or estimate is null))
                as n_actions_without_number,
            count(*) filter (where is_action and q > 0.05 + 1e-12)
                as n_actions_uncontrolled,
            count(*) filter (where coalesce(action_text, '') = '')
                as n_without_wording
        from recommendations.rpt_rubric_recommendations
    """,
}


def measure(
    gate: str, table: str, warehouse: ReadsArrow, baseline: Mapping[str, float] | None
) -> Measures:
    """Return the measures of one guarded table by name; None where not applicable.

    `{}` where the table is not there or, up to marts, nothing was delivered.

    Parameters
    ----------
    baseline : mapping of str to float, optional
        `<table>.n_rows` of the last generation; `shrinkage` is the share lost since.
    """
    if not warehouse.exists(table):
        return {}
    if gate == "raw":
        sql = _raw(table.partition(".")[2])
    elif table in _MARTS:
        sql = _MARTS[table]
    elif table in _OTHER:
        sql = _OTHER[table]
    else:
        sql = _REPORT.format(table=table, extra=_REPORT_EXTRA.get(table, ""))
    row = warehouse.read_arrow(sql).to_pylist()[0]
    measures: Measures = {
        name: None if value is None else float(value) for name, value in row.items()
    }
    n = measures["n_rows"] or 0.0
    before = (baseline or {}).get(f"{table}.n_rows")
    # Every entity but applications may be absent; one that was there may not vanish.
    may_be_empty = gate == "raw" or (gate == "marts" and table not in _NEVER_EMPTY)
    if may_be_empty and not (n or before or measures.get("quarantine_rate")):
        return {}
    measures["shrinkage"] = (before - n) / before if before else None
    return measures


def _raw(entity: str) -> str:
    """Counts of one raw entity and of the rows refused at landing."""
    extra = _RAW_EXTRA.get(entity)
    return f"""
        select
            count(*) as n_rows,
            (
                select sum(quarantined) * 1.0 / nullif(sum(rows_in), 0)
                from landing.files
                where entity = '{entity}'
            ) as quarantine_rate
            {"," + extra if extra else ""}
        from raw.{entity}
    """

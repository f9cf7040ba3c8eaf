"""Each suite passes a healthy table and stops the defect it is made for."""

import duckdb
import pytest

from expectations import GUARDED
from expectations.runner import run_gate
from orchestration.settings import Policy

THRESHOLDS = Policy().thresholds()


class Tables:
    """A few tables in memory, as a gate sees a warehouse."""

    def __init__(self, *statements: str) -> None:
        self.connection = duckdb.connect()
        for schema in ("raw", "landing", "staging", "intermediate", "marts",
                       "statistics", "reports", "recommendations"):  # fmt: skip
            self.connection.execute(f"create schema {schema}")
        for statement in statements:
            self.connection.execute(statement)

    def read_arrow(self, sql):
        return self.connection.sql(sql).to_arrow_table()

    def exists(self, table):
        schema, name = table.split(".")
        found = self.connection.execute(
            "select count(*) from information_schema.tables"
            " where table_schema = ? and table_name = ?",
            [schema, name],
        ).fetchall()
        return found[0][0] > 0


FILES = """
    create table landing.files as
    select 'csv' as source, '{entity}' as entity, 'f.csv' as file,
        100 as rows_in, 100 as accepted, 0 as duplicates, 0 as quarantined
"""
RAW = {
    "raw.applications": """
        create table raw.applications as
        select 'csv:' || i as application_id, 'p_' || i as candidate_id,
            timestamp '2026-01-01' + to_days(cast(i % 60 as integer)) as applied_at
        from range(100) t(i)
    """,
    "raw.ratings": """
        create table raw.ratings as
        select 'csv:' || i as scorecard_id, cast(1 + i % 5 as varchar) as rating
        from range(100) t(i)
    """,
    "raw.stage_events": """
        create table raw.stage_events as
        select 'csv:' || i as application_id, timestamp '2026-01-01' as entered_at
        from range(100) t(i)
    """,
    "raw.demographics": """
        create table raw.demographics as
        select 'csv:' || i as application_id,
            case when i % 4 = 0 then 'declined' else 'female' end as value
        from range(100) t(i)
    """,
    "raw.scorecards": """
        create table raw.scorecards as
        select 'csv:' || i as scorecard_id from range(100) t(i)
    """,
}
MARTS = {
    "marts.fct_applications": """
        create table staging.stg_jobs as select 1 as job_id;
        create table marts.fct_applications as
        select i as application_id, 1 as job_id, 'engineering' as role_family,
            i % 10 = 0 as is_open,
            case when i % 10 = 0 then null when i % 10 = 1 then 'hired'
                else 'rejected' end as terminal_kind,
            case when i % 10 = 0 then null
                else timestamp '2026-02-01' + to_days(cast(i % 60 as integer))
            end as terminal_at
        from range(200) t(i)
    """,
    "marts.fct_stage_visits": """
        create table intermediate.int_quarantined_rows as
        select 'unknown_stage' as code from range(2);
        create table marts.fct_stage_visits as
        select i as application_id, 3.0 as visit_days, i % 5 = 0 as is_censored,
            'exact' as entered_at_quality
        from range(100) t(i)
    """,
    "marts.fct_scorecards": """
        create table marts.fct_scorecards as
        select i as scorecard_id, 'p_1' as interviewer_id, true as has_debrief,
            i % 10 <> 0 as is_before_debrief
        from range(100) t(i)
    """,
    "marts.fct_ratings": """
        create table marts.fct_ratings as
        select i as scorecard_id, '1-5/5' as scale_id, 1.0 as scale_min,
            5.0 as scale_max, 1.0 + i % 5 as rating_value
        from range(100) t(i)
    """,
    "marts.fct_offers": """
        create table marts.fct_offers as
        select i as offer_id, timestamp '2026-03-01' as extended_at,
            timestamp '2026-03-05' as resolved_at
        from range(20) t(i)
    """,
    "marts.fct_hires": """
        create table staging.stg_employees as select 'p_1' as employee_id;
        create table staging.stg_jobs as select 1 as job_id;
        create table marts.fct_applications as
        select i as application_id, 1 as job_id, 'engineering' as role_family,
            false as is_open, if(i < 30, 'hired', 'rejected') as terminal_kind,
            timestamp '2026-01-01' + to_days(cast(i % 30 * 10 as integer))
                as terminal_at
        from range(200) t(i);
        create table marts.fct_hires as
        select 'p_' || i as employee_id, i as application_id from range(30) t(i)
    """,
    "marts.fct_selection_counts": """
        create table marts.fct_selection_counts as
        select 'overall' as stage, if(i < 8, 'sex', 'intersection') as attribute,
            i % 4 <> 0 and i < 8 as is_disclosed, 50 as n_entered,
            40 as n_decided, 10 as n_selected
        from range(16) t(i)
    """,
    "marts.fct_performance_reviews": """
        create table marts.fct_performance_reviews as
        select i as review_id, 0.5 as review_score, 6.0 as months_since_hire
        from range(20) t(i)
    """,
    "intermediate.int_row_counts": """
        create table intermediate.int_row_counts as
        select 'applications' as entity, 100 as accepted, 97 as "current",
            2 as superseded, 1 as quarantined
    """,
}
REPORT = """
    create table {table} as
    select 0.5::double as estimate, 0.4::double as ci_low, 0.6::double as ci_high,
        40 as n, 'ok' as status {extra}
    from range(3)
"""
REPORT_COLUMNS = {
    "reports.rpt_funnel": (
        ", 'cohort' as basis, 40 as entered, 20 as advanced, 10 as rejected,"
        " 5 as withdrew, 0 as closed_no_decision, 5 as open"
    ),
    "reports.rpt_time_to_hire": "",
    "reports.rpt_offer_acceptance": "",
    "reports.rpt_bottlenecks": (
        ", 4.0 as avg_wip, 2.0 as arrival_rate, 9.0 as interviewer_hours_demand,"
        " 12.0 as interviewer_hours_capacity"
    ),
    "reports.rpt_stage_weeks": (", 4.0 as avg_wip, 3 as wip_end, 7.0 as little_w_days"),
    "reports.rpt_adverse_impact": ", 0.3 as selection_rate, 0.2::double as p",
    "reports.rpt_rater_reliability": ", 0.5 as alpha_ordinal, 0.4 as pct_exact",
    "reports.rpt_interviewer_calibration": (
        ", 0.1 as se, 1.1 as outfit, 1.4 as outfit_critical"
    ),
    "reports.rpt_interviewer_drift": ", 0.1 as se, 0.1 as mdd",
    "reports.rpt_round_signal": ", 0.1 as flip_rate, 1.5 as hours_per_candidate",
    "reports.rpt_score_gaps": ", 0.2::double as p, 0.7 as expected_impact_ratio",
    "reports.rpt_predictive_validity": (
        ", 0.02 as unique_r2, 0.2::double as delta_r2_p"
    ),
}
OTHER = {
    "reports.rpt_data_quality": """
        create table reports.rpt_data_quality as select 'ok' as status
    """,
    "statistics.reliability_crosscheck": """
        create table statistics.reliability_crosscheck as select 1e-9 as difference
    """,
    "recommendations.rpt_rubric_recommendations": """
        create table reports.rpt_interviewer_calibration as
        select '2026Q1' as window_id, 'all' as role_family, 'ok' as status
        from range(10);
        create table recommendations.rpt_rubric_recommendations as
        select 'rec_' || i as recommendation_id, true as is_action, 120 as n,
            case when i = 0 then 'p_1' end as interviewer_id, 0.3 as estimate,
            0.01 as q, 'Rewrite the anchors.' as action_text
        from range(3) t(i)
    """,
}
HEALTHY = {
    **RAW,
    **MARTS,
    **{
        table: REPORT.format(table=table, extra=extra)
        for table, extra in REPORT_COLUMNS.items()
    },
    **OTHER,
}

# Table, what is done to it, and the measure that must notice.
DEFECTS = [
    ("raw.applications", "delete from raw.applications", "n_rows"),
    (
        "raw.applications",
        "update raw.applications set candidate_id = null"
        " where application_id = 'csv:7'",
        "missing_candidate_rate",
    ),
    (
        "raw.applications",
        "update raw.applications set applied_at = timestamp '2031-01-01'"
        " where application_id = 'csv:99'",
        "newest_gap_days",
    ),
    (
        "raw.applications",
        "delete from raw.applications where cast(application_id[5:] as int) % 2 = 0",
        "shrinkage",
    ),
    (
        "raw.scorecards",
        "update landing.files set quarantined = 20, accepted = 80",
        "quarantine_rate",
    ),
    ("raw.ratings", "update raw.ratings set rating = null", "missing_rating_rate"),
    (
        "raw.stage_events",
        "update raw.stage_events set entered_at = null",
        "missing_entry_rate",
    ),
    (
        "raw.demographics",
        "update raw.demographics set value = 'declined'",
        "undisclosed_rate",
    ),
    ("marts.fct_applications", "delete from marts.fct_applications", "n_rows"),
    (
        "marts.fct_stage_visits",
        "update marts.fct_stage_visits set visit_days = -1 where application_id = 3",
        "n_negative",
    ),
    (
        "marts.fct_scorecards",
        "update marts.fct_scorecards set interviewer_id = null where scorecard_id = 1",
        "missing_interviewer_rate",
    ),
    (
        "marts.fct_ratings",
        "update marts.fct_ratings set rating_value = 0 where scorecard_id = 4",
        "n_off_scale",
    ),
    (
        "marts.fct_ratings",
        "update marts.fct_ratings set rating_value = 3",
        "modal_rate",
    ),
    (
        "marts.fct_offers",
        "update marts.fct_offers set resolved_at = timestamp '2026-02-01'"
        " where offer_id = 2",
        "n_resolved_before",
    ),
    (
        "marts.fct_hires",
        "delete from marts.fct_hires where application_id % 2 = 0",
        "joined_rate",
    ),
    (
        "marts.fct_applications",
        "update marts.fct_applications set role_family = 'unspecified'"
        " where application_id < 30",
        "unmapped_rate",
    ),
    (
        "marts.fct_stage_visits",
        "insert into intermediate.int_quarantined_rows"
        " select 'unknown_stage' from range(20)",
        "unmapped_rate",
    ),
    (
        "marts.fct_selection_counts",
        "update marts.fct_selection_counts set n_selected = 41",
        "n_impossible",
    ),
    (
        "marts.fct_performance_reviews",
        "update marts.fct_performance_reviews set review_score = 4 where review_id = 1",
        "n_off_scale",
    ),
    (
        "marts.fct_performance_reviews",
        "update marts.fct_performance_reviews set months_since_hire = -2"
        " where review_id = 1",
        "n_before_hire",
    ),
    (
        "intermediate.int_row_counts",
        'update intermediate.int_row_counts set "current" = 90',
        "n_unbalanced",
    ),
    (
        "intermediate.int_row_counts",
        'update intermediate.int_row_counts set quarantined = 30, "current" = 68',
        "quarantine_rate",
    ),
    (
        "reports.rpt_funnel",
        "update reports.rpt_funnel set advanced = 25",
        "n_unbalanced",
    ),
    (
        "reports.rpt_adverse_impact",
        "update reports.rpt_adverse_impact set p = 1.2",
        "n_out_of_bounds",
    ),
    (
        "reports.rpt_bottlenecks",
        "update reports.rpt_bottlenecks set interviewer_hours_capacity = -1",
        "n_out_of_bounds",
    ),
    (
        "reports.rpt_stage_weeks",
        "update reports.rpt_stage_weeks set wip_end = n + 1",
        "n_out_of_bounds",
    ),
    (
        "reports.rpt_interviewer_calibration",
        "update reports.rpt_interviewer_calibration set outfit = -1",
        "n_out_of_bounds",
    ),
    (
        "reports.rpt_predictive_validity",
        "update reports.rpt_predictive_validity set unique_r2 = 2",
        "n_out_of_bounds",
    ),
    (
        "reports.rpt_data_quality",
        "update reports.rpt_data_quality set status = null",
        "n_without_status",
    ),
    (
        "statistics.reliability_crosscheck",
        "update statistics.reliability_crosscheck set difference = 0.001",
        "largest_difference",
    ),
    (
        "recommendations.rpt_rubric_recommendations",
        "insert into recommendations.rpt_rubric_recommendations"
        " select 'rec_' || i, true, 120, null, 0.3, 0.01, 'Rewrite the anchors.'"
        " from range(100, 160) t(i)",
        "n_actions",
    ),
    (
        "recommendations.rpt_rubric_recommendations",
        "insert into recommendations.rpt_rubric_recommendations"
        " select 'rec_' || i, true, 120, 'p_' || i, 0.3, 0.01, 'Recalibrate.'"
        " from range(100, 105) t(i)",
        "interviewer_action_rate",
    ),
    (
        "recommendations.rpt_rubric_recommendations",
        "update recommendations.rpt_rubric_recommendations set estimate = null",
        "n_actions_without_number",
    ),
    (
        "recommendations.rpt_rubric_recommendations",
        "update recommendations.rpt_rubric_recommendations set q = 0.2",
        "n_actions_uncontrolled",
    ),
    (
        "recommendations.rpt_rubric_recommendations",
        "update recommendations.rpt_rubric_recommendations set action_text = ''",
        "n_without_wording",
    ),
    *(
        (table, f"update {table} set {change}", measure)
        for table in REPORT_COLUMNS
        for change, measure in (
            ("estimate = 0.7", "n_outside_interval"),
            ("ci_low = 0.65, estimate = null, status = 'boundary'", "n_reversed"),
            ("status = null", "n_without_status"),
            ("n = null", "n_ok_without_number"),
            (
                "estimate = 'nan'::double, ci_low = null, ci_high = null",
                "n_not_finite",
            ),
        )
    ),
    *(
        (table, f"update {table} set estimate = 40, ci_high = 50", "n_out_of_bounds")
        for table in (
            "reports.rpt_funnel",
            "reports.rpt_offer_acceptance",
            "reports.rpt_rater_reliability",
            "reports.rpt_interviewer_calibration",
            "reports.rpt_interviewer_drift",
            "reports.rpt_round_signal",
            "reports.rpt_score_gaps",
            "reports.rpt_predictive_validity",
        )
    ),
]


def _gate(table):
    return next(gate for gate, tables in GUARDED.items() if table in tables)


def _tables(table, *more):
    entity = table.partition(".")[2]
    return Tables(FILES.format(entity=entity), HEALTHY[table], *more)


@pytest.mark.parametrize("table", sorted(HEALTHY))
def test_a_healthy_table_passes(table):
    result = run_gate(
        _gate(table),
        _tables(table),
        thresholds=THRESHOLDS,
        baseline={f"{table}.n_rows": 100.0} if table in RAW else None,
    )

    assert result.success
    assert not result.crashed
    assert len(result.results) > 1


@pytest.mark.parametrize(("table", "defect", "measure"), DEFECTS)
def test_the_defect_stops_the_gate(table, defect, measure):
    result = run_gate(
        _gate(table),
        _tables(table, defect),
        thresholds=THRESHOLDS,
        baseline={f"{table}.n_rows": 100.0} if table in RAW else None,
    )

    noticed = {
        row["expectation"].partition("(")[2].rstrip(")")
        for row in result.results
        if not row["success"] and row["severity"] == "critical"
    }
    assert not result.success
    assert measure in noticed


def test_a_bulk_close_is_a_warning_and_stops_nothing():
    tables = _tables(
        "marts.fct_applications",
        "update marts.fct_applications set terminal_at = timestamp '2026-03-03'"
        " where terminal_at is not null",
    )

    result = run_gate("marts", tables, thresholds=THRESHOLDS)

    warned = [row["description"] for row in result.results if not row["success"]]
    assert result.success
    assert len(warned) == 1
    assert "bulk close" in warned[0]


def test_a_check_that_cannot_judge_is_told_from_one_that_failed(monkeypatch):
    import expectations.runner as runner

    monkeypatch.setattr(
        runner, "measure", lambda *_: {"n_rows": 1.0, "n_without_wording": 0.0}
    )

    result = run_gate("recommendations", None, thresholds=THRESHOLDS)

    assert not result.success
    assert result.crashed


def test_entities_nobody_delivered_are_not_judged():
    tables = Tables(
        "create table landing.files as select 'x' as entity, 1 as rows_in,"
        " 0 as quarantined limit 0",
        "create table raw.scorecards as select 'a' as scorecard_id limit 0",
    )

    result = run_gate("raw", tables, thresholds=THRESHOLDS)

    assert result.results == ()


def test_results_hold_no_value_of_a_row():
    table = "raw.applications"
    secret = "update raw.applications set candidate_id = 'Ada Lovelace'"  # noqa: S105

    result = run_gate(_gate(table), _tables(table, secret), thresholds=THRESHOLDS)

    assert "Lovelace" not in str(result.to_json())


def test_every_guarded_table_has_a_defect_that_stops_it():
    generic = {t for t in GUARDED["raw"] if t not in RAW}
    proven = {table for table, _, _ in DEFECTS}

    # Raw entities without expectations of their own share the suite of scorecards.
    assert {t for tables in GUARDED.values() for t in tables} - generic == proven

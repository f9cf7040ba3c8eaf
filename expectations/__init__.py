"""Gates: what the data of the world must look like before anything is built on it.

dbt tests structure; these suites test the world: volumes against the last
generation, shares of rows refused, distributions, results inside their bounds.
"""

RAW_ENTITIES = (
    "applications", "application_events", "candidates", "jobs", "openings",
    "stage_events", "interviewers", "interviews", "interview_panel", "scorecards",
    "ratings", "debriefs", "offers", "demographics", "employees",
    "performance_reviews", "take_homes",
)  # fmt: skip

# The tables each gate guards; importing this must not import Great Expectations,
# which takes seconds.
GUARDED: dict[str, tuple[str, ...]] = {
    "raw": tuple(f"raw.{entity}" for entity in RAW_ENTITIES),
    "marts": (
        "marts.fct_applications",
        "marts.fct_stage_visits",
        "marts.fct_scorecards",
        "marts.fct_ratings",
        "marts.fct_offers",
        "marts.fct_hires",
        "marts.fct_selection_counts",
        "marts.fct_performance_reviews",
        "intermediate.int_row_counts",
    ),
    "reports": (
        "reports.rpt_funnel",
        "reports.rpt_time_to_hire",
        "reports.rpt_offer_acceptance",
        "reports.rpt_bottlenecks",
        "reports.rpt_stage_weeks",
        "reports.rpt_adverse_impact",
        "reports.rpt_rater_reliability",
        "reports.rpt_interviewer_calibration",
        "reports.rpt_interviewer_drift",
        "reports.rpt_round_signal",
        "reports.rpt_score_gaps",
        "reports.rpt_predictive_validity",
        "reports.rpt_data_quality",
        "statistics.reliability_crosscheck",
    ),
    "recommendations": ("recommendations.rpt_rubric_recommendations",),
}

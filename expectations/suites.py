"""The suites, one per guarded table: which measures, which bounds, and why.

Critical expectations stop what follows; warnings are shown on the method pages.
Every suite begins with floors, because most expectations pass on an empty frame and
on a column of nulls.
"""

from collections.abc import Callable
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe

Suite = Callable[[], gx.ExpectationSuite]
# Measures that have no value in some worlds: no last generation, no such day.
OPTIONAL = frozenset(
    {"shrinkage", "quarantine_rate", "busiest_day_rate", "newest_gap_days",
     "largest_difference", "modal_rate", "undisclosed_rate"}
)  # fmt: skip


def _parameter(name: str) -> dict[str, str]:
    """A bound taken from the policy when the suite is run."""
    return {"$PARAMETER": name}


class ExpectMeasure(gxe.ExpectColumnValuesToBeBetween):
    """A measure of the table lies within its bounds."""


class ExpectNone(ExpectMeasure):
    """A count of rows that must not exist is zero."""

    min_value: Any = 0
    max_value: Any = 0


def _between(
    column: str, low: Any, high: Any, why: str, *, severity: str = "critical"
) -> gxe.Expectation:
    return ExpectMeasure(
        column=column, min_value=low, max_value=high, description=why, severity=severity
    )


def _none(column: str, why: str) -> gxe.Expectation:
    return ExpectNone(
        column=column, min_value=0, max_value=0, description=why, severity="critical"
    )


def _suite(name: str, *expectations: gxe.Expectation) -> gx.ExpectationSuite:
    """A suite with its floors first."""
    columns = {e.column for e in expectations if hasattr(e, "column")}
    floors = [
        gxe.ExpectTableRowCountToEqual(
            value=1,
            description="The table was measured.",
            severity="critical",
        ),
        *(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column,
                description=f"`{column}` could be measured.",
                severity="critical",
            )
            for column in sorted(columns - OPTIONAL)
        ),
    ]
    return gx.ExpectationSuite(name=name, expectations=[*floors, *expectations])


def _delivered(table: str) -> tuple[gxe.Expectation, ...]:
    """What holds of every entity that was delivered."""
    return (
        _between(
            "shrinkage", None, _parameter("maximum_shrinkage"),
            f"{table} did not lose more rows since the last generation than the policy"
            " allows: a missing permission looks like a deletion.",
        ),
        _between(
            "quarantine_rate", None, _parameter("maximum_quarantine_rate"),
            f"The share of {table} refused at landing is within the policy: beyond it"
            " the export is broken, not a row.",
        ),
    )  # fmt: skip


def raw_entity(table: str) -> Suite:
    """Return the suite of a raw entity without expectations of its own."""

    def suite() -> gx.ExpectationSuite:
        return _suite(table, *_delivered(table))

    return suite


def raw_applications() -> gx.ExpectationSuite:
    """Applications: the one entity without which there is no run."""
    return _suite(
        "raw.applications",
        _between("n_rows", 1, None, "There is at least one application."),
        _between(
            "missing_candidate_rate", 0, 0, "Every application names its candidate."
        ),
        _between(
            "newest_gap_days", None, 120,
            "The newest applications follow the others within four months: a date in"
            " the future would move as_of for everybody.",
        ),
        *_delivered("raw.applications"),
    )  # fmt: skip


def raw_ratings() -> gx.ExpectationSuite:
    """Ratings: mostly there, or the export lost the column."""
    return _suite(
        "raw.ratings",
        _between(
            "missing_rating_rate", None, 0.5, "At least half of the ratings are given."
        ),
        *_delivered("raw.ratings"),
    )


def raw_stage_events() -> gx.ExpectationSuite:
    """Stage history: without entry times there are no durations."""
    return _suite(
        "raw.stage_events",
        _between(
            "missing_entry_rate", None, 0.5,
            "At least half of the stage visits have an entry time.",
        ),
        *_delivered("raw.stage_events"),
    )  # fmt: skip


def raw_demographics() -> gx.ExpectationSuite:
    """Self-identification: shares of the undisclosed."""
    return _suite(
        "raw.demographics",
        _between(
            "undisclosed_rate", None, 0.5,
            "At most half of the answers are undisclosed: parity describes those who"
            " answered, and no more.",
            severity="warning",
        ),
        _between(
            "undisclosed_rate", None, 0.98,
            "Not every answer is undisclosed: the export lost the answers.",
        ),
        *_delivered("raw.demographics"),
    )  # fmt: skip


def marts_fct_applications() -> gx.ExpectationSuite:
    """Applications after episodes and terminal events."""
    return _suite(
        "marts.fct_applications",
        _between("n_rows", 1, None, "There is at least one application."),
        _between(
            "hired_rate", None, 0.9,
            "Not nearly everybody is hired: the export holds hires only.",
            severity="warning",
        ),
        _between(
            "unmapped_rate", None, _parameter("maximum_unmapped_rate"),
            "Applications' jobs are known: without them nobody has a role family.",
        ),
        _between(
            "busiest_day_rate", None, 0.5,
            "No single day ends half of all applications: a bulk close is not a"
            " decision of that day.",
            severity="warning",
        ),
        _between(
            "shrinkage", None, _parameter("maximum_shrinkage"),
            "Applications did not vanish between raw and marts.",
        ),
    )  # fmt: skip


def marts_fct_stage_visits() -> gx.ExpectationSuite:
    """Stage visits: time runs forwards and most visits end."""
    return _suite(
        "marts.fct_stage_visits",
        _none("n_negative", "No visit ends before it began."),
        _between(
            "open_rate", None, 0.9,
            "Some visits have ended: exits are recorded.",
            severity="warning",
        ),
        _between(
            "missing_entry_rate", None, 0.5,
            "Entry times are known for at least half of the visits.",
            severity="warning",
        ),
        _between(
            "unmapped_rate", None, _parameter("maximum_unmapped_rate"),
            "Stages of visits are stages of the role family: others count nowhere.",
        ),
    )  # fmt: skip


def marts_fct_scorecards() -> gx.ExpectationSuite:
    """Scorecards: independent of the debrief, and by somebody."""
    return _suite(
        "marts.fct_scorecards",
        _between(
            "missing_interviewer_rate", None, 0.0, "Every scorecard has an interviewer."
        ),
        _between(
            "late_rate", None, 0.3,
            "At most 30 % of scorecards come after the debrief: late cards copy it.",
            severity="warning",
        ),
    )  # fmt: skip


def marts_fct_ratings() -> gx.ExpectationSuite:
    """Ratings as numbers: on their scale, and more than one of them."""
    return _suite(
        "marts.fct_ratings",
        _none("n_off_scale", "Every rating lies on the scale of its rubric."),
        _between(
            "modal_rate", None, 0.97,
            "No level holds nearly all ratings of a scale: an export default is not a"
            " judgement.",
        ),
    )  # fmt: skip


def marts_fct_offers() -> gx.ExpectationSuite:
    """Offers: answered after they were made."""
    return _suite(
        "marts.fct_offers",
        _none("n_resolved_before", "No offer is answered before it was extended."),
    )


def marts_fct_selection_counts() -> gx.ExpectationSuite:
    """Selection counts: possible, and not all undisclosed."""
    return _suite(
        "marts.fct_selection_counts",
        _none("n_impossible", "No cell selects more people than were decided on."),
        _between(
            "undisclosed_rate", None, 0.5,
            "At least half of the applicants disclosed the attribute.",
            severity="warning",
        ),
    )  # fmt: skip


def marts_fct_hires() -> gx.ExpectationSuite:
    """Employees joined to applications: enough of them."""
    return _suite(
        "marts.fct_hires",
        _between(
            "joined_rate", _parameter("minimum_join_rate"), None,
            "Most of those hired are known to the HRIS: what joins two systems was not"
            " lost. `calibrant identity review` shows what could be joined.",
        ),
    )  # fmt: skip


def marts_fct_performance_reviews() -> gx.ExpectationSuite:
    """Reviews: on their scale and after the hire."""
    return _suite(
        "marts.fct_performance_reviews",
        _none("n_off_scale", "Every review lies on its own scale."),
        _none("n_before_hire", "No review is from before the hire."),
    )


def int_row_counts() -> gx.ExpectationSuite:
    """Row counts: nothing is lost between raw and staging."""
    return _suite(
        "intermediate.int_row_counts",
        _none("n_unbalanced", "accepted = current + superseded + quarantined."),
        _between(
            "quarantine_rate", None, _parameter("maximum_quarantine_rate"),
            "The share of rows with broken references or conflicts is within the"
            " policy for every entity.",
        ),
    )  # fmt: skip


def report(table: str, *, bounded: bool = True) -> Suite:
    """Return the suite of a report: the promises of every row."""

    def suite() -> gx.ExpectationSuite:
        checks = [
            _none("n_outside_interval", "Every estimate lies inside its interval."),
            _none("n_reversed", "No interval has its lower bound above its upper."),
            _none("n_without_status", "Every row has a status."),
            _none("n_ok_without_number", "A row that is ok has its number and its n."),
            _none("n_not_finite", "No estimate is infinite or not a number."),
        ]
        if bounded:
            checks.append(_none("n_out_of_bounds", "Every figure is one that can be."))
        return _suite(table, *checks)

    return suite


def rpt_funnel() -> gx.ExpectationSuite:
    """Funnel: the promises of a report, and the parts sum to the whole."""
    suite = report("reports.rpt_funnel")()
    suite.add_expectation(
        _none("n_unbalanced", "Entered = advanced + ended + open, in every row.")
    )
    return suite


def rpt_data_quality() -> gx.ExpectationSuite:
    """Data quality: there is always something to say about the data."""
    return _suite(
        "reports.rpt_data_quality",
        _between("n_rows", 1, None, "The data were described."),
        _none("n_without_status", "Every row has a status."),
    )


def reliability_crosscheck() -> gx.ExpectationSuite:
    """Our reliability equals pingouin's on every complete block of this run."""
    return _suite(
        "statistics.reliability_crosscheck",
        _between(
            "largest_difference", None, 1e-6,
            "On complete blocks our intraclass correlations equal pingouin's.",
        ),
    )  # fmt: skip


def rpt_rubric_recommendations() -> gx.ExpectationSuite:
    """Recommendations: unique, worded, with their number, and controlled."""
    return _suite(
        "recommendations.rpt_rubric_recommendations",
        _none("n_actions_without_number", "Every proposed action has number and n."),
        _none("n_without_wording", "Every recommendation says what it proposes."),
        _none(
            "n_actions_uncontrolled",
            "No action is proposed on evidence beyond the false discovery rate.",
        ),
        _between(
            "n_actions", None, 60,
            "At most sixty actions about rounds, rubrics and stages are proposed: a"
            " committee can weigh no more, and so many findings at once are a fault of"
            " the data.",
        ),
        _between(
            "interviewer_action_rate", None, 0.5,
            "At most half of the interviewers are to be recalibrated: where most differ"
            " from their peers, what they are compared with is at fault.",
        ),
    )  # fmt: skip


_OWN: dict[str, Suite] = {
    "raw.applications": raw_applications,
    "raw.ratings": raw_ratings,
    "raw.stage_events": raw_stage_events,
    "raw.demographics": raw_demographics,
    "marts.fct_applications": marts_fct_applications,
    "marts.fct_stage_visits": marts_fct_stage_visits,
    "marts.fct_scorecards": marts_fct_scorecards,
    "marts.fct_ratings": marts_fct_ratings,
    "marts.fct_offers": marts_fct_offers,
    "marts.fct_hires": marts_fct_hires,
    "marts.fct_selection_counts": marts_fct_selection_counts,
    "marts.fct_performance_reviews": marts_fct_performance_reviews,
    "intermediate.int_row_counts": int_row_counts,
    "reports.rpt_funnel": rpt_funnel,
    "reports.rpt_data_quality": rpt_data_quality,
    "statistics.reliability_crosscheck": reliability_crosscheck,
    "recommendations.rpt_rubric_recommendations": rpt_rubric_recommendations,
}


def suite_of(table: str) -> gx.ExpectationSuite:
    """Return the suite that guards a table."""
    if table in _OWN:
        return _OWN[table]()
    if table.startswith("raw."):
        return raw_entity(table)()
    return report(table)()

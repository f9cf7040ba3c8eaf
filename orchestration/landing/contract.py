"""The landing contract: every entity, its columns, and what each column is.

One declaration serves validation, the typed schema of raw, pseudonyms, and the
messages a person gets.
"""

import difflib
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Kind = Literal["id", "person", "text", "timestamp", "date", "integer", "number",
               "boolean", "pii", "free_text"]  # fmt: skip

ARROW_TYPES: dict[str, pa.DataType] = {
    "id": pa.string(),
    "person": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
LINEAGE: dict[str, pa.DataType] = {
    "_source": pa.string(),
    "_file": pa.string(),
    "_line": pa.int64(),
    "_extracted_on": pa.date32(),
    "_content": pa.string(),
    "_is_alias": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """One column of an entity."""

    name: str
    kind: Kind
    is_key: bool = False
    is_required: bool = False
    is_nullable: bool = True
    values: tuple[str, ...] = ()
    is_event: bool = False
    limits: tuple[float | str | None, float | str | None] = (None, None)

    @property
    def is_restricted(self) -> bool:
        """Whether it ends at raw: names, e-mails and free text."""
        return self.kind in ("pii", "free_text")


@dataclass(frozen=True)
class Entity:
    """One entity of the contract."""

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a file is refused."""
        return tuple(column.name for column in self.columns if column.is_required)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell two rows apart."""
        return tuple(column.name for column in self.columns if column.is_key)

    @property
    def raw_columns(self) -> tuple[Column, ...]:
        """Columns that go on to raw."""
        return tuple(column for column in self.columns if not column.is_restricted)

    @property
    def raw_schema(self) -> pa.Schema:
        """The typed schema of raw: contract columns, then lineage."""
        types = {c.name: ARROW_TYPES[c.kind] for c in self.raw_columns}
        return pa.schema({**types, **LINEAGE})


_PERSONS = frozenset(
    {"candidate_id", "interviewer_id", "person_id", "recruiter_id", "reviewer_id",
     "employee_id", "manager_id", "decided_by", "facilitator_id", "grader_id"}
)  # fmt: skip
_PII = frozenset({"full_name", "email", "work_email"})
_NUMBERS = frozenset(
    {"hours", "score", "score_max", "max_score", "rating_min", "rating_max",
     "cost_usd", "seconds", "hours_reported", "minutes", "duration_minutes",
     "sla_days"}
)  # fmt: skip
_INTEGERS = frozenset(
    {"order", "planned_order", "asked_order", "trial", "entered", "advanced",
     "withdrew", "open"}
)  # fmt: skip
_BOOLEANS = frozenset({"attended", "planned", "asked"})
_IDS_NOT_OF_A_SOURCE = frozenset({"rubric_id", "question_id", "loop_id", "challenge_id",
                                  "item_id"})  # fmt: skip
# Dates that lie ahead by nature and must not move as_of.
_NOT_EVENTS = frozenset({"starts_on", "scheduled_at", "updated_at", "certified_on",
                         "period_start", "period_end", "given_at", "withdrawn_at",
                         "created_at", "hired_on", "left_on"})  # fmt: skip
# Least and greatest value: a number, or the column of the same row that holds it.
_LIMITS: dict[tuple[str, str], tuple[float | str | None, float | str | None]] = {
    ("performance_reviews", "rating"): ("rating_min", "rating_max"),
    ("candidate_surveys", "score"): (None, "score_max"),
    ("assessment_results", "score"): (None, "max_score"),
    ("demographic_counts", "entered"): (0, None),
    ("demographic_counts", "advanced"): (0, "entered"),
    ("interviewer_capacity", "hours"): (0, 168),
    ("interviews", "duration_minutes"): (0, 1440),
    ("interview_panel", "minutes"): (0, 1440),
    ("take_homes", "hours_reported"): (0, 1000),
}


def _kind(entity: str, name: str) -> Kind:
    """The kind of a column, from its name: the contract names by kind."""
    if name in _PERSONS:
        return "person"
    if name in _PII:
        return "pii"
    if name == "notes":
        return "free_text"
    if (entity, name) == ("performance_reviews", "rating"):
        return "number"
    if (entity, name) == ("demographic_counts", "period"):
        return "text"
    if name in _NUMBERS:
        return "number"
    if name in _INTEGERS:
        return "integer"
    if name in _BOOLEANS or name.startswith(("is_", "has_")):
        return "boolean"
    if name.endswith("_at"):
        return "timestamp"
    if name.endswith("_on") or name in {"week", "period_start", "period_end"}:
        return "date"
    if name.endswith("_id") and name not in _IDS_NOT_OF_A_SOURCE:
        return "id"
    return "text"


def _entity(name: str, description: str, text: str) -> Entity:
    """An entity in the contract's own notation.

    `*` part of the key; `?` the column may be absent; `!` it must be there but a value
    may be missing; `{a|b}` the values it may have.
    """
    columns = []
    for word in text.split():
        label, _, choices = word.partition("{")
        values = tuple(choices.rstrip("}").split("|")) if choices else ()
        is_key = label.startswith("*")
        is_optional = label.endswith("?")
        column = label.strip("*?!")
        # A listed value is text, whatever the name ends with: `waits_on` is no date.
        kind = "text" if values else _kind(name, column)
        columns.append(
            Column(
                column,
                kind,
                is_key=is_key,
                is_required=not is_optional,
                is_nullable=is_optional or label.endswith("!"),
                values=values,
                is_event=kind in ("timestamp", "date") and column not in _NOT_EVENTS,
                limits=_LIMITS.get((name, column), (None, None)),
            )
        )
    return Entity(name, description, tuple(columns))


ENTITIES = {
    entity.name: entity
    for entity in (
        _entity(
            "applications", "One row per application of a candidate for a job.",
            "*application_id candidate_id job_id? applied_at"
            " status{active|hired|rejected|withdrawn} closed_at? close_reason? source?"
            " recruiter_id? loop_version? previous_application_id? updated_at?",
        ),
        _entity(
            "application_events", "One row per change of an application's outcome.",
            "*application_id *occurred_at"
            " *kind{rejected|unrejected|withdrawn|reopened|hired|unhired|transferred}"
            " reason_group?",
        ),
        _entity(
            "candidates", "One row per candidate; names and e-mails are restricted.",
            "*candidate_id full_name? email? created_at?",
        ),
        _entity(
            "jobs", "One row per job.",
            "*job_id title role_family department? team? level? location?"
            " jurisdiction? opened_at? closed_at? loop_id?",
        ),
        _entity(
            "openings", "One row per opening of a job.",
            "*opening_id job_id opened_at filled_at? closed_at? application_id?",
        ),
        _entity(
            "hiring_team", "One row per job, person and role.",
            "*job_id *person_id *role{recruiter|hiring_manager|coordinator|sourcer}",
        ),
        _entity(
            "stages", "One row per role family and stage of its funnel.",
            "*role_family *stage order stage_group round? sla_days?"
            " waits_on?{company|candidate}",
        ),
        _entity(
            "stage_events", "One row per visit of an application to a stage.",
            "*application_id *stage *entered_at? *visit_id? exited_at?"
            " entered_at_quality?{exact|backfilled|missing} updated_at?",
        ),
        _entity(
            "interviewers", "One row per interviewer; names are restricted.",
            "*interviewer_id full_name? department? team? expertise? is_bar_raiser?"
            " certified_on? is_active?",
        ),
        _entity(
            "interviewer_capacity", "One row per interviewer and week.",
            "*interviewer_id *week hours",
        ),
        _entity(
            "interviews", "One row per interview.",
            "*interview_id application_id round requested_at? scheduled_at"
            " duration_minutes? status? updated_at?",
        ),
        _entity(
            "interview_panel", "One row per interview and interviewer.",
            "*interview_id *interviewer_id"
            " panel_role?{panel|lead|shadow|reverse_shadow|bar_raiser} attended?"
            " minutes?",
        ),
        _entity(
            "interview_questions", "One row per interview and question.",
            "*interview_id *question_id question_version? planned asked planned_order?"
            " asked_order?",
        ),
        _entity(
            "scorecards", "One row per interviewer's scorecard; notes are restricted.",
            "*scorecard_id application_id interviewer_id round submitted_at"
            " interview_id? rubric_id? rubric_version? overall_rating?"
            " panel_role?{panel|lead|shadow|reverse_shadow|bar_raiser} is_draft?"
            " updated_at? notes?",
        ),
        _entity(
            "ratings", "One row per scorecard, competency, question and version.",
            "*scorecard_id *competency *question_id? *updated_at? rating! rated_at?"
            " question_version? has_evidence?",
        ),
        _entity(
            "debriefs", "One row per debrief of an application.",
            "*debrief_id application_id started_at decided_at? decision?"
            " decided_level? decided_by? rule_version? exception_reason?",
        ),
        _entity(
            "debrief_votes", "One row per debrief, interviewer and phase.",
            "*debrief_id *interviewer_id *phase{before|after} vote",
        ),
        _entity(
            "offers", "One row per offer and version.",
            "*offer_id *version? application_id extended_at"
            " status{pending|accepted|declined|expired|rescinded} resolved_at?"
            " decline_reason? starts_on? level? updated_at?",
        ),
        _entity(
            "demographics", "One row per application and attribute, self-identified.",
            "*application_id *attribute value",
        ),
        _entity(
            "demographic_counts", "One row per cell of an aggregate-only export.",
            "*stage *attribute *value *period *role_family? entered advanced withdrew?"
            " open?",
        ),
        _entity(
            "employees", "One row per employee; names and e-mails are restricted.",
            "*employee_id application_id? work_email? full_name? hired_on left_on?"
            " leave_reason? department? job_id? manager_id?",
        ),
        _entity(
            "performance_reviews", "One row per review of an employee.",
            "*review_id employee_id cycle reviewed_on rating rating_min rating_max"
            " kind?{manager|self|peer|calibrated|hire_survey} reviewer_id?"
            " period_start? period_end?",
        ),
        _entity(
            "take_homes", "One row per take-home challenge of an application.",
            "*submission_id application_id challenge_id challenge_version invited_at"
            " started_at? submitted_at? hours_reported?",
        ),
        _entity(
            "assessment_results", "One row per submission, item, grader and trial.",
            "*submission_id *item_id *grader{auto|human} *grader_id? *trial? score"
            " max_score graded_at seconds? cost_usd?",
        ),
        _entity(
            "candidate_surveys", "One row per application and round surveyed.",
            "*application_id *round score score_max invited_at? submitted_at",
        ),
        _entity(
            "calibration_sessions", "One row per calibration session.",
            "*session_id held_at rubric_id facilitator_id?",
        ),
        _entity(
            "calibration_scores", "One row per re-scored competency and phase.",
            "*session_id *scorecard_id *competency *interviewer_id"
            " *phase{blind|after} rating!",
        ),
        _entity(
            "consents", "One row per candidate and purpose.",
            "*candidate_id *purpose given_at? withdrawn_at?",
        ),
    )
}  # fmt: skip


def likely(name: str, known: tuple[str, ...] | list[str]) -> str:
    """Return a hint at the name that was probably meant; "" where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""

"""What `check` proposes to declare, from names, order and spellings."""

import pytest

from orchestration.landing import ingest
from orchestration.landing.mappings import mappings, stage_of
from orchestration.settings import Home, Sources

pytestmark = pytest.mark.unit

APPLICATIONS = """
application_id,candidate_id,applied_at,status
A1,C1,2026-01-01T00:00:00Z,active
A2,C2,2026-01-01T00:00:00Z,active
"""
EVENTS = """
application_id,stage,entered_at
A1,Application Review,2026-01-01T00:00:00Z
A1,Recruiter Phone Screen,2026-01-02T00:00:00Z
A1,Take-Home Assignment,2026-01-03T00:00:00Z
A1,Virtual On-site,2026-01-04T00:00:00Z
A1,Offer,2026-01-05T00:00:00Z
A2,Application Review,2026-01-01T00:00:00Z
A2,Phone screen (EMEA),2026-01-02T00:00:00Z
"""


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def proposed(home: Home, sources: dict | None = None, **files: str) -> dict:
    folder = home.inbox / "ats"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"applications": APPLICATIONS, **files}.items():
        (folder / f"{name}.csv").write_text(text.strip() + "\n")
    declared = Sources.model_validate({"sources": sources or {}})
    found = ingest(home, declared, progress=lambda _: None)
    assert found.problems == ()
    return mappings(found, declared).get("ats", {})


@pytest.mark.parametrize(
    ("native", "stage", "group"),
    [
        ("Application Review", "resume_review", "screen"),
        ("Recruiter Phone Screen", "phone_screen", "screen"),
        ("Technical Interview 2", "technical", "interview"),
        ("Take-Home Assignment", "take_home", "interview"),
        ("Onsite: System Design", "onsite", "interview"),
        ("Offer Accepted", "hired", "hired"),
        ("Verbal offer", "offer", "offer"),
        ("New lead", "applied", "applied"),
        ("Bar raiser lunch", "bar_raiser_lunch", "interview"),
    ],
)
def test_a_name_stands_for_a_stage_of_the_funnel(native, stage, group):
    assert stage_of(native) == (stage, group)


def test_stages_are_proposed_in_the_order_in_which_they_are_entered(home):
    found = proposed(home, stage_events=EVENTS)

    assert found["stages"] == {
        "Application Review": "resume_review",
        "Phone screen (EMEA)": "phone_screen",
        "Recruiter Phone Screen": "phone_screen",
        "Take-Home Assignment": "take_home",
        "Virtual On-site": "onsite",
        "Offer": "offer",
    }
    assert list(found["stages"])[-2:] == ["Virtual On-site", "Offer"]


def test_what_is_mapped_or_declared_is_not_proposed_again(home):
    stages = """
role_family,stage,order,stage_group
engineering,Virtual On-site,4,interview
"""
    sources = {"ats": {"stages": {"Application Review": "cv"}}}

    found = proposed(home, sources, stage_events=EVENTS, stages=stages)

    assert not {"Application Review", "Virtual On-site"} & set(found["stages"])


def test_a_connector_gets_the_groups_of_its_stages_as_well(home):
    sources = {"ats": {"connector": {"kind": "lever"}}}

    found = proposed(home, sources, stage_events=EVENTS)

    assert found["stage_groups"]["phone_screen"] == "screen"
    assert found["stage_groups"]["offer"] == "offer"

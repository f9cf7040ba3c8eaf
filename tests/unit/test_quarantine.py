"""What is set aside can be looked up and released; nothing shows a value unasked."""

import json

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.landing import ingest
from orchestration.landing.ingest import MESSAGES
from orchestration.landing.quarantine import (
    CURES,
    GENERATION_MESSAGES,
    set_aside,
    spellings,
    summary,
)
from orchestration.settings import Home, Sources, load_settings

pytestmark = pytest.mark.unit
CANARY = "Canary-3e9d"


@pytest.fixture
def home(tmp_path) -> Home:
    folder = tmp_path / "inbox" / "ats"
    folder.mkdir(parents=True)
    (folder / "applications.csv").write_text(
        "application_id,candidate_id,applied_at,status,source\n"
        f"A1,C1,03/04/2026,active,{CANARY}\n"
        "A2,C2,2026-01-01T00:00:00Z,active,x\n"
        f"A3,C3,2026-01-01T00:00:00Z,parked,{CANARY}\n"
        f"A4,C4,2026-01-01T00:00:00Z,active,x,{CANARY}\n"
    )
    return Home(tmp_path)


def call(home: Home, *words: str):
    return CliRunner().invoke(
        app, [*words, "--home", str(home.root)], env={"COLUMNS": "200"}
    )


def test_each_reason_has_its_rows_first_place_and_cure(home):
    taken = ingest(home, Sources(), progress=lambda _: None)

    found = summary(set_aside(taken, None))

    assert {row["code"]: (row["rows"], row["first"]) for row in found} == {
        "bad_timestamp": (1, "ats/applications.csv:2"),
        "unknown_value": (1, "ats/applications.csv:4"),
        "ragged_row": (1, "ats/applications.csv:5"),
    }
    assert all(row["cure"] for row in found)


def test_list_and_show_tell_places_and_no_value(home):
    listed = call(home, "quarantine", "list")
    shown = call(home, "quarantine", "show", "applications")

    assert listed.exit_code == shown.exit_code == 0
    assert "applied_at" in shown.output
    assert "ats/applications.csv:5" in shown.output
    assert CANARY not in listed.output + shown.output
    assert "03/04/2026" not in listed.output + shown.output


def test_values_are_shown_when_asked_for(home):
    shown = call(home, "quarantine", "show", "--values", "--code", "bad_timestamp")

    assert CANARY in shown.output
    assert "parked" not in shown.output


def test_json_has_what_the_text_has(home):
    shown = call(home, "quarantine", "show", "--json", "--most", "2")

    rows = json.loads(shown.stdout)
    assert len(rows) == 2
    assert {"file", "line", "column", "code", "message"} <= set(rows[0])


def test_a_declared_format_releases_what_it_makes_readable(home):
    call(home, "quarantine", "list")
    home.sources_file.write_text("sources:\n  ats:\n    timestamp_format: '%d/%m/%Y'\n")
    # The others are in ISO-8601, which the declared format no longer reads.
    path = home.inbox / "ats" / "applications.csv"
    path.write_text(path.read_text().replace("2026-01-01T00:00:00Z", "01/01/2026"))

    told = call(home, "quarantine", "retry")

    assert told.exit_code == 0, told.output
    assert "2 of 2 rows are still refused" in told.output


def test_a_corrected_file_releases_its_rows(home):
    before = call(home, "quarantine", "list").output
    path = home.inbox / "ats" / "applications.csv"
    path.write_text(path.read_text().replace("parked", "active"))

    after = call(home, "quarantine", "list").output

    assert "unknown_value" in before
    assert "unknown_value" not in after


def test_an_unmapped_spelling_comes_with_the_likely_level(home):
    folder = home.inbox / "ats"
    (folder / "ratings.csv").write_text(
        "scorecard_id,competency,rating\nS1,coding,Strong-Yes\nS2,coding,purple\n"
        f"S3,coding,{CANARY * 6}\n"
    )
    home.sources_file.write_text(
        "sources:\n  ats:\n    scale: {weak: 1, fair: 2, strong_yes: 3}\n"
    )
    settings = load_settings(home.root)
    taken = ingest(home, settings.sources, progress=lambda _: None)
    (file,) = [file for file in taken.files if file.entity == "ratings"]
    rows = [row for line in (2, 3, 4) for row in [_generation_row(file.name, line)]]

    found = spellings(taken, rows, settings.sources)

    likely = {row["spelling"]: row["likely"] for row in found}
    assert likely == {
        "Strong-Yes": "strong_yes",
        "purple": None,
        "(longer than 40 characters)": None,
    }


def _generation_row(file: str, line: int):
    from orchestration.landing.quarantine import SetAside

    return SetAside(
        "generation", "ats", "ratings", file, line, None, "rating_off_scale"
    )


def test_every_code_has_a_message_and_every_cure_a_code():
    assert set(CURES) <= set(MESSAGES) | set(GENERATION_MESSAGES)

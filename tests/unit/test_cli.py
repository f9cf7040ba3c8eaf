"""The command as a stranger meets it, before there is any generation."""

import json
import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from orchestration.cli import Exit
from orchestration.explanations import PARTS, reader_texts
from orchestration.settings import Home, Policy, load_settings

ROOT = Path(__file__).parents[2]
APPLICATIONS = (
    "application_id,candidate_id,applied_at,status\nA1,C1,2026-01-05T10:00:00Z,active\n"
)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def _put(home, name, text):
    path = home.inbox / "csv" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _files(root):
    return {path for path in root.rglob("*") if path.is_file()}


def test_init_writes_settings_that_load_as_the_defaults(home, calibrant):
    calibrant("init", home=home)

    settings = load_settings(home.root)
    assert settings.policy == Policy()
    assert set(settings.origins.values()) == {"default"}
    assert home.inbox.is_dir()


def test_init_explains_every_setting_in_a_comment(home, calibrant):
    calibrant("init", home=home)

    text = home.policy_file.read_text()
    for name, field in Policy.model_fields.items():
        assert f"# {field.description}\n# {name}: " in text


def test_the_commented_policy_can_be_uncommented(home, calibrant):
    calibrant("init", home=home)
    lines = home.policy_file.read_text().splitlines()

    values = yaml.safe_load(
        "\n".join(line[2:] for line in lines if re.match(r"# [a-z_]+: ", line))
    )

    assert Policy.model_validate(values) == Policy()


@pytest.mark.parametrize("table", sorted(reader_texts()))
def test_explain_tells_what_the_document_tells(table, calibrant):
    told = calibrant("explain", table.removeprefix("rpt_"))

    document = (ROOT / "docs" / "statistics.md").read_text()
    section = next(part for part in document.split("\n## ") if f"\n`{table}`\n" in part)
    sentences = [
        line.rpartition("** ")[2]
        for line in section.splitlines()[2:]
        if "`rpt_" not in line
    ]
    assert told.code == 0
    assert len(sentences) > 8
    assert [line for line in sentences if line not in told.text] == []


@pytest.mark.parametrize("name", ["bottlenecks", "bottlenecks.is_bottleneck"])
def test_explain_breaks_lines_between_words_on_a_terminal(name, calibrant, monkeypatch):
    piped = calibrant("explain", name).text
    terminal = Console(
        force_terminal=True, color_system=None, width=60, file=StringIO()
    )
    monkeypatch.setattr("orchestration.cli.out", terminal)

    calibrant("explain", name)

    lines = terminal.file.getvalue().splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60
    assert sorted(" ".join(lines).split()) == sorted(piped.split())


def test_explain_gives_a_machine_each_part_by_name(calibrant):
    told = calibrant("explain", "bottlenecks", "--json")

    reader = json.loads(told.out)["reader"]
    assert reader["question"].endswith("?")
    assert list(reader) == ["title", *PARTS]


def test_a_section_without_one_of_its_parts_is_refused(tmp_path, monkeypatch):
    text = "# S\n\n## Funnel: who?\n\n`rpt_funnel`\n\n**The question.** Who?\n"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "statistics.md").write_text(text)
    monkeypatch.setattr("orchestration.explanations.PROJECT", tmp_path)

    with pytest.raises(ValueError, match=r"rpt_funnel has no text for The number\."):
        reader_texts()


def test_init_overwrites_nothing(home, calibrant):
    calibrant("init", home=home)
    home.policy_file.write_text("smallest_group_size: 7\n")

    told = calibrant("init", home=home)

    assert told.code == 0
    assert "kept" in told.text
    assert load_settings(home.root).policy.smallest_group_size == 7


def test_check_proposes_mappings_from_what_it_finds(home, calibrant):
    _put(home, "applications.csv", APPLICATIONS)
    _put(
        home, "stage_events.csv",
        "application_id,stage,entered_at\nA1,Phone Screen,2026-01-06T10:00:00Z\n",
    )  # fmt: skip
    _put(
        home, "scorecards.csv",
        "scorecard_id,application_id,interviewer_id,round,submitted_at\n"
        "S1,A1,I1,Onsite 1,2026-01-08T10:00:00Z\n",
    )  # fmt: skip
    _put(
        home, "ratings.csv",
        "scorecard_id,competency,rating\nS1,coding,4\nS1,debugging,Strong Yes\n",
    )  # fmt: skip

    told = calibrant("check", "--json", home=home)

    proposed = json.loads(told.out)["proposals"]["csv"]
    assert told.code == 0
    assert proposed["stages"] == {"Phone Screen": "phone_screen"}
    assert proposed["rounds"] == {"Onsite 1": "onsite_1"}
    assert set(proposed["scale"]) == {"4", "Strong Yes"}


def test_check_writes_nothing(home, calibrant):
    _put(home, "applications.csv", APPLICATIONS)
    before = _files(home.root)

    calibrant("check", home=home)

    assert _files(home.root) == before


def test_check_says_that_a_good_inbox_can_be_run(home, calibrant):
    _put(home, "applications.csv", APPLICATIONS)

    told = calibrant("check", home=home)

    assert "The inbox can be run: calibrant run" in told.text


def test_policy_show_lists_every_setting_with_its_origin(home, calibrant):
    home.root.mkdir()
    home.policy_file.write_text("smallest_group_size: 7\n")

    told = calibrant("policy", "show", "--json", home=home, CALIBRANT_HORIZON_DAYS="60")

    rows = json.loads(told.out)
    assert set(rows) == set(Policy.model_fields)
    assert rows["smallest_group_size"]["value"] == 7
    assert rows["smallest_group_size"]["origin"] == "policy.yaml"
    assert rows["horizon_days"]["value"] == 60
    assert rows["horizon_days"]["origin"] == "environment"
    assert rows["seed"]["origin"] == "default"
    assert all(row["description"] for row in rows.values())


def test_policy_show_prints_a_table_for_a_person(home, calibrant):
    told = calibrant("policy", "show", home=home)

    for name in Policy.model_fields:
        assert name in told.text


def test_doctor_names_what_it_looked_at_and_the_cure_of_each_finding(home, calibrant):
    told = calibrant("doctor", "--json", home=home)

    findings = {row["name"]: row for row in json.loads(told.out)}
    assert {
        "python", "packages", "dbt", "node", "space", "settings", "lock", "leftovers",
        "generation", "pools",
    } <= set(findings)  # fmt: skip
    assert all(row["cure"] for row in findings.values() if row["level"] != "ok")


def test_doctor_fails_on_a_fault_and_says_how_to_mend_it(home, calibrant, tmp_path):
    told = calibrant("doctor", home=home, PATH=str(tmp_path))

    assert told.code == 1
    assert "Node is missing" in told.text
    assert "apt-get install nodejs npm" in told.text


def test_doctor_points_to_the_line_of_a_broken_setting(home, calibrant):
    home.root.mkdir()
    home.policy_file.write_text("smallest_group_size: [1\n")

    told = calibrant("doctor", "--json", home=home)

    found = {row["name"]: row for row in json.loads(told.out)}["settings"]
    assert found["level"] == "fault"
    assert "policy.yaml, line" in found["found"]


def test_an_empty_inbox_is_refused_with_what_to_do(home, calibrant):
    home.inbox.mkdir(parents=True)

    told = calibrant("run", home=home)

    assert told.code == 2
    assert "the inbox is empty" in told.text
    assert "calibrant simulate" in told.text


@pytest.mark.parametrize("command", ["status", "export", "serve"])
def test_without_a_generation_the_command_says_how_to_make_one(
    home, calibrant, command
):
    told = calibrant(command, home=home)

    assert told.code == 2
    assert "has no generation yet" in told.text
    assert "calibrant run" in told.text


def test_a_simulated_company_does_not_replace_files_of_a_person(home, calibrant):
    _put(home, "applications.csv", APPLICATIONS)

    told = calibrant("simulate", "--preset", "tiny", home=home)

    assert told.code == 2
    assert "holds files that were not simulated" in told.text
    assert (home.inbox / "csv" / "applications.csv").read_text() == APPLICATIONS


def test_simulating_the_same_company_again_does_nothing(home, calibrant):
    calibrant("simulate", "--preset", "tiny", home=home)
    before = {path: path.stat().st_mtime_ns for path in _files(home.inbox)}

    told = calibrant("simulate", "--preset", "tiny", home=home)

    assert told.text.startswith("kept")
    assert {path: path.stat().st_mtime_ns for path in _files(home.inbox)} == before


@pytest.mark.parametrize(
    "arguments", [("--preset", "huge"), ("--preset", "tiny", "--defect", "nonsense")]
)
def test_an_unknown_preset_or_defect_lists_those_there_are(home, calibrant, arguments):
    told = calibrant("simulate", *arguments, home=home)

    assert told.code == 2
    assert "known: " in told.text
    assert not home.inbox.exists()


def test_a_defect_can_be_simulated_by_name(home, calibrant):
    told = calibrant("simulate", "--preset", "tiny", "--defect", "symlink", home=home)

    assert told.code == 0
    assert (home.inbox / "ats" / "applications.parquet").is_symlink()


def test_help_documents_every_exit_code(calibrant):
    text = calibrant("--help").text

    for code in Exit:
        assert re.search(rf"\b{code.value}\b", text), code


def test_what_files_say_is_not_taken_for_markup(home, calibrant):
    _put(home, "applications.csv", "application_id,[bold]x[/bold]\nA1,2\n")

    told = calibrant("run", "--no-sites", home=home)

    assert told.code == 2
    assert "Traceback" not in told.text


def test_what_shows_nothing_or_turns_the_text_is_written_out(home, calibrant):
    name = "applications.\u202evsc\u200b\x1b[31m.csv"
    _put(home, name, "application_id,x\nA1,2\n")

    told = calibrant("check", home=home)

    assert told.code == 2
    assert "applications.\\u202evsc\\u200b\\x1b[31m.csv" in told.text
    assert not {"\u202e", "\u200b", "\x1b"} & set(told.text)

"""One person, many systems: aliases, and the ladder from employees to applications."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.landing import ingest
from orchestration.landing.identity import (
    ledger_digest,
    load_key,
    pseudonym,
    rotate_key,
)
from orchestration.landing.people import (
    alias_proposals,
    decide,
    identity_file,
    links,
    load_identity,
)
from orchestration.ledger import Ledger
from orchestration.settings import Home, SettingsError, Sources

pytestmark = pytest.mark.unit
AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def write(home: Home, name: str, text: str) -> None:
    path = home.inbox / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.strip() + "\n")


def take(home: Home):
    return ingest(home, Sources(), progress=lambda _: None)


def company(home: Home, employees: str) -> None:
    write(home, "ats/candidates", """
candidate_id,full_name,email
C1,Zoë Ångström,zoe@home.example
C2,Ada Poe,ada@home.example
C3,Ada Poe,other@home.example
""")  # fmt: skip
    write(home, "ats/applications", """
application_id,candidate_id,applied_at,status,closed_at
A1,C1,2026-01-01T00:00:00Z,hired,2026-02-01T00:00:00Z
A2,C2,2026-01-01T00:00:00Z,hired,2026-02-01T00:00:00Z
A3,C3,2026-01-01T00:00:00Z,rejected,2026-02-01T00:00:00Z
""")  # fmt: skip
    write(home, "ats/offers", """
offer_id,application_id,extended_at,status,resolved_at,starts_on
O1,A1,2026-01-20T00:00:00Z,accepted,2026-01-25T00:00:00Z,2026-03-01
O2,A2,2026-01-20T00:00:00Z,accepted,2026-01-25T00:00:00Z,2026-03-01
""")  # fmt: skip
    write(home, "hris/employees", employees)


def joined(home: Home) -> dict[str, tuple[str, str]]:
    key = load_key(home)
    rows = links(take(home).proposals).to_pylist()
    names = {pseudonym(key, f"hris:E{n}"): f"E{n}" for n in range(9)}
    return {
        names[row["employee_id"]]: (row["application_id"], row["join_method"])
        for row in rows
    }


def test_the_same_address_joins_without_a_person(home):
    company(home, """
employee_id,hired_on,work_email
E1,2026-03-02,ZOE@home.example
""")  # fmt: skip

    assert joined(home) == {"E1": ("ats:A1", "email")}


def test_an_address_of_two_candidates_joins_neither(home):
    company(home, """
employee_id,hired_on,work_email
E1,2026-03-02,zoe@home.example
E2,2026-03-02,zoe@home.example
""")  # fmt: skip

    found = take(home).proposals

    assert links(found).num_rows == 0
    assert all(proposal.is_ambiguous for proposal in found)


def test_two_candidates_of_one_address_stay_two_people(home):
    company(home, """
employee_id,hired_on,work_email
E1,2026-03-02,shared@home.example
""")  # fmt: skip
    shared = home.inbox / "ats" / "candidates.csv"
    for address in ("zoe@home.example", "ada@home.example"):
        shared.write_text(shared.read_text().replace(address, "Shared@home.example"))

    found = take(home)

    people = pq.read_table(found.paths["applications"][0])["candidate_id"].to_pylist()
    assert len(set(people)) == 3
    assert len(found.proposals) == 2
    assert all(proposal.is_ambiguous for proposal in found.proposals)
    assert links(found.proposals).num_rows == 0


def test_name_and_start_are_proposed_but_join_only_once_confirmed(home):
    # The HRIS writes the letters decomposed, and starts her nine days late.
    company(home, """
employee_id,hired_on,full_name
E1,2026-03-10,zoe\u0308  A\u030angstro\u0308m
""")  # fmt: skip
    (proposal,) = take(home).proposals
    before = joined(home)

    decide(home, proposal, accepted=True, by="ops", at=AT, digest=ledger_digest(home))

    assert before == {}
    assert joined(home) == {"E1": ("ats:A1", "confirmed")}


def test_a_denied_match_stays_denied(home):
    company(home, """
employee_id,hired_on,work_email
E1,2026-03-02,zoe@home.example
""")  # fmt: skip
    (proposal,) = take(home).proposals

    decide(home, proposal, accepted=False, by="ops", at=AT, digest=ledger_digest(home))

    assert joined(home) == {}


@pytest.mark.parametrize("hired_on", ["2026-03-16", "2026-02-14"])
def test_a_start_more_than_two_weeks_off_is_no_match(home, hired_on):
    company(home, f"""
employee_id,hired_on,full_name
E1,{hired_on},Zoë Ångström
""")  # fmt: skip

    assert take(home).proposals == []


def test_candidates_who_were_not_hired_match_nobody(home):
    company(home, """
employee_id,hired_on,work_email
E1,2026-03-02,other@home.example
""")  # fmt: skip

    assert take(home).proposals == []


def test_what_the_source_says_is_not_guessed_at(home):
    company(home, """
employee_id,application_id,hired_on,work_email
E1,ats:A2,2026-03-02,zoe@home.example
""")  # fmt: skip

    assert take(home).proposals == []


def test_the_ledger_of_decisions_names_nobody(home):
    company(home, """
employee_id,hired_on,full_name
E1,2026-03-02,Zoë Ångström
""")  # fmt: skip
    (proposal,) = take(home).proposals

    decide(home, proposal, accepted=True, by="ops", at=AT, digest=ledger_digest(home))

    text = (home.ledger / "identity.jsonl").read_text()
    assert "hris:E1" not in text
    assert "Zo" not in text
    assert proposal.subject not in text


def panel(home: Home) -> None:
    write(home, "ats/applications", """
application_id,candidate_id,applied_at,status
A1,C1,2026-01-01T00:00:00Z,active
""")  # fmt: skip
    write(home, "ats/interviewers", "interviewer_id,full_name,team\nI1,Bo Dee,core")
    write(home, "old/interviewers", "interviewer_id,full_name,team\nU7,bo  DEE,ml")


def test_interviewers_of_one_name_in_two_systems_are_proposed_as_aliases(home):
    panel(home)
    files = [file.path for file in take(home).files if file.entity == "interviewers"]

    assert alias_proposals(home, files) == [("ats:I1", "old:U7")]


def test_aliases_are_one_person_past_raw(home):
    panel(home)
    identity_file(home).write_text("aliases: [[ats:I1, old:U7]]\n")

    files = [file.path for file in take(home).files if file.entity == "interviewers"]

    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert {row["interviewer_id"] for row in rows} == {
        pseudonym(load_key(home), "ats:I1")
    }
    assert [row["team"] for row in rows if not row["_is_alias"]] == ["core"]
    assert alias_proposals(home, files) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aliases: [[ats:I1]]", "two ids or more"),
        ("aliases: [[I1, I2]]", "<source>:<id>"),
        ("aliases: [[a:1, b:1], [b:1, c:1]]", "stands for two people"),
        ("alias: []", "alias"),
    ],
)
def test_aliases_that_cannot_be_meant_are_refused(home, text, message):
    identity_file(home).write_text(text)

    with pytest.raises(SettingsError, match=message):
        load_identity(home)


def test_a_rotated_key_leaves_no_pseudonym_of_the_old_one(home):
    company(home, "employee_id,hired_on,full_name\nE1,2026-03-02,Zoë Ångström")
    take(home)
    old = pseudonym(load_key(home), "ats:C1").encode()

    rotate_key(home)
    take(home)

    holding = [
        path for path in home.root.rglob("*") if path.is_file() and old in _plain(path)
    ]
    assert pseudonym(load_key(home), "ats:C1").encode() != old
    assert holding == []


def _plain(path: Path) -> bytes:
    if path.suffix == ".parquet":
        return repr(pq.read_table(path).to_pylist()).encode()
    return path.read_bytes()


def test_decisions_outlive_a_rotation(home):
    company(home, "employee_id,hired_on,full_name\nE1,2026-03-02,Zoë Ångström")
    (proposal,) = take(home).proposals
    decide(home, proposal, accepted=True, by="ops", at=AT, digest=ledger_digest(home))

    rotate_key(home)

    assert joined(home) == {"E1": ("ats:A1", "confirmed")}


def test_a_ledger_gives_back_what_was_added_in_order(tmp_path):
    ledger = Ledger(tmp_path / "a.jsonl")

    for number in range(3):
        ledger.append({"n": number})

    assert [entry["n"] for entry in ledger.entries()] == [0, 1, 2]


@pytest.mark.parametrize("change", ["edited", "removed", "torn"])
def test_a_ledger_that_was_changed_is_refused(tmp_path, change):
    ledger = Ledger(tmp_path / "a.jsonl")
    for number in range(3):
        ledger.append({"n": number})
    lines = ledger.path.read_text().splitlines()
    changed = {
        "edited": [lines[0], lines[1].replace('"n": 1', '"n": 7'), lines[2]],
        "removed": [lines[0], lines[2]],
        "torn": [lines[0], lines[1], lines[2][:20]],
    }[change]
    ledger.path.write_text("\n".join(changed))

    with pytest.raises(SettingsError, match="chain of hashes is broken"):
        ledger.entries()

"""An erased person is gone from the whole home, and stays gone when delivered again."""

import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration.landing import ingest
from orchestration.landing.purge import Finder, Subject, remains
from orchestration.publishing.generation import current_generation
from orchestration.settings import Home, load_settings

HIRED = "candidate ats:C2"


def subject_of(home: Home, person: str) -> Subject:
    settings = load_settings(home.root)
    taken = ingest(home, settings.sources, progress=lambda _: None)
    return Finder(settings, taken).find(person)


def certificate(home: Home) -> dict:
    (path,) = (home.ledger / "certificates").glob("*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def erased(copies, calibrant):
    """A home from which a hired candidate was erased, who they were, what was said."""
    home = copies()
    subject = subject_of(home, HIRED)
    kept = home.root.with_name(home.root.name + "-inbox")
    shutil.copytree(home.inbox, kept)
    told = calibrant("erase", HIRED, "--yes", "--reason", "request 17", home=home)
    yield home, subject, told, kept
    shutil.rmtree(home.root)
    shutil.rmtree(kept)


def test_who_was_hired_is_found_in_both_systems(erased):
    _, subject, _, _ = erased

    assert {"candidate", "employee", "application", "scorecard", "debrief"} <= set(
        subject.ids
    )


def test_nothing_of_them_is_left_in_any_file(erased):
    home, subject, told, _ = erased

    assert told.code == 0, told.text
    assert remains(home, subject) == []


def test_the_search_would_have_found_them(erased, copies):
    _, subject, _, _ = erased
    untouched = copies()

    found = remains(untouched, subject)

    assert any(name.startswith("inbox/") for name in found)
    assert any(name.startswith("landing/") for name in found)
    assert any(name.endswith("warehouse.duckdb") for name in found)
    shutil.rmtree(untouched.root)


def test_the_certificate_counts_and_names_nobody(erased):
    home, subject, _, _ = erased

    about = certificate(home)

    assert about["verified"]
    assert about["reason"] == "request 17"
    assert about["rows"]["inbox"] > 5
    text = json.dumps(about) + (home.ledger / "erasures.jsonl").read_text()
    assert not [word for word in subject.words if word in text]
    assert not [i for ids in subject.ids.values() for i in ids if f'"{i}"' in text]


def test_old_bytes_are_noted_as_gone(erased):
    home, _, _, _ = erased

    lines = (home.landing / "tombstones.jsonl").read_text().splitlines()

    gone = {json.loads(line)["gone"] for line in lines}
    assert len(gone) > 5
    assert not [d for d in home.landing.glob("*/*/*") if any(
        digest.startswith(d.name) for digest in gone)]  # fmt: skip


def test_delivered_again_they_stay_erased_and_the_tables_the_same(erased, calibrant):
    home, subject, _, kept = erased
    before = current_generation(home)
    shutil.rmtree(home.inbox)
    shutil.copytree(kept, home.inbox)

    told = calibrant("run", "--no-sites", "--rebuild", home=home)

    assert told.code == 0, told.text
    left = [n for n in remains(home, subject) if not n.startswith("inbox/")]
    assert left == []
    after = current_generation(home)
    for path in sorted(before.published("committee").glob("*.parquet")):
        again = after.published("committee") / path.name
        drop = {"generation", "generation_id"}
        assert _rows(path, drop) == _rows(again, drop), path.name


def _rows(path, drop):
    table = pq.read_table(path)
    table = table.drop_columns([name for name in table.column_names if name in drop])
    return table.to_pylist()


def test_the_rest_is_as_if_they_had_never_been(erased, copies, calibrant):
    """The world without them: their rows taken out of the files by hand."""
    home, subject, _, _ = erased
    never = copies()
    spaces = {
        "candidate_id": "candidate", "employee_id": "employee",
        "application_id": "application", "scorecard_id": "scorecard",
        "interview_id": "interview", "debrief_id": "debrief",
        "submission_id": "submission",
    }  # fmt: skip
    for path in sorted(never.inbox.glob("*/*.parquet")):
        table = pq.read_table(path)
        for column, space in spaces.items():
            if column in table.column_names and path.stem != "openings":
                ids = {name.partition(":")[2] for name in subject.ids.get(space, ())}
                ids |= subject.ids.get(space, set())
                hit = pc.is_in(table[column], value_set=_array(ids, table[column].type))
                table = table.filter(pc.invert(hit))
        pq.write_table(table, path)

    told = calibrant("run", "--no-sites", "--rebuild", home=never)

    assert told.code == 0, told.text
    assert _counts(never) == _counts(home)
    shutil.rmtree(never.root)


def _array(ids, kind):
    import pyarrow as pa

    return pa.array(sorted(ids), kind)


def _counts(home):
    funnel = pq.read_table(
        current_generation(home).published("leaders") / "funnel.parquet"
    ).to_pylist()
    names = ("window_id", "role_family", "stage", "source", "entered", "advanced", "n")
    return sorted(str([row.get(name) for name in names]) for row in funnel)


def test_a_hold_outranks_a_request_and_its_release_lets_it_through(copies, calibrant):
    home = copies()
    subject = subject_of(home, HIRED)
    held = calibrant("holds", "add", HIRED, "--reason", "case 4", home=home)
    name = held.text.partition(":")[0].strip()

    refused = calibrant("erase", HIRED, "--yes", "--no-run", home=home)
    told = calibrant("run", "--no-sites", home=home)
    waiting = remains(home, subject)
    generation = f"generations/{current_generation(home).root.name}"
    calibrant("holds", "release", name, home=home)
    done = calibrant("erase", HIRED, "--yes", home=home)

    assert refused.code == 2
    assert "case 4" in refused.text
    assert told.code == 0, told.text
    # Kept where it came in, but nothing is made of it any more.
    zones = {place.partition("/")[0] for place in waiting}
    assert {"inbox", "landing"} <= zones
    assert not {place for place in waiting if place.startswith(generation)}
    assert done.code == 0, done.text
    assert remains(home, subject) == []
    shutil.rmtree(home.root)


def test_an_erased_interviewer_loses_the_name_and_the_cards_stay(copies, calibrant):
    home = copies()
    before = _cards(home)
    table = pq.read_table(home.inbox / "ats" / "interviewers.parquet").to_pylist()
    person = f"staff ats:{table[0]['interviewer_id']}"
    subject = subject_of(home, person)

    told = calibrant("erase", person, "--yes", home=home)

    assert told.code == 0, told.text
    assert remains(home, subject) == []
    assert _cards(home) == before
    shutil.rmtree(home.root)


def _cards(home):
    path = current_generation(home).published("committee") / "rater_reliability.parquet"
    return pq.read_table(path)["n_ratings"].to_pylist()


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ("ats:nobody", "nobody here has this id"),
        ("someone ats:C2", "write `candidate`, `employee` or `staff`"),
    ],
)
def test_who_is_not_found_is_said_and_nothing_changes(tiny, calibrant, person, message):
    before = sorted(path.stat().st_mtime_ns for path in tiny.home.inbox.rglob("*"))

    told = calibrant("erase", person, "--yes", home=tiny.home)

    assert told.code == 2
    assert message in told.text
    after = sorted(path.stat().st_mtime_ns for path in tiny.home.inbox.rglob("*"))
    assert before == after

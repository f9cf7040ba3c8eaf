"""Whoever is erased is gone from every place, stays gone, and nobody else is."""

import csv
import datetime as dt
import gzip
import io
import json
import sqlite3
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.landing import ingest
from orchestration.landing.erasure import Erased
from orchestration.landing.purge import due, names_erased, purge_mirror
from orchestration.settings import Home, Policy, Settings, SourceConfig, Sources
from orchestration.sources.mirror import Mirror, Record

pytestmark = pytest.mark.unit
CONFIG = SourceConfig()


def erased(*ids: str) -> Erased:
    """Whoever is listed as `space|source:id`, with a digest one can read."""
    return Erased(frozenset(ids), lambda native: native, ("ats", "hris"))


def cleaned(tmp_path, name: str, content: bytes, gone: Erased, *, entity=None):
    path, target = tmp_path / name, tmp_path / f"out-{name}"
    path.write_bytes(content)
    target.unlink(missing_ok=True)
    changed = gone.clean(
        path,
        target,
        form={"csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}[
            name.removesuffix(".gz").rsplit(".", 1)[-1]
        ],
        entity=entity or name.split(".")[0],
        source="ats",
        config=CONFIG,
    )
    return changed, target.read_bytes() if target.exists() else None


CARDS = b"""scorecard_id,application_id,interviewer_id,round,submitted_at,notes\r
S1,A1,I1,coding,2026-01-01T00:00:00Z,"says ""hi"",
and more"\r
S2,ats:A2,I2,coding,2026-01-01T00:00:00Z,\r
S3,A3,I1,coding,2026-01-01T00:00:00Z,plain\r
"""


def test_rows_about_somebody_erased_are_dropped_and_the_rest_keeps_its_bytes(tmp_path):
    changed, content = cleaned(
        tmp_path, "scorecards.csv", CARDS, erased("application|ats:A2")
    )

    assert changed == 1
    assert content == CARDS.replace(
        b"S2,ats:A2,I2,coding,2026-01-01T00:00:00Z,\r\n", b""
    )


def test_a_record_over_several_lines_is_dropped_whole(tmp_path):
    _, content = cleaned(
        tmp_path, "scorecards.csv", CARDS, erased("application|ats:A1")
    )

    assert b"and more" not in content
    assert content.count(b"\r\n") == 3


def test_an_interviewer_becomes_a_token_and_the_card_stays(tmp_path):
    _, content = cleaned(tmp_path, "scorecards.csv", CARDS, erased("staff|ats:I1"))

    rows = list(csv.DictReader(io.StringIO(content.decode())))
    tokens = {row["interviewer_id"] for row in rows if row["scorecard_id"] != "S2"}
    assert len(rows) == 3
    assert len(tokens) == 1
    assert tokens.pop().startswith("erased-")


def test_the_same_number_in_another_space_is_another_person(tmp_path):
    content = b"application_id,candidate_id,recruiter_id\nA1,7,8\nA2,8,7\n"

    _, left = cleaned(tmp_path, "applications.csv", content, erased("candidate|ats:7"))

    assert left == b"application_id,candidate_id,recruiter_id\nA2,8,7\n"


def test_with_nobody_to_erase_nothing_is_written(tmp_path):
    changed, content = cleaned(
        tmp_path, "scorecards.csv", CARDS, erased("application|ats:A9")
    )

    assert (changed, content) == (0, None)


def test_an_opening_stays_without_who_filled_it(tmp_path):
    content = b"opening_id,job_id,opened_at,application_id\nO1,J1,2026-01-01,A1\n"

    _, left = cleaned(tmp_path, "openings.csv", content, erased("application|ats:A1"))

    assert left == b"opening_id,job_id,opened_at,application_id\nO1,J1,2026-01-01,\n"


def test_a_broken_row_that_names_somebody_erased_is_dropped(tmp_path):
    content = CARDS + b"S9,A1\r\nS8,A7\r\n"

    _, left = cleaned(tmp_path, "scorecards.csv", content, erased("application|ats:A1"))

    assert b"S9" not in left
    assert b"S8,A7" in left


def test_json_lines_are_judged_alike(tmp_path):
    lines = [
        {"application_id": "A1", "attribute": "sex", "value": "female"},
        {"application_id": "A2", "attribute": "sex", "value": "male"},
    ]
    content = "\n".join(map(json.dumps, lines)).encode() + b'\n{"application_id": "A1'

    _, left = cleaned(
        tmp_path, "demographics.jsonl", content, erased("application|ats:A1")
    )

    assert left == json.dumps(lines[1]).encode() + b"\n"


def test_packed_files_stay_packed_and_equal_rows_are_equal_bytes(tmp_path):
    gone = erased("application|ats:A2")
    packed = gzip.compress(CARDS)

    first = cleaned(tmp_path, "scorecards.csv.gz", packed, gone)[1]
    second = cleaned(tmp_path, "scorecards.csv.gz", packed, gone)[1]

    assert first == second
    assert b"A2" not in gzip.decompress(first)


@pytest.mark.parametrize("as_numbers", [False, True])
def test_parquet_is_judged_alike_whatever_the_type_of_ids(tmp_path, as_numbers):
    kind = pa.int64() if as_numbers else pa.string()
    ids = [7, 8, None] if as_numbers else ["7", "ats:8", None]
    table = pa.table(
        {
            "interviewer_id": pa.array(ids, kind),
            "full_name": ["Bo", "Cy", "Di"],
            "team": ["a", "b", "c"],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)

    _, left = cleaned(
        tmp_path, "interviewers.parquet", buffer.getvalue(), erased("staff|ats:8")
    )

    rows = pq.read_table(io.BytesIO(left)).to_pylist()
    assert [row["full_name"] for row in rows] == ["Bo", None, "Di"]
    assert [str(row["interviewer_id"])[:7] for row in rows] == ["7", "erased-", "None"]
    assert [row["team"] for row in rows] == ["a", "b", "c"]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.text(max_size=12)), max_size=20
    ),
    gone=st.sets(st.sampled_from("ABCDE")),
)
def test_exactly_the_rows_of_those_erased_go(tmp_path_factory, rows, gone):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["application_id", "value"])
    writer.writerows(rows)
    content = buffer.getvalue().encode("utf-8", "surrogatepass")
    if b"\xed" in content or b"\x00" in content:
        return

    _, left = cleaned(
        tmp_path_factory.mktemp("e"),
        "demographics.csv",
        content,
        erased(*(f"application|ats:{name}" for name in gone)),
    )

    kept = (left or content).decode()
    found = list(csv.reader(io.StringIO(kept, newline="")))[1:]
    wanted = [list(row) for row in rows if row[0] not in gone]
    assert Counter(map(tuple, found)) == Counter(map(tuple, wanted))


def test_a_mirror_forgets_what_is_about_somebody_erased(tmp_path):
    path = tmp_path / "mirror" / "ats.sqlite"
    with Mirror.open(path) as mirror:
        mirror.put(
            "applications",
            [
                Record("A1", {"candidate_id": 7}),
                Record("A2", {"candidate": {"id": "7", "name": "Canary-1d"}}),
                Record("A3", {"candidate_id": 8}),
            ],
            place={},
            seen=1,
        )
        mirror.put("candidates", [Record("7", {"first_name": "Canary-1d"})],
                   place={}, seen=1)  # fmt: skip
        mirror.replace_children("offers", "A1", [Record("O1", {}, parent="A1")], seen=1)

    gone = erased("candidate|ats:7", "application|ats:A1", "application|ats:A2")
    removed = purge_mirror(path, "ats", gone)

    rows = sqlite3.connect(path).execute("select stream, id from records").fetchall()
    assert removed == 4
    assert rows == [("applications", "A3")]
    assert not any(b"Canary-1d" in file.read_bytes() for file in path.parent.iterdir())


def test_a_record_is_judged_by_whom_it_is_about():
    gone = erased("application|ats:A1")

    assert names_erased(gone, "ats", "offers", "O1", "", {"applicationId": "A1"})
    assert not names_erased(gone, "ats", "offers", "A1", "", {"applicationId": "A2"})


def retained(home: Home, months: dict[str, int], as_of: str) -> list[tuple[str, str]]:
    folder = home.inbox / "ats"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "candidates": "candidate_id\nC1\nC2\nC3\nC4\nC5\n",
        "jobs": "job_id,title,role_family,jurisdiction\nJ1,x,eng,US-NY\nJ2,x,eng,\n",
        "applications": (
            "application_id,candidate_id,job_id,applied_at,status,closed_at\n"
            "A1,C1,J1,2024-01-01T00:00:00Z,rejected,2024-03-31T00:00:00Z\n"
            "A2,C2,J2,2024-01-01T00:00:00Z,rejected,2024-03-31T00:00:00Z\n"
            # C3 applied again, and that one is open.
            "A3,C3,J1,2024-01-01T00:00:00Z,rejected,2024-03-31T00:00:00Z\n"
            "A4,C3,J1,2025-01-01T00:00:00Z,active,\n"
            # C4 was hired and has left, C5 was hired and stays.
            "A5,C4,J1,2024-01-01T00:00:00Z,hired,2024-03-31T00:00:00Z\n"
            "A6,C5,J1,2024-01-01T00:00:00Z,hired,2024-03-31T00:00:00Z\n"
        ),
        "employees": (
            "employee_id,application_id,hired_on,left_on\n"
            "E1,A5,2024-05-01,2025-06-30\nE2,A6,2024-05-01,\n"
        ),
    }.items():
        (folder / f"{name}.csv").write_text(text)
    settings = Settings(home, Sources(), Policy(retention_months=months), {})
    taken = ingest(home, settings.sources, progress=lambda _: None)
    assert taken.problems == ()
    return due(settings, taken, as_of=dt.date.fromisoformat(as_of))


@pytest.mark.parametrize(
    ("as_of", "months", "people"),
    [
        ("2025-03-30", {"default": 24, "US-NY": 12}, set()),
        ("2025-03-31", {"default": 24, "US-NY": 12}, {"ats:C1"}),
        ("2026-04-01", {"default": 24, "US-NY": 12}, {"ats:C1", "ats:C2"}),
        ("2026-07-01", {"default": 24, "US-NY": 12}, {"ats:C1", "ats:C2", "ats:C4"}),
        ("2036-07-01", {"US-NY": 12}, {"ats:C1", "ats:C4"}),
        ("2036-07-01", {}, set()),
    ],
)
def test_retention_runs_from_the_last_end_by_the_jurisdiction_of_the_job(
    tmp_path, as_of, months, people
):
    found = retained(Home(tmp_path), months, as_of)

    assert {native for native, _ in found} == people
    assert all(why for _, why in found)

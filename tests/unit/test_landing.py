"""Landing: nothing is lost, nothing is guessed, and every refusal says why."""

import datetime as dt
import errno
import gzip
import importlib
import json
import os
import pickle
import stat
import zipfile
import zoneinfo
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing import check, ingest
from orchestration.landing.contract import ENTITIES
from orchestration.landing.identity import names, pseudonym
from orchestration.landing.parse import workbench
from orchestration.settings import Home, SourceConfig, Sources

CANARY = "Canaria"
APPLICATIONS = (
    "application_id,candidate_id,applied_at,status\n"
    "A1,C1,2026-01-05T10:00:00Z,active\n"
    "A2,C2,2026-01-06T10:00:00Z,hired\n"
)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def put(home, name, content, *, source="csv"):
    path = home.inbox / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def applications(*rows, header="application_id,candidate_id,applied_at,status"):
    return "\n".join([header, *rows]) + "\n"


SOURCED = """application_id,candidate_id,applied_at,status,source
A1,C1,2026-01-01T00:00:00Z,active,referral
"""


def taken(home, **config):
    """What the inbox comes to, with `config` declared for the source `csv`."""
    return ingest(home, _sources(config), progress=lambda _: None)


def _sources(config):
    return Sources(sources={"csv": SourceConfig(**config)} if config else {})


def rows(found, entity="applications"):
    tables = [pq.read_table(file.path) for file in found.files if file.entity == entity]
    return pa.concat_tables(tables).to_pylist() if tables else []


def refusals(found):
    """Line, column and code of each quarantined row."""
    table = found.quarantine_table().sort_by("line").to_pylist()
    return [(row["line"], row["column_name"], row["code"]) for row in table]


def problem(found):
    """The one problem there is; its message is for a person and holds no value."""
    assert len(found.problems) == 1, found.problems
    only = found.problems[0]
    assert only.where
    assert only.what
    assert only.cure
    assert "Traceback" not in str(only)
    return only


def values(found, column, entity="applications"):
    return [row[column] for row in rows(found, entity)]


# -- counts -------------------------------------------------------------------------


def test_rows_in_are_accepted_repeated_or_quarantined(home):
    put(
        home,
        "applications.csv",
        APPLICATIONS
        + "A2,C2,2026-01-06T10:00:00Z,hired\n"  # a repetition
        + "A3,C3,tomorrow,hired\n"
        + "A4,C4,2026-01-06T10:00:00Z\n"
        + "A5,C5,2026-01-06T10:00:00Z,hired,extra\n",
    )

    (file,) = taken(home).files

    assert (file.rows_in, file.accepted, file.duplicates, file.quarantined) == (
        6,
        2,
        1,
        3,
    )


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("A9,C9,03/04/2026,active", "applied_at", "bad_timestamp"),
        ("A9,C9,2026-02-30T10:00:00Z,active", "applied_at", "bad_timestamp"),
        ("A9,C9,2026-13-01,active", "applied_at", "bad_timestamp"),
        ("A9,C9,infinity,active", "applied_at", "bad_timestamp"),
        ("A9,C9,epoch,active", "applied_at", "bad_timestamp"),
        ("A9,C9,1970-01-01T00:00:00Z,active", "applied_at", "implausible_date"),
        ("A9,C9,9999-12-31,active", "applied_at", "implausible_date"),
        ("A9,C9,0001-01-01,active", "applied_at", "implausible_date"),
        ("A9,C9,,active", "applied_at", "missing_value"),
        ("A9,  ,2026-01-05,active", "candidate_id", "missing_value"),
        (",C9,2026-01-05,active", "application_id", "missing_value"),
        ("A9,C9,2026-01-05,pending", "status", "unknown_value"),
        ("A9,C9,2026-01-05", None, "ragged_row"),
        ("A9,C9,2026-01-05,active,more", None, "ragged_row"),
        ("A9,C\x009,2026-01-05,active", "candidate_id", "control_character"),
        (f"A9,{'x' * 2_200_000},2026-01-05,active", "candidate_id", "too_long"),
    ],
)
def test_a_row_that_cannot_be_typed_is_named_by_line_column_and_code(
    home, row, column, code
):
    put(home, "applications.csv", APPLICATIONS + row + "\nA8,C8,2026-01-07,active\n")

    found = taken(home)

    assert refusals(found) == [(4, column, code)]
    assert [row["_line"] for row in rows(found)] == [2, 3, 5]


@pytest.mark.parametrize(
    ("entity", "text", "column", "code"),
    [
        (
            "performance_reviews",
            "review_id,employee_id,cycle,reviewed_on,rating,rating_min,rating_max\n"
            "R1,E1,h1,2026-01-05,6,1,5\n",
            "rating",
            "off_scale",
        ),
        (
            "candidate_surveys",
            "application_id,round,score,score_max,submitted_at\n"
            "A1,coding,9,5,2026-01-05\n",
            "score",
            "off_scale",
        ),
        (
            "performance_reviews",
            "review_id,employee_id,cycle,reviewed_on,rating,rating_min,rating_max\n"
            "R1,E1,h1,2026-01-05,NaN,1,5\n",
            "rating",
            "bad_number",
        ),
        (
            "stages",
            "role_family,stage,order,stage_group\nai,screen,1.5,screen\n",
            "order",
            "bad_number",
        ),
        (
            "interview_panel",
            "interview_id,interviewer_id,attended\nI1,P1,maybe\n",
            "attended",
            "bad_boolean",
        ),
        (
            "employees",
            "employee_id,hired_on\nE1,05.01.2026\n",
            "hired_on",
            "bad_date",
        ),
        (
            "employees",
            "employee_id,hired_on\nE1,03/04/2026\n",
            "hired_on",
            "bad_date",
        ),
    ],
)
def test_every_kind_of_column_is_judged(home, entity, text, column, code):
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"{entity}.csv", text)

    assert refusals(taken(home)) == [(2, column, code)]


def test_no_message_or_quarantine_row_holds_a_value(home):
    secret = "Canary-Kim-9"  # noqa: S105
    put(
        home,
        "applications.csv",
        APPLICATIONS + f"A3,{secret},{secret},{secret}\n{secret},{secret}\n",
    )

    found = taken(home)

    assert len(refusals(found)) == 2
    said = [*map(str, found.problems), *found.warnings, str(refusals(found))]
    said += [pq.read_table(p).to_pylist() for p in home.quarantine.rglob("*.parquet")]
    assert secret not in str(said)


def test_lines_are_those_of_the_file_whatever_comes_before(home):
    put(
        home,
        "applications.csv",
        applications(
            'A1,"C\n1",2026-01-05,active',
            "short",
            "",
            "A2,C2,bad,active",
            *["short"] * 300,
            "A3,C3,bad,active",
        ),
    )

    found = taken(home)

    lines = [line for line, _, code in refusals(found) if code == "bad_timestamp"]
    assert values(found, "_line") == [2]
    assert lines == [6, 307]


# -- forms --------------------------------------------------------------------------

SCORECARDS = [
    {
        "scorecard_id": "0012",
        "application_id": "1e3",
        "interviewer_id": "99999999999999999999",
        "round": "coding, live",
        "submitted_at": "2026-03-01T09:30:00+02:00",
        "overall_rating": "4.50",
        "is_draft": "no",
        "notes": 'She said "yes",\nthen left.',
    },
    {
        "scorecard_id": "NULL",
        "application_id": "None",
        "interviewer_id": "NaN",
        "round": "Ünïcode 🙂",
        "submitted_at": "2026-03-01T09:30:00.123456Z",
        "overall_rating": None,
        "is_draft": "TRUE",
        "notes": None,
    },
]


def _as_csv(records):
    lines = [",".join(records[0])]
    for record in records:
        cells = [(record[name] or "").replace('"', '""') for name in records[0]]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return "\r\n".join(lines).encode()


def _as_parquet(records):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue().to_pybytes()


def _as_jsonl(records):
    return "\n".join(json.dumps(record) for record in records).encode()


FORMS = {"csv": _as_csv, "jsonl": _as_jsonl, "parquet": _as_parquet}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_raw_rows(home, form):
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"scorecards.{form}", FORMS[form](SCORECARDS))

    found = taken(home)
    first, second = rows(found, "scorecards")

    assert not found.problems
    assert first["scorecard_id"] == "csv:0012"
    assert first["application_id"] == "csv:1e3"
    assert first["overall_rating"] == "4.50"
    assert first["round"] == "coding, live"
    assert str(first["submitted_at"]) == "2026-03-01 07:30:00"
    assert first["is_draft"] is False
    assert second["scorecard_id"] == "csv:NULL"
    assert second["application_id"] == "csv:None"
    assert second["overall_rating"] is None
    assert second["round"] == "Ünïcode 🙂"
    assert second["is_draft"] is True


def test_content_hashes_agree_between_forms(home):
    for form, write in FORMS.items():
        put(home, f"scorecards.{form}", write(SCORECARDS))
    put(home, "applications.csv", APPLICATIONS)

    found = taken(home)

    assert len(set(values(found, "_content", "scorecards"))) == 2


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_gzip_is_read(home, form):
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"scorecards.{form}.gz", gzip.compress(FORMS[form](SCORECARDS)))

    assert len(rows(taken(home), "scorecards")) == 2


@pytest.mark.parametrize("form", FORMS)
def test_an_extra_column_is_ignored_and_said(home, form):
    records = [{**record, "recomendation": "x"} for record in SCORECARDS]
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"scorecards.{form}", FORMS[form](records))

    found = taken(home)

    assert len(rows(found, "scorecards")) == 2
    assert any("'recomendation' is not in the contract" in w for w in found.warnings)


@pytest.mark.parametrize("form", FORMS)
def test_a_renamed_required_column_stops_the_file_with_the_likely_fix(home, form):
    records = [
        {("scorecards_id" if k == "scorecard_id" else k): v for k, v in record.items()}
        for record in SCORECARDS
    ]
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"scorecards.{form}", FORMS[form](records))

    found = problem(taken(home))

    assert found.code == "missing_column"
    assert f"scorecards.{form}" in found.where
    assert "'scorecard_id' is missing ('scorecards_id' is there)" in found.what


@pytest.mark.parametrize("name", ["applications.csv", "applications.2026-02-01.csv"])
def test_an_optional_column_that_is_gone_or_renamed_stops_the_file(home, name):
    first = "applications.2026-01-01.csv" if "2026" in name else name
    put(home, first, SOURCED)
    taken(home)
    put(home, name, SOURCED.replace("source", "sources"))

    found = taken(home)

    (problem,) = found.problems
    assert problem.code == "removed_column"
    assert "'source' ('sources' is there)" in problem.what
    assert "applications.source" in problem.cure
    assert check(home, Sources()).problems == [problem]


def test_a_column_declared_as_dropped_may_be_gone(home):
    put(home, "applications.csv", SOURCED)
    taken(home)
    put(home, "applications.csv", SOURCED.replace("source", "sources"))

    found = taken(home, dropped_columns=["applications.source"])

    assert found.problems == ()


def test_a_stopped_delivery_does_not_become_the_measure_of_the_next(home):
    put(home, "applications.csv", SOURCED)
    taken(home)
    put(home, "applications.csv", SOURCED.replace("source", "sources"))

    first, second = taken(home), taken(home)

    assert first.problems == second.problems != ()


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_found_by_name_whatever_their_order_and_case(home, form):
    records = [
        {name.upper(): record[name] for name in reversed(record)}
        for record in SCORECARDS
    ]
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"scorecards.{form}", FORMS[form](records))

    assert values(taken(home), "scorecard_id", "scorecards") == ["csv:0012", "csv:NULL"]


@pytest.mark.parametrize("form", FORMS)
def test_a_header_alone_is_refused_unless_it_is_declared(home, form):
    entity = ENTITIES["consents"]
    empty = {
        "csv": b"candidate_id,purpose\n",
        "jsonl": b"\n",
        "parquet": _as_parquet([{"candidate_id": "x", "purpose": "y"}]),
    }[form]
    if form == "parquet":
        sink = pa.BufferOutputStream()
        schema = pa.schema([(name, pa.string()) for name in entity.required])
        pq.write_table(schema.empty_table(), sink)
        empty = sink.getvalue().to_pybytes()
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"consents.{form}", empty)

    refused = taken(home)
    declared = taken(home, may_be_empty=["consents"])

    assert problem(refused).code == "empty_file"
    assert "may_be_empty" in problem(refused).cure
    assert not declared.problems
    assert rows(declared, "consents") == []


# -- JSON lines ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        '{"application_id": "A3", "candidate_id": "C3", "applied_',
        "[1, 2]",
        '"text"',
        "null",
        "{'application_id': 'A3'}",
        '{"application_id": ' + "[" * 20_000 + "]" * 20_000 + "}",
    ],
)
def test_a_line_that_is_no_json_object_is_quarantined(home, line):
    records = [
        {"application_id": f"A{i}", "candidate_id": "C", "applied_at": "2026-01-05",
         "status": "active"}
        for i in range(2)
    ]  # fmt: skip
    put(home, "applications.jsonl", _as_jsonl(records) + b"\n" + line.encode())

    found = taken(home)

    assert refusals(found)[0][0] == 3
    assert refusals(found)[0][2] in ("malformed_json", "nested_value")
    assert len(rows(found)) == 2


def test_json_numbers_keep_their_digits_and_nested_values_are_refused(home):
    put(
        home,
        "applications.jsonl",
        '{"application_id": 12345678901234567890123, "candidate_id": 7,'
        ' "applied_at": "2026-01-05", "status": "active", "job_id": null}\n'
        "\n"
        '{"application_id": {"id": 1}, "candidate_id": 7,'
        ' "applied_at": "2026-01-05", "status": "active"}\n',
    )

    found = taken(home)

    assert values(found, "application_id") == ["csv:12345678901234567890123"]
    assert values(found, "job_id") == [None]
    assert refusals(found) == [(3, "application_id", "nested_value")]


@pytest.mark.parametrize(
    "key", ["application_id", "status", "unheard_of"], ids=["id", "status", "unknown"]
)
def test_a_key_that_occurs_twice_in_a_line_is_set_aside(home, key):
    record = (
        '{"application_id": "A%d", "candidate_id": "C", "applied_at": "2026-01-05",'
        ' "status": "active"%s}\n'
    )
    again = f', "{key}": 1, "{key}": 2'
    put(
        home,
        "applications.jsonl",
        record % (1, "") + record % (2, again) + record % (3, ', "other": 1'),
    )

    found = taken(home)

    assert refusals(found) == [(2, None, "repeated_key")]
    assert values(found, "application_id") == ["csv:A1", "csv:A3"]


def test_a_byte_order_mark_before_json_is_no_text(home):
    record = '{"application_id": "A1", "candidate_id": "C", "applied_at":'
    put(
        home,
        "applications.jsonl",
        b"\xef\xbb\xbf" + record.encode() + b' "2026-01-05", "status": "active"}',
    )

    assert values(taken(home), "application_id") == ["csv:A1"]


# -- text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + APPLICATIONS.encode(),
        APPLICATIONS.replace("\n", "\r\n").encode(),
        APPLICATIONS.replace("\n", "\r\n", 2).encode(),
        APPLICATIONS.rstrip("\n").encode(),
        APPLICATIONS.replace("A1", ' "A1"'.strip()).encode(),
        (APPLICATIONS + "\n\n").encode(),
    ],
    ids=["bom", "crlf", "mixed", "no last newline", "quoted", "blank lines"],
)
def test_spellings_of_the_same_csv_are_the_same_rows(home, text):
    put(home, "applications.csv", text)

    found = taken(home)

    assert values(found, "application_id") == ["csv:A1", "csv:A2"]
    assert not found.quarantined


def test_ids_stay_text(home):
    put(
        home,
        "applications.csv",
        applications(
            "1e3,0007,2026-01-05,active",
            "1000,7,2026-01-05,active",
            "92233720368547758079,Null,2026-01-05,active",
            "NA,None,2026-01-05,active",
        ),
    )

    assert values(taken(home), "application_id") == [
        "csv:1e3",
        "csv:1000",
        "csv:92233720368547758079",
        "csv:NA",
    ]


def test_the_other_encodings_are_declared_never_guessed(home):
    text = applications("A1,Zoë,2026-01-05,active")
    put(home, "applications.csv", text.encode("latin-1"))

    refused, declared = taken(home), taken(home, encoding="latin-1")

    assert problem(refused).code == "wrong_encoding"
    assert "line 2" in problem(refused).what
    assert "encoding" in problem(refused).cure
    assert declared.files[0].accepted == 1


def test_utf_16_is_named_and_read_once_declared(home):
    put(home, "applications.csv", APPLICATIONS.encode("utf-16"))

    refused, declared = taken(home), taken(home, encoding="utf-16")

    assert problem(refused).code == "wrong_encoding"
    assert "UTF-16" in problem(refused).what
    assert len(rows(declared)) == 2


def test_a_declared_delimiter_is_used_and_a_wrong_one_is_suspected(home):
    put(home, "applications.csv", APPLICATIONS.replace(",", ";"))

    refused, declared = taken(home), taken(home, delimiter=";")

    assert "delimiter" in problem(refused).cure
    assert len(rows(declared)) == 2


def test_a_declared_date_format_is_used(home):
    put(home, "applications.csv", applications("A1,C1,03/04/2026,active"))

    found = taken(home, timestamp_format="%d/%m/%Y")

    assert [str(at) for at in values(found, "applied_at")] == ["2026-04-03 00:00:00"]


@pytest.mark.parametrize(
    "declared",
    [{"timestamp_format": "%Q"}, {"date_format": "%d.%"}, {"delimiter": "§"}],
)
def test_a_declaration_that_cannot_be_used_is_named(home, declared):
    put(home, "applications.csv", APPLICATIONS)

    found = problem(taken(home, **declared))

    assert found.code == "bad_declaration"
    assert next(iter(declared.values())) in found.what
    assert "sources.yaml" in found.cure


def test_times_without_an_offset_are_read_in_the_zone_of_the_source(home):
    put(
        home,
        "applications.csv",
        applications(
            "A1,C1,2026-01-05T10:00:00,active",
            "A2,C2,2026-07-05 10:00:00,active",
            "A3,C3,2026-07-05T10:00:00-05:00,active",
            "A4,C4,2026-07-05T10:00:00Z,active",
            "A5,C5,2026-07-05,active",
        ),
    )

    found = taken(home, timezone="Europe/Berlin")

    assert [f"{at:%m-%d %H:%M}" for at in values(found, "applied_at")] == [
        "01-05 09:00",
        "07-05 08:00",
        "07-05 15:00",
        "07-05 10:00",
        "07-04 22:00",
    ]
    assert not found.warnings


@pytest.mark.parametrize(
    "declared",
    [{}, {"timestamp_format": "%Y-%m-%dT%H:%M:%S"}],
    ids=["iso", "declared"],
)
def test_times_that_a_clock_change_skips_or_repeats_are_flagged(home, declared):
    put(
        home,
        "applications.csv",
        applications(
            "A1,C1,2026-03-29T01:59:59,active",
            "A2,C2,2026-03-29T02:30:00,active",
            "A3,C3,2026-03-29T03:00:00,active",
            "A4,C4,2026-10-25T01:59:59,active",
            "A5,C5,2026-10-25T02:00:00,active",
            "A6,C6,2026-10-25T03:00:00,active",
        ),
    )

    found = taken(home, timezone="Europe/Berlin", **declared)

    assert [f"{at:%m-%d %H:%M}" for at in values(found, "applied_at")] == [
        "03-29 00:59",
        "03-29 01:30",
        "03-29 01:00",
        "10-24 23:59",
        "10-25 01:00",
        "10-25 02:00",
    ]
    (warning,) = found.warnings
    assert "csv/applications.csv: 2 rows have a time" in warning
    assert "Europe/Berlin" in warning


def test_a_time_with_an_offset_is_never_in_doubt(home):
    put(
        home,
        "applications.csv",
        applications(
            "A1,C1,2026-10-25T02:30:00+02:00,active",
            "A2,C2,2026-10-25T02:30:00+01,active",
            "A3,C3,2026-10-25T02:30:00Z,active",
            "A4,C4,2026-10-25,active",
        ),
    )

    found = taken(home, timezone="Europe/Berlin")

    assert [f"{at:%H:%M}" for at in values(found, "applied_at")] == [
        "00:30",
        "01:30",
        "02:30",
        "22:00",
    ]
    assert not found.warnings


@pytest.mark.parametrize(
    ("zone", "time", "is_in_doubt"),
    [
        ("Australia/Lord_Howe", "2026-04-05T01:45:00", True),
        ("Australia/Lord_Howe", "2026-04-05T01:15:00", False),
        ("America/New_York", "2026-11-01T01:30:00", True),
        ("America/New_York", "2026-11-01T02:30:00", False),
        ("Asia/Tokyo", "2026-11-01T01:30:00", False),
        ("Africa/Cairo", "2026-04-24T00:30:00", True),
        ("Asia/Beirut", "2026-03-29T00:30:00", True),
    ],
)
def test_each_zone_has_its_own_hours_of_doubt(home, zone, time, is_in_doubt):
    put(home, "applications.csv", applications(f"A1,C1,{time},active"))

    found = taken(home, timezone=zone)

    assert bool(found.warnings) is is_in_doubt


@pytest.mark.parametrize(
    ("zone", "time"),
    [
        ("America/New_York", "2026-03-08T02:30:00"),
        ("America/New_York", "2026-11-01T01:30:00"),
        ("Europe/Dublin", "2026-03-29T01:30:00"),
        ("Europe/Dublin", "2026-10-25T01:30:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15:00"),
        ("Africa/Cairo", "2026-10-29T23:30:00"),
    ],
)
def test_a_time_in_doubt_is_the_later_moment_that_it_can_mean(home, zone, time):
    put(home, "applications.csv", applications(f"A1,C1,{time},active"))
    local = dt.datetime.fromisoformat(time).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    moments = [local.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1)]

    found = taken(home, timezone=zone)

    assert values(found, "applied_at") == [max(moments).replace(tzinfo=None)]
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2024-02-29", "2024-02-29 00:00:00"),
        ("2026-02-29", None),
        ("2100-02-29", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("1970-01-01", None),
        ("1970-01-02T00:00:00Z", "1970-01-02 00:00:00"),
        ("0000-01-01", None),
        ("24:00:00", None),
        ("2026-06-30T23:59:60Z", None),
    ],
)
def test_days_that_are_none_or_a_default_are_set_aside(home, time, read):
    put(home, "applications.csv", APPLICATIONS + f"A3,C3,{time},active\n")

    found = taken(home)

    assert [str(at) for at in values(found, "applied_at")[2:]] == (
        [read] if read else []
    )
    assert [line for line, *_ in refusals(found)] == ([] if read else [4])


def test_one_format_is_declared_and_the_other_order_is_set_aside(home):
    put(
        home,
        "applications.csv",
        applications(
            "A1,C1,03/04/2026,active", "A2,C2,31/12/2025,active",
            "A3,C3,12/31/2025,active", "A4,C4,2025-12-31,active",
        ),
    )  # fmt: skip

    found = taken(home, timestamp_format="%d/%m/%Y")

    assert [f"{at:%Y-%m-%d}" for at in values(found, "applied_at")] == [
        "2026-04-03",
        "2025-12-31",
    ]
    assert [line for line, *_ in refusals(found)] == [4, 5]


def test_what_no_number_is_far_down_is_set_aside_alone(home):
    weeks = [f"I{i},2026-01-05,{i % 9}.5" for i in range(22_000)]
    weeks[21_000] = "I21000,2026-01-05,N/A"
    put(home, "applications.csv", APPLICATIONS)
    put(
        home,
        "interviewer_capacity.csv",
        applications(*weeks, header="interviewer_id,week,hours"),
    )

    found = taken(home)

    assert refusals(found) == [(21_002, "hours", "bad_number")]
    assert len(rows(found, "interviewer_capacity")) == 21_999


def test_a_decimal_comma_is_never_taken_for_another_number(home):
    put(home, "applications.csv", APPLICATIONS.replace(",", ";"))
    put(home, "interviewer_capacity.csv", "interviewer_id;week;hours\n"
        "I1;2026-01-05;3,5\nI2;2026-01-05;3.5\n")  # fmt: skip

    found = taken(home, delimiter=";")

    assert values(found, "hours", "interviewer_capacity") == [3.5]
    assert refusals(found) == [(2, "hours", "bad_number")]


@pytest.mark.parametrize(
    ("size", "code"), [(2_200_000, "too_long"), (30_000_000, "unclosed_quote")]
)
def test_of_a_field_that_is_too_long_nothing_is_told(home, size, code):
    long = f"{CANARY}{'x' * size}"
    put(home, "applications.csv", APPLICATIONS)
    put(home, "candidates.csv", f"candidate_id,full_name\nC1,{long}\n")

    found = taken(home)

    told = [p.code for p in found.problems] + [c for *_, c in refusals(found)]
    assert told == [code]
    said = [*map(str, found.problems), *found.warnings, str(refusals(found))]
    said += [pq.read_table(p).to_pylist() for p in home.quarantine.rglob("*.parquet")]
    assert CANARY not in str(said)
    assert "xxxx" not in str(said)


def test_a_nul_is_set_aside_in_names_and_texts_too(home):
    put(home, "applications.csv", APPLICATIONS)
    put(
        home,
        "candidates.csv",
        "candidate_id,full_name\nC1,Ki\0m\nC\x002,Kim\nC3,Kim\n",
    )

    found = taken(home)

    assert refusals(found) == [
        (2, "full_name", "control_character"),
        (3, "candidate_id", "control_character"),
    ]
    assert len(rows(found, "candidates")) == 1


def test_surnames_that_look_like_nothing_are_names(home):
    surnames = ["Null", "NA", "None", "True", "nan", "N/A", "-", "0"]
    people = [f"I{i},{name}" for i, name in enumerate(surnames)]
    put(home, "applications.csv", APPLICATIONS)
    put(
        home,
        "interviewers.csv",
        applications(*people, header="interviewer_id,full_name"),
    )

    files = taken(home).raw_files("interviewers")

    assert sorted(names(home, files).values()) == sorted(surnames)


@pytest.mark.parametrize("name", ["Zoë 🙂", "שרה \u202eabc", "A\u200bda", "李小龍"])
def test_names_of_any_script_are_kept_as_they_are(home, name):
    put(home, "applications.csv", APPLICATIONS)
    put(home, "interviewers.csv", f"interviewer_id,full_name\nI1,{name}\n")

    files = taken(home).raw_files("interviewers")

    assert list(names(home, files).values()) == [name]


def test_dates_are_not_moved_by_the_zone(home):
    put(home, "applications.csv", APPLICATIONS)
    put(home, "employees.csv", "employee_id,hired_on\nE1,2026-02-01\n")

    found = taken(home, timezone="Pacific/Auckland")

    assert str(values(found, "hired_on", "employees")[0]) == "2026-02-01"


def test_ids_of_another_source_keep_their_prefix(home):
    put(home, "applications.csv", APPLICATIONS, source="ats")
    put(
        home,
        "employees.csv",
        "employee_id,application_id,hired_on\nE1,ats:A2,2026-02-01\n"
        "E2,other:A2,2026-02-01\n",
        source="hris",
    )

    assert values(taken(home), "application_id", "employees") == [
        "ats:A2",
        "hris:other:A2",
    ]


def test_declared_names_are_mapped_and_others_stay(home):
    put(home, "applications.csv", APPLICATIONS)
    put(
        home,
        "stage_events.csv",
        "application_id,stage,entered_at\n"
        "A1,O'Brien Screen,2026-01-05\nA1,Onsite,2026-01-06\n",
    )

    found = taken(home, stages={"O'Brien Screen": "screen"})

    assert values(found, "stage", "stage_events") == ["screen", "Onsite"]


# -- files that are refused ---------------------------------------------------------


def _gzip_bomb():
    return gzip.compress(b"\0" * 60_000_000)


def _parquet_bomb():
    """A long text packed to nothing, which is 60 MB once read."""
    sink = pa.BufferOutputStream()
    text = pa.table({"interviewer_id": ["x" * 20_000_000, "y" * 40_000_000]})
    pq.write_table(text, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue().to_pybytes()


def _many_rows():
    """Sixty million equal rows in a few kilobytes."""
    sink = pa.BufferOutputStream()
    column = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(60_000_000, np.int8)), pa.array(["x"])
    )
    pq.write_table(pa.table({"interviewer_id": column}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("interviewers.csv", b"", "empty_file"),
        ("interviewers.csv", b"\n\n", "empty_file"),
        ("interviewers.jsonl", b"", "empty_file"),
        ("interviewers.csv", b"interviewer_id,interviewer_id\n1\n", "duplicate_column"),
        ("interviewers.csv", b"interviewer_id,Interviewer_ID\n1\n", "duplicate_column"),
        ("interviewers.csv", b"name\nx\n", "missing_column"),
        ("interviewers.csv", gzip.compress(b"interviewer_id\n1\n"), "wrong_format"),
        ("interviewers.csv", b"PK\x03\x04rest", "wrong_format"),
        ("interviewers.csv", b"\x80\x05rest", "wrong_format"),
        ("interviewers.csv.gz", b"interviewer_id\n1\n", "unreadable_file"),
        (
            "interviewers.csv.gz",
            gzip.compress(os.urandom(200_000))[:1000],
            "unreadable_file",
        ),
        ("interviewers.csv.gz", _gzip_bomb(), "too_large"),
        ("interviewers.parquet", _parquet_bomb(), "too_large"),
        ("interviewers.parquet", _many_rows(), "too_large"),
        ("interviewers.parquet", b"PAR1 nothing PAR1", "unreadable_file"),
        ("interviewers.parquet", _as_parquet(SCORECARDS)[:-40], "unreadable_file"),
        ("interviewers.parquet", _as_parquet([{"interviewer_id": 1.5}]), "wrong_type"),
        ("interviewers.parquet", _as_parquet([{"interviewer_id": [1]}]), "wrong_type"),
        (
            "interviewers.csv",
            b'interviewer_id,team\n1,"a\n2,b\n3,c\n',
            "unclosed_quote",
        ),
        ("interviewer.csv", b"interviewer_id\n1\n", "unknown_entity"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_a_problem_with_a_cure(home, name, content, code):
    put(home, "applications.csv", APPLICATIONS)
    put(home, name, content)

    found = taken(home)

    assert problem(found).code == code
    assert f"csv/{name}" in problem(found).where
    assert len(rows(found)) == 2


def test_a_cut_parquet_page_is_refused_without_any_of_its_rows(home):
    whole = bytearray(_as_parquet([{"interviewer_id": f"I{i}"} for i in range(5000)]))
    whole[200:400] = os.urandom(200)
    put(home, "applications.csv", APPLICATIONS)
    put(home, "interviewers.parquet", bytes(whole))

    found = taken(home)

    assert problem(found).code == "unreadable_file"
    assert rows(found, "interviewers") == []


def test_a_full_disk_is_a_problem_with_a_cure_and_leaves_nothing_half(
    home, monkeypatch
):
    module = importlib.import_module("orchestration.landing.ingest")

    def full(*_):
        raise OSError(28, "No space left on device")

    put(home, "applications.csv", APPLICATIONS)
    monkeypatch.setattr(module, "copy", full)
    found = taken(home)
    monkeypatch.undo()

    again = taken(home)

    assert problem(found).code == "no_room"
    assert found.files == ()
    assert len(rows(again)) == 2


def test_a_folder_named_like_a_file_is_refused(home):
    put(home, "applications.csv", APPLICATIONS)
    (home.inbox / "csv" / "ratings.csv").mkdir()

    assert problem(taken(home)).code == "no_file"


def test_links_and_paths_out_of_the_inbox_are_refused(home, tmp_path):
    put(home, "applications.csv", APPLICATIONS)
    outside = tmp_path / "outside.csv"
    outside.write_text("interviewer_id\nI1\n")
    (home.inbox / "csv" / "interviewers.csv").symlink_to(outside)
    (home.inbox / "csv" / "ratings.csv").symlink_to("../../../outside.csv")
    (home.inbox / "linked").symlink_to(tmp_path)
    put(home, "applications.csv", APPLICATIONS, source="A B..")
    put(home, "deep/applications.csv", APPLICATIONS)

    found = taken(home)

    assert {(p.code, p.where) for p in found.problems} == {
        ("symlink", "csv/interviewers.csv"),
        ("symlink", "csv/ratings.csv"),
        ("symlink", "linked"),
        ("misplaced_file", "A B../applications.csv"),
        ("misplaced_file", "csv/deep/applications.csv"),
    }
    assert [file.name for file in found.files] == ["csv/applications.csv"]


def test_a_pipe_is_refused_without_waiting_for_it(home):
    put(home, "applications.csv", APPLICATIONS)
    os.mkfifo(home.inbox / "csv" / "ratings.csv")

    assert problem(taken(home)).code == "no_file"


def test_other_files_are_left_aside_and_said(home):
    put(home, "applications.csv", APPLICATIONS)
    put(home, "notes.xlsx", b"PK")
    put(home, ".hidden.csv", b"x")

    found = taken(home)

    assert not found.problems
    assert any("notes.xlsx: left aside" in warning for warning in found.warnings)


class _Payload:
    """What unpickling would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_under_another_name_is_refused_and_never_run(
    home, tmp_path, form, protocol
):
    content = pickle.dumps(_Payload(tmp_path / "ran"), protocol)
    put(home, "applications.csv", APPLICATIONS)
    put(home, f"interviewers.{form}", content)

    found = taken(home)

    assert rows(found, "interviewers") == []
    assert found.problems or refusals(found)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["ratings.pkl", "ratings.joblib", "ratings.xlsm", "ratings.zip", "ratings.7z"],
)
def test_what_could_carry_programs_is_left_unopened(home, tmp_path, name):
    put(home, "applications.csv", APPLICATIONS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../../escaped.csv", "x")
        archive.writestr("xl/vbaProject.bin", "x")
    put(home, name, (tmp_path / "a.zip").read_bytes())

    found = taken(home)

    assert not found.problems
    assert any(f"{name}: left aside" in warning for warning in found.warnings)
    assert list(tmp_path.rglob("escaped.csv")) == []


def test_the_parser_reaches_no_file_outside_the_home_and_no_address(home, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    folder = tmp_path / "spill"
    folder.mkdir()

    with workbench(folder, home=home.root) as connection:
        for place in (
            str(outside),
            "/etc/passwd",
            f"{home.root}/../outside.csv",
            "http://127.0.0.1:9/a.csv",
            "s3://bucket/a.csv",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled|httpfs|not allowed"):
                connection.execute("select * from read_csv(?)", [place])
        with pytest.raises(duckdb.Error):
            connection.execute("install httpfs")
        with pytest.raises(duckdb.Error):
            connection.execute("set enable_external_access = true")


def test_an_address_is_no_source(home):
    put(home, "http:/evil.example/applications.csv", APPLICATIONS, source="")
    put(home, "applications.csv", APPLICATIONS)

    found = taken(home)

    assert problem(found).code == "misplaced_file"
    assert [file.name for file in found.files] == ["csv/applications.csv"]


@pytest.mark.parametrize("way", ["relative", "linked"])
def test_a_home_can_be_named_by_any_way_to_it(home, tmp_path, monkeypatch, way):
    put(home, "applications.csv", APPLICATIONS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").symlink_to(home.root)
    place = {"relative": "home", "linked": tmp_path / "linked"}[way]

    found = taken(Home(Path(place)))

    assert len(rows(found)) == 2


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_an_inbox_that_cannot_be_read_is_a_problem_with_a_cure(
    home, monkeypatch, number
):
    import orchestration.landing.store as store

    put(home, "applications.csv", APPLICATIONS)

    def fails(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store, "_files", fails)

    found = taken(home)

    assert problem(found).code == "unreadable_folder"
    assert os.strerror(number) in problem(found).what
    assert found.files == ()


def test_a_file_that_vanishes_while_it_is_taken_is_a_problem_with_a_cure(
    home, monkeypatch
):
    import orchestration.landing.store as store

    path = put(home, "interviewers.csv", "interviewer_id\nI1\n")
    put(home, "applications.csv", APPLICATIONS)
    copied = store._copy

    def vanishes(source, target):
        path.unlink(missing_ok=True)
        return copied(source, target)

    monkeypatch.setattr(store, "_copy", vanishes)

    found = taken(home)

    assert problem(found).code == "unreadable_file"
    assert "csv/interviewers.csv" in problem(found).where
    assert [file.name for file in found.files] == ["csv/applications.csv"]


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_inbox_says_what_to_do(home, there):
    if there:
        home.inbox.mkdir(parents=True)

    found = problem(taken(home))

    assert found.code == "empty_inbox"
    assert found.where == str(home.inbox)
    assert "calibrant simulate" in found.cure


def test_an_inbox_without_applications_is_a_problem(home):
    put(home, "interviewers.csv", "interviewer_id\nI1\n")

    assert problem(taken(home)).code == "no_applications"


# -- again --------------------------------------------------------------------------


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_inbox_twice_changes_nothing(home):
    put(home, "applications.csv", APPLICATIONS + "A3,C3,bad,active\n")
    taken(home)
    before = _contents(home.root)

    second = taken(home)

    assert all(file.from_cache for file in second.files)
    assert _contents(home.root) == before
    assert len(refusals(second)) == 1


def test_the_same_bytes_written_anew_are_not_parsed_again(home):
    path = put(home, "applications.csv", APPLICATIONS)
    taken(home)
    path.unlink()
    put(home, "applications.csv", APPLICATIONS)

    assert all(file.from_cache for file in taken(home).files)


def test_a_file_replaced_is_a_new_version_and_the_old_one_is_kept(home):
    put(home, "applications.csv", APPLICATIONS)
    first = taken(home)
    put(home, "applications.csv", APPLICATIONS + "A3,C3,2026-01-08,active\n")

    second = taken(home)

    assert len(rows(second)) == 3
    assert len(second.files) == 1
    assert first.files[0].path.is_file()
    assert len(list((home.landing / "csv" / "applications").iterdir())) == 2


def test_the_same_bytes_under_two_names_are_two_files_of_lineage(home):
    put(home, "applications.2026-01-01.csv", APPLICATIONS)
    put(home, "applications.2026-02-01.csv", APPLICATIONS)

    found = taken(home)

    assert {(str(r["_extracted_on"]), r["_file"]) for r in rows(found)} == {
        ("2026-01-01", "csv/applications.2026-01-01.csv"),
        ("2026-02-01", "csv/applications.2026-02-01.csv"),
    }


def test_a_change_of_the_declaration_reads_the_file_again(home):
    put(home, "applications.csv", applications("A1,C1,2026-01-05T10:00,active"))

    utc, berlin = taken(home), taken(home, timezone="Europe/Berlin")

    assert utc.files[0].path != berlin.files[0].path
    assert values(utc, "applied_at") != values(berlin, "applied_at")


@pytest.mark.parametrize(
    "moment", ["manifest.json", "stamps.json", ".parquet", ".json"]
)
def test_a_crash_at_any_write_converges(home, monkeypatch, moment):
    put(home, "applications.csv", APPLICATIONS + "A3,C3,bad,active\n")
    whole = Home(home.root.with_name("whole"))
    put(whole, "applications.csv", APPLICATIONS + "A3,C3,bad,active\n")
    (whole.restricted).mkdir(parents=True)
    (home.restricted).mkdir(parents=True)
    for place in (whole, home):
        (place.restricted / "key").write_bytes(b"k" * 32)
    taken(whole)
    replace = Path.replace

    def crash(self, target):
        if str(target).endswith(moment):
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        taken(home)
    monkeypatch.undo()

    found = taken(home)

    assert len(rows(found)) == 2
    left = {k: v for k, v in _contents(home.root).items() if "stamps" not in k}
    assert left == {k: v for k, v in _contents(whole.root).items() if "stamps" not in k}


def test_a_torn_note_is_made_again(home):
    put(home, "applications.csv", APPLICATIONS)
    (file,) = taken(home).files
    (home.landing / "stamps.json").write_text('{"cut')
    file.path.with_suffix(".json").write_text('{"cut')

    found = taken(home)

    assert len(rows(found)) == 2
    assert not found.files[0].from_cache


def test_a_file_that_changes_while_it_is_copied_waits_for_the_next_run(
    home, monkeypatch
):
    import orchestration.landing.store as store

    path = put(home, "applications.csv", APPLICATIONS)
    copied = store._copy

    def grows(*arguments):
        digest = copied(*arguments)
        path.write_text(APPLICATIONS + "A3,")
        return digest

    monkeypatch.setattr(store, "_copy", grows)

    found = taken(home)

    assert problem(found).code == "changing_file"
    assert found.files == ()


# -- people -------------------------------------------------------------------------


def _with_people(home):
    put(
        home,
        "applications.csv",
        applications("A1,C1,2026-01-05,active", "A2,C1,bad,active"),
    )
    put(
        home,
        "candidates.csv",
        f"candidate_id,full_name,email\nC1,{CANARY} One,{CANARY}@example.org\n"
        f"C2,{CANARY} Two,{CANARY}2@example.org\n",
    )
    put(
        home,
        "interviewers.csv",
        f"interviewer_id,full_name,is_active\nI1,{CANARY} Rater,yes\n"
        f"I2,{CANARY} Broken,maybe\n",
    )
    put(
        home,
        "scorecards.csv",
        "scorecard_id,application_id,interviewer_id,round,submitted_at,notes\n"
        f"S1,A1,I1,coding,2026-01-06,{CANARY} was kind\n",
    )


def test_names_mails_and_notes_never_leave_restricted(home):
    _with_people(home)

    found = taken(home)

    assert not found.problems
    for folder in (home.raw, home.quarantine):
        for path in folder.rglob("*"):
            if path.suffix == ".parquet":
                assert CANARY not in str(pq.read_table(path).to_pydict())
            if path.is_file():
                assert CANARY.encode() not in path.read_bytes()
    assert CANARY not in str(found)
    schema = found.paths["candidates"][0]
    assert not {"full_name", "email"} & set(pq.read_schema(schema).names)


def test_what_is_restricted_is_for_its_owner_only(home):
    _with_people(home)
    taken(home)

    files = [path for path in home.restricted.rglob("*") if path.is_file()]

    assert stat.S_IMODE(home.restricted.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_pseudonyms_are_stable_and_need_the_key(home, tmp_path):
    _with_people(home)
    other = Home(tmp_path / "other")
    _with_people(other)

    first = values(taken(home), "interviewer_id", "scorecards")
    again = values(taken(home), "interviewer_id", "scorecards")
    elsewhere = values(taken(other), "interviewer_id", "scorecards")

    key = (home.restricted / "key").read_bytes()
    assert first == again == [pseudonym(key, "csv:I1")]
    assert elsewhere != first
    assert "I1" not in first[0]


def test_no_hash_in_raw_can_be_made_without_the_key(home, tmp_path):
    """An unkeyed hash of a short id is undone by trying all of them."""
    _with_people(home)
    other = Home(tmp_path / "other")
    _with_people(other)

    ours = set(values(taken(home), "_content", "candidates"))
    theirs = set(values(taken(other), "_content", "candidates"))

    assert not ours & theirs


def test_a_new_key_makes_raw_anew(home):
    _with_people(home)
    first = values(taken(home), "candidate_id")
    (home.restricted / "key").write_bytes(os.urandom(32))

    assert values(taken(home), "candidate_id") != first


def test_one_person_has_one_pseudonym_in_every_entity(home):
    _with_people(home)

    found = taken(home)

    assert set(values(found, "candidate_id")) <= set(
        values(found, "candidate_id", "candidates")
    )
    assert names(home, found.raw_files("interviewers")) == {
        values(found, "interviewer_id", "scorecards")[0]: f"{CANARY} Rater"
    }


# -- check --------------------------------------------------------------------------


def test_check_writes_nothing_and_proposes_mappings(home):
    put(home, "applications.csv", APPLICATIONS + "A3,C3,bad,active\n")
    put(
        home,
        "ratings.csv",
        "scorecard_id,competency,rating\nS1,coding,4\nS2,coding,strong_yes\n",
    )
    put(
        home,
        "stage_events.csv",
        "application_id,stage,entered_at\nA1,Phone Screen,2026-01-05\n",
    )
    before = _contents(home.root)

    report = check(home, Sources())

    assert _contents(home.root) == before
    assert report.proposals["csv"]["scale"] == {"4": 4.0, "strong_yes": None}
    assert report.proposals["csv"]["stages"] == {"Phone Screen": "phone_screen"}
    assert "not a timestamp" in report.to_text()
    assert json.dumps(report.to_json())


def test_check_names_the_inbox_of_the_home(home):
    report = check(home, Sources())

    assert report.problems[0].where == str(home.inbox)
    assert not home.root.exists()

"""Who sees what: no person for leaders, no small group for anybody."""

import re

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.landing.identity import names
from orchestration.publishing.generation import AUDIENCES
from orchestration.publishing.zones import NOT_ABOUT_PEOPLE, TABLES, ZONES
from orchestration.warehouse import DuckDBWarehouse

PSEUDONYM = re.compile(r"\bp_[0-9a-f]{32}\b")
PERSON_COLUMNS = {
    "interviewer_id", "interviewer_name", "candidate_id", "application_id",
    "scorecard_id", "employee_id",
}  # fmt: skip
ABOUT_PEOPLE = [
    (audience, table)
    for audience in AUDIENCES
    for table in ZONES[audience]
    if table not in NOT_ABOUT_PEOPLE
]
SMALLEST = 5


def _files(generation, audience):
    return sorted(generation.published(audience).glob("*.parquet"))


def _text(path):
    """Every text value of a Parquet file, in one string."""
    table = pq.read_table(path)
    return "\n".join(
        str(value)
        for column in table.columns
        if str(column.type) in ("string", "large_string")
        for value in column.to_pylist()
    )


def _rows(generation, audience, table):
    path = str(generation.published(audience) / f"{table}.parquet")
    return duckdb.read_parquet(path).to_arrow_table().to_pylist()


def _reported(generation, table):
    """The rows of the report behind a published table, by their labels."""
    spec = TABLES[table]
    labels = [name for name in spec.labels if name != "interviewer_name"]
    columns = ", ".join(f'"{name}"' for name in [*labels, "n"])
    with DuckDBWarehouse(generation.warehouse) as warehouse:
        rows = warehouse.read_arrow(f"select {columns} from {spec.report}")
    return {tuple(row[name] for name in labels): row["n"] for row in rows.to_pylist()}


def _named(home):
    delivered = sorted(home.raw.glob("*/interviewers/*.parquet"))
    return names(home, delivered).values()


def test_leaders_get_no_column_about_a_person(tiny):
    columns = {
        name
        for path in _files(tiny.generation, "leaders")
        for name in pq.read_schema(path).names
    }

    assert not columns & PERSON_COLUMNS


def test_leaders_get_no_value_that_is_a_pseudonym_or_a_name(tiny):
    people = set(_named(tiny.home))
    text = "\n".join(_text(path) for path in _files(tiny.generation, "leaders"))

    assert len(people) == 8
    assert not PSEUDONYM.search(text)
    assert not [person for person in people if person in text]


def test_the_committee_reads_interviewers_by_name(tiny):
    rows = _rows(tiny.generation, "committee", "interviewer_calibration")

    shown = {row["interviewer_name"] for row in rows}

    assert shown <= set(_named(tiny.home))
    assert len(shown) > 3


def test_no_pseudonym_of_a_candidate_is_published_to_anybody(tiny):
    with DuckDBWarehouse(tiny.generation.warehouse) as warehouse:
        found = warehouse.read_arrow("select candidate_id from staging.stg_candidates")
    candidates = set(found["candidate_id"].to_pylist())
    text = "\n".join(
        _text(path)
        for audience in AUDIENCES
        for path in _files(tiny.generation, audience)
    )

    assert len(candidates) > 100
    assert not candidates & set(PSEUDONYM.findall(text))


@pytest.mark.parametrize(("audience", "table"), ABOUT_PEOPLE)
def test_a_group_below_the_smallest_size_has_no_number(tiny, audience, table):
    spec = TABLES[table]
    labels = [name for name in spec.labels if name != "interviewer_name"]
    reported = _reported(tiny.generation, table)

    shown = {
        tuple(row[name] for name in labels): row
        for row in _rows(tiny.generation, audience, table)
    }

    small = [key for key, n in reported.items() if n and 0 < n < SMALLEST]
    hidden = [shown[key] for key in small if key in shown]
    for row in hidden:
        assert row["status"] == "suppressed"
        measures = ("n", "estimate", "ci_low", "ci_high", *spec.measures)
        assert [row[name] for name in measures if row[name] is not None] == []
    for row in shown.values():
        assert row["n"] is None or row["n"] == 0 or row["n"] >= SMALLEST


def test_the_tiny_company_has_small_groups_to_hide(tiny):
    hidden = [
        row
        for audience, table in ABOUT_PEOPLE
        for row in _rows(tiny.generation, audience, table)
        if row["status"] == "suppressed"
    ]

    assert len(hidden) > 50


def test_parity_is_published_for_closed_windows_only(tiny):
    rows = _rows(tiny.generation, "committee", "adverse_impact")

    assert rows
    assert all(row["is_closed"] for row in rows)


def test_small_counts_about_the_whole_company_are_hidden_too(tiny):
    (row,) = _rows(tiny.generation, "leaders", "generation")

    assert row["n_applications"] == 200
    assert row["smallest_group_size"] == SMALLEST


def test_groups_of_two_attributes_are_computed_and_not_published(tiny):
    rows = _rows(tiny.generation, "committee", "adverse_impact")
    spec = TABLES["adverse_impact"]
    place = spec.labels.index("attribute")

    computed = {key[place] for key in _reported(tiny.generation, "adverse_impact")}

    assert "intersection" in computed
    assert {row["attribute"] for row in rows} == computed - {"intersection"}


def test_the_bias_audit_counts_as_the_published_table_does(tiny, calibrant, tmp_path):
    told = calibrant("ll144", "--to", tmp_path, "--format", "csv", home=tiny.home)

    assert told.code == 0
    audited = duckdb.read_csv(str(tmp_path / "ll144_sex.csv")).to_arrow_table()
    of_sex = {
        (row["step"], row["sex"]): (
            row["n_applicants"],
            row["n_selected_or_above_median"],
        )
        for row in audited.to_pylist()
        if row["rate_kind"] == "selection"
    }
    with DuckDBWarehouse(tiny.generation.warehouse) as warehouse:
        reported = warehouse.read_arrow(
            "select stage, group_value, n, selected from reports.rpt_adverse_impact"
            " where window_id = (select max_by(window_id, window_end)"
            " from marts.dim_windows where window_kind = 'year' and is_closed)"
            " and attribute = 'sex' and role_family = 'all'"
        ).to_pylist()
    assert of_sex == {
        (row["stage"], row["group_value"]): (row["n"], row["selected"])
        for row in reported
    }

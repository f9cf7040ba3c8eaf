"""The command on a home with a generation: status, explain, export, doctor."""

import csv
import json
import shutil

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.publishing.generation import AUDIENCES, current_generation
from orchestration.publishing.zones import ZONES


def test_status_says_what_readers_see(tiny, calibrant):
    told = calibrant("status", "--json", home=tiny.home)

    about = json.loads(told.out)
    assert told.code == 0
    assert about["generation"] == tiny.generation.id
    assert about["as_of"] == tiny.generation.as_of.isoformat()
    assert about["input"] == "18 files, 6,002 rows"
    assert about["quarantine"] == "0 rows refused at landing, 0 set aside"
    assert about["sites"] == "not built"
    assert about["running"] == "no run"
    for gate in ("raw", "marts", "reports", "recommendations"):
        assert f"{gate} passed" in about["gates"]


def test_a_run_is_summed_up_for_a_machine(tiny, calibrant):
    told = calibrant("run", "--no-sites", "--json", home=tiny.home)

    summary = json.loads(told.out)
    assert summary["success"] is True
    assert summary["generation"] == tiny.generation.id
    assert len(summary["headlines"]) > 3


def test_explain_gives_definition_and_unit_of_a_column(tiny, calibrant):
    told = calibrant("explain", "rpt_funnel.km_median_days")

    assert told.code == 0
    assert "median" in told.text.lower()
    assert "days" in told.text.lower()


def test_explain_gives_grain_and_every_column_of_a_table(tiny, calibrant):
    told = calibrant("explain", "funnel", "--json")

    model = json.loads(told.out)
    assert model["description"].startswith("One row per")
    assert {"entered", "advanced", "ci_low"} <= set(model["columns"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [("rpt_funel", "rpt_funnel"), ("rpt_funnel.km_medain", "km_median_days")],
)
def test_explain_of_an_unknown_name_suggests_the_known_ones(
    tiny, calibrant, name, hint
):
    told = calibrant("explain", name)

    assert told.code == 2
    assert hint in told.text


def test_export_of_an_unknown_table_suggests_the_known_ones(tiny, calibrant, tmp_path):
    told = calibrant("export", "funel", "--to", tmp_path / "out", home=tiny.home)

    assert told.code == 2
    assert "funnel" in told.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("audience", AUDIENCES)
def test_export_writes_every_table_of_the_audience_and_no_other(
    tiny, calibrant, tmp_path, audience
):
    calibrant("export", "--audience", audience, "--to", tmp_path, home=tiny.home)

    written = {path.stem.removeprefix(f"{audience}_") for path in tmp_path.iterdir()}
    assert written == {*ZONES[audience], "gates", "generation", "definitions"}


def test_an_export_has_the_published_rows(tiny, calibrant, tmp_path):
    calibrant("export", "funnel", "--to", tmp_path, home=tiny.home)

    with (tmp_path / "leaders_funnel.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    published = pq.read_table(tiny.generation.published("leaders") / "funnel.parquet")
    assert len(rows) == published.num_rows
    assert list(rows[0]) == published.column_names


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_text_that_a_spreadsheet_would_run_is_exported_as_text(
    copy, calibrant, tmp_path, form
):
    folder = current_generation(copy).published("leaders")
    texts = ["=cmd|' /C calc'!A0", "+1", "-1", "@sum", "plain", None, "a=b"]
    table = pa.table({"stage": texts, "n": [1, 2, 3, 4, 5, 6, 7]})
    pq.write_table(table, folder / "funnel.parquet")

    calibrant("export", "funnel", "--format", form, "--to", tmp_path, home=copy)

    path = tmp_path / f"leaders_funnel.{form}"
    if form == "csv":
        with path.open(newline="") as file:
            shown = [row["stage"] for row in csv.DictReader(file)]
    else:
        cells = list(openpyxl.load_workbook(path).active["A"])[1:]
        assert "f" not in {cell.data_type for cell in cells}
        shown = [cell.value or "" for cell in cells]
    assert shown == [
        "'=cmd|' /C calc'!A0", "'+1", "'-1", "'@sum", "plain", "", "a=b",
    ]  # fmt: skip


def test_negative_numbers_stay_numbers_in_an_export(copy, calibrant, tmp_path):
    folder = current_generation(copy).published("leaders")
    pq.write_table(pa.table({"backlog_growth": [-1.5]}), folder / "funnel.parquet")

    calibrant("export", "funnel", "--to", tmp_path, home=copy)

    text = (tmp_path / "leaders_funnel.csv").read_text()
    assert text.splitlines()[1] == "-1.5"


def test_doctor_finds_every_byte_as_published(tiny, calibrant):
    told = calibrant("doctor", "--json", home=tiny.home)

    found = {row["name"]: row for row in json.loads(told.out)}
    assert found["generation"]["level"] == "ok"
    assert tiny.generation.id in found["generation"]["found"]
    assert found["pools"]["level"] == "ok"


def test_doctor_finds_a_byte_that_was_changed(copy, calibrant):
    path = current_generation(copy).published("leaders") / "funnel.parquet"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"\0")

    told = calibrant("doctor", "--json", home=copy)

    found = {row["name"]: row for row in json.loads(told.out)}["generation"]
    assert told.code == 1
    assert found["level"] == "fault"
    assert "published/leaders/funnel.parquet" in found["found"]
    assert "calibrant run --rebuild" in found["cure"]


def test_serve_needs_the_sites_and_says_how_to_get_them(tiny, calibrant):
    told = calibrant("serve", home=tiny.home)

    assert told.code == 2
    assert "install Node 20 and run `calibrant run`" in told.text


def test_a_pointer_to_a_generation_that_is_gone_is_no_generation(copy, calibrant):
    shutil.rmtree(copy.current.resolve())

    told = calibrant("status", home=copy)

    assert told.code == 2
    assert "has no generation yet" in told.text

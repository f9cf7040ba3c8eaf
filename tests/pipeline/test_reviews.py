"""Reviews come from any export, on their own scale, and nothing of them is guessed."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from orchestration.landing import check
from orchestration.settings import Home, Policy, Settings, SourceConfig, Sources
from orchestration.sources import SourceError, reviews
from orchestration.sources.connector import SyncReport, connector, sync

pytestmark = pytest.mark.pipeline
NAME = "Canary-7f3a"
COMMENT = "free-text-canary-91c2"
BASIC = {
    "Person": "employee_id",
    "Mail": "work_email",
    "Name": "full_name",
    "Start": "hired_on",
    "End": "left_on",
    "Cycle": "cycle",
    "On": "reviewed_on",
    "Score": "rating",
    "=1": "rating_min",
    "=5": "rating_max",
}
ROW = {
    "Person": "0071",
    "Mail": f"{NAME}@x.example",
    "Name": NAME,
    "Start": "2025-01-07",
    "End": "",
    "Cycle": "2026-H1",
    "On": "2026-07-01",
    "Score": "4",
    "Comment": COMMENT,
}
# One row of each system, with the columns that its preset is known by.
EXPORTS: dict[str, dict[str, Any]] = {
    "lattice": {
        "Review cycle": "2026-H1", "Reviewee": NAME, "Reviewee email": "a@x.example",
        "Reviewer email": "b@x.example", "Relationship": "Manager",
        "Submitted at": "2026-07-01 10:00", "Rating": "4", "Response": COMMENT,
    },
    "workday": {
        "Employee ID": "7", "Worker": NAME, "Hire Date": "2025-01-07",
        "Review Template": "Year end", "Review Period Start Date": "2026-01-01",
        "Review Period End Date": "2026-06-30", "Completion Date": "2026-07-01",
        "Manager Overall Rating": "4", "Review Status": "Completed",
        "Manager Comment": COMMENT,
    },
    "bamboohr": {
        "Employee #": "7", "Employee Name": NAME, "Hire Date": "2025-01-07",
        "Review Cycle": "2026-H1", "Completed Date": "2026-07-01",
        "Manager Rating": "4", "Feedback": COMMENT,
    },
    "culture_amp": {
        "performanceCycleId": "c1", "managerReviewId": "r1", "employeeId": "7",
        "managerId": "9",
        "performanceRating": {
            "rating": {"value": 4, "title": COMMENT,
                       "createdAt": "2026-07-01T10:00:00Z"},
            "ratingBuckets": [{"title": COMMENT, "value": 4}],
        },
    },
    "fifteen_five": {
        "Employee Email": "a@x.example", "Employee Name": NAME, "Overall Score": "4",
        "Review Cycle": "2026-H1", "Review Cycle End Date": "2026-07-01",
    },
    "successfactors": {
        "formDataId": "f1", "formSubjectId": "7", "formTitle": "2026",
        "formLastModifiedDate": "/Date(1782900000000)/", "formDataStatus": "3",
        "rating": "4.0",
    },
    "unified": {
        "id": "r1", "user_id": "7", "reviewer_user_id": "9", "cycle_id": "c1",
        "type": "MANAGER", "status": "SUBMITTED", "rating": 4, "rating_maximum": 5,
        "submitted_at": "2026-07-01T10:00:00Z", "comment": COMMENT,
    },
}  # fmt: skip


@dataclass
class Office:
    """A home, and the folder that an HR system exports into."""

    home: Home
    folder: Path
    columns: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        made = {"kind": "reviews", "location": str(self.folder),
                "columns": self.columns}  # fmt: skip
        config = SourceConfig.model_validate({"connector": made, **self.about})
        return Settings(self.home, Sources(sources={"hris": config}), Policy(), {})

    def put(self, rows: list[dict[str, Any]], name: str = "reviews.jsonl") -> None:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        if path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".xlsx":
            book = openpyxl.Workbook()
            sheet = book.active
            assert sheet is not None
            sheet.append(["Performance report"])
            sheet.append([])
            sheet.append(list(rows[0]))
            for row in rows:
                sheet.append(list(row.values()))
            book.save(path)
        else:
            lines = [list(rows[0]), *(list(row.values()) for row in rows)]
            path.write_text("\n".join(",".join(map(str, one)) for one in lines))

    def sync(self) -> SyncReport:
        return sync(self.settings, "hris")

    def rows(self, entity: str = "performance_reviews") -> list[dict[str, Any]]:
        path = self.home.inbox / "hris" / f"{entity}.parquet"
        return pq.read_table(path).to_pylist() if path.exists() else []

    def one(self, entity: str = "performance_reviews") -> dict[str, Any]:
        (row,) = self.rows(entity)
        return row

    def access(self) -> list[Any]:
        return connector("hris", self.settings.sources.of("hris")).check()


@pytest.fixture
def office(scratch):
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Office(Home(Path(folder) / "home"), Path(folder) / "export", dict(BASIC))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "xlsx"])
def test_every_form_of_file_tells_the_same(office, form):
    office.put([ROW], f"reviews.{form}")

    office.sync()

    review, person = office.one(), office.one("employees")
    assert (review["employee_id"], review["rating"]) == ("0071", "4")
    assert (review["rating_min"], review["rating_max"]) == ("1", "5")
    assert (review["cycle"], review["reviewed_on"]) == ("2026-H1", "2026-07-01")
    assert (person["employee_id"], person["hired_on"]) == ("0071", "2025-01-07")
    assert person["work_email"] == ROW["Mail"]
    assert person["left_on"] is None


def test_a_single_file_is_a_location_too(office):
    office.put([ROW], "reviews.csv")
    office.folder = office.folder / "reviews.csv"

    office.sync()

    assert office.one()["rating"] == "4"


def test_what_is_delivered_lands_without_a_problem(office):
    office.put([{**ROW, "Person": str(n)} for n in range(12)])
    office.sync()
    # A run needs applications; they come from another source.
    others = office.home.inbox / "ats"
    others.mkdir()
    (others / "applications.csv").write_text(
        "application_id,candidate_id,applied_at,status\n1,1,2026-01-01,active\n"
    )

    report = check(office.home, office.settings.sources)

    assert not report.problems
    assert not report.quarantined


def test_the_same_export_twice_changes_no_file(office):
    office.put([ROW])
    office.sync()

    assert office.sync().files == []


def test_a_corrected_rating_keeps_the_id_of_its_review(office):
    office.put([ROW])
    office.sync()
    before = office.one()

    office.put([{**ROW, "Score": "3"}])
    office.sync()

    assert office.one()["review_id"] == before["review_id"]
    assert office.one()["rating"] == "3"


def test_comments_are_in_no_file_note_or_message(office, capfd):
    office.put([ROW], "reviews.csv")
    report = office.sync()
    told = report.to_text() + str(office.access()) + "".join(capfd.readouterr())

    for path in office.home.root.rglob("*.parquet"):
        assert COMMENT not in str(pq.read_table(path).to_pylist())
    assert COMMENT not in told
    assert NAME not in told


# -- columns ----------------------------------------------------------------------


@pytest.mark.parametrize("preset", EXPORTS)
def test_a_known_export_is_told_by_its_header_and_the_note_says_so(office, preset):
    office.columns = {"=1": "rating_min", "=5": "rating_max"}
    office.put([EXPORTS[preset]])

    report = office.sync()

    review = office.one()
    assert (review["rating"].removesuffix(".0"), review["rating_max"]) == ("4", "5")
    assert review["reviewed_on"] == "2026-07-01"
    assert f"reviews.jsonl: read by preset {preset}" in report.notes
    assert COMMENT not in str(office.rows() + office.rows("employees"))


def test_presets_are_told_apart_by_their_headers():
    presets = yaml.safe_load(Path(reviews.__file__).with_suffix(".yaml").read_text())
    assert set(presets["presets"]) == set(EXPORTS)

    for name, about in presets["presets"].items():
        targets = ",".join(about["columns"].values()).split(",")
        assert set(targets) <= reviews._TARGETS, name


def test_a_preset_that_is_named_is_taken_and_may_be_overridden(office):
    office.columns = {
        "preset": "workday",
        "Talent Rating": "rating.calibrated",
        "Overall": "only=yes",
        "=1": "rating_min",
        "=5": "rating_max",
    }
    row = {**EXPORTS["workday"], "Talent Rating": "5", "Overall": "yes"}
    office.put([row, {**row, "Overall": "no"}])

    report = office.sync()

    assert {r["kind"]: r["rating"] for r in office.rows()} == {
        "manager": "4",
        "calibrated": "5",
    }
    assert any("1 rows that `only=`" in note for note in report.notes)


def test_a_preset_that_is_not_there_is_an_error_that_names_the_likely_one(office):
    office.columns = {"preset": "latice"}
    office.put([ROW])

    with pytest.raises(SourceError, match="the nearest is `lattice`"):
        office.sync()


def test_a_header_that_no_preset_fits_is_an_error_that_shows_it(office):
    office.columns = {}
    office.put([ROW])

    with pytest.raises(SourceError, match=r"no preset fits.*Person, Mail") as told:
        office.sync()

    assert NAME not in str(told.value)


def test_a_column_that_is_not_there_is_an_error_that_names_the_likely_one(office):
    office.columns["Scores"] = "rating.self"
    office.put([ROW])

    with pytest.raises(SourceError, match=r"`Scores` .the nearest is `Score`"):
        office.sync()


def test_a_target_that_is_not_there_is_an_error_that_names_the_likely_one(office):
    office.columns["Score"] = "ratings"
    office.put([ROW])

    with pytest.raises(SourceError, match=r"ratings is no column here .*`rating`"):
        office.sync()


def test_what_a_review_needs_is_asked_for_with_the_likely_column(office):
    del office.columns["Cycle"]
    office.put([ROW])

    with pytest.raises(SourceError, match=r"mapped to cycle .the nearest is `Cycle`"):
        office.sync()


def test_what_is_the_same_in_all_rows_is_declared_once(office):
    del office.columns["Cycle"]
    office.columns["=2026-H2"] = "cycle"
    office.put([ROW])

    office.sync()

    assert office.one()["cycle"] == "2026-H2"


def test_a_wide_export_is_one_review_for_each_kind(office):
    del office.columns["Score"]
    kinds = {"Self": "self", "Manager": "manager", "Peers": "peer",
             "Final": "calibrated"}  # fmt: skip
    office.columns |= {column: f"rating.{kind}" for column, kind in kinds.items()}
    office.put([{**ROW, "Self": 5, "Manager": 4, "Peers": "", "Final": 3}])

    report = office.sync()

    assert {r["kind"]: r["rating"] for r in office.rows()} == {
        "self": "5", "manager": "4", "calibrated": "3",
    }  # fmt: skip
    assert len({r["review_id"] for r in office.rows()}) == 3
    assert any("1 ratings that are empty" in note for note in report.notes)


def test_a_roster_and_reviews_may_be_files_of_their_own(office):
    columns = ("Person", "Mail", "Name", "Start", "End")
    office.put([{name: ROW[name] for name in columns}], "people.csv")
    office.put([{"Person": "0071", "Cycle": "c", "On": "2026-07-01", "Score": "2"}])

    office.sync()

    assert office.one()["rating"] == "2"
    assert office.one("employees")["full_name"] == NAME


def test_who_is_known_by_e_mail_only_gets_an_id_without_it(office):
    del office.columns["Person"]
    office.columns["Boss"] = "reviewer_email"
    office.put([{**ROW, "Boss": f"Boss-{NAME}@x.example"}])

    office.sync()

    review = office.one()
    assert review["employee_id"] == office.one("employees")["employee_id"]
    assert NAME.lower() not in str(review).lower()
    assert review["reviewer_id"].startswith("email-")


def test_an_employee_is_as_the_latest_review_tells(office):
    left = {**ROW, "End": "2026-08-01", "On": "2026-09-01", "Mail": "new@x.example"}
    office.put([left, ROW])

    office.sync()

    person = office.one("employees")
    assert (person["left_on"], person["work_email"]) == ("2026-08-01", "new@x.example")


# -- scales and states ------------------------------------------------------------


def test_words_are_levels_of_the_declared_scale(office):
    for name in ("=1", "=5"):
        del office.columns[name]
    office.about = {"scale": {"Below": 1, "Meets": 2, "Exceeds": 3}}
    office.put([{**ROW, "Score": "Exceeds"}])

    office.sync()

    row = office.one()
    assert (row["rating"], row["rating_min"], row["rating_max"]) == ("3", "1", "3")


def test_words_that_no_scale_knows_are_left_out_and_counted(office):
    rows = [{**ROW, "Person": str(n), "Score": "Exceeds"} for n in range(6)]
    office.put([*rows, ROW, {**ROW, "Person": "9", "Score": f"{COMMENT} once"}])

    report = office.sync()

    assert office.one()["rating"] == "4"
    (note,) = [one for one in report.notes if one.startswith("unmapped")]
    assert "7 ratings" in note
    assert "`Exceeds`" in note
    assert COMMENT not in note


def test_a_percentage_is_out_of_a_hundred(office):
    office.put([{**ROW, "Score": "85%"}])

    office.sync()

    row = office.one()
    assert (row["rating"], row["rating_min"], row["rating_max"]) == ("85", "0", "100")


def test_a_percentage_of_a_spreadsheet_is_what_it_shows(office):
    office.put([{**ROW, "Score": 0.85}], "reviews.xlsx")
    path = office.folder / "reviews.xlsx"
    book = openpyxl.load_workbook(path)
    book.active["H4"].number_format = "0%"
    book.save(path)

    office.sync()

    assert office.one()["rating"] == "85"


def test_a_scale_that_nothing_tells_is_asked_for_and_not_guessed(office):
    del office.columns["=5"]
    office.put([ROW])

    with pytest.raises(SourceError, match="nothing tells rating_max"):
        office.sync()


def test_a_rating_outside_its_scale_passes_on_to_landing(office):
    office.put([{**ROW, "Score": "7"}])

    office.sync()

    assert office.one()["rating"] == "7"


@pytest.mark.parametrize("status", ["DRAFT", "IN_PROGRESS", "Not started"])
def test_an_incomplete_review_is_left_out_and_counted(office, status):
    office.columns["Status"] = "status"
    office.put([{**ROW, "Status": status}, {**ROW, "Person": "2", "Status": "SHARED"}])

    report = office.sync()

    assert office.one()["employee_id"] == "2"
    assert "1 reviews that are not complete, left out" in report.notes


def test_an_unknown_status_is_delivered_and_noted(office):
    office.columns["Status"] = "status"
    office.put([{**ROW, "Status": "Fertig"}])

    report = office.sync()

    assert office.one()["rating"] == "4"
    assert any("status that is not known" in note for note in report.notes)


@pytest.mark.parametrize(
    ("spelled", "kind"),
    [("SELF", "self"), ("Manager review", "manager"), ("Peer", "peer"), ("", None)],
)
def test_a_kind_is_told_by_its_word(office, spelled, kind):
    office.columns["Type"] = "kind"
    office.put([{**ROW, "Type": spelled}])

    office.sync()

    assert office.one()["kind"] == kind


def test_reviews_of_managers_by_their_reports_are_left_out(office):
    office.columns["Type"] = "kind"
    office.put([{**ROW, "Type": "UPWARD"}, {**ROW, "Person": "2", "Type": "SELF"}])

    report = office.sync()

    assert office.one()["kind"] == "self"
    assert "1 reviews of a kind that is not known, left out" in report.notes


def test_a_review_told_by_question_is_left_out_until_one_is_named(office):
    row = {**ROW, "Question": "Overall"}
    office.put([row, {**row, "Question": "Teamwork", "Score": "2"}])

    report = office.sync()
    assert office.rows() == []
    assert any("2 rows that give one review several" in note for note in report.notes)

    office.columns["Question"] = "only=Overall"
    office.sync()
    assert office.one()["rating"] == "4"


def test_peers_without_a_name_are_each_a_review(office):
    office.columns["Score"] = "rating.peer"
    office.put([{**ROW, "Score": score} for score in ("4", "4", "2")])

    office.sync()

    assert sorted(row["rating"] for row in office.rows()) == ["2", "4", "4"]
    assert len({row["review_id"] for row in office.rows()}) == 3


def test_typed_dates_are_written_as_the_source_writes_dates(office):
    office.about = {"date_format": "%d.%m.%Y"}
    office.put([{**ROW, "On": "2026-07-01", "Start": "07.01.2025"}])

    office.sync()

    assert office.one()["reviewed_on"] == "01.07.2026"
    assert office.one("employees")["hired_on"] == "07.01.2025"


# -- check ------------------------------------------------------------------------


def test_check_says_what_is_there_and_what_is_missing(office):
    del office.columns["Start"]
    office.put([ROW, {**ROW, "Person": "2", "Score": "good"}])

    access = {one.resource: one for one in office.access()}

    assert "2 rows by columns, 1 reviews" in access["reviews.jsonl"].found
    assert access["performance_reviews"].found == "1 reviews"
    assert access["employees"].level == "warning"
    assert "hired_on" in access["employees"].cure
    assert NAME not in str(access)


def test_check_of_a_folder_that_is_not_there_is_a_fault(office):
    (access,) = office.access()

    assert access.level == "fault"


def test_a_broken_file_is_an_error_that_repeats_none_of_it(office):
    office.put([ROW])
    (office.folder / "reviews.jsonl").write_text(f'{{"Person": "{NAME}"')

    with pytest.raises(SourceError, match=r"reviews.jsonl cannot be read") as told:
        office.sync()

    assert NAME not in str(told.value)

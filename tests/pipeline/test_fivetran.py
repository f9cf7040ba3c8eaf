"""A copy that Fivetran keeps comes out as the service itself does."""

import builtins
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.landing import check
from orchestration.settings import Home, Policy, Settings, SourceConfig, Sources
from orchestration.sources import SourceError
from orchestration.sources.connector import SyncReport, connector, sync
from tests.fakes.fivetran import (
    SYNCED,
    Tables,
    greenhouse_tables,
    greenhouse_v1_tables,
    lever_tables,
    write,
)
from tests.fakes.greenhouse import ADMIN, CLIENT, SECRET, FakeGreenhouse
from tests.fakes.lever import FREE_TEXT, KEY, NAME, FakeLever

pytestmark = pytest.mark.pipeline
PASSWORD = "canary-password-5c1d"  # noqa: S105
PHONE = {"Phone screen scheduled": "phone_screen", "Phone screen done": "phone_screen"}
FIELDS = {
    f"{form}/{place}": competency
    for form in ("System design", "Coding")
    for place, competency in (
        ("1", "Depth"), ("2", "Breadth"), ("3/0", "RAG"), ("3/1", "Evaluation"),
        ("5", "Depth"),
    )
}  # fmt: skip
# Said twice: of the template, and of the title that forms without one have too.
FIELDS["t-system/1"] = "Depth"
# What the copies leave out, or tell otherwise: column by column.
LEVER_DIFFERS = {
    # No forms that are not filled, no questions, comments or corrections of forms, and
    # no time of sending.
    "interviews": {"round"},
    "scorecards": {"rubric_version", "updated_at"},
    "ratings": {"has_evidence", "updated_at"},
    "offers": {"extended_at", "resolved_at", "starts_on"},
}
GREENHOUSE_DIFFERS = {
    "interviewers": {"full_name", "department", "is_bar_raiser"},
    "scorecards": {"rubric_version"},
}
V1_DIFFERS = {
    "interviewers": {"full_name", "department", "is_bar_raiser"},
    "interview_panel": {"attended"},
    "scorecards": {"rubric_version", "rubric_id", "round"},
    "stage_events": {"visit_id"},
}

Row = dict[str, Any]


@dataclass
class Copy:
    """A home, and the copy that it is filled from."""

    home: Home
    kind: str
    location: str
    about: Row = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        made = {"kind": self.kind, "location": self.location, **self.about}
        stages = PHONE if self.kind == "fivetran_lever" else {}
        config = SourceConfig.model_validate({"connector": made, "stages": stages})
        return Settings(self.home, Sources(sources={"copy": config}), Policy(), {})

    def sync(self) -> SyncReport:
        return sync(self.settings, "copy")

    def rows(self, entity: str, **where: Any) -> list[Row]:
        rows = delivered(self.home, "copy").get(entity, [])
        return [r for r in rows if all(r[k] == v for k, v in where.items())]

    def access(self) -> dict[str, Any]:
        reader = connector("copy", self.settings.sources.of("copy"))
        return {one.resource: one for one in reader.check()}


def delivered(home: Home, source: str) -> dict[str, list[Row]]:
    folder = home.inbox / source
    return {path.stem: pq.read_table(path).to_pylist() for path in folder.iterdir()}


def without(rows: list[Row], columns: set[str]) -> list[Row]:
    kept = [{k: v for k, v in row.items() if k not in columns} for row in rows]
    return sorted(kept, key=lambda row: str(sorted(row.items(), key=str)))


@dataclass(frozen=True)
class Both:
    """What a service itself delivers, and its tables as Fivetran keeps them."""

    itself: dict[str, list[Row]]
    tables: dict[str, Tables]


@pytest.fixture(scope="module")
def both(scratch: Path) -> Both:
    os.environ |= {"LEVER_KEY": KEY, "GH_CLIENT": CLIENT, "GH_SECRET": SECRET}
    home = Home(scratch / "both")
    with FakeLever() as lever, FakeGreenhouse() as greenhouse:
        configs = {
            "lever": {
                "kind": "lever",
                "base_url": f"{lever.url}/v1",
                "credentials": {"api_key": "env:LEVER_KEY"},
            },
            "greenhouse": {
                "kind": "greenhouse",
                "base_url": f"{greenhouse.url}/v3",
                "token_url": f"{greenhouse.url}/token",
                "subject": ADMIN,
                "credentials": {
                    "client_id": "env:GH_CLIENT",
                    "client_secret": "env:GH_SECRET",
                },
            },
        }
        sources = {
            name: SourceConfig.model_validate(
                {"connector": config, "stages": PHONE if name == "lever" else {}}
            )
            for name, config in configs.items()
        }
        settings = Settings(home, Sources(sources=sources), Policy(), {})
        for name in sources:
            sync(settings, name)
        tables = {
            "lever": lever_tables(lever),
            "v3": greenhouse_tables(greenhouse),
            "v1": greenhouse_v1_tables(greenhouse),
        }
    return Both({name: delivered(home, name) for name in sources}, tables)


@pytest.fixture(scope="module")
def quiet(both: Both, scratch: Path) -> dict[str, Copy]:
    """Each copy after one sync; tests only read them."""
    made = {}
    for which, tables in both.tables.items():
        kind = "fivetran_lever" if which == "lever" else "fivetran_greenhouse"
        about = {"columns": FIELDS} if which == "lever" else {}
        folder = write(scratch / f"quiet-tables-{which}", tables)
        home = Home(scratch / f"quiet-{which}")
        made[which] = Copy(home, kind, str(folder), about)
        made[which].notes = made[which].sync().notes
    return made


@pytest.fixture
def root(scratch: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@pytest.fixture
def copy(both: Both, root: Path) -> Callable[..., Copy]:
    """Make a copy whose tables a test may change before they are written."""

    def made(
        which: str,
        change: Callable[[Tables], Any] = lambda tables: None,
        *,
        upper: bool = False,
        **about: Any,
    ) -> Copy:
        tables = {k: [dict(row) for row in v] for k, v in both.tables[which].items()}
        change(tables)
        kind = "fivetran_lever" if which == "lever" else "fivetran_greenhouse"
        folder = write(root / f"tables-{which}", tables, upper=upper)
        if which == "lever":
            about.setdefault("columns", FIELDS)
        return Copy(Home(root / "home"), kind, str(folder), about)

    return made


def one(rows: list[Row], id_: Any) -> Row:
    (row,) = [row for row in rows if row["id"] == id_]
    return row


# -- one translation for both ways in ----------------------------------------------


@pytest.mark.parametrize(
    ("which", "differs"),
    [("lever", LEVER_DIFFERS), ("v3", GREENHOUSE_DIFFERS), ("v1", V1_DIFFERS)],
)
def test_a_copy_delivers_what_the_service_itself_delivers(both, quiet, which, differs):
    itself = both.itself["lever" if which == "lever" else "greenhouse"]
    there = delivered(quiet[which].home, "copy")
    for entity, rows in itself.items():
        if entity in ("demographics", "stage_events", "stages", "offers"):
            continue
        columns = differs.get(entity, set())
        assert without(there[entity], columns) == without(rows, columns), entity
    # Self-identification of the surveys, and visits without a time, are in no copy.
    columns = differs.get("stage_events", set())
    timed = [row for row in itself["stage_events"] if row["entered_at"]]
    if which == "v1":
        timed = [row for row in timed if row["entered_at_quality"] == "exact"]
    for row in without(timed, columns):
        assert row in without(there["stage_events"], columns)


def test_stages_come_in_the_order_of_the_service(both, quiet):
    for which, service in (("lever", "lever"), ("v3", "greenhouse")):
        assert quiet[which].rows("stages") == both.itself[service]["stages"]


@pytest.mark.parametrize("which", ["lever", "v3", "v1"])
def test_what_is_delivered_lands_without_a_problem(quiet, which):
    made = quiet[which]

    report = check(made.home, made.settings.sources)

    assert not report.problems
    assert not report.quarantined


@pytest.mark.parametrize("which", ["lever", "v3", "v1"])
def test_relations_have_the_columns_of_the_service_s_own_reader(quiet, which):
    made = quiet[which]
    reader = connector("copy", made.settings.sources.of("copy"))

    with duckdb.connect() as bench:
        bench.execute("set timezone = 'UTC'")
        reader.relations(bench, None)
        for stream in reader.copied:
            columns = {row[0] for row in bench.execute(f"describe {stream.name}")
                       .fetchall()}  # fmt: skip
            assert columns == {"id", "parent", *stream.kept}, stream.name


@pytest.mark.parametrize("which", ["lever", "v3", "v1"])
def test_no_free_text_is_kept_anywhere(copy, which, capfd):
    made = copy(which)

    told = made.sync().to_text() + str(made.access()) + "".join(capfd.readouterr())

    for path in made.home.root.rglob("*"):
        if path.is_file():
            content = (
                str(pq.read_table(path).to_pylist())
                if path.suffix == ".parquet"
                else path.read_bytes().decode("utf-8", "replace")
            )
            assert FREE_TEXT not in content, path
            if NAME.lower() in content.lower():
                assert path.stem in ("candidates", "interviewers")
    assert FREE_TEXT not in told
    assert NAME not in told


# -- where tables lie ----------------------------------------------------------------


def test_upper_case_files_are_the_same_tables(copy):
    made = copy("lever", upper=True)

    made.sync()

    assert len(made.rows("applications")) == 19


def test_a_copy_that_has_not_changed_changes_no_file(copy):
    made = copy("v3")
    made.sync()

    assert made.sync().files == []


def _database(made: Copy, root: Path, schema: str = "lever") -> Path:
    """The files of a copy as tables with types, in a DuckDB file."""
    path = root / "warehouse.duckdb"
    with duckdb.connect(str(path)) as warehouse:
        warehouse.execute(f"create schema {schema}")
        for file in sorted(Path(made.location).iterdir()):
            warehouse.execute(
                f"create table {schema}.{file.stem} as select * from read_csv('{file}')"
            )
    return path


def _same(made: Copy, change: Callable[[], None]) -> None:
    made.sync()
    before = delivered(made.home, "copy")
    change()
    made.sync()
    assert delivered(made.home, "copy") == before


@pytest.mark.parametrize("which", ["lever", "v3", "v1"])
def test_a_duckdb_file_tells_the_same_as_files(copy, root, which):
    def typed(tables: Tables) -> None:
        # A column of a database cannot hold both days and times.
        rows = tables.get("scheduled_interview", [])
        tables |= {"scheduled_interview": [r for r in rows if len(r["start"]) > 10]}

    made = copy(which, typed)
    path = _database(made, root)

    _same(made, lambda: setattr(made, "location", str(path)))


def test_parquet_files_tell_the_same_as_csv(copy, root):
    made = copy("v3")
    folder = root / "parquet"
    folder.mkdir()
    for file in Path(made.location).iterdir():
        duckdb.sql(f"copy (from read_csv('{file}')) to"
                   f" '{folder / file.stem.upper()}.parquet'")  # fmt: skip

    _same(made, lambda: setattr(made, "location", str(folder)))


def test_the_schema_is_found_or_asked_for(copy, root):
    made = copy("lever")
    made.location = str(_database(made, root, "fivetran_lever"))
    made.sync()
    with duckdb.connect(made.location) as warehouse:
        warehouse.execute("create schema other")
        warehouse.execute("create table other.opportunity as select 1 as id")

    with pytest.raises(SourceError, match="database_schema: NAME"):
        made.sync()
    made.about["database_schema"] = "fivetran_levr"
    with pytest.raises(SourceError, match=r"nearest is fivetran_lever"):
        made.sync()
    made.about["database_schema"] = "FIVETRAN_LEVER"
    made.sync()


@pytest.fixture(scope="module")
def postgres(scratch: Path) -> Iterator[str]:
    """The address of a Postgres server that asks for a password."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [None]
    binaries = found[-1] or Path(shutil.which("initdb") or "/none").parent
    if not (binaries / "initdb").is_file():
        pytest.skip("no Postgres here")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    as_user = []
    if os.geteuid() == 0:
        if not shutil.which("runuser"):
            pytest.skip("Postgres does not run as root")
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    (folder / "word").write_text(PASSWORD)
    (folder / "word").chmod(0o644)

    def run(*words: str) -> None:
        subprocess.run([*as_user, *words], check=True, capture_output=True, cwd="/")

    data = folder / "data"
    run(str(binaries / "initdb"), "-D", str(data), "-U", "reader", "-A",
        "scram-sha-256", f"--pwfile={folder / 'word'}", "-N")  # fmt: skip
    server = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    port = str(20_000 + os.getpid() % 20_000)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(*server, "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://reader@127.0.0.1:{port}/postgres"
    finally:
        run(*server, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_postgres_tells_the_same_as_files(copy, root, postgres, monkeypatch):
    psycopg = pytest.importorskip("psycopg")
    made = copy("lever")
    path = _database(made, root)
    monkeypatch.setenv("PG_WORD", PASSWORD)
    with (
        psycopg.connect(postgres, password=PASSWORD) as session,
        duckdb.connect(str(path)) as warehouse,
    ):
        session.execute("set time zone 'America/New_York'")
        session.execute("create schema lever")
        for (table,) in warehouse.execute(
            "select table_name from duckdb_tables()"
        ).fetchall():
            described = warehouse.execute(f"describe lever.{table}").fetchall()
            columns = ", ".join(
                f'"{name}" {"timestamptz" if kind == "TIMESTAMP" else "text"}'
                for name, kind, *_ in described
            )
            session.execute(f"create table lever.{table} ({columns})")
            for row in warehouse.execute(f"from lever.{table}").fetchall():
                values = [
                    None if value is None else f"{value}{'Z' * ('TIME' in kind)}"
                    for value, (_, kind, *_) in zip(row, described, strict=True)
                ]
                marks = ", ".join(["%s"] * len(values))
                session.execute(f"insert into lever.{table} values ({marks})", values)

    def moved() -> None:
        made.location = postgres
        made.about["credentials"] = {"password": "env:PG_WORD"}

    _same(made, moved)

    monkeypatch.setenv("PG_WORD", "wrong-word-canary")
    with pytest.raises(SourceError, match="refused the user or the password") as told:
        made.sync()
    assert "wrong-word-canary" not in str(told.value)


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://reader:{PASSWORD}@host/db",
        f"postgresql://reader@host/db?password={PASSWORD}",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(root, address):
    made = Copy(Home(root), "fivetran_lever", address)

    with pytest.raises(SourceError, match="location holds a password") as told:
        made.sync()

    assert PASSWORD not in str(told.value)
    assert PASSWORD not in str(made.access())


def test_without_the_package_for_postgres_the_message_says_what_to_install(
    root, monkeypatch
):
    real = builtins.__import__

    def absent(name: str, *about: Any, **more: Any) -> Any:
        if name == "psycopg":
            raise ImportError
        return real(name, *about, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    made = Copy(Home(root), "fivetran_lever", "postgresql://reader@host/db")

    with pytest.raises(SourceError, match=r"pip install 'calibrant\[postgres\]'"):
        made.sync()


def test_a_location_that_is_nothing_is_an_error_that_says_what_it_may_be(root):
    made = Copy(Home(root), "fivetran_lever", str(root / "nothing"))

    with pytest.raises(SourceError, match="neither a folder, nor a DuckDB file"):
        made.sync()


# -- what is missing -----------------------------------------------------------------


def test_a_required_table_is_named_with_the_likely_one(copy):
    made = copy("lever", lambda t: t.update(archive_reasons=t.pop("archive_reason")))

    with pytest.raises(SourceError) as told:
        made.sync()

    assert "archive_reason: no table archive_reason" in str(told.value)
    assert "the nearest is archive_reasons.csv" in str(told.value)


def test_a_required_column_is_named_with_its_table_and_the_likely_one(copy):
    def rename(tables: Tables) -> None:
        for row in tables["application"]:
            row["postng_id"] = row.pop("posting_id")

    made = copy("lever", rename)

    with pytest.raises(
        SourceError, match=r"application.csv has no column posting_id"
    ) as told:
        made.sync()

    assert "(the nearest is postng_id)" in str(told.value)


def test_all_that_is_missing_is_told_at_once(copy):
    made = copy("v3", lambda t: (t.pop("job"), t.pop("job_interview_stage")))

    with pytest.raises(SourceError) as told:
        made.sync()

    assert "job: no table job" in str(told.value)
    assert "job_interview_stage: no table" in str(told.value)


def test_a_table_that_is_not_synced_is_noted_with_what_it_costs(copy):
    made = copy("lever", lambda t: [t.pop(name) for name in ("offer", "feedback_form")])

    report = made.sync()

    assert made.rows("offers") == made.rows("scorecards") == []
    assert len(made.rows("applications")) == 19
    notes = "\n".join(report.notes)
    assert "offer: no table offer" in notes
    assert "Without it there are no offers" in notes
    assert "Without it there are no scorecards" in notes


def test_an_empty_main_table_is_a_sync_of_fivetran_s_and_not_an_empty_account(copy):
    made = copy("lever")
    made.sync()
    before = delivered(made.home, "copy")
    path = Path(made.location) / "opportunity.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")

    with pytest.raises(SourceError, match="syncs a table anew"):
        made.sync()

    assert delivered(made.home, "copy") == before
    assert made.access()["opportunity"].level == "fault"


def test_check_counts_rows_and_tells_costs(copy):
    def less(tables: Tables) -> None:
        tables.pop("offer")
        for row in tables["opportunity"]:
            del row["origin"]

    access = copy("lever", less, columns={}).access()

    assert access["opportunity"].level == "warning"
    assert f"19 rows, synced until {SYNCED}" in access["opportunity"].found
    assert "no column origin" in access["opportunity"].found
    assert access["application"].found == "18 rows"
    assert access["offer"].level == "warning"
    assert "there are no offers" in access["offer"].cure
    assert access["ratings of competencies"].level == "warning"


def test_check_of_a_required_table_that_is_missing_is_a_fault(copy):
    made = copy("v3", lambda t: t.pop("job"))

    access = made.access()

    assert access["job"].level == "fault"
    assert access["application"].level == "ok"


def test_self_identification_is_not_read_where_it_is_off(copy):
    made = copy("v3", demographics=False)

    made.sync()

    assert made.rows("demographics") == []
    assert "switched off" in made.access()["eeoc"].found


# -- rows ------------------------------------------------------------------------------


def test_deleted_rows_are_gone_and_leave_nothing_behind(copy):
    made = copy("v3", lambda t: one(t["application"], 9001).update(
        _fivetran_deleted=True))  # fmt: skip

    made.sync()

    for entity, rows in delivered(made.home, "copy").items():
        if entity != "candidates" and rows and "application_id" in rows[0]:
            assert all(row["application_id"] != "9001" for row in rows), entity
    assert not made.rows("ratings", scorecard_id="4401")


def test_a_deleted_label_still_names_what_refers_to_it(copy):
    def delete(tables: Tables) -> None:
        for row in tables["archive_reason"] + tables["stage"]:
            row["_fivetran_deleted"] = True

    made = copy("lever", delete)

    made.sync()

    (row,) = made.rows("applications", application_id="o-hired")
    assert row["status"] == "hired"
    assert not made.rows("stage_events", stage="unmapped")


def test_of_a_row_kept_twice_the_newer_one_counts(copy):
    def older(tables: Tables) -> None:
        row = dict(one(tables["application"], 9002))
        row |= {"status": "in_process", "_fivetran_synced": "2026-01-01 00:00:00"}
        tables["application"].insert(0, row)

    made = copy("v3", older)

    made.sync()

    (row,) = made.rows("applications", application_id="9002")
    assert row["status"] == "rejected"


def test_of_a_table_in_history_mode_the_present_counts(copy):
    def versions(tables: Tables) -> None:
        for row in tables["application"]:
            row["_fivetran_active"] = True
        past = dict(one(tables["application"], 9002))
        past |= {"status": "hired", "_fivetran_active": False,
                 "_fivetran_synced": "2026-12-01 00:00:00"}  # fmt: skip
        tables["application"].append(past)

    made = copy("v3", versions)

    made.sync()

    (row,) = made.rows("applications", application_id="9002")
    assert row["status"] == "rejected"


def test_text_with_quotes_and_lines_breaks_no_row(copy):
    made = copy("lever", lambda t: [row.update(headline='a "b",\n\n"c", d')
                                    for row in t["opportunity"]])  # fmt: skip

    made.sync()

    assert len(made.rows("applications")) == 19


def test_the_older_names_of_tables_are_read_too(copy):
    def older(tables: Tables) -> None:
        tables["user"] = tables.pop("users")
        tables["interviewer_user"] = tables.pop("interview_user")
        for row in tables["offer"]:
            del row["opportunity_id"]

    made = copy("lever", older)

    made.sync()

    assert made.rows("interviewers", interviewer_id="u-2")[0]["full_name"]
    assert made.rows("interview_panel")
    assert made.rows("offers", application_id="o-hired")


# -- Lever -----------------------------------------------------------------------------


def test_the_word_null_is_no_rating(copy):
    made = copy("lever", lambda t: [row.update(score_system_value="null")
                                    for row in t["feedback_form"]])  # fmt: skip

    made.sync()

    assert {row["overall_rating"] for row in made.rows("scorecards")} == {None}


def test_stages_are_told_by_slugs_and_by_uuids_alike(quiet):
    visits = quiet["lever"].rows("stage_events", application_id="o-hired")
    assert {row["stage"] for row in visits} >= {"New applicant", "On-site interview"}


def test_a_stage_that_is_not_listed_is_unmapped_and_noted(copy):
    made = copy("lever", lambda t: t["stage"].remove(one(t["stage"], "9e3a-onsite")))

    report = made.sync()

    assert made.rows("stage_events", stage="unmapped")
    assert any("STAGE does not list" in note for note in report.notes)


def test_without_the_history_the_stage_of_today_is_backfilled(copy):
    made = copy("lever", lambda t: t.pop("opportunity_stage_history"))

    made.sync()

    events = made.rows("stage_events")
    assert len(events) == 19
    assert {row["entered_at_quality"] for row in events} == {"backfilled"}


def test_a_reason_that_hires_against_a_requisition_had_is_a_hire(copy):
    def rename(tables: Tables) -> None:
        one(tables["archive_reason"], "r-hired")["text"] = "Eingestellt"

    made = copy("lever", rename)

    report = made.sync()

    (row,) = made.rows("applications", application_id="o-hired")
    assert row["status"] == "hired"
    assert "archive reasons taken for a hire: `Eingestellt`" in report.notes


def test_fields_are_ratings_only_where_they_are_declared(copy):
    made = copy("lever", columns={"t-system/1": "Depth"})

    report = made.sync()

    assert {row["competency"] for row in made.rows("ratings")} == {"Depth"}
    assert any("no field of their form is declared" in one for one in report.notes)


def test_a_comment_in_a_declared_field_is_no_rating(copy):
    made = copy("lever", columns={"System design/4": "Notes"})

    made.sync()

    assert {row["rating"] for row in made.rows("ratings")} == {None}


def test_a_declared_field_of_another_form_is_an_error_that_says_what_to_write(copy):
    made = copy("lever", columns={"System design": "Depth"})

    with pytest.raises(SourceError, match="<template or title>/<field_index>"):
        made.sync()


def test_a_denied_offer_that_may_have_been_denied_inside_is_left_out_and_noted(quiet):
    made = quiet["lever"]

    assert {row["status"] for row in made.rows("offers")} == {"accepted", "pending"}
    assert any("denied offers left out" in note for note in made.notes)


# -- Greenhouse ------------------------------------------------------------------------


def _history(tables: Tables, application: int, *rows: tuple[int, str, str]) -> None:
    tables["application_history"] = [
        row for row in tables["application_history"]
        if row["application_id"] != application
    ] + [
        {"application_id": application, "new_stage_id": stage, "new_status": status,
         "updated_at": f"2026-06-{day} 10:00:00"}
        for stage, status, day in rows
    ]  # fmt: skip


def test_the_history_of_webhooks_is_exact(quiet):
    visits = quiet["v1"].rows("stage_events", application_id="9004")
    assert [row["stage"] for row in visits].count("Recruiter Screen") == 2
    assert {row["entered_at_quality"] for row in visits} == {"exact"}


def test_from_before_the_webhooks_only_the_stage_of_today_is_known(copy):
    made = copy("v1", lambda t: _history(t, 9004))

    report = made.sync()

    (visit,) = made.rows("stage_events", application_id="9004")
    assert (visit["stage"], visit["entered_at"]) == ("Onsite", None)
    assert visit["entered_at_quality"] == "missing"
    assert any("way through the stages is not known" in one for one in report.notes)


def test_a_move_that_no_webhook_told_is_missing_and_not_exact(copy):
    made = copy("v1", lambda t: _history(t, 9004, (802, "active", "08")))

    made.sync()

    visits = made.rows("stage_events", application_id="9004")
    quality = {row["stage"]: row["entered_at_quality"] for row in visits}
    assert quality == {"Recruiter Screen": "exact", "Onsite": "missing"}


def test_a_change_of_status_alone_is_no_visit(copy):
    made = copy("v1", lambda t: _history(
        t, 9004, (804, "active", "08"), (804, "rejected", "21")))  # fmt: skip

    made.sync()

    assert len(made.rows("stage_events", application_id="9004")) == 1


def test_the_history_tells_what_was_re_opened(copy):
    made = copy("v1", lambda t: _history(
        t, 9004, (804, "active", "08"), (804, "rejected", "10"),
        (804, "active", "12"), (804, "rejected", "21")))  # fmt: skip

    made.sync()

    events = made.rows("application_events", application_id="9004")
    told = [(row["kind"], row["occurred_at"][:10])
            for row in sorted(events, key=lambda row: row["occurred_at"])]  # fmt: skip
    assert told == [
        ("rejected", "2026-06-10"),
        ("unrejected", "2026-06-12"),
        ("rejected", "2026-06-21"),
    ]


def test_an_ending_that_the_history_missed_is_told_by_the_application(copy):
    made = copy("v1", lambda t: _history(t, 9003, (805, "active", "08")))

    made.sync()

    (event,) = made.rows("application_events", application_id="9003")
    assert (event["kind"], event["reason_group"]) == ("withdrawn", "took_another_offer")


def test_where_greenhouse_tells_no_stays_the_history_does(copy, both):
    def older(tables: Tables) -> None:
        tables.pop("application_stage")
        tables["application_history"] = both.tables["v1"]["application_history"]

    made = copy("v3", older)

    report = made.sync()

    visits = made.rows("stage_events", application_id="9001")
    assert {row["entered_at_quality"] for row in visits} == {"exact"}
    assert len(visits) == 5
    assert not any("application_stage" in note for note in report.notes)


def test_tables_of_both_generations_in_one_schema_are_read_as_the_newer(copy, both):
    made = copy("v3", lambda t: t.update(
        {k: v for k, v in both.tables["v1"].items() if k not in t}))  # fmt: skip

    made.sync()

    assert len(made.rows("interviews")) == len(both.itself["greenhouse"]["interviews"])


def test_prospects_are_no_applications(quiet):
    for which in ("v3", "v1"):
        assert not quiet[which].rows("applications", application_id="9006")

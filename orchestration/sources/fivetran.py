"""Copies of Lever and Greenhouse that Fivetran keeps: files, DuckDB or Postgres.

Its tables are turned into the relations that the API's readers make, so that one
translation serves both ways in. Nothing is mirrored: the copy is the mirror.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pyarrow as pa

from orchestration.sources import SourceError
from orchestration.sources.connector import SQL, Access, Connector, Stream
from orchestration.sources.greenhouse import KNOWN, Greenhouse
from orchestration.sources.http import secret
from orchestration.sources.lever import OFFER_STATUSES, Lever
from orchestration.sources.mirror import Mirror
from orchestration.warehouse import connect

__all__ = ["FivetranGreenhouse", "FivetranLever"]

_FORMS = (".csv", ".csv.gz", ".parquet")
_URL = ("postgresql://", "postgres://")
_ROWS = 50_000
_SHARED, _BOTH = "fivetran.sql", "fivetran_greenhouse_both.sql"


# -- tables -----------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """One table as Fivetran names it.

    Attributes
    ----------
    names : str
        Its name, newest first where it had several: `users|user`.
    columns : tuple of str
        Columns that are read, under the first of their names. `x!` has to be there,
        `x?` is in some versions only, `x#` is read as whether it holds anything, and
        the absence of any other is noted.
    cost : str
        What is lost without it; "" where nothing could be told without it.
    keeps_deleted : bool
        Whether deleted rows stay: labels that older records go on to refer to.
    unless : str
        The table beside which nobody misses it.
    """

    names: str
    columns: tuple[str, ...]
    cost: str = ""
    keeps_deleted: bool = False
    unless: str = ""

    @property
    def name(self) -> str:
        """The newest of its names."""
        return self.names.split("|")[0]


@dataclass(frozen=True)
class _Found:
    """A table as it is there: its name, and the column to read for each of ours."""

    table: Table
    name: str | None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


class _Place(Protocol):
    """Where tables lie."""

    def names(self) -> Mapping[str, str]:
        """Tables by their name in small letters."""
        ...

    def columns(self, table: str) -> Sequence[str]:
        """Columns of a table."""
        ...

    def relation(self, table: str, columns: Sequence[str]) -> str:
        """What to select the columns from."""
        ...


_ONE_OF_FEEDBACK = re.compile(r"(.+?)/(\d+)(?:/(\d+))?$")
LEVER = (
    Table(
        "opportunity",
        (
            "id!", "contact|contact_id", "name", "created_at!", "updated_at",
            "last_advanced_at", "stage_id|stage!", "archived_at!",
            "archived_reason_id|archive_reason_id!", "owner_id|owner", "origin",
            "is_anonymized",
        ),
    ),
    Table(
        "application",
        (
            "id!", "opportunity_id|candidate_id!", "created_at!", "posting_id!",
            "requisition_for_hire_id", "posting_hiring_manager_id",
        ),
    ),
    Table("stage", ("id!", "text!"), keeps_deleted=True),
    Table("archive_reason", ("id!", "text!", "type?"), keeps_deleted=True),
    Table(
        "opportunity_stage_history",
        ("opportunity_id!", "stage_id!", "to_stage_index", "updated_at!"),
        "of each application only the stage of today is known, as `backfilled`",
    ),
    Table(
        "posting",
        (
            "id!", "text!", "created_at", "owner_id", "categories_team",
            "categories_department", "categories_location", "categories_level",
        ),
        "there are no jobs, and no role families",
    ),
    Table(
        "users|user",
        ("id!", "name", "deactivated_at"),
        "interviewers have no names",
    ),
    Table(
        "contact_email",
        ("contact_id!", "email!"),
        "hires cannot be found in the HR system by e-mail",
    ),
    Table(
        "interview",
        (
            "id!", "opportunity_id|candidate_id!", "stage_id", "timezone",
            "created_at", "date!", "duration", "canceled_at",
        ),
        "there are no interviews",
    ),
    Table(
        "interview_user|interviewer_user",
        ("interview_id!", "user_id!"),
        "who sat in an interview is known from scorecards only",
    ),
    Table(
        "interview_feedback",
        ("interview_id!", "feedback_form_id!"),
        "some scorecards stand without their interview",
    ),
    Table(
        "feedback_form",
        (
            "id!", "opportunity_id|candidate_id!", "creator_id!", "interview_id",
            "template_id", "text", "score_system_value", "completed_at!",
            "deleted_at",
        ),
        "there are no scorecards",
    ),
    Table(
        "feedback_form_field",
        (
            "feedback_form_id!", "field_index!", "value_index", "value_number",
            "value_decimal", "value_text",
        ),
        "there are no ratings of competencies",
    ),
    Table(
        "offer",
        (
            "id!", "opportunity_id|candidate_id!", "candidate_id?", "status!",
            "created_at!", "approved_at?", "sent_at?", "signed_at?", "starts_at?",
        ),
        "there are no offers",
    ),
    Table(
        "requisition",
        ("id!", "status", "created_at!", "closed_at?", "headcount_total"),
        "there are no openings",
    ),
    Table(
        "requisition_posting",
        ("requisition_id!", "posting_id!"),
        "openings that are not filled have no job, and are left out",
    ),
)  # fmt: skip
_EVERYWHERE = (
    Table(
        "candidate",
        (
            "id!", "first_name", "last_name", "created_at", "recruiter_id?",
        ),
        "candidates have no names and cannot be found in the HR system",
    ),
    Table("source", ("id!", "name!"), "where applications came from", True),
    Table("department", ("id!", "name!"), "jobs have no role family", True),
    Table("office", ("id!", "name!"), "jobs have no location", True),
    Table("job_office", ("job_id!", "office_id!"), "jobs have no location"),
    Table("close_reason", ("id!", "name!"),
          "openings closed with an application count as filled", True),
    Table(
        "rejection_reason",
        ("id!", "name!", "type_key?", "type_name?", "type?"),
        "who withdrew cannot be told from who was rejected",
        True,
    ),
    Table(
        "users|user",
        ("id!", "first_name", "last_name", "deactivated|disabled"),
        "interviewers have no names",
    ),
    Table(
        "offer",
        (
            "id!", "version?", "application_id!", "status!", "sent_on|sent_at!",
            "starts_on|starts_at", "resolved_at", "created_at", "updated_at",
        ),
        "there are no offers, and hires are dated by the change of their record",
    ),
    Table(
        "eeoc",
        (
            "application_id!", "gender_description", "race_description",
            "veteran_status_description", "veteran_status_message?",
            "disability_status_description",
        ),
        "there is no self-identification",
    ),
    Table(
        "application_history",
        ("application_id!", "new_stage_id!", "new_status", "updated_at!"),
        "when stages were entered, and what was re-opened, is not known",
        unless="application_stage",
    ),
)  # fmt: skip
# Since Fivetran reads Harvest v3.
GREENHOUSE = (
    Table(
        "application",
        (
            "id!", "candidate_id!", "job_id!", "prospect", "status!", "stage_id!",
            "recruiter_id", "source_id", "rejected_at", "created_at!", "updated_at",
        ),
    ),
    Table(
        "job",
        (
            "id!", "name!", "department_id", "status", "is_template?", "opened_at",
            "closed_at",
        ),
    ),
    Table("job_interview_stage", ("id!", "job_id!", "name!", "sort_order", "active"),
          keeps_deleted=True),
    Table(
        "application_stage",
        ("id!", "application_id!", "job_interview_stage_id!", "entered_at!",
         "exited_at", "created_at"),
        "of each application only the stage of today is known",
        unless="application_history",
    ),
    Table(
        "rejection_detail",
        ("application_id!", "rejection_reason_id!", "rejected_at"),
        "who withdrew cannot be told from who was rejected",
    ),
    Table("candidate_email_address|email_address",
          ("candidate_id!", "index", "value!"),
          "hires cannot be found in the HR system by e-mail"),
    Table("job_hiring_manager", ("job_id!", "user_id!"),
          "jobs have no hiring managers"),
    Table("job_owner", ("job_id!", "user_id!", "type!"), "there are no recruiters"),
    Table(
        "opening|job_opening",
        ("id!", "job_id!", "application_id", "is_open|open", "opened_at!",
         "closed_at", "close_reason_id?"),
        "there are no openings",
    ),
    Table("job_interview", ("id!", "job_interview_stage_id", "name!"),
          "rounds have no names", True),
    Table("interview_kit", ("id!", "job_interview_id!"),
          "scorecards without an interview have no round", True),
    Table(
        "interview",
        (
            "id!", "application_id!", "job_interview_id", "status", "starts_at!",
            "ends_at", "all_day_start_on", "created_at", "updated_at",
        ),
        "there are no interviews",
    ),
    Table(
        "interviewer",
        ("id?", "interview_id!", "user_id!", "response_status?", "scorecard_id"),
        "who sat in an interview is known from scorecards only",
    ),
    Table(
        "scorecard",
        (
            "id!", "application_id!", "interview_kit_id", "interviewer_id!",
            "submitter_id?", "status?", "candidate_rating", "submitted_at!",
            "updated_at",
        ),
        "there are no scorecards",
    ),
    Table(
        "scorecard_candidate_attribute",
        (
            "id!", "scorecard_id!", "job_candidate_attribute_id!",
            "candidate_attribute_rating!", "note#", "updated_at",
        ),
        "there are no ratings of competencies",
    ),
    Table("job_candidate_attribute", ("id!", "name!"),
          "there are no ratings of competencies", True),
    *_EVERYWHERE,
)  # fmt: skip
# Before: the tables are those of Harvest v1.
GREENHOUSE_LEGACY = (
    Table(
        "application",
        (
            "id!", "candidate_id!", "prospect", "status!", "current_stage_id!",
            "source_id", "rejected_at", "rejected_reason_id", "applied_at!",
            "last_activity_at", "is_deleted?",
        ),
    ),
    Table("job_application", ("application_id!", "job_id!")),
    Table(
        "job",
        ("id!", "name!", "status", "opened_at?", "closed_at"),
    ),
    Table("job_stage", ("id!", "job_id!", "name!", "created_at", "priority?"),
          keeps_deleted=True),
    Table("job_department", ("job_id!", "department_id!"), "jobs have no role family"),
    Table("email_address|candidate_email_address", ("candidate_id!", "index", "value!"),
          "hires cannot be found in the HR system by e-mail"),
    Table("hiring_team", ("job_id!", "user_id!", "role!"),
          "there are no recruiters and hiring managers"),
    Table(
        "job_opening|opening",
        ("id!", "job_id!", "application_id", "status", "opened_at!", "closed_at",
         "close_reason_id?"),
        "there are no openings",
    ),
    Table("interview", ("id!", "job_stage_id", "name!"), "rounds have no names", True),
    Table(
        "scheduled_interview",
        ("id!", "application_id!", "interview_id", "status", "start!", "end",
         "created_at", "updated_at"),
        "there are no interviews",
    ),
    Table(
        "scheduled_interviewer",
        ("scheduled_interview_id!", "interviewer_id!", "scorecard_id"),
        "who sat in an interview is known from scorecards only",
    ),
    Table(
        "scorecard",
        ("id!", "application_id!", "interview", "overall_recommendation",
         "submitted_at!", "submitted_by_user_id!", "updated_at"),
        "there are no scorecards",
    ),
    Table(
        "scorecard_attribute",
        ("scorecard_id!", "index", "name!", "rating!", "note#"),
        "there are no ratings of competencies",
    ),
    *_EVERYWHERE,
)  # fmt: skip


# -- connectors -------------------------------------------------------------------


class Fivetran(Connector):
    """What both copies have in common."""

    # The relations that the translation reads.
    copied: ClassVar[tuple[Stream, ...]] = ()
    # Without rows in it there is nothing to deliver.
    main: ClassVar[str] = ""

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Keep nothing: the copy is read when it is translated."""
        self.report.is_full = True

    def relations(self, connection: duckdb.DuckDBPyConnection, mirror: Mirror) -> None:
        """Make the relations of the service's translation from Fivetran's tables.

        Raises
        ------
        SourceError
            If a table or column that cannot be done without is missing.
        """
        with self._place(connection) as place:
            tables, preparations = self._version(place)
            found = [self._found(place, table) for table in tables]
            access = [self._access(one, place) for one in found]
            faults = [one for one in access if one.level == "fault"]
            if faults:
                raise SourceError(
                    "\n".join(
                        f"{self.name}: {one.resource}: {one.found}. {one.cure}"
                        for one in faults
                    )
                )
            self._load(connection, place, found)
        self.report.notes += [
            f"{one.resource}: {one.found}. {one.cure}"
            for one in access
            if one.level == "warning"
        ]
        self.report.records = _counts(connection, found)
        if not self.report.records[self.main]:
            raise SourceError(
                f"{self.name}: {self.main} has no row that is not deleted; while"
                " Fivetran syncs a table anew it may be empty. Try again when its sync"
                " has ended"
            )
        self._prepare(connection)
        for preparation in preparations:
            connection.execute((SQL / preparation).read_text(encoding="utf-8"))
        self._complete(connection)
        self.report.notes += [
            f"unmapped: {n:,} {what}" for what, n in self._unmapped(connection) if n
        ]

    def check(self) -> list[Access]:
        """Return which tables and columns are there, and what is lost without."""
        bench = connect(threads=2)
        bench.execute("set timezone = 'UTC'")
        try:
            with self._place(bench) as place:
                tables, _ = self._version(place)
                found = [self._found(place, table) for table in tables]
                access = {one.table.name: self._access(one, place) for one in found}
                readable = [
                    one for one in found if access[one.table.name].level != "fault"
                ]
                self._load(bench, place, readable)
            counts = _counts(bench, readable)
            return [
                self._counted(bench, one, access[one.table.name], counts)
                for one in found
            ]
        except SourceError as error:
            return [Access("location", "fault", str(error))]
        finally:
            bench.close()

    def _counted(
        self,
        bench: duckdb.DuckDBPyConnection,
        found: _Found,
        access: Access,
        counts: Mapping[str, int],
    ) -> Access:
        """What `check` says of a table, with its rows."""
        name = found.table.name
        if access.resource == name and name in counts and found.name:
            rows = f"{counts[name]:,} rows"
            if name == self.main:
                newest = bench.execute(
                    f'select max(_fivetran_synced) from fivetran."{name}"'
                ).fetchone()
                rows += f", synced until {newest[0]}" if newest and newest[0] else ""
            if name == self.main and not counts[name]:
                return Access(name, "fault", rows, "wait for Fivetran's sync to end")
            told = f"{rows}; {access.found}" if access.found else rows
            return Access(name, access.level, told, access.cure)
        return access

    def _version(self, place: _Place) -> tuple[tuple[Table, ...], tuple[str, ...]]:
        """The tables to look for, and the SQL that makes the relations of them."""
        raise NotImplementedError

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make what the SQL needs from the settings."""

    def _unmapped(
        self, connection: duckdb.DuckDBPyConnection
    ) -> Iterator[tuple[str, int]]:
        """What the copy holds that the translation does not know, and how often."""
        yield from ()

    def _found(self, place: _Place, table: Table) -> _Found:
        """What of a table is there."""
        is_wanted = table.name != "eeoc" or self.config.demographics
        there = place.names() if is_wanted else {}
        name = next((there[n] for n in table.names.split("|") if n in there), None)
        if name is None:
            nothing = {_column(one)[0]: None for one in table.columns}
            return _Found(table, None, nothing)
        columns = {column.lower(): column for column in place.columns(name)}
        chosen = {}
        for one in table.columns:
            column, alternatives, _ = _column(one)
            chosen[column] = next(
                (columns[alias] for alias in alternatives if alias in columns), None
            )
        return _Found(table, name, chosen, columns)

    def _access(self, found: _Found, place: _Place) -> Access:
        """Whether a table can be read, and what is missing of it."""
        table = found.table
        if found.name is None and table.name == "eeoc" and not self.config.demographics:
            return Access("eeoc", "ok", "not read: sources.yaml has it switched off")
        if found.name is None and table.unless in place.names():
            return Access(table.name, "ok", f"no table, and {table.unless} tells it")
        if found.name is None:
            near = _nearest(table.name, place.names())
            told = f"no table {' or '.join(table.names.split('|'))}{near}"
            if table.cost:
                cure = f"Without it {table.cost}; Fivetran syncs it if it is selected"
                return Access(table.name, "warning", told, cure)
            cure = "Select it in Fivetran's schema tab, or correct location"
            return Access(table.name, "fault", told, cure)
        absent: dict[str, list[str]] = {"!": [], "": []}
        for one in table.columns:
            column, alternatives, mark = _column(one)
            if found.columns[column] is None and mark in absent:
                near = _nearest(alternatives[0], found.others)
                absent[mark].append(f"{' or '.join(alternatives)}{near}")
        if absent["!"]:
            return Access(
                table.name,
                "fault",
                f"table {found.name} has no column {'; no column '.join(absent['!'])}",
                "Select it in Fivetran's schema tab, or name it as Fivetran does",
            )
        if absent[""]:
            return Access(
                table.name,
                "warning",
                f"table {found.name} has no column {'; no column '.join(absent[''])}",
                "What it tells stays empty",
            )
        return Access(table.name, "ok", "")

    def _load(
        self,
        connection: duckdb.DuckDBPyConnection,
        place: _Place,
        found: Sequence[_Found],
    ) -> None:
        """Make `fivetran.<table>` of what is translated of each, all as text."""
        connection.execute("create schema fivetran")
        for one in found:
            try:
                connection.execute(_loading(one, place))
            except duckdb.Error as error:
                # The text of the error may hold a line of the file.
                raise SourceError(
                    f"{self.name}: table {one.name} cannot be read"
                    f" ({type(error).__name__}); export it again"
                ) from None

    def _complete(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the relations that Fivetran tells nothing for, without rows."""
        made = {
            name
            for (name,) in connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'main'"
            ).fetchall()
        }
        for stream in self.copied:
            if stream.name in made:
                continue
            columns = ", ".join(
                f'"{name.removesuffix("{}")}"'
                f" {'json' if name.endswith('{}') else 'varchar'}"
                for name in ("id", "parent", *stream.fields)
            )
            connection.execute(f'create table "{stream.name}" ({columns})')

    @contextmanager
    def _place(self, connection: duckdb.DuckDBPyConnection) -> Iterator[_Place]:
        """Where the tables lie."""
        location = self.config.location
        if not location:
            raise SourceError(
                f"{self.name}: sources.yaml names no location; write a folder of files,"
                " a DuckDB file, or postgresql://user@host/database"
            )
        if location.startswith(_URL):
            with self._postgres(location, connection) as place:
                yield place
            return
        path = Path(location).expanduser()
        if path.is_dir():
            yield _Folder(self.name, path, self.source.delimiter, connection)
        elif path.is_file():
            with self._attached(path, connection) as place:
                yield place
        else:
            raise SourceError(
                f"{self.name}: location is neither a folder, nor a DuckDB file, nor a"
                " URL that begins with postgresql://"
            )

    @contextmanager
    def _attached(
        self, path: Path, connection: duckdb.DuckDBPyConnection
    ) -> Iterator[_Place]:
        try:
            connection.execute(
                f"attach {_quoted(str(path))} as synced (type duckdb, read_only)"
            )
        except duckdb.Error as error:
            raise SourceError(
                f"{self.name}: {path.name} cannot be opened as a DuckDB file"
                f" ({type(error).__name__}); is another program writing to it?"
            ) from None
        rows = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns()"
            " where database_name = 'synced' order by column_index"
        ).fetchall()
        try:
            yield _Database(self._schema(rows), "synced", rows)
        finally:
            connection.execute("detach synced")

    @contextmanager
    def _postgres(
        self, url: str, connection: duckdb.DuckDBPyConnection
    ) -> Iterator[_Place]:
        # Before anything that might repeat the address in a message.
        if re.search(r"//[^/@]*:[^/@]*@|[?&](ssl)?password=", url):
            raise SourceError(
                f"{self.name}: location holds a password; take it out, and write"
                " `credentials: {password: env:NAME}` or `file:PATH`"
            )
        try:
            import psycopg
        except ImportError:
            raise SourceError(
                f"{self.name}: reading Postgres needs a package that is not installed:"
                " pip install 'calibrant[postgres]'"
            ) from None
        reference = self.config.credentials.get("password")
        password = (
            secret(
                reference, where=f"{self.name}: credentials.password"
            ).get_secret_value()
            if reference
            else None
        )
        try:
            with psycopg.connect(
                url, password=password, options="-c TimeZone=UTC", connect_timeout=30
            ) as session:
                session.read_only = True
                rows = session.execute(
                    "select table_schema, table_name, column_name"
                    " from information_schema.columns order by ordinal_position"
                ).fetchall()
                schema = self._schema(rows)
                yield _Postgres(schema, rows, session, connection)
        except psycopg.Error as error:
            # The text of the error may hold the address or values of a record.
            is_refused = "authentication" in str(error).lower()
            raise SourceError(
                f"{self.name}: Postgres"
                + (" refused the user or the password" if is_refused else " failed")
                + f" ({type(error).__name__}); look at location, at"
                " credentials.password, and at what the user may select"
            ) from None

    def _schema(self, rows: Sequence[tuple[str, str, str]]) -> str:
        """The schema that holds the tables: the declared one, else the only one."""
        schemas = sorted({schema for schema, _, _ in rows})
        wanted = self.config.database_schema
        if wanted:
            for schema in schemas:
                if schema.lower() == wanted.lower():
                    return schema
            near = _nearest(wanted, {one.lower(): one for one in schemas})
            raise SourceError(f"{self.name}: there is no schema {wanted}{near}")
        holding = sorted(
            {schema for schema, table, _ in rows if table.lower() == self.main}
        )
        if len(holding) == 1:
            return holding[0]
        raise SourceError(
            f"{self.name}: "
            + (
                f"schemas {', '.join(holding)} each hold"
                if holding
                else "no schema holds"
            )
            + f" a table {self.main}; write `database_schema: NAME`"
        )


class FivetranLever(Fivetran):
    """Reads Fivetran's copy of a Lever account.

    Fivetran does not sync the questions of feedback forms. Which of their fields are
    ratings is declared: `columns: {"<template or title>/<field_index>": competency}`,
    with `/<value_index>` behind it for one line of a scorecard.
    """

    translation: ClassVar[str] = "lever.sql"
    copied: ClassVar[tuple[Stream, ...]] = Lever.streams
    main: ClassVar[str] = "opportunity"

    def check(self) -> list[Access]:
        """Return which tables and columns are there, and what is lost without."""
        found = super().check()
        if len(found) > 1 and not self.config.columns:
            found.append(
                Access(
                    "ratings of competencies",
                    "warning",
                    "no field of a feedback form is declared to be one",
                    'write `columns: {"<template or title>/<field_index>":'
                    " <competency>}`; FEEDBACK_FORM_FIELD tells neither label nor kind",
                )
            )
        return found

    def _version(self, place: _Place) -> tuple[tuple[Table, ...], tuple[str, ...]]:
        return LEVER, (_SHARED, "fivetran_lever.sql")

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = []
        for key, competency in self.config.columns.items():
            parts = _ONE_OF_FEEDBACK.match(key)
            if not parts:
                raise SourceError(
                    f"{self.name}: columns: {key}: write"
                    " `<template or title>/<field_index>`, or with `/<value_index>`"
                )
            rows.append((*parts.groups(), competency))
        connection.execute(
            "create table declared_fields (form varchar, field_index bigint,"
            " value_index bigint, competency varchar)"
        )
        connection.execute("create table spellings (spelling varchar)")
        if rows:
            connection.executemany("insert into declared_fields values (?, ?, ?, ?)",
                                   rows)  # fmt: skip
        if self.source.scale:
            connection.executemany("insert into spellings values (?)",
                                   [[one] for one in self.source.scale])  # fmt: skip

    def _unmapped(
        self, connection: duckdb.DuckDBPyConnection
    ) -> Iterator[tuple[str, int]]:
        statuses = ", ".join(map(_quoted, OFFER_STATUSES))
        for what, sql in (
            (
                "offers of an unknown status, left out",
                f"select count(*) from offers where status not in ({statuses})",
            ),
            (
                "denied offers left out: without sent_at they cannot be told from"
                " those that were denied inside the company",
                "select count(*) from offers where status = 'denied'"
                " and sentAt is null",
            ),
            (
                "moves to stages that STAGE does not list, in `unmapped`",
                "select count(*) from fivetran.opportunity_stage_history"
                " where stage_id not in (select id from stages)",
            ),
            (
                "opportunities archived for a reason that ARCHIVE_REASON does not"
                " list, rejected with close_reason `unmapped`",
                "select count(*) from opportunities where archivedAt is not null and"
                " coalesce(archiveReason, '') not in (select id from archive_reasons)",
            ),
            (
                "scorecards without ratings of competencies: no field of their form is"
                " declared in `columns`",
                "select count(*) from feedback"
                " where completedAt is not null and json_array_length(scores) = 0",
            ),
        ):
            yield what, _count(connection, sql)
        hired = connection.execute(
            "select text from archive_reasons where type = 'hired' order by text"
        ).fetchall()
        named = ", ".join(f"`{text}`" for (text,) in hired) or "none"
        self.report.notes.append(f"archive reasons taken for a hire: {named}")


class FivetranGreenhouse(Fivetran):
    """Reads Fivetran's copy of a Greenhouse account, of Harvest v3 or of v1."""

    translation: ClassVar[str] = "greenhouse.sql"
    copied: ClassVar[tuple[Stream, ...]] = Greenhouse.streams
    main: ClassVar[str] = "application"

    def _version(self, place: _Place) -> tuple[tuple[Table, ...], tuple[str, ...]]:
        # A schema may hold tables of both, since old ones stay when it is upgraded.
        name = place.names().get("application")
        columns = [column.lower() for column in place.columns(name)] if name else []
        if "current_stage_id" in columns and "stage_id" not in columns:
            return GREENHOUSE_LEGACY, (_SHARED, "fivetran_greenhouse_v1.sql", _BOTH)
        return GREENHOUSE, (_SHARED, "fivetran_greenhouse.sql", _BOTH)

    def _unmapped(
        self, connection: duckdb.DuckDBPyConnection
    ) -> Iterator[tuple[str, int]]:
        for stream, (column, known) in KNOWN.items():
            spelled = ", ".join(map(_quoted, known))
            if stream == "scorecards":
                continue
            sql = (
                f"select count(*) from {stream}"
                f" where coalesce({column}, '') not in ({spelled})"
            )
            what = f"{stream} with a {column} that is not known here"
            yield what, _count(connection, sql)
        yield (
            "applications whose way through the stages is not known: they have their"
            " stage of today, without the time of entering",
            _count(
                connection,
                "select count(distinct application_id) from application_stages"
                " where entered_at is null",
            ),
        )
        yield (
            "scorecards of nobody in the account, left out",
            _count(
                connection,
                "select count(*) from scorecards"
                " where submitted_at is not null and interviewer_id is null",
            ),
        )


# -- places -----------------------------------------------------------------------


@dataclass
class _Folder:
    """A folder of files named after tables."""

    source: str
    folder: Path
    delimiter: str
    bench: duckdb.DuckDBPyConnection
    _names: dict[str, str] = field(default_factory=dict)

    def names(self) -> Mapping[str, str]:
        if not self._names:
            for path in sorted(self.folder.iterdir()):
                form = next((f for f in _FORMS if path.name.lower().endswith(f)), None)
                if form is None or path.is_symlink() or not path.is_file():
                    continue
                table = path.name[: -len(form)].lower()
                if table in self._names:
                    raise SourceError(
                        f"{self.source}: {self._names[table]} and {path.name} are both"
                        f" table {table}; leave one"
                    )
                self._names[table] = path.name
        return self._names

    def columns(self, table: str) -> Sequence[str]:
        try:
            described = self.bench.execute(
                f"describe select * from {self.relation(table, ())}"
            )
        except duckdb.Error as error:
            raise SourceError(
                f"{self.source}: {table} cannot be read ({type(error).__name__});"
                " export it again"
            ) from None
        return [row[0] for row in described.fetchall()]

    def relation(self, table: str, columns: Sequence[str]) -> str:
        path = _quoted(str(self.folder / table))
        if table.lower().endswith(".parquet"):
            return f"read_parquet({path})"
        return (
            f"read_csv({path}, all_varchar = true, header = true, quote = '\"',"
            f" escape = '\"', delim = {_quoted(self.delimiter)})"
        )


@dataclass
class _Database:
    """A schema of an attached database; `rows` are schema, table and column."""

    schema: str
    catalog: str
    rows: Sequence[tuple[str, str, str]]

    def names(self) -> Mapping[str, str]:
        return {table.lower(): table for s, table, _ in self.rows if s == self.schema}

    def columns(self, table: str) -> Sequence[str]:
        return [c for s, t, c in self.rows if (s, t) == (self.schema, table)]

    def relation(self, table: str, columns: Sequence[str]) -> str:
        return f"{self.catalog}.{_named(self.schema)}.{_named(table)}"


@dataclass
class _Postgres:
    """A schema of a Postgres database."""

    schema: str
    rows: Sequence[tuple[str, str, str]]
    session: Any
    bench: duckdb.DuckDBPyConnection

    def names(self) -> Mapping[str, str]:
        return _Database(self.schema, "", self.rows).names()

    def columns(self, table: str) -> Sequence[str]:
        return _Database(self.schema, "", self.rows).columns(table)

    def relation(self, table: str, columns: Sequence[str]) -> str:
        wanted = ", ".join(
            f"cast({_named(one)} as text) as {_named(one)}" for one in columns
        )
        named = f"{_named(self.schema)}.{_named(table)}"
        fields = pa.schema([pa.field(one, pa.string()) for one in columns])
        batches = []
        with self.session.cursor(name="calibrant") as cursor:
            cursor.execute(f"select {wanted} from {named}")
            while rows := cursor.fetchmany(_ROWS):
                arrays = [pa.array(one, pa.string()) for one in zip(*rows, strict=True)]
                batches.append(pa.record_batch(arrays, schema=fields))
        self.bench.register("fetched", pa.Table.from_batches(batches, schema=fields))
        return "fetched"


# -- small parts ------------------------------------------------------------------


def _column(written: str) -> tuple[str, list[str], str]:
    """A column's name here, the names it may have there, and its mark."""
    mark = written[-1] if written[-1] in "!?#" else ""
    alternatives = written.rstrip("!?#").split("|")
    return alternatives[0], alternatives, mark


def _nearest(name: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f" (the nearest is {known[near[0]]})" if near else ""


def _loading(found: _Found, place: _Place) -> str:
    """The statement that makes `fivetran.<table>`."""
    marks = {_column(one)[0]: _column(one)[2] for one in found.table.columns}
    kept = []
    for name, actual in found.columns.items():
        text = f"trim(cast({_named(actual)} as varchar))"
        if actual is None:
            kept.append(f"cast(null as varchar) as {_named(name)}")
        elif marks[name] == "#":
            kept.append(
                f"cast(coalesce({text}, '') <> '' as varchar) as {_named(name)}"
            )
        else:
            # Whole numbers that were kept as floats are ids, indexes and ratings.
            kept.append(
                f"nullif(regexp_replace({text}, '^(-?\\d+)\\.0+$', '\\1'), '')"
                f" as {_named(name)}"
            )
    own = {name: found.others.get(name) for name in (
        "_fivetran_deleted", "_fivetran_active", "_fivetran_synced")}  # fmt: skip
    synced = _named(own["_fivetran_synced"] or "")
    kept.append(
        f"cast({synced if own['_fivetran_synced'] else 'null'} as varchar)"
        " as _fivetran_synced"
    )
    made = f"create table fivetran.{_named(found.table.name)} as select"
    if found.name is None:
        return f"{made} {', '.join(kept)} where false"
    where = ["true"]
    if own["_fivetran_deleted"] and not found.table.keeps_deleted:
        where.append(_is_not(own["_fivetran_deleted"], "true"))
    if own["_fivetran_active"]:
        # Tables in history mode hold every version of a row.
        where.append(_is_not(own["_fivetran_active"], "false"))
    read = [one for one in (*found.columns.values(), *own.values()) if one]
    relation = place.relation(found.name, list(dict.fromkeys(read)))
    newest = (
        " qualify row_number() over (partition by id order by _fivetran_synced desc"
        f" nulls last, {', '.join(map(_named, found.columns))}) = 1"
        if found.columns.get("id")
        else ""
    )
    return (
        f"{made} * from (select {', '.join(kept)} from {relation}"
        f" where {' and '.join(where)}){newest}"
    )


def _is_not(column: str, value: str) -> str:
    return f"lower(coalesce(cast({_named(column)} as varchar), '')) not in" + (
        " ('true', 't', '1')" if value == "true" else " ('false', 'f', '0')"
    )


def _counts(
    connection: duckdb.DuckDBPyConnection, found: Sequence[_Found]
) -> dict[str, int]:
    return {
        one.table.name: _count(
            connection, f"select count(*) from fivetran.{_named(one.table.name)}"
        )
        for one in found
    }


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _named(name: str | None) -> str:
    return '"' + (name or "").replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Who is the same person: aliases, and the ladder from employees to applications.

Works on names and e-mails, so it reads `restricted/` and hands on pseudonyms and ids
only. The rungs, from the surest: the source says so; a person has confirmed it; the
same e-mail; the same name with a start date near that of the offer, which counts only
once a person has confirmed it.
"""

import datetime as dt
import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestration.landing.identity import ledger_digest
from orchestration.ledger import Ledger
from orchestration.settings import Home, SettingsError, load_yaml
from orchestration.warehouse import connect

LINK_SCHEMA = pa.schema(
    [
        ("employee_id", pa.string()),
        ("application_id", pa.string()),
        ("join_method", pa.string()),
        ("join_confidence", pa.float64()),
    ]
)
# What a rung is worth: judged, not measured; shown beside what rests on it.
CONFIDENCE = {"confirmed": 1.0, "email": 0.95, "name_and_start": 0.7}
START_WINDOW_DAYS = 14


class Identity(BaseModel):
    """The content of `identity.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: tuple[tuple[str, ...], ...] = Field(
        (), description="Ids of one person, `source:id`; the first one counts."
    )

    @model_validator(mode="after")
    def _distinct(self) -> "Identity":
        seen: set[str] = set()
        for group in self.aliases:
            if len(group) < 2:
                raise ValueError(f"aliases {list(group)}: name two ids or more")
            for name in group:
                if ":" not in name:
                    raise ValueError(f"alias {name!r}: write `<source>:<id>`")
                if name in seen:
                    raise ValueError(f"alias {name!r} stands for two people")
                seen.add(name)
        return self

    def canonical(self) -> dict[str, str]:
        """Return the id that counts for every other id of a person."""
        return {name: group[0] for group in self.aliases for name in group[1:]}


def identity_file(home: Home) -> Path:
    """Return where aliases are declared."""
    return home.root / "identity.yaml"


def load_identity(home: Home) -> Identity:
    """Return the aliases of a home; none where the file is absent.

    Raises
    ------
    SettingsError
        If the file is not what it should be; the message says where.
    """
    path = identity_file(home)
    try:
        return Identity.model_validate(load_yaml(path))
    except ValidationError as error:
        faults = [
            f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise SettingsError(f"{path}:\n" + "\n".join(faults)) from None


@dataclass(frozen=True)
class Proposal:
    """An employee and an application that may be one person; for a person's eyes.

    Attributes
    ----------
    employee, application : str
        Native ids, `source:id`.
    subject : str
        The employee's pseudonym.
    method : str
    name : str
    hired_on, starts_on : date or None
    is_ambiguous : bool
        Whether the employee or the application has another match as good.
    decision : str or None
        What was decided of it, if anything.
    """

    employee: str
    subject: str
    application: str
    method: str
    name: str
    hired_on: dt.date | None
    starts_on: dt.date | None
    is_ambiguous: bool
    decision: Literal["accepted", "rejected"] | None

    @property
    def joins(self) -> bool:
        """Whether it counts: confirmed, or sure enough and not denied."""
        if self.decision:
            return self.decision == "accepted"
        return self.method == "email" and not self.is_ambiguous

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**self.__dict__, "joins": self.joins}

    def to_text(self) -> str:
        """Return it for a person."""
        starts = f"offer starts {self.starts_on}" if self.starts_on else "no start date"
        state = self.decision or ("joined" if self.joins else "open")
        doubt = "; one of several" if self.is_ambiguous else ""
        return (
            f"{self.employee} = {self.application}  {self.name or '(no name)'},"
            f" hired {self.hired_on}, {starts}  [{self.method}{doubt}; {state}]"
        )


class Decider:
    """What a person sees of the proposals, and what they say to them."""

    def __init__(
        self, home: Home, found: Sequence[Proposal], *, by: str | None = None
    ) -> None:
        self._home = home
        self._by = by or getpass.getuser()
        self._found = list(found)
        self.n_decided = 0

    def shown(self, *, everything: bool = False) -> list[Proposal]:
        """Return what waits for a decision, or all of it."""
        return [
            proposal
            for proposal in self._found
            if everything or (proposal.decision is None and not proposal.joins)
        ]

    def decide(self, pair: str, *, accepted: bool) -> None:
        """Note a decision on `EMPLOYEE=APPLICATION`.

        Raises
        ------
        SettingsError
            If nothing of that kind is proposed.
        """
        employee, _, application = pair.partition("=")
        meant = [
            place
            for place, proposal in enumerate(self._found)
            if (proposal.employee, proposal.application) == (employee, application)
        ]
        if not meant:
            raise SettingsError(
                f"{pair!r}: nothing like it is proposed; write EMPLOYEE=APPLICATION as"
                " `calibrant identity review` shows them"
            )
        proposal = self._found[meant[0]]
        decide(
            self._home,
            proposal,
            accepted=accepted,
            by=self._by,
            at=dt.datetime.now(dt.UTC),
            digest=ledger_digest(self._home),
        )
        decision: Literal["accepted", "rejected"] = (
            "accepted" if accepted else "rejected"
        )
        self._found[meant[0]] = replace(proposal, decision=decision)
        self.n_decided += 1


def decisions(home: Home) -> Ledger:
    """Return the ledger of confirmed and denied matches."""
    return Ledger(home.ledger / "identity.jsonl")


def decide(
    home: Home,
    proposal: Proposal,
    *,
    accepted: bool,
    by: str,
    at: dt.datetime,
    digest: Callable[[str], str],
) -> None:
    """Note what a person decided of a proposal.

    Parameters
    ----------
    digest : callable
        Native id to what the ledger may hold; the ledger outlives every key.
    """
    decisions(home).append(
        {
            "kind": "accepted" if accepted else "rejected",
            "employee": digest(proposal.employee),
            "application": digest(proposal.application),
            "method": proposal.method,
            "by": by,
            "at": at.isoformat(timespec="seconds"),
        }
    )


def proposals(
    home: Home,
    raw: Mapping[str, Sequence[Path]],
    *,
    digest: Callable[[str], str],
) -> list[Proposal]:
    """Return the matches of employees who come without an application.

    Parameters
    ----------
    raw : mapping of str to sequence of Path
        Raw files of `employees`, `candidates`, `applications` and `offers`; names and
        e-mails lie under the same file names in `restricted/`.
    """
    if not raw.get("employees") or not raw.get("candidates"):
        return []
    with connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for entity in ("employees", "candidates", "applications", "offers"):
            _register(connection, entity, raw.get(entity, ()))
        for entity in ("employees", "candidates"):
            files = [home.restricted / entity / path.name for path in raw[entity]]
            _register(connection, f"{entity}_restricted", files)
        rows = connection.sql(_LADDER).fetchall()
    decided = {
        (entry["employee"], entry["application"]): entry["kind"]
        for entry in decisions(home).entries()
    }
    return [
        Proposal(*(*row, decided.get((digest(row[0]), digest(row[2]))))) for row in rows
    ]


def links(found: Sequence[Proposal]) -> pa.Table:
    """Return one row per employee that a proposal joins to an application."""
    joined: dict[str, dict[str, Any]] = {}
    for proposal in sorted(found, key=lambda p: (p.decision is None, p.method)):
        if proposal.joins and proposal.subject not in joined:
            method = "confirmed" if proposal.decision else proposal.method
            joined[proposal.subject] = {
                "employee_id": proposal.subject,
                "application_id": proposal.application,
                "join_method": method,
                "join_confidence": CONFIDENCE[method],
            }
    rows = [joined[subject] for subject in sorted(joined)]
    return pa.Table.from_pylist(rows, schema=LINK_SCHEMA)


def alias_proposals(home: Home, interviewers: Sequence[Path]) -> list[tuple[str, ...]]:
    """Return ids of interviewers of several sources who bear the same name."""
    files = [home.restricted / "interviewers" / path.name for path in interviewers]
    with connect() as connection:
        _register(connection, "people", files)
        columns = {row[0] for row in connection.sql("describe people").fetchall()}
        if "full_name" not in columns:
            return []
        rows = connection.sql(
            f"""
            select list(distinct native_id order by native_id)
            from people
            where {_plain("full_name")} <> ''
            group by {_plain("full_name")}
            having count(distinct split_part(native_id, ':', 1)) > 1
                and count(distinct subject) > 1
            order by 1
            """
        ).fetchall()
    return [tuple(row[0]) for row in rows]


def _register(
    connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]
) -> None:
    """A view of Parquet files; without any, of nothing with the columns needed."""
    there = [str(path) for path in files if path.is_file()]
    if there:
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in there)
        connection.execute(
            f"create view {name} as select * from read_parquet([{listed}],"
            " union_by_name = true)"
        )
    else:
        columns = ", ".join(f"null::varchar as {column}" for column in _NEEDED)
        connection.execute(f"create view {name} as select {columns} where false")


_NEEDED = ("native_id", "subject", "full_name", "email", "work_email", "candidate_id",
           "application_id", "employee_id", "hired_on", "starts_on", "status",
           "applied_at", "closed_at")  # fmt: skip


def _plain(column: str) -> str:
    """SQL of a name for comparison: composed, small, single blanks."""
    return (
        f"trim(regexp_replace(lower(nfc_normalize(coalesce({column}, ''))),"
        " '\\s+', ' ', 'g'))"
    )


_LADDER = f"""
with hired as (
    -- The hired applications of each candidate, with the start that was agreed.
    select
        applications.application_id,
        applications.candidate_id,
        applications.applied_at,
        max(cast(offers.starts_on as date)) as starts_on
    from applications
    left join offers
        on applications.application_id = offers.application_id
        and offers.status = 'accepted'
    where applications.status = 'hired'
    group by all
),

candidate as (
    select
        hired.*,
        {_plain("candidates_restricted.full_name")} as plain_name,
        {_plain("candidates_restricted.email")} as plain_email
    from hired
    inner join candidates_restricted
        on hired.candidate_id = candidates_restricted.subject
),

employee as (
    select
        employees.employee_id,
        employees_restricted.native_id,
        cast(employees.hired_on as date) as hired_on,
        employees_restricted.full_name,
        {_plain("employees_restricted.full_name")} as plain_name,
        {_plain("employees_restricted.work_email")} as plain_email
    from employees
    inner join employees_restricted
        on employees.employee_id = employees_restricted.subject
    where employees.application_id is null
),

matched as (
    select employee.*, candidate.application_id, candidate.starts_on,
        'email' as method
    from employee
    inner join candidate
        on employee.plain_email = candidate.plain_email
        and employee.plain_email <> ''
        and cast(candidate.applied_at as date) <= employee.hired_on
    union all
    select employee.*, candidate.application_id, candidate.starts_on,
        'name_and_start' as method
    from employee
    inner join candidate
        on employee.plain_name = candidate.plain_name
        and employee.plain_name <> ''
        and abs(date_diff('day', candidate.starts_on, employee.hired_on))
            <= {START_WINDOW_DAYS}
        and (employee.plain_email = '' or employee.plain_email <> candidate.plain_email)
)

select distinct
    native_id,
    employee_id,
    application_id,
    method,
    coalesce(full_name, '') as full_name,
    hired_on,
    starts_on,
    count(distinct application_id) over (partition by employee_id, method) > 1
    or count(distinct employee_id) over (partition by application_id, method) > 1
        as is_ambiguous
from matched
order by native_id, application_id, method
"""

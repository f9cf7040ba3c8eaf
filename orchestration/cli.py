"""The `calibrant` command: thin, over the same functions that Dagster runs.

Exit codes: 0 done; 1 failed unexpectedly; 2 the input or the settings are refused;
3 a gate stopped the run; 4 another run holds the home; 5 everything but the sites
was built.
"""

import json
import logging
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from orchestration.publishing.generation import (
    AUDIENCES,
    Generation,
    GenerationError,
    HomeHeldError,
    current_generation,
    hold,
    is_current,
    is_held,
    plan_generation,
)
from orchestration.settings import (
    SOURCES_TEMPLATE,
    Home,
    Policy,
    SettingsError,
    load_settings,
    parse_as_of,
    policy_template,
)

app = typer.Typer(
    help="A data pipeline for hiring: files in, gated tables and two sites out.",
    epilog=(
        "Exit codes: 0 done; 1 failed unexpectedly; 2 the input or the settings are"
        " refused; 3 a gate stopped the run; 4 another run holds the home; 5"
        " everything but the sites was built."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
policy_app = typer.Typer(help="The policy: every setting and where it comes from.")
app.add_typer(policy_app, name="policy")
sources_app = typer.Typer(help="The services that fill the inbox.")
app.add_typer(sources_app, name="sources")
identity_app = typer.Typer(help="Who is the same person in several systems.")
app.add_typer(identity_app, name="identity")
holds_app = typer.Typer(help="Legal holds: people who are not erased while they last.")
app.add_typer(holds_app, name="holds")
quarantine_app = typer.Typer(help="Rows that were set aside, and what releases them.")
app.add_typer(quarantine_app, name="quarantine")
out = Console(highlight=False, soft_wrap=True)
# Without a terminal rich assumes 80 columns and breaks lines that a log keeps whole.
err = Console(
    stderr=True,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stderr.isatty() else 160,
)


class Exit(IntEnum):
    """Exit codes of the command."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    STOPPED = 3
    HELD = 4
    NO_SITES = 5


class Format(StrEnum):
    """Forms a table can be exported in."""

    csv = "csv"
    xlsx = "xlsx"


class Audience(StrEnum):
    """Who a table or a site is for."""

    leaders = "leaders"
    committee = "committee"


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The home folder; default CALIBRANT_HOME or ./var."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For a machine to read.")]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what a person can mend into a message and an exit code."""
    from orchestration.dbt_runner import DbtError
    from orchestration.sources import SourceError

    try:
        yield
    except HomeHeldError as error:
        _stop(error, Exit.HELD)
    except (SettingsError, GenerationError, SourceError) as error:
        _stop(error, Exit.REFUSED)
    except DbtError as error:
        _stop(error, Exit.FAILED)
    except KeyboardInterrupt:
        _stop("interrupted; the last good generation stays current", Exit.FAILED)


def _stop(message: object, code: Exit) -> None:
    err.print(f"[red]calibrant:[/red] {_plain(message)}")
    raise typer.Exit(code)


def _plain(text: object) -> str:
    """Text without rich markup and without characters that show nothing.

    What comes from files is shown as it is; an escape sequence or a mark that turns
    the direction of text is written out.
    """
    shown = (
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return "".join(shown).replace("[", r"\[")


def _say(value: Any, as_json: bool, text: str, *, is_prose: bool = False) -> None:
    """Print a value for a machine or a text for a person.

    A terminal breaks long lines inside words, so prose is broken between them.
    """
    if as_json:
        sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")
    else:
        out.print(text, soft_wrap=not (is_prose and out.is_terminal))


def _current(home: Home) -> Generation:
    generation = current_generation(home)
    if generation is None:
        raise GenerationError(
            f"{home.root} has no generation yet; put files into {home.inbox} and run"
            " `calibrant run`, or try `calibrant simulate` first"
        )
    return generation


@app.command()
def init(home: HomeOption = None) -> None:
    """Make a home: an inbox and commented settings; nothing is overwritten."""
    with _plain_errors():
        place = Home.resolve(home)
        place.inbox.mkdir(parents=True, exist_ok=True)
        for target, text in (
            (place.sources_file, SOURCES_TEMPLATE),
            (place.policy_file, policy_template()),
        ):
            if target.exists():
                out.print(f"kept   {_plain(target)}")
            else:
                target.write_text(text, encoding="utf-8")
                out.print(f"wrote  {_plain(target)}")
        out.print(
            f"Drop files into {_plain(place.inbox)}/<source>/<entity>.csv (only"
            " applications is required), then: calibrant check; calibrant run"
        )


@app.command()
def check(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Validate the inbox and propose stage, round and scale mappings; write nothing."""
    from orchestration.landing import check as check_inbox

    with _plain_errors():
        settings = load_settings(home)
        report = check_inbox(settings.home, settings.sources)
        _say(report.to_json(), as_json, _plain(report.to_text()))
        if report.problems:
            raise typer.Exit(Exit.REFUSED)


@app.command()
def sync(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Sources; default all that declare a connector."),
    ] = None,
    home: HomeOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, not only what changed.")
    ] = False,
    accept_deletions: Annotated[
        bool,
        typer.Option(
            "--accept-deletions", help="Records that are gone were deleted there."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the inbox up to date with the services that sources.yaml names."""
    from orchestration.sources import SourceError
    from orchestration.sources.connector import sync_all

    with _plain_errors():
        settings = load_settings(home)
        with hold(settings.home, run_id=f"sync-{uuid.uuid4().hex[:8]}"):
            reports, failures = sync_all(
                settings, names or (), full=full, accept_deletions=accept_deletions
            )
        text = "\n".join(report.to_text() for report in reports)
        _say([report.to_json() for report in reports], as_json, _plain(text))
        if failures:
            raise SourceError("\n".join(failures))


@sources_app.command("check")
def sources_check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Sources; default all that declare a connector."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the credentials of each source can and cannot see; change nothing."""
    from orchestration.sources.connector import check_all

    with _plain_errors():
        found = check_all(load_settings(home), names or ())
        if as_json:
            plain = {n: [row.__dict__ for row in seen] for n, seen in found.items()}
            _say(plain, True, "")
        else:
            colours = {"ok": "green", "warning": "yellow", "fault": "red"}
            for name, rows in found.items():
                out.print(f"[bold]{_plain(name)}[/bold]")
                width = max([24, *(len(row.resource) + 2 for row in rows)])
                for row in rows:
                    colour = colours[row.level]
                    out.print(
                        f"  [{colour}]{row.level:<8}[/{colour}]"
                        f"{_plain(row.resource):<{width}}{_plain(row.found)}"
                    )
                    if row.cure:
                        out.print(f"{'':{width + 10}}→ {_plain(row.cure)}")
        if any(row.level == "fault" for rows in found.values() for row in rows):
            raise typer.Exit(Exit.REFUSED)


@quarantine_app.command("list")
def quarantine_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what is set aside by entity and reason, with what releases it."""
    from orchestration.landing.quarantine import spellings, summary

    with _plain_errors():
        settings, taken, rows = _set_aside(home)
        found = summary(rows)
        unknown = spellings(taken, rows, settings.sources)
        if as_json:
            _say({"reasons": found, "spellings": unknown}, True, "")
            return
        if not found:
            out.print("Nothing is set aside.")
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("entity", "source", "rows", "code", "why", "first", "cure"):
            table.add_column(heading, overflow="fold")
        for row in found:
            table.add_row(
                row["entity"],
                row["source"],
                f"{row['rows']:,}",
                row["code"],
                _plain(row["message"]),
                _plain(row["first"]),
                _plain(row["cure"]),
            )
        out.print(table)
        for row in unknown:
            likely = f"; likely {row['likely']}" if row["likely"] else ""
            out.print(
                f"  {row['rows']:,} ratings of {row['source']} are spelled"
                f" {_plain(row['spelling'])!r}{likely}"
            )


@quarantine_app.command("show")
def quarantine_show(
    entity: Annotated[
        str | None, typer.Argument(help="Entity, e.g. ratings; default all.")
    ] = None,
    home: HomeOption = None,
    code: Annotated[str | None, typer.Option(help="One reason only.")] = None,
    values: Annotated[
        bool,
        typer.Option(
            "--values", help="Show the rows as delivered; they may name people."
        ),
    ] = False,
    most: Annotated[int, typer.Option("--most", help="Rows at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show rows that are set aside: file, line, column and reason."""
    from orchestration.landing.quarantine import texts

    with _plain_errors():
        settings, taken, rows = _set_aside(home)
        chosen = [
            row
            for row in rows
            if entity in (None, row.entity) and code in (None, row.code)
        ]
        held = texts(settings.home, taken) if values else {}
        shown = [
            {
                **row.__dict__,
                "message": row.message,
                **({"row": held.get((row.file, row.line))} if values else {}),
            }
            for row in chosen[:most]
        ]
        lines = [
            f"{row['file']}:{row['line']}  {row['column'] or ''}  {row['code']}:"
            f" {row['message']}"
            + (f"\n    {row['row']}" if values and row["row"] else "")
            for row in shown
        ]
        if len(chosen) > most:
            lines.append(f"… and {len(chosen) - most:,} more (--most)")
        _say(shown, as_json, _plain("\n".join(lines) or "Nothing is set aside."))


@quarantine_app.command("retry")
def quarantine_retry(home: HomeOption = None) -> None:
    """Judge what was refused again, and say what a corrected mapping released."""
    from orchestration.landing import ingest
    from orchestration.landing.quarantine import forget

    with _plain_errors():
        settings = load_settings(home)
        with hold(settings.home, run_id=f"retry-{uuid.uuid4().hex[:8]}"):
            before = ingest(settings.home, settings.sources, progress=lambda _: None)
            n_before = sum(before.quarantined.values())
            n_files = forget(before)
            after = ingest(settings.home, settings.sources, progress=lambda _: None)
        n_after = sum(after.quarantined.values())
        told = (
            f"{n_files} files judged again: {n_after:,} of {n_before:,} rows are still"
            " refused."
            if n_files
            else "No file that is delivered now has a row refused at landing."
        )
        out.print(
            f"{told} References and ratings are judged by the next run: calibrant run"
        )


def _set_aside(root: Path | None) -> tuple[Any, Any, list[Any]]:
    """Settings, what is delivered, and every row that is set aside."""
    from orchestration.landing import ingest
    from orchestration.landing.quarantine import set_aside

    settings = load_settings(root)
    taken = ingest(settings.home, settings.sources, progress=lambda _: None)
    generation = current_generation(settings.home)
    warehouse = generation.root / "warehouse.duckdb" if generation else None
    return settings, taken, set_aside(taken, warehouse)


@identity_app.command("review")
def identity_review(
    home: HomeOption = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="EMPLOYEE=APPLICATION that is one person; repeatable."),
    ] = None,
    reject: Annotated[
        list[str] | None,
        typer.Option(help="EMPLOYEE=APPLICATION that is not; repeatable."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who decides; default the user of the system.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what was decided or joined as well.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show employees and applications that may be one person, and decide on them.

    Shows names: for people who may see them. In a terminal it asks about each.
    """
    from orchestration.landing import ingest
    from orchestration.landing.people import Decider, alias_proposals

    with _plain_errors():
        settings = load_settings(home)
        place = settings.home
        with hold(place, run_id=f"identity-{uuid.uuid4().hex[:8]}"):
            taken = ingest(place, settings.sources, progress=lambda _: None)
            decider = Decider(place, taken.proposals, by=by)
            for pair in accept or ():
                decider.decide(pair, accepted=True)
            for pair in reject or ():
                decider.decide(pair, accepted=False)
            shown = decider.shown(everything=everything)
            aliases = alias_proposals(place, taken.raw_files("interviewers"))
            if as_json:
                found = [proposal.to_json() for proposal in shown]
                _say({"matches": found, "aliases": aliases}, True, "")
                return
            if not shown and not aliases:
                out.print("Nothing to decide.")
            for proposal in shown:
                out.print(_plain(proposal.to_text()))
                if sys.stdin.isatty() and proposal.decision is None:
                    answer = typer.prompt("  same person? [y/n/later]", "later")
                    if answer[:1].lower() in ("y", "n"):
                        decider.decide(
                            f"{proposal.employee}={proposal.application}",
                            accepted=answer[:1].lower() == "y",
                        )
            if aliases:
                out.print(
                    "Interviewers of one name in several systems; if they are one"
                    f" person, write into {_plain(place.root)}/identity.yaml:"
                )
                out.print(_plain("aliases:"))
                for group in aliases:
                    out.print(_plain(f"  - [{', '.join(group)}]"))
        if decider.n_decided:
            out.print(f"{decider.n_decided} decided; they count from the next run on.")


@identity_app.command("rotate-key")
def identity_rotate_key(
    home: HomeOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether it is meant.")
    ] = False,
) -> None:
    """Replace the key of the pseudonyms; the next run makes everything anew."""
    from orchestration.landing.identity import rotate_key

    with _plain_errors():
        place = Home.resolve(home)
        if not yes:
            typer.confirm(
                "Every pseudonym changes; tables that were exported can no longer be"
                " joined to new ones. Rotate?",
                abort=True,
            )
        with hold(place, run_id=f"identity-{uuid.uuid4().hex[:8]}"):
            rotate_key(place)
        out.print("The key is new. Now: calibrant run --rebuild")


@app.command()
def erase(
    people: Annotated[
        list[str] | None,
        typer.Argument(help="SOURCE:ID, an e-mail address or a pseudonym."),
    ] = None,
    home: HomeOption = None,
    reason: Annotated[
        str, typer.Option(help="Why, for the ledger; no name.")
    ] = "request of the person",
    requests: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns person and, if any, reason."),
    ] = None,
    retention: Annotated[
        bool, typer.Option("--due", help="Everybody whose retention has run out.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(help="Who erases; default the user of the system.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether it is meant.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--run/--no-run", help="Build the generation anew at once.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Erase people: from inbox, landing, tables and caches, now and for good."""
    import datetime as dt
    import getpass

    from orchestration.landing import ingest
    from orchestration.landing import purge as purging

    with _plain_errors():
        settings = load_settings(home)
        place = settings.home
        who = by or getpass.getuser()
        with hold(place, run_id=f"erase-{uuid.uuid4().hex[:8]}"):
            taken = ingest(place, settings.sources, progress=lambda _: None)
            wanted = [(person, reason) for person in people or ()]
            if requests:
                wanted += purging.read_requests(requests, reason)
            if retention:
                today = dt.datetime.now(dt.UTC).date()
                wanted += purging.due(settings, taken, as_of=today)
            pending = purging.unfinished(place)
            if not wanted and not pending:
                raise SettingsError("nobody is named; see calibrant erase --help")
            if not yes:
                typer.confirm(
                    f"{len(wanted)} people are erased for good. Go on?", abort=True
                )
            ordered = [(certificate, purging.Subject()) for certificate in pending]
            failures = []
            for person, why in wanted:
                try:
                    ordered.append(
                        purging.order(
                            settings,
                            taken,
                            person,
                            reason=why,
                            by=who,
                            at=dt.datetime.now(dt.UTC),
                        )
                    )
                except SettingsError as error:
                    failures.append(str(error))
            for certificate, subject in ordered:
                purging.purge(settings, certificate, subject)
            stopped = _rebuild_after_erasure(settings.home) if rebuild else None
            written = []
            for certificate, subject in ordered:
                certificate.left = purging.remains(place, subject)
                written.append(certificate.write(place))
        found = [certificate.to_json() for certificate, _ in ordered]
        lines = [
            f"{certificate.id}: {sum(certificate.rows.values())} changes,"
            f" {'nothing is left' if not certificate.left else 'LEFT: '}"
            f"{', '.join(certificate.left)}; certificate {path}"
            for (certificate, _), path in zip(ordered, written, strict=True)
        ]
        _say(found, as_json, _plain("\n".join(lines)))
        if failures:
            raise SettingsError("\n".join(failures))
        if stopped:
            raise GenerationError(stopped)
        if any(certificate.left for certificate, _ in ordered):
            raise typer.Exit(Exit.FAILED)


def _rebuild_after_erasure(home: Home) -> str | None:
    """Build the current generation anew; what stopped it, or None."""
    from orchestration.defs.launch import launch_main

    generation = current_generation(home)
    if generation is None:
        return None
    sites = all(generation.site(name).is_dir() for name in AUDIENCES)
    outcome = launch_main(home, as_of=generation.as_of, sites=sites, rebuild=True)
    if outcome.success:
        return None
    lines = [*outcome.gate_failures, *outcome.failures]
    return "\n".join(["They are erased, but the new run stopped:", *lines])


@holds_app.command("add")
def holds_add(
    person: Annotated[str, typer.Argument(help="SOURCE:ID, e-mail or pseudonym.")],
    reason: Annotated[str, typer.Option(help="Why, e.g. the number of the case.")],
    home: HomeOption = None,
    by: Annotated[str | None, typer.Option(help="Who; default the user.")] = None,
) -> None:
    """Hold a person: nothing of them is erased until the hold is released."""
    import datetime as dt
    import getpass

    from orchestration.landing import ingest
    from orchestration.landing.erasure import Erasures
    from orchestration.landing.purge import Finder

    with _plain_errors():
        settings = load_settings(home)
        with hold(settings.home, run_id=f"holds-{uuid.uuid4().hex[:8]}"):
            taken = ingest(settings.home, settings.sources, progress=lambda _: None)
            subject = Finder(settings, taken).find(person)
            erasures = Erasures(settings.home)
            name = erasures.add(
                "held",
                at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                by=by or getpass.getuser(),
                reason=reason,
                digests=subject.digests(erasures.digest),
            )
        out.print(f"{name}: nothing of this person is erased until it is released.")


@holds_app.command("release")
def holds_release(
    name: Annotated[str, typer.Argument(help="The hold, e.g. held-00003.")],
    home: HomeOption = None,
    by: Annotated[str | None, typer.Option(help="Who; default the user.")] = None,
) -> None:
    """Release a hold; requests that it put off can then be carried out."""
    import datetime as dt
    import getpass

    from orchestration.landing.erasure import Erasures

    with _plain_errors():
        place = Home.resolve(home)
        with hold(place, run_id=f"holds-{uuid.uuid4().hex[:8]}"):
            erasures = Erasures(place)
            if name not in {entry["id"] for entry in erasures.holds()}:
                raise SettingsError(f"{name}: no such hold is in force")
            erasures.add(
                "released",
                hold=name,
                at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                by=by or getpass.getuser(),
            )
        out.print(f"{name} is released; erase again what it put off.")


@holds_app.command("list")
def holds_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the holds in force; no name is known to the ledger."""
    from orchestration.landing.erasure import Erasures

    with _plain_errors():
        held = [
            {name: entry[name] for name in ("id", "at", "by", "reason")}
            for entry in Erasures(Home.resolve(home)).holds()
        ]
        lines = [f"{e['id']}  {e['at']}  {e['by']}  {e['reason']}" for e in held]
        _say(held, as_json, _plain("\n".join(lines) or "No hold is in force."))


@app.command()
def simulate(
    home: HomeOption = None,
    preset: Annotated[
        str, typer.Option(help="tiny, dev or full; with _null for its null twin.")
    ] = "dev",
    seed: Annotated[
        int | None, typer.Option(help="Seed; default the preset's own.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the inbox holds.")
    ] = False,
    defect: Annotated[
        str | None,
        typer.Option(help="A named fault to put into the files, e.g. ragged_row."),
    ] = None,
) -> None:
    """Write a simulated company into the inbox, in the form real sources use."""
    import numpy as np

    from orchestration.simulation import simulate_home
    from orchestration.simulation.defects import defect as named_defect

    with _plain_errors():
        place = Home.resolve(home)
        fault = named_defect(defect) if defect else None
        started = time.perf_counter()
        written = simulate_home(place, preset, seed=seed, force=force)
        if fault:
            fault.apply(place.inbox, np.random.default_rng(seed or 0))
            out.print(f"defect {fault.name}: {_plain(fault.description)}")
        if written is None:
            out.print(f"kept   {_plain(place.inbox)}: it holds this company already")
            return
        seconds = time.perf_counter() - started
        out.print(
            f"wrote  {len(written)} files of preset {preset} into"
            f" {_plain(place.inbox)} in {seconds:.1f} s"
        )


@app.command()
def run(
    home: HomeOption = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="Last day that counts, UTC; default the last event's."),
    ] = None,
    sites: Annotated[
        bool, typer.Option("--sites/--no-sites", help="Build the two sites.")
    ] = True,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build even where nothing is new.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the main job: inbox to sites. Readers see all of it or nothing of it."""
    with _plain_errors():
        code, summary, text = _run(home, as_of, sites=sites, rebuild=rebuild)
        _say(summary, as_json, text)
        if code:
            raise typer.Exit(code)


def _run(
    root: Path | None, as_of: str | None, *, sites: bool, rebuild: bool
) -> tuple[Exit, dict[str, Any], str]:
    """The exit code, a summary and the text of one run."""
    from orchestration.doctor import node_problem
    from orchestration.landing import ingest

    settings = load_settings(root)
    home = settings.home
    date = parse_as_of(as_of) if as_of else None
    started = time.perf_counter()
    _progress_to_stderr()
    with hold(home, run_id=f"cli-{uuid.uuid4().hex[:8]}"):
        taken = ingest(home, settings.sources, progress=_progress.info)
        for warning in taken.warnings:
            err.print(f"[yellow]warning:[/yellow] {_plain(warning)}")
        if taken.problems:
            raise GenerationError("\n".join(str(p) for p in taken.problems))
        plan = plan_generation(settings, taken, as_of=date)
        no_sites = node_problem() if sites else None
        wanted = sites and no_sites is None
        generation = current_generation(home)
        if generation and not rebuild and is_current(home, plan, sites=wanted):
            text = f"Nothing new: generation {generation.id} is current."
            return _ended(generation, no_sites, text, started)
        from orchestration.defs.launch import launch_main

        outcome = launch_main(home, as_of=date, sites=wanted, rebuild=rebuild)
    kept = current_generation(home)
    if not outcome.success:
        stays = f"generation {kept.id} stays current" if kept else "nothing is current"
        lines = [*outcome.gate_failures, *outcome.failures]
        text = "\n".join(["The run stopped; " + stays + ".", *lines])
        code = Exit.STOPPED if outcome.gate_failures else Exit.FAILED
        summary = {"success": False, "run_id": outcome.run_id, "failures": lines}
        return code, summary, f"[red]{_plain(text)}[/red]"
    if kept is None:
        raise GenerationError("the run succeeded but left no generation")
    return _ended(kept, no_sites, f"Generation {kept.id} is current.", started)


def _ended(
    generation: Generation, no_sites: str | None, first: str, started: float
) -> tuple[Exit, dict[str, Any], str]:
    """What to say of a run that left a good generation."""
    from orchestration.publishing.headlines import headlines

    seconds = time.perf_counter() - started
    lines = [f"[green]{first}[/green] ({seconds:.0f} s)", ""]
    found = headlines(generation)
    lines += [f"  {_plain(line)}" for line in found]
    lines += [
        "",
        f"Tables    {_plain(generation.root)}/published/{{leaders,committee}}",
    ]
    summary: dict[str, Any] = {
        "success": True,
        "generation": generation.id,
        "as_of": generation.as_of,
        "path": str(generation.root),
        "headlines": found,
        "sites": no_sites is None,
    }
    if no_sites:
        lines.append(f"[yellow]{no_sites}[/yellow]")
        return Exit.NO_SITES, summary, "\n".join(lines)
    home = generation.root.parents[1]
    if generation.site("leaders").is_dir():
        lines.append(f"Sites     {_plain(generation.root)}/sites/{{leaders,committee}}")
        lines.append(f"Open them with: calibrant serve --home {_plain(home)}")
    return Exit.DONE, summary, "\n".join(lines)


_progress = logging.getLogger("calibrant.progress")


def _progress_to_stderr() -> None:
    """Show a line per stage while a run works."""
    if not _progress.handlers:
        handler = RichHandler(
            console=err, show_level=False, show_path=False, log_time_format="%H:%M:%S"
        )
        _progress.addHandler(handler)
        _progress.setLevel(logging.INFO)
        _progress.propagate = False


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Say what readers see: generation, gates, freshness, quarantine."""
    from orchestration.publishing.status import describe

    with _plain_errors():
        place = Home.resolve(home)
        generation = _current(place)
        about = describe(generation, holder=is_held(place))
        text = "\n".join(f"{name:<22}{_plain(value)}" for name, value in about.items())
        _say(about, as_json, text)


@policy_app.command("show")
def policy_show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show every setting of the policy, its value and where it comes from."""
    with _plain_errors():
        settings = load_settings(home)
        values = settings.policy.model_dump()
        rows = {
            name: {
                "value": values[name],
                "origin": settings.origins[name],
                "description": field.description or "",
            }
            for name, field in Policy.model_fields.items()
        }
        if as_json:
            _say(rows, True, "")
            return
        table = Table(box=None, pad_edge=False)
        for heading in ("setting", "value", "origin", "meaning"):
            table.add_column(heading, overflow="fold")
        for name, row in rows.items():
            table.add_row(
                name, _plain(row["value"]), str(row["origin"]), str(row["description"])
            )
        out.print(table)


@app.command()
def serve(
    home: HomeOption = None,
    audience: Annotated[
        Audience | None, typer.Option(help="One site only; default both.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the first site.")] = 8010,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the current sites on this machine, until interrupted."""
    from orchestration.publishing.serve import serve_sites

    with _plain_errors():
        place = Home.resolve(home)
        generation = _current(place)
        chosen = (audience.value,) if audience else AUDIENCES
        for name in chosen:
            if not generation.site(name).is_dir():
                raise GenerationError(
                    f"generation {generation.id} has no site for {name};"
                    " install Node 20 and run `calibrant run`"
                )
        serve_sites(place, chosen, bind=bind, port=port, say=out.print)


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Examine machine, environment and home; each finding comes with its cure."""
    from orchestration.doctor import examine

    with _plain_errors():
        findings = examine(Home.resolve(home))
        if as_json:
            _say([finding.__dict__ for finding in findings], True, "")
        else:
            colours = {"ok": "green", "warning": "yellow", "fault": "red"}
            for finding in findings:
                colour = colours[finding.level]
                line = f"[{colour}]{finding.level:<8}[/{colour}]{finding.name:<12}"
                out.print(line + _plain(finding.found))
                if finding.cure:
                    out.print(f"{'':20}→ {_plain(finding.cure)}")
        if any(finding.level == "fault" for finding in findings):
            raise typer.Exit(Exit.FAILED)


@app.command()
def explain(
    name: Annotated[
        str, typer.Argument(help="TABLE or TABLE.COLUMN, e.g. rpt_funnel.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Explain a table (its question, number, reading, limits, columns) or a column."""
    from orchestration.explanations import PARTS, descriptions, reader_texts

    with _plain_errors():
        models = descriptions()
        table, _, column = name.partition(".")
        known = table if table in models else f"rpt_{table}"
        model = models.get(known)
        if model is None:
            raise SettingsError(
                f"unknown table {table!r}; known: {', '.join(sorted(models))}"
            )
        columns = model["columns"]
        if column and column not in columns:
            raise SettingsError(
                f"{table} has no column {column!r}; it has: {', '.join(columns)}"
            )
        if column:
            text = _plain(columns[column])
            _say({column: columns[column]}, as_json, text, is_prose=True)
            return
        lines = [model["description"], ""]
        told = reader_texts().get(known)
        if told:
            model["reader"] = {"title": told.title, **told.parts}
            parts = (f"{PARTS[key]}\n{text}\n" for key, text in told.parts.items())
            lines = [told.title, "", *parts, *lines]
        if as_json or not out.is_terminal:
            lines += [f"{key:<28}{text}" for key, text in columns.items()]
            _say(model, as_json, _plain("\n".join(lines)))
            return
        _say(model, as_json, _plain("\n".join(lines)), is_prose=True)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        for key, text in columns.items():
            grid.add_row(key, _plain(text))
        out.print(grid, soft_wrap=False)


@app.command()
def docs(home: HomeOption = None) -> None:
    """Write dbt's documentation of the current generation as one HTML file."""
    from orchestration.dbt_runner import write_docs

    with _plain_errors():
        place = Home.resolve(home)
        page = write_docs(
            _current(place).root / "warehouse.duckdb", folder=place.cache / "docs"
        )
        out.print(f"wrote  {_plain(page)}: open it in a browser")


@app.command()
def export(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Published tables; default all.")
    ] = None,
    home: HomeOption = None,
    audience: Annotated[
        Audience, typer.Option(help="Whose tables.")
    ] = Audience.leaders,
    form: Annotated[Format, typer.Option("--format", help="csv or xlsx.")] = Format.csv,
    folder: Annotated[Path, typer.Option("--to", help="Folder to write to.")] = Path(
        "export"
    ),
) -> None:
    """Write published tables as CSV or XLSX, safe to open in a spreadsheet."""
    from orchestration.publishing.export import export as export_tables

    with _plain_errors():
        written = export_tables(
            _current(Home.resolve(home)),
            audience=audience.value,
            tables=tables or (),
            form=form.value,
            folder=folder,
        )
        for path in written:
            out.print(_plain(path))


@app.command()
def ll144(
    home: HomeOption = None,
    window: Annotated[
        str | None,
        typer.Option(help="Closed year, or `all`; default the newest year."),
    ] = None,
    role_family: Annotated[
        str | None, typer.Option(help="One role family; default all together.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="csv or xlsx.")] = Format.csv,
    folder: Annotated[
        Path | None, typer.Option("--to", help="Default <home>/restricted/ll144.")
    ] = None,
) -> None:
    """Write what a bias audit under New York's Local Law 144 asks for; restricted."""
    from orchestration.publishing.ll144 import write_ll144

    with _plain_errors():
        place = Home.resolve(home)
        written = write_ll144(
            _current(place),
            folder=folder or place.restricted / "ll144",
            form=form.value,
            window=window,
            role_family=role_family,
        )
        for path in written:
            out.print(_plain(path))
        out.print("Groups of any size are in it: keep it restricted.")

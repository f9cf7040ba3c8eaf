"""Landing: immutable copies of what came in, content-addressed, manifest last."""

import datetime as dt
import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.landing.contract import ENTITIES, likely
from orchestration.landing.reader import Problem, RefusedFileError
from orchestration.settings import Home

FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
MAX_DEPTH = 2
# A table of ratings of a million applications is about a gigabyte of CSV.
MAX_BYTES = 20 << 30
COPY_BYTES = 1 << 20
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)")


@dataclass(frozen=True)
class Arrived:
    """A file of the inbox that can be taken."""

    path: Path
    source: str
    entity: str
    form: str

    @property
    def name(self) -> str:
        """Its name in the inbox, for messages and lineage."""
        return f"{self.source}/{self.path.name}"

    @property
    def extracted_on(self) -> dt.date | None:
        """The date in its name, if there is one."""
        found = _DATE.search(self.path.name)
        try:
            return dt.date(*map(int, found.groups())) if found else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Landed:
    """A file in the landing store."""

    arrived: Arrived
    path: Path
    sha256: str


def arrivals(inbox: Path) -> tuple[list[Arrived], list[Problem], list[str]]:
    """Return the files of the inbox, what is wrong with others, and warnings.

    The inbox is the truth of names: a file that is gone from it is no longer read.
    """
    taken: list[Arrived] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    if not inbox.is_dir():
        problems.append(_empty(inbox))
        return taken, problems, warnings
    try:
        found = sorted(_files(inbox))
    except OSError as error:
        problems.append(
            Problem(
                "unreadable_folder",
                str(inbox),
                f"the inbox cannot be read: {error.strerror}",
                "Check that it is mounted and that this user may read it.",
            )
        )
        return taken, problems, warnings
    for path in found:
        judged = _judged(inbox, path)
        if isinstance(judged, Arrived):
            taken.append(judged)
        elif isinstance(judged, Problem):
            problems.append(judged)
        elif judged:
            warnings.append(judged)
    if not found:
        problems.append(_empty(inbox))
    elif not problems and not any(file.entity == "applications" for file in taken):
        problems.append(
            Problem(
                "no_applications",
                str(inbox),
                "there is no file of applications, the one entity every run needs",
                "Add <source>/applications.csv (or .jsonl, .parquet).",
            )
        )
    return taken, problems, warnings


def land(
    home: Home,
    file: Arrived,
    hashes: Mapping[str, str],
    *,
    clean: Callable[[Path, Path], int] | None = None,
) -> Landed:
    """Copy a file into the landing store unless its bytes are there already.

    Parameters
    ----------
    hashes : mapping of str to str
        SHA-256 by stamp of files seen before, so that unchanged ones are not read.
    clean : callable, optional
        Writes a file without the rows of those erased; returns how many it changed.
        Given where somebody is erased: what a source delivers again stays erased.

    Raises
    ------
    RefusedFileError
        If it cannot be read, or is being written to.
    """
    store = home.landing / file.source / file.entity
    try:
        before = stamp(file.path)
        digest = hashes.get(before)
        if digest is None or not _is_stored(store / digest[:16]):
            digest = _store(file, store, before, clean)
    except OSError as error:
        raise RefusedFileError(
            Problem(
                "unreadable_file",
                file.name,
                f"it cannot be copied: {error.strerror or type(error).__name__}",
                "Check the file, its rights and the free space, and run again.",
            )
        ) from None
    folder = store / digest[:16]
    target = folder / file.path.name
    if not target.exists():
        # The same bytes under another name: the stored copy serves both.
        name = json.loads((folder / "manifest.json").read_text())["name"]
        target = folder / name.partition("/")[2]
    return Landed(file, target, digest)


def _is_stored(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def _store(
    file: Arrived,
    store: Path,
    before: str,
    clean: Callable[[Path, Path], int] | None,
) -> str:
    """Copy a file, then note it: what has no manifest was not landed."""
    store.mkdir(parents=True, exist_ok=True)
    packed = ".gz" if file.path.name.endswith(".gz") else ""
    temporary = store / f".incoming.tmp{packed}"
    temporary.unlink(missing_ok=True)
    digest = _copy(file.path, temporary)
    erased_rows = 0
    if clean:
        cleaned = store / f".cleaned.tmp{packed}"
        erased_rows = clean(temporary, cleaned)
        if erased_rows:
            temporary.unlink()
            digest = _copy(cleaned, temporary)
            cleaned.unlink()
    if stamp(file.path) != before:
        temporary.unlink()
        raise RefusedFileError(
            Problem(
                "changing_file",
                file.name,
                "it was written to while it was read",
                "Run again once the export has ended.",
            )
        )
    folder = store / digest[:16]
    if _is_stored(folder):
        temporary.unlink()
        return digest
    folder.mkdir(exist_ok=True)
    target = folder / file.path.name
    temporary.chmod(0o400)
    temporary.replace(target)
    manifest = {
        "name": file.name,
        "sha256": digest,
        "bytes": target.stat().st_size,
        "source": file.source,
        "entity": file.entity,
        "extracted_on": file.extracted_on and file.extracted_on.isoformat(),
        "erased_rows": erased_rows,
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True))
    return digest


def _copy(source: Path, target: Path) -> str:
    """Copy a file while hashing it; return its SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(COPY_BYTES):
            digest.update(block)
            written.write(block)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def read_note(path: Path) -> dict[str, Any] | None:
    """Return what a JSON note holds; None where it is absent or torn."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def stamp(path: Path) -> str:
    """Return what changes whenever a file is written: path, size and time."""
    about = path.stat()
    return f"{path}|{about.st_size}|{about.st_mtime_ns}|{about.st_ino}"


def undated(name: str) -> str:
    """Return a file's name without the date of its extract."""
    return _DATE.sub("", name)


def removed_columns(
    name: str, entity: str, gone: Sequence[str], new: Sequence[str]
) -> Problem:
    """Return the refusal of a file that has lost columns, with what they may be now."""
    said = [
        f"{column!r}" + (f" ({near[0]!r} is there)" if near else "")
        for column in gone
        for near in [difflib.get_close_matches(column, list(new), n=1, cutoff=0.5)]
    ]
    return Problem(
        "removed_column",
        name,
        f"columns that it had are gone: {', '.join(said)}",
        "Deliver them under their names again; if they are gone for good, list"
        f" {', '.join(f'{entity}.{column}' for column in gone)} under dropped_columns"
        " of the source in sources.yaml.",
    )


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and Path(entry.name).suffix not in FORMS:
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def _judged(inbox: Path, path: Path) -> Arrived | Problem | str:
    """What one file of the inbox is; a file that vanishes meanwhile is a problem."""
    try:
        return _judge(inbox, path)
    except OSError as error:
        return Problem(
            "unreadable_file",
            str(path.relative_to(inbox)),
            f"it cannot be read: {error.strerror or type(error).__name__}",
            "Check that it is still there, and run again.",
        )


def _judge(inbox: Path, path: Path) -> Arrived | Problem | str:
    """What one file of the inbox is: taken, refused, or left aside with a warning."""
    where = str(path.relative_to(inbox))
    if path.is_symlink():
        return Problem(
            "symlink",
            where,
            "symbolic links are not followed",
            "Copy the file itself into the inbox.",
        )
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        return Problem("no_file", where, "this is no regular file", "Remove it.")
    parts = path.relative_to(inbox).parts
    if len(parts) != MAX_DEPTH or not _SLUG.match(parts[0]):
        return Problem(
            "misplaced_file",
            where,
            "files lie in <source>/<entity>.csv, the source a name in small letters",
            f"Move it, e.g. to {inbox}/csv/{path.name}.",
        )
    plain = path.name.removesuffix(".gz")
    form = FORMS.get(Path(plain).suffix)
    if form is None or (form == "parquet" and path.name.endswith(".gz")):
        return f"{where}: left aside; CSV, JSON Lines and Parquet are read"
    entity = plain.split(".")[0]
    if entity not in ENTITIES:
        hint = likely(entity, list(ENTITIES))
        return Problem(
            "unknown_entity",
            where,
            f"{entity!r} is no entity of the landing contract",
            hint.capitalize() or f"Known: {', '.join(ENTITIES)}.",
        )
    if about.st_size == 0:
        return Problem(
            "empty_file", where, "the file is empty", "Export it again, with a header."
        )
    if about.st_size > MAX_BYTES:
        return Problem("too_large", where, "over 20 GB", "Split it by date.")
    if not os.access(path, os.R_OK):
        return Problem(
            "unreadable_file",
            where,
            "it may not be read by this user",
            "Let it be readable: chmod u+r.",
        )
    return Arrived(path, parts[0], entity, form)


def _empty(inbox: Path) -> Problem:
    return Problem(
        "empty_inbox",
        str(inbox),
        "the inbox is empty",
        "Put files into <source>/<entity>.csv (applications at least), or try"
        " `calibrant simulate`.",
    )

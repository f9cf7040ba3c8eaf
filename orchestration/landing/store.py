"""Landing: immutable copies of what came in, content-addressed, manifest last."""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration.landing.contract import ENTITIES, likely
from orchestration.landing.parse import Problem
from orchestration.settings import Home

FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
MAX_DEPTH = 2
# A table of ratings of a million applications is about a gigabyte of CSV.
MAX_BYTES = 20 << 30
# Text compresses about ten times; far beyond that it is a bomb.
MAX_RATIO = 200
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


def arrivals(home: Home) -> tuple[list[Arrived], list[Problem], list[str]]:
    """Return the files of the inbox, what is wrong with others, and warnings.

    The inbox is the truth of names: a file that is gone from it is no longer read.
    """
    taken: list[Arrived] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    if not home.inbox.is_dir():
        problems.append(_empty(home))
        return taken, problems, warnings
    try:
        found = sorted(_files(home.inbox))
    except OSError as error:
        problems.append(
            Problem(
                "unreadable_folder",
                str(home.inbox),
                f"the inbox cannot be read: {error.strerror}",
                "Check that it is mounted and that this user may read it.",
            )
        )
        return taken, problems, warnings
    for path in found:
        judged = _judge(home, path)
        if isinstance(judged, Arrived):
            taken.append(judged)
        elif isinstance(judged, Problem):
            problems.append(judged)
        elif judged:
            warnings.append(judged)
    if not found:
        problems.append(_empty(home))
    elif not problems and not any(file.entity == "applications" for file in taken):
        problems.append(
            Problem(
                "no_applications",
                str(home.inbox),
                "there is no file of applications, the one entity every run needs",
                "Add <source>/applications.csv (or .jsonl, .parquet).",
            )
        )
    return taken, problems, warnings


def land(home: Home, file: Arrived, hashes: Mapping[str, str]) -> Landed:
    """Copy a file into the landing store unless its bytes are there already.

    Parameters
    ----------
    hashes : mapping of str to str
        SHA-256 by stamp of files seen before, so that unchanged ones are not read.
    """
    digest = hashes.get(stamp(file.path)) or _sha256(file.path)
    folder = home.landing / file.source / file.entity / digest[:16]
    target = folder / file.path.name
    if not (folder / "manifest.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{file.path.name}.tmp"
        shutil.copyfile(file.path, temporary)
        with temporary.open("rb") as copied:
            os.fsync(copied.fileno())
        temporary.chmod(0o400)
        temporary.replace(target)
        manifest = {
            "name": file.name,
            "sha256": digest,
            "bytes": target.stat().st_size,
            "source": file.source,
            "entity": file.entity,
        }
        note = folder / ".manifest.tmp"
        note.write_text(json.dumps(manifest, indent=1, sort_keys=True))
        note.replace(folder / "manifest.json")
    elif not target.exists():
        # The same bytes under another name: the stored copy serves both.
        target = next(p for p in folder.iterdir() if p.suffix != ".json")
    return Landed(file, target, digest)


def stamp(path: Path) -> str:
    """Return what changes whenever a file is written: path, size and time."""
    about = path.stat()
    return f"{path}|{about.st_size}|{about.st_mtime_ns}|{about.st_ino}"


def _files(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def _judge(home: Home, path: Path) -> Arrived | Problem | str:
    """What one file of the inbox is: taken, refused, or left aside with a warning."""
    where = str(path.relative_to(home.inbox))
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
    parts = path.relative_to(home.inbox).parts
    if len(parts) != MAX_DEPTH or not _SLUG.match(parts[0]):
        return Problem(
            "misplaced_file",
            where,
            "files lie in <source>/<entity>.csv, the source a name in small letters",
            f"Move it, e.g. to {home.inbox}/csv/{path.name}.",
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
            "unreadable_file", where, "it may not be read by this user", "chmod u+r"
        )
    return Arrived(path, parts[0], entity, form)


def _empty(home: Home) -> Problem:
    return Problem(
        "empty_inbox",
        str(home.inbox),
        "the inbox is empty",
        "Put files into <source>/<entity>.csv (applications at least), or try"
        " `calibrant simulate`.",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

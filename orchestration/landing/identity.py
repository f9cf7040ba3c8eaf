"""People past raw are keyed pseudonyms; who is who stays in `restricted/`."""

import hashlib
import hmac
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from orchestration.landing.contract import Entity
from orchestration.settings import Home

KEY_BYTES = 32


def load_key(home: Home, name: str = "key") -> bytes:
    """Return a key of the home, made on first use and readable by its owner only.

    Parameters
    ----------
    name : {"key", "ledger_key"}
        `key` makes pseudonyms and can be rotated; `ledger_key` names people in ledgers,
        which outlive every rotation.
    """
    path = home.restricted / name
    home.restricted.mkdir(parents=True, exist_ok=True)
    home.restricted.chmod(0o700)
    if not path.is_file():
        temporary = path.with_name(f".{name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    path.chmod(0o600)
    return path.read_bytes()


def pseudonym(key: bytes, native: str) -> str:
    """Return the pseudonym of a `<source>:<id>`: HMAC-SHA256, 128 bits of it."""
    return "p_" + hmac.digest(key, native.encode(), "sha256").hex()[:32]


def ledger_digest(home: Home) -> Callable[[str], str]:
    """Return what turns a native id into what a ledger may hold of it."""
    key = load_key(home, "ledger_key")
    return lambda native: "d_" + hmac.digest(key, native.encode(), "sha256").hex()[:32]


def rotate_key(home: Home) -> None:
    """Replace the key: no pseudonym made before can be told from one made after.

    What holds old pseudonyms and can be made again is removed; the next run makes it.
    """
    load_key(home)
    (home.restricted / "key").unlink()
    load_key(home)
    for folder in (home.raw, home.quarantine, home.cache):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in home.restricted.iterdir():
        if folder.is_dir() and folder.name != "mirror":
            shutil.rmtree(folder)


def derived(key: bytes, purpose: str) -> str:
    """Return a secret for another purpose, which does not betray the key."""
    return hmac.digest(key, f"purpose:{purpose}".encode(), "sha256").hex()


def declare_pseudonyms(
    connection: duckdb.DuckDBPyConnection, key: bytes, aliases: Mapping[str, str]
) -> None:
    """Make the macros `pseudonym(native)` and `canonical(native)` of a connection.

    `pseudonym` is RFC 2104 in SQL, of the id that counts for a person.

    The key is bound, never part of a statement: statements end up in messages.
    """
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    for name, mask in (("inner_pad", 0x36), ("outer_pad", 0x5C)):
        pad = bytes(byte ^ mask for byte in block)
        connection.execute(f"set variable {name} = ?", [pad])
    connection.execute(
        "set variable aliases = map(?, ?)", [list(aliases), list(aliases.values())]
    )
    canonical = (
        "coalesce(getvariable('aliases')[native], native)" if aliases else "native"
    )
    connection.execute(f"create or replace temp macro canonical(native) as {canonical}")
    connection.execute(
        "create or replace temp macro pseudonym(native) as case when native is not null"
        " then 'p_' || left(sha256(getvariable('outer_pad') || unhex(sha256("
        "getvariable('inner_pad') || encode(canonical(native))))), 32) end"
    )


def write_restricted(
    connection: duckdb.DuckDBPyConnection, entity: Entity, path: Path
) -> None:
    """Write names, e-mails and free text of `typed` beside their pseudonyms."""
    restricted = [c.name for c in entity.columns if c.is_restricted]
    if not restricted:
        return
    person = next(
        (c.name for c in entity.columns if c.is_key and c.kind == "person"), None
    )
    key = person or next(c.name for c in entity.columns if c.is_key)
    subject = f'pseudonym("{key}")' if person else f'"{key}"'
    columns = ", ".join(f'"{name}"' for name in restricted)
    write_private(
        connection,
        f"select {subject} as subject, \"{key}\" as native_id, '{entity.name}' as kind,"
        f" {columns} from typed order by _line",
        path,
    )


def write_private(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """Write the rows of a query as Parquet that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    copy(connection, sql, temporary)
    temporary.chmod(0o600)
    temporary.replace(path)


def copy(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """Write the rows of a query as Parquet."""
    target = str(path).replace("'", "''")
    connection.execute(f"copy ({sql}) to '{target}' (format parquet, compression zstd)")


def names(home: Home, delivered: Sequence[str | Path]) -> dict[str, str]:
    """Return the full name of each interviewer by pseudonym, for the committee only.

    Parameters
    ----------
    delivered : sequence of str or Path
        Raw files of interviewers that count; names lie under the same file names.
    """
    found: dict[str, str] = {}
    for raw in delivered:
        path = home.restricted / "interviewers" / Path(raw).name
        if not path.is_file():
            continue
        table = pq.read_table(path)
        if "full_name" in table.column_names:
            pairs = zip(
                table["subject"].to_pylist(),
                table["full_name"].to_pylist(),
                strict=True,
            )
            found |= {subject: name for subject, name in pairs if subject and name}
    return found

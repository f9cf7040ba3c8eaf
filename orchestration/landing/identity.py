"""People past raw are keyed pseudonyms; who is who stays in `restricted/`."""

import base64
import hmac
import os
import secrets
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.contract import Entity
from orchestration.settings import Home

KEY_BYTES = 32


def load_key(home: Home) -> bytes:
    """Return the home's key, made on first use and readable by its owner only."""
    path = home.restricted / "key"
    if not path.is_file():
        home.restricted.mkdir(parents=True, exist_ok=True)
        home.restricted.chmod(0o700)
        temporary = path.with_name(".key.tmp")
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600), "wb"
        ) as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        temporary.replace(path)
    return path.read_bytes()


def pseudonym(key: bytes, native: str) -> str:
    """Return the pseudonym of a `<source>:<id>`: HMAC-SHA256, 130 bits of it."""
    digest = hmac.digest(key, native.encode(), "sha256")
    return "p_" + base64.b32encode(digest).decode()[:26].lower()


def pseudonymise(
    connection: duckdb.DuckDBPyConnection, entity: Entity, key: bytes
) -> None:
    """Make `people` (native, pseudonym) of every person that `typed` names."""
    columns = [c.name for c in entity.columns if c.kind == "person"]
    if not columns:
        connection.execute(
            "create or replace table people (native varchar, pseudonym varchar)"
        )
        return
    union = " union ".join(
        f'select distinct "{name}" as native from typed where "{name}" is not null'
        for name in columns
    )
    natives = connection.sql(union).to_arrow_table()["native"].to_pylist()
    people = pa.table(
        {
            "native": pa.array(natives, pa.string()),
            "pseudonym": pa.array([pseudonym(key, n) for n in natives], pa.string()),
        }
    )
    connection.register("people_view", people)
    connection.execute("create or replace table people as select * from people_view")
    connection.unregister("people_view")


def write_restricted(
    connection: duckdb.DuckDBPyConnection, entity: Entity, path: Path
) -> None:
    """Write names, e-mails and free text of `typed` beside their pseudonyms."""
    restricted = [c.name for c in entity.columns if c.is_restricted]
    person = next(
        (c.name for c in entity.columns if c.is_key and c.kind == "person"), None
    )
    if not restricted:
        return
    key = person or next(c.name for c in entity.columns if c.is_key)
    mapped = "p.pseudonym" if person else f't."{key}"'
    join = f'left join people p on p.native = t."{key}"' if person else ""
    columns = ", ".join(f't."{name}"' for name in restricted)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    temporary = path.with_name(f".{path.name}.tmp")
    table = connection.sql(
        f"select {mapped} as subject, t.\"{key}\" as native_id, '{entity.name}' as kind,"
        f" {columns} from typed t {join} order by t._line"
    ).to_arrow_table()
    pq.write_table(table, temporary, compression="zstd")
    temporary.chmod(0o600)
    temporary.replace(path)


def names(home: Home) -> dict[str, str]:
    """Return the full name of each interviewer by pseudonym, for the committee only."""
    found: dict[str, str] = {}
    for path in sorted((home.restricted / "interviewers").glob("*.parquet")):
        table = pq.read_table(path)
        if "full_name" in table.column_names:
            pairs = zip(
                table["subject"].to_pylist(),
                table["full_name"].to_pylist(),
                strict=True,
            )
            found |= {subject: name for subject, name in pairs if subject and name}
    return found

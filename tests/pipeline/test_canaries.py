"""Tokens planted in every place a person stands are found in the zones allowed only."""

import gzip
import shutil
import sqlite3
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CANARY = "Canary5f"
# Where what was delivered may lie; all else is made of it.
DELIVERED = {"inbox", "landing", "restricted"}
SECRET = f"{CANARY}secret0001"


def tokens(kind: str, n: int) -> pa.Array:
    return pa.array([f"{CANARY}{kind}{number:04}" for number in range(n)])


def plant(home) -> None:
    """Names, addresses, notes and refused rows with a token of their own each."""
    for path, columns in {
        "ats/candidates": {"full_name": "name", "email": "mail"},
        "ats/interviewers": {"full_name": "staff"},
        "ats/scorecards": {"notes": "note"},
        "hris/employees": {"full_name": "hired", "work_email": "work"},
        "ats/applications": {"unknown_column": "extra"},
    }.items():
        file = home.inbox / f"{path}.parquet"
        table = pq.read_table(file)
        for column, kind in columns.items():
            values = tokens(kind, table.num_rows)
            if column in table.column_names:
                place = table.column_names.index(column)
                table = table.set_column(place, column, values)
            else:
                table = table.append_column(column, values)
        pq.write_table(table, file)
    ratings = home.inbox / "ats" / "ratings.parquet"
    table = pq.read_table(ratings)
    values = np.array(table["rating"].to_pylist(), dtype=object)
    values[:3] = f"{CANARY}rating"
    place = table.column_names.index("rating")
    pq.write_table(table.set_column(place, "rating", pa.array(values)), ratings)
    key = home.root.with_name(f"{home.root.name}-key")
    key.write_text(SECRET)
    home.sources_file.write_text(
        home.sources_file.read_text()
        + "  lever:\n    connector:\n      kind: lever\n"
        + "      base_url: http://127.0.0.1:9\n"
        + f"      credentials: {{api_key: 'file:{key}'}}\n"
    )


@pytest.fixture(scope="module")
def planted(copies, calibrant):
    home = copies()
    plant(home)
    told = calibrant("run", "--no-sites", "--rebuild", home=home)
    assert told.code == 0, told.text
    spoken = told.text + "".join(
        calibrant(*words, home=home).text
        for words in (
            ("status",), ("check",), ("quarantine", "list"), ("quarantine", "show"),
            ("sources", "check"), ("doctor",), ("policy", "show"), ("holds", "list"),
        )
    )  # fmt: skip
    yield home, spoken
    shutil.rmtree(home.root)


def found(path: Path) -> set[str]:
    """Kinds of tokens that a file holds, whatever its form."""
    text = _plain(path)
    kinds = ("name", "mail", "staff", "note", "hired", "work", "extra", "rating",
             "secret")  # fmt: skip
    return {kind for kind in kinds if f"{CANARY}{kind}" in text}


def _plain(path: Path) -> str:
    if path.suffix == ".parquet":
        return repr(pq.read_table(path).to_pylist())
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = connection.execute(
                "select schema_name, table_name from duckdb_tables() where not internal"
            ).fetchall()
            return "".join(
                repr(connection.execute(f'select * from "{s}"."{t}"').fetchall())
                for s, t in tables
            )
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:15] == b"SQLite format 3":
        with sqlite3.connect(path) as connection:
            return "".join(connection.iterdump()) + content.decode("latin-1")
    return content.decode("latin-1")


def by_zone(home) -> dict[str, set[str]]:
    zones: dict[str, set[str]] = {}
    for path in sorted(home.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(home.root)
            zone = name.parts[0]
            if "published" in name.parts:
                zone = "/".join(name.parts[2:4])
            zones.setdefault(zone, set()).update(found(path))
    return zones


def test_nothing_that_was_planted_leaves_the_zones_it_may_be_in(planted):
    home, _ = planted

    leaked = {
        zone: kinds for zone, kinds in by_zone(home).items() if zone not in DELIVERED
    }

    # The committee reads interviewers by name; a rating is what raw is about.
    assert leaked.pop("published/committee") <= {"staff"}
    assert leaked.pop("raw") <= {"rating"}
    warehouse = leaked.pop("generations")
    assert warehouse <= {"rating"}
    assert {zone: kinds for zone, kinds in leaked.items() if kinds} == {}


def test_the_search_finds_what_was_planted_where_it_was(planted):
    home, _ = planted

    zones = by_zone(home)

    planted_kinds = {
        "name",
        "mail",
        "staff",
        "note",
        "hired",
        "work",
        "extra",
        "rating",
    }
    assert planted_kinds <= zones["inbox"]
    assert {"name", "mail", "staff", "note", "hired", "work"} <= zones["restricted"]
    assert "staff" in zones["published/committee"]


def test_nothing_that_the_command_says_holds_a_token(planted):
    _, spoken = planted

    assert CANARY not in spoken.replace(f"{CANARY}rating", "")
    assert SECRET not in spoken

"""A whole run on a tiny company: what becomes current, and what it is known by."""

import json
import shutil
import time

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.publishing.generation import (
    AUDIENCES,
    CODE_FOLDERS,
    GATES,
    current_generation,
    sha256,
)
from orchestration.publishing.zones import ZONES
from orchestration.settings import Home

ABOUT = {"gates", "generation", "definitions"}
TABLES = [(audience, table) for audience in AUDIENCES for table in ZONES[audience]]


def _published(generation):
    """Every published file's bytes by its place."""
    return {
        str(path.relative_to(generation.root)): path.read_bytes()
        for path in sorted((generation.root / "published").rglob("*.parquet"))
    }


def _configured_like(home, root):
    """Another home with the same inbox, settings and key, and no history."""
    root.mkdir(parents=True)
    for name in ("inbox", "design"):
        shutil.copytree(home.root / name, root / name)
    for name in ("sources.yaml", "policy.yaml"):
        shutil.copyfile(home.root / name, root / name)
    # Pseudonyms depend on the key, so the same people need the same one.
    (root / "restricted").mkdir()
    shutil.copyfile(home.restricted / "key", root / "restricted" / "key")
    return Home(root)


@pytest.fixture(scope="module")
def rebuilt(copies, calibrant):
    """A copy of the tiny home that was built once more from the same inputs."""
    home = copies()
    told = calibrant("run", "--no-sites", "--rebuild", home=home)
    assert told.code == 0, told.text
    yield home
    shutil.rmtree(home.root)


def test_a_run_leaves_its_generation_current(tiny):
    assert tiny.generation.root.parent == tiny.home.generations
    assert tiny.home.current.is_symlink()
    assert not list(tiny.home.generations.glob(".building-*"))


def test_a_run_ends_with_its_findings(tiny):
    assert "200 applications up to 2026-10-2" in tiny.built.text
    assert f"Generation {tiny.generation.id} is current" in tiny.built.text


@pytest.mark.parametrize("audience", AUDIENCES)
def test_published_files_are_the_tables_of_the_zone_and_no_other(tiny, audience):
    found = {path.stem for path in tiny.generation.published(audience).iterdir()}

    assert found == {*ZONES[audience], *ABOUT}


@pytest.mark.parametrize(("audience", "table"), TABLES)
def test_every_published_row_has_a_status_a_generation_and_a_date(
    tiny, audience, table
):
    path = tiny.generation.published(audience) / f"{table}.parquet"

    (found,) = duckdb.execute(
        "select count(*), count(status), count(*) filter (where generation = ?),"
        " count(*) filter (where as_of = ?) from read_parquet(?)",
        [tiny.generation.id, tiny.generation.as_of, str(path)],
    ).fetchall()

    assert found[0] > 0
    assert set(found) == {found[0]}


def test_the_manifest_has_the_bytes_of_every_file(tiny):
    root = tiny.generation.root
    kept = [
        str(path.relative_to(root))
        for folder in ("published", "gates")
        for path in (root / folder).rglob("*")
        if path.is_file()
    ]

    expected = {name: sha256(root / name) for name in kept}

    assert tiny.generation.manifest["files"] == expected


def test_the_manifest_says_what_it_was_made_from(tiny):
    manifest = tiny.generation.manifest
    inbox = {
        str(path.relative_to(tiny.home.inbox)): sha256(path)
        for path in tiny.home.inbox.rglob("*.parquet")
    }

    assert {f["name"]: f["sha256"] for f in manifest["input_files"]} == inbox
    assert manifest["baseline"] is None
    assert {"python", "duckdb", "dbt-core", "calibrant"} <= set(manifest["versions"])
    assert len(manifest["config_hash"]) == 64
    assert manifest["code_version"].startswith(manifest["versions"]["calibrant"])


def test_the_manifest_has_every_gate_and_every_count(tiny):
    manifest = tiny.generation.manifest
    rows = {
        f"{path.parent.name}/{path.stem}": pq.read_metadata(path).num_rows
        for path in (tiny.generation.root / "published").rglob("*.parquet")
    }

    assert manifest["row_counts"] == rows
    assert set(manifest["gates"]) == set(GATES)
    assert all(gate["success"] for gate in manifest["gates"].values())
    assert all(gate["n_checks"] > 5 for gate in manifest["gates"].values())


def test_rows_in_are_accepted_repeated_or_quarantined(tiny):
    for file in tiny.generation.manifest["input_files"]:
        parts = file["accepted"] + file["duplicates"] + file["quarantined"]
        assert file["rows_in"] == parts


def test_another_home_builds_the_same_generation_byte_for_byte(
    tiny, scratch, calibrant
):
    other = _configured_like(tiny.home, scratch / "other")

    calibrant("run", "--no-sites", home=other)

    twin = current_generation(other)
    assert twin.id == tiny.generation.id
    assert twin.manifest == tiny.generation.manifest
    assert _published(twin) == _published(tiny.generation)


def test_a_rebuild_has_the_same_bytes(tiny, rebuilt):
    assert _published(current_generation(rebuilt)) == _published(tiny.generation)


def test_a_rebuild_is_the_same_generation_in_a_folder_of_its_own_run(tiny, rebuilt):
    again = current_generation(rebuilt)
    runs = [
        json.loads((generation.root / "run.json").read_text())["run_id"]
        for generation in (tiny.generation, again)
    ]

    assert again.id == tiny.generation.id
    assert again.manifest == tiny.generation.manifest
    assert runs[0] != runs[1]


def test_a_second_run_finds_nothing_new_within_seconds(tiny, calibrant):
    started = time.perf_counter()

    told = calibrant("run", "--no-sites", home=tiny.home)

    assert time.perf_counter() - started < 5
    assert told.code == 0
    assert f"Nothing new: generation {tiny.generation.id} is current." in told.text


def test_an_older_date_does_not_move_the_pointer(tiny, calibrant):
    told = calibrant("run", "--no-sites", "--as-of", "2026-06-30", home=tiny.home)

    assert told.code == 2
    assert "as_of 2026-06-30 is before" in told.text
    assert "readers would go back in time" in told.text
    assert tiny.home.current.resolve() == tiny.generation.root


def test_without_node_all_but_the_sites_is_built_and_the_command_says_how(tiny):
    assert tiny.built.code == 5
    assert "Node is missing, so the sites are not built" in tiny.built.text
    assert "install Node 20 or later (with npm) and run again" in tiny.built.text
    assert not tiny.generation.site("leaders").exists()


def test_the_hash_of_the_code_covers_every_folder_that_makes_numbers_or_pages():
    folders = {"orchestration", "expectations", "dbt_project", "dashboards"}

    assert set(CODE_FOLDERS) == folders

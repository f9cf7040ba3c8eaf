"""`calibrant sync` and its job: every source is read, and what fails is said."""

import json

import dagster as dg
import pytest

from orchestration.definitions import defs
from orchestration.landing import ingest
from orchestration.landing.purge import Finder, remains
from orchestration.settings import load_settings
from tests.fakes.lever import KEY, NAME, FakeLever

SOURCES = """
sources:
  lever:
    connector:
      kind: lever
      base_url: {url}/v1
      credentials: {{api_key: env:LEVER_KEY}}
"""
UNREACHABLE = """
  elsewhere:
    connector:
      kind: ashby
      base_url: {url}/nothing
      credentials: {{api_key: env:LEVER_KEY}}
"""


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("LEVER_KEY", KEY)
    with FakeLever() as running:
        yield running


@pytest.fixture
def connected(fresh, service):
    """A home whose only source is a service."""
    fresh.root.mkdir(parents=True)
    fresh.sources_file.write_text(SOURCES.format(url=service.url))
    return fresh


def run_job(home) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("sync").execute_in_process(
        run_config={"resources": {"calibrant": {"config": {"home": str(home.root)}}}},
        raise_on_error=False,
    )


def test_the_command_fills_the_inbox_and_says_with_what(connected, calibrant):
    told = calibrant("sync", home=connected)

    assert told.code == 0, told.text
    assert "lever: full sync" in told.text
    assert (connected.inbox / "lever" / "applications.parquet").is_file()
    assert KEY not in told.text
    assert NAME not in told.text


def test_json_says_what_changed_since_the_sync_before(connected, calibrant, service):
    calibrant("sync", home=connected)
    service.pass_time(days=1)

    told = calibrant("sync", "--json", home=connected)

    (report,) = json.loads(told.out)
    assert report["is_full"] is False
    assert report["files"] == []
    assert report["changed"]["opportunities"] == 0


def test_a_source_that_fails_does_not_keep_others_from_being_read(
    connected, calibrant, service
):
    with connected.sources_file.open("a") as file:
        file.write(UNREACHABLE.format(url=service.url))

    told = calibrant("sync", home=connected)

    assert told.code == 2
    assert "elsewhere:" in told.text
    assert "lever: full sync" in told.text
    assert "Traceback" not in told.text


def test_without_a_connector_the_command_says_where_to_declare_one(fresh, calibrant):
    told = calibrant("sync", home=fresh)

    assert told.code == 2
    assert "docs/connectors.md" in told.text


def test_an_unknown_source_is_named_with_those_there_are(connected, calibrant):
    told = calibrant("sync", "workday", home=connected)

    assert told.code == 2
    assert "workday" in told.text
    assert "lever" in told.text


def test_check_lists_what_can_be_read(connected, calibrant):
    told = calibrant("sources", "check", home=connected)

    assert told.code == 0, told.text
    assert "opportunities" in told.text
    assert not connected.inbox.exists()


def test_check_of_a_refused_key_is_a_fault_with_a_cure(
    connected, calibrant, monkeypatch
):
    monkeypatch.setenv("LEVER_KEY", "wrong-key-4a1f")

    told = calibrant("sources", "check", home=connected)

    assert told.code == 2
    assert "→" in told.text
    assert "wrong-key-4a1f" not in told.text


def test_the_job_reads_every_source(connected):
    result = run_job(connected)

    assert result.success
    assert (connected.inbox / "lever" / "applications.parquet").is_file()


def test_the_job_fails_where_a_source_cannot_be_read(connected, service):
    with connected.sources_file.open("a") as file:
        file.write(UNREACHABLE.format(url=service.url))

    result = run_job(connected)

    assert not result.success
    assert (connected.inbox / "lever" / "applications.parquet").is_file()


def test_the_job_has_nothing_to_do_without_a_connector(fresh):
    fresh.root.mkdir(parents=True)

    assert run_job(fresh).success


def test_whoever_is_erased_is_gone_from_the_mirror_and_no_sync_brings_them_back(
    connected, calibrant
):
    calibrant("sync", home=connected)
    settings = load_settings(connected.root)
    taken = ingest(connected, settings.sources, progress=lambda _: None)
    person = sorted(
        row
        for path in taken.raw_files("candidates")
        for row in _natives(connected, path)
    )[0]
    subject = Finder(settings, taken).find(f"candidate {person}")

    told = calibrant(
        "erase", f"candidate {person}", "--yes", "--no-run", home=connected
    )
    again = calibrant("sync", "--full", home=connected)

    assert told.code == 0, told.text
    assert again.code == 0, again.text
    assert remains(connected, subject) == []


def _natives(home, path):
    import pyarrow.parquet as pq

    table = pq.read_table(home.restricted / "candidates" / path.name)
    return table["native_id"].to_pylist()

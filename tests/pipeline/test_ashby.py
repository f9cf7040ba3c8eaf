"""Ashby: what its API does, what a sync makes of it, and what never comes out."""

import datetime as dt
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from orchestration.landing.contract import ENTITIES
from orchestration.landing.ingest import check
from orchestration.settings import Home, Settings, load_settings
from orchestration.sources import SourceError
from orchestration.sources.connector import SyncReport, connector, mirror_path, sync
from orchestration.sources.http import Client, RefusedError
from orchestration.sources.mirror import Mirror
from tests.fakes.ashby import KEY, PERSON, TEXT, FakeAshby, error
from tests.fakes.service import BROKEN, NO_JSON, TOO_MANY, Reply

pytestmark = pytest.mark.pipeline

Row = dict[str, str | None]


class Killed(BaseException):
    """Ends a sync as a signal does: nothing catches it."""


@pytest.fixture(scope="module", autouse=True)
def key():
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ASHBY_API_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def ground():
    """A folder in memory where there is one: a mirror commits each page to disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def folder(ground) -> Path:
    return Path(tempfile.mkdtemp(dir=ground))


@pytest.fixture
def service():
    with FakeAshby() as running:
        yield running


def settings_of(folder: Path, service: FakeAshby, **source) -> Settings:
    connection = {
        "kind": "ashby",
        "base_url": service.url,
        "credentials": {"api_key": "env:ASHBY_API_KEY"},
        **source.pop("connector", {}),
    }
    declared = {
        "stages": {"Recruiter Call": "screen"},
        "competencies": {"RAG design": "rag_design", "communication": "clarity"},
        "role_families": {"Engineering": "engineering"},
        **source,
        "connector": connection,
    }
    home = Home.resolve(folder)
    home.root.mkdir(parents=True, exist_ok=True)
    home.sources_file.write_text(yaml.safe_dump({"sources": {"ashby": declared}}))
    return load_settings(home.root)


@pytest.fixture
def settings(folder, service) -> Settings:
    return settings_of(folder / "home", service)


@pytest.fixture(scope="module")
def first(ground) -> tuple[Settings, SyncReport, FakeAshby]:
    """The first sync of the company as it is; nobody changes it."""
    with FakeAshby() as service:
        settings = settings_of(ground / "first", service)
        return settings, synced(settings), service


@pytest.fixture
def read(first, folder, service) -> Settings:
    """A home that was synced once, with a service that nothing happened at since."""
    shutil.copytree(first[0].home.root, folder / "read")
    return settings_of(folder / "read", service)


@pytest.fixture
def expected(first) -> dict[str, bytes]:
    """What an undisturbed sync of the company as it is delivers."""
    return files(first[0])


def synced(settings: Settings, **options) -> SyncReport:
    return sync(settings, "ashby", sleep=lambda seconds: None, **options)


def rows(settings: Settings, entity: str, **where: str) -> list[Row]:
    path = settings.home.inbox / "ashby" / f"{entity}.parquet"
    found = pq.read_table(path).to_pylist() if path.is_file() else []
    return [
        row for row in found if all(row[name] == value for name, value in where.items())
    ]


def files(settings: Settings) -> dict[str, bytes]:
    folder = settings.home.inbox / "ashby"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def asked(service: FakeAshby) -> Counter[str]:
    return Counter(request.path.lstrip("/") for request in service.requests)


def undisturbed(folder: Path, service: FakeAshby) -> dict[str, bytes]:
    """What a full sync of a new home delivers."""
    service.faults = {}
    other = settings_of(folder, service)
    synced(other)
    return files(other)


def access(settings: Settings) -> dict[str, tuple[str, str, str]]:
    reader = connector("ashby", settings.sources.of("ashby"), sleep=lambda s: None)
    return {row.resource: (row.level, row.found, row.cure) for row in reader.check()}


# Reading


def test_a_full_sync_delivers_what_lands_without_a_problem(first):
    settings, report, _ = first

    assert report.is_full
    assert report.notes == []
    found = check(settings.home, settings.sources)
    assert (found.problems, sum(found.quarantined.values())) == ([], 0)
    delivered = {path.removesuffix(".parquet") for path in files(settings)}
    assert delivered == {
        "applications", "application_events", "candidates", "jobs", "openings",
        "hiring_team", "stages", "stage_events", "interviewers", "interviews",
        "interview_panel", "scorecards", "ratings", "offers",
    }  # fmt: skip


def test_every_call_is_a_post_with_basic_and_a_json_body(first):
    service = first[2]

    assert {request.method for request in service.requests} == {"POST"}
    for request in service.requests:
        assert request.headers["Authorization"].startswith("Basic ")
        assert isinstance(request.json, dict)


def test_an_incremental_sync_asks_for_what_changed_only(read, service, first):
    service.pass_time(hours=1)
    service.move("app-001", "Onsite")

    report = synced(read)

    assert not report.is_full
    # One for the clock, one for what changed.
    assert asked(service)["application.list"] == 2
    assert asked(service)["application.listHistory"] == 1
    assert asked(first[2])["application.listHistory"] == 12
    assert rows(read, "stage_events", application_id="app-001", stage="Onsite")


def test_nothing_new_writes_no_file(read):
    assert synced(read).files == []


def test_an_incremental_sync_equals_a_full_one(read, service, folder):
    service.pass_time(hours=1)
    service.move("app-001", "Onsite")
    service.archive("app-002", "r-money")
    service.card("app-003", "user-4", {"rag_design": "1"})
    service.apply(40, "job-2")

    synced(read)

    assert files(read) == undisturbed(folder / "other", service)


def test_a_full_sync_is_due_after_some_days(read, service):
    service.pass_time(days=8)

    assert synced(read).is_full


def test_a_row_that_changes_between_pages_is_there_once_in_its_newest_form(
    settings, service
):
    def on_request(number, request):
        if request.path == "/application.list" and "cursor" in request.json:
            service.on_request = lambda number, request: None
            service.pass_time(minutes=1)
            service.move("app-001", "Onsite")

    service.on_request = on_request

    synced(settings)

    [row] = rows(settings, "applications", application_id="app-001")
    assert (
        row["updated_at"] == service.lists["application.list"]["app-001"]["updatedAt"]
    )
    assert rows(settings, "stage_events", application_id="app-001", stage="Onsite")


def test_an_empty_page_with_more_goes_on(settings, service, expected):
    service.has_empty_pages = True
    synced(settings)
    service.has_empty_pages = False

    assert files(settings) == expected


def test_a_cursor_that_comes_twice_is_called_a_loop(settings, service):
    service.repeats_cursor = True

    with pytest.raises(SourceError, match="loop"):
        synced(settings)


def test_more_without_a_cursor_is_an_error(settings, service):
    service.faults = {2: Reply({"success": True, "results": [],
                                "moreDataAvailable": True})}  # fmt: skip

    with pytest.raises(SourceError, match="not where"):
        synced(settings)


# Errors


def test_success_false_with_http_200_is_an_error_and_never_no_rows(read, service):
    before = files(read)
    service.faults = {1: error("internal_error")}

    with pytest.raises(RefusedError) as caught:
        synced(read)

    assert (caught.value.status, caught.value.code) == (200, "internal_error")
    assert TEXT not in str(caught.value)
    assert files(read) == before


@pytest.mark.parametrize(
    "content",
    [{"results": []}, [], {"success": True}, {"success": True, "results": [1]}],
)
def test_an_answer_of_another_form_is_an_error(settings, service, content):
    service.faults = {1: Reply(content)}

    with pytest.raises(SourceError):
        synced(settings)


def test_a_limit_is_waited_out_as_told(settings, service, expected):
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        service.pass_time(seconds=seconds)

    service.requests_per_window = 30

    report = sync(settings, "ashby", sleep=sleep)

    assert report.n_repeated == len(waits) > 0
    assert all(10 <= wait <= 10.25 for wait in waits)
    service.requests_per_window = None
    assert files(settings) == expected


def test_what_breaks_once_is_asked_for_again(settings, service, expected):
    cut = Reply({"success": True, "results": []}, is_cut=True)
    service.faults = {2: BROKEN, 5: NO_JSON, 9: TOO_MANY, 14: cut, 40: BROKEN}

    report = synced(settings)

    assert report.n_repeated == 5
    assert files(settings) == expected


def test_a_wrong_key_stops_the_sync_and_is_not_told(settings, service, monkeypatch):
    monkeypatch.setenv("ASHBY_API_KEY", "canary-wrong-key")

    with pytest.raises(RefusedError) as caught:
        synced(settings)

    assert caught.value.status == 401
    assert "canary" not in str(caught.value)


def test_a_key_that_is_not_declared_is_asked_for(folder, service):
    settings = settings_of(folder, service, connector={"credentials": {}})

    with pytest.raises(SourceError, match="api_key"):
        synced(settings)


@pytest.mark.parametrize("status", [403, 200])
def test_a_missing_permission_makes_a_partial_run_that_says_so(
    settings, service, status
):
    service.forbidden_status = status
    service.permissions -= {"interviewsRead", "jobsRead"}

    report = synced(settings)

    told = " ".join(report.notes)
    assert "interviewSchedule.list was not read: the key lacks interviewsRead" in told
    assert "job.list was not read: the key lacks jobsRead" in told
    assert len(rows(settings, "applications")) == 12
    # Applications tell their job and stage themselves.
    assert {row["job_id"] for row in rows(settings, "jobs")} == {
        "job-1", "job-2", "job-3",
    }  # fmt: skip
    found = check(settings.home, settings.sources)
    assert (found.problems, sum(found.quarantined.values())) == ([], 0)


@pytest.mark.parametrize("status", [403, 200])
def test_without_candidates_read_nothing_is_synced(settings, service, status):
    service.forbidden_status = status
    service.permissions -= {"candidatesRead"}

    with pytest.raises(RefusedError):
        synced(settings)

    assert files(settings) == {}


def test_check_names_each_missing_permission_and_raises_nothing(settings, service):
    service.permissions = {"candidatesRead", "organizationRead"}

    seen = access(settings)

    assert seen["application.list"][0] == "ok"
    assert seen["application.listHistory"][0] == "ok"
    for action, permission in {
        "job.list": "jobsRead",
        "interviewSchedule.list": "interviewsRead",
        "archiveReason.list": "hiringProcessMetadataRead",
        "offer.list": "offersRead",
    }.items():
        level, said, cure = seen[action]
        assert level == "warning"
        assert permission in said
        assert permission in cure


def test_check_calls_a_missing_required_permission_a_fault(settings, service):
    service.permissions = set()

    assert access(settings)["application.list"][0] == "fault"


def test_check_tells_a_wrong_key(settings, service, monkeypatch):
    monkeypatch.setenv("ASHBY_API_KEY", "canary-wrong-key")

    seen = access(settings)

    assert seen["application.list"][:2] == ("fault", "the key is not accepted")
    assert "canary" not in repr(seen)


def test_check_says_that_demographics_cannot_come_from_ashby(settings, service):
    level, said, cure = access(settings)["demographics"]

    assert level == "warning"
    assert "cannot come from Ashby" in said
    assert "demographic_counts.csv" in cure


def test_check_prints_no_value_and_writes_nothing(settings, service):
    seen = repr(access(settings))

    assert PERSON not in seen
    assert TEXT not in seen
    assert not settings.home.inbox.exists()


# Tokens and cursors


@pytest.fixture(scope="module")
def moved(ground) -> dict[str, bytes]:
    """What is delivered after one application moved on."""
    with FakeAshby() as service:
        service.move("app-001", "Onsite")
        return undisturbed(ground / "moved", service)


def place(settings: Settings, action: str) -> dict:
    with Mirror.open(mirror_path(settings.home, "ashby")) as mirror:
        return mirror.place(action)


def kill_at(patched: pytest.MonkeyPatch, number: int) -> None:
    """End the sync at its n-th request from now, before it is sent."""
    real, n = Client._once, 0

    def once(self, *args, **about):
        nonlocal n
        n += 1
        if n == number:
            raise Killed
        return real(self, *args, **about)

    patched.setattr(Client, "_once", once)


def test_a_crash_before_the_last_page_keeps_the_old_token(read, service, monkeypatch):
    token = place(read, "application.list")["sync_token"]
    for number in range(1, 10):
        service.touch(f"app-{number:03}")
    seen = Counter()

    def last_page(self, action, page, cursors):
        seen[action] += 1
        if action == "application.list" and not page["moreDataAvailable"]:
            raise Killed
        return page.get("nextCursor")

    with monkeypatch.context() as patched:
        patched.setattr("orchestration.sources.ashby.Ashby._next", last_page)
        with pytest.raises(Killed):
            synced(read)

    assert seen["application.list"] == 2
    assert place(read, "application.list")["sync_token"] == token

    synced(read)

    assert place(read, "application.list")["sync_token"] != token


@pytest.mark.parametrize(
    "code",
    ["sync_token_expired", "sync_token_invalid", "invalid_sync_token",
     "next_cursor_expired", "invalid_next_cursor", "cursor_invalid",
     "unknown_cursor", "incremental_sync_too_large"],
)  # fmt: skip
def test_a_lost_place_is_read_in_full_again_and_told(read, service, code, moved):
    service.move("app-001", "Onsite")
    service.on_request = lambda number, request: service.faults.update(
        {number: error(code)}
        if request.path == "/application.list" and "syncToken" in request.json
        else {}
    )

    report = synced(read)

    assert report.is_full
    [note] = report.notes
    assert note.startswith(f"application.list is read in full again: {code} (1 of")
    assert files(read) == moved


def test_tokens_that_expired_are_replaced_list_by_list(read, service):
    service.expire()

    report = synced(read)

    assert len(report.notes) == 9
    assert all("sync_token_expired" in note for note in report.notes)
    assert synced(read).notes == []


def test_a_token_error_with_another_status_counts_too(read, service):
    refused = Reply(error("sync_token_expired").content, 400)
    service.faults = {2: refused}

    assert any("sync_token_expired" in note for note in synced(read).notes)


def test_an_incremental_sync_that_is_too_large_becomes_a_full_one(read, service):
    for number in range(1, 12):
        if number != 6:
            service.touch(f"app-{number:03}")
    service.is_too_large = True

    report = synced(read)

    assert report.is_full
    assert any("incremental_sync_too_large" in note for note in report.notes)


def test_a_cursor_that_expired_while_nobody_read_begins_anew(
    settings, service, monkeypatch, expected
):
    with monkeypatch.context() as patched:
        kill_at(patched, 4)
        with pytest.raises(Killed):
            synced(settings)
    service.expire()

    report = synced(settings)

    assert any("next_cursor_expired" in note for note in report.notes)
    assert files(settings) == expected


def test_a_place_that_is_lost_again_and_again_is_an_error(settings, service):
    service.on_request = lambda number, request: service.faults.update(
        {number: error("next_cursor_expired")} if "cursor" in request.json else {}
    )

    with pytest.raises(RefusedError, match="next_cursor_expired"):
        synced(settings)


# Interruptions


def test_a_sync_killed_at_each_request_ends_with_the_same_bytes(
    settings, service, monkeypatch, expected
):
    """Each sync goes on from the one before, gets one request further, and dies."""
    for number in itertools.count(2):
        with monkeypatch.context() as patched:
            kill_at(patched, number)
            try:
                synced(settings)
                break
            except Killed:
                assert files(settings) == {}

    assert number > 20
    assert files(settings) == expected


@pytest.mark.parametrize("number", range(2, 40, 8))
def test_a_sync_killed_once_goes_on_among_faults_with_the_same_bytes(
    settings, service, monkeypatch, expected, number
):
    with monkeypatch.context() as patched:
        kill_at(patched, number)
        with pytest.raises(Killed):
            synced(settings)
    n = len(service.requests)
    cut = Reply({"success": True}, is_cut=True)
    service.faults = {n + 2: TOO_MANY, n + 3: NO_JSON, n + 7: BROKEN, n + 9: cut}

    synced(settings)

    assert files(settings) == expected


def test_kill_9_of_the_command_loses_nothing(settings, service, expected):
    process: list[subprocess.Popen] = []

    def on_request(number, request):
        if number == 30:
            os.kill(process[0].pid, signal.SIGKILL)

    service.on_request = on_request
    command = [sys.executable, "-m", "orchestration.cli", "sync", "ashby"]
    command[1:3] = ["-c", "from orchestration.cli import app; app()"]
    home = str(settings.home.root)
    process.append(subprocess.Popen([*command, "--home", home]))
    assert process[0].wait(60) == -signal.SIGKILL
    service.on_request = lambda number, request: None

    done = subprocess.run(
        [*command, "--home", home], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0
    assert "ashby: " in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert PERSON not in done.stdout + done.stderr
    assert files(settings) == expected


# History and deletions


def test_an_application_deleted_before_its_history_is_read_is_dropped(
    settings, service, folder
):
    def on_request(number, request):
        if request.path == "/application.listHistory":
            service.on_request = lambda number, request: None
            service.delete("app-004")

    service.on_request = on_request

    report = synced(settings)

    assert any("1 applications were deleted" in note for note in report.notes)
    for entity in ("applications", "stage_events", "scorecards", "interviews"):
        assert rows(settings, entity, application_id="app-004") == []
    assert files(settings) == undisturbed(folder / "other", service)


def test_what_was_deleted_between_syncs_is_gone_after_a_full_one(read, service, folder):
    service.delete("app-004")
    service.delete("app-007")

    synced(read, full=True)

    assert rows(read, "applications", application_id="app-004") == []
    with Mirror.open(mirror_path(read.home, "ashby")) as mirror:
        held = mirror.batches("application.listHistory").read_all()["parent"]
    assert not {"app-004", "app-007"} & set(held.to_pylist())
    assert files(read) == undisturbed(folder / "other", service)


def test_many_deletions_need_a_word_and_are_read_again_once_it_is_given(read, service):
    for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12):
        service.delete(f"app-{number:03}")

    with pytest.raises(SourceError, match="shrank"):
        synced(read, full=True)
    assert len(rows(read, "applications")) == 12
    synced(read, accept_deletions=True)

    assert len(rows(read, "applications")) == 1


def test_a_permission_that_is_back_heals_a_sync_that_saw_too_few(read, service):
    before = files(read)
    hidden = dict(service.lists["application.list"])
    service.lists["application.list"].clear()
    with pytest.raises(SourceError, match="shrank"):
        synced(read, full=True)
    service.lists["application.list"] |= hidden

    synced(read)

    assert files(read) == before


def test_history_that_was_dated_back_is_replaced_whole(read, service):
    then = dt.datetime(2026, 6, 2, 9, 30, tzinfo=dt.UTC)
    service.back_date("app-001", 1, then)
    del service.history["app-001"][2]

    synced(read)

    found = rows(read, "stage_events", application_id="app-001")
    assert [row["visit_id"] for row in found if row["stage"] == "screen"] == [
        "app-001-h2"
    ]
    assert {row["entered_at"] for row in found if row["stage"] == "screen"} == {
        "2026-06-02T09:30:00.000Z"
    }
    assert len(found) == 2


def test_history_edited_without_a_trace_is_seen_by_an_explicit_full_sync(read, service):
    service.history["app-001"][1]["enteredStageAt"] = "2026-06-02T08:00:00.000Z"

    synced(read, full=True)

    found = rows(read, "stage_events", visit_id="app-001-h2")
    assert found[0]["entered_at"] == "2026-06-02T08:00:00.000Z"


def test_history_of_several_pages_is_read_to_its_end(settings, service):
    for stage in ("Onsite", "Technical", "Onsite", "Technical", "Onsite"):
        service.pass_time(hours=1)
        service.move("app-001", stage)

    synced(settings)

    assert len(rows(settings, "stage_events", application_id="app-001")) == 8


# Translation


def at_technical(service: FakeAshby, number: int) -> str:
    """Another engineer who applied, was called and is now interviewed."""
    application = service.apply(number, "job-1")
    for stage in ("Recruiter Call", "Technical"):
        service.pass_time(hours=3)
        service.move(application, stage)
    service.pass_time(hours=3)
    return application


WORDS = {"sections": [{"fields": [{"field": {
    "path": "overall_recommendation", "type": "ValueSelect", "title": "Overall",
    "selectableValues": [{"value": "strong_yes"}, {"value": "no_decision"}]}}]}]
}  # fmt: skip
OFFERS = {
    "app-120": ("Accepted", "CandidateAccepted", "accepted"),
    "app-121": ("Declined", "CandidateRejected", "declined"),
    "app-122": ("Cancelled", "OfferCancelled", "rescinded"),
    "app-123": ("Pending", "WaitingOnCandidateResponse", "pending"),
    "app-124": ("Created", "WaitingOnOfferApproval", None),
    "app-125": ("Novel", "Unheard", None),
}


@dataclass(frozen=True)
class Told:
    """One sync of a company in which much happened; tests only look at it."""

    settings: Settings
    report: SyncReport
    service: FakeAshby
    ids: dict[str, str]

    def rows(self, entity: str, **where: str) -> list[Row]:
        return rows(self.settings, entity, **where)

    def row(self, entity: str, **where: str) -> Row:
        [found] = self.rows(entity, **where)
        return found


@pytest.fixture(scope="module")
def told(ground):
    with FakeAshby() as service:
        for number in (*range(101, 117), *range(120, 126)):
            at_technical(service, number)
        ids = {**outcomes_told(service), **cards_told(service)}
        for application, (acceptance, status, _) in OFFERS.items():
            service.offer(application, acceptance, status)
        opening = service.lists["opening.list"]["opening-job-2"]
        opening["openingState"] = "Filled"
        hired = service.lists["offer.list"]["offer-app-007"]
        hired["latestVersion"]["openingId"] = opening["id"]
        # A plan may lose a stage that applications went through.
        del service.lists["interviewStage.list"]["plan-eng-s4"]
        settings = settings_of(ground / "told", service)
        yield Told(settings, synced(settings), service, ids)


def outcomes_told(service: FakeAshby) -> dict[str, str]:
    service.move("app-101", "Recruiter Call")
    service.history["app-102"][0]["enteredStageAt"] = None
    for application, reason in (("app-103", "r-money"), ("app-104", "r-skills"),
                                ("app-105", "r-closed")):  # fmt: skip
        service.archive(application, reason)
    service.archive("app-106", "r-skills")
    service.pass_time(days=2)
    service.move("app-106", "Onsite")
    service.move("app-107", "Hired")
    service.pass_time(days=1)
    service.archive("app-107", "r-money")
    service.touch("app-108")["status"] = "OnHold"
    lost = service.touch("app-109")
    lost["status"], lost["currentInterviewStage"] = "Somewhere", None
    lead = service.apply(110, "job-1", lead=True)
    service.pass_time(days=3)
    service.move(lead, "Application Review")
    service.offer("app-116", "WaitingOnResponse", "WaitingOnCandidateResponse")
    service.pass_time(days=1)
    service.offer("app-116", "WaitingOnResponse", "WaitingOnCandidateResponse")
    service.pass_time(days=1)
    service.decide("app-116", "Declined", "CandidateRejected")
    return {}


def cards_told(service: FakeAshby) -> dict[str, str]:
    cards = service.lists["applicationFeedback.list"]
    ids = {
        "odd": service.card("app-111", "user-1", {"overall_recommendation": "great"}),
        "text": service.card("app-111", "user-2", {"rag_design": f"{TEXT} was good"}),
        "draft": service.card("app-111", "user-3", {}, is_submitted=False),
        "alone": service.card("app-111", "user-4", {"rag_design": 1}),
        "guest": service.card("app-111", None, {"rag_design": 1}),
        "gone": service.card("app-111", "user-gone", {"rag_design": 1}),
    }
    for word in ("strong_yes", "no_decision"):
        values = {"overall_recommendation": word}
        ids[word] = service.card("app-111", "user-5", values)
        cards[ids[word]]["formDefinition"] = WORDS
    ids["event"] = service.interview(
        "app-112",
        "Onsite",
        [{"id": "user-2", "trainingRole": "Shadow"},
         {"id": "user-3", "trainingRole": "Reverse-Shadow"},
         {"id": "user-4", "trainingRole": "Trained"},
         {"id": "user-5", "trainingRole": "Observer"},
         {"id": None}],
    )  # fmt: skip
    ids["shadow"] = service.card(
        "app-112", "user-2", {"rag_design": 1}, event=ids["event"]
    )
    ids["cancelled"] = service.interview(
        "app-113", "Onsite", [{"id": "user-4"}], status="Cancelled"
    )
    return ids


def test_much_that_happened_lands_without_a_problem(told):
    found = check(told.settings.home, told.settings.sources)

    assert (found.problems, sum(found.quarantined.values())) == ([], 0)


def test_keys_are_unique_and_references_lead_somewhere(told):
    held: dict[str, set[str | None]] = {}
    for name, entity in ENTITIES.items():
        keys = [tuple(row.get(key) for key in entity.key) for row in told.rows(name)]
        assert len(keys) == len(set(keys)), name
        held[name] = {key[0] for key in keys}

    for name, column, parents in (
        ("application_events", "application_id", "applications"),
        ("stage_events", "application_id", "applications"),
        ("interviews", "application_id", "applications"),
        ("scorecards", "application_id", "applications"),
        ("offers", "application_id", "applications"),
        ("applications", "job_id", "jobs"),
        ("interview_panel", "interview_id", "interviews"),
        ("interview_panel", "interviewer_id", "interviewers"),
        ("scorecards", "interviewer_id", "interviewers"),
        ("ratings", "scorecard_id", "scorecards"),
    ):
        assert {row[column] for row in told.rows(name)} <= held[parents], name


def test_a_stage_entered_again_is_a_visit_of_its_own(told):
    visits = told.rows("stage_events", application_id="app-101", stage="screen")

    assert [row["visit_id"] for row in visits] == ["app-101-h2", "app-101-h4"]
    assert visits[1]["exited_at"] is None


def test_an_entry_without_a_time_stays_without_one(told):
    row = told.row("stage_events", visit_id="app-102-h1")

    assert (row["entered_at"], row["entered_at_quality"]) == (None, "missing")


def test_archiving_is_a_rejection_or_a_withdrawal_by_its_reason(told):
    ends = {
        row["application_id"]: (row["status"], row["close_reason"])
        for row in told.rows("applications")
    }

    assert ends["app-103"] == ("withdrawn", "compensation")
    assert ends["app-104"] == ("rejected", "lacks_skills")
    # As the policy's list of closings without a decision spells it.
    assert ends["app-105"] == ("rejected", "job_closed")
    event = told.row("application_events", application_id="app-103")
    assert (event["kind"], event["reason_group"]) == ("withdrawn", "compensation")


def test_archived_and_lead_are_no_stages(told):
    assert {row["stage"] for row in told.rows("stages")} == {
        "Application Review", "screen", "Technical", "Onsite", "Sales Panel", "Offer",
        "Hired",
    }  # fmt: skip
    assert not told.rows("stage_events", stage="Archived")
    assert not told.rows("stage_events", stage="Lead")


def test_leads_are_no_applications(told):
    assert told.service.lists["application.list"]["app-006"]["status"] == "Lead"

    assert told.rows("applications", application_id="app-006") == []
    assert told.rows("candidates", candidate_id="cand-006") == []


def test_a_lead_applies_when_it_leaves_the_leads(told):
    row = told.row("applications", application_id="app-110")

    assert row["applied_at"] == told.service.history["app-110"][1]["enteredStageAt"]


def test_an_application_that_is_made_a_lead_again_is_gone(read, service):
    service.move("app-001", "Lead")

    synced(read)

    for entity in ("applications", "stage_events", "scorecards"):
        assert rows(read, entity, application_id="app-001") == []


def test_an_unarchived_application_has_both_events(told):
    events = told.rows("application_events", application_id="app-106")

    assert [row["kind"] for row in events] == ["rejected", "unrejected"]
    row = told.row("applications", application_id="app-106")
    ending = (row["status"], row["closed_at"], row["close_reason"])
    assert ending == ("active", None, None)


def test_an_archiving_after_a_hire_undoes_the_hire_first(told):
    events = told.rows("application_events", application_id="app-107")

    assert [row["kind"] for row in events] == ["hired", "unhired", "withdrawn"]
    assert events[1]["occurred_at"] < events[2]["occurred_at"]


def test_a_hire_closes_the_application(told):
    row = told.row("applications", application_id="app-007")
    event = told.row("application_events", application_id="app-007")

    assert (row["status"], event["kind"]) == ("hired", "hired")
    assert row["closed_at"] == event["occurred_at"]


def test_an_unknown_status_is_told_by_the_stage_and_noted(told):
    assert told.row("applications", application_id="app-108")["status"] == "active"
    assert told.rows("applications", application_id="app-109") == []
    assert told.rows("stage_events", application_id="app-109") == []
    for word in ("OnHold", "Somewhere"):
        note = f"unmapped: status of an application {word} (1 times)"
        assert note in told.report.notes


def test_scores_in_three_spellings_are_one_rating(first):
    settings, _, service = first
    cards = service.lists["applicationFeedback.list"].values()
    by_lead = [c for c in cards if c["submittedByUser"]["id"] == "user-4"]
    spelled = {card["submittedValues"]["rag_design"].__class__ for card in by_lead}
    assert spelled == {str, int, dict}

    ratings = {
        row["scorecard_id"]: row["rating"]
        for row in rows(settings, "ratings", competency="rag_design")
    }

    assert {ratings[card["id"]] for card in by_lead} == {"4"}


def test_the_overall_slug_is_the_overall_rating_and_no_competency(told):
    assert told.row("scorecards", scorecard_id="card-001")["overall_rating"] == "3"

    found = told.rows("ratings", scorecard_id="card-001")
    assert {row["competency"]: row["rating"] for row in found} == {
        # Declared for its title, for its path, and not at all.
        "rag_design": "4", "clarity": None, "Depth": "1",
    }  # fmt: skip


def test_an_overall_stays_as_it_is_spelled(told):
    spelled = {r["scorecard_id"]: r["overall_rating"] for r in told.rows("scorecards")}

    for word in ("strong_yes", "no_decision"):
        assert spelled[told.ids[word]] == word
    # A choice that the form does not offer may be anything.
    assert spelled[told.ids["odd"]] is None
    assert any("overall_recommendation" in note for note in told.report.notes)


def test_text_in_the_place_of_a_score_is_left_out_and_noted(told):
    row = told.row("ratings", scorecard_id=told.ids["text"], competency="rag_design")

    assert row["rating"] is None
    assert any("Score that is no rating" in note for note in told.report.notes)


def test_fields_of_one_competency_are_told_apart(folder, service):
    settings = settings_of(
        folder / "home",
        service,
        competencies={"RAG design": "craft", "Communication": "craft"},
    )

    synced(settings)

    found = rows(settings, "ratings", scorecard_id="card-001", competency="craft")
    assert {row["question_id"] for row in found} == {"rag_design", "communication"}


def test_drafts_are_not_delivered(told):
    assert told.rows("scorecards", scorecard_id=told.ids["draft"]) == []
    assert told.rows("ratings", scorecard_id=told.ids["draft"]) == []


def test_a_card_without_an_interview_has_the_round_of_its_stage(told):
    row = told.row("scorecards", scorecard_id=told.ids["alone"])

    assert (row["interview_id"], row["round"]) == (None, "Technical")


def test_a_card_has_the_round_of_its_interview(told):
    row = told.row("scorecards", scorecard_id="card-001")

    assert row["interview_id"]
    assert row["round"] == "System design"


def test_a_guest_gets_no_invented_id(told):
    panel = told.rows("interview_panel", interview_id=told.ids["event"])

    assert len(panel) == 4
    assert told.rows("scorecards", scorecard_id=told.ids["guest"]) == []
    note = "unmapped: card of a person without an Ashby account (1 times)"
    assert note in told.report.notes


def test_an_interview_without_a_card_is_delivered(told):
    row = told.row("interviews", interview_id=told.ids["cancelled"])

    assert (row["duration_minutes"], row["round"]) == ("45.0", "Onsite")


def test_training_roles_become_panel_roles(told):
    panel = told.rows("interview_panel", interview_id=told.ids["event"])

    assert {row["interviewer_id"]: row["panel_role"] for row in panel} == {
        "user-2": "shadow", "user-3": "reverse_shadow", "user-4": "panel",
        "user-5": None,
    }  # fmt: skip
    card = told.row("scorecards", scorecard_id=told.ids["shadow"])
    assert card["panel_role"] == "shadow"
    note = "unmapped: training role of an interviewer Observer (1 times)"
    assert note in told.report.notes


def test_a_cancelled_schedule_was_attended_by_nobody(told):
    event = told.ids["cancelled"]

    assert told.row("interviews", interview_id=event)["status"] == "cancelled"
    panel = told.rows("interview_panel", interview_id=event)
    assert [row["attended"] for row in panel] == ["false"]


def test_stages_are_ordered_by_plan_and_grouped_by_type(first):
    found = rows(first[0], "stages", role_family="engineering")

    ordered = sorted((int(r["order"]), r["stage"], r["stage_group"]) for r in found)
    assert [row[1:] for row in ordered] == [
        ("Application Review", "screen"), ("screen", "screen"),
        ("Technical", "interview"), ("Onsite", "interview"), ("Offer", "offer"),
        ("Hired", "hired"),
    ]  # fmt: skip
    assert {row["role_family"] for row in rows(first[0], "stages")} == {
        "engineering", "Sales",
    }  # fmt: skip


def test_every_visit_is_in_a_stage_of_its_family(told):
    families = {row["job_id"]: row["role_family"] for row in told.rows("jobs")}
    jobs = {row["application_id"]: row["job_id"] for row in told.rows("applications")}
    declared = {(row["role_family"], row["stage"]) for row in told.rows("stages")}

    visited = {
        (families[jobs[row["application_id"]]], row["stage"])
        for row in told.rows("stage_events")
    }

    assert ("engineering", "Onsite") in visited
    assert visited <= declared


def test_versions_of_an_offer_are_rows_and_the_last_has_the_answer(told):
    one, two = told.rows("offers", application_id="app-116")

    assert (one["version"], one["status"]) == ("offer-app-116-v1", "rescinded")
    assert one["resolved_at"] == two["extended_at"]
    assert (two["version"], two["status"]) == ("offer-app-116-v2", "declined")
    assert two["resolved_at"] > two["extended_at"]
    assert two["starts_on"] == "2026-12-01"


@pytest.mark.parametrize("application", OFFERS)
def test_an_offer_has_the_status_that_ashby_tells(told, application):
    status = OFFERS[application][2]

    found = told.rows("offers", application_id=application)

    assert [row["status"] for row in found] == ([status] if status else [])


def test_a_new_status_of_an_offer_is_noted(told):
    assert "unmapped: status of an offer Unheard (1 times)" in told.report.notes


def test_an_opening_is_filled_by_the_offer_that_names_it(told):
    row = told.row("openings", opening_id="opening-job-2")

    assert (row["job_id"], row["application_id"]) == ("job-2", "app-007")
    assert row["filled_at"]
    assert told.row("openings", opening_id="opening-job-1")["filled_at"] is None


def test_jobs_have_the_family_of_their_department(told):
    row = told.row("jobs", job_id="job-1")

    assert (row["role_family"], row["department"]) == ("engineering", "Engineering")
    team = told.rows("hiring_team", job_id="job-1")
    assert {(row["person_id"], row["role"]) for row in team} == {
        ("user-1", "recruiter"), ("user-2", "hiring_manager"),
    }  # fmt: skip
    assert told.row("applications", application_id="app-001")["recruiter_id"] == (
        "user-1"
    )


def test_people_who_left_are_interviewers_still(told):
    assert told.row("interviewers", interviewer_id="user-7")["is_active"] == "false"
    assert told.row("interviewers", interviewer_id="user-gone")["full_name"] is None


# Privacy


def test_no_free_text_and_no_secret_is_kept_anywhere(told):
    settings, report = told.settings, told.report

    said = report.to_text() + repr(report.to_json())
    assert PERSON not in said
    for path in settings.home.root.rglob("*"):
        if not path.is_file() or path == settings.home.sources_file:
            continue
        content = path.read_bytes()
        assert TEXT.encode() not in content, path.name
        assert KEY.encode() not in content, path.name
        assert b"98765432" not in content, path.name
    texts = [repr(pq.read_table(path).to_pydict())
             for path in (settings.home.inbox / "ashby").glob("*")]  # fmt: skip
    assert not any(TEXT in text or KEY in text for text in texts)
    with sqlite3.connect(mirror_path(settings.home, "ashby")) as database:
        held = " ".join(
            body for (body,) in database.execute("select body from records")
        )
    assert TEXT not in held
    assert "98765432" not in held


def test_names_are_where_the_contract_has_a_column_for_them_only(told):
    settings = told.settings

    with_names = {
        path.name
        for path in (settings.home.inbox / "ashby").glob("*")
        if PERSON in repr(pq.read_table(path).to_pydict())
    }
    assert with_names == {"candidates.parquet", "interviewers.parquet"}

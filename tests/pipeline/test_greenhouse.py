"""Greenhouse is read whole, then as it changes; no fault changes what comes out."""

import datetime as dt
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.landing import check
from orchestration.landing.purge import names_erased
from orchestration.settings import Home, Policy, Settings, SourceConfig, Sources
from orchestration.sources import SourceError
from orchestration.sources.connector import SyncReport, connector, mirror_path, sync
from orchestration.sources.greenhouse import (
    BASE_URL,
    SELF_IDENTIFICATION,
    TOKEN_URL,
    UNFILTERED,
    Greenhouse,
)
from tests.fakes.greenhouse import (
    ADMIN,
    CLIENT,
    FREE_TEXT,
    NAME,
    SECRET,
    TOKEN,
    FakeGreenhouse,
    day,
    iso,
)
from tests.fakes.service import (
    BAD_GATEWAY,
    BROKEN,
    NO_JSON,
    SIGN_ON,
    TOO_MANY,
    Reply,
    Request,
)

pytestmark = pytest.mark.pipeline
DECLARED = {
    "stages": {"Recruiter Screen": "screen", "Hiring Manager Screen": "screen"},
    "competencies": {"Retrieval design": "RAG design"},
}
CREDENTIALS = {"client_id": "env:GH_CLIENT", "client_secret": "env:GH_SECRET"}


class Killed(BaseException):
    """What a test ends a sync with, wherever it is."""


@dataclass
class Account:
    """A home, and the service that fills it."""

    service: FakeGreenhouse
    home: Home
    about: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        greenhouse = {
            "kind": "greenhouse",
            "base_url": f"{self.service.url}/v3",
            "token_url": f"{self.service.url}/token",
            "credentials": CREDENTIALS,
            "subject": ADMIN,
            **self.about,
        }
        config = SourceConfig.model_validate({"connector": greenhouse, **DECLARED})
        return Settings(self.home, Sources(sources={"gh": config}), Policy(), {})

    def sync(self, **about: Any) -> SyncReport:
        return sync(self.settings, "gh", **{"sleep": self.waits.append, **about})

    def asked_by(self, **about: Any) -> list[Request]:
        """Requests of one sync."""
        before = len(self.service.requests)
        self.sync(**about)
        return self.service.requests[before:]

    def rows(self, entity: str, **where: Any) -> list[dict[str, Any]]:
        path = self.home.inbox / "gh" / f"{entity}.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        return [r for r in rows if all(r[k] == v for k, v in where.items())]

    def one(self, entity: str, **where: Any) -> dict[str, Any]:
        (row,) = self.rows(entity, **where)
        return row

    def inbox(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in self.home.inbox.rglob("*.parquet")
        }

    def mirrored(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Stream, id, parent and body of everything that is kept."""
        connection = sqlite3.connect(mirror_path(self.home, "gh"))
        rows = connection.execute("select stream, id, parent, body from records")
        found = [(*row[:3], json.loads(row[3])) for row in rows]
        connection.close()
        return found

    def access(self) -> dict[str, Any]:
        reader = connector(
            "gh", self.settings.sources.of("gh"), sleep=self.waits.append
        )
        return {access.resource: access for access in reader.check()}

    def events(self, application: int) -> list[tuple[str, str, str | None]]:
        rows = self.rows("application_events", application_id=str(application))
        return sorted((r["occurred_at"], r["kind"], r["reason_group"]) for r in rows)

    def visits(self, application: int) -> list[tuple[str | None, ...]]:
        rows = self.rows("stage_events", application_id=str(application))
        names = ("entered_at", "exited_at", "stage", "entered_at_quality")
        return sorted(
            (tuple(r[n] for n in names) for r in rows),
            key=lambda visit: tuple(value or "" for value in visit),
        )


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("GH_CLIENT", CLIENT)
    monkeypatch.setenv("GH_SECRET", SECRET)


@pytest.fixture
def root(scratch):
    """A folder in memory: a mirror waits for the disk after each page."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@pytest.fixture
def account(root):
    """A home that was never synced."""
    with FakeGreenhouse() as service:
        yield Account(service, Home(root / "home"))


@pytest.fixture(scope="module")
def quiet(scratch):
    """A home after one sync that nothing disturbed; tests only read it."""
    with pytest.MonkeyPatch.context() as patched, FakeGreenhouse() as service:
        patched.setenv("GH_CLIENT", CLIENT)
        patched.setenv("GH_SECRET", SECRET)
        undisturbed = Account(service, Home(scratch / "greenhouse"))
        undisturbed.sync()
        yield undisturbed


@pytest.fixture
def synced(quiet, root):
    """A copy of that home, with a service of its own that changes as the test says."""
    shutil.copytree(quiet.home.root, root / "home")
    with FakeGreenhouse() as service:
        service.pass_time(days=1)
        yield Account(service, Home(root / "home"))


# -- reading ----------------------------------------------------------------------


def test_what_is_delivered_lands_without_a_problem(quiet):
    report = check(quiet.home, quiet.settings.sources)

    assert not report.problems
    assert not report.quarantined
    assert report.warnings == []


def test_the_default_addresses_are_the_vendor_s():
    config = SourceConfig.model_validate(
        {"connector": {"kind": "greenhouse", "credentials": CREDENTIALS}}
    )

    with connector("gh", config)._client() as client:
        assert client.base_url == BASE_URL == "https://harvest.greenhouse.io/v3"
        assert client.auth.token_url == TOKEN_URL


def test_a_token_is_asked_for_in_the_name_of_the_site_admin(quiet):
    (asked,) = [r for r in quiet.service.requests if r.path == "/token"]

    assert sorted(asked.body.decode().split("&")) == [
        "grant_type=client_credentials",
        f"sub={ADMIN}",
    ]


def test_following_pages_are_asked_for_by_cursor_alone(quiet):
    following = [r for r in quiet.service.requests if "cursor" in r.query]
    first = [
        r
        for r in quiet.service.requests
        if r.method == "GET" and "cursor" not in r.query and r.query["per_page"] != "1"
    ]

    assert len(following) > 10
    assert all(set(r.query) == {"cursor"} for r in following)
    assert {r.query["per_page"] for r in first} == {"500"}
    assert len(quiet.rows("applications")) == 34


def test_hidden_users_and_reasons_are_asked_for(quiet):
    asked = {
        r.path.removeprefix("/v3/"): r.query
        for r in quiet.service.requests
        if r.query.get("per_page") == "500"
    }

    assert asked["users"]["show_service_accounts"] == "true"
    assert asked["rejection_reasons"]["include_defaults"] == "true"


def test_a_second_sync_asks_in_a_closed_window_for_what_changed(synced):
    synced.service.pass_time(minutes=1)
    synced.service.move(9020, 802)
    # The window ends before the second in which the sync begins.
    synced.service.pass_time(minutes=1)

    asked = synced.asked_by()

    since = synced.service.now - dt.timedelta(days=1, minutes=62)
    window = (
        f"gte|{since:%Y-%m-%dT%H:%M:%SZ}|lt|{synced.service.now:%Y-%m-%dT%H:%M:%SZ}"
    )
    lists = {r.path.removeprefix("/v3/"): r.query for r in asked if r.method == "GET"}
    filtered = {name for name, query in lists.items() if "updated_at" in query}
    assert filtered == {s.name for s in Greenhouse.streams} - set(UNFILTERED)
    assert {
        query["updated_at"] for name, query in lists.items() if name in filtered
    } == {window}
    assert not any("created_at" in query for query in lists.values())
    stages = [visit[2] for visit in synced.visits(9020)]
    assert stages == ["Application Review", "screen"]


def test_a_sync_without_a_change_changes_no_file(synced):
    before = synced.inbox()

    report = synced.sync()

    assert not report.is_full
    assert report.files == []
    assert synced.inbox() == before


def test_incremental_and_full_reading_end_with_the_same_files(synced, root):
    synced.service.move(9020, 802)
    synced.service.reject(9021, 2)
    synced.service.hire(9022)
    synced.service.card(4500, 9020, at=synced.service.now, ratings={701: "no"})
    synced.service.pass_time(minutes=1)
    afresh = Account(synced.service, Home(root / "afresh"))

    synced.sync()
    afresh.sync()

    assert synced.inbox() == afresh.inbox()


def test_a_card_that_is_edited_later_is_read_again(synced):
    card = synced.service.touch("scorecards", 4401)
    card["candidate_rating"] = "no"
    synced.service.touch("scorecard_candidate_attributes", 44010)[
        "candidate_attribute_rating"
    ] = "no"
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.one("scorecards", scorecard_id="4401")["overall_rating"] == "no"
    rating = synced.one("ratings", scorecard_id="4401", competency="RAG design")
    assert (rating["rating"], rating["updated_at"][:10]) == ("no", "2026-10-01")


@pytest.mark.parametrize("habit", ["is_overlapping", "has_empty_page"])
def test_odd_pages_change_nothing(account, quiet, habit):
    setattr(account.service, habit, True)

    account.sync()

    assert account.inbox() == quiet.inbox()


def test_what_changes_between_pages_is_seen_once_and_then_as_it_is(account):
    account.service.is_overlapping = True
    pages = []

    def change(_: int, request: Request) -> None:
        if request.path == "/v3/applications":
            pages.append(request)
            if len(pages) == 2:
                account.service.move(9044, 802)

    account.service.on_request = change
    account.sync()
    account.service.pass_time(minutes=5)
    account.sync()

    assert len(account.rows("applications", application_id="9044")) == 1
    assert [visit[2] for visit in account.visits(9044)] == [
        "Application Review",
        "screen",
    ]


def test_a_list_that_goes_round_in_circles_is_an_error_that_says_so(account):
    account.service.is_looping = True

    with pytest.raises(SourceError, match="the same next page twice"):
        account.sync()


def test_a_next_page_on_another_server_is_not_followed(account):
    account.service.elsewhere = "http://elsewhere.example"

    with pytest.raises(SourceError, match="on another server"):
        account.sync()


def test_a_list_in_another_form_is_an_error_that_says_so(account):
    account.service.faults[2] = Reply({"users": []})

    with pytest.raises(SourceError, match="a form that is not Greenhouse's"):
        account.sync()


def test_a_cursor_that_has_expired_is_begun_again(account, quiet):
    def kill(number: int, request: Request) -> None:
        if request.path == "/v3/applications" and "cursor" in request.query:
            account.service.faults[number] = BROKEN

    account.service.on_request = kill
    with pytest.raises(Killed):
        account.sync(sleep=_kill)
    account.service.on_request = lambda number, request: None
    account.service.forgets_cursors = True
    account.service.most = 500
    report = account.sync()

    assert any("begun again" in note for note in report.notes)
    assert account.inbox() == quiet.inbox()


def test_a_token_that_expires_between_pages_is_renewed_and_the_page_asked_again(
    account, quiet
):
    account.service.token_lives = 20

    account.sync()

    tokens = [r for r in account.service.requests if r.path == "/token"]
    assert len(tokens) >= 3
    assert account.waits == []
    assert account.inbox() == quiet.inbox()


def test_nothing_left_of_a_window_is_waited_for_before_it_is_over(account, quiet):
    account.service.window = 10

    def sleep(seconds: float) -> None:
        account.waits.append(seconds)
        account.service.pass_time(seconds=seconds)

    report = account.sync(sleep=sleep)

    assert len(account.waits) >= 5
    assert all(0 < wait <= 30 for wait in account.waits)
    assert report.n_repeated == 0
    assert account.inbox() == quiet.inbox()


# -- what was deleted -------------------------------------------------------------


def test_a_deletion_is_seen_by_the_next_full_pass_and_leaves_no_orphan(synced):
    synced.service.delete(9011)
    synced.sync()
    unseen = synced.rows("applications", application_id="9011")
    synced.service.pass_time(days=7)

    report = synced.sync()

    assert report.is_full
    assert unseen
    for entity in ("applications", "stage_events", "interviews", "scorecards"):
        assert synced.rows(entity, application_id="9011") == []
    assert synced.rows("ratings", scorecard_id="4414") == []


def test_children_of_an_application_that_is_gone_are_not_delivered(synced):
    del synced.service.lists["applications"][9001]

    synced.sync(full=True)

    for entity in ("stage_events", "scorecards", "offers", "demographics"):
        assert synced.rows(entity, application_id="9001") == []
    assert synced.rows("interview_panel", interview_id="6601") == []
    opening = synced.one("openings", opening_id="501")
    assert (opening["application_id"], opening["filled_at"]) == (None, iso(day(13)))


def test_an_emptied_list_is_taken_for_a_permission_not_for_deletions(synced):
    synced.service.lists["applications"].clear()

    with pytest.raises(SourceError, match="applications shrank by 36 of 36"):
        synced.sync(full=True)

    assert synced.rows("applications")


def test_deletions_that_a_person_confirms_are_accepted(synced):
    for n in range(9020, 9045):
        synced.service.delete(n)

    synced.sync(full=True, accept_deletions=True)

    assert len(synced.rows("applications")) == 9


def test_a_person_who_was_anonymised_loses_the_name_at_once_and_the_rest_later(synced):
    synced.service.anonymise(9001)
    synced.service.pass_time(minutes=1)
    synced.sync()
    person = synced.one("candidates", candidate_id="5001")
    synced.sync(full=True)

    assert (person["full_name"], person["email"]) == (None, None)
    assert synced.rows("stage_events", application_id="9001") == []
    assert synced.rows("scorecards", application_id="9001") == []
    assert synced.rows("applications", application_id="9001")


def test_a_merged_candidate_is_the_one_whom_the_application_names(quiet):
    assert quiet.one("applications", application_id="9008")["candidate_id"] == "5002"
    assert quiet.rows("candidates", candidate_id="5008") == []


def test_an_erasure_finds_everything_of_an_application(quiet):
    gone = {
        "application": {"9001", "9002"}, "candidate": {"5001"}, "scorecard": {"4401"},
        "interview": {"6601"},
    }  # fmt: skip

    class Erased:
        def found(self, space: str, source: str, native: Any) -> bool:
            return str(native) in gone.get(space, ())

    theirs = set().union(*gone.values())
    left = [
        (stream, id_)
        for stream, id_, parent, body in quiet.mirrored()
        if not names_erased(Erased(), "gh", stream, id_, parent, body)
        and theirs & {id_, *map(str, body.values())}
    ]

    assert left == []


# -- interruptions ----------------------------------------------------------------


def _kill(_: float) -> None:
    raise Killed


def test_a_sync_killed_at_every_request_ends_with_the_same_files(account, quiet):
    """Run n is killed at its n-th request, so that each run gets a little further."""
    for n in range(2, 200):
        account.service.faults = {len(account.service.requests) + n: BROKEN}
        try:
            account.sync(sleep=_kill)
        except Killed:
            assert account.inbox() == {}
        else:
            break

    assert n > 5
    assert account.inbox() == quiet.inbox()


@pytest.mark.parametrize("number", [17, 48])
def test_kill_9_in_the_middle_ends_with_the_same_files(account, quiet, number):
    code = (
        "import sys; from pathlib import Path;"
        "from orchestration.settings import load_settings;"
        "from orchestration.sources.connector import sync;"
        "sync(load_settings(Path(sys.argv[1])), 'gh')"
    )
    sources = account.settings.sources.model_dump(mode="json")
    account.home.root.mkdir()
    account.home.sources_file.write_text(json.dumps(sources))
    process: list[subprocess.Popen[bytes]] = []

    def kill(n: int, _: Request) -> None:
        if n == number:
            os.kill(process[0].pid, signal.SIGKILL)

    account.service.on_request = kill
    command = [sys.executable, "-c", code, str(account.home.root)]
    process.append(subprocess.Popen(command))
    assert process[0].wait(timeout=60) == -signal.SIGKILL
    account.sync()

    assert account.inbox() == quiet.inbox()


def test_an_incremental_sync_that_is_killed_keeps_its_window(synced, root):
    synced.service.move(9020, 802)
    synced.service.reject(9021, 2)
    synced.service.pass_time(minutes=1)
    synced.service.faults = {20: BROKEN}
    with pytest.raises(Killed):
        synced.sync(sleep=_kill)
    synced.service.pass_time(hours=5)
    afresh = Account(synced.service, Home(root / "afresh"))

    synced.sync()
    afresh.sync()

    assert synced.inbox() == afresh.inbox()


def test_faults_on_the_way_change_nothing(account, quiet):
    kinds = [TOO_MANY, BROKEN, BAD_GATEWAY, NO_JSON, SIGN_ON,
             Reply([], is_cut=True)]  # fmt: skip
    account.service.faults = {
        number: kinds[number // 3 % len(kinds)] for number in range(1, 90, 3)
    }

    report = account.sync()

    assert report.n_repeated > 20
    assert account.inbox() == quiet.inbox()


def test_a_service_that_stays_broken_leaves_the_inbox_as_it_was(synced):
    before = synced.inbox()
    synced.service.faults = dict.fromkeys(range(2, 100), BROKEN)

    with pytest.raises(SourceError, match="run the sync"):
        synced.sync()

    assert synced.inbox() == before


# -- permissions and secrets --------------------------------------------------------


@pytest.mark.parametrize("about", [{"subject": "14"}, {"subject": None}])
def test_a_subject_who_is_no_site_admin_stops_the_sync_and_says_so(account, about):
    account.about = about

    with pytest.raises(SourceError, match="Site Admin"):
        account.sync()

    assert account.inbox() == {}


def test_a_site_admin_who_is_none_any_more_loses_nothing(synced):
    before = synced.inbox()
    synced.service.is_admin = False

    with pytest.raises(SourceError, match="Site Admin"):
        synced.sync(full=True)

    assert synced.inbox() == before


@pytest.mark.parametrize(
    ("stream", "entity"),
    [
        ("eeoc", None),
        ("offers", "offers"),
        ("job_interview_stages", "stage_events"),
        ("scorecards", "scorecards"),
    ],
)
def test_a_scope_that_is_missing_makes_a_partial_run_that_says_so(
    account, stream, entity
):
    account.service.refused = {stream}

    report = account.sync()

    (note,) = [note for note in report.notes if "refused (HTTP 403)" in note]
    assert f"harvest:{stream}:list" in note
    assert entity is None or account.rows(entity) == []
    assert len(account.rows("applications")) == 34


def test_a_scope_that_is_granted_later_is_caught_up_with(account, quiet):
    account.service.refused = {"scorecards", "focus_candidate_attributes"}
    account.sync()

    account.service.refused = set()
    account.sync()

    assert account.inbox() == quiet.inbox()


def test_without_kits_attributes_a_rubric_has_no_version(account):
    account.service.refused = {"focus_candidate_attributes"}

    account.sync()

    card = account.one("scorecards", scorecard_id="4401")
    assert (card["rubric_id"], card["rubric_version"]) == ("951", None)


@pytest.mark.parametrize(
    "stream", ["users", "jobs", "applications", "rejection_reasons"]
)
def test_without_what_outcomes_rest_on_the_sync_stops(account, stream):
    account.service.refused = {stream}

    with pytest.raises(SourceError, match=rf"{stream} refused \(HTTP 403\)"):
        account.sync()

    assert account.inbox() == {}


def test_a_wrong_secret_is_refused_without_being_told(account, monkeypatch):
    monkeypatch.setenv("GH_SECRET", f"{SECRET}-wrong")

    with pytest.raises(SourceError, match=r"token refused \(HTTP 401\)") as refused:
        account.sync()

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_a_secret_that_is_not_named_is_an_error_that_says_what_to_write(account, name):
    account.about = {"credentials": {k: v for k, v in CREDENTIALS.items() if k != name}}

    with pytest.raises(SourceError, match=rf"credentials\.{name}"):
        account.sync()


def test_check_says_what_each_list_lets_be_seen(account):
    account.service.refused = {"offers", "rejection_details", "eeoc"}
    account.service.lists["interviews"].clear()
    account.service.lists["interviewer_tags"].clear()

    access = account.access()

    assert set(access) == {stream.name for stream in Greenhouse.streams}
    levels = {name: one.level for name, one in access.items() if one.level != "ok"}
    assert levels == {
        "offers": "warning",
        "rejection_details": "fault",
        "eeoc": "warning",
        "interviews": "warning",
    }
    assert "harvest:offers:list" in access["offers"].cure
    assert "demographics: false" in access["eeoc"].cure
    assert all(one.cure for one in access.values() if one.level != "ok")
    told = str(access)
    assert not any(word in told for word in (SECRET, CLIENT, TOKEN, NAME))


def test_check_of_a_subject_without_rights_is_a_fault_with_its_cure(account):
    account.service.is_admin = False

    (users,) = account.access().values()

    assert (users.resource, users.level) == ("users", "fault")
    assert "Site Admin" in users.cure


def test_check_of_a_wrong_secret_is_a_fault_and_raises_nothing(account, monkeypatch):
    monkeypatch.setenv("GH_SECRET", "wrong")

    (users,) = account.access().values()

    assert (users.level, users.found) == ("fault", "refused (HTTP 401)")
    assert "client_secret" in users.cure


def test_no_secret_and_no_free_text_is_kept_anywhere(quiet, capfd):
    names_in = set()
    for path in quiet.home.root.rglob("*"):
        if path.is_dir():
            continue
        if path.suffix == ".parquet":
            content = str(pq.read_table(path).to_pylist())
        else:
            content = path.read_bytes().decode("utf-8", "replace")
        for word in (SECRET, CLIENT, TOKEN, FREE_TEXT, "123456"):
            assert word not in content, path
        if NAME.lower() in content.lower():
            names_in.add(path.stem)
    told = "".join(capfd.readouterr())

    assert names_in == {"candidates", "interviewers", "gh"}
    assert not any(word in told for word in (SECRET, CLIENT, TOKEN))


def test_addresses_of_interviewers_and_answers_that_are_not_counted_are_not_kept(quiet):
    kept = [(s, body) for s, _, _, body in quiet.mirrored()]

    assert {s for s, body in kept if "x.example" in str(body)} == {"candidates"}
    # 64 asks for the sexual orientation, which is no attribute that is counted.
    answered = {
        body["demographic_question_id"]
        for s, body in kept
        if s == "demographic_answers"
    }
    assert answered == {61, 62, 63}


def test_self_identification_that_is_switched_off_is_not_asked_for_nor_left(synced):
    synced.about = {"demographics": False}

    asked = synced.asked_by()

    assert not {r.path.removeprefix("/v3/") for r in asked} & set(SELF_IDENTIFICATION)
    assert synced.rows("demographics") == []
    assert not {s for s, *_ in synced.mirrored()} & set(SELF_IDENTIFICATION)
    access = synced.access()
    assert {access[s].level for s in SELF_IDENTIFICATION} == {"ok"}


# -- translation --------------------------------------------------------------------


def test_an_outcome_follows_the_status_and_the_type_of_the_reason(quiet):
    outcomes = {
        r["application_id"]: (r["status"], r["closed_at"], r["close_reason"])
        for r in quiet.rows("applications")
    }

    # Accepted on day 12; the record changed later.
    assert outcomes["9001"] == ("hired", iso(day(12)), None)
    assert outcomes["9002"] == ("rejected", iso(day(6)), "lacking_skills")
    assert outcomes["9003"] == ("withdrawn", iso(day(10)), "took_another_offer")
    assert outcomes["9004"] == ("rejected", iso(day(20)), "position_closed")
    assert outcomes["9005"] == ("active", None, None)


def test_prospects_are_no_applications(quiet):
    ids = {r["application_id"] for r in quiet.rows("applications")}

    assert not ids & {"9006", "9007"}
    assert not {r["candidate_id"] for r in quiet.rows("candidates")} & {"5006", "5007"}
    assert quiet.rows("demographics", application_id="9006") == []


def test_a_prospect_that_is_converted_becomes_an_application(synced):
    synced.service.touch("applications", 9006).update(prospect=False, job_id=301)
    synced.service.move(9006, 801)
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.one("applications", application_id="9006")["status"] == "active"
    assert synced.visits(9006)
    assert synced.rows("demographics", application_id="9006", attribute="sex")


def test_unknown_words_are_noted_and_not_mislabelled(synced):
    synced.service.touch("applications", 9020)["status"] = "parked"
    synced.service.reject(9021, 4)
    synced.service.touch("offers", 203)["status"] = "Countersigned"
    synced.service.touch("interviews", 6601)["status"] = "teleported"
    synced.service.pass_time(minutes=1)

    report = synced.sync()

    assert synced.rows("applications", application_id="9020") == []
    parked = synced.one("applications", application_id="9021")
    assert (parked["status"], parked["close_reason"]) == ("rejected", "unmapped")
    assert synced.rows("offers", offer_id="203") == []
    assert synced.one("interviews", interview_id="6601")["status"] == "unmapped"
    unmapped = {note for note in report.notes if note.startswith("unmapped")}
    for stream in ("applications", "rejection_reasons", "offers", "interviews",
                   "job_owners"):  # fmt: skip
        assert any(f"1 {stream} with a" in note for note in unmapped)


def test_an_application_opened_again_keeps_how_it_ended_before(synced):
    at = []
    for change in (
        lambda: synced.service.reopen(9002),
        lambda: synced.service.hire(9002),
        lambda: synced.service.reopen(9002),
        lambda: synced.service.reject(9002, 2),
        lambda: synced.service.reopen(9002),
    ):
        change()
        at.append(iso(synced.service.now))
        synced.service.pass_time(days=1)
        synced.sync()

    assert (
        synced.events(9002)
        == [
            (iso(day(6)), "rejected", "lacking_skills"),
            (at[0], "unrejected", None),
            (at[1], "hired", None),
            (at[2], "unhired", None),
            (at[3], "withdrawn", "took_another_offer"),
            (at[4], "reopened", None),
        ]
        or synced.events(9002) == []
    )
    assert synced.one("applications", application_id="9002")["status"] == "active"


def test_a_history_of_endings_survives_a_full_pass(synced):
    synced.service.reopen(9002)
    synced.service.pass_time(minutes=1)
    synced.sync()
    before = synced.events(9002)

    synced.sync(full=True)

    assert [kind for _, kind, _ in before] == ["rejected", "unrejected"]
    assert synced.events(9002) == before


def test_ended_anew_between_two_syncs_is_the_new_ending(synced):
    synced.service.reopen(9002)
    synced.service.hire(9002)
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert [kind for _, kind, _ in synced.events(9002)] == ["hired"]


def test_another_reason_for_the_same_rejection_is_no_reopening(synced):
    synced.service.touch("rejection_details", 9002)["rejection_reason_id"] = 2
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.events(9002) == [(iso(day(6)), "withdrawn", "took_another_offer")]


def test_every_visit_is_a_row_and_going_back_is_kept(quiet):
    assert quiet.visits(9004) == [
        (iso(day(4)), iso(day(6)), "Application Review", "exact"),
        (iso(day(6)), iso(day(7)), "screen", "exact"),
        (iso(day(7)), iso(day(8)), "Onsite", "exact"),
        (iso(day(8)), iso(day(9)), "screen", "exact"),
        (iso(day(9)), None, "Onsite", "exact"),
    ]
    ids = [r["visit_id"] for r in quiet.rows("stage_events")]
    assert len(set(ids)) == len(ids)


def test_two_native_stages_that_are_one_of_the_funnel_are_one_stay(quiet):
    (screen,) = [visit for visit in quiet.visits(9001) if visit[2] == "screen"]

    assert screen[:2] == (iso(day(2)), iso(day(4)))


def test_a_missing_time_is_that_of_the_row_unless_it_was_filled_in_later(quiet):
    visits = {visit[2]: visit for visit in quiet.visits(9005)}

    row = visits["Application Review"]
    assert (row[0], row[1], row[3]) == (iso(day(5)), iso(day(6)), "backfilled")
    # The row was made months after the stay had ended.
    row = visits["screen"]
    assert (row[0], row[1], row[3]) == (None, iso(day(8)), "missing")
    row = visits["Onsite"]
    assert (row[0], row[1], row[3]) == (None, None, "missing")


def test_rows_that_were_filled_in_together_tell_no_time(synced):
    for stay in synced.service.stays(9004):
        stay |= {"entered_at": None, "exited_at": None,
                 "created_at": iso(day(60 + stay["id"] / 1e7))}  # fmt: skip

    synced.sync(full=True)

    assert {visit[0] for visit in synced.visits(9004)} == {None}
    assert {visit[3] for visit in synced.visits(9004)} == {"missing"}
    assert len(synced.visits(9004)) == 5


def test_the_name_of_todays_stage_stands_in_for_a_stage_that_is_not_listed(synced):
    del synced.service.lists["job_interview_stages"][804]

    synced.sync(full=True)

    names = [visit[2] for visit in synced.visits(9004)]
    assert names == ["Application Review", "screen", "unmapped", "screen", "Onsite"]


def test_stages_are_grouped_and_in_the_order_of_the_jobs(quiet):
    stages = {
        family: [
            (r["stage"], r["stage_group"], r["round"])
            for r in sorted(
                quiet.rows("stages", role_family=family),
                key=lambda row: int(row["order"]),
            )
        ]
        for family in ("Engineering", "Sales")
    }

    assert stages["Engineering"] == [
        ("Application Review", "applied", None),
        ("screen", "screen", "Recruiter call"),
        # Two interviews, so no round of its own.
        ("Onsite", "interview", None),
        ("Offer", "offer", None),
    ]
    assert stages["Sales"][2] == ("Onsite", "interview", "Pitch")


def test_a_stage_that_nobody_uses_any_more_is_there_for_who_was_in_it(synced):
    synced.service.add(
        "application_stages", 80_000, synced.service.now, application_id=9020,
        job_interview_stage_id=806, entered_at=iso(synced.service.now),
        exited_at=None, current=True,
    )  # fmt: skip
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.one("stages", stage="Old task")["order"] == "5"


def test_jobs_take_their_family_from_the_department_and_templates_are_none(quiet):
    jobs = {r["job_id"]: r for r in quiet.rows("jobs")}

    assert {id_: job["role_family"] for id_, job in jobs.items()} == {
        "301": "Engineering",
        "302": "Sales",
        "303": "all roles",
    }
    assert jobs["301"]["location"] == "Berlin"
    team = {(r["person_id"], r["role"]) for r in quiet.rows("hiring_team")}
    assert team == {
        ("13", "hiring_manager"),
        ("11", "recruiter"),
        ("11", "coordinator"),
        ("11", "sourcer"),
    }


def test_an_opening_is_filled_only_for_a_reason_that_says_so(quiet):
    openings = {
        r["opening_id"]: (r["filled_at"], r["closed_at"], r["application_id"])
        for r in quiet.rows("openings")
    }

    assert openings == {
        "501": (iso(day(13)), iso(day(13)), "9001"),
        "502": (None, iso(day(20)), None),
        "503": (None, None, None),
    }


def test_ratings_are_spelled_as_they_are_on_both_scales(quiet):
    card = quiet.one("scorecards", scorecard_id="4401")
    ratings = {
        r["competency"]: (r["rating"], r["has_evidence"])
        for r in quiet.rows("ratings", scorecard_id="4401")
    }

    assert card["overall_rating"] == "yes"
    assert card["interview_id"] == "6601"
    assert card["round"] == "AI architecture"
    assert ratings == {
        "RAG design": ("strong_yes", "true"),
        "Evaluation literacy": ("mixed", "false"),
        "Teamwork": ("no_decision", "false"),
    }
    overall = {r["scorecard_id"]: r["overall_rating"] for r in quiet.rows("scorecards")}
    assert (overall["4410"], overall["4414"]) == ("strong_no", "no_decision")


def test_drafts_placeholders_and_cards_of_nobody_are_no_cards(quiet):
    cards = {r["scorecard_id"]: r for r in quiet.rows("scorecards")}

    assert set(cards) == {"4401", "4410", "4411", "4414", "4415"}
    assert cards["4411"]["interview_id"] is None
    assert cards["4411"]["rubric_id"] is None
    assert {r["scorecard_id"] for r in quiet.rows("ratings")} == {
        "4401",
        "4411",
        "4414",
    }
    drafts = [b for s, i, _, b in quiet.mirrored() if s == "scorecards" and i == "4412"]
    assert drafts[0]["candidate_rating"] is None


def test_a_card_that_is_taken_back_is_gone_at_the_next_sync(synced):
    card = synced.service.touch("scorecards", 4401)
    card["status"] = "draft"
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.rows("scorecards", scorecard_id="4401") == []
    assert synced.rows("ratings", scorecard_id="4401") == []


def test_attributes_that_are_one_competency_are_two_questions(quiet):
    rated = quiet.rows("ratings", scorecard_id="4414", competency="RAG design")

    assert sorted((r["question_id"], r["rating"]) for r in rated) == [
        ("RAG design", "yes"),
        ("Retrieval design", "no"),
    ]


def test_a_rubric_s_version_is_that_of_what_the_kit_asks_for(synced):
    before = synced.one("scorecards", scorecard_id="4401")
    synced.service.add("focus_candidate_attributes", 9, synced.service.now,
                       interview_kit_id=951,
                       job_candidate_attribute_id=703)  # fmt: skip
    synced.service.pass_time(minutes=1)

    synced.sync()

    after = synced.one("scorecards", scorecard_id="4401")
    assert before["rubric_id"] == after["rubric_id"] == "951"
    assert before["rubric_version"] != after["rubric_version"]


def test_people_from_outside_get_no_id(quiet):
    on_panel = {r["interviewer_id"] for r in quiet.rows("interview_panel")}

    assert on_panel == {"13", "15"}
    assert quiet.rows("interview_panel", interview_id="6615") == []
    assert quiet.rows("interviews", interview_id="6615")
    # A card of someone who is no user any more keeps the id that the service gave.
    gone = quiet.one("interviewers", interviewer_id="88")
    assert (gone["full_name"], gone["is_bar_raiser"]) == (None, None)


def test_who_declined_an_interview_did_not_attend_it(quiet):
    attended = {r["interview_id"]: r["attended"] for r in quiet.rows("interview_panel")}

    assert attended["6616"] == "false"
    assert attended["6601"] is None


def test_a_bar_raiser_is_told_by_a_tag_however_it_is_spelled(quiet):
    people = {r["interviewer_id"]: r for r in quiet.rows("interviewers")}

    # As an object, as an id of the list of tags, and as text.
    assert {n: people[n]["is_bar_raiser"] for n in ("13", "14", "15")} == {
        "13": "true",
        "14": "true",
        "15": "true",
    }
    assert people["15"]["is_active"] == "false"
    assert people["13"]["department"] == "Engineering"


def test_another_tag_makes_no_bar_raiser(synced):
    synced.service.touch("users", 13)["interviewer_tags"] = [{"id": 43}]
    synced.service.pass_time(minutes=1)

    synced.sync()

    assert synced.one("interviewers", interviewer_id="13")["is_bar_raiser"] == "false"


def test_interviews_are_instants_and_those_of_a_whole_day_are_dates(quiet):
    at = {r["interview_id"]: r for r in quiet.rows("interviews")}

    assert at["6611"]["scheduled_at"] == "2026-03-08T09:30:00.000Z"
    assert at["6612"]["scheduled_at"] == "2026-03-08T10:30:00.000Z"
    assert at["6612"]["duration_minutes"] == "45.0"
    assert at["6613"]["scheduled_at"] == "2026-03-29"
    assert at["6613"]["duration_minutes"] is None
    assert "6614" not in at
    assert at["6615"]["status"] == "cancelled"
    # Nobody has written a card about it yet.
    assert quiet.rows("scorecards", interview_id="6617") == []


def test_every_version_of_an_offer_is_a_row(quiet):
    offers = {
        (r["offer_id"], r["version"]): (r["status"], r["extended_at"], r["resolved_at"])
        for r in quiet.rows("offers")
    }

    assert offers == {
        ("201", "1"): ("rescinded", "2026-06-09", None),
        ("202", "2"): ("accepted", "2026-06-10", iso(day(12))),
        ("203", "1"): ("declined", "2026-06-09", iso(day(10))),
    }
    assert {r["starts_on"] for r in quiet.rows("offers")} == {"2026-08-03"}


def test_versions_that_share_an_id_and_offers_that_were_not_sent(synced):
    """Whether versions of an offer share its id is not documented."""
    rows = synced.service.lists["offers"]
    rows[300] = {**rows[202], "version": 3, "status": "Created",
                 "updated_at": iso(synced.service.now)}  # fmt: skip
    synced.service.add("offers", 204, synced.service.now, application_id=9020,
                       version=1, status="Created", sent_on=None)  # fmt: skip
    synced.service.pass_time(minutes=1)

    synced.sync()

    versions = {r["version"] for r in synced.rows("offers", offer_id="202")}
    assert versions == {"2", "3"}
    assert synced.rows("offers", offer_id="204") == []


def test_self_identification_keeps_declined_and_unanswered_apart(quiet):
    told = {
        (r["application_id"], r["attribute"]): r["value"]
        for r in quiet.rows("demographics")
    }

    assert told["9001", "sex"] == "female"
    assert told["9001", "race_ethnicity"] == "Asian"
    assert told["9001", "veteran"] == "I am not a protected veteran"
    assert told["9001", "disability"] == "declined"
    # Declined in one form and told in the other is told.
    assert told["9002", "sex"] == "female"
    assert told["9002", "race_ethnicity"] == "unanswered"
    assert told["9003", "sex"] == "declined"
    assert told["9003", "race_ethnicity"] == "Asian; White"
    assert told["9003", "veteran"] == "unanswered"
    assert told["9004", "veteran"] == "unanswered"
    # Nobody asked 9005, and nobody asks for orientation here.
    assert not [key for key in told if key[0] == "9005"]
    assert {attribute for _, attribute in told} == {
        "sex", "race_ethnicity", "veteran", "disability",
    }  # fmt: skip


def test_employees_are_left_to_the_system_that_knows_who_left(quiet):
    assert quiet.rows("employees") == []
    assert [s for s, _, _, body in quiet.mirrored() if "employee_id" in body] == []


# -- archives of v1 -------------------------------------------------------------------


def _person(n: int) -> dict[str, Any]:
    return {"id": n, "first_name": NAME, "last_name": str(n), "name": f"{NAME} {n}",
            "employee_id": FREE_TEXT}  # fmt: skip


def _v1_application(id_: int, **about: Any) -> dict[str, Any]:
    return {
        "id": id_, "candidate_id": 57, "prospect": False, "status": "active",
        "applied_at": "2026-03-02T09:00:00.000Z", "rejected_at": None,
        "last_activity_at": "2026-04-01T09:00:00.000Z",
        "location": {"address": FREE_TEXT}, "recruiter": _person(3),
        "source": {"id": 1, "public_name": "HRMarket"}, "rejection_reason": None,
        "jobs": [{"id": 123, "name": "GenAI Engineer"}],
        "current_stage": {"id": 62, "name": "Recruiter Phone Screen"},
        "answers": [{"question": FREE_TEXT, "answer": FREE_TEXT}], **about,
    }  # fmt: skip


def _v1_exports() -> dict[str, list[dict[str, Any]]]:
    rejected = {
        "status": "rejected", "rejected_at": "2026-03-20T09:00:00.000Z",
        "rejection_reason": {"id": 8, "name": "Other offer",
                             "type": {"id": 2, "name": "They rejected us"}},
    }  # fmt: skip
    coding = {"id": 432, "name": "Coding"}
    at = "2026-03-12T13:15:00.000Z"
    card = {
        "id": 9, "application_id": 69, "candidate_id": 57, "interview": "Coding",
        "interview_step": coding, "interviewer": _person(2), "submitted_by": _person(2),
        "interviewed_at": at, "submitted_at": "2026-03-12T18:00:00.000Z",
        "created_at": at, "updated_at": "2026-03-12T18:00:00.000Z",
        "overall_recommendation": "definitely_not",
        "attributes": [
            {"name": "Teamwork", "type": "Skills", "note": FREE_TEXT,
             "rating": "mixed"},
            {"name": "Testing", "type": "Skills", "note": None,
             "rating": "no_decision"},
        ],
        "ratings": {"mixed": ["Teamwork"]},
        "questions": [{"id": 12, "question": FREE_TEXT, "answer": f"<p>{FREE_TEXT}"}],
    }  # fmt: skip
    interview = {
        "id": 91, "application_id": 69, "start": {"date_time": at},
        "end": {"date_time": "2026-03-12T14:15:00.000Z"}, "location": FREE_TEXT,
        "status": "complete", "created_at": at, "updated_at": at, "interview": coding,
        "interviewers": [
            {**_person(2), "email": f"{NAME}@x.example", "scorecard_id": 9,
             "response_status": "accepted"},
            {"id": None, "name": NAME, "email": f"{NAME}@y.example",
             "response_status": "needs_action", "scorecard_id": None},
        ],
    }  # fmt: skip
    return {
        "applications": [
            _v1_application(69),
            _v1_application(70, **rejected),
            _v1_application(71, status="hired", current_stage=None),
            _v1_application(72, prospect=True, jobs=[]),
        ],
        "candidates": [
            {"id": 57, "first_name": NAME, "last_name": "57",
             "email_addresses": [{"value": "canary-7f3a@x.example", "type": "work"}],
             "phone_numbers": [{"value": FREE_TEXT}],
             "created_at": "2026-03-02T09:00:00.000Z",
             "updated_at": "2026-03-02T09:00:00.000Z",
             "applications": [_v1_application(69), _v1_application(73)]},
        ],
        "jobs": [
            {"id": 123, "name": "GenAI Engineer", "status": "open", "notes": FREE_TEXT,
             "opened_at": "2026-02-01T09:00:00.000Z", "closed_at": None,
             "is_template": False, "departments": [{"id": 4, "name": "Research"}],
             "offices": [{"id": 5, "name": "Lisbon"}],
             "hiring_team": {"hiring_managers": [_person(2)],
                             "recruiters": [{**_person(3), "responsible": True}]},
             "openings": [
                 {"id": 1, "opening_id": "1-1", "status": "closed",
                  "opened_at": "2026-02-01T09:00:00.000Z",
                  "closed_at": "2026-03-30T09:00:00.000Z", "application_id": 71,
                  "close_reason": {"id": 3, "name": "Hired"}}]},
        ],
        "job_stages": [
            {"id": 62, "name": "Recruiter Phone Screen", "job_id": 123, "priority": 0,
             "active": True, "interviews": []},
            {"id": 63, "name": "Onsite", "job_id": 123, "priority": 1, "active": True,
             "interviews": [{**coding, "interview_kit": {"id": 19,
                                                         "content": FREE_TEXT}}]},
        ],
        "scorecards": [
            card,
            {**card, "id": 10, "submitted_at": None, "attributes": []},
            {**card, "id": 11, "interview_step": {"id": 7, "name": "Pairing"},
             "attributes": []},
        ],
        "scheduled_interviews": [
            interview,
            {**interview, "id": 92, "start": {"date": "2026-03-29"},
             "end": {"date": "2026-03-30"}, "interviewers": []},
        ],
        "offers": [
            {"id": 1221, "version": 1, "application_id": 71, "job_id": 123,
             "created_at": at, "updated_at": at, "sent_at": "2026-03-20",
             "resolved_at": "2026-03-24T09:00:00.000Z", "starts_at": "2026-05-02",
             "status": "accepted", "custom_fields": {"salary": 123456}},
            {"id": 1222, "version": 1, "application_id": 69, "created_at": at,
             "updated_at": at, "sent_at": None, "status": "unresolved"},
        ],
        "users": [
            {**_person(2), "disabled": True, "emails": [f"{NAME}@x.example"],
             "departments": [{"id": 4, "name": "Research"}]},
        ],
        "eeoc": [
            {"application_id": 69, "candidate_id": 57, "submitted_at": at,
             "race": {"id": 1, "description": "White"},
             "gender": {"id": 1, "description": "Decline To Self Identify"},
             "veteran_status": {"id": 1, "message": "I don't wish to answer"},
             "disability_status": None},
        ],
        "demographics_questions": [
            {"id": 61, "demographic_question_set_id": 60, "active": True,
             "name": "Which gender do you identify with?"}],
        "demographics_answer_options": [
            {"id": 71, "demographic_question_id": 61, "name": "Man", "active": True,
             "decline_to_answer": False}],
        "demographics_answers": [
            {"id": 1, "application_id": 70, "demographic_question_id": 61,
             "demographic_answer_option_id": 71, "free_form_text": FREE_TEXT}],
    }  # fmt: skip


@dataclass
class Archive(Account):
    """A home that an archive fills; it has no service."""

    @property
    def folder(self) -> Path:
        return self.home.root.with_name("archive")

    @property
    def settings(self) -> Settings:
        connector = {"kind": "greenhouse_archive", "location": str(self.folder)}
        config = SourceConfig.model_validate({"connector": connector | self.about})
        return Settings(self.home, Sources(sources={"gh": config}), Policy(), {})

    def write(self, name: str, rows: Any) -> None:
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        content = json.dumps(rows)
        if ".jsonl" in name:
            content = "\n".join(map(json.dumps, rows)) + "\n\n"
        packed = gzip.compress(content.encode())
        path.write_bytes(packed if name.endswith(".gz") else content.encode())


@pytest.fixture
def archive(root):
    made = Archive(None, Home(root / "home"))
    suffixes = [".json", "_2026-04-01.json.gz", ".jsonl", "-1.jsonl.gz"]
    for n, (endpoint, rows) in enumerate(_v1_exports().items()):
        made.write(f"{endpoint}{suffixes[n % 4]}", rows)
    return made


def test_an_archive_of_v1_is_translated_as_v3_is(archive):
    report = archive.sync()

    landed = check(archive.home, archive.settings.sources)
    assert not landed.problems
    assert not landed.quarantined
    assert report.notes == []
    status = {
        r["application_id"]: (r["status"], r["closed_at"], r["close_reason"])
        for r in archive.rows("applications")
    }
    assert status == {
        "69": ("active", None, None),
        "70": ("withdrawn", "2026-03-20T09:00:00.000Z", "other_offer"),
        "71": ("hired", "2026-03-24T09:00:00.000Z", None),
        # Only the export of candidates has it.
        "73": ("active", None, None),
    }
    application = archive.one("applications", application_id="69")
    assert (application["source"], application["recruiter_id"]) == ("HRMarket", "3")
    job = archive.one("jobs")
    assert (job["role_family"], job["location"]) == ("Research", "Lisbon")
    assert archive.one("openings")["filled_at"] == "2026-03-30T09:00:00.000Z"
    assert len(archive.rows("hiring_team")) == 2


def test_an_archive_knows_the_stage_of_its_day_and_no_time(archive):
    archive.sync()

    assert archive.visits(69) == [(None, None, "Recruiter Phone Screen", "missing")]
    assert archive.visits(71) == []
    stages = {r["stage"]: (r["order"], r["round"]) for r in archive.rows("stages")}
    assert stages == {"Recruiter Phone Screen": ("1", None), "Onsite": ("2", "Coding")}


def test_cards_and_interviews_of_an_archive_are_those_of_v3(archive):
    archive.sync()

    cards = {r["scorecard_id"]: r for r in archive.rows("scorecards")}
    assert set(cards) == {"9", "11"}
    assert cards["9"]["overall_rating"] == "definitely_not"
    assert (cards["9"]["interview_id"], cards["9"]["rubric_id"]) == ("91", "19")
    assert cards["9"]["rubric_version"] is None
    assert cards["11"]["round"] == "Pairing"
    ratings = {
        r["competency"]: (r["rating"], r["has_evidence"])
        for r in archive.rows("ratings")
    }
    assert ratings == {
        "Teamwork": ("mixed", "true"),
        "Testing": ("no_decision", "false"),
    }
    interviews = {
        r["interview_id"]: r["scheduled_at"] for r in archive.rows("interviews")
    }
    assert interviews == {"91": "2026-03-12T13:15:00.000Z", "92": "2026-03-29"}
    assert [r["interviewer_id"] for r in archive.rows("interview_panel")] == ["2"]
    assert archive.one("interviewers")["is_active"] == "false"
    assert archive.one("offers")["status"] == "accepted"
    told = {
        (r["application_id"], r["attribute"]): r["value"]
        for r in archive.rows("demographics")
    }
    assert told == {
        ("69", "sex"): "declined", ("69", "race_ethnicity"): "White",
        ("69", "veteran"): "declined", ("69", "disability"): "unanswered",
        ("70", "sex"): "male",
    }  # fmt: skip


def test_an_archive_that_is_read_twice_changes_nothing_and_keeps_no_text(archive):
    archive.sync()
    before = archive.inbox()

    report = archive.sync()

    assert report.files == []
    assert archive.inbox() == before
    assert FREE_TEXT not in str(archive.mirrored())
    assert "123456" not in str(archive.mirrored())


def test_the_newer_of_two_exports_of_an_archive_counts(archive):
    newer = _v1_application(
        69, last_activity_at="2026-05-01T09:00:00.000Z",
        current_stage={"id": 63, "name": "Onsite"},
    )  # fmt: skip
    # The name sorts before the older one's.
    archive.write("applications-0.json", [newer])

    archive.sync()

    assert [visit[2] for visit in archive.visits(69)] == ["Onsite"]


def test_what_is_taken_out_of_an_archive_is_gone(archive):
    archive.sync()
    archive.write("offers-1.jsonl", [])
    for path in archive.folder.glob("offers*"):
        path.unlink()

    archive.sync()

    assert archive.rows("offers") == []
    assert archive.one("applications", application_id="71")["status"] == "hired"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("users.json", b'[{"id": 1, "name": "' + NAME.encode(), "users.json cannot"),
        ("users.jsonl", b'{"id": 1}\n{"id', "users.jsonl, line 2 cannot"),
        ("users.json.gz", b"no gzip", "users.json.gz cannot"),
        ("users.json", b"[1]", "users.json cannot"),
        ("jobs-2.json", b'[{"id": 1, "hiring_team": 5}]', "jobs-2.json, record 1"),
        ("jobs-2.json", b'{"data": [{"id": 1}]}', "jobs-2.json, record 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_its_content(
    archive, name, content, told
):
    (archive.folder / name).write_bytes(content)

    with pytest.raises(SourceError, match=told) as error:
        archive.sync()

    assert NAME not in str(error.value)
    assert archive.inbox() == {}


def test_an_archive_without_applications_is_none(archive):
    for path in archive.folder.glob("[ac][pa]*"):
        path.unlink()

    with pytest.raises(SourceError, match=r"no applications\*\.json"):
        archive.sync()


def test_check_of_an_archive_says_which_exports_it_has(archive):
    for path in archive.folder.glob("eeoc*"):
        path.unlink()
    (archive.folder / "activity_feed.json").write_text("[]")

    access = archive.access()
    report = archive.sync()

    assert access["applications"].level == "ok"
    assert access["eeoc"].level == access["departments"].level == "warning"
    assert report.notes == ["activity_feed.json: no endpoint that is read"]
    shutil.rmtree(archive.folder)
    assert archive.access()["location"].level == "fault"

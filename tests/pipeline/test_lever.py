"""Lever is read whole, then as it changes; no interruption changes what comes out."""

import datetime as dt
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

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.landing import check
from orchestration.settings import Home, Policy, Settings, SourceConfig, Sources
from orchestration.sources import SourceError
from orchestration.sources.connector import SQL, SyncReport, connector, sync
from orchestration.sources.lever import BASE_URL, CHILDREN
from tests.fakes.lever import DAY, FREE_TEXT, KEY, NAME, START, FakeLever
from tests.fakes.service import (
    BAD_GATEWAY,
    BROKEN,
    NO_JSON,
    SIGN_ON,
    TOO_MANY,
    Reply,
)

pytestmark = pytest.mark.pipeline
WITH_PII, ANONYMOUS = "eeo/responses/pii", "eeo/responses"
PHONE = {"Phone screen scheduled": "phone_screen", "Phone screen done": "phone_screen"}


class Killed(BaseException):
    """What a test ends a sync with, wherever it is."""


@dataclass
class Account:
    """A home, and the service that fills it."""

    service: FakeLever
    home: Home
    about: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        lever = {
            "kind": "lever",
            "base_url": f"{self.service.url}/v1",
            "credentials": {"api_key": "env:LEVER_KEY"},
            **self.about,
        }
        config = SourceConfig.model_validate({"connector": lever, "stages": PHONE})
        return Settings(self.home, Sources(sources={"lever": config}), Policy(), {})

    def sync(self, **about: Any) -> SyncReport:
        return sync(self.settings, "lever", **{"sleep": self.waits.append, **about})

    def asked_by(self, **about: Any) -> list[str]:
        """Paths that one sync asked for."""
        before = len(self.service.requests)
        self.sync(**about)
        return [
            request.path.removeprefix("/v1/")
            for request in self.service.requests[before:]
        ]

    def rows(self, entity: str, **where: Any) -> list[dict[str, Any]]:
        path = self.home.inbox / "lever" / f"{entity}.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        return [r for r in rows if all(r[k] == v for k, v in where.items())]

    def one(self, entity: str, **where: Any) -> dict[str, Any]:
        (row,) = self.rows(entity, **where)
        return row

    def inbox(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in self.home.inbox.rglob("*.parquet")
        }

    def access(self) -> dict[str, Any]:
        reader = connector(
            "lever", self.settings.sources.of("lever"), sleep=self.waits.append
        )
        return {access.resource: access for access in reader.check()}


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("LEVER_KEY", KEY)


@pytest.fixture
def root(scratch):
    """A folder in memory: a mirror waits for the disk after each page."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        yield Path(folder)


@pytest.fixture
def account(root):
    """A home that was never synced."""
    with FakeLever() as service:
        yield Account(service, Home(root / "home"))


@pytest.fixture(scope="module")
def quiet(scratch):
    """A home after one sync that nothing disturbed; tests only read it."""
    os.environ["LEVER_KEY"] = KEY
    with FakeLever() as service:
        undisturbed = Account(service, Home(scratch / "lever"))
        undisturbed.sync()
        yield undisturbed


@pytest.fixture
def synced(quiet, root):
    """A copy of that home, with a service of its own that changes as the test says."""
    shutil.copytree(quiet.home.root, root / "home")
    with FakeLever() as service:
        service.pass_time(days=1)
        yield Account(service, Home(root / "home"))


# -- reading ----------------------------------------------------------------------


def test_what_is_delivered_lands_without_a_problem(quiet):
    report = check(quiet.home, quiet.settings.sources)

    assert not report.problems
    assert not report.quarantined
    assert report.warnings == []


def test_lists_are_asked_for_in_full_pages_with_confidential_records(quiet):
    lists = [r for r in quiet.service.requests if r.path == "/v1/opportunities"]

    assert {r.query["limit"] for r in lists} == {"100"}
    assert {r.query["confidentiality"] for r in lists} == {"all"}
    assert quiet.one("applications", application_id="o-hush")["job_id"] == "p-hush"


def test_the_default_address_is_the_vendor_s():
    config = SourceConfig.model_validate(
        {"connector": {"kind": "lever", "credentials": {"api_key": "env:LEVER_KEY"}}}
    )

    with connector("lever", config)._client() as client:
        assert client.base_url == BASE_URL == "https://api.lever.co/v1"


def test_a_second_sync_asks_only_for_what_changed(synced):
    synced.service.move("o-02", "7c1e-phone")

    asked = synced.asked_by()

    under = {path for path in asked if path.startswith("opportunities/o-")}
    assert under == {f"opportunities/o-02/{stream}" for stream in CHILDREN}
    (listing,) = [
        r.query for r in synced.service.requests if r.path == "/v1/opportunities"
    ]
    since = int(listing["updated_at_start"]) / 1000
    before = synced.service.now - dt.timedelta(days=1, minutes=60)
    assert dt.datetime.fromtimestamp(since, dt.UTC) == before
    stages = [r["stage"] for r in synced.rows("stage_events", application_id="o-02")]
    assert sorted(stages) == ["New applicant", "phone_screen"]


def test_a_sync_without_a_change_changes_no_file(synced):
    before = synced.inbox()

    report = synced.sync()

    assert not report.is_full
    assert report.files == []
    assert synced.inbox() == before


def test_incremental_and_full_reading_end_with_the_same_files(synced, root):
    synced.service.move("o-04", "7c1e-phone")
    synced.service.archive("o-05", "r-skills")
    synced.service.delete("o-07")
    afresh = Account(synced.service, Home(root / "afresh"))

    synced.sync()
    afresh.sync()

    assert synced.inbox() == afresh.inbox()


def test_feedback_that_moves_no_opportunity_is_seen_by_the_next_full_pass(synced):
    """Lever does not promise that a completed form touches its opportunity."""
    synced.service.fill("o-02", "f-late")

    synced.sync()
    unseen = synced.rows("scorecards", scorecard_id="f-late")
    synced.service.pass_time(days=7)
    report = synced.sync()

    assert report.is_full
    assert unseen == []
    assert synced.rows("scorecards", scorecard_id="f-late")


def test_a_record_without_a_time_of_change_is_compared_by_what_it_holds(synced):
    synced.service.opportunities["o-old"]["origin"] = "referred"

    synced.sync()
    unseen = synced.one("applications", application_id="o-old")["source"]
    synced.sync(full=True)

    assert unseen == "applied"
    assert synced.one("applications", application_id="o-old")["source"] == "referred"


def test_a_token_bucket_is_waited_for(account, quiet):
    account.service.bucket = 20.0

    def sleep(seconds: float) -> None:
        account.waits.append(seconds)
        account.service.pass_time(seconds=seconds)

    report = account.sync(sleep=sleep)

    assert report.n_repeated == len(account.waits) > 3
    assert all(1 <= wait < 1.5 for wait in account.waits)
    assert account.inbox() == quiet.inbox()


@pytest.mark.parametrize("habit", ["is_overlapping", "has_empty_page"])
def test_odd_pages_change_nothing(account, quiet, habit):
    setattr(account.service, habit, True)

    account.sync()

    assert account.inbox() == quiet.inbox()


def test_what_changes_between_pages_is_seen_once_and_then_as_it_is(account):
    account.service.is_overlapping = True
    pages = []

    def change(_: int, request: Any) -> None:
        if request.path == "/v1/opportunities":
            pages.append(request)
            if len(pages) == 2:
                account.service.move("o-again", "7c1e-phone")

    account.service.on_request = change
    account.sync()
    account.service.pass_time(minutes=5)
    account.sync()

    assert len(account.rows("applications", application_id="o-again")) == 1
    stages = [
        r["stage"] for r in account.rows("stage_events", application_id="o-again")
    ]
    assert sorted(stages) == ["New applicant", "phone_screen"]


def test_what_a_full_list_skips_is_asked_for_and_not_taken_for_deleted(synced):
    synced.service.skipped = {"o-01", "o-hired"}
    before = synced.inbox()

    synced.sync(full=True)

    assert synced.inbox() == before


def test_without_the_list_of_deletions_a_full_pass_sees_them(synced):
    synced.service.refused = {"opportunities/deleted"}
    synced.service.delete("o-hired")

    report = synced.sync(full=True)

    assert [note for note in report.notes if note.startswith("opportunities/deleted")]
    assert synced.rows("applications", application_id="o-hired") == []
    assert all(_mirrored(synced, stream, "o-hired") == 0 for stream in CHILDREN)


def test_a_list_that_goes_round_in_circles_is_an_error_that_says_so(account):
    account.service.is_looping = True

    with pytest.raises(SourceError, match="the same next page twice"):
        account.sync()


def test_a_list_in_another_form_is_an_error_that_says_so(account):
    account.service.faults[1] = Reply({"data": [], "hasNext": True})
    account.service.faults[2] = Reply([1, 2])

    with pytest.raises(SourceError, match="a form that is not Lever's"):
        account.sync()


def test_a_place_that_has_expired_is_begun_again(account, quiet):
    def kill(number: int, request: Any) -> None:
        if request.path == "/v1/opportunities" and "offset" in request.query:
            account.service.faults[number] = BROKEN

    account.service.on_request = kill
    with pytest.raises(Killed):
        account.sync(sleep=_kill)
    account.service.on_request = lambda number, request: None
    account.service.forgets_places = True
    account.service.most = 100
    report = account.sync()

    assert any("begun again" in note for note in report.notes)
    assert account.inbox() == quiet.inbox()


# -- interruptions ----------------------------------------------------------------


def _kill(_: float) -> None:
    raise Killed


def test_a_sync_killed_at_every_request_ends_with_the_same_files(account, quiet):
    """Run n is killed at its n-th request, so that each run gets a little further."""
    for n in range(1, 200):
        account.service.faults = {len(account.service.requests) + n: BROKEN}
        try:
            account.sync(sleep=_kill)
        except Killed:
            assert account.inbox() == {}
        else:
            break

    assert n > 20
    assert account.inbox() == quiet.inbox()


def test_kill_9_in_the_middle_ends_with_the_same_files(account, quiet):
    code = (
        "import sys; from pathlib import Path;"
        "from orchestration.settings import load_settings;"
        "from orchestration.sources.connector import sync;"
        "sync(load_settings(Path(sys.argv[1])), 'lever')"
    )
    sources = account.settings.sources.model_dump(mode="json")
    account.home.root.mkdir()
    account.home.sources_file.write_text(json.dumps(sources))
    process: list[subprocess.Popen[bytes]] = []

    def kill(number: int, _: Any) -> None:
        if number == 60:
            os.kill(process[0].pid, signal.SIGKILL)

    account.service.on_request = kill
    command = [sys.executable, "-c", code, str(account.home.root)]
    process.append(subprocess.Popen(command))
    assert process[0].wait(timeout=60) == -signal.SIGKILL
    account.sync()

    assert account.inbox() == quiet.inbox()


def test_faults_on_the_way_change_nothing(account, quiet):
    kinds = [TOO_MANY, BROKEN, BAD_GATEWAY, NO_JSON, SIGN_ON,
             Reply({"data": []}, is_cut=True)]  # fmt: skip
    account.service.faults = {
        number: kinds[number // 4 % len(kinds)] for number in range(1, 150, 4)
    }

    report = account.sync()

    assert report.n_repeated > 25
    assert account.inbox() == quiet.inbox()


def test_a_service_that_stays_broken_leaves_the_inbox_as_it_was(synced):
    before = synced.inbox()
    synced.service.faults = dict.fromkeys(range(1, 100), BROKEN)

    with pytest.raises(SourceError, match="run the sync"):
        synced.sync()

    assert synced.inbox() == before


# -- permissions and secrets --------------------------------------------------------


@pytest.mark.parametrize("resource", ["eeo/responses/pii", "offers", "requisitions"])
def test_a_scope_that_is_missing_makes_a_partial_run_that_says_so(account, resource):
    account.service.refused = {resource}

    report = account.sync()

    missing = {"eeo/responses/pii": "demographics", "requisitions": "openings"}
    assert len([note for note in report.notes if "refused (HTTP 403)" in note]) == 1
    assert account.rows(missing.get(resource, resource)) == []
    assert account.rows("applications")


def test_a_scope_that_is_granted_later_is_caught_up_with(account, quiet):
    account.service.refused = {"feedback"}
    account.sync()

    account.service.refused = set()
    account.sync()

    assert account.inbox() == quiet.inbox()


@pytest.mark.parametrize(
    "resource", ["opportunities", "stages", "archive_reasons", "applications"]
)
def test_without_what_outcomes_rest_on_the_sync_stops(account, resource):
    account.service.refused = {resource}

    with pytest.raises(SourceError, match=rf"{resource} refused \(HTTP 403\)"):
        account.sync()

    assert account.inbox() == {}


def test_an_emptied_list_is_taken_for_a_permission_not_for_deletions(synced):
    synced.service.opportunities.clear()

    with pytest.raises(SourceError, match="shrank by 19 of 19"):
        synced.sync(full=True)


def test_a_wrong_key_is_refused_without_being_told(account, monkeypatch):
    monkeypatch.setenv("LEVER_KEY", f"{KEY}-wrong")

    with pytest.raises(SourceError, match="look at the key") as refused:
        account.sync()

    assert KEY not in str(refused.value)


def test_a_key_that_is_not_named_is_an_error_that_says_what_to_write(account):
    account.about = {"credentials": {}}

    with pytest.raises(SourceError, match=r"credentials\.api_key"):
        account.sync()


def test_check_says_what_each_resource_lets_be_seen(account):
    account.service.refused = {"offers", "stages", "eeo/responses/pii"}
    account.service.postings = []

    access = account.access()

    levels = {name: one.level for name, one in access.items()}
    assert levels == {
        "opportunities": "ok", "stages": "fault", "archive_reasons": "ok",
        "postings": "warning", "requisitions": "ok", "users": "ok",
        "feedback_templates": "ok", "eeo_responses": "warning", "eeo_counts": "ok",
        "opportunities/deleted": "ok", "applications": "ok", "feedback": "ok",
        "interviews": "ok", "panels": "ok", "offers": "warning",
    }  # fmt: skip
    assert all(one.cure for one in access.values() if one.level != "ok")
    told = str(access)
    assert KEY not in told
    assert NAME not in told


def test_check_of_a_wrong_key_is_a_fault_everywhere_and_raises_nothing(
    account, monkeypatch
):
    monkeypatch.setenv("LEVER_KEY", "wrong")

    access = account.access()

    assert access["opportunities"].level == access["users"].level == "fault"
    assert access["feedback"].level == "warning"


def test_no_secret_and_no_free_text_is_kept_anywhere(quiet, capfd):
    names_in = set()
    for path in quiet.home.root.rglob("*"):
        if path.is_dir():
            continue
        if path.suffix == ".parquet":
            content = str(pq.read_table(path).to_pylist())
        else:
            content = path.read_bytes().decode("utf-8", "replace")
        assert KEY not in content, path
        assert FREE_TEXT not in content, path
        assert "123456" not in content, path
        if NAME.lower() in content.lower():
            names_in.add(path.stem)
    told = "".join(capfd.readouterr())

    assert names_in == {"candidates", "interviewers", "lever"}
    assert KEY not in told


# -- translation --------------------------------------------------------------------


def test_an_outcome_follows_the_type_of_the_reason_and_its_text(quiet):
    status = {r["application_id"]: r for r in quiet.rows("applications")}

    assert status["o-hired"]["status"] == "hired"
    assert status["o-rejected"]["status"] == "rejected"
    assert status["o-rejected"]["close_reason"] == "underqualified"
    assert status["o-left"]["status"] == "withdrawn"
    assert status["o-left"]["close_reason"] == "accepted_another_offer"
    assert status["o-01"]["status"] == "active"
    assert status["o-01"]["closed_at"] is None


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Withdrew", "withdrawn"),
        ("Candidate withdrawn", "withdrawn"),
        ("Offer declined", "withdrawn"),
        ("Took another offer", "withdrawn"),
        ("No longer interested", "withdrawn"),
        ("Not interested", "withdrawn"),
        ("Unresponsive", "withdrawn"),
        ("Withdrawn by candidate", "withdrawn"),
        ("Declined by hiring manager", "rejected"),
        ("Another candidate accepted the offer", "rejected"),
        ("Offer withdrawn", "rejected"),
        ("Requisition withdrawn", "rejected"),
        ("We declined", "rejected"),
        ("Company withdrew offer", "rejected"),
        ("Position closed", "rejected"),
        ("Underqualified", "rejected"),
        (None, "rejected"),
    ],
)
def test_who_ended_it_is_read_from_the_text_of_the_reason(text, outcome):
    sql = (SQL / "lever.sql").read_text(encoding="utf-8")
    with duckdb.connect() as bench:
        bench.execute("create table archive_reasons (id text, text text, type text)")
        bench.execute(
            "insert into archive_reasons values ('r', ?, 'non-hired')", [text]
        )
        bench.execute(sql.split("create temp table applied")[0])
        found = bench.execute("select outcome from reasons").fetchone()

    assert found == (outcome,)


def test_an_unknown_kind_of_reason_or_offer_is_noted_and_not_mislabelled(synced):
    synced.service.archive("o-01", "r-future")
    offers = synced.service.children["offers", "o-left"]
    offers[1]["status"] = "countersigned"
    synced.service.touch("o-left")
    synced.service.move("o-02", "7c1e-phone")
    synced.service.stages = [s for s in synced.service.stages if "7c1e" not in s["id"]]

    report = synced.sync()

    archived = synced.one("applications", application_id="o-01")
    assert (archived["status"], archived["close_reason"]) == ("rejected", "unmapped")
    assert len(synced.rows("offers", application_id="o-left")) == 1
    visit = synced.one("stage_events", application_id="o-02", exited_at=None)
    assert visit["stage"] == "unmapped"
    assert sum("unmapped: " in note for note in report.notes) == 3


def test_an_application_opened_again_keeps_how_it_ended_before(synced):
    synced.service.unarchive("o-rejected")
    reopened = synced.service.now
    synced.sync()
    synced.service.pass_time(days=2)
    synced.service.move("o-rejected", "9e3a-onsite")
    synced.sync()
    synced.service.pass_time(days=2)
    synced.service.archive("o-rejected", "r-hired")
    synced.sync()
    synced.service.pass_time(days=2)
    synced.service.unarchive("o-rejected")
    synced.sync()

    events = synced.rows("application_events", application_id="o-rejected")
    told = sorted((e["occurred_at"][:10], e["kind"], e["reason_group"]) for e in events)
    assert told == [
        ("2026-06-10", "rejected", "underqualified"),
        (reopened.date().isoformat(), "reopened", None),
        ("2026-10-05", "hired", "hired"),
        ("2026-10-07", "unhired", None),
    ]
    application = synced.one("applications", application_id="o-rejected")
    assert application["status"] == "active"


def test_another_reason_for_the_same_archiving_is_no_reopening(synced):
    synced.service.archive("o-rejected", "r-other")

    synced.sync()

    event = synced.one("application_events", application_id="o-rejected")
    assert event["kind"] == "withdrawn"


def test_every_visit_is_a_row_and_going_back_is_kept(quiet):
    visits = sorted(
        (r["entered_at"][:10], (r["exited_at"] or "open")[:10], r["stage"])
        for r in quiet.rows("stage_events", application_id="o-back")
    )

    assert visits == [
        ("2026-06-05", "2026-06-07", "New applicant"),
        ("2026-06-07", "2026-06-08", "phone_screen"),
        ("2026-06-08", "2026-06-09", "On-site interview"),
        ("2026-06-09", "2026-06-10", "phone_screen"),
        ("2026-06-10", "open", "On-site interview"),
    ]
    ids = [r["visit_id"] for r in quiet.rows("stage_events")]
    assert len(set(ids)) == len(ids)


def test_two_native_stages_that_are_one_of_the_funnel_are_one_stay(quiet):
    visits = quiet.rows("stage_events", application_id="o-01", stage="phone_screen")

    assert [(v["entered_at"][:10], v["exited_at"][:10]) for v in visits] == [
        ("2026-06-04", "2026-06-07")
    ]


def test_a_last_visit_ends_with_the_application(quiet):
    visit = quiet.one("stage_events", application_id="o-hired", stage="Offer")

    assert visit["exited_at"] == "2026-06-13T09:00:00.000Z"


def test_where_moves_are_left_out_the_stage_of_today_is_backfilled(quiet):
    visit = quiet.one("stage_events", application_id="o-old")

    assert visit["stage"] == "phone_screen"
    assert visit["entered_at_quality"] == "backfilled"
    assert visit["entered_at"] == _iso(START - 190 * DAY)


def test_a_move_without_a_time_stays_without_one(quiet):
    visits = {
        r["stage"]: r for r in quiet.rows("stage_events", application_id="o-undated")
    }

    assert visits["phone_screen"]["entered_at"] is None
    assert visits["phone_screen"]["exited_at"] is None
    assert visits["phone_screen"]["entered_at_quality"] == "missing"
    assert (
        visits["New applicant"]["exited_at"]
        == visits["On-site interview"]["entered_at"]
    )


def test_ids_of_visits_stay_when_another_visit_follows(synced, quiet):
    synced.service.move("o-02", "7c1e-phone")

    synced.sync()

    before = {r["visit_id"] for r in quiet.rows("stage_events")}
    assert before < {r["visit_id"] for r in synced.rows("stage_events")}


def test_the_order_of_stages_is_the_middle_of_what_moves_recorded(quiet):
    stages = quiet.rows("stages", role_family="Engineering")

    ordered = sorted(stages, key=lambda row: int(row["order"]))
    assert [(r["stage"], r["stage_group"]) for r in ordered] == [
        ("New applicant", "applied"),
        ("phone_screen", "screen"),
        ("On-site interview", "interview"),
        ("Offer", "offer"),
    ]


def test_jobs_take_their_family_from_department_or_team(quiet):
    families = {r["job_id"]: r["role_family"] for r in quiet.rows("jobs")}

    assert families == {
        "p-ml": "Engineering",
        "p-sales": "Sales",
        "p-hush": "all roles",
    }
    assert quiet.rows("stages", role_family="unspecified", stage="New lead")
    assert {(r["person_id"], r["role"]) for r in quiet.rows("hiring_team")} == {
        ("u-1", "recruiter"),
        ("u-3", "hiring_manager"),
    }


def test_a_requisition_for_two_is_two_openings_and_a_draft_is_none(quiet):
    openings = {r["opening_id"]: r for r in quiet.rows("openings")}

    assert set(openings) == {"q-ml/1", "q-ml/2"}
    assert openings["q-ml/1"]["application_id"] == "o-hired"
    assert openings["q-ml/1"]["filled_at"] == _iso(START + 12 * DAY)
    assert openings["q-ml/2"]["filled_at"] is None


def test_ratings_are_spelled_as_they_are_and_blanks_are_no_ratings(quiet):
    card = quiet.one("scorecards", scorecard_id="f-o-01")
    ratings = {
        r["competency"]: (r["rating"], r["has_evidence"])
        for r in quiet.rows("ratings", scorecard_id="f-o-01")
    }

    assert card["overall_rating"] == "3 - Hire"
    assert card["interview_id"] == "i-o-01"
    assert ratings == {
        "Depth": ("4", None),
        "Breadth": (None, None),
        "RAG": ("3", "true"),
        "Evaluation": ("2", "false"),
    }
    unrated = quiet.one("scorecards", scorecard_id="f-null")
    assert unrated["overall_rating"] is None
    depth = quiet.one("ratings", scorecard_id="f-null", competency="Depth")
    assert depth["rating"] is None


def test_drafts_deleted_forms_and_forms_of_nobody_are_no_cards(quiet):
    cards = {r["scorecard_id"]: r for r in quiet.rows("scorecards")}

    assert not cards.keys() & {"f-draft", "f-deleted", "f-nobody"}
    assert cards["f-by-hand"]["interview_id"] is None
    assert cards["f-by-hand"]["rubric_id"] is None
    assert cards["f-by-hand"]["rubric_version"] is None


def test_a_deleted_form_is_gone_at_the_next_sync(synced):
    synced.service.children["feedback", "o-01"][0]["deletedAt"] = synced.service.ms
    synced.service.touch("o-01")

    synced.sync()

    assert synced.rows("scorecards", application_id="o-01") == []
    assert synced.rows("ratings", scorecard_id="f-o-01") == []


def test_an_overall_rating_in_an_older_field_is_no_competency(quiet):
    card = quiet.one("scorecards", scorecard_id="f-older")

    assert card["overall_rating"] == "1 - Strong No Hire"
    assert quiet.rows("ratings", scorecard_id="f-older", competency="Rating") == []
    assert card["updated_at"] > card["submitted_at"]


def test_a_competency_asked_for_twice_is_two_questions(quiet):
    depth = quiet.rows("ratings", scorecard_id="f-twice", competency="Depth")

    assert [(r["question_id"], r["rating"]) for r in depth] == [
        ("Depth #1", "4"),
        ("Depth #5", "1"),
    ]


def test_a_rubric_s_version_is_that_of_its_questions_not_of_its_answers(quiet):
    version = {r["scorecard_id"]: r["rubric_version"] for r in quiet.rows("scorecards")}

    assert version["f-o-01"] == version["f-o-05"] == version["f-null"]
    assert version["f-twice"] != version["f-o-01"]


def test_guests_from_outside_get_no_id(quiet):
    on_panel = {r["interviewer_id"] for r in quiet.rows("interview_panel")}

    assert on_panel == {"u-2"}
    assert quiet.rows("interview_panel", interview_id="i-guests") == []
    assert quiet.rows("interviews", interview_id="i-guests")
    # A card of someone who is no user any more keeps the id that the service gave.
    gone = quiet.one("interviewers", interviewer_id="u-99")
    assert gone["full_name"] is None


def test_interviews_are_instants_whatever_clocks_do(quiet):
    at = {r["interview_id"]: r for r in quiet.rows("interviews")}

    assert at["i-before-gap"]["scheduled_at"] == "2026-03-08T09:30:00.000Z"
    assert at["i-after-gap"]["scheduled_at"] == "2026-03-08T10:30:00.000Z"
    # A day alone begins in its zone; 25 hours are no duration of the contract.
    assert at["i-day"]["scheduled_at"] == "2026-03-28T23:00:00.000Z"
    assert at["i-day"]["duration_minutes"] is None
    assert at["i-nowhere"]["scheduled_at"] == "2026-03-29T00:00:00.000Z"
    assert "i-undated" not in at
    assert at["i-off"]["status"] == "cancelled"
    assert at["i-o-01"]["status"] == "completed"
    assert at["i-o-01"]["round"] == "System design"


def test_a_cancelled_panel_cancels_its_interviews(synced):
    synced.service.children["panels", "o-odd"][0]["canceledAt"] = synced.service.ms
    synced.service.touch("o-odd")

    synced.sync()

    assert (
        synced.one("interviews", interview_id="i-before-gap")["status"] == "cancelled"
    )


def test_offers_are_those_that_were_sent(quiet):
    offers = {r["offer_id"]: r for r in quiet.rows("offers")}

    assert {k: r["status"] for k, r in offers.items()} == {
        "x-o-hired-1": "accepted",
        "x-o-left-1": "declined",
        "x-o-left-2": "pending",
    }
    signed = offers["x-o-hired-1"]
    assert signed["resolved_at"] == _iso(START + 11 * DAY)
    assert signed["starts_on"] == "2026-07-31"


def test_one_person_in_two_opportunities_is_one_candidate(quiet):
    person = quiet.one("candidates", candidate_id="c-o-rejected")

    assert person["full_name"] == f"{NAME} o-again"
    assert person["created_at"] == _iso(START + 2 * DAY)
    assert len(quiet.rows("applications", candidate_id="c-o-rejected")) == 2


def test_self_identification_is_read_from_the_beginning_not_of_the_last_week(quiet):
    answers = {
        r["attribute"]: r["value"]
        for r in quiet.rows("demographics", application_id="o-old")
    }

    assert answers == {
        "sex": "female",
        "race_ethnicity": "Asian (Not Hispanic or Latino)",
        "veteran": "unanswered",
        "disability": "declined",
    }
    declined = quiet.one("demographics", application_id="o-04", attribute="sex")
    assert declined["value"] == "declined"
    assert quiet.rows("demographic_counts") == []


def test_self_identification_is_neither_asked_for_nor_kept_where_it_is_off(synced):
    synced.about = {"demographics": False}

    asked = synced.asked_by()

    assert not [path for path in asked if path.startswith("eeo")]
    assert synced.rows("demographics") == []
    assert _mirrored(synced, "eeo_responses") == 0
    assert synced.access()["eeo_responses"].level == "ok"


# -- anonymous self-identification ------------------------------------------------


@pytest.fixture(scope="module")
def counted(scratch):
    """A home of a key that may read the anonymous form only; tests only read it."""
    os.environ["LEVER_KEY"] = KEY
    with FakeLever() as service:
        service.refused = {WITH_PII}
        undisturbed = Account(service, Home(scratch / "lever-counted"))
        undisturbed.sync()
        yield undisturbed


@pytest.fixture
def recounted(counted, root):
    """A copy of that home, with a service of its own that changes as the test says."""
    shutil.copytree(counted.home.root, root / "home")
    with FakeLever() as service:
        service.refused = {WITH_PII}
        service.pass_time(days=1)
        yield Account(service, Home(root / "home"))


def _cells(account: Account, attribute: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Period and value to who entered, who advanced and who is open."""
    return {
        (r["period"], r["value"]): (
            int(r["entered"]),
            int(r["advanced"]),
            int(r["open"]),
        )
        for r in account.rows("demographic_counts", attribute=attribute)
    }


def test_without_answers_with_pii_the_anonymous_ones_are_counted(counted):
    """Fifteen applied in June, one of them was hired, two were turned down or left."""
    assert counted.rows("demographics") == []
    assert _cells(counted, "sex") == {
        ("2025-Q4", "female"): (1, 0, 1),
        ("2026-Q1", "female"): (1, 0, 1),
        ("2026-Q2", "female"): (14, 1, 11),
        ("2026-Q2", "declined"): (1, 0, 1),
        ("2026-Q3", "female"): (1, 0, 1),
    }
    assert _cells(counted, "disability") == {
        ("2025-Q4", "declined"): (1, 0, 1),
        ("2026-Q1", "No"): (1, 0, 1),
        ("2026-Q2", "No"): (15, 1, 12),
        ("2026-Q3", "No"): (1, 0, 1),
    }
    assert {value for _, value in _cells(counted, "veteran")} == {"unanswered"}
    rows = counted.rows("demographic_counts")
    assert {r["stage"] for r in rows} == {"overall"}
    asked = [r for r in counted.service.requests if r.path == f"/v1/{ANONYMOUS}"]
    assert [r.query["fromDate"] for r in asked] == ["1262304000000"]


def test_both_forms_spell_answers_alike(counted, quiet):
    applied = {r["application_id"]: r["applied_at"] for r in quiet.rows("applications")}
    told: dict[tuple[str, str, str], int] = {}
    for row in quiet.rows("demographics"):
        at = dt.datetime.fromisoformat(applied[row["application_id"]])
        quarter = f"{at.year}-Q{(at.month - 1) // 3 + 1}"
        cell = (quarter, row["attribute"], row["value"])
        told[cell] = told.get(cell, 0) + 1

    assert told == {
        (r["period"], r["attribute"], r["value"]): int(r["entered"])
        for r in counted.rows("demographic_counts")
    }


def test_spellings_of_one_answer_are_one_count(recounted):
    recounted.service.eeo["o-01"]["gender"] = " FEMALE "
    recounted.service.eeo["o-02"]["gender"] = "I prefer not to say"
    recounted.service.eeo["o-03"]["gender"] = ""

    recounted.sync()

    found = _cells(recounted, "sex")
    assert found["2026-Q2", "female"] == (12, 1, 9)
    assert found["2026-Q2", "declined"] == (2, 0, 2)
    assert found["2026-Q2", "unanswered"] == (1, 0, 1)


def test_quarters_begin_at_midnight_utc(recounted):
    new_year = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
    recounted.service.eeo["o-01"]["appliedAt"] = str(new_year)
    recounted.service.eeo["o-02"]["appliedAt"] = new_year - 1

    recounted.sync()

    found = _cells(recounted, "disability")
    assert found["2026-Q1", "No"][0] == 2
    assert found["2025-Q4", "No"][0] == 1


def test_counts_are_those_of_today(recounted):
    recounted.service.archive("o-01", "r-hired")
    recounted.service.delete("o-old")

    recounted.sync()

    found = _cells(recounted, "sex")
    assert found["2026-Q2", "female"] == (14, 2, 10)
    assert ("2025-Q4", "female") not in found


def test_counts_that_did_not_change_change_no_file(recounted):
    report = recounted.sync()

    assert report.files == []
    assert report.changed["eeo_counts"] == 0


def test_counts_land_without_a_problem(counted):
    report = check(counted.home, counted.settings.sources)

    assert not report.problems
    assert not report.quarantined
    assert report.warnings == []


def test_the_mirror_holds_counts_and_nobody_s_answers(counted):
    assert _mirrored(counted, "eeo_responses") == 0
    assert _mirrored(counted, "eeo_counts") == 1
    path = counted.home.restricted / "mirror" / "lever.sqlite"
    with sqlite3.connect(path) as mirror:
        (body,) = mirror.execute(
            "select body from records where stream = 'eeo_counts'"
        ).fetchone()
    cells = json.loads(body)["cells"]
    names = {"period", "attribute", "value", "entered", "advanced", "open"}
    assert all(set(cell) == names for cell in cells)
    assert {type(cell[n]) for cell in cells for n in ("advanced", "open")} == {int}
    assert len({(c["period"], c["attribute"], c["value"]) for c in cells}) == len(cells)
    assert FREE_TEXT not in body


def test_a_key_that_may_read_both_counts_nothing(quiet):
    paths = {request.path for request in quiet.service.requests}

    assert f"/v1/{WITH_PII}" in paths
    assert f"/v1/{ANONYMOUS}" not in paths
    assert _mirrored(quiet, "eeo_counts") == 0


def test_answers_with_pii_that_are_granted_later_take_the_place_of_counts(
    recounted, quiet
):
    recounted.service.refused = set()

    asked = recounted.asked_by()

    assert ANONYMOUS not in asked
    assert _mirrored(recounted, "eeo_counts") == 0
    assert recounted.inbox() == quiet.inbox()


def test_a_right_to_pii_that_is_lost_keeps_its_answers_and_counts_nobody_twice(synced):
    before = synced.inbox()
    synced.service.refused = {WITH_PII}

    asked = synced.asked_by()

    assert ANONYMOUS not in asked
    assert synced.inbox() == before


def test_a_key_that_is_refused_both_forms_is_told_what_to_grant(account):
    account.service.refused = {WITH_PII, ANONYMOUS}

    report = account.sync()

    (note,) = [note for note in report.notes if "refused (HTTP 403)" in note]
    assert note.startswith("eeo_responses: ")
    assert "Let the key read it" in note
    cures = {name: one.cure for name, one in account.access().items()}
    assert "let the key read EEO responses with PII" in cures["eeo_responses"]
    assert "let the key read EEO responses" in cures["eeo_counts"]
    assert account.rows("demographics") == account.rows("demographic_counts") == []
    assert account.rows("applications")


def test_counts_stay_when_the_key_is_refused_both_forms_later(recounted):
    before = recounted.inbox()
    recounted.service.refused = {WITH_PII, ANONYMOUS}

    recounted.sync()

    assert recounted.inbox() == before


def test_counts_are_neither_asked_for_nor_kept_where_they_are_off(recounted):
    recounted.about = {"demographics": False}

    asked = recounted.asked_by()

    assert not [path for path in asked if path.startswith("eeo")]
    assert recounted.rows("demographic_counts") == []
    assert _mirrored(recounted, "eeo_counts") == 0


def test_the_report_says_that_totals_stand_in(recounted):
    (note,) = [n for n in recounted.sync().notes if "eeo" in n]

    assert note.startswith("eeo_responses: refused (HTTP 403); the anonymous ones")
    assert "sources check lever" in note


def test_unknown_hires_are_not_taken_for_none(recounted):
    """Lever's own example of the anonymous form has no hiredDate."""
    recounted.service.has_hired_date = False

    report = recounted.sync()

    assert any("have no hiredDate" in note for note in report.notes)
    assert recounted.rows("demographic_counts") == []
    access = recounted.access()["eeo_counts"]
    assert (access.level, bool(access.cure)) == ("warning", True)


def test_an_answer_without_a_time_is_left_out_and_noted(recounted):
    recounted.service.eeo["o-01"]["appliedAt"] = "unknown"
    recounted.service.eeo["o-02"]["appliedAt"] = "9" * 30

    report = recounted.sync()

    assert any("2 anonymous answers without a time" in note for note in report.notes)
    assert _cells(recounted, "sex")["2026-Q2", "female"] == (12, 1, 9)


def test_answers_that_vanish_stop_the_sync(recounted):
    answers = dict(recounted.service.eeo)
    recounted.service.eeo.clear()
    before = recounted.inbox()

    with pytest.raises(SourceError, match="eeo_counts shrank by 18 of 18"):
        recounted.sync()
    kept = recounted.inbox()
    recounted.service.eeo = answers
    recounted.sync()
    again = recounted.inbox()
    recounted.service.eeo = {}
    recounted.sync(accept_deletions=True)

    assert kept == again == before
    assert recounted.rows("demographic_counts") == []


@pytest.mark.parametrize(
    ("refused", "named", "anonymous", "told"),
    [
        (set(), "ok", "ok", "not read, eeo_responses tells the same people"),
        ({WITH_PII}, "warning", "ok", "counted where there are no eeo_responses"),
        ({ANONYMOUS}, "ok", "ok", "not read, eeo_responses tells the same people"),
        ({WITH_PII, ANONYMOUS}, "warning", "warning", "refused (HTTP 403)"),
    ],
)
def test_check_says_which_form_the_key_may_read(
    account, refused, named, anonymous, told
):
    account.service.refused = refused

    access = account.access()

    assert access["eeo_responses"].level == named
    assert access["eeo_counts"].level == anonymous
    assert told in access["eeo_counts"].found
    assert ("refused" in access["eeo_counts"].found) == (ANONYMOUS in refused)
    if WITH_PII in refused:
        assert "without stages" in access["eeo_responses"].cure
        assert "mix of requisitions" in access["eeo_responses"].cure


def test_counting_that_is_killed_at_every_request_ends_with_the_same_files(
    account, counted
):
    account.service.refused = {WITH_PII}
    for n in range(1, 200):
        account.service.faults = {len(account.service.requests) + n: BROKEN}
        try:
            account.sync(sleep=_kill)
        except Killed:
            assert account.inbox() == {}
        else:
            break

    assert n > 20
    assert account.inbox() == counted.inbox()


def test_faults_while_counting_change_nothing(account, counted):
    kinds = [TOO_MANY, BROKEN, BAD_GATEWAY, NO_JSON, SIGN_ON,
             Reply({"data": {"eeoResponses": []}}, is_cut=True)]  # fmt: skip
    account.service.refused = {WITH_PII}
    planned = iter(kinds)

    def disturb(number: int, request: Any) -> None:
        fault = next(planned, None) if request.path == f"/v1/{ANONYMOUS}" else None
        if fault:
            account.service.faults[number] = fault

    account.service.on_request = disturb
    report = account.sync()

    assert report.n_repeated == len(kinds)
    assert account.inbox() == counted.inbox()


def test_counts_of_a_killed_sync_are_no_part_of_the_next(recounted, root):
    """An answer changes, so that one of the counts before is no longer there."""
    recounted.service.eeo["o-01"]["gender"] = "Male"
    asked = recounted.service.requests

    def kill(number: int, _: Any) -> None:
        if any(request.path == f"/v1/{ANONYMOUS}" for request in asked[:-1]):
            recounted.service.faults[number] = BROKEN

    recounted.service.on_request = kill
    with pytest.raises(Killed):
        recounted.sync(sleep=_kill)
    recounted.service.on_request = lambda number, request: None
    recounted.service.eeo["o-01"]["gender"] = "Female"
    afresh = Account(recounted.service, Home(root / "afresh"))
    recounted.sync()
    afresh.sync()

    assert ("2026-Q2", "male") not in _cells(recounted, "sex")
    assert recounted.inbox() == afresh.inbox()


def test_a_deleted_opportunity_leaves_nothing_behind(synced):
    synced.service.delete("o-hired")

    synced.sync()

    for entity in ("applications", "application_events", "stage_events", "interviews",
                   "scorecards", "offers", "demographics"):  # fmt: skip
        assert synced.rows(entity, application_id="o-hired") == [], entity
    assert synced.rows("ratings", scorecard_id="f-o-hired") == []
    assert all(_mirrored(synced, stream, "o-hired") == 0 for stream in CHILDREN)


def test_an_opportunity_deleted_while_its_lists_are_read_is_gone(account):
    def delete(_: int, request: Any) -> None:
        if request.path.endswith("o-hired/feedback"):
            account.service.on_request = lambda number, request: None
            account.service.delete("o-hired")

    account.service.on_request = delete

    account.sync()

    assert account.rows("applications", application_id="o-hired") == []
    assert account.rows("scorecards", application_id="o-hired") == []
    assert len(account.rows("applications")) == 18


def test_an_anonymised_person_keeps_an_outcome_and_nothing_else(synced):
    synced.service.anonymise("o-hired")

    synced.sync()

    assert synced.one("applications", application_id="o-hired")["status"] == "hired"
    person = synced.one("candidates", candidate_id="c-o-hired")
    assert (person["full_name"], person["email"]) == (None, None)
    for entity in ("stage_events", "scorecards", "demographics"):
        assert synced.rows(entity, application_id="o-hired") == [], entity
    assert _mirrored(synced, "feedback", "o-hired") == 0


def _mirrored(account: Account, stream: str, parent: str | None = None) -> int:
    path = account.home.restricted / "mirror" / "lever.sqlite"
    with sqlite3.connect(path) as mirror:
        row = mirror.execute(
            "select count(*) from records where stream = ?1"
            " and (?2 is null or parent = ?2)",
            [stream, parent],
        ).fetchone()
    return int(row[0])


def _iso(milliseconds: int) -> str:
    at = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")

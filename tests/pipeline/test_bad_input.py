"""What goes wrong with deliveries: a message or a reason; readers notice nothing."""

import json
import shutil
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from orchestration.publishing.generation import current_generation
from orchestration.simulation.defects import DEFECTS, defect

# Faults of single rows, by the entity that the rows are of.
SET_ASIDE = {
    "unknown_status": "applications",
    "rating_off_scale": "ratings",
    "duplicate_keys": "applications",
    "unknown_interviewer": "scorecards",
    "scorecard_before_application": "scorecards",
    # Last: a table of ragged rows cannot be read to put another fault into it.
    "ragged_row": "ratings",
}
AT_LANDING = ("unknown_status", "ragged_row")
MESSAGES = {
    "empty_inbox": "the inbox is empty",
    "missing_required_column": "applied_at",
    "renamed_column": "is missing ('scorecards_id' is there)",
    "unknown_entity": "Did you mean 'applications'?",
    "unreadable_file": "ratings.parquet",
    "empty_file": "the file is empty",
    "header_only": "scorecards.parquet",
    "symlink": "symbolic links are not followed",
    "wrong_encoding": "jobs.csv",
}


def _break(home, name):
    # A stream per defect, so that two of them choose different rows.
    seed = list(DEFECTS).index(name)
    defect(name).apply(home.inbox, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def delivered(copies, calibrant):
    """A home whose next delivery has a few bad rows of every kind."""
    home = copies()
    for name in SET_ASIDE:
        _break(home, name)
    told = calibrant("run", "--no-sites", home=home)
    assert told.code == 0, told.text
    yield home, told
    shutil.rmtree(home.root)


def _set_aside(home):
    """Rows set aside by entity and reason, as the committee reads them."""
    path = current_generation(home).published("committee") / "data_quality.parquet"
    return {
        (row["entity"], row["measure"]): row["n"]
        for row in pq.read_table(path).to_pylist()
        if row["section"] == "quarantine"
    }


def test_every_defect_of_landing_has_its_message_here():
    landing = {name for name, known in DEFECTS.items() if known.gate == "landing"}

    assert set(MESSAGES) == landing


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_delivery_that_cannot_be_read_is_refused_and_readers_keep_the_last(
    copy, calibrant, tiny, name
):
    _break(copy, name)

    told = calibrant("run", "--no-sites", home=copy)

    assert told.code == 2
    assert DEFECTS[name].notice in told.text
    assert MESSAGES[name] in told.text
    assert "Traceback" not in told.text
    assert current_generation(copy).id == tiny.generation.id
    assert not list(copy.generations.glob(".building-*"))


@pytest.mark.parametrize("name", ["unknown_entity", "symlink"])
def test_check_names_the_same_problem_before_anything_is_run(copy, calibrant, name):
    _break(copy, name)

    told = calibrant("check", "--json", home=copy)

    codes = [problem["code"] for problem in json.loads(told.out)["problems"]]
    assert told.code == 2
    assert codes == [DEFECTS[name].notice]


def test_a_delivery_with_a_few_bad_rows_goes_on_as_a_new_generation(delivered, tiny):
    home, told = delivered

    after = current_generation(home)

    assert after.id != tiny.generation.id
    assert after.manifest["baseline"] == tiny.generation.id
    assert "Traceback" not in told.text


@pytest.mark.parametrize("name", sorted(SET_ASIDE))
def test_a_bad_row_is_set_aside_with_its_reason(delivered, name):
    home, _ = delivered

    found = _set_aside(home)

    assert found[SET_ASIDE[name], DEFECTS[name].notice] >= 1


def test_status_counts_the_rows_refused_at_landing(delivered, calibrant):
    home, _ = delivered

    told = calibrant("status", "--json", home=home)

    counts = _set_aside(home)
    refused = sum(counts[SET_ASIDE[name], DEFECTS[name].notice] for name in AT_LANDING)
    about = json.loads(told.out)
    assert about["quarantine"].startswith(f"{refused} rows refused at landing, ")


def test_results_of_gates_and_the_run_hold_no_value_of_a_refused_row(delivered):
    home, told = delivered
    root = current_generation(home).root

    text = "\n".join(
        path.read_text()
        for path in [*(root / "gates").glob("*.json"), root / "run.json"]
    )

    for planted in ("I-nobody", "another channel", "parked", "S1,coding"):
        assert planted not in text + told.text


def test_the_refused_row_itself_is_kept_where_only_its_owner_reads(delivered):
    home, _ = delivered
    public = [
        text
        for path in home.quarantine.rglob("*.parquet")
        for column in pq.read_table(path).columns
        for text in map(str, column.to_pylist())
    ]
    private = list((home.restricted / "quarantine").glob("*.parquet"))

    assert "ragged_row" in public
    assert "parked" not in " ".join(public)
    assert "parked" in str([pq.read_table(path).to_pylist() for path in private])
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def test_a_home_another_run_holds_is_left_to_it(copy, calibrant, tiny):
    (copy.root / ".lock.json").write_text(
        json.dumps({"pid": 4711, "host": "elsewhere", "run_id": "theirs"})
    )

    with FileLock(copy.root / ".lock"):
        told = calibrant("run", "--no-sites", home=copy)

    assert told.code == 4
    assert "held by another run (pid 4711 on elsewhere, run theirs)" in told.text
    assert "Traceback" not in told.text
    assert current_generation(copy).id == tiny.generation.id


def test_two_threads_of_one_process_cannot_both_hold_a_home(copy, calibrant):
    codes = []
    held, done = threading.Event(), threading.Event()

    def other():
        from orchestration.publishing.generation import hold

        with hold(copy, run_id="thread"):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(30)
    codes.append(calibrant("run", "--no-sites", home=copy).code)
    done.set()
    thread.join()

    assert codes == [4]


def test_settings_that_are_none_are_named_with_their_file(copy, calibrant, tiny):
    copy.policy_file.write_text("smallest_group_size: 0\nsmalest_group: 5\n")

    told = calibrant("run", "--no-sites", home=copy)

    assert told.code == 2
    assert "policy.yaml" in told.text
    assert "smallest_group_size" in told.text
    assert "smalest_group" in told.text
    assert current_generation(copy).id == tiny.generation.id


def test_a_date_that_is_none_is_refused(tiny, calibrant):
    told = calibrant("run", "--as-of", "30/09/2026", home=tiny.home)

    assert told.code == 2
    assert "expected a date such as 2026-09-30" in told.text

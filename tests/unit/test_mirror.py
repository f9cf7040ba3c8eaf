"""A mirror keeps the newest of each record, page by page, whatever interrupts it."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.sources.mirror import Mirror, Record

pytestmark = pytest.mark.unit


@pytest.fixture
def mirror(tmp_path):
    with Mirror.open(tmp_path / "mirror" / "ats.sqlite") as opened:
        yield opened


def bodies(mirror: Mirror, stream: str) -> dict[str, dict]:
    table = mirror.batches(stream).read_all()
    pairs = zip(table["id"].to_pylist(), table["body"].to_pylist(), strict=True)
    return {id_: json.loads(body) for id_, body in pairs}


def test_an_older_version_does_not_replace_a_newer_one(mirror):
    mirror.put("jobs", [Record("1", {"v": 2}, "2026-02")], place={}, seen=1)

    changed = mirror.put("jobs", [Record("1", {"v": 1}, "2026-01")], place={}, seen=1)

    assert changed == 0
    assert bodies(mirror, "jobs") == {"1": {"v": 2}}


@given(st.permutations([("1", 1), ("1", 2), ("1", 3), ("2", 1), ("2", 2)]))
def test_the_order_of_arrival_does_not_matter(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("m") / "ats.sqlite"
    with Mirror.open(path) as mirror:
        for id_, version in order:
            record = Record(id_, {"v": version}, f"2026-{version:02}")
            mirror.put("jobs", [record], place={}, seen=1)

        assert bodies(mirror, "jobs") == {"1": {"v": 3}, "2": {"v": 2}}


def test_a_page_and_its_place_are_kept_together_or_not_at_all(mirror):
    def broken():
        yield Record("1", {})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirror.put("jobs", broken(), place={"cursor": "b"}, seen=1)

    assert mirror.count("jobs") == 0
    assert mirror.place("jobs") == {}


def test_only_changed_parents_are_queued(mirror):
    page = [Record("1", {"a": 1}, "1"), Record("2", {"a": 1}, "1")]
    mirror.put("applications", page, place={}, seen=1, children=["history"])
    for parent in mirror.waiting("history"):
        mirror.replace_children("history", parent, [], seen=1)

    moved = [page[0], Record("2", {"a": 2}, "2")]
    mirror.put("applications", moved, place={}, seen=2, children=["history"])

    assert mirror.waiting("history") == ["2"]


def test_children_are_replaced_whole(mirror):
    mirror.replace_children(
        "history",
        "1",
        [Record("a", {}, parent="1"), Record("b", {}, parent="1")],
        seen=1,
    )

    mirror.replace_children("history", "1", [Record("b", {}, parent="1")], seen=2)

    assert set(bodies(mirror, "history")) == {"b"}


def test_a_full_pass_drops_what_it_has_not_seen(mirror):
    mirror.put("jobs", [Record("1", {}), Record("2", {})], place={}, seen=1)
    mirror.put("jobs", [Record("1", {})], place={}, seen=2)

    found = mirror.unseen("jobs", 2)
    mirror.finish("jobs", place={}, unseen_before=2)

    assert (found.before, found.gone) == (2, 1)
    assert set(bodies(mirror, "jobs")) == {"1"}


def test_only_its_owner_can_read_it(mirror, tmp_path):
    path = tmp_path / "mirror" / "ats.sqlite"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_removed_is_no_longer_in_the_file(tmp_path):
    path = tmp_path / "mirror" / "ats.sqlite"
    with Mirror.open(path) as mirror:
        record = Record("1", {"candidate_id": "7", "name": "Canary-9c2f"})
        mirror.put("candidates", [record], place={}, seen=1)

        removed = mirror.remove_where("candidates", "candidate_id", ["7"])

    assert removed == 1
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"Canary-9c2f" not in left

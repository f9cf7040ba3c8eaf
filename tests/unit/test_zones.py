import pyarrow as pa

from orchestration.publishing.zones import TABLES, ZONES, suppress

SPEC = TABLES["offer_acceptance"]


def _offers(counts: list[int | None]) -> pa.Table:
    rows = [
        {
            "window_id": f"w{place}",
            "role_family": "all",
            "source": "all",
            "n": n,
            "estimate": 0.5 if n else None,
            "ci_low": 0.2 if n else None,
            "ci_high": 0.8 if n else None,
            "status": "ok" if n else "insufficient",
            "status_reason": "",
            "accepted": n,
            "top_decline_reason": "pay",
        }
        for place, n in enumerate(counts)
    ]
    return pa.Table.from_pylist(rows)


def test_a_small_group_loses_every_number_and_keeps_its_labels():
    shown = suppress(_offers([4]), SPEC, smallest_group_size=5).to_pylist()[0]

    assert shown["status"] == "suppressed"
    assert shown["window_id"] == "w0"
    for name in ("n", "estimate", "ci_low", "ci_high", "accepted"):
        assert shown[name] is None
    # A label that only a person's answer put there is a value too.
    assert shown["top_decline_reason"] is None


def test_groups_of_the_smallest_size_are_shown_as_they_are():
    table = _offers([5, 50])

    assert suppress(table, SPEC, smallest_group_size=5).equals(table)


def test_rows_about_nobody_keep_their_own_status():
    shown = suppress(_offers([0, None, 3]), SPEC, smallest_group_size=5)

    assert shown["status"].to_pylist() == ["insufficient", "insufficient", "suppressed"]


def test_leaders_see_no_table_about_interviewers_or_groups_of_candidates():
    assert not {
        "interviewer_calibration", "adverse_impact", "rubric_recommendations",
        "rater_reliability",
    } & set(ZONES["leaders"])  # fmt: skip


def test_no_published_column_names_a_candidate_or_an_application():
    columns = {name for table in TABLES.values() for name in table.columns}

    assert not {name for name in columns if "candidate_id" in name}
    assert not {name for name in columns if "application_id" in name}
    for name in ZONES["leaders"]:
        assert not [
            column for column in TABLES[name].columns if "interviewer_id" in column
        ]

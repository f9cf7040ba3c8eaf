"""dbt's own unit tests on rows made by hand, and which models meet which answers."""

import json
import shutil

import pytest

from orchestration import dbt_runner


@pytest.fixture(scope="module")
def results(tiny, scratch):
    # dbt reads the columns of a model's parents from a built warehouse.
    folder = scratch / "unit-tests"
    folder.mkdir()
    warehouse = folder / dbt_runner.WAREHOUSE_NAME
    shutil.copyfile(tiny.generation.warehouse, warehouse)
    found = dbt_runner.unit_tests(
        warehouse=warehouse, target=folder / "target", variables={}
    )
    return {result.unique_id: result for result in found}


def test_every_unit_test_of_the_models_passes(results):
    failed = {name: r.message for name, r in results.items() if not r.succeeded}

    assert not failed


def test_the_rules_have_unit_tests(results):
    assert len(results) >= 25


def test_answers_meet_people_in_the_two_named_models_only():
    nodes = json.loads(dbt_runner.prepare_manifest().read_text())["nodes"]

    readers = {
        node["name"]
        for node in nodes.values()
        if node["resource_type"] == "model"
        and "model.calibrant.stg_demographics" in node["depends_on"]["nodes"]
    }

    # Keys and counts of rows; then the two aggregates, of outcomes and of scores.
    assert readers == {
        "int_quarantined_rows", "int_row_counts",
        "fct_selection_counts", "fct_score_counts",
    }  # fmt: skip


def test_nothing_below_a_group_leaves_the_two_models():
    nodes = json.loads(dbt_runner.prepare_manifest().read_text())["nodes"]

    columns = {
        name: set(nodes[f"model.calibrant.{name}"]["columns"])
        for name in ("fct_selection_counts", "fct_score_counts")
    }

    for found in columns.values():
        assert "group_value" in found
        assert not {c for c in found if c.endswith("_id")} - {
            "window_id", "rubric_id", "scale_id",
        }  # fmt: skip

"""dbt's own unit tests: window, case and date rules on rows made by hand."""

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

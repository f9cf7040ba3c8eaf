"""Kept slices and tables computed anew are the same, whatever changed in between."""

import shutil

import duckdb
import numpy as np
import pytest

from orchestration.estimates import ESTIMATES
from orchestration.estimates.slices import Slices
from orchestration.settings import Policy
from orchestration.warehouse import DuckDBWarehouse

# Few replicates: what is compared is which rows are computed.
POLICY = Policy(bootstrap_replicates=100)
SLICED = [name for name, estimate in ESTIMATES.items() if estimate.is_sliced]
# Most of the rows that the newest closed quarter added.
NEWEST = """
    select window_start from marts.dim_windows
    where window_kind = 'quarter' and is_closed
    order by window_start desc limit 1
"""
MOMENTS = {
    "fct_hires": "hired_on",
    "fct_performance_reviews": "reviewed_on",
    "fct_ratings": "submitted_at",
    "fct_scorecards": "submitted_at",
    "fct_score_counts": None,
    "fct_selection_counts": None,
    "fct_stage_outcomes": "first_entered_at",
    "fct_stage_visits": "entered_at",
    "fct_stage_weeks": "week_start",
    "dim_stages": None,
}


def computed(name, path, slices):
    with DuckDBWarehouse(path) as warehouse:
        table = ESTIMATES[name].function(
            warehouse, POLICY, rng=np.random.default_rng(1), slices=slices
        )
    return table.sort_by([(column, "ascending") for column in keys(table)])


def keys(table):
    return [field.name for field in table.schema if field.type == "string"]


@pytest.fixture
def changed(tiny, tmp_path):
    """A copy of the warehouse without a third of the recent rows of one mart."""

    def without(mart):
        path = tmp_path / "changed.duckdb"
        shutil.copy(tiny.generation.warehouse, path)
        moment = MOMENTS[mart]
        recent = f" and rows.{moment} >= ({NEWEST})" if moment else ""
        with duckdb.connect(str(path)) as connection:
            deleted = connection.execute(
                f"delete from marts.{mart} as rows where hash(rows) % 3 = 0{recent}"
            ).fetchall()
        assert deleted[0][0] > 0
        return path

    return without


@pytest.mark.parametrize(
    ("name", "mart"),
    [
        (name, mart)
        for name in SLICED
        for mart in ESTIMATES[name].marts
        if mart != "dim_windows"
    ],
)
def test_a_mart_that_changed_changes_what_is_kept(name, mart, tiny, changed, tmp_path):
    folder = tmp_path / "kept"
    computed(name, tiny.generation.warehouse, Slices(folder))
    path = changed(mart)

    kept = computed(name, path, Slices(folder))

    assert kept.equals(computed(name, path, Slices()))


@pytest.mark.parametrize("name", SLICED)
def test_with_nothing_new_nothing_is_computed(name, tiny, tmp_path):
    folder = tmp_path / "kept"
    first = computed(name, tiny.generation.warehouse, Slices(folder))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    again = computed(name, tiny.generation.warehouse, Slices(folder))

    assert again.equals(first)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before

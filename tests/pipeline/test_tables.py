"""The documented columns are the columns that are built."""

import re
from pathlib import Path

import pytest
import yaml

from orchestration.warehouse import DuckDBWarehouse

MODELS = Path(__file__).parents[2] / "dbt_project" / "models"
DOCUMENTED = {
    f"{path.parent.name}.{model['name']}": {
        column["name"]: column["description"] for column in model.get("columns", [])
    }
    for path in sorted(MODELS.rglob("*.yml"))
    for model in yaml.safe_load(path.read_text()).get("models", [])
}
WINDOWED = [table for table in DOCUMENTED if "window_kind" in DOCUMENTED[table]]


@pytest.fixture(scope="module")
def built(tiny):
    with DuckDBWarehouse(tiny.generation.warehouse) as warehouse:
        rows = warehouse.read_arrow(
            "select schema_name || '.' || table_name as name, column_name"
            " from duckdb_columns() where not internal order by column_index"
        ).to_pylist()
    tables: dict[str, list[str]] = {}
    for row in rows:
        tables.setdefault(row["name"], []).append(row["column_name"])
    return tables


@pytest.mark.parametrize("table", sorted(DOCUMENTED))
def test_the_documented_columns_are_the_built_ones(built, table):
    assert sorted(DOCUMENTED[table]) == sorted(built[table])


@pytest.mark.parametrize("table", sorted(WINDOWED))
def test_every_kind_of_window_built_is_named(tiny, table):
    with DuckDBWarehouse(tiny.generation.warehouse) as warehouse:
        rows = warehouse.read_arrow(f"select distinct window_kind from {table}")

    named = set(re.findall(r"`(\w+)`", DOCUMENTED[table]["window_kind"]))
    assert set(rows["window_kind"].to_pylist()) <= named


def test_every_built_table_is_documented(built):
    layers = {"staging", "intermediate", "marts", "reports", "recommendations"}
    made = {name for name in built if name.partition(".")[0] in layers}

    assert made == set(DOCUMENTED)


def test_no_model_is_without_its_file():
    files = {f"{path.parent.name}.{path.stem}" for path in MODELS.rglob("*.sql")}

    assert files == set(DOCUMENTED)

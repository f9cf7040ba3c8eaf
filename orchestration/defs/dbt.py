"""The three dbt asset sets, one per gated stretch, run in this process."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, dbt_assets
from dagster_dbt.asset_utils import get_asset_check_key_for_test

from orchestration.dbt_runner import NodeResult, build, prepare_manifest
from orchestration.defs.resources import OWNERS, CalibrantResource, stage
from orchestration.publishing.generation import Building
from orchestration.warehouse import DuckDBWarehouse

MANIFEST: Mapping[str, Any] = json.loads(prepare_manifest().read_text("utf-8"))
SETS = {
    "core": ("staging", "intermediate", "marts"),
    "reports": ("reports",),
    "recommendations": ("recommendations",),
}
DbtEvent = dg.MaterializeResult[None] | dg.AssetCheckResult


class Translator(DagsterDbtTranslator):
    """Asset keys are `[layer, table]`; the layer is the group."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return `[layer, table]`; for a source `[source, table]`."""
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(
                [dbt_resource_props["source_name"], dbt_resource_props["name"]]
            )
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return the layer."""
        layer: str = dbt_resource_props["schema"]
        return layer

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
        """Return the team that runs the pipeline."""
        return OWNERS


TRANSLATOR = Translator()


def _select(name: str) -> str:
    return " ".join(f"fqn:calibrant.{folder}" for folder in SETS[name])


def parquet_sources(building: Building) -> dict[str, dict[str, list[str]]]:
    """Return the Parquet files behind every dbt source, by schema and table."""
    inputs = building.inputs
    return {
        "raw": {name: list(files) for name, files in building.plan.paths.items()},
        "landing": {
            "files": [str(inputs / "files.parquet")],
            "quarantined_rows": [str(inputs / "quarantined_rows.parquet")],
        },
        "identity": {"employee_links": [str(inputs / "employee_links.parquet")]},
        "design": {"rating_scales": [str(inputs / "rating_scales.parquet")]},
        "statistics": {
            path.stem: [str(path)] for path in sorted(building.statistics.glob("*"))
        },
    }


def _run(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource, name: str
) -> Iterator[DbtEvent]:
    """Build one set; yield a result per model and per test, then fail if any did."""
    building = calibrant.building(context.run.run_id)
    plan = building.plan
    with stage(f"dbt {name}") as notes:
        results = build(
            _select(name),
            warehouse=building.warehouse,
            target=calibrant.settings().home.cache / "dbt",
            variables={
                "as_of": plan.as_of.isoformat(),
                "generation": plan.generation,
                "policy": dict(plan.policy),
                "role_families": {
                    source: config.role_family
                    for source, config in calibrant.settings().sources.sources.items()
                    if config.role_family
                },
                "parquet_sources": parquet_sources(building),
            },
        )
        notes.append(f"{sum(r.unique_id.startswith('model') for r in results)} models")
    yield from _events(context, building, results)
    failed = [result for result in results if not result.succeeded]
    broken = [r for r in failed if r.status != "skipped"]
    if broken:
        lines = [f"{r.unique_id.split('.')[2]}: {r.status} {r.message}" for r in broken]
        raise dg.Failure(
            description=f"dbt set `{name}`:\n" + "\n".join(lines), allow_retries=False
        )


def _events(
    context: dg.AssetExecutionContext, building: Building, results: list[NodeResult]
) -> Iterator[DbtEvent]:
    """One event per node that was built or tested."""
    rows = _row_counts(building)
    for result in results:
        node = MANIFEST["nodes"].get(result.unique_id)
        if node is None or result.status == "skipped":
            continue
        if node["resource_type"] == "model" and result.succeeded:
            key = TRANSLATOR.get_asset_key(node)
            metadata: dict[str, Any] = {
                "seconds": round(result.seconds, 3),
                "generation": building.plan.generation,
            }
            count = rows.get((node["schema"], node["name"]))
            if count is not None:
                metadata["dagster/row_count"] = count
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        elif node["resource_type"] == "test":
            check = get_asset_check_key_for_test(
                MANIFEST, TRANSLATOR, result.unique_id, None
            )
            if check is not None and check in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(
                    asset_key=check.asset_key,
                    check_name=check.name,
                    passed=result.status == "pass",
                    severity=dg.AssetCheckSeverity.WARN
                    if result.status == "warn"
                    else dg.AssetCheckSeverity.ERROR,
                    metadata={"n_failures": result.failures},
                )


def _row_counts(building: Building) -> dict[tuple[str, str], int]:
    """Rows per table, from the catalogue: exact for a table just created."""
    if not building.warehouse.exists():
        return {}
    with DuckDBWarehouse(building.warehouse) as warehouse:
        found = warehouse.read_arrow(
            "select schema_name, table_name, estimated_size from duckdb_tables()"
        ).to_pylist()
    return {
        (row["schema_name"], row["table_name"]): int(row["estimated_size"])
        for row in found
    }


def _asset_set(name: str) -> dg.AssetsDefinition:
    """One dbt asset set; it builds whole, whatever part of it was selected."""

    @dbt_assets(
        manifest=MANIFEST,
        select=_select(name),
        name=f"dbt_{name}",
        dagster_dbt_translator=TRANSLATOR,
        pool="duckdb",
    )
    def asset_set(
        context: dg.AssetExecutionContext, calibrant: CalibrantResource
    ) -> Iterator[DbtEvent]:
        yield from _run(context, calibrant, name)

    return asset_set


DBT_SETS = [_asset_set(name) for name in SETS]

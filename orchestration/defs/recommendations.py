"""Rules over the reports: findings in, one table of proposals out."""

import dagster as dg
import pyarrow.parquet as pq

from orchestration.defs.resources import OWNERS, CalibrantResource, stage
from orchestration.recommendations.engine import REPORTS, evaluate
from orchestration.warehouse import DuckDBWarehouse


@dg.asset(
    key=["statistics", "recommendations"],
    deps=[dg.AssetKey(["reports", report]) for report in REPORTS],
    description=(
        "One row per rule, target and quarter: what the rules found, controlled for"
        " the number of families tested."
    ),
    group_name="recommendations",
    kinds={"python", "parquet"},
    owners=OWNERS,
)
def recommendations(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource
) -> dg.MaterializeResult[None]:
    """Evaluate every rule over the reports of this generation."""
    building = calibrant.building(context.run.run_id)
    policy = calibrant.settings().policy
    with stage("rules") as notes, DuckDBWarehouse(building.warehouse) as warehouse:
        table = evaluate(warehouse, policy, as_of=building.plan.as_of)
        actions = sum(table["is_action"].to_pylist())
        notes.append(f"{table.num_rows} rows, {actions} propose an action")
    pq.write_table(table, building.table("recommendations"), compression="zstd")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": table.num_rows,
            "actions": actions,
            "generation": building.plan.generation,
        }
    )

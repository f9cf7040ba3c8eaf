"""Estimates: one asset per table, marts in as Arrow, Parquet out."""

import zlib

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from orchestration.defs.resources import OWNERS, CalibrantResource, stage
from orchestration.estimates import ESTIMATES, Estimate
from orchestration.estimates.slices import Slices
from orchestration.settings import Policy
from orchestration.warehouse import DuckDBWarehouse


def estimates_rng(policy: Policy, name: str) -> np.random.Generator:
    """Return the generator of one table: its own stream, whatever else is run."""
    return np.random.default_rng([policy.seed, zlib.crc32(name.encode())])


def _asset(name: str, estimate: Estimate) -> dg.AssetsDefinition:
    """One estimate as an asset."""

    @dg.asset(
        key=["statistics", name],
        deps=[dg.AssetKey(["marts", mart]) for mart in estimate.marts],
        description=estimate.description,
        group_name="statistics",
        kinds={"python", "parquet"},
        owners=OWNERS,
    )
    def compute(
        context: dg.AssetExecutionContext, calibrant: CalibrantResource
    ) -> dg.MaterializeResult[None]:
        building = calibrant.building(context.run.run_id)
        settings = calibrant.settings()
        policy = settings.policy
        slices = Slices(
            settings.home.cache / "slices" / name, salt=building.plan.code_version
        )
        more = {"slices": slices} if estimate.is_sliced else {}
        with (
            stage(f"statistics {name}") as notes,
            DuckDBWarehouse(building.warehouse) as warehouse,
            # Many small matrices: a second thread costs more than it brings, and sums
            # would be added in an order that depends on the machine's cores.
            threadpool_limits(1, user_api="blas"),
        ):
            table = estimate.function(
                warehouse, policy, rng=estimates_rng(policy, name), **more
            )
            notes.append(f"{table.num_rows:,} rows")
        slices.forget_others()
        pq.write_table(table, building.table(name), compression="zstd")
        metadata = {
            "dagster/row_count": table.num_rows,
            "seed": policy.seed,
            "generation": building.plan.generation,
        }
        return dg.MaterializeResult(metadata=metadata)

    return compute


STATISTICS = [_asset(name, estimate) for name, estimate in ESTIMATES.items()]

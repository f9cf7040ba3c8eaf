"""Publish: aggregates by zone, a site per audience, then the pointer moves."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg

from orchestration.dbt_runner import MANIFEST
from orchestration.defs.resources import OWNERS, PROGRESS, CalibrantResource, stage
from orchestration.publishing.generation import AUDIENCES, GenerationError, complete
from orchestration.publishing.sites import SiteError, build_site
from orchestration.publishing.zones import ZONES, model_descriptions, publish
from orchestration.warehouse import DuckDBWarehouse

REPORTS = sorted({table for tables in ZONES.values() for table in tables})


def _report_key(table: str) -> dg.AssetKey:
    layer = "recommendations" if "recommendation" in table else "reports"
    return dg.AssetKey([layer, f"rpt_{table}"])


@dg.multi_asset(
    name="publish",
    specs=[
        dg.AssetSpec(
            ["published", audience],
            deps=[_report_key(table) for table in REPORTS],
            description=(
                f"Allow-listed tables for {audience}, small groups suppressed;"
                " refused unless every gate of this generation passed."
            ),
            group_name="publish",
            kinds={"python", "parquet"},
            owners=OWNERS,
        )
        for audience in AUDIENCES
    ],
)
def published(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Write what each audience may see."""
    building = calibrant.building(context.run.run_id)
    home = calibrant.settings().home
    with stage("publish") as notes, DuckDBWarehouse(building.warehouse) as warehouse:
        try:
            rows = publish(home, building, warehouse, model_descriptions(MANIFEST))
        except GenerationError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        notes.append(f"{sum(map(len, rows.values()))} tables")
    for audience, tables in rows.items():
        yield dg.MaterializeResult(
            asset_key=["published", audience],
            metadata={
                "dagster/row_count": sum(tables.values()),
                "tables": dict(tables),
                "generation": building.plan.generation,
            },
        )


def _site(audience: str) -> dg.AssetsDefinition:
    """One audience's site as an asset."""

    @dg.asset(
        key=["sites", audience],
        deps=[dg.AssetKey(["published", audience])],
        description=f"The Evidence site for {audience}: static, self-contained.",
        group_name="publish",
        kinds={"evidence", "javascript"},
        owners=OWNERS,
        # A build that npm or memory pressure broke succeeds the second time.
        retry_policy=dg.RetryPolicy(max_retries=1, delay=2),
    )
    def site(
        context: dg.AssetExecutionContext, calibrant: CalibrantResource
    ) -> dg.MaterializeResult[None]:
        building = calibrant.building(context.run.run_id)
        if not calibrant.sites:
            return dg.MaterializeResult(metadata={"built": False})
        work: Path = calibrant.settings().home.cache / "sites"
        with stage(f"site {audience}") as notes:
            try:
                built = build_site(
                    audience,
                    building.published(audience),
                    building.site(audience),
                    work=work,
                    progress=PROGRESS.debug,
                )
            except SiteError as error:
                raise dg.Failure(description=str(error)) from None
            notes.append(f"{built.pages} pages, {built.data_bytes / 1e6:.2f} MB data")
        return dg.MaterializeResult(
            metadata={
                "built": True,
                "pages": built.pages,
                "data_bytes": built.data_bytes,
                "generation": building.plan.generation,
            }
        )

    return site


SITES = [_site(audience) for audience in AUDIENCES]


@dg.asset(
    key="current",
    deps=[dg.AssetKey(["sites", audience]) for audience in AUDIENCES],
    description="The generation readers see; moved in one step once it is whole.",
    group_name="publish",
    kinds={"python"},
    owners=OWNERS,
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)
    ),
)
def current(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource
) -> dg.MaterializeResult[None]:
    """Write the manifest, rename the generation's folder and move `current`."""
    building = calibrant.building(context.run.run_id)
    with stage("current") as notes:
        try:
            generation = complete(
                calibrant.settings().home,
                building,
                run={"run_id": context.run.run_id, "job": context.run.job_name},
            )
        except GenerationError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        notes.append(f"generation {generation.id}")
    return dg.MaterializeResult(
        metadata={
            "generation": generation.id,
            "as_of": generation.as_of.isoformat(),
            "path": dg.MetadataValue.path(str(generation.root)),
        }
    )

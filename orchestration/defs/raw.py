"""Raw assets: one per entity of the landing contract, ingested in one step."""

from collections.abc import Iterator

import dagster as dg

from orchestration.defs.resources import OWNERS, PROGRESS, CalibrantResource, stage
from orchestration.landing import Ingest, ingest
from orchestration.landing.contract import ENTITIES
from orchestration.publishing.generation import (
    GenerationError,
    is_current,
    plan_generation,
    start_building,
)

ABOUT_INPUTS = {
    dg.AssetKey(["landing", "files"]): "One row per landed file, with its row counts.",
    dg.AssetKey(["landing", "quarantined_rows"]): (
        "One row per row refused at landing: code, file, line and column."
    ),
    dg.AssetKey(["identity", "employee_links"]): (
        "One row per employee joined to an application by the ladder of identity."
    ),
    dg.AssetKey(["design", "rating_scales"]): (
        "One row per spelling of a rating and the number it stands for."
    ),
}


def raw_key(entity: str) -> dg.AssetKey:
    """Return the asset key of a raw entity."""
    return dg.AssetKey(["raw", entity])


# Skippable: a run that finds nothing new ends after this step, and succeeds.
SPECS = [
    dg.AssetSpec(
        raw_key(name),
        description=entity.description,
        group_name="raw",
        kinds={"python", "parquet"},
        owners=OWNERS,
        skippable=True,
    )
    for name, entity in ENTITIES.items()
] + [
    dg.AssetSpec(
        key,
        description=description,
        group_name="raw",
        kinds={"python", "parquet"},
        owners=OWNERS,
        skippable=True,
    )
    for key, description in ABOUT_INPUTS.items()
]


@dg.multi_asset(
    specs=SPECS,
    name="ingest",
    # A file still being copied into the inbox is stable a little later.
    retry_policy=dg.RetryPolicy(max_retries=1, delay=5),
)
def raw_assets(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Land the inbox, parse what is new, and start the generation."""
    settings = calibrant.settings()
    with stage("ingest") as notes:
        taken = ingest(settings.home, settings.sources, progress=PROGRESS.debug)
        notes.append(f"{len(taken.files)} files, {_rows(taken):,} rows")
    if taken.problems:
        raise dg.Failure(
            description="\n".join(str(problem) for problem in taken.problems),
            allow_retries=any(p.code == "unstable_file" for p in taken.problems),
        )
    try:
        plan = plan_generation(settings, taken, as_of=calibrant.date())
    except GenerationError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    unchanged = is_current(settings.home, plan, sites=calibrant.sites)
    if unchanged and not calibrant.rebuild:
        PROGRESS.info("nothing new: generation is current")
        context.log.info("Nothing new since the current generation.")
        return
    start_building(settings, context.run.run_id, plan, taken)
    for name in ENTITIES:
        files = [file for file in taken.files if file.entity == name]
        yield dg.MaterializeResult(
            asset_key=raw_key(name),
            metadata={
                "dagster/row_count": sum(file.accepted for file in files),
                "quarantined": sum(file.quarantined for file in files),
                "duplicates": sum(file.duplicates for file in files),
                "files": len(files),
                "generation": plan.generation,
            },
        )
    for key in ABOUT_INPUTS:
        yield dg.MaterializeResult(
            asset_key=key, metadata={"generation": plan.generation}
        )


def _rows(taken: Ingest) -> int:
    return sum(file.rows_in for file in taken.files)

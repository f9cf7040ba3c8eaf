"""What starts runs, and what happens when one fails."""

import hashlib
import shutil
from datetime import timedelta

import dagster as dg

from orchestration.defs.resources import OWNERS, CalibrantResource
from orchestration.publishing.generation import (
    GenerationError,
    current_generation,
    hold,
)
from orchestration.publishing.quarters import freeze_quarter
from orchestration.settings import Policy
from orchestration.sources.connector import connected, sync_all

# Quarters of the calendar year; a fiscal year that starts elsewhere shifts them.
QUARTERS = dg.TimeWindowPartitionsDefinition(
    start="2015-01-01", fmt="%Y-%m-%d", cron_schedule="0 0 1 */3 *"
)
FREEZE_DELAY = timedelta(days=Policy().quarter_close_days)


@dg.asset(
    key=["quarters", "frozen"],
    deps=[dg.AssetDep("current")],
    partitions_def=QUARTERS,
    description=(
        "The figures of a closed quarter as they were published, written once:"
        " later data cannot change them silently."
    ),
    group_name="publish",
    kinds={"python", "parquet"},
    owners=OWNERS,
)
def frozen_quarter(
    context: dg.AssetExecutionContext, calibrant: CalibrantResource
) -> dg.MaterializeResult[None]:
    """Copy a closed quarter's published rows into `quarters/<quarter>/`."""
    window = context.partition_time_window
    try:
        frozen = freeze_quarter(
            calibrant.settings(), start=window.start.date(), end=window.end.date()
        )
    except GenerationError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": frozen.rows,
            "newly_frozen": frozen.is_new,
            "path": dg.MetadataValue.path(str(frozen.path)),
        }
    )


MAIN = dg.define_asset_job(
    "main",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(frozen_quarter),
    description=(
        "Inbox to sites: one run builds one generation and makes it current if every"
        " gate passes."
    ),
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "14400"},
)
FREEZE = dg.define_asset_job(
    "freeze_quarter",
    selection=dg.AssetSelection.assets(frozen_quarter),
    description="Freezes the published figures of one closed quarter.",
    executor_def=dg.in_process_executor,
)


@dg.op(
    description="Brings the inbox up to date with the services that sources.yaml names."
)
def sync_sources(context: dg.OpExecutionContext, calibrant: CalibrantResource) -> None:
    """Sync every source with a connector; one that fails does not stop the others."""
    settings = calibrant.settings()
    if not connected(settings):
        context.log.info("No source of sources.yaml declares a connector.")
        return
    with hold(settings.home, run_id=context.run_id):
        reports, failures = sync_all(settings)
    context.add_output_metadata(
        {
            report.source: dg.MetadataValue.md(
                f"{len(report.files)} files changed, {report.n_requests} requests"
                + "".join(f"\n- {note}" for note in report.notes)
            )
            for report in reports
        }
    )
    if failures:
        raise dg.Failure(description="\n".join(failures), allow_retries=False)


@dg.job(
    name="sync",
    description="Reads what changed at the services into the inbox.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "14400"},
)
def sync_job() -> None:
    """One step: every source with a connector."""
    sync_sources()


@dg.schedule(
    job=sync_job,
    # An hour before the nightly run.
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    description="Every night at 03:00 UTC; nothing happens without a connector.",
)
def nightly_sync(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for one sync per night."""
    return dg.RunRequest(run_key=f"sync-{context.scheduled_execution_time.date()}")


@dg.schedule(
    job=MAIN,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    description="Every night at 04:00 UTC, figures closing with the day before.",
)
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for a run whose `as_of` is the last whole day before the tick."""
    as_of = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(
        run_key=as_of,
        run_config={"resources": {"calibrant": {"config": {"as_of": as_of}}}},
        tags={"as_of": as_of},
    )


@dg.schedule(
    job=FREEZE,
    # The day after the close of the quarter before (14 days by default).
    cron_schedule="0 6 16 1,4,7,10 *",
    execution_timezone="UTC",
    description="Freezes the quarter that has just closed.",
)
def quarterly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the partition of the quarter that closed last."""
    day = context.scheduled_execution_time - FREEZE_DELAY
    # Quarters count from month 0: the one before the quarter that the day lies in.
    year, quarter = divmod(day.year * 4 + (day.month - 1) // 3 - 1, 4)
    partition = f"{year}-{quarter * 3 + 1:02}-01"
    return dg.RunRequest(run_key=partition, partition_key=partition)


@dg.sensor(
    job=MAIN,
    minimum_interval_seconds=60,
    description="Starts a run when the inbox changes and has been still for a minute.",
)
def inbox(
    context: dg.SensorEvaluationContext, calibrant: CalibrantResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run once the inbox looks the same twice but not as it last ran."""
    home = calibrant.settings().home
    files = sorted(path for path in home.inbox.rglob("*") if path.is_file())
    if not files:
        return dg.SkipReason(f"{home.inbox} is empty")
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path}|{stat.st_size}|{stat.st_mtime_ns};".encode())
    seen = digest.hexdigest()
    if context.cursor != seen:
        # Still being written, perhaps: wait for a look that finds it unchanged.
        return dg.SensorResult(
            skip_reason=dg.SkipReason("the inbox changed; waiting until it is still"),
            cursor=seen,
        )
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen)], cursor=seen)


@dg.run_failure_sensor(
    monitored_jobs=[MAIN],
    description="Removes what a failed run left and says what readers still see.",
)
def failed_run(
    context: dg.RunFailureSensorContext, calibrant: CalibrantResource
) -> None:
    """Clean up after a failed run and log what stays current."""
    home = calibrant.settings().home
    leftover = home.generations / f".building-{context.dagster_run.run_id}"
    shutil.rmtree(leftover, ignore_errors=True)
    generation = current_generation(home)
    context.log.error(
        "run %s failed; readers still see generation %s",
        context.dagster_run.run_id,
        generation.id if generation else "none",
    )


ASSET_JOBS = [MAIN, FREEZE]
SCHEDULES = [nightly_sync, daily, quarterly]
SENSORS = [inbox, failed_run]

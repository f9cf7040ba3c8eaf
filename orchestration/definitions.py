"""The entry point of Dagster: what there is, bound to its resources."""

import dagster as dg

from orchestration.defs.automation import (
    ASSET_JOBS,
    SCHEDULES,
    SENSORS,
    frozen_quarter,
    sync_job,
)
from orchestration.defs.dbt import DBT_SETS
from orchestration.defs.gates import GATES
from orchestration.defs.publish import SITES, current, published
from orchestration.defs.raw import raw_assets
from orchestration.defs.recommendations import recommendations
from orchestration.defs.resources import CalibrantResource
from orchestration.defs.statistics import STATISTICS

defs = dg.Definitions(
    assets=[
        raw_assets,
        *DBT_SETS,
        *STATISTICS,
        recommendations,
        published,
        *SITES,
        current,
        frozen_quarter,
    ],
    asset_checks=GATES,
    jobs=[*ASSET_JOBS, sync_job],
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources={"calibrant": CalibrantResource()},
)

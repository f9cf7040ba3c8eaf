"""Gates: blocking checks between two stretches, and their stored results."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from expectations import GUARDED
from orchestration.defs.resources import CalibrantResource, stage
from orchestration.estimates import ESTIMATES
from orchestration.publishing.generation import Building, kept_generation
from orchestration.recommendations.engine import REPORTS
from orchestration.settings import Home
from orchestration.warehouse import DuckDBWarehouse

WHOLE_GATE = "whole_gate"
# What the next stretch reads one by one. A check holds back only what reads its own
# table, so each of these fails with its gate, whichever table the fault is in.
ONWARD: Mapping[str, tuple[str, ...]] = {
    "raw": (),  # read by one dbt set, which starts only if all of it passed
    "marts": tuple(
        sorted({f"marts.{mart}" for e in ESTIMATES.values() for mart in e.marts})
    ),
    "reports": tuple(f"reports.{report}" for report in REPORTS),
    "recommendations": (),
}


def _key(table: str) -> dg.AssetKey:
    return dg.AssetKey(table.split("."))


def _warehouse(building: Building, gate: str) -> DuckDBWarehouse:
    """What a gate looks at: raw files before dbt has run, the warehouse after."""
    if gate != "raw":
        return DuckDBWarehouse(building.warehouse)
    inputs = building.inputs
    return DuckDBWarehouse(
        parquet={
            **{f"raw.{name}": files for name, files in building.plan.paths.items()},
            "landing.files": [str(inputs / "files.parquet")],
            "landing.quarantined_rows": [str(inputs / "quarantined_rows.parquet")],
        }
    )


def _baseline(home: Home, building: Building, gate: str) -> Mapping[str, float] | None:
    """The measures of the generation this one is built upon: volumes are compared."""
    upon = kept_generation(home, building.plan.baseline)
    path = upon.root / "gates" / f"{gate}.json" if upon else None
    if path is None or not path.is_file():
        return None
    measures: Mapping[str, float] = json.loads(path.read_text("utf-8"))["measures"]
    return measures


def _gate(gate: str) -> dg.AssetChecksDefinition:
    """One gate as checks on each table it guards, judged in one pass."""

    @dg.multi_asset_check(
        name=f"gate_{gate}",
        # One asset alone can be asked for, and is told to launch the whole job.
        can_subset=True,
        specs=[
            dg.AssetCheckSpec(
                "gate",
                asset=_key(table),
                blocking=True,
                description=f"Great Expectations suite of `{table}`.",
            )
            for table in GUARDED[gate]
        ]
        + [
            dg.AssetCheckSpec(
                WHOLE_GATE,
                asset=_key(table),
                blocking=True,
                description=f"The gate `{gate}` passed as a whole.",
            )
            for table in ONWARD[gate]
        ],
    )
    def checks(
        context: dg.AssetCheckExecutionContext, calibrant: CalibrantResource
    ) -> Iterator[dg.AssetCheckResult]:
        # Great Expectations takes seconds to import: only where a gate runs.
        from expectations.runner import run_gate

        building = calibrant.building(context.run.run_id)
        settings = calibrant.settings()
        with stage(f"gate {gate}") as notes, _warehouse(building, gate) as warehouse:
            result = run_gate(
                gate,
                warehouse,
                thresholds=settings.policy.thresholds(),
                baseline=_baseline(settings.home, building, gate),
            )
            failed = sum(not row["success"] for row in result.results)
            notes.append(f"{len(result.results)} expectations, {failed} not met")
        building.write_gate(gate, result.to_json())
        by_table: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in result.results:
            by_table[row["suite"]].append(row)
        for table in GUARDED[gate]:
            yield _result(table, by_table[table])
        for table in ONWARD[gate]:
            yield dg.AssetCheckResult(
                asset_key=_key(table), check_name=WHOLE_GATE, passed=result.success
            )

    return checks


def _result(table: str, rows: list[dict[str, Any]]) -> dg.AssetCheckResult:
    """What one suite found, without any failing value."""
    failed = [row for row in rows if not row["success"]]
    critical = [row for row in failed if row["severity"] == "critical"]
    lines = [
        f"- {row['severity']}: {row['description']} Observed {row['observed']},"
        f" allowed {row['threshold_low']} to {row['threshold_high']}."
        for row in failed
    ]
    return dg.AssetCheckResult(
        asset_key=_key(table),
        check_name="gate",
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR
        if critical
        else dg.AssetCheckSeverity.WARN,
        description="\n".join(lines) or f"{len(rows)} expectations met.",
        metadata={"expectations": len(rows), "not_met": len(failed)},
    )


GATES = [_gate(gate) for gate in GUARDED]

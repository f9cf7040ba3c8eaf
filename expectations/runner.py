"""Run a gate: measure every guarded table in SQL, judge the measures with suites."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from expectations import GUARDED
from expectations.measures import Measures, ReadsArrow, measure

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations.suites import OPTIONAL, suite_of

THRESHOLDS = (
    "maximum_shrinkage",
    "maximum_quarantine_rate",
    "maximum_unmapped_rate",
    "minimum_join_rate",
)


@dataclass(frozen=True)
class GateResult:
    """What a gate found, without any value of a row.

    `success` is False where a critical expectation was not met or could not be
    judged; `results` holds one mapping per expectation; `measures` are what the next
    generation is compared with.
    """

    gate: str
    success: bool
    crashed: bool
    results: tuple[dict[str, Any], ...]
    measures: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "gate": self.gate,
            "success": self.success,
            "crashed": self.crashed,
            "results": list(self.results),
            "measures": dict(self.measures),
        }


def run_gate(
    gate: str,
    warehouse: ReadsArrow,
    *,
    thresholds: Mapping[str, float],
    baseline: Mapping[str, float] | None = None,
) -> GateResult:
    """Judge every table a gate guards and return what was found.

    Parameters
    ----------
    gate : str
        A key of `GUARDED`.
    thresholds : mapping of str to float
        The policy's bounds, by the names in `THRESHOLDS`.
    baseline : mapping of str to float, optional
        Measures of the last generation.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch_definition = (
        context.data_sources.add_pandas("measures")
        .add_dataframe_asset("measures")
        .add_batch_definition_whole_dataframe("measures")
    )
    results: list[dict[str, Any]] = []
    found: dict[str, float] = {}
    for table in GUARDED[gate]:
        measures = measure(gate, table, warehouse, baseline)
        if not measures:
            continue
        found |= {
            f"{table}.{name}": value
            for name, value in measures.items()
            if value is not None
        }
        batch = batch_definition.get_batch(
            batch_parameters={"dataframe": pd.DataFrame([measures], dtype="float64")}
        )
        outcome = batch.validate(
            _applicable(suite_of(table), measures),
            result_format="BOOLEAN_ONLY",
            expectation_parameters={name: thresholds[name] for name in THRESHOLDS},
        )
        results += [
            _plain(table, result, measures, thresholds) for result in outcome.results
        ]
    failed = [r for r in results if not r["success"] and r["severity"] == "critical"]
    return GateResult(
        gate=gate,
        success=not failed,
        crashed=any(result["reason"] for result in results),
        results=tuple(results),
        measures=found,
    )


def _applicable(suite: gx.ExpectationSuite, measures: Measures) -> gx.ExpectationSuite:
    """The suite without expectations on measures that do not exist in this world."""
    kept = [
        expectation
        for expectation in suite.expectations
        if not (
            getattr(expectation, "column", None) in OPTIONAL
            and measures.get(expectation.column) is None
        )
    ]
    return gx.ExpectationSuite(name=suite.name, expectations=kept)


def _plain(
    table: str, result: Any, measures: Measures, thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """One judged expectation as plain values; a crash is told from a failure."""
    config = result.expectation_config
    column = config.kwargs.get("column")
    crashed = _crashed(result.exception_info)
    return {
        "suite": table,
        "expectation": f"{config.type}({column})" if column else config.type,
        "description": config.description or "",
        "severity": config.severity.value,
        "success": bool(result.success),
        "observed": measures.get(column) if column else 1.0,
        "threshold_low": _bound(config.kwargs.get("min_value"), thresholds),
        "threshold_high": _bound(config.kwargs.get("max_value"), thresholds),
        "reason": "the check itself failed and judged nothing" if crashed else "",
    }


def _bound(value: Any, thresholds: Mapping[str, float]) -> float | None:
    if isinstance(value, dict):
        return float(thresholds[value["$PARAMETER"]])
    return None if value is None else float(value)


def _crashed(info: Mapping[str, Any]) -> bool:
    """Whether an expectation raised; the library nests this per metric."""
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(entry.get("raised_exception") for entry in info.values())

"""What each audience may see: allow-listed columns of allow-listed tables.

A column that is not named here is not published, whatever a report gains. Groups
under the smallest size keep their labels and lose every number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.landing.identity import names
from orchestration.publishing.generation import AUDIENCES, Building
from orchestration.settings import Home
from orchestration.warehouse import Warehouse

WINDOW = (
    "window_id", "window_kind", "window_label", "window_start", "window_end",
    "is_closed",
)  # fmt: skip
STATUS = ("status", "status_reason")
ESTIMATE = ("n", "estimate", "ci_low", "ci_high", "ci_method")


@dataclass(frozen=True)
class PublishedTable:
    """One published table: its labels stay, its measures go when n is too small."""

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    has_window: bool = True

    @property
    def report(self) -> str:
        """The dbt model it is read from."""
        schema = "recommendations" if "recommendation" in self.name else "reports"
        return f"{schema}.rpt_{self.name}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns that say what a row is about."""
        return (*(WINDOW if self.has_window else ()), *self.dimensions)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that may be published, in order."""
        return (*self.labels, *ESTIMATE, *STATUS, *self.measures)


def _with_interval(*columns: str) -> tuple[str, ...]:
    """Each column followed by its bounds."""
    return tuple(
        name for column in columns
        for name in (column, f"{column}_ci_low", f"{column}_ci_high")
    )  # fmt: skip


TABLES = {
    table.name: table
    for table in (
        PublishedTable(
            "funnel",
            ("basis", "role_family", "source", "stage", "stage_order", "stage_group",
             "next_stage"),
            ("entered", "advanced", "rejected", "withdrew", "closed_no_decision",
             "open", "skipped", "maturity", "horizon_days", "aj_advance_h",
             *_with_interval("aj_reject_h", "aj_withdraw_h", "conversion_closed",
                             "km_median_days"),
             "p85_days", "sla_days"),
        ),
        PublishedTable(
            "time_to_hire", ("measure", "role_family", "source"), ("p85_days", "n_open")
        ),
        PublishedTable(
            "offer_acceptance",
            ("role_family", "source"),
            ("extended", "accepted", "declined", "expired", "rescinded", "pending",
             "median_days_to_resolve", "top_decline_reason", "top_decline_reason_n"),
        ),
        PublishedTable(
            "bottlenecks",
            ("role_family", "stage", "stage_order", "stage_group", "waits_on"),
            ("avg_wip", "arrival_rate", "throughput", "little_w_days",
             *_with_interval("backlog_growth"), "backlog_growth_p", "backlog_growth_q",
             "ageing_over_p85", "share_of_cycle_days",
             *_with_interval("km_median_days"), "p85_days", "reference_days",
             "reference_kind",
             "p", "interviewer_hours_demand", "interviewer_hours_capacity",
             "interviewer_hours_status", "bottleneck_rank", "is_bottleneck"),
        ),
        PublishedTable(
            "stage_weeks",
            ("role_family", "stage", "stage_order", "stage_group", "waits_on"),
            ("avg_wip", "arrived", "throughput", "wip_end", "little_w_days"),
        ),
        PublishedTable(
            "adverse_impact",
            ("role_family", "stage", "stage_order", "attribute", "group_value"),
            ("selected", *_with_interval("selection_rate"), "reference_group",
             "is_reference", "n_reference", "four_fifths_flag", "flips_with_one",
             "fisher_p", "midp", "z_hyper", "sd_units", "shortfall", "phi", "cohen_h",
             "mh_or", *_with_interval("mh_rr"), "bd_p", "std_rate", "simpson_flag",
             "min_detectable_ratio", "p", "q", "n_unknown", "n_withdrew", "n_open",
             "n_closed_no_decision", "ll144_excluded", "evidence"),
        ),
        PublishedTable(
            "rater_reliability",
            ("role_family", "round", "competency", "rubric_id", "rubric_version",
             "scale_id"),
            ("n_multi", "n_raters", "n_ratings", "n_after_debrief",
             "n_independence_unknown", "k_harmonic", "q_overlap", "n_components",
             "largest_component_share", "var_candidate", "var_interviewer",
             "var_question", "var_cand_x_int", "var_resid",
             *_with_interval("icc_single"), "g_qk",
             *_with_interval("icc1_anova", "alpha_ordinal", "alpha_interval",
                             "ac2_quadratic"),
             "pct_exact", "pct_within1", *_with_interval("mean_pair_difference"),
             "score_mean", "score_sd", "modal_level", "modal_share", "modal_is_extreme",
             "n_levels", "sem", "reliability_needed_k", "g_plus_one", "g_plus_two",
             "borderline_share"),
        ),
        PublishedTable(
            "interviewer_calibration",
            ("role_family", "interviewer_id", "interviewer_name"),
            ("n_cards", "n_corated", "severity_raw", "severity_shrunk", "se", "z", "p",
             "q", "sd_ratio", "modal_share", "halo_index", "rest_correlation", "infit",
             "outfit", "infit_critical", "outfit_critical", "flag"),
        ),
        PublishedTable(
            "interviewer_drift",
            ("basis", "interviewer_id", "interviewer_name"),
            ("n_quarters", "slope_blue", "se", "slope_common", "z_vs_common", "p", "q",
             "slope_shrunk", "change_blue", "change_shrunk", "mdd", "change_quarter",
             "ewma", "ewma_lcl", "ewma_ucl", "cusum_high", "cusum_low",
             "is_outside_limits", "flag"),
        ),
        PublishedTable(
            "round_signal",
            ("role_family", "round"),
            ("n_multi", "n_all_rounds", "snr", "hours_per_candidate", "info_per_hour",
             "composite_reliability", "reliability_without",
             *_with_interval("marginal_reliability", "redundancy_r"),
             "redundant_with", "decision_consistency",
             *_with_interval("borderline_share", "flip_rate", "candidate_dropoff"),
             "verdict"),
        ),
        PublishedTable(
            "score_gaps",
            ("role_family", "round", "competency", "rubric_id", "rubric_version",
             "scale_id", "attribute", "group_value", "reference_group"),
            ("n_reference", "n_unknown", "mean_score", "reference_mean_score", "p",
             "q", "expected_impact_ratio", "dif_smd", "dif_delta", "dif_p", "dif_q",
             "dif_class"),
        ),
        PublishedTable(
            "predictive_validity",
            ("role_family", "predictor_kind", "predictor", "outcome", "horizon_months"),
            ("n_applicants_scored", "n_hired", "share_left", "sd_ratio_u",
             "selection_kind", *_with_interval("r_corrected"), "ryy_assumed",
             "r_operational", "benchmark", "n_complete", "delta_r2", "delta_r2_p",
             "delta_r2_q", *_with_interval("unique_r2"), "dominated_by"),
        ),
        PublishedTable(
            "data_quality", ("section", "entity", "source", "measure"), (),
        ),
        PublishedTable(
            "rubric_recommendations",
            ("recommendation_id", "rule_id", "rule_version", "quarter", "target_kind",
             "target", "role_family", "round", "competency", "rubric_id",
             "rubric_version", "stage", "attribute", "group_value", "interviewer_id",
             "interviewer_name"),
            ("statistic", "threshold", "p", "q", "evidence_level", "action",
             "action_text", "expected_effect", "caveats", "valid_until", "owner",
             "decision", "previous_outcome", "is_action"),
            has_window=False,
        ),
    )
}  # fmt: skip

ZONES: Mapping[str, tuple[str, ...]] = {
    "leaders": (
        "funnel", "time_to_hire", "offer_acceptance", "bottlenecks", "stage_weeks",
        "data_quality",
    ),
    "committee": (
        "rubric_recommendations", "rater_reliability", "interviewer_calibration",
        "interviewer_drift", "round_signal", "score_gaps", "predictive_validity",
        "adverse_impact", "data_quality",
    ),
}  # fmt: skip
# Groups of two attributes give those of one back by subtraction, however small: they
# stay in the warehouse, for `calibrant ll144`.
_PUBLISHED_ROWS = {"adverse_impact": "is_closed and attribute <> 'intersection'"}
# Counts of rows and files, about no group of people.
NOT_ABOUT_PEOPLE = frozenset({"data_quality"})

GATE_SCHEMA = pa.schema(
    [
        ("gate", pa.string()), ("suite", pa.string()), ("expectation", pa.string()),
        ("description", pa.string()), ("severity", pa.string()),
        ("success", pa.bool_()), ("observed", pa.float64()),
        ("threshold_low", pa.float64()), ("threshold_high", pa.float64()),
        ("reason", pa.string()),
    ]
)  # fmt: skip


def publish(
    home: Home,
    building: Building,
    warehouse: Warehouse,
    descriptions: Mapping[str, Any],
) -> dict[str, dict[str, int]]:
    """Write `published/<audience>/<table>.parquet`; return rows by audience and table.

    Parameters
    ----------
    descriptions : mapping of str to mapping
        Report name to `{"description": …, "columns": {name: description}}`.

    Raises
    ------
    GenerationError
        If a gate of this generation has not passed.
    """
    gates = building.require_gates()
    k = int(building.plan.policy["smallest_group_size"])
    about = _about(building, warehouse, k)
    known = names(home, building.plan.paths.get("interviewers", ()))
    written: dict[str, dict[str, int]] = {}
    for audience in AUDIENCES:
        folder = building.published(audience)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {
            name: _read(TABLES[name], known, warehouse) for name in ZONES[audience]
        }
        shown = {
            name: table
            if name in NOT_ABOUT_PEOPLE
            else suppress(table, TABLES[name], smallest_group_size=k)
            for name, table in tables.items()
        }
        shown["gates"] = _gates(gates)
        shown["generation"] = about
        shown["definitions"] = _definitions(ZONES[audience], descriptions)
        written[audience] = {}
        for name, table in shown.items():
            stamped = _stamp(table, building)
            pq.write_table(stamped, folder / f"{name}.parquet", compression="zstd")
            written[audience][name] = table.num_rows
    return written


def suppress(
    table: pa.Table, spec: PublishedTable, *, smallest_group_size: int
) -> pa.Table:
    """Return the table with every number null where n is under the smallest size.

    Rates and medians give small counts back when n is known, so n goes too. A row
    whose n is null or zero has no number to hide and keeps its status.
    """
    n = table["n"]
    hidden = pc.fill_null(
        pc.and_(pc.greater(n, 0), pc.less(n, smallest_group_size)), False
    )
    if not pc.any(hidden).as_py():
        return table
    reason = f"fewer than {smallest_group_size} people; withheld to protect them"
    for column in table.column_names:
        kind = table.schema.field(column).type
        if column == "status":
            value = pa.scalar("suppressed", kind)
        elif column == "status_reason":
            value = pa.scalar(reason, kind)
        elif column in spec.labels:
            continue
        else:
            value = pa.scalar(None, kind)
        index = table.schema.get_field_index(column)
        shown = pc.if_else(hidden, value, table[column])
        table = table.set_column(index, column, shown)
    return table


def _read(
    spec: PublishedTable, known: Mapping[str, str], warehouse: Warehouse
) -> pa.Table:
    """The allow-listed columns of a report, in a fixed order of rows."""
    joined = {"interviewer_name"} & set(spec.columns)
    columns = [name for name in spec.columns if name not in joined]
    quoted = ", ".join(f'"{name}"' for name in columns)
    order = ", ".join(f'"{name}"' for name in spec.labels if name not in joined)
    where = _PUBLISHED_ROWS.get(spec.name, "true")
    table = warehouse.read_arrow(
        f"select {quoted} from {spec.report} where {where} order by {order}"
    )
    if joined:
        named = [
            known.get(pseudonym, pseudonym) if pseudonym else None
            for pseudonym in table["interviewer_id"].to_pylist()
        ]
        place = columns.index("interviewer_id") + 1
        table = table.add_column(
            place, "interviewer_name", pa.array(named, pa.string())
        )
    return table if table.num_rows else _status_row(spec, table.schema)


def _status_row(spec: PublishedTable, schema: pa.Schema) -> pa.Table:
    """One row that says why a table is empty: a page cannot be built on nothing."""
    row: dict[str, object] = {
        name: "none" if pa.types.is_string(schema.field(name).type) else None
        for name in spec.labels
    }
    row["status"] = "insufficient"
    row["status_reason"] = (
        "nothing has been delivered from which this could be computed"
    )
    return pa.Table.from_pylist([row], schema=schema)


def _gates(gates: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    rows = [
        {**{name: result.get(name) for name in GATE_SCHEMA.names}, "gate": gate}
        for gate, stored in gates.items()
        for result in stored["results"]
    ]
    return pa.Table.from_pylist(rows, schema=GATE_SCHEMA)


def _about(building: Building, warehouse: Warehouse, k: int) -> pa.Table:
    """One row that says what the figures are made from."""
    plan = building.plan
    counts = warehouse.read_arrow(
        "select cast(count(*) as bigint) as n_applications,"
        " cast(count(*) filter (where is_open) as bigint) as n_open,"
        " cast(count(*) filter (where terminal_kind = 'hired') as bigint) as n_hired"
        " from marts.fct_applications"
    ).to_pylist()[0]
    closed = warehouse.read_arrow(
        "select max_by(window_label, window_end) as label from marts.dim_windows"
        " where window_kind = 'quarter' and is_closed"
    ).to_pylist()[0]["label"]
    row = {
        "last_closed_quarter": closed,
        "n_files": len(plan.files),
        "n_rows": sum(int(file["rows_in"]) for file in plan.files),
        "smallest_group_size": k,
        "code_version": plan.code_version,
        **{name: None if 0 < n < k else n for name, n in counts.items()},
    }
    schema = pa.schema(
        [
            ("last_closed_quarter", pa.string()), ("n_files", pa.int64()),
            ("n_rows", pa.int64()), ("smallest_group_size", pa.int64()),
            ("code_version", pa.string()), ("n_applications", pa.int64()),
            ("n_open", pa.int64()), ("n_hired", pa.int64()),
        ]
    )  # fmt: skip
    return pa.Table.from_pylist([row], schema=schema)


def _definitions(tables: tuple[str, ...], descriptions: Mapping[str, Any]) -> pa.Table:
    """The glossary of an audience's tables: what each column means."""
    rows = []
    for name in tables:
        model = descriptions.get(f"rpt_{name}", {"description": "", "columns": {}})
        rows.append((name, "", model["description"]))
        rows.extend(
            (name, column, model["columns"].get(column, ""))
            for column in TABLES[name].columns
        )
    return pa.table(
        {
            label: pa.array([row[place] for row in rows], pa.string())
            for place, label in enumerate(("table_name", "column_name", "description"))
        }
    )


def _stamp(table: pa.Table, building: Building) -> pa.Table:
    """The table with the generation and `as_of` in every row."""
    length = table.num_rows
    plan = building.plan
    stamped = table.append_column(
        "generation", pa.array([plan.generation] * length, pa.string())
    )
    return stamped.append_column("as_of", pa.array([plan.as_of] * length, pa.date32()))


def model_descriptions(manifest: Path) -> dict[str, Any]:
    """Return the descriptions of every dbt model by name, from a dbt manifest."""
    content = json.loads(manifest.read_text(encoding="utf-8"))
    return {
        node["name"]: {
            "description": " ".join(node["description"].split()),
            "columns": {
                name: " ".join(column["description"].split())
                for name, column in node["columns"].items()
            },
        }
        for node in content["nodes"].values()
        if node["resource_type"] == "model"
    }

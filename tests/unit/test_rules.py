"""The rules on hand-made reports: each finds its fault and is silent without it."""

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration.recommendations.engine import REPORTS, evaluate, load_rules
from orchestration.settings import Policy
from orchestration.warehouse import DuckDBWarehouse

AS_OF = dt.date(2026, 10, 20)
DRIFT = "rpt_interviewer_drift"
QUARTERS = {
    "2026 Q3": (dt.date(2026, 7, 1), dt.date(2026, 10, 1)),
    "2026 Q2": (dt.date(2026, 4, 1), dt.date(2026, 7, 1)),
    "2026 Q1": (dt.date(2026, 1, 1), dt.date(2026, 4, 1)),
}
HISTORY = {"all closed quarters": (dt.date(2025, 1, 1), dt.date(2026, 10, 1))}
EARLIER = {
    "2025 Q4": (dt.date(2025, 10, 1), dt.date(2026, 1, 1)),
    "2025 Q3": (dt.date(2025, 7, 1), dt.date(2025, 10, 1)),
}
YEAR = {"four quarters to 2026 Q3": (dt.date(2025, 10, 1), dt.date(2026, 10, 1))}

HEALTHY: dict[str, dict[str, Any]] = {
    "rpt_rater_reliability": {
        "role_family": "all", "round": "onsite", "competency": "coding",
        "rubric_id": "r", "rubric_version": "1", "scale_id": "1-5/5", "n": 250,
        "n_multi": 150, "n_ratings": 400, "estimate": 0.7, "ci_low": 0.6,
        "ci_high": 0.8, "g_qk": 0.7, "icc_single": 0.45, "icc_single_ci_low": 0.35,
        "icc_single_ci_high": 0.55, "mean_pair_difference": 0.19,
        "mean_pair_difference_ci_low": 0.17, "mean_pair_difference_ci_high": 0.21,
        "score_sd": 0.95, "modal_level": 3.0, "modal_share": 0.4,
        "modal_is_extreme": False, "borderline_share": 0.4, "g_plus_one": 0.76,
        "g_plus_two": 0.81,
    },
    "rpt_interviewer_calibration": {
        "role_family": "all", "interviewer_id": "p_1", "n": 70, "n_corated": 50,
        "estimate": 0.05, "ci_low": -0.1, "ci_high": 0.2, "severity_raw": 0.06,
        "severity_shrunk": 0.05, "p": 0.9, "q": 0.95, "flag": "none",
    },
    "rpt_interviewer_drift": {
        "basis": "trend", "interviewer_id": "p_1", "n": 240, "estimate": 0.0,
        "ci_low": -0.02, "ci_high": 0.02, "n_quarters": 12, "slope_blue": 0.01,
        "se": 0.014, "slope_common": 0.0, "p": 0.5, "q": 0.9, "slope_shrunk": 0.0,
        "change_blue": 0.1, "mdd": 0.055, "flag": "none",
    },
    "rpt_adverse_impact": {
        "role_family": "all", "stage": "technical", "attribute": "sex",
        "group_value": "female", "n": 160, "estimate": 0.97, "ci_low": 0.8,
        "ci_high": 1.17, "selected": 80, "reference_group": "male",
        "is_reference": False, "mh_rr": 0.97, "mh_rr_ci_low": 0.8,
        "mh_rr_ci_high": 1.17, "n_unknown": 90, "p": 0.7, "q": 0.9,
        "evidence": "none",
    },
    "rpt_bottlenecks": {
        "role_family": "all", "stage": "onsite", "n": 70, "estimate": -1.0,
        "ci_low": -2.5, "ci_high": 0.5, "reference_days": 16.0,
        "reference_kind": "sla", "waits_on": "company", "backlog_growth": 0.1,
        "backlog_growth_ci_low": -0.5, "backlog_growth_ci_high": 0.7,
        "backlog_growth_p": 0.4,
    },
}  # fmt: skip
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "R1": (
        "rpt_rater_reliability",
        {"mean_pair_difference": 0.28, "mean_pair_difference_ci_low": 0.25,
         "mean_pair_difference_ci_high": 0.31},
    ),
    "R3": (
        "rpt_rater_reliability",
        {"modal_level": 5.0, "modal_share": 0.78, "modal_is_extreme": True,
         "score_sd": 0.42},
    ),
    "R6": (
        "rpt_interviewer_calibration",
        {"severity_raw": 0.55, "severity_shrunk": 0.5, "ci_low": 0.35, "ci_high": 0.65,
         "p": 1e-6, "q": 1e-5, "flag": "severe"},
    ),
    "R7": (
        "rpt_rater_reliability",
        {"competency": "all", "g_qk": 0.48, "estimate": 0.48, "ci_low": 0.42,
         "ci_high": 0.54, "g_plus_two": 0.72, "borderline_share": 0.5},
    ),
    "R10": (
        "rpt_adverse_impact",
        {"estimate": 0.6, "ci_low": 0.48, "ci_high": 0.75, "p": 1e-4, "q": 1e-3,
         "evidence": "review"},
    ),
    "R11": ("rpt_bottlenecks", {"estimate": 4.0, "ci_low": 2.5, "ci_high": 5.5}),
}  # fmt: skip


def report(
    name: str, values: dict[str, Any], quarters: int = 3
) -> list[dict[str, Any]]:
    windows = [("year", *item) for item in YEAR.items()]
    windows += [("quarter", *item) for item in list(QUARTERS.items())[:quarters]]
    return [
        {
            "window_id": label, "window_kind": kind, "window_label": label,
            "window_start": start, "window_end": end, "is_closed": True,
            "ci_method": "a method", "status": "ok", "status_reason": "",
            **HEALTHY[name], **values,
        }
        for kind, label, (start, end) in windows
    ]  # fmt: skip


def drift(
    severity: list[float], interviewer: str = "p_2", **trend: Any
) -> list[dict[str, Any]]:
    """One interviewer's trend, and the severity of each quarter, newest first."""
    windows = [("all", *item) for item in HISTORY.items()]
    windows += [("quarter", *item) for item in [*QUARTERS.items(), *EARLIER.items()]]
    found = [trend, *({"estimate": value, "basis": "quarter"} for value in severity)]
    return [
        {
            "window_id": label, "window_kind": kind, "window_label": label,
            "window_start": start, "window_end": end, "is_closed": True,
            "ci_method": "a method", "status": "ok", "status_reason": "",
            **HEALTHY[DRIFT], "interviewer_id": interviewer, **values,
        }
        for (kind, label, (start, end)), values in zip(windows, found, strict=True)
    ]  # fmt: skip


STRICTER = {"slope_blue": 0.06, "p": 1e-5, "q": 1e-4, "change_blue": 0.7,
            "flag": "stricter"}  # fmt: skip
LENIENT = {"slope_blue": -0.06, "p": 1e-5, "q": 1e-4, "change_blue": -0.7,
           "flag": "more_lenient"}  # fmt: skip


def proposals(
    folder: Path, rows: dict[str, list[dict[str, Any]]], policy: Policy | None = None
) -> pd.DataFrame:
    files = {}
    for name in REPORTS:
        frame = pd.DataFrame(rows.get(name) or report(name, {}))
        path = folder / f"{name}.parquet"
        frame.to_parquet(path)
        files[f"reports.{name}"] = [str(path)]
    with DuckDBWarehouse(parquet=files) as warehouse:
        return evaluate(warehouse, policy or Policy(), as_of=AS_OF).to_pandas()


def actions(table: pd.DataFrame) -> list[str]:
    return sorted(table.loc[table["is_action"], "rule_id"])


def test_healthy_reports_propose_nothing(tmp_path: Path) -> None:
    assert proposals(tmp_path, {}).empty


@pytest.mark.parametrize("rule", sorted(FAULTS))
def test_each_rule_finds_its_own_fault_and_no_other(rule: str, tmp_path: Path) -> None:
    name, fault = FAULTS[rule]

    table = proposals(tmp_path, {name: report(name, {}) + report(name, _other(fault))})

    assert actions(table) == [rule]
    row = table[table["is_action"]].iloc[0]
    assert f"{row['n']:.0f}" in row["action_text"] or rule in ("R1", "R7", "R3")
    assert "{" not in row["action_text"] + row["expected_effect"] + row["caveats"]
    assert row["q"] <= 0.05


def _other(fault: dict[str, Any]) -> dict[str, Any]:
    """The fault on a target of its own, beside a healthy one."""
    return {
        "round": "phone", "stage": "phone", "interviewer_id": "p_2", **fault
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trend", "severity"),
    [
        (STRICTER, [0.3, 0.25, 0.2, -0.1, -0.2]),
        # What counts is the change, not on which side of the peers it ends.
        (STRICTER, [-0.1, -0.2, -0.2, -0.5, -0.6]),
        (LENIENT, [-0.3, -0.3, 0.1, 0.1, 0.2]),
    ],
)
def test_an_interviewer_who_drifts_is_offered_a_calibration(
    trend: dict[str, Any], severity: list[float], tmp_path: Path
) -> None:
    rows = drift([0.0] * 5, "p_1") + drift(severity, **trend)

    table = proposals(tmp_path, {DRIFT: rows})

    assert actions(table) == ["R6"]
    row = table[table["is_action"]].iloc[0]
    assert row["interviewer_id"] == "p_2"
    assert row["ci_low"] < row["estimate"] < row["ci_high"]
    assert f"{trend['slope_blue']:+.2f} points a quarter" in row["action_text"]


@pytest.mark.parametrize(
    ("trend", "severity"),
    [
        (STRICTER, [0.3, 0.0, 0.0, 0.0, 0.0]),
        (STRICTER, [-0.3, -0.3, -0.3, 0.0, 0.0]),
        (STRICTER, [0.3, 0.3, 0.3, 0.3, 0.3]),
        ({**STRICTER, "flag": "none"}, [0.3, 0.3, 0.3, 0.0, 0.0]),
        ({**STRICTER, "p": 0.04}, [0.3, 0.3, 0.3, 0.0, 0.0]),
    ],
    ids=["one quarter", "the other side", "no change", "no flag", "weak"],
)
def test_a_drift_is_not_acted_on_unless_quarters_repeat_it(
    trend: dict[str, Any], severity: list[float], tmp_path: Path
) -> None:
    rows = drift([0.0] * 5, "p_1") + drift(severity, **trend)

    assert actions(proposals(tmp_path, {DRIFT: rows})) == []


def test_a_drift_without_quarters_before_is_not_acted_on(tmp_path: Path) -> None:
    rows = [
        row
        for row in drift([0.3, 0.3, 0.3, 0.0, 0.0], **STRICTER)
        if row["window_label"] not in EARLIER
    ]

    assert actions(proposals(tmp_path, {DRIFT: rows})) == []


def test_somebody_severe_who_drifts_is_proposed_once(tmp_path: Path) -> None:
    name, fault = FAULTS["R6"]
    rows = {
        name: report(name, {**fault, "interviewer_id": "p_2"}),
        DRIFT: drift([0.3, 0.3, 0.3, 0.0, 0.0], **STRICTER),
    }

    assert actions(proposals(tmp_path, rows)) == ["R6"]


@pytest.mark.parametrize(
    ("g_plus_two", "proposed"), [(0.72, ["R7"]), (0.69, ["R7"]), (0.60, [])]
)
def test_a_rater_is_added_unless_two_more_would_surely_not_do(
    g_plus_two: float, proposed: list[str], tmp_path: Path
) -> None:
    name, fault = FAULTS["R7"]
    rows = report(name, {**fault, "g_plus_two": g_plus_two})

    assert actions(proposals(tmp_path, {name: rows})) == proposed


@pytest.mark.parametrize("rule", ["R6", "R11"])
def test_a_finding_of_one_quarter_is_not_acted_on(rule: str, tmp_path: Path) -> None:
    name, fault = FAULTS[rule]
    once = [
        row if row["window_label"] in ("2026 Q3", *YEAR) else {**row, **_well(name)}
        for row in report(name, fault)
    ]

    assert actions(proposals(tmp_path, {name: once})) == []


def _well(name: str) -> dict[str, Any]:
    kept = {"interviewer_id", "stage", "role_family"}
    return {key: value for key, value in HEALTHY[name].items() if key not in kept}


def test_open_windows_are_not_looked_at(tmp_path: Path) -> None:
    name, fault = FAULTS["R1"]
    rows = [{**row, "is_closed": False} for row in report(name, fault)]

    assert actions(proposals(tmp_path, {name: rows})) == []


def test_too_few_candidates_ask_for_more_and_say_how_many(tmp_path: Path) -> None:
    name, fault = FAULTS["R1"]

    table = proposals(tmp_path, {name: report(name, {**fault, "n_multi": 60})})

    assert actions(table) == []
    row = table[table["statistic"] == "n_multi"].iloc[0]
    assert (row["rule_id"], row["estimate"], row["threshold"]) == ("R12", 60, 100)
    assert "40 shadow ratings" in row["action_text"]


def test_ids_are_the_same_in_every_run_and_differ_between_targets(
    tmp_path: Path,
) -> None:
    name, fault = FAULTS["R6"]
    rows = report(name, fault) + report(name, {**fault, "interviewer_id": "p_9"})

    first, second = (proposals(tmp_path, {name: rows}) for _ in range(2))

    assert first["recommendation_id"].tolist() == second["recommendation_id"].tolist()
    assert first["recommendation_id"].is_unique
    assert len(first) == 2


def test_one_weak_finding_among_many_tests_is_not_acted_on(tmp_path: Path) -> None:
    name, fault = FAULTS["R6"]
    weak = report(name, {**fault, "p": 0.03})
    crowd = [
        row
        for place in range(40)
        for row in report(name, {"interviewer_id": f"p_{place + 10}"})
    ]

    assert actions(proposals(tmp_path, {name: weak + crowd})) == []


def test_the_policy_can_move_a_threshold(tmp_path: Path) -> None:
    name, fault = FAULTS["R1"]
    lenient = Policy(rules={"R1": {"threshold": 0.35}})

    assert actions(proposals(tmp_path, {name: report(name, fault)}, lenient)) == []


def test_every_rule_has_its_words() -> None:
    for rule in load_rules():
        assert rule.text
        assert rule.caveats
        assert rule.expected_effect
        assert rule.owner


@pytest.mark.parametrize("rule", sorted(FAULTS))
def test_what_is_shown_lies_inside_its_interval(rule: str, tmp_path: Path) -> None:
    name, fault = FAULTS[rule]

    table = proposals(tmp_path, {name: report(name, fault)})

    row = table[table["rule_id"] == rule].iloc[0]
    assert row["ci_low"] < row["estimate"] < row["ci_high"]

"""Reliability, calibration, validity and the cross-check on hand-made marts."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration.estimates.calibration import interviewer_calibration
from orchestration.settings import Policy
from orchestration.warehouse import DuckDBWarehouse

WINDOWS = pd.DataFrame(
    [
        ("2026Q3", "quarter", dt.date(2026, 7, 1), dt.date(2026, 10, 1)),
        ("year-to-2026Q3", "year", dt.date(2025, 10, 1), dt.date(2026, 10, 1)),
        ("all", "all", dt.date(2025, 10, 1), dt.date(2026, 10, 1)),
    ],
    columns=["window_id", "window_kind", "window_start", "window_end"],
)
NO_OUTCOMES = pd.DataFrame(
    {
        "application_id": pd.Series(dtype=str),
        "role_family": pd.Series(dtype=str),
        "stage": pd.Series(dtype=str),
        "outcome": pd.Series(dtype=str),
        "outcome_at": pd.Series(dtype="datetime64[us]"),
        "first_entered_at": pd.Series(dtype="datetime64[us]"),
    }
)
NO_VISITS = pd.DataFrame(
    {name: pd.Series(dtype=str) for name in ("role_family", "stage", "round")}
)
SHROUT_FLEISS = np.array(
    [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
    ]
)


def marts(folder: Path, **tables: pd.DataFrame) -> DuckDBWarehouse:
    """A warehouse whose marts are the frames given."""
    tables = {
        "dim_windows": WINDOWS,
        "fct_stage_outcomes": NO_OUTCOMES,
        "fct_stage_visits": NO_VISITS,
        **tables,
    }
    files = {}
    for name, frame in tables.items():
        path = folder / f"{name}.parquet"
        frame.to_parquet(path)
        files[f"marts.{name}"] = [str(path)]
    return DuckDBWarehouse(parquet=files)


def rating_rows(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Ratings with the columns of the mart; what a row leaves out has a default."""
    defaults = {
        "role_family": "engineering", "round": "onsite", "competency": "coding",
        "rubric_id": "unspecified", "rubric_version": "unspecified",
        "scale_id": "1-5/5", "scale_min": 1.0, "scale_max": 5.0, "n_levels": 5,
        "question_id": "none", "submitted_at": pd.Timestamp("2026-08-03 15:00"),
        "is_shadow": False, "has_debrief": True, "is_independent": True,
    }  # fmt: skip
    frame = pd.DataFrame([{**defaults, **row} for row in rows])
    frame["scorecard_id"] = (
        frame["candidate_id"] + "/" + frame["interviewer_id"] + "/" + frame["round"]
    )
    frame["application_id"] = frame["candidate_id"]
    return frame


def panels(
    rng: np.random.Generator,
    *,
    n_candidates: int = 200,
    n_interviewers: int = 12,
    severity: dict[int, float] | None = None,
    halo: int | None = None,
    competencies: tuple[str, ...] = ("coding", "design", "evaluation"),
) -> pd.DataFrame:
    """Five-point ratings of a healthy company, two raters per candidate and round."""
    strict = rng.normal(0, 0.1, n_interviewers).clip(-0.15, 0.15)
    for interviewer, value in (severity or {}).items():
        strict[interviewer] = value
    rows = []
    for candidate in range(n_candidates):
        skill = rng.normal(0, 0.45)
        for step in ("screen", "onsite"):
            day = skill + rng.normal(0, 0.35)
            parts = rng.normal(0, 0.3, len(competencies))
            for interviewer in rng.choice(n_interviewers, 2, replace=False):
                general = rng.normal(0, 0.25)
                own = rng.normal(0, 0.45, len(competencies))
                if interviewer == halo:
                    general, own = rng.normal(0, 0.5), own * 0.1
                    part = np.zeros(len(competencies))
                else:
                    part = parts
                level = 3.2 + day + part - strict[interviewer] + general + own
                rows += [
                    {
                        "candidate_id": f"c{candidate:04}",
                        "interviewer_id": f"i{interviewer:02}",
                        "round": step,
                        "competency": competency,
                        "rating_value": float(np.clip(np.round(value), 1, 5)),
                    }
                    for competency, value in zip(competencies, level, strict=True)
                ]
    return rating_rows(rows)


def calibration_of(
    folder: Path, frame: pd.DataFrame, policy: Policy | None = None
) -> pd.DataFrame:
    """Calibration of the pooled year, by interviewer."""
    table = interviewer_calibration(
        marts(folder, fct_ratings=frame),
        policy or Policy(),
        rng=np.random.default_rng(0),
    ).to_pandas()
    pooled = (table["window_id"] == "year-to-2026Q3") & (table["role_family"] == "all")
    return table[pooled].set_index("interviewer_id")


def test_a_strict_interviewer_is_flagged_and_no_other(tmp_path: Path) -> None:
    frame = panels(np.random.default_rng(3), severity={4: 0.7})

    result = calibration_of(tmp_path, frame)

    assert result.loc["i04", "flag"] == "severe"
    assert result.loc["i04", "severity_raw"] == pytest.approx(0.64, abs=0.2)
    assert set(result["flag"].drop("i04")) == {"none"}


def test_a_lenient_interviewer_has_negative_severity(tmp_path: Path) -> None:
    frame = panels(np.random.default_rng(5), severity={2: -0.7})

    result = calibration_of(tmp_path, frame)

    assert result.loc["i02", "flag"] == "lenient"
    assert result.loc["i02", "ci_high"] < 0


def test_an_interviewer_who_gives_one_score_for_all_is_flagged_for_halo(
    tmp_path: Path,
) -> None:
    frame = panels(np.random.default_rng(7), halo=6)

    result = calibration_of(tmp_path, frame)

    assert result.loc["i06", "flag"] == "halo"
    assert result.loc["i06", "halo_index"] > 0.15
    assert set(result["flag"].drop("i06")) == {"none"}


if __name__ == "__main__":
    import tempfile

    pd.set_option("display.width", 250, "display.max_columns", 50)
    for kwargs in ({}, {"severity": {4: 0.7}}, {"halo": 6}):
        with tempfile.TemporaryDirectory() as f:
            print(
                calibration_of(Path(f), panels(np.random.default_rng(3), **kwargs))
                .drop(columns=["window_id", "role_family", "ci_method"])
                .round(3)
                .to_string()
            )

"""Each table of estimates on hand-made marts."""

import datetime as dt
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm

from orchestration.estimates import ESTIMATES
from orchestration.estimates.adverse_impact import adverse_impact
from orchestration.estimates.bottlenecks import bottlenecks
from orchestration.estimates.calibration import interviewer_calibration
from orchestration.estimates.drift import interviewer_drift
from orchestration.estimates.funnel import funnel
from orchestration.estimates.hiring import offer_acceptance, time_to_hire
from orchestration.estimates.reliability import (
    rater_reliability,
    reliability_crosscheck,
)
from orchestration.estimates.round_signal import round_signal
from orchestration.estimates.score_gaps import score_gaps
from orchestration.estimates.slices import Slices
from orchestration.estimates.validity import predictive_validity
from orchestration.explanations import reader_texts
from orchestration.settings import Policy
from orchestration.statistics.agreement import (
    chance_corrected,
    coincidences,
    interval,
)
from orchestration.statistics.parity import min_detectable_ratio
from orchestration.warehouse import DuckDBWarehouse

WINDOWS = pd.DataFrame(
    [
        ("2026Q3", "quarter", dt.date(2026, 7, 1), dt.date(2026, 10, 1), True),
        ("year-to-2026Q3", "year", dt.date(2025, 10, 1), dt.date(2026, 10, 1), True),
        ("all", "all", dt.date(2025, 10, 1), dt.date(2026, 10, 1), True),
    ],
    columns=["window_id", "window_kind", "window_start", "window_end", "is_closed"],
)
NO_OUTCOMES = pd.DataFrame(
    {
        **{
            name: pd.Series(dtype=str)
            for name in ("application_id", "role_family", "source", "stage", "outcome")
        },
        **{
            name: pd.Series(dtype="datetime64[us]")
            for name in ("outcome_at", "first_entered_at")
        },
        **{
            name: pd.Series(dtype=float)
            for name in ("outcome_days", "in_stage_days", "stage_order")
        },
        **{
            name: pd.Series(dtype=bool)
            for name in ("is_skipped", "is_in_stage_censored")
        },
    }
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


def careless(frame: pd.DataFrame, interviewer: str, *, times: float) -> pd.DataFrame:
    """Ratings of which one interviewer's error is blown up by noise of its own."""
    rng = np.random.default_rng(11)
    own = frame["interviewer_id"] == interviewer
    # The mean of a card's three competencies errs by about .38 points in these panels;
    # noise of each competency's own leaves no halo.
    noise = 0.38 * np.sqrt(3 * (times**2 - 1)) * rng.normal(size=len(frame))
    noisy = np.clip(np.round(frame["rating_value"] + noise), 1, 5)
    return frame.assign(rating_value=frame["rating_value"].where(~own, noisy))


def test_an_interviewer_whose_error_is_doubled_is_flagged_as_noisy(
    tmp_path: Path,
) -> None:
    frame = careless(panels(np.random.default_rng(6)), "i05", times=2.0)

    result = calibration_of(tmp_path, frame)

    noisy = result.loc["i05"]
    assert result["flag"].eq("noisy").to_dict() == {
        name: name == "i05" for name in result.index
    }
    assert noisy["outfit"] > max(1.5, noisy["outfit_critical"])
    assert noisy["infit"] > noisy["infit_critical"]
    assert (result["outfit_critical"] > 1).all()


def test_what_chance_makes_of_misfit_depends_on_the_seed_only(tmp_path: Path) -> None:
    frame = panels(np.random.default_rng(6), n_candidates=60)

    one, other = (calibration_of(tmp_path, frame) for _ in range(2))

    pd.testing.assert_frame_equal(one, other)


def eight_quarters() -> pd.DataFrame:
    """Windows of eight closed quarters and of all of them."""
    starts = [dt.date(2024 + (9 + 3 * q) // 12, (9 + 3 * q) % 12 + 1, 1)
              for q in range(9)]  # fmt: skip
    rows = [
        (f"q{place}", "quarter", start, end, True)
        for place, (start, end) in enumerate(pairwise(starts))
    ]
    return pd.DataFrame(
        [*rows, ("all", "all", starts[0], starts[-1], True)], columns=WINDOWS.columns
    )


def drifting(rng: np.random.Generator, *, slope: float) -> pd.DataFrame:
    """Two of ten interviewers per candidate; the first becomes stricter by quarter."""
    rows = []
    for quarter in range(8):
        day = pd.Timestamp(2024, 10, 15) + pd.DateOffset(months=3 * quarter)
        for number in range(90):
            skill = rng.normal(0, 0.6)
            for interviewer in rng.choice(10, 2, replace=False):
                strict = slope * quarter if interviewer == 0 else 0.0
                value = 3 + skill - strict + rng.normal(0, 0.6)
                rows.append(
                    {
                        "candidate_id": f"c{quarter}-{number:03}",
                        "interviewer_id": f"i{interviewer:02}",
                        "rating_value": float(np.clip(np.round(value), 1, 5)),
                        "submitted_at": day,
                    }
                )
    return rating_rows(rows)


def drift_of(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    return estimated(
        interviewer_drift, folder, Policy(), fct_ratings=frame,
        dim_windows=eight_quarters(),
    )  # fmt: skip


def test_an_interviewer_who_becomes_stricter_is_flagged_and_no_other(
    tmp_path: Path,
) -> None:
    table = drift_of(tmp_path, drifting(np.random.default_rng(2), slope=0.15))

    trend = table[table["basis"] == "trend"].set_index("interviewer_id")
    assert trend.loc["i00", "flag"] == "stricter"
    assert trend.loc["i00", "slope_blue"] == pytest.approx(0.15, abs=0.06)
    assert trend.loc["i00", "change_blue"] > 0.5
    assert set(trend["flag"].drop("i00")) == {"none"}
    assert (trend["mdd"] > 0).all()


def test_severity_by_quarter_rises_with_the_drift(tmp_path: Path) -> None:
    table = drift_of(tmp_path, drifting(np.random.default_rng(2), slope=0.15))

    series = table[(table["basis"] == "quarter") & (table["interviewer_id"] == "i00")]
    assert len(series) == 8
    assert (
        series["estimate"].iloc[-3:].mean() > series["estimate"].iloc[:3].mean() + 0.4
    )
    assert series["is_outside_limits"].iloc[-1]


def test_few_quarters_keep_their_counts_and_no_slope(tmp_path: Path) -> None:
    frame = drifting(np.random.default_rng(3), slope=0.0)

    table = drift_of(tmp_path, frame[frame["submitted_at"] < "2025-06-01"])

    trend = table[table["basis"] == "trend"]
    assert set(trend["status"]) == {"insufficient"}
    assert (trend["n"] > 0).all()
    assert trend[["estimate", "slope_blue", "p", "q"]].isna().all(axis=None)


def score_counts(rng: np.random.Generator, *, gap: float, dif: float) -> pd.DataFrame:
    """Scores of 400 men and 200 women in two competencies; `dif` in one of them."""
    rows: dict[tuple[str, str, float, float], int] = {}
    for group, n in (("male", 400), ("female", 200), ("declined", 50)):
        skill = rng.normal(gap * (group == "female"), 1.0, n)
        shift = np.array([dif * (group == "female"), 0.0])
        noise = rng.normal(0, 0.7, (n, 2))
        scores = np.clip(np.round(3 + skill[:, None] + shift + noise), 1, 5)
        mean = np.floor(scores.mean(axis=1) * 2 + 0.5) / 2
        for place, competency in enumerate(("coding", "design")):
            for score, matched in zip(scores[:, place], mean, strict=True):
                key = (competency, group, float(score), float(matched))
                rows[key] = rows.get(key, 0) + 1
    return pd.DataFrame(
        [
            {
                "window_id": "year-to-2026Q3", "role_family": "engineering",
                "round": "onsite", "competency": competency, "rubric_id": "r",
                "rubric_version": "1", "scale_id": "1-5/5", "attribute": "sex",
                "group_value": group, "score": score, "matched_mean": matched, "n": n,
                "is_disclosed": group != "declined",
            }
            for (competency, group, score, matched), n in rows.items()
        ]
    )  # fmt: skip


def gaps_of(folder: Path, counts: pd.DataFrame) -> pd.DataFrame:
    table = estimated(
        score_gaps, folder, Policy(), fct_score_counts=counts,
        fct_ratings=shrout_fleiss(),
    )  # fmt: skip
    return table[table["role_family"] == "all"].set_index("competency")


def test_a_gap_is_the_difference_in_standard_deviations(tmp_path: Path) -> None:
    counts = score_counts(np.random.default_rng(4), gap=-0.6, dif=0.0)

    table = gaps_of(tmp_path, counts)

    people = counts.loc[counts.index.repeat(counts["n"])]
    people = people[people["competency"] == "coding"].groupby("group_value")["score"]
    mean, variance = people.mean(), people.var()
    pooled = (399 * variance["male"] + 199 * variance["female"]) / 598
    d = (mean["female"] - mean["male"]) / np.sqrt(pooled)
    row = table.loc["coding"]
    assert row["estimate"] == pytest.approx(d * (1 - 3 / (4 * 598 - 1)), rel=1e-5)
    assert (row["n"], row["n_reference"], row["n_unknown"]) == (200, 400, 50)
    assert row["reference_group"] == "male"
    assert row["ci_high"] < 0
    assert set(table["dif_class"]) <= {"A", "AA"}


def test_a_competency_that_treats_a_group_differently_shows_when_matched(
    tmp_path: Path,
) -> None:
    counts = score_counts(np.random.default_rng(5), gap=0.0, dif=-0.9)

    table = gaps_of(tmp_path, counts)

    assert table.loc["coding", "dif_smd"] < -0.2
    assert table.loc["coding", "dif_q"] < 0.01
    assert table.loc["coding", "dif_class"] in {"BB", "CC"}


def test_the_class_of_a_difference_needs_200_people_a_side(tmp_path: Path) -> None:
    counts = score_counts(np.random.default_rng(5), gap=0.0, dif=-0.9)
    women = counts[counts["group_value"] == "female"]
    first = women.drop_duplicates("competency").index
    counts.loc[first, "n"] -= 1

    table = gaps_of(tmp_path, counts)

    assert set(table["n"]) == {199}
    assert table.loc["coding", "dif_q"] < 0.01
    assert table["dif_class"].isna().all()


def test_small_groups_keep_their_counts_and_no_gap(tmp_path: Path) -> None:
    counts = score_counts(np.random.default_rng(6), gap=-0.6, dif=0.0)
    few = counts[(counts["group_value"] != "female") | (counts["score"] == 5)]

    table = gaps_of(tmp_path, few)

    assert set(table["status"]) == {"insufficient"}
    assert (table["n"] > 0).all()
    assert table[["estimate", "p", "dif_smd"]].isna().all(axis=None)


def loop(rng: np.random.Generator, *, n: int = 160) -> dict[str, pd.DataFrame]:
    """Three rounds of two raters: two measure one skill, the third is noise."""
    ratings, cards = [], []
    for candidate in range(n):
        skill = rng.normal(0, 0.8)
        for step, weight in (("design", 1.0), ("systems", 1.0), ("lunch", 0.0)):
            for interviewer in rng.choice(12, 2, replace=False):
                value = 3 + weight * skill + rng.normal(0, 0.5)
                key = {
                    "candidate_id": f"c{candidate:03}",
                    "interviewer_id": f"i{interviewer:02}",
                    "round": step,
                }
                rating = float(np.clip(np.round(value), 1, 5))
                ratings.append({**key, "competency": step, "rating_value": rating})
                cards.append(key)
    scorecards = pd.DataFrame(cards).assign(
        application_id=lambda frame: frame["candidate_id"],
        role_family="engineering", minutes=60.0, is_shadow=False,
        submitted_at=pd.Timestamp("2026-08-03"),
    )  # fmt: skip
    outcomes = pd.DataFrame(
        {
            "application_id": [f"c{candidate:03}" for candidate in range(n)],
            "role_family": "engineering", "stage": "onsite", "stage_order": 3.0,
            "outcome": ["advanced", "rejected", "rejected", "withdrew"] * (n // 4),
            "first_entered_at": pd.Timestamp("2026-08-01"), "is_skipped": False,
        }
    )  # fmt: skip
    return {
        "fct_ratings": rating_rows(ratings),
        "fct_scorecards": scorecards,
        "fct_stage_outcomes": outcomes,
    }


def test_a_round_of_noise_adds_nothing_and_two_alike_are_told(tmp_path: Path) -> None:
    table = estimated(
        round_signal, tmp_path, Policy(), **loop(np.random.default_rng(8))
    )

    rounds = table[table["role_family"] == "all"].set_index("round")
    assert rounds.loc["lunch", "ci_high"] < 0.5
    assert rounds.loc["lunch", "marginal_reliability"] < 0
    assert rounds.loc["design", "marginal_reliability_ci_low"] > 0
    assert rounds.loc["design", "redundant_with"] == "systems"
    assert rounds.loc["design", "redundancy_r"] == pytest.approx(1.0, abs=0.15)
    assert rounds.loc["lunch", "verdict"] in {"shorten", "drop_candidate"}
    assert rounds.loc["design", "verdict"] == "keep"
    assert rounds.loc["design", "hours_per_candidate"] == 2.0
    assert rounds.loc["design", "candidate_dropoff"] == 0.25


def test_a_round_few_took_keeps_its_counts_only(tmp_path: Path) -> None:
    table = estimated(
        round_signal, tmp_path, Policy(), **loop(np.random.default_rng(9), n=12)
    )

    assert set(table["status"]) == {"insufficient"}
    assert set(table["verdict"]) == {"unknown"}
    assert (table["n"] == 12).all()


def estimated(function: Any, folder: Path, policy: Policy, **tables: Any) -> Any:
    with marts(folder, **tables) as warehouse:
        table = function(warehouse, policy, rng=np.random.default_rng(1))
    return table.to_pandas()


def one(frame: pd.DataFrame, **wanted: Any) -> pd.Series:
    """The only row with these values."""
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def shrout_fleiss(**columns: Any) -> pd.DataFrame:
    return rating_rows(
        {
            "candidate_id": f"c{candidate}",
            "interviewer_id": f"i{judge}",
            "rating_value": float(SHROUT_FLEISS[candidate, judge]),
            "scale_id": "1-10/10", "scale_max": 10.0, "n_levels": 10, **columns,
        }
        for candidate in range(6)
        for judge in range(4)
    )  # fmt: skip


SMALL = Policy(show_minimum_candidates=2, bootstrap_replicates=100)


def test_reliability_of_a_panel_equals_shrout_and_fleiss(tmp_path: Path) -> None:
    table = estimated(rater_reliability, tmp_path, SMALL, fct_ratings=shrout_fleiss())

    row = one(table, window_id="2026Q3", role_family="all", competency="coding")
    assert row["icc1_anova"] == pytest.approx(0.1657, abs=5e-5)
    assert row["icc_single"] == pytest.approx(0.2898, abs=5e-4)
    assert row["ci_low"] < row["estimate"] < row["ci_high"]
    assert (row["n"], row["n_multi"], row["n_raters"]) == (6, 6, 4)


def test_limits_of_ac2_are_gwets_where_everybody_has_two_ratings(
    tmp_path: Path,
) -> None:
    table = estimated(rater_reliability, tmp_path, SMALL, fct_ratings=shrout_fleiss())

    unit, _ = np.indices(SHROUT_FLEISS.shape)
    pairs = coincidences(
        SHROUT_FLEISS.ravel() - 1, unit.ravel(), 0 * unit.ravel(),
        n_levels=10, n_groups=1,
    )  # fmt: skip
    expected = chance_corrected(pairs, 10, weights="quadratic").gwet
    low, high = interval(expected)
    row = one(table, window_id="2026Q3", role_family="all", competency="coding")
    assert row["ac2_quadratic"] == pytest.approx(expected.estimate[0])
    assert row["ac2_quadratic_ci_low"] == pytest.approx(low[0])
    assert row["ac2_quadratic_ci_high"] == pytest.approx(high[0])


def test_candidates_rated_once_do_not_widen_the_limits_of_ac2(tmp_path: Path) -> None:
    once = pd.concat([shrout_fleiss().iloc[::4]] * 5, ignore_index=True)
    once["candidate_id"] = [f"once{place}" for place in range(30)]
    once["scorecard_id"] = once["application_id"] = once["candidate_id"]
    both = pd.concat([shrout_fleiss(), once], ignore_index=True)

    def width(folder: str, ratings: pd.DataFrame) -> float:
        (tmp_path / folder).mkdir()
        table = estimated(
            rater_reliability, tmp_path / folder, SMALL, fct_ratings=ratings
        )
        row = one(table, window_id="2026Q3", role_family="all", competency="coding")
        return float(row["ac2_quadratic_ci_high"] - row["ac2_quadratic_ci_low"])

    alone, beside = width("alone", shrout_fleiss()), width("beside", both)

    assert beside == pytest.approx(alone, rel=0.15)


def test_too_few_candidates_keep_counts_and_lose_numbers(tmp_path: Path) -> None:
    table = estimated(
        rater_reliability, tmp_path, Policy(), fct_ratings=shrout_fleiss()
    )

    assert set(table["status"]) == {"insufficient"}
    assert table["n_multi"].tolist() == [6] * len(table)
    assert table[["estimate", "icc1_anova", "alpha_ordinal"]].isna().all(axis=None)
    assert (
        table[["ac2_quadratic_ci_low", "ac2_quadratic_ci_high"]].isna().all(axis=None)
    )


@pytest.mark.parametrize("case", ["one rater", "no variance"])
def test_without_a_second_rater_or_any_variance_there_is_no_reliability(
    tmp_path: Path, case: str
) -> None:
    ratings = shrout_fleiss()
    if case == "one rater":
        ratings = ratings[ratings["interviewer_id"] == "i1"]
    else:
        ratings["rating_value"] = 3.0

    table = estimated(rater_reliability, tmp_path, SMALL, fct_ratings=ratings)

    assert len(table) > 0
    assert set(table["status"]) == {"insufficient"}
    assert table[["estimate", "ci_low", "ci_high"]].isna().all(axis=None)
    assert table[["icc1_anova", "alpha_ordinal"]].isna().all(axis=None)


def test_ratings_after_the_debrief_are_counted_and_left_out(tmp_path: Path) -> None:
    late = shrout_fleiss()
    late.loc[late["interviewer_id"] == "i3", "is_independent"] = False

    table = estimated(rater_reliability, tmp_path, SMALL, fct_ratings=late)

    row = one(table, window_id="2026Q3", role_family="all", competency="coding")
    assert (row["n_raters"], row["n_ratings"], row["n_after_debrief"]) == (3, 18, 6)


def test_scales_are_never_pooled(tmp_path: Path) -> None:
    other = shrout_fleiss(scale_id="0-100", scale_max=100.0, n_levels=None)
    both = pd.concat([shrout_fleiss(), other], ignore_index=True)

    table = estimated(rater_reliability, tmp_path, SMALL, fct_ratings=both)

    pooled = table[(table["role_family"] == "all") & (table["window_id"] == "2026Q3")]
    assert sorted(pooled["scale_id"].unique()) == ["0-100", "1-10/10"]
    assert set(pooled["n_ratings"]) == {24}


def test_complete_blocks_equal_pingouin(tmp_path: Path) -> None:
    table = estimated(
        reliability_crosscheck, tmp_path, SMALL, fct_ratings=shrout_fleiss()
    )

    assert len(table) == 2
    assert table["difference"].max() < 1e-9
    assert table["icc_a1"].iloc[0] == pytest.approx(0.2898, abs=5e-5)


def test_a_coefficient_without_a_denominator_is_not_compared(tmp_path: Path) -> None:
    """ICC(A,k) divides by exactly zero here; what rounding leaves of it differs."""
    scores = np.array([[4, 2], [3, 4], [3, 4], [3, 4], [3, 3]])
    block = shrout_fleiss().iloc[:10].copy()
    block["candidate_id"] = np.repeat([f"c{row}" for row in range(5)], 2)
    block["application_id"] = block["candidate_id"]
    block["interviewer_id"] = np.tile(["i0", "i1"], 5)
    block["rating_value"] = scores.ravel().astype(float)

    table = estimated(reliability_crosscheck, tmp_path, SMALL, fct_ratings=block)

    assert len(table) == 2
    assert table["difference"].max() < 1e-9


def outcomes(rows: list[dict[str, Any]]) -> pd.DataFrame:
    defaults = {
        "role_family": "engineering", "source": "referral", "stage": "screen",
        "stage_order": 1, "first_entered_at": pd.Timestamp("2026-07-10"),
        "is_skipped": False, "is_in_stage_censored": False,
    }  # fmt: skip
    frame = pd.DataFrame([{**defaults, **row} for row in rows])
    frame["application_id"] = [f"a{place}" for place in range(len(frame))]
    frame["outcome_at"] = frame["first_entered_at"] + pd.to_timedelta(
        frame["outcome_days"], unit="D"
    )
    frame["in_stage_days"] = frame["outcome_days"]
    return frame


def test_open_applications_are_censored_not_rejected(tmp_path: Path) -> None:
    rows = [
        *[{"outcome": "advanced", "outcome_days": 10.0} for _ in range(20)],
        *[{"outcome": "rejected", "outcome_days": 20.0} for _ in range(20)],
        *[
            {"outcome": "open", "outcome_days": 5.0, "is_in_stage_censored": True}
            for _ in range(20)
        ],
    ]

    table = estimated(funnel, tmp_path, Policy(), fct_stage_outcomes=outcomes(rows))

    row = one(table, basis="cohort", window_id="2026Q3", role_family="all",
              source="all")  # fmt: skip
    # 20 of the 40 still observed at day 10 advanced; advanced / entered would be 1/3.
    assert row["estimate"] == pytest.approx(0.5)
    assert (row["entered"], row["open"], row["status"]) == (60, 20, "ok")
    # The curve lies at one half from day 10 to 20; the median is the middle, as in R.
    assert row["km_median_days"] == 15
    activity = one(table, basis="activity", window_id="2026Q3", role_family="all",
                   source="all")  # fmt: skip
    assert (activity["n"], activity["estimate"]) == (40, 0.5)


def test_a_skipped_stage_counts_in_conversion_not_in_durations(tmp_path: Path) -> None:
    rows = [
        *[{"outcome": "rejected", "outcome_days": 30.0} for _ in range(20)],
        *[
            {"outcome": "advanced", "outcome_days": 0.0, "is_skipped": True}
            for _ in range(20)
        ],
    ]
    frame = outcomes(rows)
    frame.loc[frame["is_skipped"], "in_stage_days"] = np.nan

    table = estimated(funnel, tmp_path, Policy(), fct_stage_outcomes=frame)

    row = one(table, basis="cohort", window_id="2026Q3", role_family="all",
              source="all")  # fmt: skip
    assert (row["estimate"], row["skipped"], row["km_median_days"]) == (0.5, 20, 30)


def test_an_immature_cohort_has_counts_only(tmp_path: Path) -> None:
    rows = [
        {"outcome": "open", "outcome_days": 5.0, "is_in_stage_censored": True}
        for _ in range(40)
    ]

    table = estimated(funnel, tmp_path, Policy(), fct_stage_outcomes=outcomes(rows))

    row = one(table, basis="cohort", window_id="2026Q3", role_family="all",
              source="all")  # fmt: skip
    assert (row["status"], row["open"]) == ("insufficient", 40)
    assert np.isnan(row["estimate"])


MONTH = pd.DataFrame(
    [("2026-07", "month", dt.date(2026, 7, 1), dt.date(2026, 8, 1), True)],
    columns=WINDOWS.columns,
)


def test_a_month_follows_those_who_entered_in_it_over_all_sources(
    tmp_path: Path,
) -> None:
    rows = [{"outcome": "advanced", "outcome_days": 5.0} for _ in range(30)]
    rows += [{"outcome": "rejected", "outcome_days": 5.0} for _ in range(30)]
    frame = outcomes(rows)
    frame.loc[frame.index % 2 == 0, "source"] = "agency"
    frame.loc[frame.index >= 40, "first_entered_at"] = pd.Timestamp("2026-08-01")
    windows = pd.concat([WINDOWS, MONTH], ignore_index=True)

    table = estimated(
        funnel, tmp_path, Policy(), fct_stage_outcomes=frame, dim_windows=windows
    )

    month = table[table["window_id"] == "2026-07"].set_index("role_family")
    assert list(month.index) == ["all", "engineering"]
    assert set(month["basis"]) == {"cohort"}
    assert set(month["source"]) == {"all"}
    row = month.loc["all"]
    assert (row["n"], row["estimate"], row["status"]) == (40, 0.75, "ok")


def test_months_leave_the_other_windows_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"outcome": "advanced", "outcome_days": float(day % 7)} for day in range(50)
    ]
    frame = outcomes(rows)
    windows = pd.concat([WINDOWS, MONTH], ignore_index=True)
    (tmp_path / "with").mkdir()

    without = estimated(funnel, tmp_path, Policy(), fct_stage_outcomes=frame)
    table = estimated(
        funnel, tmp_path / "with", Policy(), fct_stage_outcomes=frame,
        dim_windows=windows,
    )  # fmt: skip

    others = table[table["window_id"] != "2026-07"].reset_index(drop=True)
    assert len(others) < len(table)
    pd.testing.assert_frame_equal(others, without, check_exact=True)


def test_hiring_has_no_rows_of_months(tmp_path: Path) -> None:
    """A month of offers says nothing: the kinds of windows are named, not taken."""
    offers = pd.DataFrame(
        {
            "role_family": "engineering", "source": "referral",
            "extended_at": pd.Timestamp("2026-07-01"),
            "offer_status": ["accepted"] * 20 + ["declined"] * 10,
            "decline_reason": [None] * 20 + ["pay"] * 10, "days_to_resolve": 4.0,
        }
    )  # fmt: skip
    hires = pd.DataFrame(
        {
            "role_family": "engineering", "source": "referral",
            "offer_accepted_at": pd.date_range("2026-07-01", periods=20, freq="D"),
            "hired_at": pd.NaT, "days_to_hire": 20.0,
        }
    )  # fmt: skip
    openings = pd.DataFrame(
        {
            "role_family": "engineering", "opened_at": pd.Timestamp("2026-07-02"),
            "filled_at": [pd.Timestamp("2026-07-22")] * 20, "days_open": 20.0,
        }
    )  # fmt: skip
    windows = pd.concat([WINDOWS, MONTH], ignore_index=True)

    accepted = estimated(
        offer_acceptance, tmp_path, Policy(), fct_offers=offers, dim_windows=windows
    )
    times = estimated(
        time_to_hire, tmp_path, Policy(), fct_applications=hires, fct_openings=openings,
        dim_windows=windows,
    )  # fmt: skip

    kinds = {"2026Q3", "year-to-2026Q3", "all"}
    assert set(accepted["window_id"]) == kinds
    assert set(times["window_id"]) == kinds


def test_time_to_fill_censors_openings_that_are_open(tmp_path: Path) -> None:
    applications = pd.DataFrame(
        {
            "role_family": "engineering",
            "source": "referral",
            "offer_accepted_at": pd.date_range("2026-07-11", periods=21, freq="D"),
            "hired_at": pd.NaT,
            "days_to_hire": np.arange(10.0, 31.0),
        }
    )
    openings = pd.DataFrame(
        {
            "role_family": "engineering",
            "opened_at": pd.Timestamp("2026-07-01"),
            "filled_at": [pd.Timestamp("2026-07-21")] * 15 + [pd.NaT] * 10,
            "days_open": [20.0] * 15 + [60.0] * 10,
        }
    )

    table = estimated(
        time_to_hire, tmp_path, Policy(), fct_applications=applications,
        fct_openings=openings,
    )  # fmt: skip

    hired = one(table, measure="time_to_hire", window_id="2026Q3", role_family="all",
                source="all")  # fmt: skip
    filled = one(table, measure="time_to_fill", window_id="2026Q3", role_family="all")
    assert (hired["n"], hired["estimate"]) == (21, 20)
    assert (filled["n"], filled["n_open"], filled["estimate"]) == (25, 10, 20)


def test_rescinded_and_pending_offers_stand_apart(tmp_path: Path) -> None:
    status = ["accepted"] * 15 + ["declined"] * 6 + ["expired"] * 4 + ["rescinded"] * 3
    offers = pd.DataFrame(
        {
            "role_family": "engineering",
            "source": "referral",
            "extended_at": pd.Timestamp("2026-08-01"),
            "offer_status": [*status, "pending", "pending"],
            "decline_reason": ["pay" if s == "declined" else None for s in status]
            + [None, None],
            "days_to_resolve": 4.0,
        }
    )

    table = estimated(offer_acceptance, tmp_path, Policy(), fct_offers=offers)

    row = one(table, window_id="2026Q3", role_family="all", source="all")
    assert (row["n"], row["estimate"]) == (25, 0.6)
    assert (row["extended"], row["rescinded"], row["pending"]) == (30, 3, 2)
    assert (row["top_decline_reason"], row["top_decline_reason_n"]) == ("pay", 6)
    assert row["median_days_to_resolve"] == 4


def test_the_reason_of_a_few_people_is_not_told(tmp_path: Path) -> None:
    offers = pd.DataFrame(
        {
            "role_family": "engineering",
            "source": "referral",
            "extended_at": pd.Timestamp("2026-08-01"),
            "offer_status": ["accepted"] * 20 + ["declined"] * 4,
            "decline_reason": [None] * 20 + ["illness"] * 4,
            "days_to_resolve": 4.0,
        }
    )

    table = estimated(offer_acceptance, tmp_path, Policy(), fct_offers=offers)

    assert table["top_decline_reason"].isna().all()


def test_few_answers_have_no_days(tmp_path: Path) -> None:
    offers = pd.DataFrame(
        {
            "role_family": "engineering",
            "source": "referral",
            "extended_at": pd.Timestamp("2026-08-01"),
            "offer_status": ["accepted"] * 19,
            "decline_reason": pd.Series([None] * 19, dtype=object),
            "days_to_resolve": 4.0,
        }
    )

    table = estimated(offer_acceptance, tmp_path, Policy(), fct_offers=offers)

    assert set(table["status"]) == {"insufficient"}
    assert table["median_days_to_resolve"].isna().all()


def waiting(days: float, *, sla: float | None) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(4)
    frame = outcomes([{"outcome": "advanced", "outcome_days": 0.0} for _ in range(200)])
    frame["in_stage_days"] = days + rng.normal(0, 2, 200)
    stages = pd.DataFrame(
        {
            "role_family": ["all", "engineering"],
            "stage": "screen",
            "sla_days": sla,
            "waits_on": "company",
        }
    )
    weeks = pd.DataFrame(
        {
            "role_family": "engineering",
            "stage": "screen",
            "week_start": pd.date_range("2026-07-06", periods=12, freq="7D").date,
            "n_arrived": 10,
            "n_left": 10,
            "wip_days": 140.0,
        }
    )
    visits = pd.DataFrame(
        {
            "application_id": pd.Series(dtype=str),
            "role_family": pd.Series(dtype=str),
            "stage": pd.Series(dtype=str),
            "entered_at": pd.Series(dtype="datetime64[us]"),
            "exited_at": pd.Series(dtype="datetime64[us]"),
        }
    )
    cards = pd.DataFrame(
        {
            "scorecard_id": ["none"], "application_id": ["none"],
            "interviewer_id": ["i1"], "role_family": ["engineering"],
            "round": ["screen"], "minutes": [60.0], "is_shadow": [False],
            "submitted_at": [pd.Timestamp("2026-07-08")],
        }
    ).iloc[:0]  # fmt: skip
    return {
        "fct_stage_outcomes": frame,
        "dim_stages": stages,
        "fct_stage_weeks": weeks,
        "fct_stage_visits": visits,
        "fct_scorecards": cards,
    }


def interviewed(days: float) -> dict[str, pd.DataFrame]:
    """Two cards of 45 minutes for everybody, of two interviewers, ten people a week."""
    tables = waiting(days, sla=None)
    outcomes = tables["fct_stage_outcomes"]
    people = len(outcomes)
    week = np.arange(people) // 10 % 12
    cards = pd.DataFrame(
        {
            "application_id": np.repeat(outcomes["application_id"].to_numpy(), 2),
            "interviewer_id": ["i1", "i2"] * people,
            "role_family": "engineering",
            "round": "phone",
            "minutes": 45.0,
            "is_shadow": False,
            "submitted_at": np.repeat(
                outcomes["first_entered_at"].to_numpy()
                + week.astype("timedelta64[W]"), 2
            ),
        }
    )  # fmt: skip
    cards["scorecard_id"] = np.arange(len(cards)).astype(str)
    return {**tables, "fct_scorecards": cards}


def test_interviewing_asked_for_stands_beside_a_busy_week(tmp_path: Path) -> None:
    tables = interviewed(14.0)

    table = estimated(bottlenecks, tmp_path, Policy(), **tables)

    row = one(table, window_id="2026Q3", role_family="all")
    cards = tables["fct_scorecards"]
    weekly = cards[cards["interviewer_id"] == "i1"].groupby("submitted_at").size()
    # Ten arrive a week and ask for an hour and a half each.
    assert row["interviewer_hours_demand"] == pytest.approx(15)
    assert row["interviewer_hours_capacity"] == pytest.approx(
        2 * 0.75 * weekly.quantile(0.85)
    )
    assert row["interviewer_hours_status"] == "ok"


def test_unknown_minutes_are_no_hours(tmp_path: Path) -> None:
    tables = interviewed(14.0)
    tables["fct_scorecards"]["minutes"] = np.nan

    table = estimated(bottlenecks, tmp_path, Policy(), **tables)

    assert set(table["interviewer_hours_status"]) == {"no minutes"}
    assert table["interviewer_hours_demand"].isna().all()


def test_a_stage_without_interviews_asks_nothing_of_interviewers(
    tmp_path: Path,
) -> None:
    table = estimated(bottlenecks, tmp_path, Policy(), **waiting(14.0, sla=None))

    assert set(table["interviewer_hours_status"]) == {"no interviews"}
    hours = ["interviewer_hours_demand", "interviewer_hours_capacity"]
    assert table[hours].isna().all(axis=None)


def test_days_are_counted_above_the_sla(tmp_path: Path) -> None:
    table = estimated(bottlenecks, tmp_path, Policy(), **waiting(14.0, sla=10.0))

    row = one(table, window_id="2026Q3", role_family="all")
    assert row["estimate"] == pytest.approx(4, abs=0.5)
    assert row["ci_low"] > 0
    assert (row["reference_kind"], row["status"]) == ("sla", "ok")
    # Ten arrive a week and stay 14 days: 20 are there on average (Little's law).
    assert (row["avg_wip"], row["little_w_days"]) == (20, 14)
    assert row["backlog_growth"] == 0


def test_a_certain_delay_has_a_p_of_zero(tmp_path: Path) -> None:
    tables = waiting(14.0, sla=10.0)
    tables["fct_stage_outcomes"]["in_stage_days"] = 14.0

    row = one(
        estimated(bottlenecks, tmp_path, Policy(), **tables),
        window_id="2026Q3",
        role_family="all",
    )

    assert (row["estimate"], row["ci_low"], row["p"]) == (4, 4, 0)


def test_few_applications_say_nothing_of_the_backlog(tmp_path: Path) -> None:
    tables = waiting(14.0, sla=10.0)
    tables["fct_stage_outcomes"] = tables["fct_stage_outcomes"].head(19)

    row = one(
        estimated(bottlenecks, tmp_path, Policy(), **tables),
        window_id="2026Q3",
        role_family="all",
    )

    growth = [name for name in row.index if name.startswith("backlog_growth")]
    assert len(growth) == 5
    assert row[growth].isna().all()
    assert (row["status"], row["avg_wip"]) == ("insufficient", 20)


@pytest.mark.parametrize(("n_before", "late"), [(19, 0.0), (20, 1.0)])
def test_ageing_is_past_the_percentile_of_the_year_before(
    tmp_path: Path, n_before: int, late: float
) -> None:
    """Ten have waited 16 days; 85 % left within 8 days the year before, 17 now."""
    tables = waiting(15.0, sla=None)
    now = tables["fct_stage_outcomes"]
    before = now.head(n_before).assign(
        first_entered_at=now["first_entered_at"] - pd.DateOffset(months=6),
        in_stage_days=8.0,
    )
    tables["fct_stage_outcomes"] = pd.concat([now, before])
    tables["fct_stage_visits"] = pd.DataFrame(
        {
            "application_id": [f"w{place}" for place in range(10)],
            "role_family": "engineering",
            "stage": "screen",
            "entered_at": pd.Timestamp("2026-09-15"),
            "exited_at": pd.Series([pd.NaT] * 10, dtype="datetime64[us]"),
        }
    )

    row = one(
        estimated(bottlenecks, tmp_path, Policy(), **tables),
        window_id="2026Q3",
        role_family="all",
    )

    assert row["p85_days"] > 16
    assert row["ageing_over_p85"] == late


def test_without_an_sla_or_a_year_before_nothing_is_claimed(tmp_path: Path) -> None:
    table = estimated(bottlenecks, tmp_path, Policy(), **waiting(14.0, sla=None))

    row = one(table, window_id="2026Q3", role_family="all")
    assert (row["reference_kind"], row["status"]) == ("none", "insufficient")
    assert row["km_median_days"] == pytest.approx(14, abs=0.5)


# Bickel, Hammel & O'Connell (1975), Science 187, 398-404: applied and admitted by
# department, men then women.
BERKELEY = {
    "A": ((825, 512), (108, 89)), "B": ((560, 353), (25, 17)),
    "C": ((325, 120), (593, 202)), "D": ((417, 138), (375, 131)),
    "E": ((191, 53), (393, 94)), "F": ((373, 22), (341, 24)),
}  # fmt: skip


def berkeley() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "window_id": "all",
            "role_family": "graduate_study",
            "stratum": department,
            "stage": "overall",
            "attribute": "sex",
            "group_value": group,
            "is_disclosed": True,
            "n_decided": applied,
            "n_selected": admitted,
            "n_withdrew": 0,
            "n_open": 0,
            "n_closed_no_decision": 0,
        }
        for department, sexes in BERKELEY.items()
        for group, (applied, admitted) in zip(("male", "female"), sexes, strict=True)
    )


def one_job(*groups: tuple[str, int, int]) -> pd.DataFrame:
    """Name, people decided on and people selected of each group."""
    one = berkeley().iloc[[0] * len(groups)]
    names, entered, selected = zip(*groups, strict=True)
    return one.assign(group_value=names, n_decided=entered, n_selected=selected)


def test_berkeley_is_crude_68_percent_and_adjusted_none_less(tmp_path: Path) -> None:
    table = estimated(
        adverse_impact, tmp_path, Policy(), fct_selection_counts=berkeley()
    )

    row = one(table, role_family="all", group_value="female")
    assert row["estimate"] == pytest.approx(0.6818, abs=5e-5)
    assert row["mh_rr"] == pytest.approx(1.058, abs=5e-4)
    assert row["mh_rr_ci_low"] == pytest.approx(0.970, abs=5e-4)
    assert row["mh_rr_ci_high"] == pytest.approx(1.154, abs=5e-4)
    assert row["bd_p"] == pytest.approx(0.002, abs=5e-4)
    assert row["simpson_flag"]


def test_the_simpson_flag_is_of_the_two_ratios_in_the_row(tmp_path: Path) -> None:
    """A job of women alone moves the crude ratio only, and past one."""
    women = berkeley().iloc[[1]].assign(stratum="G", n_decided=4_000, n_selected=3_000)
    counts = pd.concat([berkeley(), women], ignore_index=True)

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    row = one(table, role_family="all", group_value="male")
    assert row["reference_group"] == "female"
    assert row["estimate"] < 1
    assert row["mh_rr"] == pytest.approx(1 / 1.058, abs=5e-4)
    assert not row["simpson_flag"]


@pytest.mark.parametrize(("women", "is_told"), [(19, False), (20, True)])
def test_ratios_adjusted_for_jobs_need_people_who_share_jobs(
    tmp_path: Path, women: int, is_told: bool
) -> None:
    """Departments A and B of women alone, the others of men alone, and one of both."""
    counts = berkeley()
    own = counts["stratum"].isin(["A", "B"]) == (counts["group_value"] == "female")
    both = counts.iloc[:2].assign(stratum="G", n_decided=[40, women], n_selected=10)

    table = estimated(
        adverse_impact,
        tmp_path,
        Policy(),
        fct_selection_counts=pd.concat([counts[own], both], ignore_index=True),
    )

    row = one(table, role_family="all", is_reference=False)
    adjusted = ["mh_or", "mh_rr", "mh_rr_ci_low", "mh_rr_ci_high", "std_rate"]
    assert row[adjusted].notna().all() == row[adjusted].notna().any() == is_told
    assert np.isfinite(row["estimate"])


def test_a_group_too_small_to_compare_is_no_reference(tmp_path: Path) -> None:
    """Of 2,000 men 80 are chosen, of 1,000 women 30, and of 100 others 8."""
    counts = one_job(("male", 2_000, 80), ("female", 1_000, 30), ("other", 100, 8))

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    women = one(table, role_family="all", group_value="female")
    assert (women["reference_group"], women["estimate"]) == ("male", 0.75)
    assert one(table, role_family="all", group_value="other")["status"] == (
        "insufficient"
    )


def test_what_could_have_been_seen_is_of_the_test_against_all_others(
    tmp_path: Path,
) -> None:
    counts = one_job(("a", 100, 50), ("b", 900, 360), ("c", 200, 70))

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    row = one(table, role_family="all", group_value="c")
    expected = min_detectable_ratio(
        [200], reference_selected=[410], reference_entered=[1_000]
    )
    assert row["min_detectable_ratio"] == expected[0]
    reference = one(table, role_family="all", group_value="a")
    assert np.isnan(reference["min_detectable_ratio"])


def test_unknown_groups_are_counted_and_never_compared(tmp_path: Path) -> None:
    unknown = berkeley().assign(is_disclosed=False, group_value="declined")
    counts = pd.concat([berkeley(), unknown], ignore_index=True)

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    assert set(table["group_value"]) == {"male", "female"}
    assert set(table["n_unknown"]) == {4526}


@pytest.mark.parametrize(
    ("female", "male", "ratio"),
    [(0, 30, 0.0), (30, 0, 0.0), (30, 30, 1.0), (0, 0, np.nan)],
)
def test_a_group_of_whom_nobody_or_everybody_was_chosen_has_a_ratio_only_beside_others(
    tmp_path: Path, female: int, male: int, ratio: float
) -> None:
    counts = berkeley().groupby("group_value", as_index=False).first()
    counts["n_decided"] = 30
    counts["n_selected"] = counts["group_value"].map({"female": female, "male": male})

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    rows = table[table["role_family"] == "all"]
    assert (rows["selection_rate_ci_low"] < rows["selection_rate_ci_high"]).all()
    assert (
        rows[["selection_rate_ci_low", "selection_rate_ci_high"]]
        .stack()
        .between(0, 1)
        .all()
    )
    compared = rows[~rows["is_reference"]].iloc[0]
    assert compared["estimate"] == pytest.approx(ratio, nan_ok=True)
    if np.isfinite(ratio):
        assert compared["ci_low"] <= ratio <= compared["ci_high"]
    else:
        assert set(rows["status"]) <= {"insufficient", "inconclusive"}
        assert rows["estimate"].isna().all()


def test_a_thin_group_has_counts_and_exact_p_only(tmp_path: Path) -> None:
    counts = berkeley()
    counts.loc[counts["group_value"] == "female", ["n_decided", "n_selected"]] = [3, 1]

    table = estimated(adverse_impact, tmp_path, Policy(), fct_selection_counts=counts)

    row = one(table, role_family="all", group_value="female")
    assert (row["n"], row["status"]) == (18, "insufficient")
    assert row["evidence"] == "insufficient"
    assert np.isnan(row["estimate"])
    assert np.isfinite(row["fisher_p"])
    assert np.isnan(row["q"])


def hired(n: int, r: float) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(8)
    score = rng.normal(size=4 * n)
    review = r * score + np.sqrt(1 - r**2) * rng.normal(size=4 * n)
    ids = [f"a{place}" for place in range(4 * n)]
    scores = rating_rows(
        {"candidate_id": name, "interviewer_id": "i1", "rating_value": float(value)}
        for name, value in zip(ids, score, strict=True)
    )
    # One in four is hired, whatever the score: no restriction.
    chosen = slice(0, n)
    hires = pd.DataFrame(
        {
            "application_id": ids[chosen],
            "employee_id": ids[chosen],
            "hired_on": dt.date(2026, 8, 20),
            "is_left": False,
        }
    )
    reviews = pd.DataFrame(
        {
            "review_id": ids[chosen],
            "employee_id": ids[chosen],
            "kind": "manager",
            "review_score": review[chosen],
            "months_since_hire": 6.0,
            "reviewed_on": dt.date(2027, 2, 20),
        }
    )
    return {
        "fct_ratings": scores, "fct_hires": hires, "fct_performance_reviews": reviews,
    }  # fmt: skip


def test_validity_is_found_with_its_interval(tmp_path: Path) -> None:
    table = estimated(predictive_validity, tmp_path, Policy(), **hired(300, 0.5))

    row = one(table, window_id="all", role_family="all", predictor_kind="round",
              outcome="first_review")  # fmt: skip
    assert row["ci_low"] < 0.5 < row["ci_high"]
    assert row["sd_ratio_u"] == pytest.approx(1, abs=0.1)
    assert (row["n"], row["status"], row["horizon_months"]) == (300, "ok", 6)
    assert np.isnan(row["r_operational"])


def test_an_observed_validity_never_stands_without_the_corrected_one(
    tmp_path: Path,
) -> None:
    table = estimated(predictive_validity, tmp_path, Policy(), **hired(300, 0.5))

    shown = table[table["estimate"].notna()]
    assert len(shown) > 2
    assert shown[["r_corrected", "sd_ratio_u", "selection_kind"]].notna().all(axis=None)
    told = reader_texts()["rpt_predictive_validity"].parts
    assert "corrected for range restriction stands beside" in told["number"]
    assert "falsely low or negative validity among hires" in told["when_not"]


def chosen_by_rounds(rng: np.random.Generator, *, n: int) -> dict[str, pd.DataFrame]:
    """A loop of three rounds, hires chosen by all; only the first two matter."""
    common = np.sqrt(0.35) * rng.normal(size=(n, 1))
    score = common + np.sqrt(0.65) * rng.normal(size=(n, 3))
    review = score @ [0.5, 0.3, 0.0] + np.sqrt(0.5) * rng.normal(size=n)
    on = score[:, 0] > 0.2
    is_hired = on & (score.sum(axis=1) > np.quantile(score[on].sum(axis=1), 0.6))
    ids = np.array([f"a{place:04}" for place in range(n)])
    rows = [
        {"candidate_id": ids[place], "interviewer_id": "i1", "round": step,
         "competency": step, "rating_value": float(score[place, column])}
        for column, step in enumerate(("phone", "design", "lunch"))
        for place in np.flatnonzero(on | (column == 0))
    ]  # fmt: skip
    hires = pd.DataFrame(
        {"application_id": ids[is_hired], "employee_id": ids[is_hired],
         "hired_on": dt.date(2026, 8, 20), "is_left": False}
    )  # fmt: skip
    reviews = pd.DataFrame(
        {"review_id": ids[is_hired], "employee_id": ids[is_hired], "kind": "manager",
         "review_score": review[is_hired], "months_since_hire": 6.0,
         "reviewed_on": dt.date(2027, 2, 20)}
    )  # fmt: skip
    return {
        "fct_ratings": rating_rows(rows), "fct_hires": hires,
        "fct_performance_reviews": reviews,
    }  # fmt: skip


def rounds_of(table: pd.DataFrame) -> pd.DataFrame:
    chosen = (table["window_id"] == "all") & (table["role_family"] == "all")
    chosen &= (table["predictor_kind"] == "round") & (table["outcome"] == "mean_review")
    return table[chosen].set_index("predictor")


def test_what_a_round_adds_is_told_and_a_useless_one_is_outdone(tmp_path: Path) -> None:
    tables = chosen_by_rounds(np.random.default_rng(5), n=2000)

    rounds = rounds_of(estimated(predictive_validity, tmp_path, Policy(), **tables))

    assert rounds.loc["phone", "delta_r2_q"] < 0.001
    assert rounds.loc["phone", "unique_r2_ci_low"] > 0
    assert rounds.loc["lunch", "unique_r2_ci_low"] == 0
    assert rounds.loc["lunch", "dominated_by"] == "phone"
    assert rounds["dominated_by"].isna()["phone"]
    assert (rounds["n_complete"] == rounds["n"]).all()


def test_increments_equal_a_regression_with_and_without_the_round(
    tmp_path: Path,
) -> None:
    tables = chosen_by_rounds(np.random.default_rng(5), n=600)
    wide = tables["fct_ratings"].pivot(
        index="application_id", columns="round", values="rating_value"
    )
    review = tables["fct_performance_reviews"].set_index("employee_id")["review_score"]
    full = sm.OLS(review, sm.add_constant(wide.loc[review.index]))
    fewer = sm.OLS(review, sm.add_constant(wide.loc[review.index, ["phone", "lunch"]]))
    _, p, _ = full.fit().compare_f_test(fewer.fit())

    rounds = rounds_of(estimated(predictive_validity, tmp_path, Policy(), **tables))

    assert rounds.loc["design", "delta_r2"] == pytest.approx(
        full.fit().rsquared - fewer.fit().rsquared
    )
    assert rounds.loc["design", "delta_r2_p"] == pytest.approx(p)


def test_rounds_are_corrected_for_selection_on_all_of_them(tmp_path: Path) -> None:
    tables = chosen_by_rounds(np.random.default_rng(5), n=6000)

    rounds = rounds_of(estimated(predictive_validity, tmp_path, Policy(), **tables))

    # Of all applicants: covariances (.605, .475, .28) over the outcome's spread.
    truth = pd.Series({"phone": 0.622, "design": 0.489, "lunch": 0.288})
    assert set(rounds["selection_kind"]) == {"joint"}
    assert rounds.loc["lunch", "estimate"] < 0.05
    assert (rounds["r_corrected"] - truth).abs().max() < 0.07
    assert (rounds["r_corrected_ci_low"] < truth[rounds.index]).all()
    assert (rounds["r_corrected_ci_high"] > truth[rounds.index]).all()


def test_too_few_complete_hires_add_nothing_and_are_corrected_singly(
    tmp_path: Path,
) -> None:
    tables = chosen_by_rounds(np.random.default_rng(5), n=300)
    policy = Policy(show_minimum_outcomes=len(tables["fct_hires"]))
    lunch = tables["fct_ratings"]["round"] == "lunch"
    hired = tables["fct_ratings"]["application_id"].isin(
        tables["fct_hires"]["application_id"].iloc[:3]
    )
    tables["fct_ratings"] = tables["fct_ratings"][~(lunch & hired)]

    rounds = rounds_of(estimated(predictive_validity, tmp_path, policy, **tables))

    assert (rounds["n_complete"] == len(tables["fct_hires"]) - 3).all()
    assert rounds["unique_r2"].isna().all()
    assert set(rounds["selection_kind"]) == {"direct"}


def test_hires_count_once_in_the_spread_of_applicants(tmp_path: Path) -> None:
    tables = hired(100, 0.5)
    ratings, hires = tables["fct_ratings"], tables["fct_hires"]
    own = ratings["application_id"].isin(hires["application_id"])

    table = estimated(predictive_validity, tmp_path, Policy(), **tables)

    row = one(table, window_id="all", role_family="all", predictor_kind="round",
              outcome="first_review")  # fmt: skip
    assert row["n_applicants_scored"] == len(ratings)
    assert row["sd_ratio_u"] == pytest.approx(
        ratings["rating_value"].std() / ratings.loc[own, "rating_value"].std()
    )


def test_few_reviewed_hires_show_no_validity(tmp_path: Path) -> None:
    table = estimated(predictive_validity, tmp_path, Policy(), **hired(20, 0.5))

    assert set(table["status"]) == {"insufficient"}
    assert table["estimate"].isna().all()


class AnyOrder:
    """A warehouse that keeps no order of rows but the one asked for."""

    def __init__(self, warehouse: DuckDBWarehouse, rng: np.random.Generator) -> None:
        self._warehouse, self._rng = warehouse, rng

    def read_arrow(self, sql: str, parameters: Any = None) -> pa.Table:
        table = self._warehouse.read_arrow(sql, parameters)
        if re.search(r"order by [^()]*$", sql):
            return table
        return table.take(self._rng.permutation(table.num_rows))


@pytest.mark.parametrize("name", [n for n, e in ESTIMATES.items() if e.is_sliced])
def test_equal_marts_in_another_order_compute_nothing_again(
    name: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(6)
    tables = every_mart() | loop(rng, n=40)
    for column in NO_OUTCOMES.columns.difference(tables["fct_stage_outcomes"].columns):
        tables["fct_stage_outcomes"][column] = NO_OUTCOMES[column]
    # Rows enough for sums of fractions to depend on their order.
    tables["fct_scorecards"]["minutes"] = rng.uniform(20, 90, 240)

    def computed(folder: str) -> dict[str, int]:
        (tmp_path / folder).mkdir()
        shuffled = {key: frame.sample(frac=1, random_state=rng)
                    for key, frame in tables.items()}  # fmt: skip
        with marts(tmp_path / folder, **shuffled) as warehouse:
            ESTIMATES[name].function(
                AnyOrder(warehouse, rng),
                SMALL,
                rng=np.random.default_rng(1),
                slices=Slices(tmp_path / "kept"),
            )
        kept = (tmp_path / "kept").iterdir()
        return {path.name: path.stat().st_mtime_ns for path in kept}

    first, again = computed("first"), computed("again")

    assert first
    assert again == first


def every_mart() -> dict[str, pd.DataFrame]:
    """Every mart with its columns and some rows."""
    return {
        "fct_ratings": shrout_fleiss(), "fct_selection_counts": berkeley(),
        **waiting(1.0, sla=1.0), **hired(5, 0.1),
        "fct_applications": pd.DataFrame(
            {"role_family": ["x"], "source": ["x"],
             "offer_accepted_at": [pd.Timestamp("2026-07-01")],
             "hired_at": [pd.Timestamp("2026-07-01")], "days_to_hire": [0.0]}
        ),
        "fct_scorecards": loop(np.random.default_rng(1), n=4)["fct_scorecards"],
        "fct_score_counts": score_counts(np.random.default_rng(1), gap=0.0, dif=0.0),
        "fct_openings": pd.DataFrame(
            {"role_family": ["x"], "opened_at": [pd.Timestamp("2026-07-01")],
             "filled_at": [pd.Timestamp("2026-07-01")], "days_open": [1.0]}
        ),
        "fct_offers": pd.DataFrame(
            {"role_family": ["x"], "source": ["x"],
             "extended_at": [pd.Timestamp("2026-07-01")], "offer_status": ["x"],
             "decline_reason": ["x"], "days_to_resolve": [1.0]}
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(ESTIMATES))
def test_nothing_delivered_gives_an_empty_table(name: str, tmp_path: Path) -> None:
    empty = {mart: frame.iloc[:0] for mart, frame in every_mart().items()}

    table = estimated(ESTIMATES[name].function, tmp_path, Policy(), **empty)

    assert table.empty

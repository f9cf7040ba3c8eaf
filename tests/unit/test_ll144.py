"""What a bias audit asks for: three tables, each with a reference of its own."""

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd
import pytest

from orchestration.publishing.generation import GenerationError
from orchestration.publishing.ll144 import write_ll144

# Step, sex and race or ethnicity together, decided on, selected.
SELECTED = [
    ("overall", "male × white", 100, 50), ("overall", "male × asian", 100, 40),
    ("overall", "female × white", 50, 30), ("overall", "female × asian", 50, 10),
    ("overall", "female × other", 3, 3), ("overall", "declined × white", 20, 10),
    ("overall", "female × unanswered", 7, 0),
    ("overall", "not asked × not asked", 5, 5),
    ("onsite", "male × white", 10, 5), ("onsite", "female × white", 10, 4),
]  # fmt: skip
# Rubric version, group, score, people.
SCORED = [
    ("1", "male × white", 5.0, 3), ("1", "male × white", 4.0, 3),
    ("1", "male × white", 3.0, 4), ("1", "female × white", 5.0, 1),
    ("1", "female × white", 4.0, 1), ("1", "female × white", 2.0, 8),
    ("1", "not asked × not asked", 5.0, 6), ("2", "male × white", 9.0, 2),
]  # fmt: skip


@pytest.fixture
def generation(tmp_path: Path) -> Any:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as warehouse:
        warehouse.execute("create schema marts")
        for name, frame in tables().items():
            warehouse.register("frame", frame)
            warehouse.execute(f"create table marts.{name} as select * from frame")
    return SimpleNamespace(root=tmp_path)


def tables() -> dict[str, pd.DataFrame]:
    own = {"window_id": "year-to-2026Q3", "role_family": "sales",
           "attribute": "intersection"}  # fmt: skip
    windows = [
        ("year-to-2025Q3", "four quarters to 2025 Q3", "year", "2024-10-01", True),
        ("year-to-2026Q3", "four quarters to 2026 Q3", "year", "2025-10-01", True),
        ("year-to-2026Q4", "four quarters to 2026 Q4", "year", "2026-01-01", False),
    ]
    names = ["window_id", "window_label", "window_kind", "window_start", "is_closed"]
    dim_windows = pd.DataFrame(windows, columns=names)
    dim_windows["window_start"] = pd.to_datetime(dim_windows["window_start"])
    selected = pd.DataFrame(
        SELECTED, columns=["stage", "group_value", "n_decided", "n_selected"]
    )
    scored = pd.DataFrame(
        SCORED, columns=["rubric_version", "group_value", "score", "n"]
    )
    return {
        "dim_windows": dim_windows.assign(
            window_end=dim_windows["window_start"] + pd.DateOffset(years=1)
        ),
        "dim_stages": pd.DataFrame(
            {"stage": ["onsite"], "role_family": ["sales"], "stage_order": [4]}
        ),
        "fct_selection_counts": selected.assign(**own),
        "fct_score_counts": scored.assign(
            **own, round="loop", competency="all", rubric_id="r", scale_id="1-10/10"
        ),
    }


def sheets(generation: Any, **more: Any) -> dict[str, pd.DataFrame]:
    folder = generation.root / "ll144"
    written = write_ll144(generation, folder=folder, form="csv", **more)
    return {path.stem.removeprefix("ll144_"): pd.read_csv(path) for path in written}


def test_each_table_has_everybody_whose_categories_it_needs_are_known(generation):
    found = sheets(generation)

    overall = {name: frame[frame["step"] == "overall"] for name, frame in found.items()
               if name != "about"}  # fmt: skip
    assert overall["sex"]["n_applicants"].to_list() == [110, 200]
    assert overall["race_ethnicity"]["n_applicants"].to_list() == [150, 3, 170]
    assert overall["intersection"]["n_applicants"].sum() == 303
    unknown = {name: set(frame["n_unknown"]) for name, frame in overall.items()}
    assert unknown == {"sex": {25}, "race_ethnicity": {12}, "intersection": {32}}


def test_each_table_has_a_reference_of_its_own(generation):
    found = sheets(generation)

    for name, best in (("sex", "male"), ("race_ethnicity", "white")):
        rows = found[name][found[name]["step"] == "overall"]
        assert rows.loc[rows["is_reference"], name].to_list() == [best]
    both = found["intersection"][found["intersection"]["step"] == "overall"]
    (reference,) = both[both["is_reference"]].to_dict("records")
    assert (reference["sex"], reference["race_ethnicity"]) == ("female", "white")
    row = both[(both["sex"] == "female") & (both["race_ethnicity"] == "asian")].iloc[0]
    assert (row["rate"], row["impact_ratio"]) == (0.2, pytest.approx(0.3333))


def test_a_category_under_two_percent_is_listed_with_a_reason_and_not_compared(
    generation,
):
    found = sheets(generation)["race_ethnicity"]

    other = found[(found["step"] == "overall") & (found["race_ethnicity"] == "other")]
    assert other["n_applicants"].item() == 3
    assert other["rate"].item() == 1.0
    assert other["impact_ratio"].isna().item()
    assert "under 2 %" in other["not_compared"].item()


def test_the_scoring_rate_is_above_the_median_of_everybody_by_rubric_version(
    generation,
):
    found = sheets(generation)["sex"]

    scored = found[found["rate_kind"] == "scoring"]
    first = scored[scored["rubric_version"] == 1]
    # Of all 26 scores; of the 20 whose group is known it would be 3.
    assert first["median"].to_list() == [4.0, 4.0]
    assert first["n_selected_or_above_median"].to_list() == [1, 3]
    assert first["rate"].to_list() == [0.1, 0.3]
    assert first["impact_ratio"].to_list() == [pytest.approx(0.3333), 1.0]
    assert len(scored[scored["rubric_version"] == 2]) == 1


def test_stages_follow_the_funnel_and_the_newest_closed_year_is_the_default(generation):
    found = sheets(generation)

    steps = found["sex"]["step"].drop_duplicates().to_list()
    assert steps == ["overall", "onsite", "loop"]
    about = dict(found["about"].to_numpy()[:, :2])
    assert about["window"] == "four quarters to 2026 Q3 (year-to-2026Q3)"


def test_nobody_but_the_owner_may_read_the_files(generation):
    folder = generation.root / "ll144"

    written = write_ll144(generation, folder=folder, form="xlsx")

    assert [path.name for path in written] == ["ll144.xlsx"]
    assert stat.S_IMODE(written[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(pd.read_excel(written[0], sheet_name=None)) == {
        "sex", "race_ethnicity", "intersection", "about",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"window": "2026"}, "known: year-to-2026Q3, year-to-2025Q3"),
        ({"window": "year-to-2025Q3"}, "nobody was asked both `sex` and"),
        ({"role_family": "legal"}, "nobody of legal was asked"),
    ],
)
def test_what_cannot_be_written_is_said_with_what_can(generation, more, told):
    with pytest.raises(GenerationError, match=told):
        sheets(generation, **more)

"""Rubrics: a version is one content for ever, and only its own scale reads a rating."""

import pytest
import yaml

from orchestration.hiring_design.rubrics import load_rubrics, rating_scales
from orchestration.settings import Home, SettingsError, SourceConfig, Sources

LEVELS = [{"value": 1, "spellings": ["no"]}, {"value": 2, "spellings": ["yes"]}]


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def write(home, name, **about):
    folder = home.design / "rubrics"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"id": "onsite", "version": "1", "scale": {"levels": LEVELS}, **about}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_one_version_with_two_contents_is_refused(home):
    write(home, "a", valid_from="2026-01-01")
    write(home, "b", valid_from="2026-02-01")

    with pytest.raises(
        SettingsError, match=r"onsite version 1 .* give it a new version"
    ):
        load_rubrics(home)


def test_versions_may_overlap_because_scorecards_name_theirs(home):
    write(home, "a", valid_from="2026-01-01")
    write(home, "b", version="2", valid_from="2026-01-01")

    scales = rating_scales(home, Sources()).to_pylist()

    assert {(row["rubric_version"], row["spelling"]) for row in scales} >= {
        ("1", "yes"),
        ("2", "yes"),
    }


def test_a_spelling_of_two_levels_is_refused(home):
    same = [{"value": 1, "spellings": ["yes"]}, {"value": 2, "spellings": ["Yes"]}]
    write(home, "a", scale={"levels": same})

    with pytest.raises(SettingsError, match="stands for two levels"):
        load_rubrics(home)


def test_scales_of_rubrics_and_of_sources_stay_apart(home):
    write(home, "a")
    sources = Sources(sources={"ats": SourceConfig(scale={"yes": 5, "no": 1})})

    scales = rating_scales(home, sources).to_pylist()

    yes = {
        (row["rubric_id"], row["_source"]): row["rating_value"]
        for row in scales
        if row["spelling"] == "yes"
    }
    assert yes == {("onsite", None): 2.0, (None, "ats"): 5.0}

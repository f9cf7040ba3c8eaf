"""Simulated companies are repeatable, and every defect is noticed where it says."""

import ast
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from expectations.measures import measure
from orchestration.landing import ingest
from orchestration.landing.ingest import MESSAGES
from orchestration.settings import Home, SettingsError, load_settings
from orchestration.simulation import (
    load_preset,
    simulate,
    simulate_home,
    write_inbox,
)
from orchestration.simulation.defects import DEFECTS, defect
from orchestration.warehouse import DuckDBWarehouse

SUITES = Path(__file__).parents[2] / "expectations" / "suites.py"


def company(preset, seed=1):
    return simulate(np.random.default_rng(seed), load_preset(preset))


@pytest.mark.parametrize("preset", ["tiny", "tiny_null", "dev"])
def test_the_same_seed_gives_the_same_company(preset):
    first, second = company(preset), company(preset)

    assert first.keys() == second.keys() == {"ats", "hris"}
    for source, tables in first.items():
        for entity, table in tables.items():
            assert table.equals(second[source][entity]), entity


def test_another_seed_gives_another_company():
    first, second = company("tiny"), company("tiny", seed=2)

    assert not first["ats"]["applications"].equals(second["ats"]["applications"])


def test_a_null_twin_has_nothing_planted_and_the_same_size():
    planted, null = load_preset("dev"), load_preset("dev_null")

    assert planted.truths
    assert null.is_null
    assert not null.truths
    assert null.company["applications"] == planted.company["applications"]
    assert null.company["severity_sd"] < planted.company["severity_sd"]


def test_no_interviewer_of_a_null_twin_is_beyond_the_limit():
    from orchestration.simulation import company as module

    preset = load_preset("dev_null")
    made = module._Simulation(np.random.default_rng(1), preset)

    severity = made._severities()

    limit = preset.company["severity_limit"]
    assert np.ptp(severity) <= 2 * limit + 1e-9
    assert np.array_equal(
        made._slowness("onsite", np.arange(5)), np.ones(5, dtype=float)
    )


def drifted(made, interviewer):
    """How much an interviewer's severity changes from the first day to the last."""
    made.severity = made._severities()
    first, last = made._severity_at(
        np.array([interviewer] * 2), np.array([made.start, made.end])
    )
    return last - first


def test_two_raters_of_a_healthy_round_agree_as_much_as_is_stated():
    ats = company("dev_null")["ats"]
    cards = ats["scorecards"].select(["scorecard_id", "application_id", "round"])
    rated = ats["ratings"].join(cards, "scorecard_id").to_pandas()
    rated = rated[rated["round"] == "coding_screen"].sort_values("scorecard_id")
    rated["rating"] = rated["rating"].astype(float)
    by_candidate = rated.groupby(["application_id", "competency"])["rating"]
    pairs = by_candidate.agg(["first", "last", "size"]).query("size == 2")

    reliability = np.corrcoef(pairs["first"], pairs["last"])[0, 1]

    assert reliability == pytest.approx(0.44, abs=0.03)
    assert rated["rating"].std() == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize(
    ("truth", "measured"),
    [
        ("severe_interviewer", lambda made: made._severities()[7]),
        (
            "slow_stage",
            lambda made: made._slowness("onsite", np.array([made.end - 1]))[0],
        ),
        (
            "ceiling_level",
            lambda made: made._shape("llm_knowledge", "prompting")["mean"],
        ),
        (
            "vague_competency",
            lambda made: made._shape("evaluation", "human_judgement")["reliability"],
        ),
        (
            "few_raters",
            lambda made: made._shape("coding_screen", "coding")["reliability"],
        ),
        ("drifting_interviewer", lambda made: drifted(made, 11)),
    ],
)
def test_a_planted_truth_is_there_and_gone_without_it(truth, measured):
    from orchestration.simulation import company as module

    preset = load_preset("dev")
    truths = {name: about for name, about in preset.truths.items() if name != truth}
    without = dataclasses.replace(preset, truths=truths)

    there, gone = (
        measured(module._Simulation(np.random.default_rng(1), p))
        for p in (preset, without)
    )

    assert abs(there - gone) > 0.1


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(SettingsError, match=r"'huge'.*tiny, tiny_null, dev"):
        load_preset("huge")


def test_simulating_twice_keeps_the_inbox_and_never_replaces_real_files(tmp_path):
    home, other = Home(tmp_path / "home"), Home(tmp_path / "other")
    (other.inbox / "csv").mkdir(parents=True)
    (other.inbox / "csv" / "applications.csv").write_text("mine")

    assert simulate_home(home, "tiny")
    assert simulate_home(home, "tiny") is None
    assert simulate_home(home, "tiny", seed=4)
    with pytest.raises(SettingsError, match="not simulated"):
        simulate_home(other, "tiny")


# -- landing ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A home with a small company that has been ingested, and what it came to."""
    home = Home(tmp_path_factory.mktemp("clean"))
    simulate_home(home, "tiny")
    return home, taken(home)


@pytest.fixture
def home(clean, tmp_path):
    """A copy of the home; its files are in the cache already."""
    shutil.copytree(clean[0].root, tmp_path / "home")
    return Home(tmp_path / "home")


def taken(home):
    sources = load_settings(home.root).sources
    return ingest(home, sources, progress=lambda _: None)


def contents(inbox):
    return {
        str(path.relative_to(inbox)): path.read_bytes()
        for path in sorted(inbox.rglob("*"))
        if path.is_file()
    }


def test_a_simulated_company_lands_without_a_loss(clean):
    _, found = clean

    assert not found.problems
    assert not found.warnings
    assert all(file.rows_in == file.accepted for file in found.files)


def test_csv_and_parquet_of_a_company_are_the_same_raw_rows(home, tmp_path):
    other = Home(tmp_path / "csv")
    shutil.copytree(home.restricted, other.restricted)
    shutil.copy(home.sources_file, other.root)
    preset = load_preset("tiny")
    made = simulate(np.random.default_rng(preset.default_seed), preset)
    write_inbox(made, other.inbox, form="csv")

    ours, theirs = taken(home), taken(other)

    assert not theirs.problems
    for entity in ours.paths:
        first, second = (
            pq.read_table([str(p) for p in found.paths[entity]], partitioning=None)
            for found in (ours, theirs)
        )
        kept = [n for n in first.column_names if n not in ("_file", "_line")]
        assert first.select(kept).equals(second.select(kept)), entity


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_the_inbox_and_is_repeatable(clean, tmp_path, name):
    before = contents(clean[0].inbox)
    first, second = tmp_path / "first" / "inbox", tmp_path / "second" / "inbox"
    for inbox in (first, second):
        shutil.copytree(clean[0].inbox, inbox)
        DEFECTS[name].apply(inbox, np.random.default_rng(1))

    links = any(path.is_symlink() for path in first.rglob("*"))
    assert links or contents(first) != before
    assert contents(first) == contents(second)


@pytest.mark.parametrize(
    "name", [d.name for d in DEFECTS.values() if d.gate == "landing"]
)
def test_landing_refuses_the_defect(home, name):
    DEFECTS[name].apply(home.inbox, np.random.default_rng(1))

    found = taken(home)

    assert [problem.code for problem in found.problems] == [DEFECTS[name].notice]


@pytest.mark.parametrize(
    "name", [d.name for d in DEFECTS.values() if d.gate == "quarantine"]
)
def test_rows_of_the_defect_are_set_aside_where_it_says(home, name):
    about = DEFECTS[name]
    about.apply(home.inbox, np.random.default_rng(1))

    found = taken(home)

    codes = {code for _, _, code in found.quarantined}
    repeated = sum(file.duplicates for file in found.files)
    assert not found.problems
    assert codes == ({about.notice} if about.notice in MESSAGES else set())
    assert bool(repeated) == (about.notice == "duplicates")


@pytest.mark.parametrize("name", [d.name for d in DEFECTS.values() if d.gate == "raw"])
def test_the_measure_of_the_raw_gate_notices_the_defect(clean, home, name):
    about = DEFECTS[name]
    healthy = measured(clean[1])
    about.apply(home.inbox, np.random.default_rng(1))

    found = taken(home)

    before = {f"{table}.n_rows": m["n_rows"] for table, m in healthy.items()}
    broken = measured(found, before)
    rise = {
        table: (broken[table].get(about.notice) or 0)
        - (healthy[table].get(about.notice) or 0)
        for table in healthy
    }
    assert not found.problems
    assert sum(by > 0.15 for by in rise.values()) == 1


def measured(found, baseline=None):
    """The measures of the raw tables, as the gate takes them."""
    delivered = {file.entity for file in found.files}
    folder = found.home.root
    pq.write_table(found.files_table(), folder / "files.parquet")
    parquet = {f"raw.{e}": [str(p) for p in found.paths[e]] for e in delivered}
    parquet["landing.files"] = [str(folder / "files.parquet")]
    with DuckDBWarehouse(parquet=parquet) as warehouse:
        return {
            f"raw.{entity}": measure("raw", f"raw.{entity}", warehouse, baseline)
            for entity in sorted(delivered)
        }


# -- coverage -----------------------------------------------------------------------

# What data that has landed cannot trigger, and why.
UNREACHABLE = {
    "n_rows": "landing refuses files without rows",
    "missing_candidate_rate": "landing sets such rows aside",
    "n_negative": "such visits are set aside row by row",
    "missing_interviewer_rate": "landing sets such rows aside",
    "n_off_scale": "such ratings are set aside row by row",
    "n_resolved_before": "such offers are set aside row by row",
    "n_impossible": "counts are made here, never delivered",
    "n_before_hire": "such reviews are set aside row by row",
    "n_unbalanced": "counts are made here, never delivered",
}


def _measures_of(prefixes):
    """The measures that the suites named so judge, from their source."""
    found = set()
    for function in ast.parse(SUITES.read_text()).body:
        if isinstance(function, ast.FunctionDef) and function.name.startswith(prefixes):
            found |= {
                call.args[0].value
                for call in ast.walk(function)
                if isinstance(call, ast.Call)
                and getattr(call.func, "id", "") in ("_between", "_none")
            }
    return found


def test_every_expectation_that_data_can_break_has_its_defect():
    noticed = {d.notice for d in DEFECTS.values()}

    judged = _measures_of(("raw_", "marts_", "int_", "_delivered"))

    assert len(judged) > 15
    assert judged - noticed == set(UNREACHABLE)


def test_every_defect_says_what_it_is():
    for name, about in DEFECTS.items():
        assert about.name == name
        assert about.description.endswith(".")
        assert about.notice
        assert defect(name) is about


def test_an_unknown_defect_names_those_there_are():
    with pytest.raises(SettingsError, match=r"'gremlin'.*ragged_row"):
        defect("gremlin")


def test_a_defect_without_its_file_says_so(tmp_path):
    with pytest.raises(SettingsError, match="no file of ratings"):
        DEFECTS["ragged_row"].apply(tmp_path, np.random.default_rng(1))


def test_a_defect_can_be_put_into_csv(tmp_path):
    preset = load_preset("tiny")
    made = simulate(np.random.default_rng(1), preset)
    write_inbox(made, tmp_path, form="csv")
    before = pacsv.read_csv(tmp_path / "ats" / "ratings.csv").num_rows

    DEFECTS["truncated_ratings"].apply(tmp_path, np.random.default_rng(1))

    assert pacsv.read_csv(tmp_path / "ats" / "ratings.csv").num_rows == before // 2

"""A gate that fails stops the run: nothing after it is written, readers see nothing."""

import functools
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from expectations.runner import run_gate
from orchestration.estimates import ESTIMATES
from orchestration.landing import ingest
from orchestration.publishing.generation import (
    GATES,
    Building,
    GenerationError,
    Plan,
    current_generation,
    plan_generation,
    start_building,
)
from orchestration.settings import Policy, load_settings
from orchestration.simulation.defects import DEFECTS, defect
from orchestration.warehouse import DuckDBWarehouse

THRESHOLDS = Policy().thresholds()
# Warehouse schemas that a gate keeps from being written.
AFTER = {
    "raw": {"staging", "intermediate", "marts", "reports", "recommendations"},
    "marts": {"reports", "recommendations"},
    "reports": {"recommendations"},
    "recommendations": set(),
}


def _break(home, name):
    defect(name).apply(home.inbox, np.random.default_rng(1))


def _set_column(table, name, values):
    place = table.column_names.index(name)
    return table.set_column(place, name, values.cast(table.schema.field(name).type))


def _reverse_intervals(monkeypatch):
    """Offer acceptance with its bounds in the wrong order."""
    estimate = ESTIMATES["offer_acceptance"]
    function = estimate.function

    @functools.wraps(function)
    def reversed_interval(*arguments, **named):
        table = function(*arguments, **named)
        low, high = table["ci_low"], table["ci_high"]
        return _set_column(_set_column(table, "ci_low", high), "ci_high", low)

    # Assets hold the estimate itself, which is frozen.
    monkeypatch.setitem(estimate.__dict__, "function", reversed_interval)


def _forget_wording(monkeypatch):
    """Recommendations that do not say what they propose."""
    import orchestration.defs.recommendations as module

    evaluate = module.evaluate

    def unworded(*arguments, **named):
        table = evaluate(*arguments, **named)
        return _set_column(table, "action_text", pa.array([""] * table.num_rows))

    monkeypatch.setattr(module, "evaluate", unworded)


def _repeat_ids(monkeypatch):
    """Recommendations that all have one id."""
    import orchestration.defs.recommendations as module

    evaluate = module.evaluate

    def repeated(*arguments, **named):
        table = evaluate(*arguments, **named)
        ids = pa.array(["rec_1"] * table.num_rows)
        return _set_column(table, "recommendation_id", ids)

    monkeypatch.setattr(module, "evaluate", repeated)


def _left(home):
    """What the stopped run left: stored gates, warehouse schemas, files."""
    (root,) = home.generations.glob(".building-*")
    gates = {path.stem: json.loads(path.read_text()) for path in root.glob("gates/*")}
    schemas = set()
    if (root / "warehouse.duckdb").exists():
        with DuckDBWarehouse(root / "warehouse.duckdb") as warehouse:
            found = warehouse.read_arrow(
                "select distinct schema_name from duckdb_tables()"
            )
        schemas = set(found["schema_name"].to_pylist())
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return root, gates, schemas, files


@pytest.mark.parametrize("gate", GATES)
def test_a_failed_gate_stops_the_run_before_anything_after_it(
    copy, calibrant, tiny, monkeypatch, gate
):
    if gate == "raw":
        _break(copy, "mass_bad_timestamps")
    elif gate == "marts":
        _break(copy, "mass_duplicate_keys")
    elif gate == "reports":
        _reverse_intervals(monkeypatch)
    else:
        _forget_wording(monkeypatch)

    told = calibrant("run", "--no-sites", "--rebuild", home=copy)

    _, gates, schemas, files = _left(copy)
    passed = GATES[: GATES.index(gate)]
    assert told.code == 3
    assert f"generation {tiny.generation.id} stays current" in told.text
    assert "Traceback" not in told.text
    assert {name: result["success"] for name, result in gates.items()} == {
        **dict.fromkeys(passed, True),
        gate: False,
    }
    assert not schemas & AFTER[gate]
    assert not [name for name in files if name.startswith(("published", "sites"))]
    if gate in ("raw", "marts"):
        assert not [name for name in files if name.startswith("statistics")]
    if gate == "reports":
        assert "statistics/recommendations.parquet" not in files
    assert copy.current.resolve().name == tiny.generation.root.name
    # The canaries: what made the gate fail is in no result and in no message.
    stored = json.dumps(gates) + told.text
    assert "03/04/2026" not in stored
    assert "another channel" not in stored


def test_a_gate_that_crashes_says_so(copy, calibrant, monkeypatch):
    import expectations.runner

    def crash(*_, **__):
        raise ValueError("the measures cannot be taken")

    monkeypatch.setattr(expectations.runner, "run_gate", crash)

    told = calibrant("run", "--no-sites", "--rebuild", home=copy)

    assert told.code == 1
    assert "gate_raw: ValueError: the measures cannot be taken" in told.text


def test_the_fault_of_a_stopped_run_is_said_in_words(copy, calibrant):
    _break(copy, "mass_bad_timestamps")

    told = calibrant("run", "--no-sites", home=copy)

    assert "raw.applications" in told.text
    assert "The share of raw.applications refused at landing" in told.text
    assert "allowed" in told.text


@pytest.fixture(scope="module")
def baseline(tiny):
    stored = json.loads((tiny.generation.root / "gates" / "raw.json").read_text())
    return stored["measures"]


def _judged_raw(home, baseline):
    """The raw gate over the inbox of a home, without any run."""
    settings = load_settings(home.root)
    taken = ingest(home, settings.sources, progress=lambda _: None)
    assert taken.problems == ()
    building = start_building(settings, "raw", plan_generation(settings, taken), taken)
    tables = {f"raw.{name}": files for name, files in building.plan.paths.items()}
    tables["landing.files"] = [str(building.inputs / "files.parquet")]
    with DuckDBWarehouse(parquet=tables) as warehouse:
        return run_gate("raw", warehouse, thresholds=THRESHOLDS, baseline=baseline)


def _noticed(result, severity="critical"):
    return {
        row["expectation"].partition("(")[2].rstrip(")")
        for row in result.results
        if not row["success"] and row["severity"] == severity
    }


def _named(gate, *, stops=True):
    return sorted(
        name
        for name, known in DEFECTS.items()
        if known.gate == gate and known.stops is stops
    )


def test_the_raw_gate_passes_the_company_without_a_defect(copy, baseline):
    result = _judged_raw(copy, baseline)

    assert result.success
    assert len(result.results) > 40


@pytest.mark.parametrize("name", _named("raw"))
def test_the_raw_gate_stops(copy, baseline, name):
    _break(copy, name)

    result = _judged_raw(copy, baseline)

    assert not result.success
    assert DEFECTS[name].notice in _noticed(result)


@pytest.mark.parametrize("name", _named("raw", stops=False))
def test_the_raw_gate_warns_and_goes_on(copy, baseline, name):
    _break(copy, name)

    result = _judged_raw(copy, baseline)

    assert result.success
    assert DEFECTS[name].notice in _noticed(result, "warning")


def _judged_marts(home):
    """The marts gate over staging to marts, built without dbt's own tests."""
    from orchestration.dbt_runner import build
    from orchestration.defs.dbt import parquet_sources

    settings = load_settings(home.root)
    taken = ingest(home, settings.sources, progress=lambda _: None)
    plan = plan_generation(settings, taken)
    building = start_building(settings, "marts", plan, taken)
    folders = ("staging", "intermediate", "marts")
    results = build(
        " ".join(f"fqn:calibrant.{folder}" for folder in folders),
        warehouse=building.warehouse,
        target=home.cache / "dbt",
        variables={
            "as_of": plan.as_of.isoformat(),
            "generation": plan.generation,
            "policy": dict(plan.policy),
            "role_families": {},
            "parquet_sources": parquet_sources(building),
        },
        exclude_resource_types=("unit_test", "test"),
    )
    assert all(result.succeeded for result in results)
    with DuckDBWarehouse(building.warehouse) as warehouse:
        return run_gate("marts", warehouse, thresholds=THRESHOLDS)


@pytest.mark.parametrize("name", _named("marts"))
def test_the_marts_gate_stops(copy, name):
    _break(copy, name)

    result = _judged_marts(copy)

    assert not result.success
    assert DEFECTS[name].notice in _noticed(result)


def test_every_stopping_defect_belongs_to_a_gate_tested_here_or_to_landing():
    gates = {known.gate for known in DEFECTS.values() if known.stops}

    assert gates == {"landing", "raw", "marts"}


def _building(home, tiny):
    """A building whose gates all passed: what publish is asked to publish."""
    root = home.generations / ".building-asked"
    shutil.copytree(tiny.generation.root, root)
    shutil.rmtree(root / "published")
    manifest = tiny.generation.manifest
    plan = Plan(
        generation=manifest["generation"],
        inputs=manifest["inputs"],
        as_of=tiny.generation.as_of,
        baseline=None,
        code_version=manifest["code_version"],
        config_hash=manifest["config_hash"],
        policy=Policy().model_dump(mode="json"),
        files=manifest["input_files"],
        paths={},
        warnings=[],
    )
    return Building(root, plan)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("fault", ["missing", "failed", "of another generation"])
def test_publish_refuses_without_every_gate_of_its_own_generation(
    copy, tiny, gate, fault
):
    from orchestration.publishing.zones import publish

    building = _building(copy, tiny)
    path = building.root / "gates" / f"{gate}.json"
    stored = json.loads(path.read_text())
    if fault == "missing":
        path.unlink()
    elif fault == "failed":
        path.write_text(json.dumps({**stored, "success": False}))
    else:
        path.write_text(json.dumps({**stored, "generation": "g0"}))

    with (
        DuckDBWarehouse(building.warehouse) as warehouse,
        pytest.raises(GenerationError, match=f"gate `{gate}`"),
    ):
        publish(copy, building, warehouse, {})

    assert not (building.root / "published").exists()
    assert current_generation(copy).id == tiny.generation.id


def test_publish_writes_where_every_gate_passed(copy, tiny):
    from orchestration.publishing.zones import publish

    building = _building(copy, tiny)

    with DuckDBWarehouse(building.warehouse) as warehouse:
        rows = publish(copy, building, warehouse, {})

    assert all(rows["leaders"].values())


def test_suppression_is_what_hides_small_groups(copy, tiny, monkeypatch):
    import pyarrow.parquet as pq

    import orchestration.publishing.zones as zones

    monkeypatch.setattr(zones, "suppress", lambda table, *_, **__: table)
    building = _building(copy, tiny)
    with DuckDBWarehouse(building.warehouse) as warehouse:
        zones.publish(copy, building, warehouse, {})

    bare = pq.read_table(building.published("leaders") / "funnel.parquet")

    # Small groups are read without it: the property test of published tables bites.
    assert [n for n in bare["n"].to_pylist() if n and 0 < n < 5]


def test_repeated_recommendations_are_stopped_by_their_key(
    copy, calibrant, tiny, monkeypatch
):
    _repeat_ids(monkeypatch)

    told = calibrant("run", "--no-sites", "--rebuild", home=copy)

    root, gates, _, _ = _left(copy)
    assert told.code == 1
    assert "recommendation_id" in told.text
    assert "recommendations" not in gates
    assert not (root / "published").exists()
    assert copy.current.resolve().name == tiny.generation.root.name

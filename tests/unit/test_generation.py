import datetime as dt
import json
import multiprocessing

import pytest

from orchestration.publishing.generation import (
    GATES,
    Building,
    Generation,
    GenerationError,
    HomeHeldError,
    Plan,
    complete,
    current_generation,
    hold,
    is_held,
    open_building,
)
from orchestration.settings import Home


def _plan(generation: str = "g1", as_of: dt.date = dt.date(2026, 9, 30)) -> Plan:
    return Plan(
        generation=generation,
        inputs=f"inputs of {generation}",
        as_of=as_of,
        baseline=None,
        code_version="1",
        config_hash="c",
        policy={"smallest_group_size": 5},
        files=[],
        paths={},
        warnings=[],
    )


def _building(home: Home, generation: str = "g1", run_id: str = "run1") -> Building:
    root = home.generations / f".building-{run_id}"
    (root / "published" / "leaders").mkdir(parents=True)
    (root / "plan.json").write_text(_plan(generation).to_json())
    (root / "published" / "leaders" / "note.json").write_text(generation)
    return open_building(home, run_id)


def _pass_every_gate(building: Building) -> None:
    for gate in GATES:
        building.write_gate(gate, {"success": True, "results": [], "measures": {}})


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_a_plan_survives_its_file():
    plan = _plan()

    assert Plan.from_json(plan.to_json()) == plan


def test_readers_see_the_new_generation_only_when_it_is_whole(home):
    first = _building(home, "g1")
    _pass_every_gate(first)
    complete(home, first, run={"run_id": "run1"})
    second = _building(home, "g2", "run2")
    _pass_every_gate(second)

    before = current_generation(home)
    complete(home, second, run={"run_id": "run2"})
    after = current_generation(home)

    assert (before.id, after.id) == ("g1", "g2")
    assert (after.published("leaders") / "note.json").read_text() == "g2"


@pytest.mark.parametrize("fault", ["missing", "failed", "other generation"])
def test_a_gate_that_did_not_pass_keeps_the_pointer_where_it_is(home, fault):
    building = _building(home)
    _pass_every_gate(building)
    path = building.root / "gates" / "marts.json"
    stored = json.loads(path.read_text())
    if fault == "missing":
        path.unlink()
    elif fault == "failed":
        path.write_text(json.dumps({**stored, "success": False}))
    else:
        path.write_text(json.dumps({**stored, "generation": "g0"}))

    with pytest.raises(GenerationError, match="gate `marts`"):
        complete(home, building, run={})

    assert current_generation(home) is None


def test_the_same_identity_built_again_replaces_the_old_folder(home):
    for run_id in ("run1", "run2"):
        building = _building(home, "g1", run_id)
        _pass_every_gate(building)
        complete(home, building, run={"run_id": run_id})

    current = current_generation(home)

    assert current.id == "g1"
    assert json.loads((current.root / "run.json").read_text())["run_id"] == "run2"
    assert [path.name for path in home.generations.iterdir()] == [current.root.name]


def test_only_the_current_generation_keeps_its_warehouse(home):
    for place in (1, 2):
        building = _building(home, f"g{place}", f"run{place}")
        building.warehouse.write_text("")
        _pass_every_gate(building)
        complete(home, building, run={})

    kept = [path.parent.name for path in home.generations.glob("*/warehouse.duckdb")]

    assert kept == ["g2"]


def test_a_flipped_byte_in_a_published_file_is_noticed(home):
    building = _building(home)
    _pass_every_gate(building)
    generation = complete(home, building, run={})
    assert Generation(generation.root).damaged_files() == []

    (generation.published("leaders") / "note.json").write_text("g9")

    assert generation.damaged_files() == ["published/leaders/note.json"]


def test_one_asset_alone_is_told_to_launch_the_job(home):
    with pytest.raises(GenerationError, match="Launch the job `main`"):
        open_building(home, "nobody")


def _try_to_hold(root, answers):
    try:
        with hold(Home(root), run_id="second"):
            answers.put("held")
    except HomeHeldError as error:
        answers.put(str(error))


def test_a_second_process_is_told_who_holds_the_home(home):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()

    with hold(home, run_id="first"):
        other = context.Process(target=_try_to_hold, args=(home.root, answers))
        other.start()
        answer = answers.get(timeout=60)
        other.join()

    assert "run first" in answer
    assert is_held(home) is None


def test_holding_twice_in_one_process_is_one_hold(home):
    with hold(home, run_id="outer"), hold(home, run_id="inner"):
        pass

    assert is_held(home) is None

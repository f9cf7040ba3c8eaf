"""The Dagster side: what there is, when it runs, and what it refuses."""

import datetime as dt
import functools
import json
import os
import shutil

import dagster as dg
import pytest
import yaml
from filelock import FileLock

from orchestration.publishing.generation import current_generation
from orchestration.settings import load_settings

TICK = dt.datetime(2026, 10, 17, 4, 0, tzinfo=dt.UTC)
GROUPS = {
    "raw", "staging", "intermediate", "marts", "statistics", "reports",
    "recommendations", "publish",
}  # fmt: skip


@pytest.fixture(scope="module")
def defs(tiny):
    # After `tiny`: definitions read the dbt manifest that its run prepared.
    from orchestration.definitions import defs

    return defs


@pytest.fixture(scope="module")
def specs(defs):
    return {spec.key: spec for spec in defs.resolve_all_asset_specs()}


@pytest.fixture(scope="module")
def made(defs):
    """Specs of the assets that something here makes: dbt's own sources are not."""
    graph = defs.resolve_asset_graph()
    return {key: graph.get(key) for key in graph.materializable_asset_keys}


def test_the_graph_is_the_one_in_the_snapshot(defs, request):
    graph = defs.resolve_asset_graph()
    keys = sorted("/".join(key.path) for key in graph.materializable_asset_keys)
    golden = request.path.with_name("asset_keys.txt")

    assert keys == golden.read_text().split()


def test_every_asset_belongs_to_a_layer_and_says_whose_and_what_it_is(made):
    for key, node in made.items():
        assert node.group_name in GROUPS, key
        assert node.owners == ["team:data-engineering"], key
        assert node.description, key
        assert node.kinds, key


def test_an_assets_key_is_its_layer_and_its_table(made):
    odd = {key.to_user_string() for key in made if len(key.path) != 2}

    assert odd == {"current"}


def test_every_guarded_table_has_a_blocking_gate(defs):
    from expectations import GUARDED

    graph = defs.resolve_asset_graph()
    gates = {
        ".".join(key.asset_key.path): graph.get(key).blocking
        for key in graph.asset_check_keys
        if key.name == "gate"
    }

    assert gates == {
        table: True for tables in GUARDED.values() for table in tables
    }  # fmt: skip


def test_the_daily_schedule_asks_for_figures_that_close_with_the_day_before(defs):
    daily = defs.resolve_schedule_def("daily")

    result = daily.evaluate_tick(
        dg.build_schedule_context(
            scheduled_execution_time=TICK, repository_def=defs.get_repository_def()
        )
    )

    (request,) = result.run_requests
    config = request.run_config["resources"]["calibrant"]["config"]
    assert daily.cron_schedule == "0 4 * * *"
    assert config == {"as_of": "2026-10-16"}
    assert request.run_key == "2026-10-16"


@pytest.mark.parametrize(
    ("tick", "quarter"),
    [
        ("2026-01-16", "2025-10-01"),
        ("2026-04-16", "2026-01-01"),
        ("2026-07-16", "2026-04-01"),
        ("2026-10-16", "2026-07-01"),
        # A tick before the quarter before has closed asks for the one before that.
        ("2026-01-10", "2025-07-01"),
    ],
)
def test_the_quarterly_schedule_asks_for_the_quarter_that_closed_last(
    defs, tick, quarter
):
    quarterly = defs.resolve_schedule_def("quarterly")
    at = dt.datetime.fromisoformat(f"{tick}T06:00:00+00:00")

    result = quarterly.evaluate_tick(
        dg.build_schedule_context(
            scheduled_execution_time=at, repository_def=defs.get_repository_def()
        )
    )

    (request,) = result.run_requests
    assert request.partition_key == quarter


def test_the_quarterly_schedule_ticks_once_a_quarter_after_its_close(defs):
    quarterly = defs.resolve_schedule_def("quarterly")

    ticks = list(
        _ticks(quarterly.cron_schedule, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 4)
    )

    assert ticks == ["2026-01-16", "2026-04-16", "2026-07-16", "2026-10-16"]


def _ticks(cron, start, n):
    from dagster._utils.schedules import schedule_execution_time_iterator

    moments = schedule_execution_time_iterator(start.timestamp(), cron, "UTC")
    return [next(moments).date().isoformat() for _ in range(n)]


def _look(defs, home, cursor, monkeypatch):
    """One evaluation of the inbox sensor, as the daemon does it."""
    from orchestration.defs.resources import CalibrantResource

    monkeypatch.setenv("CALIBRANT_HOME", str(home.root))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=defs.get_repository_def(),
            resources={"calibrant": CalibrantResource()},
        ) as context,
    ):
        return defs.resolve_sensor_def("inbox").evaluate_tick(context)


def test_the_inbox_sensor_waits_until_the_inbox_is_still_then_asks(
    defs, copy, monkeypatch
):
    look = functools.partial(_look, defs, copy, monkeypatch=monkeypatch)
    first = look(None)

    second = look(first.cursor)

    assert first.run_requests == []
    assert "waiting until it is still" in first.skip_message
    assert len(second.run_requests) == 1


def test_the_inbox_sensor_asks_once_for_one_state_of_the_inbox(defs, copy, monkeypatch):
    """Dagster runs one request per run key, however often a sensor repeats it."""
    look = functools.partial(_look, defs, copy, monkeypatch=monkeypatch)
    cursor = look(None).cursor

    looks = [look(cursor) for _ in range(2)]

    keys = {request.run_key for look in looks for request in look.run_requests}
    assert len(keys) == 1


def test_the_inbox_sensor_asks_anew_when_a_file_changes(defs, copy, monkeypatch):
    look = functools.partial(_look, defs, copy, monkeypatch=monkeypatch)
    before = look(look(None).cursor)
    path = next(copy.inbox.rglob("ratings.parquet"))
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1))

    changed = look(before.cursor)
    after = look(changed.cursor)

    assert changed.run_requests == []
    assert after.run_requests[0].run_key != before.run_requests[0].run_key


def test_the_inbox_sensor_looks_while_a_run_holds_the_home(defs, copy, monkeypatch):
    with FileLock(copy.root / ".lock"):
        look = _look(defs, copy, None, monkeypatch)

    assert "waiting until it is still" in look.skip_message


def test_the_inbox_sensor_says_that_the_inbox_is_empty(defs, fresh, monkeypatch):
    look = functools.partial(_look, defs, fresh, monkeypatch=monkeypatch)
    look = look(None)

    assert look.run_requests == []
    assert "is empty" in look.skip_message


def test_a_failed_run_is_cleaned_up_and_leaves_the_last_generation(
    defs, copy, tiny, monkeypatch
):
    from orchestration.defs.automation import failed_run
    from orchestration.defs.resources import CalibrantResource

    monkeypatch.setenv("CALIBRANT_HOME", str(copy.root))
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("main"))
        leftover = copy.generations / f".building-{run.run_id}"
        leftover.mkdir()
        event = dg.DagsterEvent(
            event_type_value="PIPELINE_FAILURE", job_name="main", message="stopped"
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_run",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=run,
            repository_def=defs.get_repository_def(),
            resources={"calibrant": CalibrantResource()},
        ).for_run_failure()

        with context:
            failed_run(context)

    assert not leftover.exists()
    assert current_generation(copy).id == tiny.generation.id


def test_the_failure_sensor_watches_the_main_job(defs):
    sensor = defs.resolve_sensor_def("failed_run")

    assert sensor.sensor_type.name == "RUN_STATUS"
    assert "failed run" in sensor.description


def _freeze(defs, home, partition):
    job = defs.resolve_job_def("freeze_quarter")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            partition_key=partition,
            instance=instance,
            raise_on_error=False,
            run_config={
                "resources": {"calibrant": {"config": {"home": str(home.root)}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )


def _failures(result):
    """What each failed step said, in the words meant for a person."""
    return [
        event.step_failure_data.user_failure_data.description
        for event in result.all_events
        if event.is_step_failure
    ]


def _bytes(folder):
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*.parquet")
    }


def test_freezing_writes_a_closed_quarter_once(defs, copy):
    first = _freeze(defs, copy, "2026-04-01")
    frozen = _bytes(copy.quarters / "2026-04-01")

    again = _freeze(defs, copy, "2026-04-01")

    assert first.success
    assert again.success
    assert "leaders/funnel.parquet" in frozen
    assert _bytes(copy.quarters / "2026-04-01") == frozen


def test_a_frozen_quarter_holds_the_rows_of_its_quarter_as_published(defs, copy):
    import duckdb

    _freeze(defs, copy, "2026-04-01")

    published = current_generation(copy).published("leaders") / "funnel.parquet"
    frozen = copy.quarters / "2026-04-01" / "leaders" / "funnel.parquet"
    expected = duckdb.execute(
        "select * from read_parquet(?) where window_start = date '2026-04-01'"
        " and window_end = date '2026-07-01'",
        [str(published)],
    ).fetchall()
    assert expected
    assert duckdb.read_parquet(str(frozen)).fetchall() == expected


def test_a_quarter_that_is_not_closed_is_not_frozen(defs, copy):
    moved = copy.current.resolve() / "manifest.json"
    manifest = json.loads(moved.read_text())
    moved.write_text(json.dumps({**manifest, "as_of": "2026-07-10"}))

    result = _freeze(defs, copy, "2026-04-01")

    assert not result.success
    assert "closes on 2026-07-15" in _failures(result)[0]
    assert not (copy.quarters / "2026-04-01").exists()


def test_a_quarter_without_figures_is_refused_and_may_be_frozen_later(defs, copy):
    """Nothing is what a fiscal year of other months would freeze, for good."""
    result = _freeze(defs, copy, "2015-01-01")

    assert not result.success
    assert "has no figure of the quarter from 2015-01-01" in _failures(result)[0]
    assert list(copy.quarters.iterdir()) == []


def test_a_frozen_quarter_is_part_of_the_next_generations_identity(copy):
    from orchestration.landing import ingest
    from orchestration.publishing.generation import plan_generation

    settings = load_settings(copy.root)
    taken = ingest(copy, settings.sources, progress=lambda _: None)
    before = plan_generation(settings, taken)
    (copy.quarters / "2026-04-01").mkdir(parents=True)

    after = plan_generation(settings, taken)

    assert after.inputs == before.inputs
    assert after.generation != before.generation


@pytest.mark.parametrize(
    "selected",
    [
        # One step writes both audiences, so Dagster asks for both.
        [["published", "leaders"], ["published", "committee"]],
        [["current"]],
        [["marts", "fct_ratings"]],
        [["statistics", "funnel"]],
    ],
)
def test_one_asset_alone_is_told_to_launch_the_job(defs, copy, tiny, selected):
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("main").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(key) for key in selected],
            raise_on_error=False,
            run_config={
                "resources": {"calibrant": {"config": {"home": str(copy.root)}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )

    messages = _failures(result)
    assert not result.success
    assert len(messages) == 1
    assert "Launch the job `main`" in messages[0]
    assert current_generation(copy).id == tiny.generation.id


@pytest.fixture(scope="module")
def instance_config(request):
    path = request.config.rootpath / "orchestration" / "defs" / "dagster.yaml"
    return yaml.safe_load(path.read_text())


def test_pools_have_one_slot_and_runs_go_one_at_a_time(instance_config):
    assert instance_config["concurrency"]["pools"]["default_limit"] == 1
    assert instance_config["concurrency"]["runs"]["max_concurrent_runs"] == 1


def test_runs_are_monitored_and_end(instance_config):
    monitoring = instance_config["run_monitoring"]

    assert monitoring["enabled"] is True
    assert monitoring["max_runtime_seconds"] > 0
    assert instance_config["telemetry"]["enabled"] is False


def test_dagster_reads_the_instance_of_a_home_as_it_is_meant(copy):
    from orchestration.defs.launch import prepare_instance

    with dg.DagsterInstance.from_config(str(prepare_instance(copy))) as instance:
        assert instance.run_monitoring_enabled
        assert instance.global_op_concurrency_default_limit == 1


def test_every_dbt_set_writes_through_the_pool_of_the_warehouse(defs):
    from orchestration.defs.dbt import DBT_SETS

    pools = {asset_set.op.name: asset_set.op.pool for asset_set in DBT_SETS}

    assert pools == dict.fromkeys(
        ("dbt_core", "dbt_reports", "dbt_recommendations"), "duckdb"
    )


def test_only_what_a_second_try_can_help_is_tried_again(defs):
    job = defs.resolve_job_def("main")

    retried = {
        node.name
        for node in job.nodes
        if getattr(node.definition, "retry_policy", None)
    }

    assert retried == {"ingest", "sites__leaders", "sites__committee"}


def test_figures_that_are_two_days_old_are_stale(specs):
    policy = specs[dg.AssetKey("current")].freshness_policy

    assert policy.fail_window.to_timedelta() == dt.timedelta(hours=49)


def test_the_run_left_metadata_of_its_generation_with_every_asset(tiny):
    from orchestration.defs.launch import prepare_instance

    with dg.DagsterInstance.from_config(str(prepare_instance(tiny.home))) as instance:
        event = instance.get_latest_materialization_event(
            dg.AssetKey(["marts", "fct_ratings"])
        )

    metadata = event.asset_materialization.metadata
    assert metadata["generation"].value == tiny.generation.id
    assert metadata["dagster/row_count"].value == 1522
    assert json.loads((tiny.generation.root / "run.json").read_text())["job"] == "main"


def test_a_home_can_be_moved(copy, calibrant, tiny):
    moved = copy.root.with_name(f"{copy.root.name}-moved")
    shutil.copytree(copy.root, moved, symlinks=True)

    told = calibrant("status", "--home", moved, "--json")

    assert json.loads(told.out)["generation"] == tiny.generation.id
    shutil.rmtree(moved)

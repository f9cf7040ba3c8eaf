"""Launch the main job in this process, against the home's own Dagster instance."""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import sqlalchemy.event

from orchestration.settings import Home

INSTANCE_CONFIG = Path(__file__).with_name("dagster.yaml")


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, in words for the person who started it."""

    run_id: str
    success: bool
    failures: tuple[str, ...]
    gate_failures: tuple[str, ...]


def prepare_instance(home: Home) -> Path:
    """Return the home's Dagster folder, with its `dagster.yaml` in place."""
    folder = home.root / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(INSTANCE_CONFIG, folder / "dagster.yaml")
    return folder


def launch_main(
    home: Home, *, as_of: dt.date | None, sites: bool, rebuild: bool
) -> RunOutcome:
    """Run the job `main` to its end and return what became of it."""
    from orchestration.definitions import defs

    config = {
        "home": str(home.root),
        "as_of": as_of.isoformat() if as_of else "",
        "sites": sites,
        "rebuild": rebuild,
    }
    with (
        _few_syncs(),
        dg.DagsterInstance.from_config(str(prepare_instance(home))) as instance,
    ):
        result = defs.resolve_job_def("main").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={
                "resources": {"calibrant": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    return RunOutcome(
        run_id=result.run_id,
        success=result.success,
        failures=tuple(_failures(result)),
        gate_failures=tuple(_gate_failures(result)),
    )


@contextlib.contextmanager
def _few_syncs() -> Iterator[None]:
    """Keep SQLite from waiting for the disk after each of a run's thousand events.

    Dagster opens a connection per event. In WAL mode a commit need not wait, but
    closing the last connection copies the log and does; so one stays open per file. A
    crash loses nothing, a power cut at most the last events of a run that it ends.
    """
    kept: dict[str, sqlite3.Connection] = {}

    def connected(connection: object, record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("pragma synchronous = normal")
        path = connection.execute("pragma database_list").fetchone()[2]
        if path and path not in kept:
            kept[path] = sqlite3.connect(path, check_same_thread=False)
            # A file counts as open once it has been read.
            kept[path].execute("select count(*) from sqlite_master").fetchall()

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", connected)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", connected)
        for connection in kept.values():
            connection.close()


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """One message per failed step: the person's words where there are some."""
    messages = []
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        # What a gate found is told by its checks; a gate that crashed has none.
        if data.error and data.error.cls_name == "DagsterAssetCheckFailedError":
            continue
        if data.user_failure_data and data.user_failure_data.description:
            message = data.user_failure_data.description
        else:
            error = data.error
            while error and error.cause:
                error = error.cause
            message = error.message.strip() if error else "failed without a message"
        messages.append(f"{event.step_key}: {message}")
    return messages


def _gate_failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """One message per gated table whose critical expectations were not met."""
    return [
        f"{'.'.join(check.asset_key.path)}:\n{check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
        and check.check_name == "gate"
        and check.severity == dg.AssetCheckSeverity.ERROR
    ]


def free_stale_slots(home: Home) -> int:
    """Free the pool slots that ended runs still hold; return how many."""
    freed = 0
    with dg.DagsterInstance.from_config(str(prepare_instance(home))) as instance:
        storage = instance.event_log_storage
        if not storage.supports_global_concurrency_limits:
            return 0
        for pool in storage.get_concurrency_keys():
            info = storage.get_concurrency_info(pool)
            for run_id in {slot.run_id for slot in info.claimed_slots}:
                run = instance.get_run_by_id(run_id)
                if run is None or run.is_finished:
                    freed += sum(slot.run_id == run_id for slot in info.claimed_slots)
                    storage.free_concurrency_slots_for_run(run_id)
    return freed


def main(root: str) -> None:
    """Start Dagster's UI and daemon on a home, with its instance beside the data."""
    home = Home.resolve(Path(root))
    environment = {
        **os.environ,
        "CALIBRANT_HOME": str(home.root),
        "DAGSTER_HOME": str(prepare_instance(home)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    program = str(Path(sys.executable).with_name("dagster"))
    # Replaces this process, so that Ctrl-C reaches Dagster itself.
    os.execve(  # noqa: S606
        program,
        [program, "dev", "--module-name", "orchestration.definitions"],
        environment,
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "var")

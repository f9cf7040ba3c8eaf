"""The one resource every asset shares: the home, its settings, and the hold on it."""

import contextlib
import datetime as dt
import logging
import time
from collections.abc import Iterator

import dagster as dg

from orchestration.publishing.generation import (
    Building,
    GenerationError,
    hold,
    open_building,
)
from orchestration.settings import Settings, load_settings, parse_as_of

PROGRESS = logging.getLogger("calibrant.progress")
OWNERS = ["team:data-engineering"]


class CalibrantResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The installation a run works on; held from its first step to its last."""

    home: str = ""
    as_of: str = ""
    sites: bool = True
    rebuild: bool = False

    @contextlib.contextmanager
    def yield_for_execution(
        self, context: dg.InitResourceContext
    ) -> Iterator["CalibrantResource"]:
        """Hold the home while the run lasts, so that two runs cannot mix."""
        if context.run is None:
            # A sensor only looks, and looks while a run holds the home too.
            yield self
            return
        with hold(self.settings().home, run_id=context.run.run_id):
            yield self

    def settings(self) -> Settings:
        """Return the settings of the home, read anew."""
        return load_settings(self.home or None)

    def date(self) -> dt.date | None:
        """Return the `as_of` asked for; None for the last event date."""
        return parse_as_of(self.as_of) if self.as_of else None

    def building(self, run_id: str) -> Building:
        """Return the generation this run builds; fails where it has none."""
        try:
            return open_building(self.settings().home, run_id)
        except GenerationError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None


@contextlib.contextmanager
def stage(name: str) -> Iterator[list[str]]:
    """Log one line when a stage ends: its name, its time and what the caller noted."""
    notes: list[str] = []
    started = time.perf_counter()
    yield notes
    seconds = time.perf_counter() - started
    PROGRESS.info("%-34s %6.1f s  %s", name, seconds, "; ".join(notes))

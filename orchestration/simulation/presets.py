"""Presets of simulated companies, read from the one file that declares them."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orchestration.settings import SettingsError, load_yaml

FILE = Path(__file__).with_name("companies.yaml")
DEFAULT_SEED = 20_261_001


@dataclass(frozen=True)
class Preset:
    """One company: its declared parameters and what is planted in it."""

    name: str
    company: Mapping[str, Any]
    truths: Mapping[str, Mapping[str, Any]]
    default_seed: int = DEFAULT_SEED

    @property
    def is_null(self) -> bool:
        """Whether nothing is planted."""
        return not self.truths

    @property
    def first_day(self) -> dt.date:
        """The day of the first application."""
        day: dt.date = self.company["first_day"]
        return day

    @property
    def last_day(self) -> dt.date:
        """The day of the last application but for a few stragglers."""
        day: dt.date = self.company["last_day"]
        return day

    @property
    def as_of(self) -> dt.date:
        """The last day on which anything happens."""
        day: dt.date = self.company["as_of"]
        return day


@cache
def load_preset(name: str) -> Preset:
    """Return a preset by name; `<name>_null` is its null twin.

    Raises
    ------
    SettingsError
        If there is no such preset; the message lists those there are.
    """
    declared = load_yaml(FILE)
    base = name.removesuffix("_null")
    if base not in declared["presets"]:
        known = [n + suffix for n in declared["presets"] for suffix in ("", "_null")]
        raise SettingsError(f"unknown preset {name!r}; known: {', '.join(known)}")
    company = {**declared["company"], **declared["presets"][base]}
    seed = int(company.pop("seed", DEFAULT_SEED))
    if name.endswith("_null"):
        return Preset(name, {**company, **declared["null"]}, {}, seed)
    return Preset(name, company, declared["truths"], seed)

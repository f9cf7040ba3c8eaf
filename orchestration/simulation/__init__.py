"""Simulated companies with planted truths, and null twins without any."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import yaml

from orchestration.settings import Home, SettingsError
from orchestration.simulation.company import Company, simulate
from orchestration.simulation.presets import FILE, Preset, load_preset
from orchestration.sources import TableSource

__all__ = [
    "Company",
    "Preset",
    "load_preset",
    "simulate",
    "simulate_home",
    "write_configuration",
    "write_inbox",
]


def simulate_home(
    home: Home, preset: str, *, seed: int | None = None, force: bool = False
) -> list[Path] | None:
    """Fill a home's inbox with a simulated company; None where it is there already.

    Raises
    ------
    SettingsError
        If the inbox holds something else and `force` is not set.
    """
    chosen = load_preset(preset)
    used = chosen.default_seed if seed is None else seed
    about = {
        "preset": preset,
        "seed": used,
        "declared": hashlib.sha256(FILE.read_bytes()).hexdigest(),
    }
    note = home.root / "simulated.json"
    there = any(home.inbox.rglob("*.*")) if home.inbox.is_dir() else False
    if there and not force:
        if note.is_file() and json.loads(note.read_text()) == about:
            return None
        if not note.is_file():
            raise SettingsError(
                f"{home.inbox} holds files that were not simulated; use another --home,"
                " or --force to replace them"
            )
    if there:
        shutil.rmtree(home.inbox)
    company = simulate(np.random.default_rng(used), chosen)
    written = write_inbox(company, home.inbox)
    write_configuration(home, chosen)
    note.write_text(json.dumps(about))
    return written


def write_inbox(company: Company, inbox: Path, *, form: str = "parquet") -> list[Path]:
    """Write `<inbox>/<source>/<entity>.<form>` and return the files.

    Parameters
    ----------
    form : {"parquet", "csv"}
    """
    return [
        path
        for name, tables in company.items()
        for path in TableSource(name, tables, form).deliver(inbox)
    ]


def write_configuration(home: Home, preset: Preset) -> None:
    """Write the settings a simulated company needs: its rubrics and its scale."""
    rubrics = home.design / "rubrics"
    rubrics.mkdir(parents=True, exist_ok=True)
    labels = ("strong no", "no", "mixed", "yes", "strong yes")
    for about in preset.company["rounds"]:
        rubric = {
            "id": f"{about['round']}_rubric",
            "version": "1",
            "valid_from": preset.first_day,
            "scale": {
                "levels": [
                    {"value": value, "label": label}
                    for value, label in enumerate(labels, start=1)
                ],
                "missing": ["", "n/a", "no_decision"],
            },
            "criteria": [{"competency": name} for name in about["competencies"]],
        }
        path = rubrics / f"{about['round']}_1.yaml"
        path.write_text(yaml.safe_dump(rubric, sort_keys=False))
    home.sources_file.write_text(
        "# Written with a simulated company.\n"
        'sources:\n  ats:\n    timezone: UTC\n    scale: {"1": 1, "2": 2, "3": 3,'
        ' "4": 4, "5": 5}\n  hris:\n    timezone: UTC\n'
    )

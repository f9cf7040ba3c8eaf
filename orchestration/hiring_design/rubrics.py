"""Rubrics as YAML, and the scale through which a rating becomes a number.

A rating maps to a number only through the scale of the rubric version its scorecard
names, else through the scale declared for its source, else, if it is a plain number,
as it stands. Two scales are never averaged.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestration.settings import Home, SettingsError, Sources, load_yaml

SCALE_SCHEMA = pa.schema(
    [
        ("_source", pa.string()), ("rubric_id", pa.string()),
        ("rubric_version", pa.string()), ("spelling", pa.string()),
        ("rating_value", pa.float64()), ("scale_min", pa.float64()),
        ("scale_max", pa.float64()), ("n_levels", pa.int64()),
        ("scale_id", pa.string()),
    ]
)  # fmt: skip


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Level(_Data):
    """One level of a scale: its number, its label, how sources spell it."""

    value: float
    label: str = ""
    spellings: tuple[str, ...] = ()


class Scale(_Data):
    """The levels of a rubric and what counts as no rating."""

    levels: tuple[Level, ...] = Field(min_length=2)
    missing: tuple[str, ...] = ("", "n/a", "no_decision")

    @model_validator(mode="after")
    def _distinct(self) -> "Scale":
        values = [level.value for level in self.levels]
        if len(set(values)) < len(values):
            raise ValueError("two levels have the same value")
        spelled = [s for level in self.levels for s in _spellings(level)]
        repeated = {s for s in spelled if spelled.count(s) > 1}
        if repeated:
            raise ValueError(f"spelling {sorted(repeated)[0]!r} stands for two levels")
        return self


class Criterion(_Data):
    """What a rubric judges: one competency, and its anchors by level."""

    competency: str
    name: str = ""
    weight: float = 1.0
    anchors: dict[str, str] = Field(default_factory=dict)


class Rubric(_Data):
    """One version of a rubric."""

    id: str
    version: str
    valid_from: dt.date | None = None
    scale: Scale
    criteria: tuple[Criterion, ...] = ()

    @property
    def content_hash(self) -> str:
        """The hash of everything but the label."""
        content = self.model_dump(mode="json", exclude={"id", "version"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_rubrics(home: Home) -> list[Rubric]:
    """Return the rubrics under `<home>/design/rubrics/`, by id and version.

    Raises
    ------
    SettingsError
        If a file is no rubric, or one label stands for two contents: a rubric that is
        edited in place would make last quarter's ratings mean something else.
    """
    found: dict[tuple[str, str], tuple[Rubric, Path]] = {}
    for path in sorted((home.design / "rubrics").glob("*.yaml")):
        try:
            rubric = Rubric.model_validate(load_yaml(path))
        except ValidationError as error:
            faults = [
                f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors()
            ]
            raise SettingsError(f"{path}:\n" + "\n".join(faults)) from None
        label = (rubric.id, rubric.version)
        if label in found and found[label][0].content_hash != rubric.content_hash:
            raise SettingsError(
                f"{path}: rubric {rubric.id} version {rubric.version} is also in"
                f" {found[label][1]} with another content; give it a new version"
            )
        found[label] = (rubric, path)
    return [rubric for rubric, _ in found.values()]


def rating_scales(home: Home, sources: Sources) -> pa.Table:
    """Return one row per spelling of a rating: rubric version or source, and number.

    `rating_value` is null for spellings that are no rating. Spellings are trimmed and
    in small letters.
    """
    rows: list[dict[str, object]] = []
    for rubric in load_rubrics(home):
        rows += _rows(
            {
                s: level.value
                for level in rubric.scale.levels
                for s in _spellings(level)
            },
            rubric.scale.missing,
            {"rubric_id": rubric.id, "rubric_version": rubric.version},
        )
    for name, config in sorted(sources.sources.items()):
        if config.scale:
            scale = {_plain(s): value for s, value in config.scale.items()}
            rows += _rows(scale, config.missing, {"_source": name})
    return pa.Table.from_pylist(rows, schema=SCALE_SCHEMA)


def _rows(
    scale: dict[str, float], missing: Iterable[str], about: dict[str, str]
) -> list[dict[str, object]]:
    """Rows of one scale."""
    values = sorted(set(scale.values()))
    shape = {
        "scale_min": values[0],
        "scale_max": values[-1],
        "n_levels": len(values),
        "scale_id": f"{values[0]:g}-{values[-1]:g}/{len(values)}",
    }
    spelled: dict[str, float | None] = dict.fromkeys(map(_plain, missing))
    spelled |= scale
    return [
        {**about, **shape, "spelling": spelling, "rating_value": value}
        for spelling, value in spelled.items()
    ]


def _spellings(level: Level) -> list[str]:
    """Every way a level is spelled: its number, its label, and what is listed."""
    spelled = [f"{level.value:g}", level.label, *level.spellings]
    return sorted({_plain(text) for text in spelled if text})


def _plain(text: str) -> str:
    return text.strip().lower()

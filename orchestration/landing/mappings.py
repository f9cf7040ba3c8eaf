"""Mappings a person may want to declare, proposed from what was delivered."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from orchestration.landing.ingest import Ingest
from orchestration.settings import SourceConfig, Sources

# Stages of a funnel by what recruiters call them, the first match counts; with the
# group each belongs to.
_STAGES = (
    ("hired", "hired", r"\bhired\b|offer accepted|accepted offer|onboard"),
    ("offer", "offer", r"\boffer"),
    ("reference_check", "interview", r"reference|background"),
    ("debrief", "interview", r"debrief|decision|wrap.?up"),
    ("take_home", "interview", r"take.?home|assignment|homework|work sample"),
    ("onsite", "interview", r"on.?site|final|panel|loop|face to face|in.person"),
    ("resume_review", "screen", r"(resume|résumé|\bcv\b|application|profile) "
     r"?(review|screen)|\breview\b"),
    ("phone_screen", "screen", r"phone|recruiter|intro|screen"),
    ("technical", "interview", r"technical|coding|pair|design|interview|case"),
    ("applied", "applied", r"appl(ied|ication)|lead|inbox|sourced|\bnew\b"),
)  # fmt: skip
_MOST = 40


def mappings(found: Ingest, sources: Sources) -> dict[str, dict[str, Any]]:
    """Return what could be written into sources.yaml, by source.

    Stages are proposed from their names, in the order in which applications enter them;
    scales from the spellings that occur. A person looks it over and pastes it.
    """
    proposals: dict[str, dict[str, Any]] = {}
    for file in found.files:
        config = sources.of(file.source)
        proposal = proposals.setdefault(file.source, {})
        if file.entity == "ratings" and not config.scale:
            proposal["scale"] = _scale(_distinct(file.path, "rating", 50))
        if file.entity == "scorecards" and not config.rounds:
            rounds = _distinct(file.path, "round", _MOST)
            proposal["rounds"] = {s: _slug(s) for s in rounds if s != _slug(s)}
        if file.entity == "stage_events":
            declared = _declared(found, file.source)
            proposal |= _stages(_in_order(file.path), config, declared)
    return {
        source: {name: value for name, value in proposal.items() if value}
        for source, proposal in proposals.items()
        if any(proposal.values())
    }


def stage_of(native: str) -> tuple[str, str]:
    """Return the stage and the group that a native name stands for."""
    plain = re.sub(r"[\s_/-]+", " ", native.lower())
    for stage, group, pattern in _STAGES:
        if re.search(pattern, plain):
            return stage, group
    return _slug(native), "interview"


def _scale(spellings: Sequence[str]) -> dict[str, float | None]:
    numbers = sorted(float(s) for s in spellings if _is_number(s))
    words = [s for s in spellings if not _is_number(s)]
    return {**{f"{n:g}": n for n in numbers}, **dict.fromkeys(words)}


def _stages(
    natives: Sequence[str], config: SourceConfig, declared: frozenset[str]
) -> dict[str, Any]:
    """Stages that are neither mapped nor declared, and the groups of all."""
    known = declared | set(config.stages.values())
    new = [native for native in natives if native not in known]
    stages = {native: stage_of(native)[0] for native in new}
    groups = {stage_of(native)[0]: stage_of(native)[1] for native in new}
    return {
        "stages": {
            native: stage for native, stage in stages.items() if native != stage
        },
        "stage_groups": groups if config.connector and not config.stage_groups else {},
    }


def _declared(found: Ingest, source: str) -> frozenset[str]:
    """Stages that files of the source declare themselves."""
    files = [f for f in found.files if f.entity == "stages" and f.source == source]
    return frozenset(s for file in files for s in _distinct(file.path, "stage", 1000))


def _in_order(path: Path) -> list[str]:
    """Stages in the order in which applications enter them, by the median step."""
    rows = duckdb.execute(
        "select stage from (select stage, row_number() over ("
        " partition by application_id order by entered_at nulls last, stage) as step"
        " from read_parquet(?)) group by stage order by median(step), stage limit ?",
        [str(path), _MOST],
    ).fetchall()
    return [str(row[0]) for row in rows]


def _distinct(path: Path, column: str, most: int) -> list[str]:
    """Distinct values in the order of first appearance."""
    rows = duckdb.execute(
        f'select "{column}" from read_parquet(?) where "{column}" is not null'
        " group by 1 order by min(_line) limit ?",
        [str(path), most],
    ).fetchall()
    return [str(row[0]) for row in rows]


def _slug(text: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

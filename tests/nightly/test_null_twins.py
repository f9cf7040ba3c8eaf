"""Simulated companies: the rules find what is planted, and are silent without it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.defs.launch import launch_main
from orchestration.landing.identity import load_key, pseudonym
from orchestration.settings import Home
from orchestration.simulation import load_preset, simulate_home

pytestmark = pytest.mark.nightly
NULL_SEEDS = range(101, 121)
SEEDS = range(201, 221)
# 5 % of 20 runs is one; two leave room for the draw.
MOST_RUNS_WITH_ACTIONS = 2

# The row that names each planted fault, by rule; people by their number.
PLANTED: Mapping[str, Mapping[str, Any]] = {
    "R1": {"round": "evaluation", "competency": "human_judgement"},
    "R3": {"round": "llm_knowledge", "competency": "prompting"},
    "R6 severe": {"interviewer_id": "severe_interviewer"},
    "R6 drifting": {"interviewer_id": "drifting_interviewer"},
    "R7": {"round": "coding_screen"},
    "R10": {"stage": "technical", "group_value": "female"},
    "R11": {"stage": "onsite"},
}


def run(root: Path, preset: str, seed: int) -> tuple[Home, list[dict[str, Any]]]:
    home = Home(root)
    simulate_home(home, preset, seed=seed)
    outcome = launch_main(home, as_of=None, sites=False, rebuild=False)
    assert outcome.success, (outcome.failures, outcome.gate_failures)
    rows = pq.read_table(
        home.current / "published" / "committee" / "rubric_recommendations.parquet"
    ).to_pylist()
    return home, [row for row in rows if row["is_action"]]


def found(home: Home, actions: list[dict[str, Any]]) -> set[str]:
    """Return the planted faults that a row names, with its rule and its target."""
    truths, key = load_preset("dev").truths, load_key(home)

    def named(label: str, row: dict[str, Any]) -> bool:
        wanted = dict(PLANTED[label])
        if "interviewer_id" in wanted:
            number = truths[wanted["interviewer_id"]]["interviewer"]
            wanted["interviewer_id"] = pseudonym(key, f"ats:I{number}")
        return row["rule_id"] == label.split()[0] and all(
            row[column] == value for column, value in wanted.items()
        )

    return {label for label in PLANTED if any(named(label, row) for row in actions)}


def test_at_most_two_of_twenty_null_twins_propose_an_action(tmp_path: Path) -> None:
    proposed = {
        seed: [row["rule_id"] for row in run(tmp_path / str(seed), "dev_null", seed)[1]]
        for seed in NULL_SEEDS
    }

    loud = {seed: rules for seed, rules in proposed.items() if rules}

    assert len(loud) <= MOST_RUNS_WITH_ACTIONS, loud


def test_planted_faults_are_found_in_four_of_five_companies(tmp_path: Path) -> None:
    faults = {seed: found(*run(tmp_path / str(seed), "dev", seed)) for seed in SEEDS}

    shares = {
        label: sum(label in names for names in faults.values()) / len(SEEDS)
        for label in PLANTED
    }

    assert all(share >= 0.8 for share in shares.values()), (shares, faults)

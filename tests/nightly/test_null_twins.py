"""Companies without any planted fault: the rules must stay silent."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.defs.launch import launch_main
from orchestration.settings import Home
from orchestration.simulation import simulate_home

pytestmark = pytest.mark.nightly
SEEDS = range(101, 121)
# 5 % of 20 runs is one; two leave room for the draw.
MOST_RUNS_WITH_ACTIONS = 2


def proposed(root: Path, preset: str, seed: int) -> list[str]:
    home = Home(root)
    simulate_home(home, preset, seed=seed)
    outcome = launch_main(home, as_of=None, sites=False, rebuild=False)
    assert outcome.success, (outcome.failures, outcome.gate_failures)
    rows = pq.read_table(
        home.current / "published" / "committee" / "rubric_recommendations.parquet"
    ).to_pylist()
    return [row["rule_id"] for row in rows if row["is_action"]]


def test_at_most_two_of_twenty_null_twins_propose_an_action(tmp_path: Path) -> None:
    found = {seed: proposed(tmp_path / str(seed), "dev_null", seed) for seed in SEEDS}

    loud = {seed: rules for seed, rules in found.items() if rules}

    assert len(loud) <= MOST_RUNS_WITH_ACTIONS, loud


def test_planted_faults_are_found_in_four_of_five_companies(tmp_path: Path) -> None:
    planted = {"R1", "R3", "R6", "R7", "R10", "R11"}
    seeds = range(201, 211)
    found = {seed: set(proposed(tmp_path / str(seed), "dev", seed)) for seed in seeds}

    shares = {
        rule: sum(rule in rules for rules in found.values()) / len(seeds)
        for rule in planted
    }

    assert all(share >= 0.8 for share in shares.values()), shares

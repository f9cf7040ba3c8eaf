"""The company of the browser tier has faults planted: its recommendations name them."""

import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def actions(built_sites):
    table = pq.read_table(
        built_sites.generation / "published/committee/rubric_recommendations.parquet"
    )
    return [row for row in table.to_pylist() if row["is_action"]]


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        ("R1", {"round": "evaluation", "competency": "human_judgement"}),
        ("R3", {"round": "llm_knowledge", "competency": "prompting"}),
        ("R6", {}),
        ("R7", {"round": "coding_screen"}),
        ("R10", {"stage": "technical", "group_value": "female"}),
        ("R11", {"stage": "onsite"}),
    ],
    ids=["vague competency", "ceiling level", "severe interviewer", "few raters",
         "selection gap", "slow stage"],
)  # fmt: skip
def test_a_planted_fault_is_recommended_for_change(actions, rule, target):
    found = [row for row in actions if row["rule_id"] == rule]

    assert any(
        all(row[name] == value for name, value in target.items()) for row in found
    ), [(row["rule_id"], row["target"]) for row in actions]


def test_nothing_but_planted_rounds_and_stages_is_recommended_for_change(actions):
    planted = {"evaluation", "llm_knowledge", "coding_screen", "technical", "onsite"}

    named = {row["round"] or row["stage"] for row in actions if row["rule_id"] != "R6"}

    assert named <= planted

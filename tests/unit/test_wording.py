import pytest

from orchestration.recommendations.engine import load_rules
from orchestration.recommendations.wording import worded


def test_numbers_are_formatted_and_missing_ones_are_said_to_be():
    text = worded("{a:.2f} of {b}, {c:.0%}", {"a": 1.234, "b": 7.0, "c": None})

    assert text == "1.23 of 7, unknown"


def test_a_template_cannot_reach_into_attributes():
    with pytest.raises(KeyError):
        worded("{a.__class__}", {"a": 1})


def test_text_of_a_row_is_not_taken_for_a_template():
    assert worded("{a}", {"a": "{b} <script>"}) == "{b} <script>"


def test_every_rule_names_a_threshold_and_an_owner():
    for rule in load_rules():
        assert rule.owner
        assert rule.caveats
        assert any(c.above is not None or c.below is not None or c.column
                   for c in rule.conditions)  # fmt: skip

"""The contract says what to deliver, and its document says the same."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from orchestration.landing.contract import ENTITIES, LINEAGE, likely
from orchestration.landing.document import REFUSALS, document
from orchestration.landing.ingest import MESSAGES
from orchestration.settings import SourceConfig

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "landing-contract.md"
LANDING = ROOT / "orchestration" / "landing"


def test_the_document_is_the_one_written_from_the_contract():
    """`python -m orchestration.landing.document > docs/landing-contract.md`."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_every_entity_and_column_is_in_the_document(entity):
    text = DOCUMENT.read_text(encoding="utf-8")

    section = text.partition(f"### {entity.name}\n")[2].partition("\n### ")[0]

    assert entity.description in section
    for column in entity.columns:
        assert f"| {column.name} |" in section
        assert all(f"`{value}`" in section for value in column.values)


@pytest.mark.parametrize(
    "name", [*REFUSALS, *MESSAGES, *SourceConfig.model_fields], ids=str
)
def test_every_code_and_setting_is_in_the_document(name):
    assert f"| {name} |" in DOCUMENT.read_text(encoding="utf-8")


def test_every_refusal_has_its_reason_in_the_document():
    used = set()
    for module in ("store.py", "reader.py", "parse.py"):
        source = (LANDING / module).read_text(encoding="utf-8")
        used |= set(re.findall(r'(?:refused|Problem)\(\s*"(\w+)"', source))

    assert used == set(REFUSALS)


def test_every_code_of_a_row_has_its_message():
    source = (LANDING / "parse.py").read_text(encoding="utf-8")

    kinds = "bad|missing|unknown|off|too|nested|control|implausible"
    used = set(re.findall(rf'"((?:{kinds})_\w+)"', source)) - set(REFUSALS)

    assert used | {"ragged_row", "malformed_json", "repeated_key"} == set(MESSAGES)


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_an_entity_can_be_keyed_and_typed(entity):
    names = [column.name for column in entity.columns]

    assert entity.key
    assert len(names) == len(set(names))
    assert entity.description.startswith("One row per")
    assert list(entity.raw_schema.names)[-len(LINEAGE) :] == list(LINEAGE)


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_nothing_restricted_is_in_raw_or_in_a_key(entity):
    restricted = {column.name for column in entity.columns if column.is_restricted}

    assert not restricted & set(entity.raw_schema.names)
    assert not restricted & set(entity.key)
    assert not {"full_name", "email", "work_email", "notes"} & set(
        entity.raw_schema.names
    )


@pytest.mark.parametrize(
    ("entity", "column", "kind"),
    [
        ("applications", "applied_at", pa.timestamp("us")),
        ("employees", "hired_on", pa.date32()),
        ("interviewer_capacity", "week", pa.date32()),
        ("performance_reviews", "rating", pa.float64()),
        ("performance_reviews", "period_start", pa.date32()),
        ("ratings", "rating", pa.string()),
        ("ratings", "has_evidence", pa.bool_()),
        ("stages", "order", pa.int64()),
        ("demographic_counts", "period", pa.string()),
        ("scorecards", "rubric_id", pa.string()),
    ],
)
def test_a_column_has_the_type_its_name_promises(entity, column, kind):
    assert ENTITIES[entity].raw_schema.field(column).type == kind


def test_limits_name_required_columns_of_the_same_entity():
    for entity in ENTITIES.values():
        for column in entity.columns:
            named = {limit for limit in column.limits if isinstance(limit, str)}
            assert named <= set(entity.required)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("aplications", "did you mean 'applications'?"), ("zzz", "")],
)
def test_a_likely_name_is_hinted_at(name, hint):
    assert likely(name, list(ENTITIES)) == hint

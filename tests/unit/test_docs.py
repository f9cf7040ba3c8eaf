"""What the documents name exists, and what exists is named in the documents."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from expectations import GUARDED
from orchestration.cli import app
from orchestration.explanations import reader_texts
from orchestration.publishing.zones import TABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def _models():
    """Every dbt model's YAML by name."""
    return {
        model["name"]: model
        for path in (ROOT / "dbt_project" / "models").rglob("*.yml")
        for model in yaml.safe_load(path.read_text()).get("models", [])
    }


def _described():
    """Every described table as `layer.table`: models by folder, and dbt's sources."""
    found = {}
    for path in (ROOT / "dbt_project" / "models").rglob("*.yml"):
        content = yaml.safe_load(path.read_text())
        for model in content.get("models", []):
            found[f"{path.parent.name}.{model['name']}"] = model["description"]
        for source in content.get("sources", []):
            for table in source["tables"]:
                found[f"{source['name']}.{table['name']}"] = table["description"]
    return found


def test_every_make_target_is_documented():
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)) - {"help"}

    missing = {
        target
        for target in targets
        if f"`make {target}`" not in README + CONTRIBUTING
        and f"make {target} " not in README
        and f"`{target}`" not in README + CONTRIBUTING
    }

    assert len(targets) > 8
    assert missing == set()


def test_every_target_the_documents_name_exists():
    named = set(re.findall(r"`make ([a-z-]+)`", README + CONTRIBUTING))

    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_document_that_is_linked_exists(document):
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]

    broken = [link for link in links if not (document.parent / link).exists()]

    assert broken == []


def test_every_table_a_gate_guards_is_described():
    described = _described()

    assert [
        table
        for tables in GUARDED.values()
        for table in tables
        if not described.get(table)
    ] == []


def test_every_models_first_sentence_is_its_grain():
    odd = [
        name
        for name, model in _models().items()
        if not model["description"].startswith("One row per")
    ]

    assert odd == []


def test_every_documented_column_has_a_description():
    silent = [
        f"{name}.{column['name']}"
        for name, model in _models().items()
        for column in model.get("columns", [])
        if not column.get("description", "").strip()
    ]

    assert silent == []


def test_every_published_column_is_described_for_readers():
    models = _models()
    silent = [
        f"{table.name}.{column}"
        for table in TABLES.values()
        for column in table.columns
        # Joined at publish, never in dbt.
        if column != "interviewer_name"
        and column
        not in {entry["name"] for entry in models[f"rpt_{table.name}"]["columns"]}
    ]

    assert silent == []


def test_every_table_of_numbers_has_its_question_reading_and_limits():
    # What was delivered, and what the rules propose, are told elsewhere.
    numbers = {f"rpt_{name}" for name in TABLES} - {
        "rpt_data_quality", "rpt_rubric_recommendations",
    }  # fmt: skip

    texts = reader_texts()

    assert set(texts) == numbers
    for text in texts.values():
        assert text.title.endswith("?")
        assert text.parts["question"].endswith("?")


def test_every_text_a_wheel_carries_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]

    assert "docs/statistics.md" in carried
    assert [source for source in carried if not (ROOT / source).is_file()] == []


def test_every_command_is_in_the_readme():
    names = {
        command.name or command.callback.__name__ for command in app.registered_commands
    }
    line = next(line for line in README.splitlines() if line.startswith("`calibrant "))

    assert {name for name in names if not re.search(rf"\b{name}\b", line)} == set()


def test_the_exit_codes_of_the_readme_are_those_of_the_command():
    from orchestration.cli import Exit

    line = next(line for line in README.splitlines() if line.startswith("Exit codes:"))

    assert {int(code) for code in re.findall(r"\b\d\b", line)} == {*Exit}


def test_every_folder_of_the_readme_exists():
    rows = re.findall(
        r"^\| (`orchestration/.*?|`[a-z_]+/`.*?) \|", README, re.MULTILINE
    )
    paths = []
    for row in rows:
        names = re.findall(r"`([^`]+)`", row)
        parent = str(Path(names[0]).parent) if "/" in names[0].rstrip("/") else ""
        paths += [names[0], *(f"{parent}/{name}" for name in names[1:])]

    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []

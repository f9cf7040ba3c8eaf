"""What readers are told about a table and its columns, without building anything."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestration.publishing.generation import PROJECT

# A wheel carries the texts beside the code; a checkout has them where they are edited.
_PACKAGED = Path(__file__).parent / "texts"
PARTS = {
    "question": "The question.",
    "number": "The number.",
    "how_to_read": "How to read it.",
    "when_not": "When not to.",
    "sources": "Sources.",
}
_TABLE = re.compile(r"^`(rpt_\w+)`$", re.MULTILINE)
_PART = re.compile(r"^\*\*([A-Z][^*]*\.)\*\* ", re.MULTILINE)


@dataclass(frozen=True)
class ReaderText:
    """The section of docs/statistics.md about one table.

    Attributes
    ----------
    title : str
        Its heading: the table and its question.
    parts : dict of str to str
        By name of `PARTS`, one sentence per line; none is empty.
    """

    title: str
    parts: dict[str, str]


def reader_texts() -> dict[str, ReaderText]:
    """Return the sections of docs/statistics.md by the table each is about.

    Raises
    ------
    ValueError
        If a section about a table lacks one of the parts.
    """
    text = _text("statistics.md", PROJECT / "docs").read_text(encoding="utf-8")
    found = {}
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        table = _TABLE.search(body)
        if table is None:
            continue
        pieces = _PART.split(body[table.end() :])[1:]
        labelled = dict(zip(pieces[::2], pieces[1::2], strict=True))
        parts = {name: labelled.get(label, "").strip() for name, label in PARTS.items()}
        if not all(parts.values()):
            empty = [PARTS[name] for name, told in parts.items() if not told]
            raise ValueError(f"{table[1]} has no text for {', '.join(empty)}")
        found[table[1]] = ReaderText(title, parts)
    return found


def descriptions() -> dict[str, dict[str, Any]]:
    """Return grain and columns of every dbt model by name, from its YAML.

    A wheel knows the tables that readers see; a checkout knows every model.
    """
    models = PROJECT / "dbt_project" / "models"
    files = models.rglob("_*.yml") if models.is_dir() else _PACKAGED.glob("_*.yml")
    found = {}
    for path in sorted(files):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for model in content.get("models", []):
            found[model["name"]] = {
                "description": " ".join(model["description"].split()),
                "columns": {
                    column["name"]: " ".join(column["description"].split())
                    for column in model.get("columns", [])
                },
            }
    return found


def _text(name: str, edited: Path) -> Path:
    """The packaged text, else the one under edit."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_file() else edited / name

"""The user's document of the landing contract, written from the contract itself.

`python -m orchestration.landing.document > docs/landing-contract.md`
"""

import sys

from orchestration.landing.contract import ENTITIES, Column, Entity, Kind
from orchestration.landing.ingest import MESSAGES
from orchestration.settings import SourceConfig

KINDS: dict[Kind, tuple[str, str]] = {
    "id": ("id", "Text, kept as it is written; it becomes `<source>:<id>`."),
    "person": ("person", "Text that names a person; past raw it is a pseudonym."),
    "text": ("text", "Text without surrounding blanks."),
    "timestamp": (
        "timestamp",
        "ISO-8601, with an offset or in the source's `timezone`; kept in UTC.",
    ),
    "date": ("date", "ISO, such as 2026-09-30."),
    "integer": ("integer", "A whole number."),
    "number": ("number", "A number with a decimal point."),
    "boolean": ("boolean", "true, false, yes, no, t, f, y, n, 1 or 0."),
    "pii": ("restricted", "A name or an address; it stays in `restricted/`."),
    "free_text": ("restricted", "Free text; it stays in `restricted/`."),
}
REFUSALS = {
    "empty_inbox": "Nothing was delivered.",
    "no_applications": "There is no file of applications.",
    "unreadable_folder": "The inbox cannot be read.",
    "symlink": "Symbolic links are not followed.",
    "no_file": "A folder, pipe or device has the name of a file.",
    "misplaced_file": "The file is not in `<source>/`.",
    "unknown_entity": "The file is named after no entity.",
    "empty_file": "The file has no header or no row.",
    "too_large": "The file is over 20 GB, or unpacks to over 200 times its size.",
    "unreadable_file": "The file breaks off, is damaged or may not be read.",
    "no_room": "Memory or disk ran out while the file was read or written.",
    "changing_file": "The file was written to while it was read.",
    "wrong_encoding": "The text is not in the declared encoding.",
    "wrong_format": "The content is not what the name says.",
    "wrong_type": "A Parquet column holds a list, bytes, or ids as decimals.",
    "duplicate_column": "The header names a column twice.",
    "missing_column": "A required column is missing or has another name.",
    "removed_column": "A column that the file had is gone, perhaps renamed.",
    "unclosed_quote": "A quote is opened and never closed.",
    "bad_declaration": "The source's format or zone in sources.yaml is unusable.",
    "ragged_file": "Over 100,000 rows have another number of fields than the header.",
}
_FILES = """\
# The landing contract

What to deliver, in which form, and what happens to a row that does not fit.

## Files

A file lies in `<home>/inbox/<source>/` and is named `<entity>[.<anything>]`.
It ends in `.csv`, `.jsonl`, `.ndjson` or `.parquet`.
CSV and JSON Lines may be packed with gzip, with `.gz` at the end of the name.
`<source>` is any name in small letters, digits, `-` and `_`, such as `greenhouse_eu`.
A date in the name, such as `applications.2026-09-30.csv`, is the date of the extract.
Only `applications` is required for a run.

- CSV has a header, commas and quotes as in RFC 4180.
- Text is UTF-8, with or without a byte order mark.
- Each line of JSON Lines is one object of plain values, no objects or lists.
- JSON numbers are read by value: ids such as `1e3` or `007` are written as text.
- Parquet columns are plain; ids in it are text or whole numbers, never decimals.
- Columns are found by name, in any order and any case.
- An unknown column is ignored, with a warning.
- Nothing is guessed: `03/04/2026` is refused unless a format is declared.
- A value that is empty or blank is missing; `NULL`, `NA` and `None` are text.
- A line without any value is no row.
- A time that a clock change skips or repeats means its later moment, and warns.
- Symbolic links are refused, and other file types are left aside with a warning.

The same bytes twice change nothing.
A file of the same name with new content replaces the old one whole.
A file that is removed from the inbox is no longer read.

For every file, rows in = accepted + duplicates + quarantined.
A duplicate is an exact repetition within the file.
A quarantined row is noted in `quarantine/` by file, line, column and code.
Its values are kept in `restricted/` only.
The run stops if a larger share of an entity's rows is quarantined than \
`maximum_quarantine_rate` of `policy.yaml` allows.

`calibrant check` says all of this about an inbox and writes nothing.
"""


def document() -> str:
    """Return the document as Markdown, one sentence per line."""
    parts = [
        _FILES,
        "## Kinds of columns\n",
        "| kind | what it is |\n| --- | --- |",
        *dict.fromkeys(
            f"| {name} | {_kind_said(name)} |" for name, _ in KINDS.values()
        ),
        "\n## Entities\n",
        "A column marked *key* is part of what tells two rows apart.",
        "A *required* column must be there, and its values too unless it says"
        " *may be empty*.\n",
        *(_entity(entity) for entity in ENTITIES.values()),
        _codes(),
        _sources(),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _kind_said(name: str) -> str:
    said = [about for known, about in KINDS.values() if known == name]
    return (
        "Names, addresses and free text; they stay in `restricted/`."
        if (len(said) > 1)
        else said[0]
    )


def _entity(entity: Entity) -> str:
    lines = [
        f"### {entity.name}\n",
        entity.description + "\n",
        "| column | kind | | values |",
        "| --- | --- | --- | --- |",
        *(_column(column) for column in entity.columns),
    ]
    return "\n".join(lines) + "\n"


def _column(column: Column) -> str:
    marks = ["key"] if column.is_key else []
    marks.append("required" if column.is_required else "optional")
    if column.is_required and column.is_nullable:
        marks.append("may be empty")
    low, high = column.limits
    values = ", ".join(f"`{value}`" for value in column.values)
    if low is not None:
        values = f"from {_limit(low)}"
    if high is not None:
        values = f"{values} to {_limit(high)}".strip()
    return (
        f"| {column.name} | {KINDS[column.kind][0]} | {', '.join(marks)} | {values} |"
    )


def _limit(limit: float | str) -> str:
    return f"`{limit}`" if isinstance(limit, str) else f"{limit:g}"


def _codes() -> str:
    lines = [
        "## Why a file is refused\n",
        "A refused file stops the run; nothing that was published changes.\n",
        "| code | reason |\n| --- | --- |",
        *(f"| {code} | {reason} |" for code, reason in REFUSALS.items()),
        "\n## Why a row is quarantined\n",
        "| code | reason |\n| --- | --- |",
        *(f"| {c} | {m[0].upper()}{m[1:]}. |" for c, m in MESSAGES.items()),
        "\nReferences, conflicts and ratings off their rubric's scale are judged"
        " later, against everything else that was delivered.\n",
    ]
    return "\n".join(lines)


def _sources() -> str:
    lines = [
        "## sources.yaml\n",
        "How a source writes its data is declared in `<home>/sources.yaml`.",
        "Without the file, times without an offset are UTC and plain numbers are"
        " ratings as they stand, with a warning.\n",
        "| key | default | what it is |\n| --- | --- | --- |",
    ]
    for name, field in SourceConfig.model_fields.items():
        default = field.get_default(call_default_factory=True)
        said = list(default) if isinstance(default, tuple) else default
        shown = f"`{said}`" if said not in (None, {}, []) else "none"
        lines.append(f"| {name} | {shown} | {field.description} |")
    lines += [
        "\n```yaml",
        "sources:",
        "  csv:                     # the folder's name",
        "    timezone: Europe/Berlin",
        "    timestamp_format: '%d.%m.%Y %H:%M'",
        '    scale: {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}',
        '    stages: {"Phone Screen": phone_screen}',
        "```",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(document())

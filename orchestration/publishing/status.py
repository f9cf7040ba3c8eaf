"""What readers see now, in one look."""

from collections import Counter
from typing import Any

import pyarrow.parquet as pq

from orchestration.publishing.generation import Generation


def describe(generation: Generation, *, holder: str | None) -> dict[str, Any]:
    """Return the current generation, its gates, freshness and quarantine.

    Parameters
    ----------
    holder : str, optional
        Who holds the home just now.
    """
    manifest = generation.manifest
    files = manifest["input_files"]
    rows_in = sum(file["rows_in"] for file in files)
    quarantined = sum(file["quarantined"] for file in files)
    gates = pq.read_table(
        generation.published("committee") / "gates.parquet"
    ).to_pylist()
    warned = [row["description"] for row in gates if not row["success"]]
    quality = pq.read_table(
        generation.published("leaders") / "data_quality.parquet",
        columns=["section", "entity", "source", "measure", "n", "estimate"],
    ).to_pylist()
    return {
        "generation": generation.id,
        "as_of": generation.as_of.isoformat(),
        "path": str(generation.root),
        "code_version": manifest["code_version"],
        "gates": ", ".join(
            f"{name} {'passed' if gate['success'] else 'failed'} ({gate['n_checks']})"
            for name, gate in manifest["gates"].items()
        ),
        "warnings": "; ".join([*manifest["warnings"], *warned]) or "none",
        "input": f"{len(files)} files, {rows_in:,} rows",
        "freshness": _freshness(quality),
        "quarantine": f"{quarantined:,} rows refused at landing, "
        + _set_aside(quality),
        "sites": "built" if generation.site("leaders").is_dir() else "not built",
        "running": holder or "no run",
    }


def _freshness(quality: list[dict[str, Any]]) -> str:
    """Days from each source's last event to `as_of`."""
    ages: dict[str, float] = {}
    for row in quality:
        if row["section"] == "freshness":
            age = float(row["estimate"])
            ages[row["source"]] = min(age, ages.get(row["source"], age))
    told = [f"{source} {age:.0f} days old" for source, age in sorted(ages.items())]
    return ", ".join(told) or "no events"


def _set_aside(quality: list[dict[str, Any]]) -> str:
    """Rows of this generation without what they refer to, or in conflict, by entity."""
    rows: Counter[str] = Counter()
    for row in quality:
        if row["section"] == "generation" and row["measure"] == "quarantine_rate":
            rows[row["entity"]] += round(row["estimate"] * row["n"])
    told = [f"{n:,} of {entity}" for entity, n in sorted(rows.items()) if n]
    return f"{sum(rows.values()):,} set aside" + (
        f" ({', '.join(told)})" if told else ""
    )

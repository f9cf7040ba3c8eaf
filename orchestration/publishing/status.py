"""What readers see now, in one look."""

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
        "quarantine": f"{quarantined:,} rows refused at landing",
        "sites": "built" if generation.site("leaders").is_dir() else "not built",
        "running": holder or "no run",
    }

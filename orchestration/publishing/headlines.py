"""The findings of a generation in a few sentences, each with its number."""

from typing import Any

import duckdb

from orchestration.publishing.generation import Generation


def headlines(generation: Generation) -> list[str]:
    """Return the headline sentences of a generation, from its published tables.

    A number that is not there is said not to be there, with its reason.
    """
    about = _rows(generation, "leaders", "generation", "true")[0]
    sentences = [
        f"{about['n_applications'] or 0:,} applications up to {generation.as_of},"
        f" {about['n_hired'] or 0:,} hired, {about['n_open'] or 0:,} open;"
        f" last closed quarter {about['last_closed_quarter'] or 'none'}."
    ]
    pooled = "role_family = 'all' and source = 'all' and window_kind = 'year'"
    sentences += [
        _sentence(
            generation, "time_to_hire", f"{pooled} and measure = 'time_to_hire'",
            "Median time to hire {estimate:.0f} days ({ci_low:.0f} to {ci_high:.0f})",
        ),
        _sentence(
            generation, "offer_acceptance", pooled,
            "Offers accepted {estimate:.0%} ({ci_low:.0%} to {ci_high:.0%})",
        ),
    ]  # fmt: skip
    slow = _rows(
        generation,
        "leaders",
        "bottlenecks",
        "is_bottleneck and role_family = 'all' and window_kind = 'year'",
    )
    stages = sorted({str(row["stage"]) for row in slow})
    sentences.append(
        f"Bottlenecks: {', '.join(stages)}." if stages else "No stage is a bottleneck."
    )
    actions = _rows(generation, "committee", "rubric_recommendations", "is_action")
    sentences.append(f"{len(actions)} recommendations propose an action:")
    sentences += [f"- {row['rule_id']} {row['action_text']}" for row in actions[:8]]
    if len(actions) > 8:
        sentences.append(f"- and {len(actions) - 8} more in the committee's site")
    return sentences


def _sentence(generation: Generation, table: str, where: str, text: str) -> str:
    """The newest closed window's number in words, or why it is not there."""
    rows = _rows(generation, "leaders", table, where)
    if not rows:
        return f"{table.replace('_', ' ')}: not enough data yet."
    row = rows[-1]
    if row["estimate"] is None or row["ci_low"] is None or row["ci_high"] is None:
        return f"{table.replace('_', ' ')}: {row['status']}, {row['status_reason']}."
    return f"{text.format(**row)}, n = {row['n']:,}, {row['window_label']}."


def _rows(
    generation: Generation, audience: str, table: str, where: str
) -> list[dict[str, Any]]:
    """Rows of a published table, oldest window first."""
    path = str(generation.published(audience) / f"{table}.parquet")
    relation = duckdb.read_parquet(path).filter(where)
    if "window_end" in relation.columns:
        relation = relation.order("window_end")
    rows: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return rows

"""Evaluate the rules over the reports, controlled over families of targets."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import chi2, norm

from orchestration.recommendations.wording import worded
from orchestration.settings import Policy
from orchestration.statistics.multiplicity import family_wise
from orchestration.statistics.proportions import wilson
from orchestration.warehouse import Warehouse

Floats = NDArray[np.float64]

RULES_FILE = Path(__file__).with_name("rules.yaml")
# Half the width of a 95 % interval in standard errors.
Z95 = float(norm.ppf(0.975))
VALID_DAYS = 184

SCHEMA = pa.schema(
    [
        ("recommendation_id", pa.string()), ("rule_id", pa.string()),
        ("rule_version", pa.int64()), ("quarter", pa.string()),
        ("target_kind", pa.string()), ("target", pa.string()),
        ("role_family", pa.string()), ("round", pa.string()),
        ("competency", pa.string()), ("rubric_id", pa.string()),
        ("rubric_version", pa.string()), ("stage", pa.string()),
        ("attribute", pa.string()), ("group_value", pa.string()),
        ("interviewer_id", pa.string()), ("statistic", pa.string()),
        ("n", pa.int64()), ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("status_reason", pa.string()),
        ("threshold", pa.float64()), ("p", pa.float64()), ("q", pa.float64()),
        ("evidence_level", pa.string()), ("action", pa.string()),
        ("action_text", pa.string()), ("expected_effect", pa.string()),
        ("caveats", pa.string()), ("valid_until", pa.date32()),
        ("owner", pa.string()), ("decision", pa.string()),
        ("previous_outcome", pa.string()), ("is_action", pa.bool_()),
    ]
)  # fmt: skip


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Data):
    """One inequality and where its doubt comes from.

    `start` names the reliability that a figure tested as `planned` grows from, with
    `interval` as its bounds; `se` names the standard error of a statistic whose bounds
    the report does not carry.
    """

    statistic: str
    above: float | None = None
    below: float | None = None
    test: Literal["interval", "share", "deviation", "column", "planned", "none"]
    interval: tuple[str, str] | None = None
    column: str | None = None
    start: str | None = None
    se: str | None = None


class Repeat(_Data):
    """The same finding in several non-overlapping windows.

    `side` names the column whose sign the windows must share, by default what the first
    condition looks at. With `since_before`, a window is told by its distance from the
    target's mean over the windows of its kind before the newest, weighted by n.
    """

    statistic: str
    kind: str
    windows: int
    at_least: int
    where: Mapping[str, Any] | None = None
    above: float | None = None
    beyond_policy: str | None = None
    side: str | None = None
    since_before: bool = False


class Minimum(_Data):
    """The n below which a rule is untestable."""

    column: str
    policy: str | None = None
    number: int | None = None


class Window(_Data):
    """Which closed windows a rule looks at."""

    kind: str
    newest: int


class Rule(_Data):
    """One rule of `rules.yaml`."""

    id: str
    version: int
    basis: str = ""
    title: str
    report: str
    target: tuple[str, ...]
    window: Window
    where: Mapping[str, Any] = Field(default_factory=dict)
    family_where: Mapping[str, Any] | None = None
    minimum: Minimum
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    repeat: Repeat | None = None
    action: str
    owner: str
    untestable: str = ""
    text: str
    expected_effect: str
    caveats: str


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return the rules that ship with the project."""
    content = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))
    return tuple(Rule.model_validate(entry) for entry in content)


REPORTS = tuple(sorted({rule.report for rule in load_rules()}))


def evaluate(warehouse: Warehouse, policy: Policy, *, as_of: dt.date) -> pa.Table:
    """Return what the rules propose, one row per rule and target.

    A target is tested where its n reaches the rule's minimum. The p of a row is the
    largest one-sided p of its uncertain conditions. Each rule is a family; families
    are tested on their Simes p with Benjamini-Hochberg, and inside the S of F
    families that pass, rows are tested at level x S / F, so that adding rules does
    not add false alarms (Benjamini & Bogomolov 2014, JRSS-B 76:297-318).

    Rows of rule R12 propose no action: they name targets another rule cannot test
    for two quarters, and how many more observations it would take.

    Parameters
    ----------
    as_of : date
        Only windows closed by then are looked at; the reports carry which are.
    """
    reports = {
        name: warehouse.read_arrow(f"select * from reports.{name}").to_pandas()
        for name in REPORTS
    }
    tested = [
        (rule, _tested(rule, reports[rule.report], policy)) for rule in load_rules()
    ]
    families = np.concatenate(
        [np.full(len(frame), place) for place, (_, frame) in enumerate(tested)]
    ).astype(np.int64)
    p = np.concatenate([frame["_p"].to_numpy(float) for _, frame in tested])
    control = family_wise(p, families, level=policy.false_discovery_rate)
    rows: list[dict[str, Any]] = []
    start = 0
    for rule, frame in tested:
        here = slice(start, start + len(frame))
        start += len(frame)
        marked = frame.assign(_q=control.q[here], _pass=control.rejected[here])
        chosen = marked[marked["_pass"] & marked["_holds"]]
        rows += [_action_row(rule, row, policy) for row in chosen.to_dict("records")]
        rows += _untestable(rule, reports[rule.report], policy)
    unique = {row["recommendation_id"]: row for row in reversed(rows)}
    ordered = sorted(
        unique.values(),
        key=lambda row: (not row["is_action"], row["rule_id"], row["target"]),
    )
    return pa.Table.from_pylist(ordered, schema=SCHEMA)


def _tested(rule: Rule, report: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """The rule's testable rows with `_p` and whether every condition `_holds`."""
    family = _windowed(report, rule.window.kind, rule.window.newest)
    family = _matching(family, rule.family_where or rule.where)
    family = family[_enough(rule, family, policy)]
    p = np.zeros(len(family))
    holds = np.ones(len(family), dtype=bool)
    for condition in rule.conditions:
        condition_p, condition_holds = _judged(rule, condition, family, policy)
        p = np.fmax(p, condition_p)
        holds &= condition_holds
    holds &= family.index.isin(_matching(family, rule.where).index)
    if rule.repeat:
        holds &= _repeated(rule, rule.repeat, family, report, policy)
    return family.assign(_p=p, _holds=holds)


def _judged(
    rule: Rule, condition: Condition, rows: pd.DataFrame, policy: Policy
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One-sided p of a condition, and whether its estimate meets it."""
    value = rows[condition.statistic].to_numpy(float)
    bound = _threshold(rule, condition, policy)
    sign = -1.0 if condition.above is None and condition.below is not None else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        if condition.test == "column":
            p = rows[condition.column].to_numpy(float)
            holds = np.isfinite(value) if bound is None else sign * (value - bound) > 0
            return np.where(np.isfinite(p), p, 1.0), holds
        limit = bound or 0.0
        excess = sign * (value - limit)
        holds = excess > 0
        n = rows["n"].to_numpy(float)
        if condition.test == "none":
            p = np.zeros(len(rows))
        elif condition.test == "planned":
            p = np.zeros(len(rows))
            holds = sign * (_at_best(condition, rows, value, sign) - limit) > 0
        elif condition.test == "interval":
            names = condition.interval or (
                f"{condition.statistic}_ci_low",
                f"{condition.statistic}_ci_high",
            )
            # The bound that faces the threshold: intervals need not be symmetric.
            facing = rows[names[0] if sign > 0 else names[1]].to_numpy(float)
            p = norm.sf(excess / (np.abs(value - facing) / Z95))
        elif condition.test == "share":
            p = norm.sf(excess / np.sqrt(limit * (1 - limit) / n))
        else:
            scaled = (n - 1) * (value / limit) ** 2
            p = chi2.cdf(scaled, n - 1) if sign < 0 else chi2.sf(scaled, n - 1)
    return np.where(np.isfinite(p), p, 1.0), holds


def _at_best(
    condition: Condition, rows: pd.DataFrame, value: Floats, sign: float
) -> Floats:
    """The planned reliability where the one it grows from is at its better bound.

    More raters multiply signal-to-noise, whatever it is now.
    """
    low, high = condition.interval or ("ci_low", "ci_high")
    start = rows[condition.start].to_numpy(float)
    bound = rows[high if sign > 0 else low].to_numpy(float)
    signal = value / (1 - value) * (1 - start) / start * bound / (1 - bound)
    return np.asarray(signal / (1 + signal), dtype=np.float64)


def _threshold(rule: Rule, condition: Condition, policy: Policy) -> float | None:
    """The condition's threshold; the first one can be set by the policy."""
    own = condition.above if condition.above is not None else condition.below
    if condition is rule.conditions[0]:
        chosen = policy.rules.get(rule.id, {}).get("threshold")
        return own if chosen is None else float(chosen)
    return own


def _repeated(
    rule: Rule, repeat: Repeat, rows: pd.DataFrame, report: pd.DataFrame, policy: Policy
) -> np.ndarray[Any, Any]:
    """Whether each target shows the finding in enough of the newest windows."""
    scope = repeat.where
    if scope is None:
        scope = {name: rule.where[name] for name in rule.where if name == "role_family"}
    recent = _matching(_windowed(report, repeat.kind, repeat.windows), scope)
    keys = list(rule.target)
    value = recent[repeat.statistic].to_numpy(float)
    if repeat.since_before:
        value = value - _before(rule, repeat, recent, report, scope)
    if repeat.beyond_policy:
        margin = float(getattr(policy, repeat.beyond_policy))
        side = np.sign(value) * (np.abs(value) > margin)
    else:
        side = (value > (repeat.above or 0.0)).astype(float)
    counted = recent.assign(_side=side).groupby(keys)["_side"]
    up = counted.apply(lambda sides: (sides > 0).sum()).to_dict()
    down = counted.apply(lambda sides: (sides < 0).sum()).to_dict()
    found = []
    sided = repeat.side or rule.conditions[0].statistic
    for row in rows[[*keys, sided]].itertuples(index=False):
        key = row[0] if len(keys) == 1 else tuple(row[:-1])
        same_side = down if row[-1] < 0 else up
        found.append(same_side.get(key, 0) >= repeat.at_least)
    return np.array(found, dtype=bool)


def _before(
    rule: Rule,
    repeat: Repeat,
    recent: pd.DataFrame,
    report: pd.DataFrame,
    scope: Mapping[str, Any],
) -> Floats:
    """Each recent row's own mean over the windows before; NaN without any."""
    keys = list(rule.target)
    ends = recent["window_end"].unique()
    closed = _windowed(report, repeat.kind, len(report))
    earlier = _matching(closed[~closed["window_end"].isin(ends)], scope)
    earlier = earlier.dropna(subset=[repeat.statistic])
    weighted = earlier.assign(_total=earlier[repeat.statistic] * earlier["n"])
    sums = weighted.groupby(keys, as_index=False)[["_total", "n"]].sum()
    known = recent[keys].merge(sums, on=keys, how="left")
    return (known["_total"] / known["n"]).to_numpy(float)


def _windowed(report: pd.DataFrame, kind: str, newest: int) -> pd.DataFrame:
    """Rows of the newest closed windows of a kind."""
    closed = report[(report["window_kind"] == kind) & report["is_closed"].astype(bool)]
    ends = sorted(closed["window_end"].unique())[-newest:]
    return closed[closed["window_end"].isin(ends)]


def _matching(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Rows whose columns have the values asked for."""
    keep = pd.Series(True, index=rows.index)
    for column, wanted in where.items():
        if isinstance(wanted, Mapping) and "known" in wanted:
            keep &= rows[column].notna() == wanted["known"]
        elif isinstance(wanted, Mapping):
            keep &= rows[column] != wanted["not"]
        elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
            keep &= rows[column].isin(list(wanted))
        else:
            keep &= rows[column] == wanted
    return rows[keep.fillna(False).astype(bool)]


def _minimum(rule: Rule, policy: Policy) -> int:
    if rule.minimum.policy:
        return int(getattr(policy, rule.minimum.policy))
    return int(rule.minimum.number or 0)


def _enough(rule: Rule, rows: pd.DataFrame, policy: Policy) -> pd.Series:
    return rows[rule.minimum.column].fillna(0) >= _minimum(rule, policy)


def _action_row(rule: Rule, row: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """One proposed action."""
    first = rule.conditions[0]
    threshold = _threshold(rule, first, policy)
    low, high, method = _interval(first, row)
    values = {
        **row,
        "threshold": threshold,
        "low": low,
        "high": high,
        "severity_margin": policy.severity_margin,
    }
    return {
        **_about(rule, row),
        "statistic": first.statistic if first.statistic != "estimate" else rule.action,
        # What the finding rests on: double-rated candidates, where those are counted.
        "n": int(row[rule.minimum.column]),
        "estimate": _number(row[first.statistic]),
        "ci_low": low,
        "ci_high": high,
        "ci_method": method,
        "status": "ok",
        "status_reason": "",
        "threshold": threshold,
        "p": float(row["_p"]),
        "q": float(row["_q"]),
        "evidence_level": "strong" if row["_q"] < 0.01 else "moderate",
        "action": rule.action,
        "action_text": worded(rule.text, values),
        "expected_effect": worded(rule.expected_effect, values),
        "caveats": worded(rule.caveats, values),
        "owner": rule.owner,
        "is_action": True,
    }


def _interval(
    condition: Condition, row: Mapping[str, Any]
) -> tuple[float | None, float | None, str]:
    """Bounds of what the row shows, and their method."""
    if condition.test == "share":
        n = int(row["n"])
        share = wilson(round(row[condition.statistic] * n), n)
        return float(share.low), float(share.high), "Wilson"
    if condition.se:
        value, half = float(row[condition.statistic]), Z95 * float(row[condition.se])
        return value - half, value + half, "normal"
    own = f"{condition.statistic}_ci_low", f"{condition.statistic}_ci_high"
    names = condition.interval or (own if own[0] in row else ("ci_low", "ci_high"))
    low, high = (_number(row.get(name)) for name in names)
    return low, high, str(row["ci_method"])


def _untestable(
    rule: Rule, report: pd.DataFrame, policy: Policy
) -> list[dict[str, Any]]:
    """Rows of R12: targets that more volume could test, but not for two quarters."""
    if not rule.untestable:
        return []
    column, needed = rule.minimum.column, _minimum(rule, policy)
    year = _matching(_windowed(report, rule.window.kind, 1), rule.where)
    short = year[~_enough(rule, year, policy)]
    quarters = _matching(_windowed(report, "quarter", 2), rule.where)
    present = quarters.groupby(list(rule.target)).size()
    rows = []
    for row in short.to_dict("records"):
        key = tuple(row[name] for name in rule.target)
        if present.get(key if len(key) > 1 else key[0], 0) < 2:
            continue
        have = int(row[column] or 0)
        about = _about(rule, row, rule_id="R12", of=rule.id)
        rows.append(
            {
                **about,
                "statistic": column,
                "n": int(row["n"] or 0),
                "estimate": float(have),
                "ci_method": "count",
                "status": "insufficient",
                "status_reason": f"{rule.id} needs {needed}, there are {have}",
                "threshold": float(needed),
                "evidence_level": "none",
                "action": "collect_more",
                "action_text": (
                    f"{rule.title} ({rule.id}) cannot be tested for {about['target']}:"
                    f" {have} of {needed} candidates rated by two or more. Plan"
                    f" {needed - have} {rule.untestable} over the next year."
                ),
                "expected_effect": f"{rule.id} becomes testable",
                "caveats": "No finding: absence of data is not absence of a fault.",
                "owner": rule.owner,
                "is_action": False,
            }
        )
    return rows


def _about(
    rule: Rule, row: Mapping[str, Any], *, rule_id: str = "", of: str = ""
) -> dict[str, Any]:
    """What a row is about; its id is the same in every re-run of the quarter."""
    target = " · ".join(str(row[name]) for name in rule.target)
    end: dt.date = row["window_end"]
    quarter = f"to {end.isoformat()}"
    identity = "|".join((rule_id or rule.id, of, target, quarter))
    return {
        "recommendation_id": "rec_"
        + hashlib.sha256(identity.encode()).hexdigest()[:16],
        "rule_id": rule_id or rule.id,
        "rule_version": rule.version,
        "quarter": str(row["window_label"]),
        "target_kind": " × ".join(rule.target),
        "target": target,
        **{
            name: None if _missing(row.get(name)) else str(row[name])
            for name in (
                "role_family", "round", "competency", "rubric_id", "rubric_version",
                "stage", "attribute", "group_value", "interviewer_id",
            )
        },
        "valid_until": end + dt.timedelta(days=VALID_DAYS),
        "decision": "open",
        "previous_outcome": None,
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return None if _missing(value) else float(value)


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))

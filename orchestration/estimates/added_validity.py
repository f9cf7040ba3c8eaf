"""What each score of a loop adds to the others in telling a hire's reviews (T8)."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestration.settings import Policy
from orchestration.statistics.validity import (
    correct_multivariate,
    dominated_by,
    increments,
    moments,
    multivariate_validity,
)

Floats = NDArray[np.float64]

# A score belongs to its set, and a round to the composite, where four of five hires
# have it: complete cases of rare scores would be nobody.
CORE_SHARE = 0.8
# Columns found by score; those of the joint correction are null but for rounds.
KEYS = ["role_family", "predictor_kind", "predictor"]
ADDED = (
    "n_complete", "delta_r2", "delta_r2_p", "unique_r2", "unique_r2_ci_low",
    "unique_r2_ci_high", "dominated_by", "joint", "joint_ci_low", "joint_ci_high",
    "joint_operational",
)  # fmt: skip


def added_validity(
    everyone: pd.DataFrame, outcome: str, *, pooled: bool, policy: Policy
) -> pd.DataFrame:
    """Return what each score adds to the others of its set, among complete cases.

    The set of a round is the rounds of the loop, that of a competency the competencies
    of its round, each as far as `CORE_SHARE` of the reviewed hires have it. Rounds are
    also corrected for selection on all of them together.

    Parameters
    ----------
    everyone : DataFrame
        A row per application and score: `application_id`, `role_family`,
        `predictor_kind`, `predictor`, `of_set` (null for none), `z`, `is_hired` and
        the outcome, null for those without a review.
    outcome : str
        Its column.
    pooled : bool
        Whether role families are pooled, each around its own mean.
    policy : Policy
        For the fewest hires shown and the reliability of reviews.

    Returns
    -------
    DataFrame
        `KEYS` and `ADDED`, for the scores of sets of two or more. `n_complete` counts
        the reviewed hires with every score of the set; below the policy's minimum it
        is all there is.
    """
    # Of applicants only the spread of rounds is asked.
    asked = everyone["is_hired"] | (everyone["predictor_kind"] == "round")
    columns = ["application_id", *KEYS, "of_set", "z", "is_hired", outcome]
    scores = everyone.loc[asked & everyone["of_set"].notna(), columns]
    shown = scores.assign(shown_family="all" if pooled else scores["role_family"])
    parts = [
        _set_rows(str(family), str(kind), rows, outcome, policy)
        for (family, kind, _), rows in shown.groupby(
            ["shown_family", "predictor_kind", "of_set"]
        )
    ]
    kept = [part for part in parts if not part.empty]
    found = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
    found = found.reindex(columns=[*KEYS, *ADDED]).astype(dict.fromkeys(KEYS, object))
    numbers = [name for name in ADDED if name != "dominated_by"]
    return found.astype(dict.fromkeys(numbers, float))


def _set_rows(
    family: str, kind: str, rows: pd.DataFrame, outcome: str, policy: Policy
) -> pd.DataFrame:
    """The scores of one set of one role family."""
    reviewed = rows[rows["is_hired"] & rows[outcome].notna()]
    scores = _wide(reviewed)
    core = scores.columns[scores.notna().mean() >= CORE_SHARE]
    if len(core) < 2:
        return pd.DataFrame()
    complete = scores[core].dropna()
    frame = pd.DataFrame(
        {"role_family": family, "predictor_kind": kind, "predictor": core}
    ).assign(n_complete=len(complete))
    if len(complete) < policy.show_minimum_outcomes:
        return frame
    by_person = reviewed.drop_duplicates("application_id").set_index("application_id")
    person = by_person.loc[complete.index]
    values = np.column_stack([complete.to_numpy(), person[outcome].to_numpy(float)])
    covariance, n = _covariance(values, person["role_family"])
    found = increments(covariance, n)
    better = dominated_by(covariance, n, level=policy.false_discovery_rate).by
    frame = frame.assign(
        delta_r2=found.unique_r2,
        delta_r2_p=found.p,
        unique_r2=found.unique_r2,
        unique_r2_ci_low=found.low,
        unique_r2_ci_high=found.high,
        dominated_by=[core[place] if place >= 0 else None for place in better],
    )
    if kind == "round":
        applicants = _among_applicants(rows, core)
        frame = frame.assign(**_joint(covariance, n, applicants, policy))
    return frame


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores with a row per application and a column per predictor."""
    return rows.pivot(index="application_id", columns="predictor", values="z")


def _covariance(values: Floats, family: pd.Series) -> tuple[Floats, int]:
    """Covariances within role families, and the cases they are worth.

    Each family's own mean costs a degree of freedom.
    """
    found = moments(
        values,
        group=np.zeros(len(values), np.int64),
        stratum=pd.factorize(family)[0],
        n_groups=1,
    )
    return found.covariance[0], int(found.n[0])


def _among_applicants(rows: pd.DataFrame, core: pd.Index) -> Floats:
    """Covariances of the rounds as they would be had all been taken by all.

    Who takes a round was chosen by those before it, so each round is carried back to
    the takers of the first by its regression on the earlier ones. This is the maximum
    likelihood answer where the later rounds' takers are among the earlier ones'
    (Anderson 1957, JASA 52, 200-203).
    """
    scores = _wide(rows)[core]
    order = scores.notna().sum().sort_values(ascending=False, kind="stable").index
    family = rows.drop_duplicates("application_id").set_index("application_id")
    known = np.zeros((0, 0))
    for count in range(1, len(order) + 1):
        takers = scores[order[:count]].dropna()
        seen, _ = _covariance(
            takers.to_numpy(), family.loc[takers.index, "role_family"]
        )
        known = seen if count == 1 else correct_multivariate(seen, known).covariance
    place = order.get_indexer(core)
    return known[np.ix_(place, place)]


def _joint(
    covariance: Floats, n: int, applicants: Floats, policy: Policy
) -> dict[str, Any]:
    """Validity of each round among applicants, for selection on all of them."""
    found = multivariate_validity(covariance, n, unrestricted=applicants)
    operational = np.full(found.estimate.shape, np.nan)
    if policy.criterion_reliability is not None:
        true = covariance.copy()
        true[-1, -1] *= policy.criterion_reliability
        operational = multivariate_validity(true, n, unrestricted=applicants).estimate
    return {
        "joint": found.estimate,
        "joint_ci_low": found.low,
        "joint_ci_high": found.high,
        "joint_operational": operational,
    }

"""Published data through the whole pipeline, as somebody's own: README's examples."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from orchestration.publishing.generation import current_generation
from orchestration.settings import Home

EXAMPLES = "examples"
# As many as InstEval (lme4): 73,421 ratings of 1,128 teachers by 2,972 students.
N_STUDENTS, N_TEACHERS, N_RATINGS = 2_972, 1_128, 73_000


@pytest.fixture(scope="module")
def example(request, scratch, calibrant):
    """Run an example in a copy of its folder and return its published tables."""
    root = request.config.rootpath / EXAMPLES

    def run(name, *arguments):
        home = Home(scratch / name)
        shutil.copytree(root / name, home.root)
        told = calibrant("run", "--no-sites", *arguments, home=home)
        assert told.code == 0, told.text
        return current_generation(home)

    return run


@pytest.fixture(scope="module")
def berkeley(example):
    generation = example("berkeley_1973", "--as-of", "1974-06-30")
    table = pq.read_table(
        generation.published("committee") / "adverse_impact.parquet"
    ).to_pylist()
    women = [
        row
        for row in table
        if row["role_family"] == "all"
        and row["stage"] == "overall"
        and row["group_value"] == "female"
        and row["window_kind"] == "year"
    ]
    return women[-1]


def test_berkeley_admits_women_at_two_thirds_of_the_rate_of_men(berkeley):
    """Bickel, Hammel & O'Connell (1975), Science 187:398-404."""
    assert berkeley["estimate"] == pytest.approx(0.6818, abs=5e-5)
    assert berkeley["n"] == 1835
    assert berkeley["n_reference"] == 2691
    assert berkeley["reference_group"] == "male"


def test_berkeley_departments_admit_women_as_often_as_men(berkeley):
    """Mantel-Haenszel over departments, computed with R's `mantelhaen.test` family."""
    assert berkeley["mh_rr"] == pytest.approx(1.058, abs=5e-4)
    assert berkeley["mh_rr_ci_low"] == pytest.approx(0.970, abs=5e-4)
    assert berkeley["mh_rr_ci_high"] == pytest.approx(1.154, abs=5e-4)


def test_berkeley_departments_differ_and_the_paradox_is_flagged(berkeley):
    assert berkeley["bd_p"] == pytest.approx(0.002, abs=5e-4)
    assert berkeley["simpson_flag"] is True


@pytest.fixture(scope="module")
def panel(example):
    generation = example("panel_small")
    rows = pq.read_table(
        generation.published("committee") / "rater_reliability.parquet"
    ).to_pylist()
    return [row for row in rows if row["n_ratings"] == 24][-1]


def test_the_panel_has_the_published_reliability_of_one_rating(panel):
    """Shrout & Fleiss (1979), Psychological Bulletin 86:420-428, table 4."""
    assert panel["icc1_anova"] == pytest.approx(0.1657, abs=5e-5)
    assert panel["icc_single"] == pytest.approx(0.2898, abs=5e-5)


def test_the_panel_keeps_its_own_scale_and_its_own_smallest_group(panel):
    assert panel["n"] == 6
    assert panel["n_raters"] == 4
    assert panel["status"] != "suppressed"


def _crossed_inbox(home, n_ratings):
    """Applications, scorecards and ratings alone: crossed, sparse, of known variance.

    Sizes as in InstEval; standard deviations of candidate, interviewer and the rest
    0.33, 0.52 and 1.18 (Bates et al. 2015, J. Stat. Softw. 67(1)).
    """
    rng = np.random.default_rng(20_150_107)
    share = n_ratings / N_RATINGS
    n_candidates, n_raters = round(N_STUDENTS * share), round(N_TEACHERS * share)
    pairs = rng.choice(n_candidates * n_raters, n_ratings, replace=False)
    candidate, rater = np.divmod(pairs, n_raters)
    level = (
        3.2
        + rng.normal(0, 0.33, n_candidates)[candidate]
        + rng.normal(0, 0.52, n_raters)[rater]
        + rng.normal(0, 1.18, n_ratings)
    )
    rating = np.clip(np.rint(level), 1, 5).astype(int)
    start = np.datetime64("2026-01-01T09:00:00")
    applied = start + rng.integers(0, 60, n_candidates) * np.timedelta64(1, "D")
    submitted = applied[candidate] + rng.integers(1, 20, n_ratings) * np.timedelta64(
        1, "D"
    )
    cards = np.char.add("S", np.arange(n_ratings).astype(str))
    tables = {
        "applications": {
            "application_id": np.char.add("A", np.arange(n_candidates).astype(str)),
            "candidate_id": np.char.add("C", np.arange(n_candidates).astype(str)),
            "applied_at": applied,
            "status": np.full(n_candidates, "active"),
        },
        "scorecards": {
            "scorecard_id": cards,
            "application_id": np.char.add("A", candidate.astype(str)),
            "interviewer_id": np.char.add("I", rater.astype(str)),
            "round": np.full(n_ratings, "lecture"),
            "submitted_at": submitted,
        },
        "ratings": {
            "scorecard_id": cards,
            "competency": np.full(n_ratings, "teaching"),
            "rating": rating,
        },
    }
    folder = home.inbox / "csv"
    folder.mkdir(parents=True)
    for name, columns in tables.items():
        pacsv.write_csv(pa.table(columns), folder / f"{name}.csv")


@pytest.mark.parametrize(
    "n_ratings",
    [10_000, pytest.param(N_RATINGS, marks=pytest.mark.nightly)],
)
def test_an_inbox_of_scorecards_and_ratings_alone_gives_variance_components(
    fresh, calibrant, n_ratings
):
    _crossed_inbox(fresh, n_ratings)

    told = calibrant("run", "--no-sites", home=fresh)

    assert told.code == 0, told.text
    published = current_generation(fresh).published("committee")
    rows = pq.read_table(published / "rater_reliability.parquet").to_pylist()
    whole = [row for row in rows if row["n_ratings"] == n_ratings]
    assert whole
    row = whole[-1]
    # Clipping to five levels takes a tenth away; of 155 raters' variance one standard
    # error is another tenth.
    assert row["var_candidate"] == pytest.approx(0.33**2, rel=0.35)
    assert row["var_interviewer"] == pytest.approx(0.52**2, rel=0.35)
    assert row["var_resid"] == pytest.approx(1.18**2, rel=0.35)
    assert row["icc_single_ci_low"] < row["icc_single"] < row["icc_single_ci_high"]

"""The harness of `make calibrate`: tallies, digests, the store, and a tiny run."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.calibration.__main__ import main
from tests.calibration.report import MET, NARROW, UNCLEAR, WIDE, document, verdict
from tests.calibration.scales import (
    agreement_truths,
    level_shares,
    levels,
    pair_correlation,
    pair_shares,
)
from tests.calibration.study import (
    CLOSED_TARGET,
    STUDIES,
    Cell,
    Row,
    Store,
    Study,
    _bare,
    _folder_source,
    cells,
    happened,
    run_all,
    sources,
    tally,
)


def coin(rng: np.random.Generator, n: int, replicates: int) -> Iterator[Row]:
    """Intervals of half a unit about normal means."""
    mean = rng.normal(size=(replicates, n)).mean(axis=1)
    yield tally("mean", mean - 0.5, mean + 0.5, 0.0)


def broken(rng: np.random.Generator, n: int, replicates: int) -> Iterator[Row]:
    """No interval at all."""
    raise ZeroDivisionError("nothing to divide by")


def a_study(simulation=coin, name: str = "coin") -> Study:
    return Study("coverage", name, "throws", simulation, (4, 9), 50, CLOSED_TARGET, "")


def tiny(folder: Path, *more: str) -> tuple[int, str]:
    """Two cells of the real studies, in this process."""
    page = folder / "page.md"
    code = main(
        ["--store", str(folder / "kept"), "--report", str(page), "--workers", "0",
         "--replicates", "40", "--sizes", "30", "--date", "2026-11-24",
         "--only", "wilson", "reml, candidates", *more]
    )  # fmt: skip
    return code, page.read_text("utf-8")


def test_a_tiny_run_writes_its_cells_and_the_page(tmp_path: Path) -> None:
    code, page = tiny(tmp_path)

    kept = sorted(path.name.split(".")[0] for path in (tmp_path / "kept").iterdir())
    assert code == 0
    assert kept == [
        "coverage-flips-and-borderline-cases-wilson-30",
        "coverage-reml-candidates-interviewers-30",
        "coverage-wilson-30",
    ]
    assert "Written on 24 November 2026" in page
    assert "### Wilson\n" in page
    assert "| G(q,k) of the panel | 30 |" in page
    assert "cells are not finished" in page


def test_a_second_call_runs_nothing_and_writes_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = tiny(tmp_path)
    capsys.readouterr()

    _, second = tiny(tmp_path)

    assert "3 cells are kept, 0 to run." in capsys.readouterr().err
    assert second == first


def test_a_cell_repeats_its_numbers(tmp_path: Path) -> None:
    cell = Cell(a_study(), 4, 50)

    run_all([cell], tmp_path / "one", 0)
    run_all([cell], tmp_path / "two", 0)

    one, two = (Store(tmp_path / name).found(cell) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert one["rows"] == two["rows"]


def test_another_definition_replaces_what_was_kept(tmp_path: Path) -> None:
    before, after = Cell(a_study(), 4, 50), Cell(a_study(), 4, 60)
    run_all([before], tmp_path, 0)

    run_all([after], tmp_path, 0)

    assert Store(tmp_path).found(before) is None
    assert Store(tmp_path).found(after) is not None


def test_a_cell_that_fails_is_counted_and_ends_no_other(tmp_path: Path) -> None:
    bad, good = Cell(a_study(broken, "bad"), 4, 50), Cell(a_study(), 4, 50)

    failed = run_all([bad, good], tmp_path, 0)

    assert failed == 1
    assert [path.name for path in tmp_path.iterdir()] == [
        Store(tmp_path).path(good).name
    ]


def test_the_digest_depends_on_the_simulation_not_on_its_wording() -> None:
    one = '"""Says this."""\n\n# why\nx = 1\n'
    other = '"""Says that."""\nx  =  1\n'
    changed = '"""Says this."""\nx = 2\n'

    sources = [_bare(text) for text in (one, other, changed)]

    assert sources[0] == sources[1] != sources[2]


def test_a_companys_digest_follows_the_models_not_their_descriptions(
    tmp_path: Path,
) -> None:
    texts = (
        "models: [{name: a, description: this, limit: 1}]",
        "models: [{name: a, description: that, limit: 1}]",
        "models: [{name: a, description: this, limit: 2}]",
    )
    paths = [tmp_path / f"{place}.yml" for place in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)

    one, other, changed = (_folder_source(str(path)) for path in paths)

    assert one == other != changed


def test_a_cells_digest_follows_the_function_it_measures() -> None:
    wilson = Cell(STUDIES["coverage: Wilson"], 30, 40)
    exact = Cell(
        replace(
            wilson.study, simulation=STUDIES["coverage: Restricted mean"].simulation
        ),
        30,
        40,
    )

    assert wilson.slug == exact.slug
    assert wilson.digest != exact.digest


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("coverage: Restricted mean", "def survival_quantiles("),
        ("coverage: Restricted mean", "_SHAPE = 1.3"),
        ("coverage: Unique R²", "_WEIGHTS = array("),
        ("coverage: Severity of interviewers", "def severity_p("),
        ("coverage: Severity of interviewers", "class Panel:"),
        ("coverage: Severity of interviewers", "HALO = 0.16"),
        ("alarms: Parity", "STAGES = {"),
        ("alarms: Parity", "def benjamini_hochberg("),
    ],
)
def test_a_cell_depends_on_whatever_its_numbers_come_from(name: str, used: str) -> None:
    found = sources(STUDIES[name].simulation)

    assert any(used in part for part in found)


def test_every_cell_has_a_name_and_a_seed_of_its_own() -> None:
    found = cells()

    assert len({cell.slug for cell in found}) == len(found)
    assert len({cell.seed for cell in found}) == len(found)


def test_a_tally_tells_misses_below_from_misses_above() -> None:
    low = np.array([0.0, 0.0, 2.0, -3.0])
    high = np.array([2.0, 1.0, 3.0, -2.0])

    row = tally("x", low, high, 1.0)

    assert (row["coverage"], row["below"], row["above"]) == (0.5, 0.25, 0.25)
    assert row["truth"] == 1.0


def test_an_interval_without_bounds_is_not_estimable_and_an_open_one_is() -> None:
    row = tally("x", [0.0, np.nan], [np.inf, 1.0], 1.0)

    assert row["estimable"] == 0.5
    assert row["coverage"] == 1.0


def test_equal_intervals_of_a_replicate_count_once_for_the_error() -> None:
    rng = np.random.default_rng(5)
    low = np.where(rng.random((400, 1)) < 0.1, 2.0, 0.0)

    one = tally("x", low, low + 1.5, 1.0)
    ten = tally("x", np.repeat(low, 10, axis=1), np.repeat(low + 1.5, 10, axis=1), 1.0)

    widths = [row["coverage_high"] - row["coverage_low"] for row in (one, ten)]
    assert ten["coverage"] == one["coverage"]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


@pytest.mark.parametrize(
    ("coverage", "error", "word"),
    [
        (0.95, 0.01, MET),
        (0.925, 0.01, UNCLEAR),
        (0.90, 0.01, NARROW),
        (0.99, 0.01, WIDE),
    ],
)
def test_a_verdict_allows_for_the_monte_carlo_error(
    coverage: float, error: float, word: str
) -> None:
    row = {
        "coverage": coverage,
        "coverage_low": coverage - error,
        "coverage_high": coverage + error,
    }

    assert verdict(row, CLOSED_TARGET) == word


def test_a_miss_is_listed_with_its_size(tmp_path: Path) -> None:
    cell, store = Cell(a_study(), 4, 1_000), Store(tmp_path)
    low = np.where(np.arange(1_000) < 100, 2.0, 0.0)
    store.keep(cell, [tally("mean", low, low + 1.5, 1.0)], 1.0)

    page = document([cell], store, dt.date(2026, 11, 24), workers=2)

    assert "| coin | mean | 4 | 90.0 [88.0, 91.8] | **too narrow** | 3.0 |" in page


def test_what_happened_has_an_exact_interval() -> None:
    row = happened("any flag", [False] * 20)

    assert row["share"] == 0
    assert row["share_high"] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_the_truths_of_two_raters_are_those_of_a_large_sample() -> None:
    rng, n = np.random.default_rng(1), 400_000
    true = np.sqrt(0.44) * 0.95 * rng.normal(size=(n, 1))
    given = levels(3.2 + true + np.sqrt(0.56) * 0.95 * rng.normal(size=(n, 2)))

    joint = np.bincount(5 * given[:, 0] + given[:, 1], minlength=25).reshape(5, 5) / n

    assert joint == pytest.approx(pair_shares(), abs=0.003)
    assert np.corrcoef(given.T)[0, 1] == pytest.approx(pair_correlation(), abs=0.01)
    # Quadratic kappa of exchangeable raters is the correlation of their levels.
    kappa = agreement_truths(pair_shares(), "quadratic")["cohen"]
    assert kappa == pytest.approx(pair_correlation())
    assert level_shares(3.2, 0.95).sum() == pytest.approx(1)

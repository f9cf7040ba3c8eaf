"""`make faults`: runs the tests of every fault and writes `docs/faults.md`.

`tests/faults.yaml` says what goes wrong, what must happen, and which tests show it.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LIST = ROOT / "tests" / "faults.yaml"
REPORT = ROOT / "docs" / "faults.md"
PARTS = {1: "Files", 40: "Services", 59: "Hiring"}
# One test runs all unit tests of the models and fails where one of them does.
DBT_TEST = "tests/pipeline/test_models.py::test_every_unit_test_of_the_models_passes"
DBT = "dbt:"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    tests : tuple of str
        Ids of pytest, or `dbt:` and the name of a unit test of the models.
    """

    number: int
    title: str
    expected: str
    tests: tuple[str, ...]


@dataclass
class Outcomes:
    """A plugin of pytest that keeps the outcome of each case."""

    of: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a case came to; a failed fixture is a failed case."""
        if report.when == "call" or not report.passed:
            self.of[report.nodeid] = report.outcome


def faults() -> list[Fault]:
    """Return every fault of the list, by number."""
    listed = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return [
        Fault(number, about["title"], about["expected"], tuple(about["tests"]))
        for number, about in sorted(listed.items())
    ]


def node(test: str) -> str:
    """Return the id under which pytest runs a test."""
    return DBT_TEST if test.startswith(DBT) else test


def seen(fault: Fault, outcomes: Mapping[str, str]) -> str:
    """Return what the tests of a fault came to: `passed, 12`, or what failed."""
    counts: Counter[str] = Counter()
    for test in fault.tests:
        cases = [
            outcome
            for name, outcome in outcomes.items()
            if name == node(test) or name.startswith(f"{node(test)}[")
        ]
        counts.update(cases or ["not run"])
    if set(counts) == {"passed"}:
        return f"passed, {counts['passed']}"
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))


def document(outcomes: Mapping[str, str]) -> str:
    """Return the table of faults as Markdown."""
    lines = [
        "# What goes wrong, and what happens then\n",
        "Written by `make faults`; do not edit.",
        "Each row names its tests and how many cases of them ran.",
        "`dbt:` stands for a unit test of the models.",
    ]
    for fault in faults():
        if fault.number in PARTS:
            lines += [
                f"\n## {PARTS[fault.number]}\n",
                "| no. | what happens | what must happen | tests | seen |",
                "| --- | --- | --- | --- | --- |",
            ]
        tests = "<br>".join(f"`{test}`" for test in fault.tests)
        cells = (str(fault.number), fault.title, fault.expected, tests)
        lines.append(f"| {' | '.join(cells)} | {seen(fault, outcomes)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the tests of all faults in one process and write the table."""
    outcomes = Outcomes()
    nodes = sorted({node(test) for fault in faults() for test in fault.tests})
    code = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *nodes],
                       plugins=[outcomes])  # fmt: skip
    REPORT.write_text(document(outcomes.of), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

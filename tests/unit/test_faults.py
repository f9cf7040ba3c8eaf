"""Every fault has tests that exist, and the table of them is the list, all passed."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from tests.faults import DBT, DBT_TEST, REPORT, ROOT, Fault, document, faults, seen

FAULTS = faults()
ROW = re.compile(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def _functions(path: Path) -> set[str]:
    """The tests of a file, without importing it."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {item.name for item in body if isinstance(item, ast.FunctionDef)}


def _unit_tests_of_models() -> set[str]:
    return {
        test["name"]
        for path in (ROOT / "dbt_project" / "models").rglob("*.yml")
        for test in yaml.safe_load(path.read_text()).get("unit_tests", [])
    }


def test_every_fault_of_files_services_and_hiring_is_there():
    assert [fault.number for fault in FAULTS] == list(range(1, 79))
    assert all(fault.tests for fault in FAULTS)


def test_every_test_of_a_fault_exists():
    named = {t.partition("[")[0] for fault in FAULTS for t in fault.tests} | {DBT_TEST}
    found = {
        f"{path.relative_to(ROOT)}::{name}"
        for path in {ROOT / test.split("::")[0] for test in named if "::" in test}
        for name in _functions(path)
    } | {DBT + name for name in _unit_tests_of_models()}

    assert named - found == set()


def test_the_table_has_the_numbers_titles_and_tests_of_the_list():
    rows = ROW.findall(REPORT.read_text(encoding="utf-8"))

    assert [(int(n), title, expected) for n, title, expected, _, _ in rows] == [
        (fault.number, fault.title, fault.expected) for fault in FAULTS
    ]
    assert [tuple(re.findall(r"`([^`]+)`", tests)) for *_, tests, _ in rows] == [
        fault.tests for fault in FAULTS
    ]


def test_every_row_of_the_table_has_passed():
    rows = ROW.findall(REPORT.read_text(encoding="utf-8"))

    assert [row[0] for row in rows if not re.fullmatch(r"passed, \d+", row[4])] == []


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"a.py::test_x": "passed", DBT_TEST: "passed"}, "passed, 2"),
        ({"a.py::test_x[1]": "passed", "a.py::test_x[2]": "passed",
          DBT_TEST: "passed"}, "passed, 3"),
        ({"a.py::test_x[1]": "failed", DBT_TEST: "passed"}, "1 failed, 1 passed"),
        ({"a.py::test_x_and_more": "passed", DBT_TEST: "passed"},
         "1 not run, 1 passed"),
        ({"a.py::test_x": "skipped", DBT_TEST: "passed"}, "1 passed, 1 skipped"),
    ],
)  # fmt: skip
def test_what_was_seen_counts_cases_and_hides_no_failure(outcomes, said):
    fault = Fault(1, "", "", ("a.py::test_x", "dbt:y"))

    assert seen(fault, outcomes) == said


def test_without_a_run_no_row_has_passed():
    assert not re.search(r"passed, \d", document({}))

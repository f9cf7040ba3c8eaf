"""Fixtures every tier shares; a test's folder is its tier and its marker."""

from pathlib import Path

import pytest

TIERS = ("unit", "gates", "pipeline", "browser")
ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it lives in."""
    for item in items:
        tier = item.path.relative_to(ROOT).parts[0]
        if tier in TIERS:
            item.add_marker(getattr(pytest.mark, tier))

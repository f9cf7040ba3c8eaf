"""The sentences of a recommendation: a template, and the numbers of its row."""

import string
from collections.abc import Mapping
from typing import Any

import pandas as pd

NO_NUMBER = "unknown"


class _Wording(string.Formatter):
    """`str.format` that says so where a number is not there.

    Only plain names are looked up: a template cannot reach into attributes.
    """

    def get_field(
        self, field_name: str, args: Any, kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None or bool(pd.isna(value)):
            return NO_NUMBER
        if isinstance(value, float) and not format_spec and value.is_integer():
            return str(int(value))
        return str(super().format_field(value, format_spec))


def worded(template: str, values: Mapping[str, Any]) -> str:
    """Return the template with the values of a row in it.

    Raises
    ------
    KeyError
        If the template names a column that the row does not have.
    """
    return " ".join(_Wording().vformat(template, (), values).split())

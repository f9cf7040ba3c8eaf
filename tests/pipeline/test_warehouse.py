"""Connections to DuckDB say nothing of their own."""

import subprocess
import sys

# DuckDB begins to draw after two seconds.
LONG = """
import time
from orchestration.warehouse import connect

connection, n, seconds = connect(threads=1), 50_000_000, 0.0
while seconds < 2.5:
    before = time.monotonic()
    query = f"select count(*) from range({n}) as t (i) where hash(i) % 7 = 1"
    connection.sql(query).fetchall()
    seconds, n = time.monotonic() - before, 2 * n
"""


def test_a_long_query_draws_no_progress_bar():
    told = subprocess.run(
        [sys.executable, "-c", LONG], check=True, capture_output=True, text=True
    )

    assert (told.stdout, told.stderr) == ("", "")

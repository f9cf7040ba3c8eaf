"""`make calibrate`: coverage, false alarms and power by simulation.

Writes `docs/calibration.md`. Each finished cell is kept under `var/calibration/`, so a
second call continues where the first one ended; what changed is run anew.
"""

import argparse
import datetime as dt
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.calibration import closed, companies, fitted
from tests.calibration.report import document
from tests.calibration.study import PARTS, ROOT, STUDIES, Cell, Store, cells, run_all

REPORT = ROOT / "docs" / "calibration.md"
KEPT = ROOT / "var" / "calibration"
# Importing them enters their studies.
LIBRARIES = (closed, fitted, companies)


def _chosen(options: argparse.Namespace) -> list[Cell]:
    """The cells that belong to this call's document."""
    found = []
    for cell in cells(options.replicates):
        place = cell.n - companies.FIRST_SEED
        if cell.study.part == "companies" and place >= options.companies:
            continue
        if options.sizes and cell.n not in options.sizes:
            continue
        found.append(cell)
    return found


def _is_asked(cell: Cell, options: argparse.Namespace) -> bool:
    """Whether a cell is run if it is missing; all finished ones are reported."""
    name = f"{cell.study.part}: {cell.study.name}".lower()
    is_named = not options.only or any(word.lower() in name for word in options.only)
    return is_named and cell.study.part not in options.skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(prog="make calibrate", description=__doc__)
    parser.add_argument("--companies", type=int, default=companies.COMPANIES,
                        help="null companies to run whole, 40 s each")  # fmt: skip
    parser.add_argument("--skip", nargs="+", default=[], choices=PARTS,
                        help="parts not to run, only to report")  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="TEXT",
                        help="run studies whose part and name hold a text")  # fmt: skip
    parser.add_argument("--workers", type=int, default=2,
                        help="processes; 0 runs in this one")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the studies and end")
    parser.add_argument("--date", type=dt.date.fromisoformat)
    parser.add_argument("--store", type=Path, default=KEPT, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, default=REPORT, help=argparse.SUPPRESS)
    parser.add_argument("--replicates", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(STUDIES))
        return 0
    if options.companies > companies.COMPANIES:
        companies.more_companies(options.companies)
    chosen, store = _chosen(options), Store(options.store)
    asked = [cell for cell in chosen if _is_asked(cell, options)]
    todo = [cell for cell in asked if store.found(cell) is None]
    print(f"{len(asked) - len(todo)} cells are kept, {len(todo)} to run.",
          file=sys.stderr, flush=True)  # fmt: skip
    failed, is_stopped = 0, False
    try:
        failed = run_all(todo, options.store, options.workers)
    except KeyboardInterrupt:
        print("Stopped; the next call continues.", file=sys.stderr)
        is_stopped = True
    day = options.date or dt.datetime.now(dt.UTC).date()
    text = document(chosen, store, day, workers=max(options.workers, 1))
    options.report.write_text(text, encoding="utf-8")
    if is_stopped:
        companies.clear_away()
        # The pool would wait for processes that are no more.
        os._exit(1)
    return 1 if failed else 0


if __name__ == "__main__":
    # Told to end in either way it keeps what is finished and writes the page; a shell
    # starts what runs in its background deaf to the first.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.default_int_handler)
    sys.exit(main())

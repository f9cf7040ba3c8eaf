"""Everything that comes in: landed, judged row by row, typed, pseudonymised."""

from orchestration.landing.ingest import Ingest, RawFile, check, ingest
from orchestration.landing.parse import Problem

__all__ = ["Ingest", "Problem", "RawFile", "check", "ingest"]

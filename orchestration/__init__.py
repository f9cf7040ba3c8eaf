"""Calibrant: a data pipeline for hiring."""

import os

# Before anything imports numpy: threads on the many small matrices of a run cost more
# than they give, and their number would change the last bits of what is published.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

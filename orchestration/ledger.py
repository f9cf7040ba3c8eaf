"""Append-only records of what people decided: one JSON line each, chained by hash."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.settings import SettingsError

GENESIS = "0" * 64


@dataclass(frozen=True)
class Ledger:
    """One ledger file.

    Each line holds the entry, `previous` (hash of the line before) and `hash` (of the
    entry and `previous`), so that a line that was changed or taken out shows.
    """

    path: Path

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries in order.

        Raises
        ------
        SettingsError
            If the chain is broken: somebody edited the file, or its end is torn.
        """
        if not self.path.is_file():
            return []
        found, previous = [], GENESIS
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry: dict[str, Any] = json.loads(line)
                kept = entry.pop("hash")
            except (ValueError, KeyError, AttributeError):
                raise self._broken(number) from None
            if entry.get("previous") != previous or kept != _hash(entry):
                raise self._broken(number)
            previous = kept
            del entry["previous"]
            found.append(entry)
        return found

    def append(self, entry: Mapping[str, Any]) -> str:
        """Add an entry, on disk when it returns; return its hash.

        The caller holds the home: two writers would break the chain.
        """
        self.entries()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = (
            self.path.read_text(encoding="utf-8").splitlines()
            if self.path.is_file()
            else []
        )
        previous = json.loads(lines[-1])["hash"] if lines else GENESIS
        chained = {**entry, "previous": previous}
        digest = _hash(chained)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**chained, "hash": digest}, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return digest

    def _broken(self, line: int) -> SettingsError:
        return SettingsError(
            f"{self.path}, line {line}: the chain of hashes is broken. Somebody changed"
            " this file, or its last line was cut off by a crash: restore it from a"
            " backup, or remove the torn last line."
        )


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

"""A folder of attempts: which are there, the next number, and what is written beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.files import cache_dir, locked, write_file
from lpca.base.hashing import hash_data
from lpca.gatespec.model import Spec
from lpca.report.attempts import kept as keeping
from lpca.report.attempts import published
from lpca.report.attempts.index import index
from lpca.report.attempts.kept import RECORD, AttemptId, RecordError
from lpca.report.attempts.page import page
from lpca.report.attempts.picture import glance

INDEX = "index.md"
_FILE = re.compile(r"[a-z][a-z0-9_]*-attempt-[0-9]{2,6}\.(json|md)")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class Recorded:
    """An attempt's page; `new` is false where the same evidence was recorded before."""

    page: Path
    new: bool


@dataclass(frozen=True)
class Folder:
    """Attempts as `GATE-attempt-NN.json`, each with its page, and an index."""

    path: Path

    def record(self, file: Path, texts: Sequence[str]) -> Recorded:
        """Write the page of a run's evidence under the next number of its gate.

        Notes carry the evidence's date unless they begin with their own. RecordError where the
        same run was recorded with other content.
        """
        evidence = keeping.read(file)
        if RECORD in evidence:
            raise RecordError(f"{file} is an attempt's own record, no run's evidence")
        sha256, notes = hash_data(evidence), _notes(evidence["written"][:10], texts)
        with self._locked():
            earlier = self._same(evidence, sha256)
            if earlier is not None:
                return self._again(earlier, texts)
            identity = self._next(evidence["gate"])
            facts = _facts(identity, file, sha256, notes)
            return self._write({RECORD: facts, **keeping.compact(evidence)})

    def record_published(self, file: Path, spec: Spec, texts: Sequence[str]) -> list[Recorded]:
        """Write the pages of a file of published attempts, each under its own number."""
        return [
            self._record_published(held, file, spec, texts)
            for held in keeping.read(file)["attempts"]
        ]

    def write_index(self) -> Path:
        """Write the index over every attempt that is here; return its path."""
        path = self.path / INDEX
        text = index(self.attempts())
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))
        return path

    def attempts(self) -> Iterator[dict[str, Any]]:
        """Every kept attempt; RecordError where a file is none."""
        for path in sorted(self.path.glob("*-attempt-*.json")):
            kept = keeping.read(path)
            if kept.get(RECORD, {}).get("id") != path.stem:
                raise RecordError(f"{path}: it is no record of {path.stem}")
            yield kept

    def _record_published(
        self, held: Mapping[str, Any], file: Path, spec: Spec, texts: Sequence[str]
    ) -> Recorded:
        body = published.keep(held, spec)
        notes = _notes(str(held["date"]), texts)
        identity, sha256 = AttemptId.parse(held["id"]), hash_data(held)
        with self._locked():
            path = self.path / f"{identity}.json"
            if not path.exists():
                return self._write({RECORD: _facts(identity, file, sha256, notes), **body})
            if keeping.read(path)[RECORD]["sha256"] == sha256:
                return self._again(identity, texts)
            raise RecordError(f"{path}: another attempt of this number is recorded already")

    def _write(self, kept: dict[str, Any]) -> Recorded:
        identity = kept[RECORD]["id"]
        path, picture = self.path / f"{identity}.md", self.path / f"{identity}.svg"
        if "attempts" in kept:
            text = published.published_page(kept)
        else:
            text, drawn = page(kept, picture.name), glance(kept)
            write_file(picture, lambda part: part.write_bytes(drawn))
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))
        keeping.write(self.path / f"{identity}.json", kept)
        return Recorded(path, new=True)

    def _again(self, identity: AttemptId, texts: Sequence[str]) -> Recorded:
        path = self.path / f"{identity}.md"
        if texts:
            raise RecordError(f"already recorded: {path}; a note is added when it is recorded")
        return Recorded(path, new=False)

    def _same(self, evidence: Mapping[str, Any], sha256: str) -> AttemptId | None:
        of_run = [evidence[key] for key in ("run", "gate", "k")]
        for kept in self.attempts():
            identity = AttemptId.parse(kept[RECORD]["id"])
            if kept[RECORD]["sha256"] == sha256:
                return identity
            if "run" in kept and [kept[key] for key in ("run", "gate", "k")] == of_run:
                raise RecordError(f"{identity} is of the same run, yet its evidence differs")
        return None

    def _next(self, gate: str) -> AttemptId:
        names = [path.stem for path in self.path.glob("*") if _FILE.fullmatch(path.name)]
        numbers = [one.number for one in map(AttemptId.parse, names) if one.gate == gate]
        return AttemptId.parse(str(AttemptId(gate, max(numbers, default=0) + 1)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One recorder at a time, by a lock that stands elsewhere than among the pages."""
        with locked(cache_dir() / f"record-{hash_data(str(self.path.resolve()))[:16]}"):
            yield


def _facts(
    identity: AttemptId, file: Path, sha256: str, notes: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """What an attempt's record says of itself; the source by name only, for paths are private."""
    return {"id": str(identity), "source": file.name, "sha256": sha256, "notes": notes}


def _notes(date: str, texts: Sequence[str]) -> list[dict[str, str]]:
    notes = []
    for text in texts:
        own = _DATE.fullmatch(text.strip())
        notes.append({"date": own[1] if own else date, "text": own[2] if own else text.strip()})
    return notes

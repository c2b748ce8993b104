"""A folder of attempts: which are there, the next number, and what is written beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.files import cache_dir, locked, read_json, write_file
from lpca.base.hashing import hash_data
from lpca.evidence import Evidence, to_data
from lpca.gatespec.model import Spec
from lpca.report.attempts import kept as keeping
from lpca.report.attempts import published
from lpca.report.attempts.index import index
from lpca.report.attempts.kept import (
    RECORD,
    Attempt,
    AttemptId,
    Note,
    Published,
    RecordError,
    RecordFacts,
    facts_of,
)
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
        run = keeping.read(file)
        if not isinstance(run, Attempt) or run.record is not None:
            raise RecordError(f"{file} is an attempt's own record, no run's evidence")
        evidence = run.evidence
        # the file's content, in whichever form it was written
        sha256, notes = hash_data(read_json(file)), _notes(evidence.written[:10], texts)
        with self._locked():
            earlier = self._same(evidence, sha256)
            if earlier is not None:
                return self._again(earlier, texts)
            facts = RecordFacts(str(self._next(evidence.gate)), file.name, sha256, notes)
            return self._write(facts, Attempt(keeping.compact(evidence), facts))

    def record_published(self, file: Path, spec: Spec, texts: Sequence[str]) -> list[Recorded]:
        """Write the pages of a file of published attempts, each under its own number."""
        found = keeping.read(file)
        attempts = [] if isinstance(found, Attempt) else found["attempts"]
        return [self._record_published(held, file, spec, texts) for held in attempts]

    def write_index(self) -> Path:
        """Write the index over every attempt that is here; return its path."""
        path = self.path / INDEX
        text = index(self.attempts())
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))
        return path

    def attempts(self) -> Iterator[Attempt | Published]:
        """Every kept attempt; RecordError where a file is none."""
        for path in sorted(self.path.glob("*-attempt-*.json")):
            kept = keeping.read(path)
            recorded = kept.record is not None if isinstance(kept, Attempt) else RECORD in kept
            if not recorded or facts_of(kept).id != path.stem:
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
                facts = RecordFacts(str(identity), file.name, sha256, notes)
                return self._write(facts, {RECORD: to_data(facts), **body})
            if facts_of(keeping.read(path)).sha256 == sha256:
                return self._again(identity, texts)
            raise RecordError(f"{path}: another attempt of this number is recorded already")

    def _write(self, facts: RecordFacts, kept: Attempt | Published) -> Recorded:
        path, picture = self.path / f"{facts.id}.md", self.path / f"{facts.id}.svg"
        if isinstance(kept, Attempt):
            text, drawn = page(kept, picture.name), glance(kept.evidence)
            write_file(picture, lambda part: part.write_bytes(drawn))
        else:
            text = published.published_page(kept)
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))
        keeping.write(self.path / f"{facts.id}.json", kept)
        return Recorded(path, new=True)

    def _again(self, identity: AttemptId, texts: Sequence[str]) -> Recorded:
        path = self.path / f"{identity}.md"
        if texts:
            raise RecordError(f"already recorded: {path}; a note is added when it is recorded")
        return Recorded(path, new=False)

    def _same(self, evidence: Evidence, sha256: str) -> AttemptId | None:
        for kept in self.attempts():
            facts = facts_of(kept)
            identity = facts.identity
            if facts.sha256 == sha256:
                return identity
            if isinstance(kept, Attempt) and _run_of(kept.evidence) == _run_of(evidence):
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


def _run_of(evidence: Evidence) -> tuple[str, str, int | None]:
    return evidence.run, evidence.gate, evidence.k


def _notes(date: str, texts: Sequence[str]) -> tuple[Note, ...]:
    notes = []
    for text in texts:
        own = _DATE.fullmatch(text.strip())
        notes.append(Note(own[1], own[2]) if own else Note(date, text.strip()))
    return tuple(notes)

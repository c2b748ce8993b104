"""A folder of attempts: which are there, the next number, and the index over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.files import cache_dir, locked, read_json, write_bytes, write_text
from lpca.base.hashing import hash_data
from lpca.base.numbers import PERCENT, amount
from lpca.evidence.json_form import to_data
from lpca.evidence.model import Evidence
from lpca.gatespec.model import Spec
from lpca.report.attempts import kept as keeping
from lpca.report.attempts import page, published
from lpca.report.attempts.kept import Attempt, AttemptId, Published, RecordError, facts_of
from lpca.report.markdown import plain, table

INDEX = "index.md"
SHOWN = ("normal", "p0", "null", "shuffle")
"""Conditions whose success stands in the index."""
_FILE = re.compile(r"[a-z][a-z0-9_]*-attempt-[0-9]{2,6}\.(json|md)")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\s+(.*)", re.DOTALL)
_ABOUT = (
    "One row per attempt at a gate, also of those that failed. Success by each gate's own score. "
    "VALID: the validity checks hold; INVALID: they do not, and its numbers are not to be read; "
    "UNCHECKED: it was published without them. The verdict is another matter: it says what a "
    "valid attempt showed."
)


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

        Args:
            file: the evidence.
            texts: notes for the decision log; they carry the evidence's date unless they begin
                with their own.

        Returns:
            The page, which may have been there before.

        Raises:
            RecordError: it is no run's evidence, or the same run was recorded with other content.
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
            facts = keeping.RecordFacts(str(self._next(evidence.gate)), file.name, sha256, notes)
            return self._write(facts, Attempt(keeping.compact(evidence), facts))

    def record_published(self, file: Path, spec: Spec, texts: Sequence[str]) -> list[Recorded]:
        """Write the pages of a file of published attempts, each under its own number.

        Args:
            file: the attempts, as their author wrote them.
            spec: what their counts are judged by.
            texts: notes for each decision log.

        Raises:
            RecordError: one is incomplete, or another one has its number.
        """
        found = keeping.read(file)
        attempts = [] if isinstance(found, Attempt) else found["attempts"]
        return [self._record_published(held, file, spec, texts) for held in attempts]

    def write_index(self) -> Path:
        """Write the index over every attempt that is here; return its path."""
        ordered = sorted(self.attempts(), key=lambda kept: facts_of(kept).identity)
        head = ("attempt", "date", "gate", "receiver", "k", *SHOWN, "status", "verdict")
        lines = ["# Attempts", "", _ABOUT, "", *table(head, map(_index_row, ordered))]
        path = self.path / INDEX
        write_text(path, "\n".join(lines) + "\n")
        return path

    def attempts(self) -> Iterator[Attempt | Published]:
        """Every kept attempt; RecordError where a file is none."""
        for path in sorted(self.path.glob("*-attempt-*.json")):
            kept = keeping.read(path)
            recorded = (
                kept.record is not None if isinstance(kept, Attempt) else keeping.RECORD in kept
            )
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
                facts = keeping.RecordFacts(str(identity), file.name, sha256, notes)
                return self._write(facts, {keeping.RECORD: to_data(facts), **body})
            if facts_of(keeping.read(path)).sha256 == sha256:
                return self._again(identity, texts)
            raise RecordError(f"{path}: another attempt of this number is recorded already")

    def _write(self, facts: keeping.RecordFacts, kept: Attempt | Published) -> Recorded:
        path, picture = self.path / f"{facts.id}.md", self.path / f"{facts.id}.svg"
        if isinstance(kept, Attempt):
            text = page.page(kept, picture.name)
            write_bytes(picture, glance(kept.evidence))
        else:
            text = published.page(kept)
        write_text(path, text)
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
            if facts.sha256 == sha256:
                return facts.identity
            if isinstance(kept, Attempt) and _run_of(kept.evidence) == _run_of(evidence):
                raise RecordError(f"{facts.id} is of the same run, yet its evidence differs")
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


def glance(evidence: Evidence) -> bytes:
    """An attempt's picture as SVG; matplotlib is imported only when one is drawn."""
    from lpca.report.figures.gate import gate_figure
    from lpca.report.figures.style import svg

    return svg(gate_figure(evidence))


def _run_of(evidence: Evidence) -> tuple[str, str]:
    return evidence.run, evidence.label


def _notes(date: str, texts: Sequence[str]) -> tuple[keeping.Note, ...]:
    found = [(_DATE.fullmatch(text.strip()), text.strip()) for text in texts]
    dated = [(own[1], own[2]) if own else (date, text) for own, text in found]
    return tuple(keeping.Note(*note) for note in dated)


def _index_row(kept: Attempt | Published) -> list[str]:
    identity = facts_of(kept).identity
    link = f"[{identity.number:02d}]({identity}.md)"
    if not isinstance(kept, Attempt):
        return [link, *published.index_cells(kept["attempts"][0], SHOWN)]
    evidence = kept.evidence
    rates = {n: amount(rate, PERCENT, column=True) for n, rate in evidence.rates.items()}
    return [
        link,
        evidence.written[:10],
        f"`{evidence.gate}`",
        plain(evidence.receiver.name),
        "-" if evidence.k is None else str(evidence.k),
        *(rates.get(name, "-") for name in SHOWN),
        page.validity(evidence),
        page.verdict(evidence),
    ]

"""A folder of attempts: which are there, the next number, and the index over all of them.

An attempt is recorded once its JSON is there, which is written first; page and picture follow from
it, and are made by the next command where a stop has left them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lpca.base.files import cache_dir, locked, reading, write_bytes, write_text
from lpca.base.hashing import hash_bytes, hash_data, hash_file
from lpca.base.numbers import PERCENT, amount
from lpca.evidence.json_form import to_data
from lpca.evidence.model import Evidence
from lpca.evidence.runs import codec_name
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
    """Attempts as `GATE-attempt-NN.json`, each with its page, and an index.

    `tell` is called with one line on a page or picture that was changed since it was written.
    """

    path: Path
    tell: Callable[[str], None] = lambda text: None

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
        notes = _notes(evidence.written[:10], texts)
        with self._locked():
            earlier = self._same(run)
            if earlier is not None:
                return self._again(earlier, notes)
            facts = keeping.RecordFacts(
                str(self._next(evidence.gate)), file.name, run.sha256, notes
            )
            return self._write(Attempt(keeping.compact(evidence), facts))

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
        """Write the index over every attempt that is here, and what is missing of their pages.

        Returns:
            Its path.

        Raises:
            RecordError: a file is no attempt's record, or is altered.
            WriteError: it cannot be written.
        """
        ordered = sorted(self.attempts(), key=lambda kept: facts_of(kept).identity)
        for kept in ordered:
            self._complete(kept)
        head = ("attempt", "date", "gate", "receiver", "codec", "k", *SHOWN, "status", "verdict")
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
                return self._write({keeping.RECORD: to_data(facts), **body})
            kept = keeping.read(path)
            if facts_of(kept).sha256 == sha256:
                return self._again(kept, notes)
            raise RecordError(f"{path}: another attempt of this number is recorded already")

    def _write(self, kept: Attempt | Published) -> Recorded:
        facts, pages = facts_of(kept), _pages(kept)
        facts = replace(facts, files={name: hash_bytes(held) for name, held in pages.items()})
        if isinstance(kept, Attempt):
            kept = replace(kept, record=facts)
        else:
            kept = {**kept, keeping.RECORD: to_data(facts)}
        keeping.write(self.path / f"{facts.id}.json", kept)
        for name, held in pages.items():
            write_bytes(self.path / name, held)
        return Recorded(self.path / f"{facts.id}.md", new=True)

    def _again(self, kept: Attempt | Published, notes: Sequence[keeping.Note]) -> Recorded:
        facts = facts_of(kept)
        path = self.path / f"{facts.id}.md"
        # the same command once more may be the end of one that was stopped
        if notes and tuple(notes) != facts.notes:
            raise RecordError(f"already recorded: {path}; a note is added when it is recorded")
        self._complete(kept)
        return Recorded(path, new=False)

    def _complete(self, kept: Attempt | Published) -> None:
        """Write what a stop has left out of a page and its picture, and name what was altered."""
        facts, made = facts_of(kept), dict[str, bytes]()
        for ending in (".svg", ".md"):
            path = self.path / f"{facts.id}{ending}"
            sha256 = (facts.files or {}).get(path.name)
            if sha256 is None:
                continue
            if not path.exists():
                made = made or _pages(kept)
                write_bytes(path, made[path.name])
                continue
            with reading(path):
                same = path.is_file() and hash_file(path) == sha256
            if not same:
                self.tell(f"{path}: changed since it was written; remove it, and it is made again")

    def _same(self, run: Attempt) -> Attempt | Published | None:
        for kept in self.attempts():
            facts = facts_of(kept)
            if facts.sha256 == run.sha256:
                return kept
            if isinstance(kept, Attempt) and _run_of(kept.evidence) == _run_of(run.evidence):
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


def _pages(kept: Attempt | Published) -> dict[str, bytes]:
    """By name the files that stand beside an attempt's JSON, and follow from it."""
    name = facts_of(kept).id
    if not isinstance(kept, Attempt):
        return {f"{name}.md": published.page(kept).encode()}
    picture = f"{name}.svg"
    return {picture: glance(kept.evidence), f"{name}.md": page.page(kept, picture).encode()}


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
        plain(codec_name(evidence.codec)) or "-",
        "-" if evidence.k is None else str(evidence.k),
        *(rates.get(name, "-") for name in SHOWN),
        page.validity(evidence),
        page.verdict(evidence),
    ]

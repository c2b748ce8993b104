"""What is kept of an attempt: enough to make its page again, to judge it and to compare it.

Evidence is kept without the texts of its episodes, which may not be the recorder's to publish:
hashes of them remain, by which another attempt's episodes are known to be the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lpca.base.errors import UserError
from lpca.base.files import StorageError, read_json, write_text
from lpca.base.hashing import CONTENT, hash_data, is_altered, with_hash
from lpca.evidence.files import has_hash, is_evidence
from lpca.evidence.json_form import EvidenceError, Omitted, from_data, to_data
from lpca.evidence.model import EpisodeOutcome, Evidence, KeptEpisode
from lpca.judge.age import age_in_words
from lpca.judge.stored import stored_evidence

RECORD = "record"
"""The key that marks a file of this module: evidence or a published attempt, and this beside it."""
TEXT_CONDITIONS = ("p0", "p1")
"""Conditions whose prompts are the same whatever codec and k."""

_ID = re.compile(r"([a-z][a-z0-9_]*)-attempt-([0-9]{2,6})")


class RecordError(UserError, ValueError):
    """Something cannot be recorded or compared; the text says what and why."""


@dataclass(frozen=True, order=True)
class AttemptId:
    """A gate and the number of one attempt at it, from 1."""

    gate: str
    number: int

    def __str__(self) -> str:
        return f"{self.gate}-attempt-{self.number:02d}"

    @staticmethod
    def parse(text: str) -> AttemptId:
        """Read `gate1-attempt-03`; RecordError for what is none."""
        found = _ID.fullmatch(text)
        if found is None:
            raise RecordError(f"{text[:60]!r} names no attempt; allowed: such as gate1-attempt-03")
        return AttemptId(found[1], int(found[2]))


@dataclass(frozen=True)
class Note:
    """A recorder's own line of the decision log."""

    date: str
    text: str


@dataclass(frozen=True)
class RecordFacts:
    """What an attempt's record says of itself; the source by name only, for paths are private.

    `files` are the hashes of page and picture, as they were written beside it.
    """

    id: str
    source: str
    sha256: str
    notes: tuple[Note, ...]
    files: Omitted[Mapping[str, str] | None] = None

    @property
    def identity(self) -> AttemptId:
        """The attempt's gate and number."""
        return AttemptId.parse(self.id)


@dataclass(frozen=True)
class Attempt:
    """A measured attempt: its evidence, and once it is recorded what the record says of itself."""

    evidence: Evidence
    record: RecordFacts | None = None
    sha256: str = ""
    """Of the content of the file that it was read from."""

    @property
    def recorded(self) -> RecordFacts:
        """The record's facts; RecordError for evidence that is not recorded."""
        if self.record is None:
            raise RecordError(f"{self.evidence.gate}: this evidence is no recorded attempt")
        return self.record

    @property
    def data(self) -> dict[str, Any]:
        """As its file has it."""
        return with_hash({RECORD: to_data(self.recorded), **self.evidence.data})


Published = Mapping[str, Any]
"""A file of attempts that were published elsewhere, as its author wrote it."""


def facts_of(held: Attempt | Published) -> RecordFacts:
    """What an attempt's record says of itself; RecordError where it is none."""
    if isinstance(held, Attempt):
        return held.recorded
    try:
        return from_data(RecordFacts, held.get(RECORD), RECORD)
    except EvidenceError as error:
        raise RecordError(str(error)) from None


def read(path: Path, tell: Callable[[str], None] = lambda text: None) -> Attempt | Published:
    """Read evidence, a kept attempt, or a file of published attempts.

    A page (`.md`) stands for the JSON beside it. What is altered since it was written, or whose
    verdict its outcomes do not come to, is refused; `tell` has a line on what an earlier version
    wrote, without a hash.

    Raises:
        RecordError: it is anything else, damaged or altered; the text names the file.
    """
    path = path.with_suffix(".json") if path.suffix == ".md" else path
    try:
        held = read_json(path)
        if isinstance(held, dict) and isinstance(held.get("attempts"), list):
            if CONTENT in held and is_altered(held):
                raise RecordError(f"{path}: its content is not what was written: its {CONTENT}")
            return held
        if not is_evidence(held):
            raise RecordError(
                f"{path}: neither a run's evidence nor a published or recorded attempt"
            )
        evidence = stored_evidence(held)
        record = from_data(RecordFacts, held[RECORD], RECORD) if RECORD in held else None
    except EvidenceError as error:
        raise RecordError(f"{path}: this evidence is damaged: {error}") from None
    except StorageError as error:
        raise RecordError(str(error)) from None
    if age := age_in_words(evidence, has_hash(held)):
        tell(f"{path}: {age}")
    return Attempt(evidence, record, hash_data(held))


def compact(evidence: Evidence) -> Evidence:
    """Return evidence without texts, scores and curves; `lpca judge` reads it as before."""
    codec, static, similar = evidence.codec, evidence.static, evidence.similarity
    return replace(
        evidence,
        codec=codec and replace(codec, history=()),
        static=static and replace(static, history=()),
        similarity=similar and replace(similar, seeds=(), right=(), donor=()),
        cache=None,
        prompts=(),
        episodes=tuple(map(_compact_episode, evidence.episodes)),
    )


def content_hash(episode: KeptEpisode) -> str:
    """A hash of an episode's wording, message, options and right answer, kept or still there."""
    told = [episode.wording, episode.message, episode.options, episode.answer]
    return episode.content_sha256 or hash_data(told)


def _group_hash(episode: KeptEpisode, group: str | None) -> str | None:
    """A hash of the name of a group, kept or still there: equal ones stay equal."""
    return group if group is None or episode.content_sha256 else hash_data(group)


def prompt_hash(episode: KeptEpisode, condition: str) -> str | None:
    """The hash of B's prompt under a text condition; None where it was not run."""
    found = episode.outcomes.get(condition)
    return None if found is None else found.prompt_sha256


def write(path: Path, kept: Attempt | Published) -> None:
    """Write an attempt as JSON, an episode a line, whole or not at all."""
    head = dict(kept.data if isinstance(kept, Attempt) else with_hash(kept))
    episodes = head.pop("episodes", None)
    text = json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False)
    if episodes is not None:
        lines = ",\n".join(
            json.dumps(episode, allow_nan=False, separators=(",", ":")) for episode in episodes
        )
        text = f'{text[:-2]},\n "episodes": [\n{lines}\n ]\n}}'
    write_text(path, text + "\n")


def _compact_episode(episode: KeptEpisode) -> KeptEpisode:
    outcomes = {}
    for name, found in episode.outcomes.items():
        prompt = found.prompt_sha256 if name in TEXT_CONDITIONS else None
        outcomes[name] = EpisodeOutcome(
            found.likelihood,
            found.greedy,
            credit=found.credit,
            prompt_sha256=prompt,
            others=tuple(replace(other, said=None, slack=None) for other in found.others),
            undecided=found.undecided,
        )
    return KeptEpisode(
        seed=episode.seed,
        answers=episode.answers,
        donor=episode.donor,
        donor_group=_group_hash(episode, episode.donor_group),
        group=_group_hash(episode, episode.shared),
        content_sha256=content_hash(episode),
        outcomes=outcomes,
    )

"""What is kept of an attempt: enough to make its page again, to judge it and to compare it.

Evidence is kept without the texts of its episodes, which may not be the recorder's to publish:
hashes of them remain, by which another attempt's episodes are known to be the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.errors import UserError
from lpca.base.files import StorageError, read_json, write_file
from lpca.base.hashing import hash_data
from lpca.judge.measured import is_evidence

RECORD = "record"
"""The key that marks a file of this module: evidence or a published attempt, and this beside it."""
TEXT_CONDITIONS = ("p0", "p1")
"""Conditions whose prompts are the same whatever codec and k."""

_ID = re.compile(r"([a-z][a-z0-9_]*)-attempt-([0-9]{2,6})")
_CONTENT = ("wording", "message", "options", "answer")
_DUE = (
    *("run", "command", "written", "k", "title", "answers", "score", "confidence", "gate"),
    *("verdict", "reasons", "criteria", "required", "looks", "checks", "conditions", "receiver"),
    *("codec", "task", "hashes", "versions", "machine", "seconds", "episodes"),
)
_ALSO = ("format", "static", "beside", "any_of_k", "similarity")
_BULK = ("history", "seeds", "right", "donor")


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


def read(path: Path) -> dict[str, Any]:
    """Read evidence, a kept attempt, or a file of published attempts.

    A page (`.md`) stands for the JSON beside it. RecordError for anything else.
    """
    path = path.with_suffix(".json") if path.suffix == ".md" else path
    try:
        held = read_json(path)
    except StorageError as error:
        raise RecordError(str(error)) from None
    if isinstance(held, dict) and isinstance(held.get("attempts"), list):
        return held
    if not is_evidence(held):
        raise RecordError(f"{path}: neither a run's evidence nor a published or recorded attempt")
    missing = [key for key in _DUE if key not in held]
    if missing:
        raise RecordError(f"{path}: this evidence is incomplete; it lacks {', '.join(missing)}")
    _refuse_altered(path, held)
    return dict(held)


def compact(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return evidence without texts, scores and curves; `lpca judge` reads it as before."""
    kept = {key: evidence[key] for key in (*_DUE, *_ALSO) if key in evidence}
    for part in ("codec", "static", "similarity"):
        if isinstance(kept.get(part), dict):
            kept[part] = {key: value for key, value in kept[part].items() if key not in _BULK}
    return {**kept, "episodes": [_compact_episode(one) for one in evidence["episodes"]]}


def content_hash(episode: Mapping[str, Any]) -> str:
    """A hash of an episode's wording, message, options and right answer, kept or still there."""
    kept: str | None = episode.get("content_sha256")
    return kept or hash_data([episode.get(key) for key in _CONTENT])


def prompt_hash(episode: Mapping[str, Any], condition: str) -> str | None:
    """The hash of B's prompt under a text condition; None where it was not run."""
    found: str | None = episode["outcomes"].get(condition, {}).get("prompt_sha256")
    return found


def write(path: Path, kept: Mapping[str, Any]) -> None:
    """Write an attempt as JSON, an episode a line, whole or not at all."""
    head = {key: value for key, value in kept.items() if key != "episodes"}
    text = json.dumps(head, indent=1, allow_nan=False, ensure_ascii=False)
    if "episodes" in kept:
        lines = ",\n".join(
            json.dumps(one, allow_nan=False, separators=(",", ":")) for one in kept["episodes"]
        )
        text = f'{text[:-2]},\n "episodes": [\n{lines}\n ]\n}}'
    write_file(path, lambda part: part.write_text(text + "\n", encoding="utf-8"))


def _compact_episode(episode: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: episode[key] for key in ("seed", "answers", "donor")}
    kept["content_sha256"] = content_hash(episode)
    kept["outcomes"] = {
        name: {key: outcome[key] for key in _kept_keys(name)}
        for name, outcome in episode["outcomes"].items()
    }
    return kept


def _kept_keys(condition: str) -> tuple[str, ...]:
    prompt = ("prompt_sha256",) if condition in TEXT_CONDITIONS else ()
    return ("likelihood", "greedy", *prompt)


def _refuse_altered(path: Path, held: Mapping[str, Any]) -> None:
    """Outcomes must be those that the evidence was written with."""
    outcomes: dict[str, list[Any]] = {name: [] for name in held["conditions"]}
    for episode in held["episodes"]:
        for name, one in episode["outcomes"].items():
            outcomes[name].append([episode["seed"], one["likelihood"], one["greedy"]])
    if hash_data(outcomes) != held["hashes"]["outcomes"]:
        raise RecordError(f"{path}: its outcomes are not those it was written with; measure again")
    failed = any(check["passed"] is False for check in held["checks"])
    if failed and held["verdict"] != "INVALID":
        raise RecordError(f"{path}: a validity check failed, yet it calls itself {held['verdict']}")

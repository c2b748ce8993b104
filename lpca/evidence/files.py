"""Evidence files: written once with a hash of all that is in them, and read by one reader.

It also reads the forms before this one, which have no such hash. Whether a verdict is what its
outcomes come to is for `lpca.judge.stored` to say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lpca.base.files import read_json, write_file
from lpca.base.hashing import CONTENT, canonical, is_altered
from lpca.base.packed import Packed
from lpca.evidence.json_form import EvidenceError, from_data, to_data
from lpca.evidence.model import SCHEMA, Evidence, KeptEpisode
from lpca.gatespec.claim_parser import ClaimError
from lpca.gatespec.claims import parse_claim

_UNHASHED, _OLDER = 2, 1
"""Without a hash; and before `schema`, which was called `format` then, with claims as text."""
_EPISODES = "episodes"
_MARKS = {"gate", "score", "checks", _EPISODES}


def is_evidence(data: object) -> bool:
    """Whether JSON data is meant to be a run's evidence, whole or damaged."""
    return isinstance(data, dict) and data.keys() >= _MARKS


def write_evidence(path: Path, evidence: Evidence) -> None:
    """Write evidence as JSON, whole or not at all; StorageError where it cannot be.

    What is written is `evidence.data`, made and hashed an episode at a time: all of it at once
    takes several times what an evaluation takes.
    """
    write_file(path, partial(_write, evidence))


def _write(evidence: Evidence, path: Path) -> None:
    head = {"schema": SCHEMA, **to_data(replace(evidence, episodes=()))}
    assert [*head][-1] == _EPISODES, "they are written last"
    del head[_EPISODES]
    # a hash is of the keys in their order
    before, behind = (
        canonical({name: held for name, held in head.items() if (name < _EPISODES) is earlier})
        for earlier in (True, False)
    )
    digest = hashlib.sha256(f'{before[:-1]},"{_EPISODES}":['.encode())
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(head, allow_nan=False)[:-1]}, "{_EPISODES}": [')
        for place, episode in enumerate(evidence.episodes):
            data = to_data(episode)
            file.write(", " * (place > 0) + json.dumps(data, allow_nan=False))
            digest.update(("," * (place > 0) + canonical(data)).encode())
        digest.update(f"],{behind[1:]}".encode())
        file.write(f'], "{CONTENT}": "{digest.hexdigest()}"}}\n')


def as_read(evidence: Evidence) -> Evidence:
    """Evidence as whoever reads its file has it: without what JSON cannot hold; small in memory."""
    head = from_data(Evidence, to_data(replace(evidence, episodes=())))
    read = (from_data(KeptEpisode, to_data(one), _EPISODES) for one in evidence.episodes)
    return replace(head, episodes=Packed(read))


def read_evidence(path: Path) -> Evidence:
    """Read an evidence file of this or the older form.

    Raises:
        StorageError: the file is missing, unreadable or no JSON.
        EvidenceError: it is no evidence, a damaged one, or altered since it was written; the text
            names the file, the place in it, the value there and what is allowed.
    """
    data = read_json(path)
    try:
        return parse_evidence(data)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None


def parse_evidence(data: object) -> Evidence:
    """Evidence from a file's data, as `read_evidence` does."""
    found = parse_altered(data)
    assert isinstance(data, Mapping), "it is evidence"
    refuse_altered(data)
    return found


def refuse_altered(data: Mapping[str, Any]) -> None:
    """Raise EvidenceError where evidence is not what was written; older forms cannot say."""
    if has_hash(data) and is_altered(data):
        raise EvidenceError(f"its content is not what was written: its {CONTENT} is another")


def has_hash(data: Mapping[str, Any]) -> bool:
    """Whether evidence is of a form with a hash of its content."""
    return CONTENT in data or data.get("schema") == SCHEMA


def parse_altered(data: object) -> Evidence:
    """Evidence from a file's data, though it may have been altered: for who looks for what was."""
    if not isinstance(data, Mapping) or not is_evidence(data):
        raise EvidenceError("no evidence; allowed: files of .lpca/evidence/")
    schema = data.get("schema", data.get("format", _OLDER))
    if schema == _OLDER and "schema" not in data:
        return from_data(Evidence, _upgraded(data))
    if schema not in (SCHEMA, _UNHASHED):
        raise EvidenceError(
            f"schema is {schema!r:.40}; allowed: {SCHEMA}, {_UNHASHED}, or format {_OLDER}"
        )
    return from_data(Evidence, data)


def _upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """The older form in this one's words; what is damaged stays so, for the reader to name."""
    made = _with_parts(data)
    if isinstance(required := data.get("required"), list):
        made["required"] = [_with_parts(one) if isinstance(one, dict) else one for one in required]
    for name in ("codec", "static"):
        held = data.get(name)
        if isinstance(held, dict) and isinstance(held.get("config"), dict):
            made[name] = {**held, "recipe": held["config"]}
    return made


def _with_parts(gate: Mapping[str, Any]) -> dict[str, Any]:
    criteria = gate.get("criteria")
    if isinstance(criteria, list):
        criteria = [
            {**one, "claim_parts": _parts(one.get("claim"))} if isinstance(one, dict) else one
            for one in criteria
        ]
    return {**gate, "criteria": criteria}


def _parts(claim: Any) -> Any:
    try:
        return to_data(parse_claim(claim))
    except (ClaimError, TypeError, AttributeError):
        raise EvidenceError(
            f"a criterion's claim is {claim!r:.60}; allowed: a spec's claim"
        ) from None

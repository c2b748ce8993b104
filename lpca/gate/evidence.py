"""Evidence: a gate's verdict with everything it rests on, as one JSON file."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lpca.base.hashing import hash_data, hash_file
from lpca.base.version import __version__
from lpca.codec.similarity import similarity
from lpca.evaluation.outcome import Outcome, as_text
from lpca.gate.measure import Measurement, Subject
from lpca.gatespec.model import Gate, Spec
from lpca.judge import GateResult, look_sizes
from lpca.receivers.model import Receiver
from lpca.tasks import Episode

FORMAT = 1
SHOWN_PROMPTS = 2
"""In how many episodes, the first of them, the prompts are kept as text."""
PACKAGES = ("torch", "transformers", "numpy", "safetensors", "pytest")


@dataclass(frozen=True)
class Origin:
    """Which run made the evidence, and how it was started."""

    run: str
    command: Sequence[str]


def compose(
    spec: Spec,
    gate: Gate,
    k: int | None,
    result: GateResult,
    required: Sequence[GateResult],
    measurement: Measurement,
    subject: Subject,
    origin: Origin,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the evidence of one gate as JSON-able data."""
    receiver, codec = subject.receiver, subject.codec
    return {
        "format": FORMAT,
        "run": origin.run,
        "command": list(origin.command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "k": k,
        "title": gate.title,
        "answers": gate.answers,
        "score": spec.evaluation.score,
        "confidence": spec.evaluation.confidence,
        **result.to_dict(),
        "looks": _looks(gate, measurement),
        "any_of_k": list(gate.family) if gate.any_k else [],
        "required": [one.to_dict() for one in required],
        "beside": list(gate.shown_with),
        "checks": [asdict(check) for check in measurement.checks],
        "conditions": {name: dict(numbers) for name, numbers in measurement.numbers.items()},
        "receiver": {
            "name": receiver.name,
            "device": receiver.device.type,
            "dtype": str(receiver.dtype).removeprefix("torch."),
            "d_model": receiver.d_model,
        },
        "codec": codec.to_dict() if codec else None,
        "static": subject.control.to_dict() if subject.control else None,
        "similarity": similarity(subject.channel, measurement.episodes).to_dict()
        if subject.channel
        else None,
        "task": {"name": spec.task.name, "seed": spec.task.seed, **spec.task.settings},
        "hashes": {
            "receiver": receiver.weights_hash,
            "spec": hash_file(Path(spec.file)),
            "episodes": measurement.episodes.whole.hash(),
            "outcomes": _outcomes_hash(measurement),
            "codec": codec.content_hash if codec else None,
        },
        "cache": {
            name: [{"key": key, "cached": key in measurement.evaluated.cached} for key in keys]
            for name, keys in measurement.evaluated.keys.items()
        },
        "versions": {
            "lpca": __version__,
            **{name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
        },
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "prompts": _prompts(receiver, measurement),
        "episodes": [
            _episode(index, episode, measurement)
            for index, episode in enumerate(measurement.episodes)
        ],
    }


def _looks(gate: Gate, measurement: Measurement) -> dict[str, Any]:
    """How many of the declared episodes were used; with a stopping rule, where it ended.

    `saved` are the declared episodes that the rule did not need.
    """
    used, declared = len(measurement.episodes), len(measurement.episodes.whole)
    counts = {"used": used, "declared": declared}
    if gate.sequential is None:
        return counts
    sizes = look_sizes(gate.sequential, declared)
    look = {"sizes": sizes, "look": sizes.index(used) + 1, "saved": declared - used}
    return {**counts, "rule": gate.sequential.rule, **look}


def command_line() -> list[str]:
    """The running command, its program by name only."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _outcomes_hash(measurement: Measurement) -> str:
    return hash_data(
        {
            name: [[r.seed, r.likelihood_success, r.greedy_success] for r in records]
            for name, records in measurement.outcomes.items()
        }
    )


def _episode(index: int, episode: Episode, measurement: Measurement) -> dict[str, Any]:
    return {
        "seed": episode.seed,
        "answers": episode.stratum,
        "wording": episode.wording,
        "message": episode.message,
        "options": list(episode.options),
        "answer": episode.answer,
        "donor": measurement.episodes.donor(index).seed,
        "outcomes": {
            name: _outcome(records[index]) for name, records in measurement.outcomes.items()
        },
    }


def _prompts(receiver: Receiver, measurement: Measurement) -> list[dict[str, Any]]:
    """What B was given in the first episodes, under each condition, for people to read."""
    return [
        {
            "condition": name,
            "seed": record.seed,
            "text": as_text(receiver, record.given),
            **_hashes(record),
        }
        for name, records in measurement.outcomes.items()
        for record in records[:SHOWN_PROMPTS]
    ]


def _outcome(record: Outcome) -> dict[str, Any]:
    return {
        "likelihood": record.likelihood_success,
        "greedy": record.greedy_success,
        "scores": list(record.scores),
        "said": record.said,
        **({} if record.credit is None else {"credit": record.credit}),
        **_hashes(record),
    }


def _hashes(record: Outcome) -> dict[str, str]:
    prompt = ",".join(map(str, record.given.ids))
    return {
        "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        "slot_sha256": record.given.sha256,
    }

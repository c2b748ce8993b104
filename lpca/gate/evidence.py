"""A measured gate becomes evidence: its verdict with everything that it rests on."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from lpca.base import __version__
from lpca.base.hashing import hash_data
from lpca.base.packed import Packed
from lpca.codec.channel import similarity
from lpca.evaluation.condition_numbers import packet_facts
from lpca.evaluation.normalised import RankedOutcome
from lpca.evaluation.outcome import Outcome, as_text
from lpca.evidence.json_form import from_data
from lpca.evidence.model import (
    CodecFacts,
    EpisodeOutcome,
    EpisodesUsed,
    Evidence,
    GateResult,
    Hashes,
    KeptAnswer,
    KeptBlock,
    KeptEpisode,
    ReceiverFacts,
    ShownPrompt,
)
from lpca.gate.measure import Measurement, Subject
from lpca.gatespec.model import Gate, Spec
from lpca.judge.age import catalogue_number
from lpca.judge.looks import look_sizes
from lpca.receivers.model import Receiver
from lpca.tasks import Episode

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
) -> Evidence:
    """Return the evidence of one gate."""
    receiver, codec = subject.receiver, subject.codec
    evaluated = measurement.evaluated
    return Evidence(
        run=origin.run,
        command=tuple(origin.command),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        k=k,
        title=gate.title,
        answers=gate.answers,
        score=spec.evaluation.score,
        normalised="" if spec.evaluation.normalised == "none" else spec.evaluation.normalised,
        temperature=spec.evaluation.temperature,
        repeats=None if spec.evaluation.repeats == 1 else spec.evaluation.repeats,
        cluster=spec.evaluation.cluster,
        confidence=spec.evaluation.confidence,
        result=result,
        looks=_used(gate, measurement),
        any_of_k=gate.family if gate.any_k else (),
        train_seeds=subject.seeds,
        required=tuple(required),
        shown_with=gate.shown_with,
        checks=measurement.checks,
        catalogue=catalogue_number(),
        conditions=measurement.numbers,
        receiver=ReceiverFacts(**receiver.facts, d_model=receiver.d_model),
        codec=from_data(CodecFacts, codec.to_dict(), "codec") if codec else None,
        static=from_data(CodecFacts, subject.control.to_dict(), "static")
        if subject.control
        else None,
        similarity=similarity(subject.channel, measurement.episodes) if subject.channel else None,
        packets=packet_facts(subject.setting(measurement.episodes)) if subject.channel else None,
        task={
            "name": spec.task.name,
            "seed": spec.task.seed,
            **({"drawn": spec.task.draw} if spec.task.draw else {}),
            **spec.task.settings,
        },
        prompt=spec.prompt.facts,
        hashes=Hashes(
            receiver.weights_hash,
            spec.sha256,
            measurement.episodes.whole.hash(),
            _outcomes_hash(measurement),
            codec.content_hash if codec else None,
        ),
        ledger=measurement.ledger.facts() if measurement.ledger else None,
        split="" if spec.task.split == "test" else spec.task.split,
        cache={
            name: tuple(KeptBlock(key, key in evaluated.cached) for key in keys)
            for name, keys in evaluated.keys.items()
        },
        versions={
            "lpca": __version__,
            **{name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
        },
        machine={"platform": platform.platform(), "processor": platform.machine()},
        seconds={name: round(value, 4) for name, value in seconds.items()},
        prompts=tuple(_prompts(receiver, measurement)),
        episodes=Packed(
            _episode(index, episode, measurement)
            for index, episode in enumerate(measurement.episodes)
        ),
    )


def _used(gate: Gate, measurement: Measurement) -> EpisodesUsed:
    used, declared = len(measurement.episodes), len(measurement.episodes.whole)
    if gate.sequential is None:
        return EpisodesUsed(used, declared)
    sizes = look_sizes(gate.sequential, declared)
    ended = sizes.index(used) + 1
    return EpisodesUsed(
        used,
        declared,
        gate.sequential.rule,
        tuple(sizes),
        ended,
        saved=declared - used,
        equivalences=True,
    )


def command_line() -> list[str]:
    """The running command, its program by name only."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _outcomes_hash(measurement: Measurement) -> str:
    return hash_data(
        {
            name: [
                [one.seed, one.likelihood_success, one.greedy_success]
                for record in records
                for one in record.readings
            ]
            for name, records in measurement.outcomes.items()
        }
    )


def _episode(index: int, episode: Episode, measurement: Measurement) -> KeptEpisode:
    donor = measurement.episodes.donor(index)
    return KeptEpisode(
        seed=episode.seed,
        answers=episode.stratum,
        wording=episode.wording,
        group=episode.group,
        message=episode.message,
        options=tuple(episode.options),
        answer=episode.answer,
        donor=donor.seed,
        donor_group=donor.group,
        outcomes={name: _outcome(name, index, measurement) for name in measurement.outcomes},
    )


def _prompts(receiver: Receiver, measurement: Measurement) -> Iterator[ShownPrompt]:
    """What B was given in the first episodes, under each condition, for people to read."""
    for name, records in measurement.outcomes.items():
        for record in records[:SHOWN_PROMPTS]:
            text = as_text(receiver, record.given)
            yield ShownPrompt(name, record.seed, text, *_hashes(record))


def _outcome(condition: str, index: int, measurement: Measurement) -> EpisodeOutcome:
    record, table = measurement.outcomes[condition][index], measurement.table
    prompt, slot = _hashes(record)
    answers, times = record.readings, measurement.evaluated.repeats
    numbers = table.undecided.get(condition, (0,) * table.n)
    undecided = [number or None for number in numbers[times * index : times * (index + 1)]]
    # an option's lead follows from scores
    slack = [None if measurement.score == "likelihood" else one.slack for one in answers]
    return EpisodeOutcome(
        likelihood=record.likelihood_success,
        greedy=record.greedy_success,
        scores=record.scores,
        ranked=record.ranked if isinstance(record, RankedOutcome) else (),
        said=record.said,
        credit=record.credit,
        prompt_sha256=prompt,
        slot_sha256=slot,
        others=tuple(
            KeptAnswer(one.greedy_success, one.said, one.credit, own_slack, number)
            for one, own_slack, number in zip(answers[1:], slack[1:], undecided[1:], strict=True)
        ),
        slack=slack[0],
        undecided=undecided[0],
    )


def _hashes(record: Outcome) -> tuple[str, str]:
    """Of the prompt's token ids, and of the vectors injected into it; empty without any."""
    prompt = ",".join(map(str, record.given.ids))
    return hashlib.sha256(prompt.encode()).hexdigest(), record.given.sha256

"""A gate's place in the ledger, and when its outcomes are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lpca.base.hashing import hash_data
from lpca.gate.measure import Looks, Subject
from lpca.gatespec.model import Gate, Spec, levels_of
from lpca.judge import OutcomeTable, is_decided, look_sizes, passes
from lpca.tasks import EpisodeSet
from lpca.validity.ledger import GateLedger, LedgerEntry

PROBES = 8
"""Messages by which codecs are told apart."""


def gate_ledger(
    folder: Path, spec: Spec, gate: Gate, subject: Subject, episodes: EpisodeSet, announced: int = 1
) -> GateLedger | None:
    """Return what the ledger knows about these episodes, and what reading them adds.

    Args:
        folder: where the ledgers stand.
        spec: the spec that the gate is in.
        gate: the gate whose outcomes are read.
        subject: receiver, task and codec.
        episodes: those that were evaluated.
        announced: how many codecs were declared together for the spec's test episodes.

    Returns:
        None without a codec: nothing could be picked then.
    """
    task, channel, evaluation = spec.task, subject.channel, spec.evaluation
    if channel is None:
        return None
    probes = [e.message for e in subject.task.training_batch(0, PROBES, 0)]
    settings = {**task.settings, **subject.task.contents()}
    claims = [[one.text, *levels_of(one, evaluation)] for one in gate.criteria]
    now = LedgerEntry(
        test_set=hash_data([task.name, settings, task.seed, gate.answers]),
        receiver=subject.receiver.weights_hash,
        k=channel.k,
        fingerprint=channel.fingerprint(probes),
        gate=gate.name,
        n=len(episodes),
        episodes=episodes.hash(),
        criteria=hash_data([evaluation.score, sorted(claims)]),
    )
    return GateLedger.read(folder, now, evaluation.checkpoints, announced)


def gate_looks(
    spec: Spec,
    name: str,
    ledger: Callable[[EpisodeSet], GateLedger | None] = lambda episodes: None,
) -> Looks:
    """When a gate's outcomes are read, and how they are judged then."""
    gate = spec.gates[name]
    n = spec.episodes(gate)

    def decided(table: OutcomeTable) -> bool:
        return is_decided(spec, name, table)

    def passing(table: OutcomeTable, count: int) -> bool:
        return passes(spec, name, table, count)

    sizes = look_sizes(gate.sequential, n) if gate.sequential else [n]
    evaluation = spec.evaluation
    return Looks(sizes, evaluation.score, decided, passing, ledger, evaluation.confidence)

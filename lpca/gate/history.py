"""A gate's place in the ledger: what was looked at before, and what this look adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lpca.base.hashing import hash_data
from lpca.gate.measure import Looks, Subject
from lpca.gatespec.methods import levels_of
from lpca.gatespec.model import Gate, Spec
from lpca.judge import OutcomeTable, is_decided, look_sizes, passes
from lpca.stats import Verdict
from lpca.tasks import EpisodeSet
from lpca.validity.ledger import Ledger, Look, Past, past_of

PROBES = 8
"""Messages by which codecs are told apart."""


@dataclass(frozen=True, eq=False)
class History:
    """One gate on one subject, before a ledger; `announced` as for `Past`."""

    ledger: Ledger
    spec: Spec
    gate: Gate
    subject: Subject
    announced: int = 1

    def past(self, episodes: EpisodeSet) -> Past | None:
        """What the ledger knows about these episodes; None without a codec to choose."""
        look = self._look(episodes)
        if look is None:
            return None
        past = past_of(self.ledger, look, self.spec.evaluation.checkpoints)
        return replace(past, announced=self.announced)

    def keep(self, episodes: EpisodeSet, verdict: Verdict, run: str) -> None:
        """Add this look; an altered ledger is left as it is."""
        past = self.past(episodes)
        if past is None or past.altered:
            return
        written = datetime.now(UTC).isoformat(timespec="seconds")
        self.ledger.add(replace(past.now, verdict=verdict, run=run, written=written))

    def _look(self, episodes: EpisodeSet) -> Look | None:
        task, subject, evaluation = self.spec.task, self.subject, self.spec.evaluation
        if subject.channel is None:
            return None
        probes = [e.message for e in subject.task.training_batch(0, PROBES, 0)]
        settings = {**task.settings, **subject.task.contents()}
        claims = [[one.text, *levels_of(one, evaluation)] for one in self.gate.criteria]
        return Look(
            test_set=hash_data([task.name, settings, task.seed, self.gate.answers]),
            receiver=subject.receiver.weights_hash,
            k=subject.channel.k,
            fingerprint=subject.channel.fingerprint(probes),
            gate=self.gate.name,
            n=len(episodes),
            episodes=episodes.hash(),
            criteria=hash_data([evaluation.score, sorted(claims)]),
        )


def gate_looks(
    spec: Spec, name: str, past: Callable[[EpisodeSet], Past | None] = lambda episodes: None
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
    return Looks(sizes, evaluation.score, decided, passing, past, evaluation.confidence)

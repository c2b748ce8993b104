"""Options of several tokens, ranked so that neither the short nor the common are favoured.

A sum of log-probabilities falls with every token. `tokens` and `bytes` divide it by the option's
length (Brown et al. 2020, arXiv:2005.14165, section 2.4, per token). `pmi` takes off what the
option has without message and question, log P(option | prompt) - log P(option | domain), where the
domain is the text behind B's slot alone, with nothing before it but the receiver's start token, or
a line break where it has none (Holtzman et al. 2021, arXiv:2104.08315). It is not p0's score: under
p0 every option would rank alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lpca.base.code_identity import code_hash
from lpca.base.hashing import hash_data
from lpca.evaluation.block import Computed, Job, MakeJob, RunBlock
from lpca.evaluation.outcome import Outcome
from lpca.gatespec.model import Normalised
from lpca.receivers.forward import Slot, Tile
from lpca.receivers.model import Receiver
from lpca.tasks import Episode


@dataclass(frozen=True)
class RankedOutcome(Outcome):
    """An outcome whose options are ranked by something else than their scores.

    Attributes:
        ranked: by option, what decides which is likeliest.
    """

    ranked: tuple[float, ...] = ()

    @property
    def gap(self) -> float:
        """As of the scores, of what ranks them."""
        rivals = [value for i, value in enumerate(self.ranked) if i != self.answer]
        return self.ranked[self.answer] - max(rivals)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RankedOutcome:
        """Rebuild an outcome; KeyError or TypeError when the data is not one."""
        return ranked_by(Outcome.from_json(data), data["ranked"])


def ranked_by(outcome: Outcome, values: Sequence[float]) -> RankedOutcome:
    """The outcome with its options ranked by these values."""
    held = {one.name: getattr(outcome, one.name) for one in fields(Outcome)}
    return RankedOutcome(**held, ranked=tuple(values))


@dataclass(frozen=True)
class Normalising:
    """The two steps of an evaluation whose options are ranked otherwise than by their sums.

    Attributes:
        how: what their sums are divided by, or compared with.
        name: names a block's outcomes by what they depend on.
        run: computes a block.
    """

    how: Normalised
    name: MakeJob
    run: RunBlock

    def make_job(
        self, receiver: Receiver, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]
    ) -> Job:
        """As `name`, under a key that says how options are ranked."""
        job = self.name(receiver, condition, episodes, slots)
        return replace(job, key=hash_data([job.key, self.how, code_hash(Normalising)]))

    def run_block(self, receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        """As `run`, with options ranked."""
        episodes = jobs[0].episodes
        # of one shape, whichever condition comes first
        tile = replace(jobs[0].tile, behind=jobs[0].tile.narrow)
        base = self._base(receiver, episodes, batch_size, tile)
        for job, outcomes in self.run(receiver, jobs, batch_size):
            yield (
                job,
                tuple(
                    ranked_by(outcome, self._values(receiver, episode, outcome.scores, without))
                    for episode, outcome, without in zip(episodes, outcomes, base, strict=True)
                ),
            )

    def _base(
        self, receiver: Receiver, episodes: Sequence[Episode], batch_size: int, tile: Tile
    ) -> list[tuple[float, ...]]:
        """By episode its options' scores without message and question; nothing where not asked."""
        if self.how != "pmi":
            return [()] * len(episodes)
        before = "" if receiver.prompt_start_ids("") else "\n"
        alone = [replace(episode, before=before) for episode in episodes]
        job = self.name(receiver, "unconditional", alone, [Slot()] * len(alone))
        [(_, outcomes)] = self.run(receiver, [job.tiled(tile)], batch_size)
        return [outcome.scores for outcome in outcomes]

    def _values(
        self,
        receiver: Receiver,
        episode: Episode,
        scores: Sequence[float],
        without: Sequence[float],
    ) -> list[float]:
        if self.how == "pmi":
            return [score - base for score, base in zip(scores, without, strict=True)]
        # the space before an option is the same for all, and no part of it
        lengths = [
            len(option.encode()) if self.how == "bytes" else len(receiver.option_ids(option))
            for option in episode.options
        ]
        return [score / length for score, length in zip(scores, lengths, strict=True)]

"""What the checks read of a run, and what they may ask the model once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from lpca.codec.checkpoint import Identity, trained_episodes
from lpca.codec.user_codec import OwnCodec
from lpca.evaluation.block import RunBlock, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots, slots_at
from lpca.evaluation.noise import Rereadings, content_of, explained, sample_of
from lpca.evaluation.outcome import Outcome, ReceivedPrompt, canonical_ids
from lpca.evaluation.sampled import Sampling
from lpca.evaluation.tile import shaped_as
from lpca.evidence.model import ConditionNumbers
from lpca.gatespec.model import LATENT, Score
from lpca.judge.outcomes import OutcomeTable
from lpca.receivers.caches import flat
from lpca.receivers.forward import FREE, Context, Slot, Tile, read_context
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet, Split, Task
from lpca.validity.catalogue import CheckFailed
from lpca.validity.ledger import GateLedger

SAMPLE = 8
"""Episodes in the sample that several checks share."""
RECOMPUTED = 24
"""Episodes per condition that were read again, at most, with which outcomes are compared."""
EXACT_TOLERANCE = {torch.float32: 1e-3}
"""In nats, by type: what batching, padding and a cache change a float32 log-probability by, and
more; outcomes are then the same every time."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What the checks read.

    Args:
        setting: what slots were made from: receiver, channels, the evaluated episodes.
        task: the task that made the episodes.
        outcomes: what was measured, by condition, in the order of the episodes.
        receiver_hash: the receiver's state when it was loaded.
        score: which outcome the spec judges: likelihood or greedy.
        table: what the gate is judged from.
        declared: the episodes' seeds as the task and the spec have them.
        sizes: after how many of them it may end.
        trained: the training run of a codec of lpca's.
        own: a codec of the user's.
        static_trained: the training run of the prefix that ignores messages.
        ledger: what was judged on these episodes before; None where no ledger is kept.
        split: which episodes these are; validation decides nothing.
        numbers: what is reported of each condition.
        run_block: what computed the outcomes, and computes some of them once more.
        sampling: how answers are sampled; None where they are not.
        noise: by condition that of the gaps that decide outcomes, in nats.
        reread: by condition the outcomes, by index, that were read again to measure it; None where
            that is still to be done.
        tile: what the run's batches take up.
        max_bits: the most that a message's packet may hold; None where the spec sets nothing.
    """

    setting: Setting
    task: Task
    outcomes: Mapping[str, Sequence[Outcome]]
    receiver_hash: str
    score: Score = "likelihood"
    table: OutcomeTable | None = None
    declared: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    trained: Identity | None = None
    own: OwnCodec | None = None
    static_trained: Identity | None = None
    ledger: GateLedger | None = None
    split: Split = "test"
    numbers: Mapping[str, ConditionNumbers] | None = None
    run_block: RunBlock = run_block
    sampling: Sampling | None = None
    noise: Mapping[str, float] = field(default_factory=dict)
    reread: Mapping[str, Mapping[int, Outcome]] | None = None
    tile: Tile = FREE
    max_bits: float | None = None

    @property
    def receiver(self) -> Receiver:
        """The receiver under test."""
        return self.setting.receiver

    @property
    def k(self) -> int:
        """The most positions that a packet has at B's."""
        return self.setting.coded().k

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """All evaluated episodes."""
        return self.setting.episodes.episodes

    @property
    def is_exact(self) -> bool:
        """Whether the receiver computes in float32, where outcomes are the same every time."""
        return self.receiver.dtype in EXACT_TOLERANCE

    @cached_property
    def tolerance(self) -> float:
        """How far two computations of the same may lie apart, in nats.

        In float32 of any log-probability. In coarser types, whose rounding moves those of unlikely
        options by more than a nat, of what decides: the right option's lead, or what B says; there
        it is measured on inputs that no fault of this run reaches (`lpca.evaluation.noise`), and no
        less than in float32.
        """
        exact = EXACT_TOLERANCE[torch.float32]
        # scores are summed in float32 whatever the receiver's type: none of them is more exact
        return exact if self.is_exact else max(exact, explained(self.setting))

    @cached_property
    def training(self) -> list[Episode]:
        """The episodes the codec was trained on; none where that is not known."""
        return [] if self.trained is None else trained_episodes(self.trained, self.task)

    @cached_property
    def sample(self) -> list[int]:
        """Indices of a sample of episodes, in order."""
        return self.sample_for("all", SAMPLE)

    def sample_for(self, purpose: str, size: int, among: Sequence[int] | None = None) -> list[int]:
        """Indices of a sample of episodes of its own, in order; `among` these, if not all.

        It follows from the outcomes, so that no forged one can stand where it is not looked at.
        """
        rows = range(len(self.episodes)) if among is None else among
        return sample_of(self._content, purpose, size, rows)

    @cached_property
    def _content(self) -> str:
        return content_of(self.outcomes)

    @cached_property
    def by_slot(self) -> Setting:
        """The setting with each slot as the only one of an episode."""
        return replace(self.setting, episodes=self.setting.episodes.by_slot)

    @cached_property
    def sample_alone(self) -> list[int]:
        """The indices of the sample's slots among the episodes of `by_slot`."""
        count = len(self.episodes[0].by_slot)
        return [count * row + place for row in self.sample for place in range(count)]

    def slots_alone(self, condition: str) -> list[Slot]:
        """What stands in each slot of the sample under a condition, one after the other."""
        return slots_at(condition, self.by_slot, self.sample_alone)

    def slots(self, condition: str, rows: Sequence[int]) -> list[Slot]:
        """The slots of some episodes under a condition."""
        return slots_at(condition, self.setting, rows)

    @cached_property
    def again(self) -> Mapping[str, dict[int, Outcome]]:
        """By condition, some episodes' records computed once more, as evaluation does."""
        return {
            condition: {
                i: own[i] for i in self.sample_for(f"again {condition}", RECOMPUTED, list(own))
            }
            for condition, own in self._every_again.items()
        }

    @cached_property
    def _every_again(self) -> Mapping[str, Mapping[int, Outcome]]:
        if self.reread is not None:
            return self.reread
        return Rereadings(self.run_block, self.score, self.sampling).read(
            self.setting, self.outcomes
        )

    def again_for_alone(self, condition: str, size: int) -> dict[int, Outcome]:
        """Some of a condition's records that were computed once more, to be held against others.

        Half of them at most are of episodes in which an option begins as another does, where there
        are such: in most others first tokens decide, and what is done with the rest hardly shows.
        """
        own = self._every_again[condition]
        alike = self.sample_for(f"alike {condition}", size // 2, list(filter(self._alike, own)))
        others = [i for i in own if i not in alike]
        rows = [*alike, *self.sample_for(f"alone {condition}", size - len(alike), others)]
        return {i: own[i] for i in sorted(rows)}

    def _alike(self, index: int) -> bool:
        episode = self.episodes[index]
        first = [self.receiver.option_ids(option)[0] for option in episode.options]
        return len({*first}) < len(first)

    def given_with(
        self, condition: str, messages: Sequence[Sequence[tuple[str, ...]]]
    ) -> list[ReceivedPrompt]:
        """What B gets in the sample's episodes if they had other messages, as evaluation does it.

        One prompt for each, those of each sequence one after the other, in one batch. Each episode
        is the donor of the one before it.
        """
        rows = [self.episodes[i] for i in self.sample]
        episodes = tuple(
            episode.telling(told)
            for others in messages
            for episode, told in zip(rows, others, strict=True)
        )
        donors = tuple((i + 1) % len(episodes) for i in range(len(episodes)))
        setting = replace(self.setting, episodes=EpisodeSet(episodes, donors))
        records = self._ask(episodes, {condition: build_slots(condition, setting)})
        return [record.given for record in records[condition]]

    def ask(
        self, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]
    ) -> list[Outcome]:
        """Read episodes that may be others than the run's, each with its slot, in batches."""
        found: list[Outcome] = []
        # a tile fits the run's own prompts
        untiled = replace(self, tile=FREE)
        for start in range(0, len(episodes), RECOMPUTED):
            part = slice(start, start + RECOMPUTED)
            found += untiled._ask(episodes[part], {condition: slots[part]})[condition]
        return found

    def _ask(
        self, episodes: Sequence[Episode], slots: Mapping[str, Sequence[Slot]]
    ) -> dict[str, tuple[Outcome, ...]]:
        jobs = [
            make_job(self.receiver, name, episodes, own).tiled(shaped_as(self.tile, name))
            for name, own in slots.items()
        ]
        if self.sampling is not None:
            jobs = [job.sampled(self.sampling) for job in jobs]
        found = self.run_block(self.receiver, jobs, len(episodes))
        return {job.condition: records for job, records in found}

    @cached_property
    def _opened(self) -> tuple[Context, list[list[int]]]:
        """The sample's prompts, read up to their slots, and the ids that follow the slots."""
        rows, receiver = [self.episodes[i] for i in self.sample], self.receiver
        context = read_context(receiver, [receiver.prompt_start_ids(e.before) for e in rows])
        return context, [receiver.prompt_end_ids(e.after) for e in rows]

    def end_logits(self, condition: str) -> Tensor:
        """Logits [sample, vocabulary] at the ends of the sample's prompts under a condition."""
        context, afters = self._opened
        return context.read(self.slots(condition, self.sample), afters).logits

    def gradient_norms(self, condition: str) -> list[Tensor]:
        """Norms [n] of the gradient that each injected vector of the sample has from B's answer.

        The answer is the log-probability of B's likeliest next token. Of ids, the gradient is that
        of their embeddings; a slot with nothing in it has none.

        Raises:
            CheckFailed: no vectors are injected.
        """
        context, afters = self._opened
        own = self.slots(condition, self.sample)
        if any(slot.cache for slot in own):
            return self._cache_gradient_norms(own)
        vectors = list(map(self._vectors, own))
        leaves = [
            vector.detach().clone().requires_grad_(True) for vector in vectors if vector is not None
        ]
        if len(leaves) < len(vectors) or not any(map(len, leaves)):
            raise CheckFailed(f"no vectors are injected under {condition}")
        with torch.enable_grad():
            slots = [slot.holding(leave) for slot, leave in zip(own, leaves, strict=True)]
            logits = context.continuation_logits(slots, afters, keep=1)
            score = logits[:, -1].log_softmax(-1).amax(1).sum()
        full = [leave for leave in leaves if len(leave)]
        return [gradient.norm(dim=1) for gradient in torch.autograd.grad(score, full)]

    def _cache_gradient_norms(self, slots: Sequence[Slot]) -> list[Tensor]:
        """As `gradient_norms`, of caches: by position over all layers, then by layer."""
        context, afters = self._opened
        rows: list[dict[int, tuple[Tensor, Tensor]]] = []
        for slot in slots:
            own = {}
            for layer, (keys, values) in slot.cache.items():
                leaves = keys.detach().clone(), values.detach().clone()
                own[layer] = leaves[0].requires_grad_(True), leaves[1].requires_grad_(True)
            rows.append(own)
        with torch.enable_grad():
            given = [Slot(cache=row) for row in rows]
            logits = context.continuation_logits(given, afters, keep=1)
            score = logits[:, -1].log_softmax(-1).amax(1).sum()
        found = []
        for row in (row for row, slot in zip(rows, slots, strict=True) if len(slot)):
            parts = [one for both in row.values() for one in both]
            gradients = torch.autograd.grad(score, parts, retain_graph=True)
            squares = torch.stack([one.square().sum((0, 2)) for one in gradients])
            layers = squares.reshape(len(row), 2, -1).sum(1)
            found.append(torch.cat([layers.sum(0), layers.sum(1)]).sqrt())
        return found

    def _vectors(self, slot: Slot) -> Tensor | None:
        """What a packet's slot holds as vectors [n, width]; None where a text stands there.

        Keys and values at a position are one vector, in which all layers and heads count alike.
        """
        if slot.cache:
            return flat(slot.cache, unit=True)
        if slot.vectors is not None or self.setting.coded().fixed:
            return slot.vectors
        nothing = torch.zeros(0, self.setting.coded().width)
        ids = [token for start, stop in slot.spans for token in slot.ids[start:stop]]
        return self.receiver.embed(ids) if ids else nothing

    def directions(self, condition: str) -> Tensor:
        """The sample's first k vectors under a condition, at length 1: float32 [sample, k, width].

        Where packets differ in length, zeros stand behind the shorter ones.

        Raises:
            CheckFailed: fewer than k vectors are injected, where packets have k.
        """
        rows, fixed = [], self.setting.coded().fixed
        for slot in self.slots_alone(condition):
            own = self._vectors(slot)
            if own is None or (fixed and len(slot) < self.k):
                raise CheckFailed(f"fewer than {self.k} vectors are injected under {condition}")
            vectors = own[: self.k].detach().float().cpu()
            unit = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            rows.append(pad(unit, (0, 0, 0, self.k - len(unit))))
        return torch.stack(rows)

    def injected(self) -> list[str]:
        """The evaluated conditions that inject packets, or what stands in their place."""
        return LATENT.among(self.outcomes)

    def outcomes_of(self, condition: str) -> Iterator[tuple[str, Episode, Outcome]]:
        """What messages call each outcome of a condition, its episode, and the outcome itself."""
        for episode, record in zip(self.episodes, self.outcomes[condition], strict=True):
            yield f"{condition}, episode {episode.seed}", episode, record

    def prompt(self, episode: Episode) -> tuple[tuple[int, ...], ...]:
        """Return p0's prompt of an episode, before and behind each slot, as B received it."""
        receiver = self.receiver
        start = receiver.prompt_start_ids(episode.before)
        end = receiver.prompt_end_ids(episode.after)
        texts = [start, *receiver.between_ids(episode), end]
        return tuple(canonical_ids(receiver, text) for text in texts)

    def own_ids(self, episode: Episode) -> list[int]:
        """The ids of an episode's texts around the slot, without what stands in every prompt."""
        receiver = self.receiver
        opening, closing = receiver.around
        before = receiver.prompt_start_ids(episode.before)[len(opening) :]
        between = [token for text in receiver.between_ids(episode) for token in text]
        after = receiver.prompt_end_ids(episode.after)
        return before + between + after[: len(after) - len(closing)]

    def slot_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text in the slot, as `ReceivedPrompt` has them."""
        return canonical_ids(self.receiver, self.receiver.message_ids(text))

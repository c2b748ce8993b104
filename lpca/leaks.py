"""Validity checks: they read what B was really given, and ask the model again.

A check sees an `Audit`: the records of every condition, the setting they came from, and a seeded
sample of episodes on which it may run the model once more. One that fails makes the gate INVALID.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from types import MappingProxyType

import torch
from torch import Tensor

from lpca.conditions import Setting, build_slots
from lpca.evaluate import make_job, run_block
from lpca.gate_plan import LATENT
from lpca.hashing import named_rng
from lpca.receivers.model import Receiver
from lpca.receivers.reading import Slot, read_context
from lpca.receivers.tap import Given, canonical_ids
from lpca.records import Record
from lpca.tasks import Episode, EpisodeSet, Task
from lpca.tasks.base import split_of
from lpca.validity import CHECKS, Check, CheckResult

SAMPLE = 8
RUN_LENGTH = 4
ALIEN_MESSAGE = "The quick brown fox jumps over the lazy dog."
LOGIT_TOLERANCE = {torch.float32: 1e-3}
COARSE_TOLERANCE = 0.5
"""For bfloat16 and float16, in nats: their products are rounded to two or three digits."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What the checks read."""

    setting: Setting
    task: Task
    training_seed: int | None
    records: Mapping[str, Sequence[Record]]
    receiver_hash: str

    @property
    def receiver(self) -> Receiver:
        """The receiver under test."""
        return self.setting.receiver

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """All evaluated episodes."""
        return self.setting.episodes.episodes

    @property
    def tolerance(self) -> float:
        """How far two computations of the same log-probability may lie apart, in nats."""
        return LOGIT_TOLERANCE.get(self.receiver.dtype, COARSE_TOLERANCE)

    @cached_property
    def sample(self) -> list[int]:
        """Indices of the seeded sample of episodes, in order."""
        seeds = [episode.seed for episode in self.episodes]
        rng = named_rng("leaks", *seeds[:2], len(seeds))
        return sorted(rng.sample(range(len(seeds)), min(SAMPLE, len(seeds))))

    def sampled_slots(self, condition: str) -> list[Slot]:
        """The slots of the sampled episodes under a condition."""
        slots = build_slots(condition, self.setting)
        return [slots[i] for i in self.sample]

    def injected(self) -> list[str]:
        """The evaluated conditions that inject k vectors."""
        return [condition for condition in LATENT if condition in self.records]

    def prompt(self, episode: Episode) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return p0's prompt of an episode, before and after the slot, as `Given` has ids."""
        receiver = self.receiver
        before = canonical_ids(receiver, receiver.prompt_start_ids(episode.before))
        return before, canonical_ids(receiver, receiver.segment_ids(episode.after))


class Leak(Exception):  # noqa: N818 - a finding, not an error
    """What a check found; its text is shown."""


def run_checks(audit: Audit) -> list[CheckResult]:
    """Run every check; one whose conditions were not evaluated is not applicable."""
    return [_run(check, audit) for check in CHECKS]


def _run(check: Check, audit: Audit) -> CheckResult:
    missing = [c for c in check.needs if c not in audit.records]
    if missing:
        return CheckResult(check.id, check.title, None, f"not evaluated: {', '.join(missing)}")
    try:
        return CheckResult(check.id, check.title, True, _FINDERS[check.id](audit))
    except Leak as leak:
        return CheckResult(check.id, check.title, False, str(leak))


def _prompt_is_p0s(audit: Audit) -> str:
    lengths = {"p0": 0, **{condition: _k(audit) for condition in audit.injected()}}
    for condition, length in lengths.items():
        for episode, record in zip(audit.episodes, audit.records[condition], strict=True):
            before, after = audit.prompt(episode)
            given = record.given
            if given.ids[: given.start] != before or given.ids[given.stop :] != after:
                raise Leak(f"{condition}, episode {episode.seed}: B's prompt is not that of p0")
            if given.stop - given.start != length:
                found = given.stop - given.start
                raise Leak(f"{condition}, episode {episode.seed}: {found} positions, not {length}")
    return f"{len(audit.episodes)} episodes under {', '.join(lengths)}: byte for byte"


def _prompt_ignores_message(audit: Audit) -> str:
    condition = audit.injected()[0] if audit.injected() else "p0"
    for other in (ALIEN_MESSAGE, None):
        rows = [audit.episodes[i] for i in audit.sample]
        donors = [audit.setting.episodes.donor(i).message for i in audit.sample]
        changed = [
            replace(episode, message=other if other is not None else donor)
            for episode, donor in zip(rows, donors, strict=True)
        ]
        for index, given in zip(audit.sample, _given(audit, condition, changed), strict=True):
            was = audit.records[condition][index].given
            if _around(given) != _around(was):
                seed = audit.episodes[index].seed
                raise Leak(f"episode {seed}: another message changes B's prompt around the slot")
        text = _given(audit, "p1", changed)
        if other is not None and any(
            g == audit.records["p1"][i].given for g, i in zip(text, audit.sample, strict=True)
        ):
            raise Leak("p1 does not change with the message: the message never reaches B as text")
    return f"{len(audit.sample)} episodes with another message: only the slot changes"


def _no_answer_outside_options(audit: Audit) -> str:
    for episode in audit.episodes:
        start, stop = audit.task.options_span(episode)
        outside = (episode.before[:start], episode.before[stop:], episode.after)
        for option in episode.options:
            if any(_names(text, option) for text in outside):
                raise Leak(f"episode {episode.seed}: {option!r} stands outside the options list")
        runs = _runs(audit.receiver.message_ids(episode.message))
        for text in outside:
            shared = runs & _runs(audit.receiver.segment_ids(text))
            for run in sorted(shared):
                words = _whole_words(audit.receiver.text(run), episode.message)
                if len(words) > 1:
                    raise Leak(
                        f"episode {episode.seed}: {RUN_LENGTH} tokens of the message are in B's "
                        f"prompt: {' '.join(words)!r} in {text!r}"
                    )
    return f"{len(audit.episodes)} prompts hold neither an answer nor a run of the message"


def _position_balanced(audit: Audit) -> str:
    # of the whole set: its beginning, where a gate stopped early, is balanced only about
    episodes = audit.setting.episodes.whole
    counts = Counter(episode.answer for episode in episodes)
    slots = range(max(len(episode.options) for episode in episodes))
    shares = [counts[i] for i in slots]
    if max(shares) - min(shares) > len({episode.stratum for episode in episodes}):
        raise Leak(f"the right option's positions are not balanced: {shares}")
    return f"right option's positions: {shares}"


def _prefix_used(audit: Audit) -> str:
    receiver, rows = audit.receiver, [audit.episodes[i] for i in audit.sample]
    slots, noise = audit.sampled_slots("normal"), audit.sampled_slots("random")
    context = read_context(receiver, [receiver.prompt_start_ids(e.before) for e in rows])
    afters = [receiver.segment_ids(e.after) for e in rows]
    moved = (context.read(slots, afters).logits - context.read(noise, afters).logits).abs()
    if float(moved.amax(1).min()) == 0.0:
        raise Leak("replacing the prefix by noise leaves B's logits as they were")
    prefixes = [_vectors(slot).clone().requires_grad_(True) for slot in slots]
    with torch.enable_grad():
        logits = context.continuation_logits([Slot(vectors=p) for p in prefixes], afters, keep=1)
        score = logits[:, -1].log_softmax(-1).amax(1).sum()
    gradients = torch.autograd.grad(score, prefixes)
    weakest = min(float(g.norm(dim=1).min()) for g in gradients)
    if not weakest > 0.0 or not math.isfinite(weakest):
        raise Leak(f"a prefix vector has no gradient from B's answer (norm {weakest})")
    return f"logits move by {float(moved.amax(1).min()):.2g} or more; every vector has a gradient"


def _null_is_zero(audit: Audit) -> str:
    for record in audit.records["null"]:
        norms = record.given.norms
        if len(norms) != _k(audit) or any(norm != 0.0 for norm in norms):
            raise Leak(f"episode {record.seed}: null's vectors have norms {list(norms)}")
    return f"{len(audit.records['null'])} x {_k(audit)} vectors, all exactly zero"


def _donors_deranged(audit: Audit) -> str:
    episodes = audit.setting.episodes
    if sorted(episodes.whole.donors) != list(range(len(episodes.whole))):
        raise Leak("the donors are not a permutation of the episodes")
    for index, episode in enumerate(episodes):
        donor = episodes.donor(index)
        if donor.seed == episode.seed:
            raise Leak(f"episode {episode.seed} is its own donor")
        if donor.right not in episode.options or donor.right == episode.right:
            raise Leak(
                f"episode {episode.seed}: the donor's answer {donor.right!r} is none of its "
                "wrong options"
            )
    normal, shuffle = audit.records["normal"], audit.records["shuffle"]
    for record, donor_index in zip(shuffle, episodes.donors, strict=True):
        # a donor beyond the look at which a gate stopped has no outcome of its own
        own = normal[donor_index : donor_index + 1]
        if own and record.given.sha256 != own[0].given.sha256:
            raise Leak(f"episode {record.seed}: shuffle did not inject its donor's latents")
    return (
        f"{len(episodes)} donors: no fixed point, each names a wrong option, its latents injected"
    )


def _encoding_repeatable(audit: Audit) -> str:
    channel = audit.setting.coded()
    messages = [audit.episodes[i].message for i in audit.sample]
    first, second = channel.encode_afresh(messages), channel.encode_afresh(messages)
    if not torch.equal(first, second):
        raise Leak("encoding the same messages twice gives other latents: is dropout on?")
    used = torch.stack([p.to(first) for p in channel.prefixes(messages)])
    off = float((first - used).norm() / used.norm().clamp(min=1e-12))
    if off > (1e-4 if audit.receiver.dtype == torch.float32 else 5e-2):
        raise Leak(f"latents depend on what else is in the batch: relative difference {off:.2g}")
    return f"{len(messages)} messages twice: identical; in another batch: within {off:.1g}"


def _outcomes_traced(audit: Audit) -> str:
    worst = 0.0
    for condition, records in audit.records.items():
        if [r.seed for r in records] != [e.seed for e in audit.episodes]:
            raise Leak(f"{condition}: its outcomes are not those of the episodes, one each")
        rows = [audit.episodes[i] for i in audit.sample]
        job = make_job(audit.receiver, condition, rows, audit.sampled_slots(condition))
        for _, again in run_block(audit.receiver, [job], batch_size=len(rows)):
            for index, new in zip(audit.sample, again, strict=True):
                worst = max(worst, _compare(condition, records[index], new, audit.tolerance))
    return (
        f"{len(audit.sample)} episodes computed again under {len(audit.records)} conditions: "
        f"scores within {worst:.1g} nats"
    )


def _compare(condition: str, old: Record, new: Record, tolerance: float) -> float:
    if len(old.scores) != len(new.scores) or not all(map(math.isfinite, old.scores)):
        raise Leak(f"{condition}, episode {old.seed}: no score for every option")
    off = max(abs(a - b) for a, b in zip(old.scores, new.scores, strict=True))
    if off > tolerance:
        raise Leak(f"{condition}, episode {old.seed}: computed again, a score differs by {off:.2g}")
    turned = old.likelihood_success != new.likelihood_success
    if turned and abs(new.gap) > tolerance:
        raise Leak(f"{condition}, episode {old.seed}: computed again, the outcome is another")
    if old.named != new.named and tolerance < COARSE_TOLERANCE and not new.near_tie:
        raise Leak(f"{condition}, episode {old.seed}: B now says {new.said!r}, not {old.said!r}")
    return off


def _plumbing_logits(audit: Audit) -> str:
    worst = 0.0
    for text, injected in zip(audit.records["p1"], audit.records["embed"], strict=True):
        if text.given.ids != injected.given.ids:
            raise Leak(f"episode {text.seed}: embed's injected embeddings are not p1's tokens")
        worst = max(worst, *(abs(a - b) for a, b in zip(text.scores, injected.scores, strict=True)))
    rows = [audit.episodes[i] for i in audit.sample]
    logits = [_end_logits(audit, condition, rows) for condition in ("p1", "embed")]
    off = float((logits[0] - logits[1]).abs().max())
    if max(worst, off) > audit.tolerance:
        raise Leak(f"embed and p1 differ: scores by {worst:.2g}, logits by {off:.2g}")
    return f"embed gives p1's scores within {worst:.1g} and its logits within {off:.1g}"


def _random_has_norms(audit: Audit) -> str:
    loose = 1e-3 if audit.receiver.dtype == torch.float32 else 2e-2
    for noise, latent in zip(audit.records["random"], audit.records["normal"], strict=True):
        pairs = zip_longest(noise.given.norms, latent.given.norms, fillvalue=-1.0)
        if any(abs(a - b) > loose * max(b, 1e-6) for a, b in pairs):
            raise Leak(f"episode {noise.seed}: random's norms are not the latents' own")
        if noise.given.sha256 == latent.given.sha256:
            raise Leak(f"episode {noise.seed}: random injected the latents themselves")
    return f"{len(audit.records['random'])} episodes: each vector has its latent's norm"


def _receiver_frozen(audit: Audit) -> str:
    if any(parameter.requires_grad for parameter in audit.receiver.model.parameters()):
        raise Leak("a parameter of the receiver asks for a gradient")
    if audit.receiver.model.training:
        raise Leak("the receiver is in training mode")
    now = audit.receiver.parameters_hash()
    if now != audit.receiver_hash:
        raise Leak(f"the receiver's parameters changed: {audit.receiver_hash[:12]} to {now[:12]}")
    return f"every parameter bit for bit as loaded ({now[:12]})"


def _splits_disjoint(audit: Audit) -> str:
    seeds = [episode.seed for episode in audit.episodes]
    if len(set(seeds)) != len(seeds):
        raise Leak("an episode's seed occurs twice")
    strays = [seed for seed in seeds if split_of(seed) != "test"]
    if strays:
        raise Leak(f"episode {strays[0]} is of the {split_of(strays[0])} split, not of test")
    if audit.training_seed is None:
        return f"{len(seeds)} test seeds"
    batches = [audit.task.training_batch(step, 32, audit.training_seed) for step in range(100)]
    trained = {e.right for batch in batches for e in batch}
    trained_seeds = {e.seed for batch in batches for e in batch}
    if trained_seeds & set(seeds):
        raise Leak(f"seed {min(trained_seeds & set(seeds))} is in training and in test")
    leaked = {e.right for e in audit.episodes if e.stratum == "unseen"} & trained
    if leaked:
        raise Leak(f"the unseen answer {min(leaked)!r} is named in training messages")
    return f"{len(seeds)} test seeds, none of training's; no unseen answer in training"


_FINDERS: Mapping[str, Callable[[Audit], str]] = MappingProxyType(
    {
        "prompt_is_p0s": _prompt_is_p0s,
        "prompt_ignores_message": _prompt_ignores_message,
        "no_answer_outside_options": _no_answer_outside_options,
        "position_balanced": _position_balanced,
        "prefix_used": _prefix_used,
        "null_is_zero": _null_is_zero,
        "donors_deranged": _donors_deranged,
        "encoding_repeatable": _encoding_repeatable,
        "random_has_norms": _random_has_norms,
        "plumbing_logits": _plumbing_logits,
        "outcomes_traced": _outcomes_traced,
        "receiver_frozen": _receiver_frozen,
        "splits_disjoint": _splits_disjoint,
    }
)


def _k(audit: Audit) -> int:
    return audit.setting.coded().k


def _around(given: Given) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return given.ids[: given.start], given.ids[given.stop :]


def _given(audit: Audit, condition: str, episodes: Sequence[Episode]) -> list[Given]:
    count = len(episodes)
    chosen = EpisodeSet(tuple(episodes), tuple((i + 1) % count for i in range(count)))
    slots = build_slots(condition, replace(audit.setting, episodes=chosen))
    job = make_job(audit.receiver, condition, episodes, slots)
    [(_, records)] = run_block(audit.receiver, [job], batch_size=count)
    return [record.given for record in records]


def _end_logits(audit: Audit, condition: str, episodes: Sequence[Episode]) -> Tensor:
    receiver = audit.receiver
    slots = audit.sampled_slots(condition)
    context = read_context(receiver, [receiver.prompt_start_ids(e.before) for e in episodes])
    return context.read(slots, [receiver.segment_ids(e.after) for e in episodes]).logits


def _vectors(slot: Slot) -> Tensor:
    if slot.vectors is None:
        raise Leak("no vectors are injected under normal")
    return slot.vectors.detach()


def _names(text: str, option: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def _whole_words(run: str, message: str) -> list[str]:
    """The words of a run of tokens that are whole words of the message.

    Where tokens are letters, four of them are a piece of a word, which any text may share.
    """
    return [word for word in re.findall(r"\w+", run) if re.search(rf"\b{word}\b", message)]


def _runs(ids: Sequence[int]) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + RUN_LENGTH]) for i in range(len(ids) - RUN_LENGTH + 1)}

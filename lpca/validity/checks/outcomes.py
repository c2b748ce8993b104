"""Is every outcome what this receiver, as it was loaded, really does with what it is given?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lpca.base.hashing import named_rng
from lpca.gatespec.model import MESSAGE_LATENTS, TEXTS, TRUNCATED
from lpca.tasks.own_verifier import end_own_verifiers
from lpca.validity.catalogue import CHECKS, TRACED, CheckFailed, DoesNotApply, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lpca.evaluation.outcome import Outcome, ReceivedPrompt
    from lpca.receivers.forward import Slot
    from lpca.tasks import Episode
    from lpca.validity.audit import Audit

ALONE, ALONE_COARSE = 3, 8
"""Episodes per condition that are computed alone, of those that are computed again; the second in
types coarser than float32, where a steady fault has to be told from rounding."""


@CHECKS.register("receiver_frozen")
@check("the receiver is as it was loaded", place=10)
def receiver_frozen(audit: Audit) -> str:
    """The receiver is as it was loaded: parameters, buffers, settings, mode, hooks, code.

    Reads the receiver's state before and after: each tensor and number in it, buffers that no file
    holds among them, its configuration, hooks on it or on all modules, and the code of its classes
    and methods. Catches a receiver that was tuned while the codec was trained, dropout left on,
    another rotary base or scale, and code put in a layer's place. No tolerance: one bit of one
    weight is another receiver. Then fixed probes, one as long as the run's longest prompt, must
    have the logits they had, within `PROBES_MOVE`. `Receiver.own_place` decides by the same method.
    """
    if any(parameter.requires_grad for parameter in audit.receiver.model.parameters()):
        raise CheckFailed("a parameter of the receiver asks for a gradient")
    if audit.receiver.model.training:
        raise CheckFailed("the receiver is in training mode")
    now = audit.receiver.state()
    change = audit.receiver.change(now)
    if now.hash != audit.receiver_hash:
        told = change.told if change else "the receiver changed"
        raise CheckFailed(f"{told}: {audit.receiver_hash[:12]} to {now.hash[:12]}")
    if change:
        raise CheckFailed(change.told)
    return f"every parameter bit for bit as loaded, no hook added ({now.hash[:12]})"


@CHECKS.register("slow_path_agrees")
@check("computed alone, without cache or batch, B does the same", place=80)
def slow_path_agrees(audit: Audit) -> str:
    """One episode at a time, without cache or padding, options score and B speaks the same.

    Reads a few episodes of each condition, a prompt at a time, by plain forward passes; half of
    them where an option begins as another does, if there are such. Catches a cache that
    forgets the prefix or has read the message, positions counted from the padding, scores of first
    tokens alone, teacher forcing reported as generation, and sampled answers that the named seed
    does not draw. Tolerance: `Audit.tolerance`, what two ways to compute the same may differ by in
    the receiver's precision: in float32 of every score, in coarser types of what decides, and there
    of the mean of m episodes, under a condition and in all, that over the root of m.
    """
    off: list[float] = []
    alone = ALONE if audit.is_exact else ALONE_COARSE
    for condition in audit.outcomes:
        # others share their batch, so that some of them are padded
        records = audit.again_for_alone(condition, alone)
        slots = audit.slots(condition, list(records))
        own = [
            _alone(audit, condition, index, slot, record)
            for (index, record), slot in zip(records.items(), slots, strict=True)
        ]
        _refuse_steady(audit, condition, own)
        off += own
    _refuse_steady(audit, "all conditions", off)
    worst = max(map(abs, off), default=0.0)
    return f"{len(off)} episodes alone: scores within {worst:.1g} nats, B says the same"


def _refuse_steady(audit: Audit, where: str, off: Sequence[float]) -> None:
    """Rounding goes up as often as down: what moves all leads alike is none."""
    if audit.is_exact or not off:
        return
    steady, allowed = math.fsum(off) / len(off), audit.tolerance / math.sqrt(len(off))
    if not abs(steady) <= allowed:
        raise CheckFailed(
            f"{where}: in the batch the right option leads by {steady:+.2g} nats more than alone, "
            f"the mean of {len(off)} episodes; rounding explains {allowed:.2g}"
        )


def _alone(audit: Audit, condition: str, index: int, slot: Slot, record: Outcome) -> float:
    """How far scores in the batch are from those alone; see `_furthest`."""
    from lpca.evaluation.sampled import points, slack_of
    from lpca.evaluation.slow_path import SlowPath

    receiver, episode = audit.receiver, audit.episodes[index]
    where = f"{condition}, episode {episode.seed}, alone"
    vectors = slot.cache or (None if slot.vectors is None else slot.vectors.detach())
    options = [receiver.option_ids(option) for option in episode.options]
    texts = [ids[:-1] for ids in (*options, *(one.said_ids for one in record.readings))]
    slow = SlowPath(receiver, record.given, vectors, texts)
    scores = list(map(slow.option_score, options))
    off = _furthest(audit, episode.answer, record.scores, scores)
    # so written that NaN, which is less than nothing, is found too
    if not abs(off) <= audit.tolerance:
        told = ", ".join(
            f"{option!r} {alone:.3f} ({batch:.3f})"
            for option, alone, batch in zip(episode.options, scores, record.scores, strict=True)
        )
        raise CheckFailed(f"{where}: options score otherwise than (in the batch): {told}")
    for repeat, reading in enumerate(record.readings):
        logits = slow.next_token_scores(reading.said_ids[:-1])
        drawn = points(episode.seed, repeat)
        for scores, token in zip(logits, reading.said_ids, strict=False):
            if audit.sampling is None:
                off_by = float(scores.max() - scores[token])
            else:
                off_by = -slack_of(scores, token, next(drawn), audit.sampling.temperature)
            if off_by > audit.tolerance:
                raise CheckFailed(
                    f"{where}: B does not go on with {receiver.text([token])!r}, in the batch it "
                    f"said {reading.said!r}"
                )
    return off


def _furthest(audit: Audit, answer: int, scores: Sequence[float], others: Sequence[float]) -> float:
    """How far two computations of options' scores lie apart: in float32 the furthest of them.

    In coarser types by how much the right option leads by more in the first: an unlikely option's
    score decides nothing.
    """
    if audit.is_exact:
        apart = [abs(a - b) for a, b in zip(scores, others, strict=True)]
        return math.nan if any(map(math.isnan, apart)) else max(apart)
    leads = [
        held[answer] - max(score for i, score in enumerate(held) if i != answer)
        for held in (scores, others)
    ]
    return leads[0] - leads[1]


@CHECKS.register("outcomes_traced")
@check("every outcome is a model call that can be repeated", place=90, after=("slow_path_agrees",))
def outcomes_traced(audit: Audit) -> str:
    """Records are consistent, and a sample of every condition's comes out the same once more.

    Reads all records, and compares `RECOMPUTED` of each condition with what came of them when they
    were read again, drawn by what all records hold. Catches placeholders, outcomes kept from
    another codec, answers joined wrongly and failures touched up. Tolerance:
    `Audit.tolerance`, as for the slow path; an outcome may turn, and B say something else, only
    where the gap between options, or what B's answer has to spare, is within it. Nor may the run's
    own numerical noise, of which claims are kept free, be more.
    """
    from lpca.validity.audit import RECOMPUTED

    worst = 0.0
    heard: list[tuple[str, Episode, Outcome]] = []
    for condition, records in audit.outcomes.items():
        for episode, record in zip(audit.episodes, records, strict=False):
            where = f"{condition}, episode {episode.seed}"
            if record.answer != episode.answer or len(record.scores) != len(episode.options):
                raise CheckFailed(f"{where}: no record of this episode")
            if not all(map(math.isfinite, record.scores)):
                raise CheckFailed(f"{where}: a score is no number")
            if len(record.readings) != (audit.sampling.repeats if audit.sampling else 1):
                raise CheckFailed(f"{where}: B answered {len(record.readings)} times")
            heard += [(where, episode, one) for one in record.readings]
        for index, new in audit.again[condition].items():
            worst = max(worst, _compare(audit, condition, records[index], new))
        if not (noise := audit.noise.get(condition, 0.0)) <= audit.tolerance:
            raise CheckFailed(
                f"{condition}: readings of one episode differ by {noise:.2g} nats, and its "
                f"precision explains {audit.tolerance:.2g}"
            )
    _mark_anew(audit, heard)
    return (
        f"{RECOMPUTED} episodes of each of {len(audit.outcomes)} conditions computed again: "
        f"scores within {worst:.1g} nats"
    )


def _mark_anew(audit: Audit, heard: Sequence[tuple[str, Episode, Outcome]]) -> None:
    """Refuse an answer that does not name or earn what its record says.

    An own verifier begins once more and is asked in another order: what it kept of the first time,
    or counted, does not tell it which condition an answer is of.
    """
    from lpca.evaluation.noise import content_of
    from lpca.judge.successes import named_option

    end_own_verifiers()
    order = named_rng("order of marks", content_of(audit.outcomes))
    for where, episode, one in order.sample(heard, len(heard)):
        due = named_option(one.said, episode.options)[0], episode.credit(one.said)
        if due != (one.named, one.credit):
            raise CheckFailed(f"{where}: {one.said!r} is not what counts")


def _compare(audit: Audit, condition: str, old: Outcome, new: Outcome) -> float:
    where = f"{condition}, episode {old.seed}, computed again"
    off = abs(_furthest(audit, old.answer, old.scores, new.scores))
    if not off <= audit.tolerance:
        raise CheckFailed(f"{where}: a score differs by {off:.2g}")
    turned = old.likelihood_success != new.likelihood_success
    if turned and abs(new.gap) > audit.tolerance:
        raise CheckFailed(f"{where}: the outcome is another")
    for before, now in zip(old.readings, new.readings, strict=True):
        if before.said != now.said and not _may_turn(audit, now):
            raise CheckFailed(f"{where}: B says {now.said!r}, not {before.said!r}")
    return off


def _may_turn(audit: Audit, outcome: Outcome) -> bool:
    """Whether rounding may let B say something else."""
    return outcome.slack is not None and outcome.slack <= audit.tolerance


@CHECKS.register("prefix_used")
@check("B's answer depends on the injected vectors", place=150, needs=("normal", "random"))
def prefix_used(audit: Audit) -> str:
    """Noise in the prefix's place changes B's logits, and each vector has a gradient from them.

    Reads the logits of a sample under normal and under random, and the gradient of B's likeliest
    next token. Catches vectors that are made and dropped on their way, or that the model masks.
    No tolerance: what is used moves logits by more than nothing.
    """
    logits = [audit.end_logits(condition) for condition in ("normal", "random")]
    # where nothing crossed, or noise drew the same ids, there is nothing to tell apart
    own, noise = (audit.slots(condition, audit.sample) for condition in ("normal", "random"))
    pairs = enumerate(zip(own, noise, strict=True))
    rows = [i for i, (a, b) in pairs if len(a) and (a.kind != "tokens" or a.ids != b.ids)]
    if not rows:
        raise CheckFailed("no vectors are injected under normal")
    moved = float((logits[0] - logits[1])[rows].abs().amax(1).min())
    if moved == 0.0:
        raise CheckFailed("replacing the prefix by noise leaves B's logits as they were")
    weakest = min(float(norms.min()) for norms in audit.gradient_norms("normal"))
    if not weakest > 0.0 or not math.isfinite(weakest):
        raise CheckFailed(f"a prefix vector has no gradient from B's answer (norm {weakest})")
    return f"logits move by {moved:.2g} or more; every vector has a gradient"


def _ids(given: ReceivedPrompt) -> object:
    return given.ids


def _places(given: ReceivedPrompt) -> object:
    return given.ids[: given.start], given.stop, given.ids[given.stop :]


@CHECKS.register("plumbing_logits")
@check(
    "injected embeddings of the message give its text's logits", place=230, needs=("p1", "embed")
)
def plumbing_logits(audit: Audit) -> str:
    """The message's embeddings, injected, are its tokens, and give its text's logits.

    Reads all records of p1 and embed, and the logits of a sample. Catches whatever injection does
    to vectors on their way: a scale, a wrong place, a mask. Tolerance: `Audit.tolerance`; the ids
    that vectors are recognised as must be equal.
    """
    worst = 0.0
    for text, injected in zip(audit.outcomes["p1"], audit.outcomes["embed"], strict=True):
        # keys and values are no tokens: only where they stand can be compared
        same = _places if audit.setting.of_caches else _ids
        if same(text.given) != same(injected.given):
            raise CheckFailed(
                f"episode {text.seed}: embed's injected embeddings are not p1's tokens"
            )
        worst = max(worst, *(abs(a - b) for a, b in zip(text.scores, injected.scores, strict=True)))
    logits: list[Tensor] = [audit.end_logits(condition) for condition in ("p1", "embed")]
    off = float((logits[0] - logits[1]).abs().max())
    if max(worst, off) > audit.tolerance:
        raise CheckFailed(f"embed and p1 differ: scores by {worst:.2g}, logits by {off:.2g}")
    return f"embed gives p1's scores within {worst:.1g} and its logits within {off:.1g}"


@CHECKS.register("numbers_reported", since=1)
@check("every condition reports success, interval, bits, tokens and time", place=240, after=TRACED)
def numbers_reported(audit: Audit) -> str:
    """Success, interval, bits, tokens and seconds are there, and the first four are right.

    Reads what evidence reports of each condition, and counts once more: positions in the slot,
    bytes of its text, bits of its packets, and which episodes succeeded. Catches a cost that is
    left out or understated. Tolerance: rounding of a mean, 1e-9 of it.
    """
    from lpca.evaluation.condition_numbers import missing_numbers
    from lpca.evaluation.outcome import INJECTED

    if audit.numbers is None:
        raise DoesNotApply("nothing is reported here")
    if lack := missing_numbers(audit.numbers, list(audit.outcomes)):
        raise CheckFailed(lack)
    for condition, records in audit.outcomes.items():
        told = audit.numbers[condition]
        slots = [ids for record in records for ids in record.given.in_packets]
        positions = sum(map(len, slots)) / len(records)
        _same(condition, "tokens", told.tokens, positions)
        successes = sum(one.success(audit.score) for record in records for one in record.readings)
        _same(condition, "successes", told.under(audit.score).successes, successes)
        if condition in TEXTS and not any(INJECTED in ids for ids in slots):
            texts = [audit.receiver.message_text(ids) for ids in slots]
            sizes = [len(text.encode()) for text in texts]
            _same(condition, "bits", told.bits, 8 * sum(sizes) / len(records))
            if condition in TRUNCATED and max(sizes) > TRUNCATED[condition]:
                raise CheckFailed(f"{condition}: {max(sizes)} bytes stood in a slot")
        elif condition != "p0":
            _same(condition, "bits", told.bits, _bits_of_packets(audit, condition))
    return f"{len(audit.outcomes)} conditions: success, interval, bits, tokens and seconds"


def _bits_of_packets(audit: Audit, condition: str) -> float:
    from lpca.evaluation.condition_numbers import packet_views, slot_bits

    if condition in MESSAGE_LATENTS:
        views = [view for own in packet_views(condition, audit.setting) for view in own]
        return math.fsum(audit.setting.coded().capacity(views)) / len(audit.episodes)
    own = [slot_bits(condition, record, audit.setting) for record in audit.outcomes[condition]]
    return math.fsum(own) / len(own)


def _same(condition: str, what: str, told: float | None, counted: float) -> None:
    if told is None or not math.isclose(told, counted, rel_tol=1e-9):
        raise CheckFailed(
            f"{condition}: {what} are reported as {told:g}, and {counted:g} were counted"
        )

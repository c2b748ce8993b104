"""Is every outcome what this receiver, as it was loaded, really does with what it is given?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lpca.evaluation.outcome import Record, named_option
from lpca.evaluation.slow_path import next_token_scores, option_score
from lpca.receivers.forward import Slot, read_context
from lpca.validity.audit import Audit, Leak

TRACED, ALONE = 24, 3
"""Episodes per condition that are computed again, and of those computed alone."""


def receiver_frozen(audit: Audit) -> str:
    """The receiver is as it was loaded: parameters, buffers, mode, hooks, code."""
    if any(parameter.requires_grad for parameter in audit.receiver.model.parameters()):
        raise Leak("a parameter of the receiver asks for a gradient")
    if audit.receiver.model.training:
        raise Leak("the receiver is in training mode")
    now = audit.receiver.state_hash()
    if now != audit.receiver_hash:
        raise Leak(
            "the receiver's parameters, hooks or code changed: "
            f"{audit.receiver_hash[:12]} to {now[:12]}"
        )
    return f"every parameter bit for bit as loaded, no hook added ({now[:12]})"


def slow_path_agrees(audit: Audit) -> str:
    """One episode at a time, without cache or padding, options score and B speaks the same."""
    worst, count = 0.0, 0
    for condition in audit.records:
        rows = audit.sample_for(f"alone {condition}", ALONE)
        # Others stand beside them in the batch, so that some of them are padded.
        beside = [i for i in audit.sample if i not in rows]
        slots = audit.slots(condition, rows)
        records = audit.again(condition, [*rows, *beside])[: len(rows)]
        for index, slot, record in zip(rows, slots, records, strict=True):
            worst = max(worst, _alone(audit, condition, index, slot, record))
            count += 1
    return f"{count} episodes alone: scores within {worst:.1g} nats, B says the same"


def _alone(audit: Audit, condition: str, index: int, slot: Slot, record: Record) -> float:
    receiver, episode = audit.receiver, audit.episodes[index]
    where = f"{condition}, episode {episode.seed}, alone"
    vectors = None if slot.vectors is None else slot.vectors.detach()
    off = 0.0
    for option, score in zip(episode.options, record.scores, strict=True):
        alone = option_score(receiver, record.given, vectors, receiver.option_ids(option))
        off = max(off, abs(alone - score))
        if not off <= audit.tolerance:
            raise Leak(f"{where}: {option!r} scores {alone:.3f}, in the batch {score:.3f}")
    logits = next_token_scores(receiver, record.given, vectors, record.said_ids)
    for place, token in enumerate(record.said_ids):
        behind = float(logits[place].max() - logits[place, token])
        if behind > audit.tolerance:
            said = receiver.text([int(logits[place].argmax())])
            raise Leak(f"{where}: B goes on with {said!r}, in the batch it said {record.said!r}")
    return off


def outcomes_traced(audit: Audit) -> str:
    """Records are consistent, and a sample of every condition's comes out the same once more."""
    worst = 0.0
    for condition, records in audit.records.items():
        for episode, record in zip(audit.episodes, records, strict=False):
            if record.answer != episode.answer or len(record.scores) != len(episode.options):
                raise Leak(f"{condition}, episode {episode.seed}: no record of this episode")
            if not all(map(math.isfinite, record.scores)):
                raise Leak(f"{condition}, episode {episode.seed}: a score is no number")
            heard = named_option(record.said, episode.options)[0], episode.credit(record.said)
            if heard != (record.named, record.credit):
                raise Leak(
                    f"{condition}, episode {episode.seed}: {record.said!r} is not what counts"
                )
        rows = audit.sample_for(condition, TRACED)
        for index, new in zip(rows, audit.again(condition, rows), strict=True):
            worst = max(worst, _compare(audit, condition, records[index], new))
    return (
        f"{TRACED} episodes of each of {len(audit.records)} conditions computed again: "
        f"scores within {worst:.1g} nats"
    )


def _compare(audit: Audit, condition: str, old: Record, new: Record) -> float:
    where = f"{condition}, episode {old.seed}, computed again"
    off = max(abs(a - b) for a, b in zip(old.scores, new.scores, strict=True))
    if off > audit.tolerance:
        raise Leak(f"{where}: a score differs by {off:.2g}")
    turned = old.likelihood_success != new.likelihood_success
    if turned and abs(new.gap) > audit.tolerance:
        raise Leak(f"{where}: the outcome is another")
    if old.said != new.said and audit.is_exact and not new.near_tie:
        raise Leak(f"{where}: B says {new.said!r}, not {old.said!r}")
    return off


def plumbing_logits(audit: Audit) -> str:
    """The message's embeddings, injected, are its tokens, and give its text's logits."""
    worst = 0.0
    for text, injected in zip(audit.records["p1"], audit.records["embed"], strict=True):
        if text.given.ids != injected.given.ids:
            raise Leak(f"episode {text.seed}: embed's injected embeddings are not p1's tokens")
        worst = max(worst, *(abs(a - b) for a, b in zip(text.scores, injected.scores, strict=True)))
    logits = [_end_logits(audit, condition) for condition in ("p1", "embed")]
    off = float((logits[0] - logits[1]).abs().max())
    if max(worst, off) > audit.tolerance:
        raise Leak(f"embed and p1 differ: scores by {worst:.2g}, logits by {off:.2g}")
    return f"embed gives p1's scores within {worst:.1g} and its logits within {off:.1g}"


def prefix_used(audit: Audit) -> str:
    """Noise in the prefix's place changes B's logits, and each vector has a gradient from them."""
    receiver, rows = audit.receiver, [audit.episodes[i] for i in audit.sample]
    slots, noise = audit.slots("normal", audit.sample), audit.slots("random", audit.sample)
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


def _end_logits(audit: Audit, condition: str) -> Tensor:
    receiver, episodes = audit.receiver, [audit.episodes[i] for i in audit.sample]
    slots = audit.slots(condition, audit.sample)
    context = read_context(receiver, [receiver.prompt_start_ids(e.before) for e in episodes])
    return context.read(slots, [receiver.segment_ids(e.after) for e in episodes]).logits


def _vectors(slot: Slot) -> Tensor:
    if slot.vectors is None:
        raise Leak("no vectors are injected under normal")
    return slot.vectors.detach()

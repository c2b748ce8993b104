"""Is a message's packet the same whenever it is made, and whoever makes it?

One process asked twice may remember what it said. So it is asked in other batches and another
order, and a channel that is made anew is asked about a few messages alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, TypeVar

from lpca.channel.alike import apart, differing, identical, loosest
from lpca.channel.elsewhere import ids_of
from lpca.channel.packets import Packet, View
from lpca.validity.catalogue import CHECKS, CannotTell, CheckFailed, DoesNotApply, check
from lpca.validity.checks.given import made_elsewhere

if TYPE_CHECKING:
    from lpca.codec.channel import Channel
    from lpca.validity.audit import Audit

T = TypeVar("T")
REORDERED = 64
"""Of so many messages the latents are decoded in another order."""
ANEW, AT_ONCE = 64, 16
"""Of so many episodes at most a channel made anew is asked, so many at a time at most."""
NEARLY = "A's side, made anew, sends packets that are alike but for rounding"


@CHECKS.register("encoding_repeatable")
@check("a message's latents are the same every time", place=220, needs=("normal",))
def encoding_repeatable(audit: Audit) -> str:
    """The same messages give the same latents, whenever and in whatever batch they are encoded.

    Encodes a sample twice. Catches dropout left on, and statistics of the batch. Twice alike must
    be identical; in another batch a relative difference of `LOOSE` is rounding in float32, of
    `LOOSE_COARSE` in coarser types; of a single vector ten times as much, so that a huge one hides
    no other. Then latents are decoded in an order that nobody can know beforehand: whoever decodes
    by the place of a message instead of its latents gives another's. Of packets made elsewhere,
    where some messages stand under two ids, the two are compared so.
    """
    from lpca.codec.channel import view_of

    if (file := made_elsewhere(audit)) is not None:
        views = list(dict.fromkeys(map(view_of, audit.by_slot.episodes)))
        told = [file.differing(view) for view in views if len(ids_of(view)) > 1]
        if found := list(filter(None, told)):
            raise CheckFailed(f"two packets of one message differ: {found[0]}")
        return f"made elsewhere: {len(told)} of {len(views)} messages under two ids, packets alike"
    channel = audit.setting.coded()
    alone = audit.by_slot.episodes.episodes
    views = [view_of(alone[i]) for i in audit.sample_alone]
    first, second = channel.encode_afresh(views), channel.encode_afresh(views)
    if not all(map(identical, first, second)):
        raise CheckFailed("encoding the same messages twice gives other latents: is dropout on?")
    off, each = _apart(audit, channel, views, first)
    if max(off, each / 10) > loosest(audit.is_exact):
        raise CheckFailed(
            f"latents depend on what else is in the batch: relative difference {max(off, each):.2g}"
        )
    many = list(dict.fromkeys(map(view_of, alone)))
    many = SystemRandom().sample(many, min(REORDERED, len(many)))
    moved, most = _apart(audit, channel, many, channel.decode_afresh(many))
    if max(moved, most / 10) > loosest(audit.is_exact):
        raise CheckFailed(
            "the same latents in another order decode to others: relative difference "
            f"{max(moved, most):.2g}"
        )
    return f"{len(views)} messages twice: identical; in another batch: within {off:.1g}"


@CHECKS.register("remembers_nothing", since=5)
@check(
    "a channel that is made anew sends and receives the same",
    place=221,
    needs=("normal",),
    after=("encoding_repeatable",),
    may_abstain=True,
)
def remembers_nothing(audit: Audit) -> str:
    """A packet follows from its view alone, and what B gets of it from the packet alone.

    Both ends are made once more, behind the wall as processes that have seen nothing. A's is shown
    the views of a sample, of each episode one sender's alone, B's the packets that A sent in the
    run for those, both in another order and in other batches than in the run, which nobody can
    know. Catches a side that puts into a packet, or makes of one, what it was told by another: its
    memory agrees with itself, and a fresh one has it not. At most half of the episodes are asked,
    so that most of what others told is unknown. Tolerances are those of `encoding_repeatable`.
    What is alike but for rounding may still differ in what B reads there. So where the fresh A's
    packets are not the run's to the bit, one more fresh B gets those, and makes the same of them:
    not the one that has had the run's, which could tell what belongs together.
    """
    from lpca.codec.channel import view_of

    channel, slots = audit.setting.coded(), len(audit.episodes[0].by_slot)
    rows = audit.sample_for("anew", min(ANEW, max(1, len(audit.episodes) // 2)))
    alone = audit.by_slot.episodes.episodes
    # of one episode no two senders: what one was told is not to be had for the other
    views = [view_of(alone[slots * row + at % slots]) for at, row in enumerate(rows)]
    views = list(dict.fromkeys(views))
    sent, got = channel.sent(views), channel.packets(views)
    with channel.anew("A") as fresh:
        if fresh is None:
            if audit.trained is not None:
                raise DoesNotApply("lpca's own channel has nothing to remember by")
            raise CannotTell("nothing makes this channel anew: it is a file's, or one object")
        again = _in_batches(fresh.ends.send, views)
    _hold(audit, sent, again, "A's side, made anew and shown a few messages, sends other packets")
    with channel.anew("B") as fresh:
        if fresh is None:
            return f"{len(views)} messages sent by a side made anew: packets alike; B has none"
        received = _in_batches(fresh.ends.receive, sent)
    _hold(audit, got, received, "B's side, made anew and sent a few, makes something else of them")
    if not all(map(identical, sent, again)):
        with channel.anew("B") as fresh:
            assert fresh is not None
            received = _in_batches(fresh.ends.receive, again)
        _hold(audit, got, received, f"{NEARLY}, and B's side makes something else of them")
    return f"{len(views)} messages at both sides made anew: packets alike"


def _hold(audit: Audit, old: Sequence[Packet], new: Sequence[Packet], what: str) -> None:
    told = [
        differing(one, other, loosest(audit.is_exact)) for one, other in zip(old, new, strict=True)
    ]
    if found := list(filter(None, told)):
        raise CheckFailed(f"{what}: {len(found)} of {len(told)} differ, the first in {found[0]}")


def _apart(
    audit: Audit, channel: Channel, views: Sequence[View], afresh: Sequence[Packet]
) -> tuple[float, float]:
    """How far packets made afresh are from those that were injected: all, and the worst vector.

    Without end where they are of another kind or length, or of other ids.
    """
    import torch

    used = channel.packets(views)
    pairs = list(zip(used, afresh, strict=True))
    if any(len(one) != len(other) or one.kind != other.kind for one, other in pairs):
        return math.inf, math.inf
    if any(not identical(one, other) for one, other in pairs if one.ids is not None):
        return math.inf, math.inf
    of = channel.vectors_of
    full = [(of(a), of(b)) for a, b in pairs if a.ids is None and len(a)]
    if not full:
        return 0.0, 0.0
    old, new = (torch.cat([pair[end].cpu() for pair in full]) for end in (0, 1))
    # a vector much shorter than embeddings are may be what is left of larger ones
    return apart(old, new, 1e-3 * audit.receiver.mean_embedding_norm)


def _in_batches(ask: Callable[[Sequence[T]], list[Packet]], given: Sequence[T]) -> list[Packet]:
    """What an end answers, in an order and in batches that nobody can know beforehand."""
    import torch

    draw = SystemRandom()
    order, answers = draw.sample(range(len(given)), len(given)), dict[int, Packet]()
    while order:
        size = draw.randint(1, AT_ONCE)
        rows, order = order[:size], order[size:]
        with torch.no_grad():
            answers.update(zip(rows, ask([given[row] for row in rows]), strict=True))
    return [answers[row] for row in range(len(given))]

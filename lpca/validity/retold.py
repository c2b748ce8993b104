"""What A sends of messages that are told with another answer, and which answer it would give away.

B is not asked: its side may know by a packet that it was tampered with, and say something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

import torch

from lpca.base.hashing import named_rng
from lpca.channel.alike import differing, loosest
from lpca.channel.packets import Packet, View
from lpca.codec.base import CodecError
from lpca.codec.channel import Asked, as_view
from lpca.codec.shelf import Shelf
from lpca.tasks import Episode
from lpca.validity.catalogue import CheckFailed

if TYPE_CHECKING:
    from torch import Tensor

    from lpca.validity.audit import Audit

TELLERS, ANSWERS = 3, 192
"""Of so many episodes the messages are told, with so many answers at most."""
AT_ONCE = 16
"""So many of the run's own messages are asked at a time at most."""
REFUSES = "A refuses messages that differ in their answer alone: nothing would show what n tells"
Apart = Callable[[Sequence[Packet], Sequence[Packet]], float]
"""How far an episode's packets are from others."""


@dataclass(frozen=True, eq=False)
class Retold:
    """Some episodes, and a few others' messages told with each of their options as the answer.

    Attributes:
        rows: the episodes, by index.
        own: by episode what A may read of it.
        views: by teller and option what A may read of the teller's messages told with it.
        packets: of all these.
    """

    rows: Sequence[int]
    own: Mapping[int, Sequence[View]]
    views: Mapping[tuple[int, str], Sequence[View]]
    packets: Shelf

    def guesses(self, episodes: Sequence[Episode], apart: Apart) -> list[bool]:
        """Whether the option is right, of each episode, that its packets are nearest to.

        An episode is not its own teller: of the right option nothing is known that is not known of
        the others. Of those that are equally near any may be guessed.
        """
        found = []
        for row in self.rows:
            own = [self.packets[view] for view in self.own[row]]
            nearest: dict[str, float] = {}
            for (teller, option), views in self.views.items():
                if teller != row and option in episodes[row].options:
                    off = apart(own, [self.packets[view] for view in views])
                    nearest[option] = min(off, nearest.get(option, off))
            order = list(episodes[row].options)
            named_rng("guess by packet", episodes[row].seed).shuffle(order)
            found.append(min(order, key=lambda option: nearest[option]) == episodes[row].right)
        return found


def retold(audit: Audit, asked: Sequence[Sequence[Asked]], most: int) -> Retold | None:
    """Ask A of some episodes' views, and of a few messages told with each of their options.

    A side is asked that is made anew, where that can be, in an order that nobody can know, and in
    batches that hold one retelling of an episode each: a batch hardly tells what belongs to the
    run, and what does must have the run's packet. That is up to `ANSWERS` small
    batches instead of a dozen. No answer is longer than the run's longest, and told are messages
    of the shorter half: an honest channel need not have room for more than the run asked of it.

    Args:
        audit: the run.
        asked: by episode, by slot, what A may read.
        most: so many episodes at most.

    Returns:
        What it sends; None where no messages hold their answer.

    Raises:
        CheckFailed: A refuses one of them, or sends of the run's own another packet than there.
    """
    episodes, channel = audit.episodes, audit.setting.coded()
    holding = [
        row
        for row, one in enumerate(episodes)
        if _told(asked[row], one, "") != list(map(as_view, asked[row]))
    ]
    holding.sort(key=lambda row: _room(asked[row], episodes[row]))
    holding = holding[: max(TELLERS, len(holding) // 2)]
    named_rng("tellers", len(holding)).shuffle(holding)
    longest = max(len(one.right) for one in episodes)
    answers: dict[str, None] = {}
    rows = list[int]()
    for row in audit.sample_for("retold", most):
        options = episodes[row].options
        more = answers | dict.fromkeys(options)
        if len(options) > 1 and len(more) <= ANSWERS and max(map(len, options)) <= longest:
            rows.append(row)
            answers = more
    if len(holding) < 2 or not rows:
        return None
    tellers = holding[:TELLERS]
    own = {row: list(map(as_view, asked[row])) for row in dict.fromkeys([*rows, *tellers])}
    views = {
        (teller, option): _told(asked[teller], episodes[teller], option)
        for teller in tellers
        for option in answers
    }
    of_run = list(dict.fromkeys(view for each in own.values() for view in each))
    families = [[views[teller, option] for option in answers] for teller in tellers]
    packets = Shelf()
    with channel.anew("A") as fresh, torch.no_grad():
        ends = (fresh or channel).ends
        try:
            for batch in _batches(of_run, families):
                packets.keep(batch, ends.send(batch))
        except CodecError as error:
            raise CheckFailed(f"{REFUSES}: {error}") from None
    pairs = zip(channel.sent(of_run), packets.packets(of_run), strict=True)
    most_apart = loosest(audit.is_exact)
    if found := list(filter(None, (differing(*pair, most_apart) for pair in pairs))):
        raise CheckFailed(
            "asked among messages that differ in their answer alone, A sends other packets than in "
            f"the run: {len(found)} of {len(of_run)} differ, the first in {found[0]}"
        )
    return Retold(rows, own, views, packets)


def apart_in_length(own: Sequence[Packet], told: Sequence[Packet]) -> float:
    """How many positions packets differ by, slot by slot."""
    return sum(abs(len(one) - len(other)) for one, other in zip(own, told, strict=True))


def apart_in_content(own: Sequence[Packet], told: Sequence[Packet]) -> float:
    """How far packets are apart at the positions that both have, whatever their lengths.

    Of ids it is how many differ, of numbers their distance, each by position, the mean of slots.
    """
    return sum(_apart(one, other) for one, other in zip(own, told, strict=True))


def _apart(one: Packet, other: Packet) -> float:
    count = min(len(one), len(other))
    if not count:
        return 0.0
    mine, theirs = (_by_position(packet)[:count] for packet in (one, other))
    if one.ids is not None:
        return float((mine != theirs).double().mean())
    # what is equal but for rounding in another batch is equally near
    return float(f"{float((mine - theirs).norm(dim=1).mean()):.3g}")


def _by_position(packet: Packet) -> Tensor:
    rows = [
        part if part.ndim < 3 else part.transpose(0, 1).flatten(1)
        for part in packet.tensors("").values()
    ]
    return torch.cat([row.double().reshape(len(row), -1) for row in rows], 1)


def _batches(
    own: Sequence[View], families: Sequence[Sequence[Sequence[View]]]
) -> Iterator[list[View]]:
    """All of them once, mixed as nobody can know, and of a family one retelling in a batch."""
    draw = SystemRandom()
    count = max(*map(len, families), math.ceil(len(own) / AT_ONCE))
    batches: list[list[View]] = [[] for _ in range(count)]
    for family in families:
        for batch, views in zip(draw.sample(batches, len(family)), family, strict=True):
            batch += views
    for at, view in enumerate(draw.sample(own, len(own))):
        batches[at % count].append(view)
    asked = set[View]()
    for batch in batches:
        new = [view for view in dict.fromkeys(batch) if view not in asked]
        asked.update(new)
        if new:
            yield draw.sample(new, len(new))


def _room(asked: Sequence[Asked], episode: Episode) -> int:
    """How long an episode's messages are without the answer."""
    return sum(len(text) for view in _told(asked, episode, "") for text in view.messages)


def _told(asked: Sequence[Asked], episode: Episode, option: str) -> list[View]:
    """An episode's views with another answer in the messages that hold its own."""
    answer = re.compile(re.escape(episode.right.strip()), re.IGNORECASE)
    return [
        View(tuple(answer.sub(lambda _: option.strip(), text) for text in one.messages), one.public)
        for one in map(as_view, asked)
    ]

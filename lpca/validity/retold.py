"""What A sends of messages that are told with another answer, and which answer it would give away.

B is not asked: its side may know by a packet that it was tampered with, and say something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

import torch

from lpca.base.hashing import named_rng
from lpca.channel.packets import Packet, View
from lpca.codec.base import CodecError
from lpca.codec.channel import ENCODING_BATCH, Asked, as_view
from lpca.codec.shelf import Shelf
from lpca.tasks import Episode

if TYPE_CHECKING:
    from torch import Tensor

    from lpca.validity.audit import Audit

TELLERS, ANSWERS = 3, 192
"""Of so many episodes the messages are told, with so many answers at most."""
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

    A side is asked that is made anew, where that can be, in an order that nobody can know: it
    cannot tell what belongs to the run.

    Args:
        audit: the run.
        asked: by episode, by slot, what A may read.
        most: so many episodes at most.

    Returns:
        What it sends; None where no messages hold their answer, or A sends nothing of others.
    """
    episodes, channel = audit.episodes, audit.setting.coded()
    holding = [
        row
        for row, one in enumerate(episodes)
        if _told(asked[row], one, "") != list(map(as_view, asked[row]))
    ]
    named_rng("tellers", len(holding)).shuffle(holding)
    answers: dict[str, None] = {}
    rows = list[int]()
    for row in audit.sample_for("retold", most):
        more = answers | dict.fromkeys(episodes[row].options)
        if len(episodes[row].options) > 1 and len(more) <= ANSWERS:
            rows.append(row)
            answers = more
    if len(holding) < 2 or not rows:
        return None
    own = {row: list(map(as_view, asked[row])) for row in rows}
    views = {
        (teller, option): _told(asked[teller], episodes[teller], option)
        for teller in holding[:TELLERS]
        for option in answers
    }
    packets = Shelf()
    with channel.anew("A") as fresh, torch.no_grad():
        ends = (fresh or channel).ends
        try:
            for batch in _batches(
                view for each in (*own.values(), *views.values()) for view in each
            ):
                packets.keep(batch, ends.send(batch))
        except CodecError:
            return None
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


def _batches(views: Iterable[View]) -> list[list[View]]:
    each = list(dict.fromkeys(views))
    each = SystemRandom().sample(each, len(each))
    return [each[start : start + ENCODING_BATCH] for start in range(0, len(each), ENCODING_BATCH)]


def _told(asked: Sequence[Asked], episode: Episode, option: str) -> list[View]:
    """An episode's views with another answer in the messages that hold its own."""
    answer = re.compile(re.escape(episode.right.strip()), re.IGNORECASE)
    return [
        View(tuple(answer.sub(lambda _: option.strip(), text) for text in one.messages), one.public)
        for one in map(as_view, asked)
    ]

"""Is what crosses as small as is said of it?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lpca.gatespec.model import MESSAGE_LATENTS
from lpca.validity.catalogue import CHECKS, CheckFailed, DoesNotApply, check

if TYPE_CHECKING:
    from lpca.validity.audit import Audit


@CHECKS.register("bits_as_declared", since=4)
@check(
    "no more different packets cross than the declared bits allow",
    place=222,
    needs=("normal",),
    may_abstain=True,
)
def bits_as_declared(audit: Audit) -> str:
    """Of b declared bits there are 2**b packets at most, and no more different ones cross.

    Counts the packets of the test's messages and of up to 256 of training, to the bit. Catches real
    numbers sent under few declared bits, a codec that declares 0 and sends its message, and what a
    straight-through sum adds to a code, which is no code. No tolerance. That many packets would be
    enough is not shown: 400 different ones fit into 9 bits, whatever they are, and into no more
    than were seen.
    """
    from lpca.codec.base import bits_of
    from lpca.codec.channel import as_view
    from lpca.evaluation.condition_numbers import packet_views

    channel = audit.setting.coded()
    declared = bits_of(channel.codec)
    if declared is None:
        raise DoesNotApply("the codec declares no bits: its packets' capacity counts")
    asked = [
        *(one for own in packet_views("normal", audit.setting) for one in own),
        *audit.setting.training_messages,
    ]
    channel.packets(asked)
    views = set(map(as_view, asked))
    distinct = channel.sizes.distinct(views)
    told = f"{distinct} different packets crossed for {len(views)} messages"
    # fewer than one bit more would be another packet: rounding of the logarithm
    if math.log2(distinct) > declared + 1e-9:
        raise CheckFailed(
            f"{told}, and the declared {declared:g} bits allow {math.floor(2.0**declared)}"
        )
    return f"{told}, of which {declared:g} bits are declared"


@CHECKS.register("packets_within_limit", since=4)
@check(
    "no packet holds more bits than the gate allows",
    place=224,
    after=("bits_as_declared",),
    may_abstain=True,
)
def packets_within_limit(audit: Audit) -> str:
    """Each packet's capacity is at most the gate's `max_bits`.

    Reads what crossed from A's side for the messages of all evaluated conditions: numbers by the
    width of their type, ids by how many there are, and the range of n where it varies; what the
    codec declares where that is less (`bits_as_declared`). No tolerance but rounding.
    """
    from lpca.evaluation.condition_numbers import packet_bits

    if audit.max_bits is None:
        raise DoesNotApply("the gate sets no max_bits")
    most = 0.0
    for condition in MESSAGE_LATENTS.among(audit.outcomes):
        found = packet_bits(condition, audit.setting)
        for episode, own in zip(audit.episodes, found, strict=True):
            bits = max(own)
            most = max(most, bits)
            if bits > audit.max_bits * (1 + 1e-12):
                raise CheckFailed(
                    f"{condition}, episode {episode.seed}: a packet of {bits:g} bits, and max_bits "
                    f"is {audit.max_bits:g}"
                )
    return f"at most {most:g} bits a message, of {audit.max_bits:g}"

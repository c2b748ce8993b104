"""Does what crosses say the answer, or only how many positions it has?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lpca.base.hashing import named_rng
from lpca.channel.packets import Packet
from lpca.stats.gain import fewer_p, gain_counts, gain_test
from lpca.validity.catalogue import CHECKS, TRACED, CannotTell, CheckFailed, DoesNotApply, check
from lpca.validity.checks.given import made_elsewhere

if TYPE_CHECKING:
    from torch import Tensor

    from lpca.codec.channel import Asked
    from lpca.receivers.forward import Slot
    from lpca.tasks import Episode
    from lpca.validity.audit import Audit

REPLACED, FEWEST = 128, 24
"""Episodes that are asked again at most, and from how many on they can show anything."""
ALPHA = 1e-3
"""How likely a channel may be accused whose lengths give half of what it gains."""
SHARE = 0.5
"""The share of normal's gain over p0 above which lengths explain it."""


@CHECKS.register("lengths_say_nothing", since=4)
@check(
    "packets of the same n, with another's content, do not do what normal does",
    place=145,
    needs=("p0", "normal", "shuffle"),
    after=TRACED,
    may_abstain=True,
)
def lengths_say_nothing(audit: Audit) -> str:
    """Where n varies, it does not explain normal's gain: neither in B's hands nor by itself.

    Asks two things. First B, in up to `REPLACED` episodes: each gets the content of a message that
    names another answer, with as many positions as its own packet. Of such messages the one whose
    packet is nearest in length is taken, and positions between its ends are left out or said twice;
    B's side then receives it as any other. It fails where this keeps more than `SHARE` of normal's
    gain over p0 (score test of the paired gain) and is right more often than under shuffle, whose n
    is the donor's too (exact McNemar), each at `ALPHA`: a prompt that helps whatever it holds is no
    matter of lengths, and that a long name makes a long packet tells a little and explains nothing.

    But B's side may know by the content that n is not its own (a parity is enough) and say
    something else. So secondly A, made anew where that can be: a few messages are told with each
    option of as many episodes as their answer, and of the options that one is guessed whose packets
    are nearest in length to the episode's. Where this keeps more than `SHARE` of the gain,
    n could tell it, and content has to, too: guessed by content alone as many are right (exact
    McNemar), or B is with the episode's own content at the n of another answer, drawn at random. It
    fails where there are fewer, and B keeps less than `SHARE` of the gain, each at `ALPHA`; what
    B's side refuses there counts as lost. An A that refuses messages told otherwise, or sends of
    the run's own among them other packets, fails as well.

    In the first test a refusal shows nothing: the second decides, and where it cannot be asked (no
    message holds its answer), the gate is INVALID. Where it cannot be asked, but the first shows
    that another's content is not enough, a B with a side of its own gets own content at another n:
    where that keeps less than `SHARE` of the gain, n may tell all, and nothing is said.

    Simulated 20,000 times on 128 independent episodes, p0 .25, normal .90, shuffle .05: of channels
    whose other content misleads, or whose lengths give a fifth of the gain, none was accused; of
    those of which half is in lengths .0007 to .0009; of prompts that help whatever they hold
    .0006. Of channels that tell all by n, those with normal .90 were found in 1.000, with .60 in
    .996, with .45 in .59; one that tells .80 of .90 by n in .95.

    On the stub, 20 sets of 100 episodes each, none of 260 honest channels was accused: 13 kinds, of
    names, letters, whole messages, compressed, padded, some of which refuse any other content. Of
    those that tell all by n, with a parity, n mod 3, two bits of its checksum, one bit of the
    answer or noise beside it, all were, 5 sets each. Not found is one in whose content a checksum
    names n (it crosses there, too), nor one that has many n for each answer in a secret table, with
    a parity.
    """
    from lpca.codec.base import CodecError

    channel, asked = audit.setting.coded(), _views(audit)
    channel.packets([view for views in asked for view in views])
    lengths = [[_length(audit, view) for view in views] for views in asked]
    flat = [length for each in lengths for length in each]
    if min(flat) == max(flat):
        raise DoesNotApply(f"every packet has {flat[0]} positions: n tells nothing")
    refused, found = "", list[str]()
    try:
        found += _by_others_content(audit, asked, lengths)
    except CodecError as error:
        refused = (
            "B's side refuses another's content at the message's n, so that nothing shows what n "
            f"tells: {error}"
        )
    try:
        found += (guessed := _by_length_alone(audit, asked, lengths))
    except CheckFailed as finding:
        raise CheckFailed("; ".join(filter(None, (refused, str(finding))))) from None
    if refused and not guessed:
        raise CheckFailed(refused)
    if found and not guessed and _b_has_a_side(audit):
        rows = audit.sample_for("lengths", REPLACED)
        at_another, is_lost = _at_another_n(audit, asked, lengths, rows)
        if is_lost:
            raise CannotTell(
                f"n may tell all: {found[0]}; {at_another}, and no message can be told with "
                "another answer"
            )
        found += filter(None, [at_another])
    if not found:
        raise CannotTell(
            f"fewer than {FEWEST} episodes have a message with another answer and a packet of the "
            "same n, or one that can be told with another answer"
        )
    return "; ".join(found)


def _by_others_content(
    audit: Audit, asked: Sequence[Sequence[Asked]], lengths: Sequence[Sequence[int]]
) -> list[str]:
    """What is found with another's content at a message's own n; nothing where too little is there.

    Raises:
        CheckFailed: it explains what normal gains.
        CodecError: B's side refuses such a packet.
    """
    rows: list[int] = []
    packets: list[list[Packet]] = []
    for row in audit.sample_for("lengths", REPLACED):
        if found := _replaced(audit, asked, lengths, row):
            rows.append(row)
            packets.append(found)
    if len(rows) < FEWEST:
        return []
    right = _right_with(audit, asked, rows, packets)
    normal, p0, shuffle = (_right(audit, name, rows) for name in ("normal", "p0", "shuffle"))
    told = (
        f"{len(rows)} episodes: right with another's content at the same n {sum(right)}, normal "
        f"{sum(normal)}, shuffle {sum(shuffle)}, p0 {sum(p0)}"
    )
    if explain(right, normal, shuffle, p0):
        raise CheckFailed(f"{told}: what crosses is told by the number of positions")
    return [told]


def _by_length_alone(
    audit: Audit, asked: Sequence[Sequence[Asked]], lengths: Sequence[Sequence[int]]
) -> list[str]:
    """What a guess by n finds, and own content at another n; nothing where too little is there.

    Raises:
        CheckFailed: the one explains what normal gains, and the other does not.
    """
    from lpca.validity.retold import apart_in_content, apart_in_length, retold

    told = None if made_elsewhere(audit) else retold(audit, asked, REPLACED)
    if told is None or len(told.rows) < FEWEST:
        return []
    rows = told.rows
    right = told.guesses(audit.episodes, apart_in_length)
    normal, p0 = (_right(audit, name, rows) for name in ("normal", "p0"))
    said = f"{sum(right)} of {len(rows)} are guessed by n alone"
    if gain_test(gain_counts(right, normal, p0, SHARE)) > ALPHA:
        return [said]
    content = told.guesses(audit.episodes, apart_in_content)
    said += f", by content alone {sum(content)}"
    if fewer_p(right, content) > ALPHA:
        return [said]
    at_another, is_lost = _at_another_n(audit, asked, lengths, rows)
    if is_lost:
        raise CheckFailed(
            f"{said}; {at_another}: what crosses is told by the number of positions, and content "
            "alone does not tell it"
        )
    return ["; ".join(filter(None, (said, at_another)))]


def _at_another_n(
    audit: Audit,
    asked: Sequence[Sequence[Asked]],
    lengths: Sequence[Sequence[int]],
    rows: Sequence[int],
) -> tuple[str, bool]:
    """What B finds in own content at another n, and whether most of the gain is lost there.

    Nothing where too few episodes have another n.
    """
    from lpca.codec.base import CodecError

    packets = {row: _moved(audit, asked, lengths, row) for row in rows}
    rows = [row for row in rows if packets[row]]
    if len(rows) < FEWEST:
        return "", False
    try:
        kept = _right_with(audit, asked, rows, [packets[row] for row in rows])
    except CodecError:
        kept = [False] * len(rows)
    normal, p0 = (_right(audit, name, rows) for name in ("normal", "p0"))
    p = gain_test(gain_counts(kept, normal, p0, SHARE), alternative="less")
    told = (
        f"with their content at another n {sum(kept)} of {len(rows)} are right (normal "
        f"{sum(normal)}, p0 {sum(p0)})"
    )
    return told, p <= ALPHA


def _right(audit: Audit, condition: str, rows: Sequence[int]) -> list[bool]:
    return [audit.outcomes[condition][row].success(audit.score) == 1.0 for row in rows]


def _right_with(
    audit: Audit,
    asked: Sequence[Sequence[Asked]],
    rows: Sequence[int],
    packets: Sequence[Sequence[Packet]],
) -> list[bool]:
    """Whether B is right in some episodes with such packets; CodecError where it refuses one."""
    own = [audit.episodes[row] for row in rows]
    slots = _received(audit, own, packets, [asked[row] for row in rows])
    return [one.success(audit.score) == 1.0 for one in audit.ask("normal", own, slots)]


def explain(
    found: Sequence[bool], normal: Sequence[bool], shuffle: Sequence[bool], p0: Sequence[bool]
) -> bool:
    """Whether lengths explain normal's gain, by paired outcomes of some episodes.

    Args:
        found: right with another's content at the message's n.
        normal: right with the message's packet.
        shuffle: right with another's packet, as it is.
        p0: right without any.
    """
    if fewer_p(found, shuffle) > ALPHA:
        return False
    return gain_test(gain_counts(found, normal, p0, SHARE)) <= ALPHA


def resized(packet: Packet, n: int) -> Packet:
    """Return a packet's content at n positions: its ends, and what is between, evenly chosen.

    Args:
        packet: of one position or more.
        n: how many are wanted.
    """
    import torch

    def at(tensor: Tensor, dim: int) -> Tensor:
        held = tensor.shape[dim]
        places = [round(i * (held - 1) / max(1, n - 1)) for i in range(n)]
        # as bytes where a number is one: few operations know such types
        kind = tensor.dtype if tensor.element_size() > 1 else torch.uint8
        chosen = torch.tensor(places, dtype=torch.int64, device=tensor.device)
        return tensor.contiguous().view(kind).index_select(dim, chosen).view(tensor.dtype)

    if len(packet) == n:
        return packet
    return Packet(
        None if packet.ids is None else at(packet.ids, 0),
        None if packet.vectors is None else at(packet.vectors, 0),
        {layer: (at(keys, 1), at(values, 1)) for layer, (keys, values) in packet.cache.items()},
    )


def _b_has_a_side(audit: Audit) -> bool:
    """Whether code makes of packets what B gets: a frozen model alone knows no parity."""
    return not made_elsewhere(audit) and getattr(audit.setting.coded().codec, "receives", True)


def _views(audit: Audit) -> list[list[Asked]]:
    from lpca.evaluation.condition_numbers import packet_views

    return packet_views("normal", audit.setting)


def _length(audit: Audit, view: Asked) -> int:
    from lpca.codec.channel import as_view

    return audit.setting.coded().sizes.positions(as_view(view))


def _replaced(
    audit: Audit, asked: Sequence[Sequence[Asked]], lengths: Sequence[Sequence[int]], row: int
) -> list[Packet]:
    """An episode's packets with another's content; none where there is nothing to take."""
    channel, episode = audit.setting.coded(), audit.episodes[row]
    if not all(lengths[row]):
        # an empty packet has no content to replace
        return []
    donors = [
        other
        for other, one in enumerate(audit.episodes)
        if len(asked[other]) == len(asked[row]) and all(lengths[other]) and _differs(episode, one)
    ]
    if not donors:
        return []

    def apart(other: int) -> int:
        return sum(abs(a - b) for a, b in zip(lengths[other], lengths[row], strict=True))

    # of those that are equally near any may be drawn
    named_rng("lengths", episode.seed).shuffle(donors)
    sent = channel.sent(asked[min(donors, key=apart)])
    return [resized(packet, n) for packet, n in zip(sent, lengths[row], strict=True)]


def _moved(
    audit: Audit, asked: Sequence[Sequence[Asked]], lengths: Sequence[Sequence[int]], row: int
) -> list[Packet]:
    """An episode's own packets at the n of another answer's; none where there is no other n.

    Drawn among all that are longer, if any are: what is said twice is lost less than what is left
    out, and an n that was merely near would tell the own one.
    """
    own, episode = lengths[row], audit.episodes[row]
    others = [
        lengths[other]
        for other, one in enumerate(audit.episodes)
        if all(lengths[other]) and lengths[other] != own and _differs(episode, one)
    ]
    longer = [one for one in others if all(a >= b for a, b in zip(one, own, strict=True))]
    if not all(own) or not others:
        return []
    drawn = named_rng("another length", episode.seed).choice(longer or others)
    sent = audit.setting.coded().sent(asked[row])
    return [resized(packet, n) for packet, n in zip(sent, drawn, strict=True)]


def _received(
    audit: Audit,
    episodes: Sequence[Episode],
    packets: Sequence[Sequence[Packet]],
    asked: Sequence[Sequence[Asked]],
) -> list[Slot]:
    """What stands in the episodes' slots of such packets, among which B's side gets their own.

    All at once and mixed, as it gets a run's: it cannot tell by their number what they are for.
    Raises CodecError where it refuses one.
    """
    from lpca.evaluation.conditions import slots_of
    from lpca.receivers.forward import in_slots

    channel = audit.setting.coded()
    others = [packet for own in packets for packet in own]
    honest = [packet for views in asked for packet in channel.sent(views)]
    got = iter(channel.received([*others, *honest])[: len(others)])
    return [
        in_slots(audit.receiver, episode, slots_of([next(got) for _ in own]))
        for episode, own in zip(episodes, packets, strict=True)
    ]


def _differs(episode: Episode, other: Episode) -> bool:
    """Whether another episode's message names another answer."""
    right = episode.right.casefold()
    return right != other.right.casefold() and right not in other.message.casefold()

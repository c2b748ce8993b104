"""A channel at work: each view is sent once, and every condition uses that one packet."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from random import SystemRandom
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from lpca.base.hashing import named_rng, named_seed
from lpca.channel.capacity import Sizes
from lpca.channel.packets import Packet, Port, View, unpacked
from lpca.codec.base import CodecError, bits_of
from lpca.codec.ends import ends_of
from lpca.codec.remote import RemoteCodec
from lpca.codec.shelf import Shelf
from lpca.evidence.model import Similarity
from lpca.receivers.caches import flat, rotation_of, unflat
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet

ENCODING_BATCH = 64
COMPARED = 24
"""How many episodes are compared."""
DECIMALS = 4
PROJECTIONS = 32
"""How many numbers a codec's fingerprint has."""


Asked = View | str
"""What A may read of an episode; a message alone where both sides see nothing else of it."""


class Channel:
    """A channel at work: packets of views, checked, each made once and kept.

    `seconds` is how long making those that are kept has taken.

    Args:
        receiver: the frozen model that plays B.
        codec: a codec, or a channel with a port.
        k: the most positions that a packet takes in B's prompt.
    """

    def __init__(self, receiver: Receiver, codec: Any, k: int) -> None:
        self.receiver, self.codec, self.k = receiver, codec, k
        self.ends = ends_of(codec, receiver, k)
        self.sizes = Sizes(self.port)
        self.seconds = 0.0
        self._sent, self._got = Shelf(), Shelf()
        self._mean: tuple[tuple[Asked, ...], Tensor] | None = None
        self._spread: tuple[tuple[Asked, ...], Tensor] | None = None
        self._training: tuple[tuple[Asked, ...], list[list[Packet]]] | None = None

    @property
    def port(self) -> Port:
        """What kind of packet crosses, and how much of it at most."""
        return self.ends.port

    @property
    def fixed(self) -> bool:
        """Whether B gets k vectors of every view; otherwise packets tell how many."""
        return self.ends.fixed

    @property
    def width(self) -> int:
        """How many numbers B gets at each position: of ids, those of their embeddings."""
        if self.port.kind != "cache":
            return self.receiver.d_model
        shapes = rotation_of(self.receiver).shapes
        own = [shapes[layer] for layer in self.port.layers or range(len(shapes))]
        return sum(heads * (keys + values) for heads, keys, values in own)

    @property
    def alphabet(self) -> int:
        """Of how many ids one may stand in B's slot."""
        most = self.receiver.embedding.num_embeddings
        if self.port.vocabulary is None or getattr(self.codec, "receives", True):
            return most
        return min(most, self.port.vocabulary)

    def expect(self, asked: Sequence[Asked]) -> None:
        """Have A's side send all that will be asked for, in an order that tells nothing of it.

        Behind the wall alone: which condition a view belongs to, and when its packet will be
        read, is then known to neither side. A codec in this process is asked as it always was.
        Raises CodecError as `packets` does.
        """
        if not isinstance(self.codec, RemoteCodec):
            return
        started = time.monotonic()
        new = sorted({view for view in map(as_view, asked) if view not in self._sent}, key=_name)
        named_rng("A's order", len(new)).shuffle(new)
        for start in range(0, len(new), ENCODING_BATCH):
            batch = new[start : start + ENCODING_BATCH]
            self._sent.keep(batch, self._send(batch))
        self.seconds += time.monotonic() - started

    def packets(self, asked: Sequence[Asked]) -> Sequence[Packet]:
        """Return what B gets of each view: float32 vectors [n, d_model], token ids [n], or a cache.

        Each is read from where it is kept when it is looked at: all of them may not fit in memory.
        Raises CodecError as `prepare` does.
        """
        self.prepare(asked)
        return self._got.packets(list(map(as_view, asked)))

    @torch.no_grad()
    def prepare(self, asked: Iterable[Asked]) -> None:
        """Have everything sent and received that `packets` will be asked for.

        Raises CodecError when the channel gives what cannot stand in B's prompt.
        """
        new = [view for view in dict.fromkeys(map(as_view, asked)) if view not in self._got]
        self.expect(new)
        started = time.monotonic()
        if isinstance(self.codec, RemoteCodec):
            # another order than A's: nothing is remembered between the two
            named_rng("B's order", len(new)).shuffle(new)
        for start in range(0, len(new), ENCODING_BATCH):
            batch = new[start : start + ENCODING_BATCH]
            self._got.keep(batch, self.ends.receive(self._packets(batch)))
        self.seconds += time.monotonic() - started

    def prefixes(self, asked: Sequence[Asked]) -> list[Tensor]:
        """Return what B gets as vectors [n, d_model], float32; of ids their tokens' embeddings.

        Raises CodecError as `packets` does.
        """
        return [self.vectors_of(packet) for packet in self.packets(asked)]

    def stacked(self, asked: Sequence[Asked]) -> Tensor:
        """Return all prefixes as one tensor [views, n, d_model].

        Raises CodecError as `packets` does, and where they differ in length.
        """
        prefixes = self.prefixes(asked)
        if len({*map(len, prefixes)}) > 1:
            raise CodecError("packets differ in length; allowed here: packets of one length")
        return torch.stack(prefixes)

    def stacked_by_episode(self, episodes: Sequence[Episode]) -> Tensor:
        """The same of some episodes' own; prefixes of several slots one behind the other."""
        prefixes = self.stacked(asked_of(episodes))
        return prefixes.reshape(len(episodes), -1, prefixes.shape[-1])

    def vectors_of(self, packet: Packet) -> Tensor:
        """Return a packet that B gets as vectors [n, width], float32.

        Of a cache, all keys and values at a position are one vector.
        """
        if packet.vectors is not None:
            return packet.vectors
        if packet.cache:
            return flat(packet.cache)
        assert packet.ids is not None
        if not len(packet):
            return torch.zeros(0, self.width)
        return self.receiver.embed(packet.ids.tolist()).float()

    def packet_of(self, prefix: Tensor) -> Packet:
        """Return the packet of vectors or caches of which `vectors_of` gives this prefix."""
        if self.port.kind == "cache":
            return Packet(cache=unflat(self.receiver, prefix, self.port.layers))
        return Packet(vectors=prefix)

    def capacity(self, asked: Sequence[Asked]) -> list[float]:
        """Return how many bits each view's packet can hold, as it crossed, before any connector.

        The number of positions counts where it differs among these. Those bits that the channel
        declares where they are fewer: `bits_as_declared` holds it to them. Raises CodecError as
        `packets` does.
        """
        self.prepare(asked)
        declared = bits_of(self.codec)
        most = math.inf if declared is None else declared
        return [min(bits, most) for bits in self.sizes.bits(list(map(as_view, asked)))]

    def sent(self, asked: Sequence[Asked]) -> list[Packet]:
        """Return what A's side has sent for each view, before any connector at B's."""
        views = list(map(as_view, asked))
        self.packets(views)
        return self._packets(views)

    @torch.no_grad()
    def received(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return what B gets of packets that nobody may have sent; CodecError as `packets`.

        They are received now, as many at a time as in a run, in an order nobody knows: what is
        drawn for a run is known to whoever read lpca's code, and B's side could follow it.
        """
        order = SystemRandom().sample(range(len(packets)), len(packets))
        got: dict[int, Packet] = {}
        for start in range(0, len(order), ENCODING_BATCH):
            rows = order[start : start + ENCODING_BATCH]
            got.update(zip(rows, self.ends.receive([packets[row] for row in rows]), strict=True))
        return [got[row] for row in range(len(packets))]

    @torch.no_grad()
    def encode_afresh(self, asked: Sequence[Asked]) -> list[Packet]:
        """Return what B gets of views that are sent now, in evaluation mode."""
        return self.ends.receive(self._send(list(map(as_view, asked))))

    @torch.no_grad()
    def decode_afresh(self, asked: Sequence[Asked]) -> list[Packet]:
        """Return what B gets of packets that were sent, as of `received`.

        B's side could look up a message by its place in a run. Here it has nothing but the packets
        to go by.
        """
        return self.received(self._packets(list(map(as_view, asked))))

    @contextmanager
    def anew(self, side: str) -> Iterator[Channel | None]:
        """Lend the channel made once more, to be asked for one of its ends: it has seen nothing.

        Args:
            side: "A" or "B". Behind the wall no more than that one is started.

        Yields:
            The channel; None where nothing makes it anew, or it has no such side.

        Raises:
            RunError: it cannot be made.
        """
        make = getattr(self.codec, "anew", None)
        codec = None if make is None else make(side)
        try:
            yield None if codec is None else Channel(self.receiver, codec, self.k)
        finally:
            if isinstance(codec, RemoteCodec):
                codec.close()

    @torch.no_grad()
    def mean_prefix(self, asked: Sequence[Asked]) -> Tensor:
        """Return what B gets [n, width] of the mean of the views' packets, float32.

        Raises CodecError where these are no vectors, or caches, of one shape.
        """
        if self._mean is None or self._mean[0] != tuple(asked):
            batches, started = self._training_packets(asked, "mean"), time.monotonic()
            [got] = self.ends.receive([_mean_of([one for batch in batches for one in batch])])
            self._mean = tuple(asked), self.vectors_of(got)
            self.seconds += time.monotonic() - started
        return self._mean[1]

    @torch.no_grad()
    def training_prefixes(self, asked: Sequence[Asked]) -> Tensor:
        """Return the prefixes [views, n, width] of training messages, float32.

        Of the same packets that `mean_prefix` takes the mean of, each sent once. Raises CodecError
        where these are no vectors, or caches, of one shape.
        """
        if self._spread is None or self._spread[0] != tuple(asked):
            batches, started = self._training_packets(asked, "shaped"), time.monotonic()
            got = [packet for batch in batches for packet in self.ends.receive(batch)]
            rows = list(map(self.vectors_of, _alike(got, "shaped")))
            self._spread = tuple(asked), torch.stack(rows)
            self.seconds += time.monotonic() - started
        return self._spread[1]

    def _training_packets(self, asked: Sequence[Asked], condition: str) -> list[list[Packet]]:
        """The packets of training messages, batch by batch, of which a condition takes a mean."""
        if self.port.kind == "ids":
            raise CodecError(_shapes(condition, f"{self.port.kind}"))
        if self._training is None or self._training[0] != tuple(asked):
            self.expect(asked)
            started = time.monotonic()
            starts, views = range(0, len(asked), ENCODING_BATCH), list(map(as_view, asked))
            batches = [self._packets(views[i : i + ENCODING_BATCH]) for i in starts]
            self._training = tuple(asked), batches
            self.seconds += time.monotonic() - started
        batches = self._training[1]
        _alike([packet for batch in batches for packet in batch], condition)
        return batches

    def fingerprint(self, asked: Sequence[Asked]) -> tuple[float, ...]:
        """Return seeded projections of what B gets of all views: alike for like channels only.

        A projection of numbers chosen at random keeps their distance, on average. The order of the
        views means nothing.
        """
        distinct = sorted({*map(as_view, asked)}, key=_name)
        total = torch.zeros(PROJECTIONS, dtype=torch.float64)
        width = self.k * (self.width + 1)
        for start in range(0, len(distinct), ENCODING_BATCH):
            prefixes = self.prefixes(distinct[start : start + ENCODING_BATCH])
            lengths = [len(prefix) for prefix in prefixes]
            each = torch.split(_by_vector(torch.cat(prefixes).double().cpu()), lengths)
            flat = torch.stack([pad(one.flatten(), (0, width - one.numel())) for one in each])
            axes = _drawn("axes", width)
            total += (_drawn("messages", len(flat), start) * (flat @ axes)).sum(0)
        return tuple(round(value, 6) for value in total.tolist())

    def _packets(self, views: Sequence[View]) -> list[Packet]:
        """What A's side has sent; of a codec in this process, what it sends now."""
        if not isinstance(self.codec, RemoteCodec):
            return self._send(views)
        return list(self._sent.packets(views))

    def _send(self, views: Sequence[View]) -> list[Packet]:
        with torch.no_grad():
            sent = self.ends.send(views)
        for view, packet in zip(views, sent, strict=True):
            self.sizes.note(view, packet)
        return sent


def as_view(asked: Asked) -> View:
    """Return a view of a message alone, or the view that it is."""
    return View((asked,)) if isinstance(asked, str) else asked


def asked_of(episodes: Iterable[Episode]) -> tuple[Asked, ...]:
    """Return what A may read for each slot of some episodes: the message where that is all."""
    alone = (one for episode in episodes for one in episode.by_slot)
    return tuple(view_of(one) if one.public or one.senders else one.message for one in alone)


def view_of(episode: Episode, messages: tuple[str, ...] | None = None) -> View:
    """Return what A may read of an episode, with other messages in its own's place if given."""
    return View(episode.messages if messages is None else messages, episode.public)


def _name(view: View) -> tuple[tuple[str, ...], str]:
    return view.messages, view.public


def _mean_of(packets: Sequence[Packet]) -> Packet:
    """The mean of packets of one shape and type, number by number; rounded once, at the end."""
    rows = [packet.tensors("mean") for packet in packets]
    means = {
        name: torch.stack([row[name] for row in rows]).double().mean(0).to(one.dtype)
        for name, one in rows[0].items()
    }
    return unpacked(means, ["mean"])["mean"]


def _alike(packets: list[Packet], condition: str) -> list[Packet]:
    """The packets, which are vectors or caches of one shape and type, or CodecError."""
    if any(packet.ids is not None for packet in packets):
        raise CodecError(_shapes(condition, "several shapes"))
    if len({(len(packet), packet.form) for packet in packets}) > 1:
        raise CodecError(_shapes(condition, "several shapes"))
    return packets


def _shapes(condition: str, found: str) -> str:
    return (
        f"condition {condition}: the packets are of {found}; allowed: vectors, or caches, of one "
        "shape"
    )


def _drawn(what: str, rows: int, *names: int) -> Tensor:
    """Normal numbers [rows, PROJECTIONS], the same for the same names."""
    generator = torch.Generator().manual_seed(named_seed("fingerprint", what, rows, *names))
    return torch.randn(rows, PROJECTIONS, generator=generator, dtype=torch.float64)


def _by_vector(prefixes: Tensor) -> Tensor:
    """Each vector's direction and the logarithm of its length: no long one outweighs the others.

    What is a millionth of the longest is rounding, and has no direction.
    """
    lengths = prefixes.norm(dim=-1, keepdim=True)
    if not len(lengths):
        return torch.cat([prefixes, lengths], -1)
    least = (lengths.amax() * 1e-6).clamp(min=1e-30)
    lengths = lengths.clamp(min=least)
    return torch.cat([prefixes / lengths, lengths.log()], -1)


def similarity(channel: Channel, episodes: EpisodeSet) -> Similarity:
    """Compare the prefixes of the first episodes with one another and with their donors'."""
    count = min(COMPARED, len(episodes))
    first = episodes.episodes[:count]
    # where there are several slots, the first of each is compared
    alone, slots = episodes.by_slot, len(first[0].by_slot)
    rows = range(0, count * slots, slots)
    prefixes = channel.prefixes([view_of(alone.episodes[i]) for i in rows])
    donors = channel.prefixes([view_of(alone.donor(i)) for i in rows])
    right, donor = (_directions(own, channel.k) for own in (prefixes, donors))
    within, across = right @ right.T, right @ donor.T
    norms = torch.cat(prefixes).double().norm(dim=1)
    pairs, unit = count * (count - 1), channel.receiver.mean_embedding_norm
    between = float(within.sum() - within.trace()) / pairs if pairs else None
    return Similarity(
        seeds=tuple(e.seed for e in first),
        right=_rounded(within),
        donor=_rounded(across),
        between=None if between is None else round(between, DECIMALS),
        own_donor=round(float(across.diagonal().mean()), DECIMALS),
        norm_ratio=round(float(norms.sum()) / max(1, len(norms)) / unit, DECIMALS),
    )


def _directions(prefixes: list[Tensor], k: int) -> Tensor:
    """Unit vectors [prefixes, k * d_model], with zeros where one ends before k."""
    whole = torch.stack([pad(prefix, (0, 0, 0, k - len(prefix))) for prefix in prefixes])
    return normalize(whole.flatten(1).double().cpu(), dim=1)


def _rounded(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, DECIMALS) + 0.0 for value in row) for row in matrix.tolist())

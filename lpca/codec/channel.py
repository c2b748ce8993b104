"""A codec at work: each message is encoded once, and every condition uses that one result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import SystemRandom

import torch
from torch import Tensor, nn

from lpca.base.hashing import named_rng, named_seed
from lpca.codec.base import Codec, CodecError
from lpca.codec.remote import RemoteCodec
from lpca.evidence.model import Similarity
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet

ENCODING_BATCH = 64
COMPARED = 24
"""How many episodes are compared."""
DECIMALS = 4
PROJECTIONS = 32
"""How many numbers a codec's fingerprint has."""


class Channel:
    """Latents and prefixes of messages, checked against the protocol and kept by message.

    `seconds` is how long making those that are kept has taken.
    """

    def __init__(self, receiver: Receiver, codec: Codec, k: int) -> None:
        self.receiver, self.codec, self.k = receiver, codec, k
        self.seconds = 0.0
        self._prefixes: dict[str, Tensor] = {}
        self._sent: dict[str, Tensor] = {}
        self._mean: tuple[tuple[str, ...], Tensor] | None = None
        self._spread: tuple[tuple[str, ...], Tensor] | None = None
        self._training: tuple[tuple[str, ...], list[Tensor]] | None = None

    def expect(self, messages: Sequence[str]) -> None:
        """Have A's side encode all that will be asked for, in an order that tells nothing of it.

        Behind the wall alone: which condition a message belongs to, and when its packet will be
        read, is then known to neither side. A codec in this process is asked as it always was.
        Raises CodecError as `prefixes` does.
        """
        if not isinstance(self.codec, RemoteCodec):
            return
        started = time.monotonic()
        new = sorted({*messages} - {*self._sent})
        named_rng("A's order", len(new)).shuffle(new)
        for start in range(0, len(new), ENCODING_BATCH):
            batch = new[start : start + ENCODING_BATCH]
            self._sent.update(zip(batch, self._latents(batch), strict=True))
        self.seconds += time.monotonic() - started

    def prefixes(self, messages: Sequence[str]) -> list[Tensor]:
        """Return each message's prefix [k, d_model], float32.

        Raises CodecError when the codec gives anything but k finite vectors of the right width.
        """
        new = [m for m in dict.fromkeys(messages) if m not in self._prefixes]
        self.expect(new)
        started = time.monotonic()
        if isinstance(self.codec, RemoteCodec):
            # another order than A's: nothing is remembered between the two
            named_rng("B's order", len(new)).shuffle(new)
        for start in range(0, len(new), ENCODING_BATCH):
            batch = new[start : start + ENCODING_BATCH]
            self._prefixes.update(zip(batch, self._received(batch), strict=True))
        self.seconds += time.monotonic() - started
        return [self._prefixes[message] for message in messages]

    @torch.no_grad()
    def encode_afresh(self, messages: Sequence[str]) -> Tensor:
        """Return prefixes [batch, k, d_model] computed now, in evaluation mode."""
        return self._decoded(self._latents(messages), len(messages))

    @torch.no_grad()
    def decode_afresh(self, messages: Sequence[str]) -> Tensor:
        """Return prefixes [batch, k, d_model] decoded now, from latents in an order nobody knows.

        What is drawn for a run is known to whoever read lpca's code: B's side could follow it, and
        look up a message by its place. Here it has nothing but the latents to go by.
        """
        order = SystemRandom().sample(range(len(messages)), len(messages))
        latents = self._packets(messages)
        prefixes: dict[int, Tensor] = {}
        for start in range(0, len(order), ENCODING_BATCH):
            rows = order[start : start + ENCODING_BATCH]
            prefixes.update(zip(rows, self._decoded(latents[rows], len(rows)), strict=True))
        return torch.stack([prefixes[row] for row in range(len(messages))])

    @torch.no_grad()
    def mean_prefix(self, messages: Sequence[str]) -> Tensor:
        """Return the prefix [k, d_model] of the mean of the messages' latents, float32."""
        if self._mean is None or self._mean[0] != tuple(messages):
            batches, started = self._training_latents(messages), time.monotonic()
            mean = torch.cat([batch.double() for batch in batches]).mean(0, keepdim=True)
            prefix = self._decoded(mean.to(batches[0].dtype), 1)[0]
            self._mean = tuple(messages), prefix
            self.seconds += time.monotonic() - started
        return self._mean[1]

    @torch.no_grad()
    def training_prefixes(self, messages: Sequence[str]) -> Tensor:
        """Return the prefixes [messages, k, d_model] of training messages, float32.

        Of the same latents that `mean_prefix` takes the mean of, each encoded once.
        """
        if self._spread is None or self._spread[0] != tuple(messages):
            batches, started = self._training_latents(messages), time.monotonic()
            prefixes = torch.cat([self._decoded(batch, len(batch)) for batch in batches])
            self._spread = tuple(messages), prefixes
            self.seconds += time.monotonic() - started
        return self._spread[1]

    def _training_latents(self, messages: Sequence[str]) -> list[Tensor]:
        """The latents of training messages, batch by batch."""
        if self._training is None or self._training[0] != tuple(messages):
            self.expect(messages)
            started = time.monotonic()
            starts = range(0, len(messages), ENCODING_BATCH)
            batches = [self._packets(messages[i : i + ENCODING_BATCH]) for i in starts]
            self._training = tuple(messages), batches
            self.seconds += time.monotonic() - started
        return self._training[1]

    def fingerprint(self, messages: Sequence[str]) -> tuple[float, ...]:
        """Return seeded projections of all the messages' prefixes: alike for like codecs only.

        A projection of numbers chosen at random keeps their distance, on average. The order of the
        messages means nothing.
        """
        distinct = sorted(set(messages))
        total = torch.zeros(PROJECTIONS, dtype=torch.float64)
        for start in range(0, len(distinct), ENCODING_BATCH):
            prefixes = self.prefixes(distinct[start : start + ENCODING_BATCH])
            flat = _by_vector(torch.stack(prefixes).double().cpu())
            axes = _drawn("axes", flat.shape[1])
            total += (_drawn("messages", len(flat), start) * (flat @ axes)).sum(0)
        return tuple(round(value, 6) for value in total.tolist())

    @torch.no_grad()
    def _received(self, messages: Sequence[str]) -> Tensor:
        return self._decoded(self._packets(messages), len(messages))

    def _packets(self, messages: Sequence[str]) -> Tensor:
        """The latents that A's side has sent; of a codec in this process, made now."""
        if not isinstance(self.codec, RemoteCodec):
            return self._latents(messages)
        sent = [self._sent[message] for message in messages]
        if len({(one.shape, one.dtype) for one in sent}) > 1:
            raise CodecError("encode gives latents of one shape and type for some messages only")
        return torch.stack(sent)

    def _latents(self, messages: Sequence[str]) -> Tensor:
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        return self.codec.encode(messages)

    def _decoded(self, latents: Tensor, count: int) -> Tensor:
        prefixes = self.codec.decode(latents)
        wanted = (count, self.k, self.receiver.d_model)
        if tuple(prefixes.shape) != wanted:
            raise CodecError(
                f"the codec's prefix has shape {tuple(prefixes.shape)}; allowed: {wanted} "
                "(messages, k, the receiver's d_model)"
            )
        # as B gets them: a number may be finite in a wider type alone
        prefixes = prefixes.detach().float()
        if not bool(torch.isfinite(prefixes).all()):
            raise CodecError("the codec's prefix holds NaN or infinity, read as float32")
        return prefixes


def _drawn(what: str, rows: int, *names: int) -> Tensor:
    """Normal numbers [rows, PROJECTIONS], the same for the same names."""
    generator = torch.Generator().manual_seed(named_seed("fingerprint", what, rows, *names))
    return torch.randn(rows, PROJECTIONS, generator=generator, dtype=torch.float64)


def _by_vector(prefixes: Tensor) -> Tensor:
    """Each vector's direction and the logarithm of its length: no long one outweighs the others.

    What is a millionth of the longest is rounding, and has no direction.
    """
    lengths = prefixes.norm(dim=-1, keepdim=True)
    least = (lengths.amax() * 1e-6).clamp(min=1e-30)
    lengths = lengths.clamp(min=least)
    return torch.cat([prefixes / lengths, lengths.log()], -1).flatten(1)


def similarity(channel: Channel, episodes: EpisodeSet) -> Similarity:
    """Compare the prefixes of the first episodes with one another and with their donors'."""
    count = min(COMPARED, len(episodes))
    first = episodes.episodes[:count]
    prefixes = channel.prefixes([e.message for e in first])
    right = _directions(prefixes)
    donor = _directions(channel.prefixes([episodes.donor(i).message for i in range(count)]))
    within, across = right @ right.T, right @ donor.T
    norms = torch.stack(prefixes).double().norm(dim=2)
    pairs = count * (count - 1)
    between = float(within.sum() - within.trace()) / pairs if pairs else None
    return Similarity(
        seeds=tuple(e.seed for e in first),
        right=_rounded(within),
        donor=_rounded(across),
        between=None if between is None else round(between, DECIMALS),
        own_donor=round(float(across.diagonal().mean()), DECIMALS),
        norm_ratio=round(float(norms.mean()) / channel.receiver.mean_embedding_norm, DECIMALS),
    )


def _directions(prefixes: list[Tensor]) -> Tensor:
    """Unit vectors [n, k * d_model]; a prefix of zeros stays zero."""
    return torch.nn.functional.normalize(torch.stack(prefixes).flatten(1).double().cpu(), dim=1)


def _rounded(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, DECIMALS) + 0.0 for value in row) for row in matrix.tolist())

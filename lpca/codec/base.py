"""What a codec is: the protocol of anyone's, and the base class of those that lpca trains."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lpca.base.errors import RunError
from lpca.channel.packets import Port

_MOST_BITS = sys.float_info.max
DEFAULT_SEED = 0
"""That of what is drawn at random unless another is asked for."""


class CodecError(RunError):
    """A codec breaks its protocol, or a checkpoint does not fit; the message says how."""


@runtime_checkable
class Codec(Protocol):
    """A latent channel's two ends; the rest of lpca asks for nothing else.

    One that lpca did not train may have a further attribute `trained_on`: the messages it was
    trained on, which are then compared with those of the test. One whose latents hold a finite
    number of bits per message says so by an attribute `bits`.
    """

    @abstractmethod
    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d] of a batch of messages."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Return prefix embeddings [batch, k, d_model] for the receiver."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw at random as after this seed, and leave the generator outside as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def bits_of(codec: object) -> float | None:
    """Return the bits per message that a codec declares; None where it declares none.

    Raises CodecError when what it declares is no finite number from 0 on.
    """
    bits = getattr(codec, "bits", None)
    if bits is None:
        return None
    if isinstance(bits, bool) or not isinstance(bits, int | float) or not 0 <= bits <= _MOST_BITS:
        raise CodecError(f"its bits are {bits!r:.60}; allowed: a finite number from 0 on")
    return float(bits)


class TrainableCodec(nn.Module, Codec):
    """A codec with weights, which lpca trains and keeps in checkpoints.

    `port` is None of one whose prefixes are vectors. Of one of caches it says so; then latents and
    prefixes are [batch, k, numbers], laid out as `lpca.receivers.caches.flat` does.
    """

    port: Port | None = None

    @property
    def bits(self) -> float | None:
        """How many bits a message's latents hold; None where they are real numbers."""
        return None

    def auxiliary_loss(self) -> Tensor | None:
        """Return what is minimised beside the objectives, of what was encoded last."""
        return None

    def measures(self) -> dict[str, float]:
        """Return what is worth a look in what was encoded last, by name."""
        return {}

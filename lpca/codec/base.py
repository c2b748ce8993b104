"""The seam at which anyone's codec joins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from lpca.errors import RunError


class CodecError(RunError):
    """A codec breaks its protocol, or a checkpoint does not fit; the message says how."""


@runtime_checkable
class Codec(Protocol):
    """A latent channel's two ends; the rest of lpca asks for nothing else.

    One that lpca did not train may have a further attribute `trained_on`: the messages it was
    trained on, which are then compared with those of the test.
    """

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d] of a batch of messages."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return prefix embeddings [batch, k, d_model] for the receiver."""
        ...


class TrainableCodec(nn.Module, ABC):
    """A codec with weights, which lpca trains and keeps in checkpoints."""

    @abstractmethod
    def encode(self, messages: Sequence[str]) -> Tensor:
        """As in `Codec`."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """As in `Codec`."""

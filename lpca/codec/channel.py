"""A codec at work: each message is encoded once, and every condition uses that one result."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.codec.base import Codec, CodecError
from lpca.receivers.model import Receiver

ENCODING_BATCH = 64


class Channel:
    """Latents and prefixes of messages, checked against the protocol and kept by message."""

    def __init__(self, receiver: Receiver, codec: Codec, k: int) -> None:
        self.receiver, self.codec, self.k = receiver, codec, k
        self._prefixes: dict[str, Tensor] = {}

    def prefixes(self, messages: Sequence[str]) -> list[Tensor]:
        """Return each message's prefix [k, d_model], float32.

        Raises CodecError when the codec gives anything but k finite vectors of the right width.
        """
        new = [m for m in dict.fromkeys(messages) if m not in self._prefixes]
        for start in range(0, len(new), ENCODING_BATCH):
            batch = new[start : start + ENCODING_BATCH]
            self._prefixes.update(zip(batch, self.encode_afresh(batch), strict=True))
        return [self._prefixes[message] for message in messages]

    @torch.no_grad()
    def encode_afresh(self, messages: Sequence[str]) -> Tensor:
        """Return prefixes [batch, k, d_model] computed now, in evaluation mode."""
        if isinstance(self.codec, nn.Module):
            self.codec.eval()
        prefixes = self.codec.decode(self.codec.encode(messages))
        wanted = (len(messages), self.k, self.receiver.d_model)
        if tuple(prefixes.shape) != wanted:
            raise CodecError(
                f"the codec's prefix has shape {tuple(prefixes.shape)}; allowed: {wanted} "
                "(messages, k, the receiver's d_model)"
            )
        if not bool(torch.isfinite(prefixes).all()):
            raise CodecError("the codec's prefix holds NaN or infinity")
        return prefixes.detach().float()

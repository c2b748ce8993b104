"""A user's own codec, in two files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from users_helper import code_of


class AnyCodec:
    """Tells how long a message is."""

    width = 8

    def encode(self, messages: Sequence[str]) -> torch.Tensor:
        rows = [[[code_of(message)] * self.width] for message in messages]
        return torch.tensor(rows)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * 2 + 1

"""Losses by name; each module here enters its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from lpca.base.registry import Registry

if TYPE_CHECKING:
    from lpca.codec.objectives.batch import Batch

OBJECTIVES: Registry[Callable[[Batch], Tensor]] = Registry("objective", __name__)
"""Each takes a `Batch` and returns one number with a gradient.

`lpca.codec.choices` has the same names, without torch.
"""

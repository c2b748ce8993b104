"""Losses by name; each takes a `Batch` and returns one number with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from lpca.codec.objectives.answer import answer
from lpca.codec.objectives.batch import Batch

OBJECTIVES: Mapping[str, Callable[[Batch], Tensor]] = MappingProxyType({"answer": answer})

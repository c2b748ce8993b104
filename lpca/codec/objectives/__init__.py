"""Losses by name; each takes a `Batch` and returns one number with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from lpca.codec.objectives.answer import answer
from lpca.codec.objectives.batch import Batch
from lpca.codec.objectives.content import answer_content
from lpca.codec.objectives.contrast import help_loss, info_nce, shuffle_contrast
from lpca.codec.objectives.distillation import kl, kl_one_step
from lpca.codec.objectives.geometry import diversity, mse, similarity
from lpca.codec.objectives.reconstruction import message_reconstruction

OBJECTIVES: Mapping[str, Callable[[Batch], Tensor]] = MappingProxyType(
    {
        "answer": answer,
        "answer_content": answer_content,
        "kl_one_step": kl_one_step,
        "kl": kl,
        "help": help_loss,
        "shuffle_contrast": shuffle_contrast,
        "info_nce": info_nce,
        "message_reconstruction": message_reconstruction,
        "mse": mse,
        "similarity": similarity,
        "diversity": diversity,
    }
)
"""`lpca.codec.choices` has the same names, without torch."""

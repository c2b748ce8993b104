"""What a recipe chooses from: objectives and architectures, by name. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TOKEN_POOLER, STATIC_PREFIX, ANSWER = "token_pooler", "static_prefix", "answer"

OBJECTIVES: Mapping[str, str] = MappingProxyType(
    {
        ANSWER: "cross-entropy of the right answer's tokens",
        "answer_content": "the same, with tokens that tell the options apart weighing more",
        "kl_one_step": "divergence from what B says next when it reads the message as text",
        "kl": "the same over all of the answer's tokens",
        "help": "hinge: the prefix must beat k zero vectors by a margin",
        "shuffle_contrast": "hinge: the right message must beat another's by a margin",
        "info_nce": "the right message must be told from several others' by the answer",
        "message_reconstruction": "B must be able to say the message from its latents",
        "mse": "the prefix's mean must be the message's mean embedding",
        "similarity": "prefixes must be as alike as their messages are",
        "diversity": "prefixes of different messages must not be alike",
    }
)
"""By name what an objective asks for; `lpca.codec.objectives` has the losses."""

COMPARING = frozenset({"shuffle_contrast", "info_nce", "similarity", "diversity"})
"""Objectives that compare the episodes of a batch: one alone will not do."""


@dataclass(frozen=True)
class Setting:
    """A whole number that an architecture takes."""

    default: int
    low: int
    high: int
    what: str


_CODEBOOK = Setting(512, 2, 65_536, "number of codes that a latent is chosen from")
ARCHITECTURES: Mapping[str, Mapping[str, Setting]] = MappingProxyType(
    {
        TOKEN_POOLER: {},
        STATIC_PREFIX: {},
        "pooled_mlp": {},
        "cross_attention": {},
        "memory_tokens": {"lora": Setting(0, 0, 256, "rank of the encoder's adapters; 0: none")},
        "vector_quantised": {"codebook": _CODEBOOK},
        "residual_vq": {
            "codebook": _CODEBOOK,
            "quantisers": Setting(2, 1, 16, "codebooks applied one after another"),
        },
    }
)
"""By name the settings of an architecture; `lpca.codec.architectures` has the codecs."""

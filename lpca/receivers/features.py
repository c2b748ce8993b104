"""What a receiver's configuration tells of how it reads; and what its self-test has found.

Features are found by what stands in the configuration, not by the model's name: an architecture
that nobody here has heard of is described too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from lpca.base.errors import RequestError
from lpca.receivers.attention import takes

ROTARY = ("rope_parameters", "rope_scaling")
STATES = ("mamba", "linear_attention", "conv", "recurrent", "ssm")
SIZES_OF_STATES = (
    *("state_size", "d_state", "conv_kernel", "d_conv", "conv_L_cache", "conv_kernel_dim"),
    "lru_width",
)
ARGUMENTS_OF_STATES = ("cache_params", "state")
CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
PER_LAYER = "hidden_size_per_layer_input"


@dataclass(frozen=True)
class Feature:
    """Something of a configuration by which receivers read differently.

    Attributes:
        name: as the configuration has it, with its value: "sliding_window 512".
        length: rows of more tokens than that are read otherwise than shorter ones; None: all alike.
        of: what it changes: "length", "state", "position", "angle", "embedding", "scale", "head".
    """

    name: str
    length: int | None
    of: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Measured:
    """How far one way of reading was from the model's own, in rows of some length.

    `worst` is the largest difference of log-probabilities over the whole vocabulary, in nats, and
    `allowed` what it may be.
    """

    part: str
    length: int
    worst: float
    allowed: float


@dataclass
class Proof:
    """What a receiver's self-test has found; it grows with the rows that were tried.

    Attributes:
        plain: whether it is read row by row, because only that is exact.
        tested: rows of up to so many tokens are read exactly; 0: no self-test was made.
        limit: longer ones than that are not, for the reason `why`; None: none was met.
        features: what its configuration tells.
        measured: by how much reading was off, part by part.
        batched: why it is not read in batches; empty where it is.
        told: whether a user was told that.
    """

    plain: bool = False
    tested: int = 0
    limit: int | None = None
    why: str = ""
    features: tuple[Feature, ...] = ()
    measured: list[Measured] = field(default_factory=list)
    batched: str = ""
    told: bool = False

    def refuse(self, name: str, length: int) -> None:
        """Refuse a row that crosses where reading is known to switch, and was not tried there.

        Args:
            name: the receiver's.
            length: of the row, in tokens. Of a receiver that was not loaded but made, nothing is
                claimed, and nothing refused.

        Raises:
            RequestError: it does.
        """
        if not self.tested or length <= self.tested:
            return
        crossed = [f for f in self.features if f.length and self.tested <= f.length < length]
        if self.limit is None and not crossed:
            return
        why = self.why or f"longer ones were not tried ({', '.join(map(str, crossed))})"
        raise RequestError(
            f"receiver {name}: prompts take up to {length} tokens; exact are at most "
            f"{self.tested}: {why}"
        )


def features_of(model: PreTrainedModel) -> tuple[Feature, ...]:
    """What a model's configuration, and its modules, tell of how it reads."""
    found = {str(feature): feature for feature in _features(model)}
    return tuple(found.values())


def _features(model: PreTrainedModel) -> Iterator[Feature]:
    config = model.config.get_text_config()
    settings = config.to_dict()
    yield from _windows(settings)
    for key in ROTARY:
        yield from _rotary(settings.get(key), settings.get("max_position_embeddings"))
    base = model.base_model
    if hasattr(base, "build_alibi_tensor") or _holds(settings, "alibi"):
        yield Feature("alibi", None, "position")
    yield from _states(model, settings)
    table = model.get_input_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module is not table and "position" in name:
            counted = "" if module.padding_idx is None else ", counted behind the padding token"
            yield Feature(f"learned positions{counted}", None, "position")
    if table is not None and type(table) is not nn.Embedding:
        yield Feature(f"embeddings scaled inside ({type(table).__name__})", None, "scale")
    for key in CAPS:
        if settings.get(key):
            yield Feature(f"{key} {settings[key]}", None, "head")
    if isinstance(settings.get(PER_LAYER), int) and settings[PER_LAYER]:
        yield Feature(f"{PER_LAYER} {settings[PER_LAYER]}", None, "embedding")


def _windows(settings: Mapping[str, Any]) -> Iterator[Feature]:
    """Windows and chunks: whatever is called so and is a number of tokens."""
    for key, value in settings.items():
        words = key.split("_")
        is_window = "window" in words and not {"layers", "pattern"} & set(words)
        is_window |= key == "attention_chunk_size"
        if is_window and type(value) is int and value > 0:
            yield Feature(f"{key} {value}", value, "length")


def _rotary(rotary: Any, most: int | None) -> Iterator[Feature]:
    if not isinstance(rotary, Mapping):
        return
    kind = rotary.get("rope_type", rotary.get("type"))
    if kind not in (None, "default"):
        switches = rotary.get("original_max_position_embeddings") or most
        length = switches if kind in ("dynamic", "longrope") else None
        yield Feature(f"rope_type {kind}", length, "length" if length else "angle")
    for inner in rotary.values():
        yield from _rotary(inner, most)


def _states(model: PreTrainedModel, settings: Mapping[str, Any]) -> Iterator[Feature]:
    """A state that stands for all tokens before: its sizes, the layers that keep it."""
    kinds = [*(settings.get("layer_types") or ()), *(settings.get("layers_block_type") or ())]
    named = sorted({str(kind) for kind in kinds if any(word in str(kind) for word in STATES)})
    sizes = [
        f"{key} {value}"
        for key, value in settings.items()
        if type(value) is int and key.endswith(SIZES_OF_STATES)
    ]
    asked = [name for name in ARGUMENTS_OF_STATES if takes(type(model).forward, name)]
    told = [*named, *sizes] or asked
    if told or getattr(model, "_is_stateful", False):
        what = f" ({', '.join(told)})" if told else ""
        yield Feature(f"ssm state{what}", None, "state")


def _holds(settings: Mapping[str, Any], key: str) -> bool:
    return settings.get(key) is True or any(
        _holds(inner, key) for inner in settings.values() if isinstance(inner, Mapping)
    )


def blamed(features: tuple[Feature, ...], length: int, tested: int, part: str) -> str:
    """Which features explain that reading rows of a length is off, where shorter rows were not.

    Args:
        features: the receiver's.
        length: of the longest row.
        tested: up to where rows are read exactly.
        part: what was off, or what failed.
    """
    crossed = [f for f in features if f.length is not None and tested <= f.length < length]
    kinds = ["state", "position"]
    if any(word in part for word in ("embeddings", "vectors")):
        kinds.append("embedding")
    likely = [] if tested and crossed else [f for f in features if f.of in kinds]
    named = crossed + [f for f in likely if f not in crossed]
    if not named:
        return "no feature of its configuration is known to explain that"
    return ", ".join(map(str, named))

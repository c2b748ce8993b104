"""Somebody's low-rank adapters and memory tokens, read as data: peft's files, safetensors alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lpca.base.errors import RequestError, shown_error
from lpca.base.hashing import hash_file

CONFIG, WEIGHTS, MEMORY = "adapter_config.json", "adapter_model.safetensors", "memory.safetensors"
READ = ("r", "lora_alpha", "target_modules", "use_rslora")
"""What of a configuration is followed; what else would compute something else is refused."""
_PLAIN: Mapping[str, Any] = {
    **{"peft_type": "LORA", "bias": "none", "use_dora": False, "lora_bias": False},
    **{"rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None},
    **{"layers_to_transform": None, "exclude_modules": None},
}


@dataclass(frozen=True, eq=False)
class PeftAdapter:
    """Adapters as they were stored.

    Attributes:
        folder: where they lie.
        settings: of `peft.LoraConfig`.
        weights: by the names that peft gives them.
        memory: k memory tokens [k, d_model]; None where none lie there.
        sha256: of the weights' file, as 32 bytes.
    """

    folder: Path
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    memory: Tensor | None
    sha256: Tensor

    @torch.no_grad()
    def fill(self, model: nn.Module) -> None:
        """Give a model's injected adapters these weights; RequestError where they are others'."""
        own = {name: one for name, one in model.named_parameters() if ".lora_" in name}
        left = set(own)
        for key, value in self.weights.items():
            name = key.replace(".weight", ".default.weight").removeprefix("base_model.model.")
            # of a causal model the base model is a part
            name = name if name in own else name.removeprefix("model.")
            if name not in own or own[name].shape != value.shape:
                raise RequestError(
                    f"adapter {self.folder}: {key[:120]} of shape {tuple(value.shape)} is none of "
                    "this receiver's; allowed: an adapter of this model"
                )
            own[name].copy_(value)
            left.discard(name)
        if left:
            raise RequestError(f"adapter {self.folder}: it has no weights of {min(left)}")


def read_adapter(folder: Path, k: int, width: int) -> PeftAdapter:
    """Read a folder that peft has written, and `memory.safetensors` ("memory" [n, d_model]) if any.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        k: how many memory tokens are wanted, the first of them.
        width: the receiver's d_model.

    Raises:
        RequestError: it is none, or of a kind that is not read; one line.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        settings = {name: config[name] for name in READ if config.get(name) is not None}
        odd = [name for name, plain in _PLAIN.items() if (config.get(name) or plain) != plain]
        weights = load_file(folder / WEIGHTS)
        sha = torch.tensor(list(bytes.fromhex(hash_file(folder / WEIGHTS))), dtype=torch.uint8)
        memory = None
        if (folder / MEMORY).exists():
            memory = load_file(folder / MEMORY)["memory"].float()
    except (OSError, ValueError, LookupError, AttributeError, SafetensorError) as error:
        raise RequestError(f"adapter {folder}: cannot be read: {shown_error(error)}") from error
    if odd:
        raise RequestError(
            f"adapter {folder}: {odd[0]} is {config[odd[0]]!r:.60}; allowed: {_PLAIN[odd[0]]!r}"
        )
    if memory is not None and (memory.ndim != 2 or len(memory) < k or memory.shape[1] != width):
        raise RequestError(
            f"adapter {folder}: memory has shape {tuple(memory.shape)}; allowed: at least {k} "
            f"tokens of width {width}"
        )
    return PeftAdapter(folder, settings, weights, None if memory is None else memory[:k], sha)

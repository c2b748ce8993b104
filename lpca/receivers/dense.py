"""Read a quantised GGUF file and keep it as a dense Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def save_dense(gguf: Path, folder: Path) -> None:
    """Write config, tokenizer and float32 safetensors of a GGUF file to `folder`."""
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    config = AutoConfig.from_pretrained(**where)
    quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    dense = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    dense.load_state_dict(quantised.state_dict())
    if quantised.generation_config is not None:
        dense.generation_config = quantised.generation_config
    folder.mkdir(parents=True)
    dense.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)

"""A model folder that somebody hands over runs no code of its own and unpickles nothing."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lpca.base.errors import RequestError
from lpca.receivers.load import load_receiver

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.mark, "w")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What hostile code of the folder would write."""
    return tmp_path / "executed"


@pytest.fixture
def folder(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folders["llama"], tmp_path / "model"))


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def add_code(folder: Path, mark: Path) -> None:
    (folder / "hostile.py").write_text(
        f"open({str(mark)!r}, 'w')\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig): pass\nclass Model(LlamaForCausalLM): pass\n"
    )


CODE = {"AutoConfig": "hostile.Config", "AutoModelForCausalLM": "hostile.Model"}


def refusal(folder: Path) -> str:
    with pytest.raises(RequestError) as caught:
        load_receiver(str(folder), "cpu")
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.startswith(f"receiver {folder}: ")
    assert "allowed: " in said
    return said


def test_code_of_an_unknown_kind_of_model_is_refused_unasked(folder: Path, mark: Path) -> None:
    add_code(folder, mark)
    change(folder / "config.json", model_type="hostile", auto_map=CODE)
    assert "custom code" in refusal(folder)
    assert not mark.exists()


def test_code_of_a_known_kind_of_model_is_passed_over(folder: Path, mark: Path) -> None:
    add_code(folder, mark)
    change(folder / "config.json", auto_map=CODE)
    load_receiver(str(folder), "cpu")
    assert not mark.exists()


def test_code_of_a_tokenizer_is_refused_unasked(folder: Path, mark: Path) -> None:
    add_code(folder, mark)
    hostile = {"AutoTokenizer": ["hostile.Config", "hostile.Config"]}
    change(folder / "tokenizer_config.json", auto_map=hostile, tokenizer_class="Hostile")
    assert "custom code" in refusal(folder)
    assert not mark.exists()


def test_pickles_beside_the_weights_are_not_opened(folder: Path, mark: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "vocab.pkl", "x.npy"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    load_receiver(str(folder), "cpu")
    assert not mark.exists()


def honest(folder: Path, _: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")


def hostile(folder: Path, mark: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))


@pytest.mark.parametrize("pickled", [honest, hostile])
def test_an_index_of_safetensors_that_names_a_pickle_is_refused(
    folder: Path, mark: Path, pickled: Callable[[Path, Path], None]
) -> None:
    pickled(folder, mark)
    names = dict.fromkeys(load_file(folder / WEIGHTS), "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    assert "are a pickle" in refusal(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "entries",
    [
        {"vocab_size": 10**12},
        {"vocab_size": -5},
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"transformers_weights": "weights.bin"},
    ],
)
def test_a_config_that_fits_no_model_is_refused(folder: Path, entries: dict[str, object]) -> None:
    change(folder / "config.json", **entries)
    assert "cannot be loaded" in refusal(folder)


def test_a_config_nested_deeply_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)
    assert "cannot be loaded" in refusal(folder)

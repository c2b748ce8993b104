"""A receiver that computes something else is known by its state; one that only works, is not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from tiny import SHAPE
from tokenizers.decoders import Fuse
from torch.nn.modules.module import register_module_forward_hook
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
)
from transformers.models.llama import modeling_llama

from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.receivers.self_test import prove_for
from lpca.receivers.state import PROBE_LENGTH, ModelState
from lpca.tasks.kinds.trip import Trip

SHORT = {**SHAPE, "max_position_embeddings": 32}
OTHERS = {"vocab_size": 260, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
WINDOW = {"sliding_window": 8}
LENGTHS = (PROBE_LENGTH, 40)
INNOCENTS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE),
    "dynamic rotary base": LlamaConfig(
        **SHORT, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    ),
    "longrope": Phi3Config(
        **{**SHAPE, "pad_token_id": 0},
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
            "original_max_position_embeddings": 32,
            "factor": 32.0,
        },
    ),
    "gemma3": Gemma3TextConfig(
        **SHAPE, **WINDOW, head_dim=8, layer_types=["sliding_attention"] * 2 + ["full_attention"]
    ),
    "mistral": MistralConfig(**SHAPE, **WINDOW),
    "qwen2": Qwen2Config(**SHAPE),
    "gpt2": GPT2Config(**OTHERS, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "opt": OPTConfig(
        **OTHERS,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
    ),
}


@pytest.mark.parametrize("config", INNOCENTS.values(), ids=INNOCENTS)
def test_a_model_that_only_works_is_not_accused(config: PreTrainedConfig) -> None:
    """Some keep what the longest text so far needed."""
    model: Any = AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    before = ModelState.of(model, LENGTHS)
    assert all(isinstance(probes, torch.Tensor) for probes in before.probes.values())
    ids = torch.arange(2, 102)[None]
    with torch.no_grad():
        model(input_ids=ids)
    assert before.changes(ModelState.of(model, LENGTHS, quick=True)) == []
    vectors = model.get_input_embeddings()(ids[:, :40]).detach().requires_grad_(True)
    model(inputs_embeds=vectors, output_hidden_states=True).logits.sum().backward()
    model.generate(ids[:, :50], max_new_tokens=2, do_sample=False)
    now = ModelState.of(model, LENGTHS)
    assert before.changes(now) == []
    assert (before.hash, before.sums, before.moved(now)) == (now.hash, now.sums, 0.0)


def test_another_of_its_kind_that_is_loaded_or_copied_changes_nothing() -> None:
    # of a kind that no other test loads
    model: Any = AutoModelForCausalLM.from_config(GraniteConfig(**SHAPE)).eval()  # type: ignore[no-untyped-call]
    before = ModelState.of(model)
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    now = ModelState.of(model)
    assert before.changes(now) == []
    assert before.sums == now.sums


def own(module: Any, name: str, value: object) -> Callable[[ExitStack], None]:
    """Change an attribute, until it is put back."""

    def change(undone: ExitStack) -> None:
        undone.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    return change


def wrapped(function: Any) -> Any:
    @wraps(function)
    def as_before(*given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return as_before


def bit(model: Any) -> Callable[[ExitStack], None]:
    weight = model.lm_head.weight.data.view(torch.int32)

    def change(undone: ExitStack) -> None:
        undone.callback(weight[3, 5].bitwise_xor_, 1)
        weight[3, 5] ^= 1

    return change


def method(module: Any) -> Callable[[ExitStack], None]:
    def change(undone: ExitStack) -> None:
        undone.callback(delattr, module, "forward")
        module.forward = MethodType(type(module).forward, module)

    return change


MEDDLERS: dict[str, tuple[str, Callable[[Any], Callable[[ExitStack], None]]]] = {
    "one bit": ("lm_head.weight", bit),
    "a buffer": (
        "model.rotary_emb.inv_freq",
        lambda m: own(m.model.rotary_emb, "inv_freq", m.model.rotary_emb.inv_freq * 0.97),
    ),
    "a scale": (
        "model.layers.0.self_attn.scaling",
        lambda m: own(m.model.layers[0].self_attn, "scaling", 0.5),
    ),
    "an epsilon": (
        "model.norm.variance_epsilon",
        lambda m: own(m.model.norm, "variance_epsilon", 0.1),
    ),
    "the configuration": ("config", lambda m: own(m.config, "rms_norm_eps", 0.1)),
    "a method": ("model.layers.1.mlp.forward", lambda m: method(m.model.layers[1].mlp)),
    "a hook": (
        "model.layers.1.hooks",
        lambda m: (
            lambda undone: undone.callback(
                m.model.layers[1].register_forward_pre_hook(lambda *_: None).remove
            )
        ),
    ),
    "a hook on all": (
        "hooks of all modules",
        lambda m: (
            lambda undone: undone.callback(register_module_forward_hook(lambda *_: None).remove)
        ),
    ),
    "a class": (
        "code of transformers.models.llama.modeling_llama.LlamaMLP",
        lambda m: own(modeling_llama.LlamaMLP, "forward", wrapped(modeling_llama.LlamaMLP.forward)),
    ),
    "torch's own class": (
        "code of torch.nn.modules.linear.Linear",
        lambda m: own(torch.nn.Linear, "forward", wrapped(torch.nn.Linear.forward)),
    ),
    "a function": (
        "functions of transformers.models.llama.modeling_llama",
        lambda m: own(
            modeling_llama, "apply_rotary_pos_emb", wrapped(modeling_llama.apply_rotary_pos_emb)
        ),
    ),
}


@pytest.fixture(scope="module")
def model(tiny_folders: dict[str, Path]) -> Any:
    return load_receiver(str(tiny_folders["llama"]), "cpu").model


@pytest.fixture
def undone() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("meddler", MEDDLERS.values(), ids=MEDDLERS)
def test_what_was_changed_is_named(
    model: Any,
    undone: ExitStack,
    meddler: tuple[str, Callable[[Any], Callable[[ExitStack], None]]],
) -> None:
    name, change = meddler
    before = ModelState.of(model)
    change(model)(undone)
    now = ModelState.of(model)
    assert before.changes(now) == [name]
    assert now.sums != before.sums
    undone.close()
    after = ModelState.of(model)
    assert (after.hash, after.sums) == (before.hash, before.sums)


def test_the_probes_see_what_no_entry_shows(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before, silu = ModelState.of(model), torch.nn.functional.silu
    monkeypatch.setattr(torch.nn.functional, "silu", lambda *x, **more: 1.1 * silu(*x, **more))
    now = ModelState.of(model)
    assert before.changes(now) == []
    assert before.moved(now) > 1e-4


def test_a_changed_receiver_has_a_place_of_its_own(fresh_llama: Receiver, tmp_path: Path) -> None:
    assert fresh_llama.own_place(tmp_path) == tmp_path
    fresh_llama.model.get_buffer("model.rotary_emb.inv_freq").mul_(0.97)
    own_place = fresh_llama.own_place(tmp_path)
    assert own_place.parent == tmp_path / "changed"
    assert replace(fresh_llama, loaded=None).own_place(tmp_path) == tmp_path


def swapped_rows(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = receiver.model.get_parameter("model.layers.0.mlp.up_proj.weight")
    weight.data[[0, 1]] = weight.data[[1, 0]]


def another_activation(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    silu = torch.nn.functional.silu
    monkeypatch.setattr(torch.nn.functional, "silu", lambda *x, **more: 1.1 * silu(*x, **more))


def long_rows_alone(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = torch.nn.functional.linear

    def otherwise(x: torch.Tensor, *more: Any) -> torch.Tensor:
        return linear(x, *more) * (1.1 if x.shape[-2] > 20 else 1.0)

    monkeypatch.setattr(torch.nn.functional, "linear", otherwise)


def another_decoder(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token's id stays, and what B is read to say does not."""
    receiver.tokenizer.backend_tokenizer.decoder = Fuse()


CHANGES = [swapped_rows, another_activation, long_rows_alone, another_decoder]


@pytest.mark.parametrize("change", CHANGES)
def test_so_has_one_that_changed_less_openly_and_the_check_sees_it_too(
    fresh_llama: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Receiver, pytest.MonkeyPatch], None],
) -> None:
    # as of a run whose longest prompt has so many tokens
    fresh_llama.probe_upto(40)
    assert fresh_llama.own_place(tmp_path) == tmp_path
    assert fresh_llama.change(fresh_llama.state()) is None
    change(fresh_llama, monkeypatch)
    own_place = fresh_llama.own_place(tmp_path)
    assert own_place.parent == tmp_path / "changed"
    assert fresh_llama.own_place(tmp_path) == own_place
    assert fresh_llama.change(fresh_llama.state()) is not None


def test_a_run_tells_the_receiver_how_long_its_prompts_are(llama: Receiver) -> None:
    assert llama.loaded is not None
    episodes = Trip().evaluation_set("test", "seen", 4, 0).episodes
    prove_for(llama, episodes, 2)
    assert max(llama.loaded.probes) > PROBE_LENGTH

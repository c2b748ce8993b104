"""Adapters and memory tokens of somebody else's, read as data into the encoder alone."""

from __future__ import annotations

import copy
import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from lpca.base.errors import RequestError
from lpca.codec.architectures import make_codec
from lpca.codec.recipe import Recipe

K = 3
MESSAGES = ("I am off to Rome.", "Hi.")


@pytest.fixture(scope="module")
def stored(llama, tmp_path_factory):
    """What peft itself writes of an adapter on a copy of the model, with memory tokens beside it;
    and that copy."""
    folder = tmp_path_factory.mktemp("adapter")
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = peft.get_peft_model(copy.deepcopy(llama.model), config)
        for name, one in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(one, std=0.3)
        memory = torch.randn(K + 1, llama.d_model)
    model.save_pretrained(folder)
    save_file({"memory": memory}, folder / "memory.safetensors")
    return folder, model, memory


def made(llama, folder):
    return make_codec(llama, K, Recipe("memory_tokens", {"adapter": str(folder)}))


@torch.no_grad()
def test_the_encoder_computes_what_peft_does_with_them(llama, stored):
    folder, model, memory = stored
    codec = made(llama, folder)
    for message, found in zip(MESSAGES, codec.encode(MESSAGES), strict=True):
        rows = torch.cat([llama.embed(llama.message_ids(message)), memory[:K]])
        output = model(inputs_embeds=rows[None], use_cache=False, output_hidden_states=True)
        states = output.hidden_states[-1][0, -K:]
        wanted = torch.nn.functional.layer_norm(states, states.shape[1:])
        assert torch.allclose(found, wanted, atol=1e-3)


def test_the_receivers_weights_are_not_copied_and_stay(llama, stored):
    before = llama.state_hash()
    codec = made(llama, stored[0])
    inner = {one.data_ptr() for one in llama.model.base_model.parameters()}
    [reader] = codec._reader
    others = [one for name, one in reader.named_parameters() if ".lora_" not in name]
    assert {one.data_ptr() for one in others} <= inner
    codec.encode(MESSAGES).sum().backward()
    assert llama.state_hash() == before
    assert not any(".lora_" in name for name, _ in llama.model.named_parameters())


def test_its_weights_go_into_the_checkpoint(llama, stored):
    state = made(llama, stored[0]).state_dict()
    of_layers = [name for name in state if name.startswith("adapter.")]
    assert len(of_layers) == 2 * 2 * llama.layers
    assert bytes(state["known"].tolist()).hex()


def changed(folder, tmp_path, **settings):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "peft_type is 'PREFIX_TUNING'; allowed: 'LORA'"),
        ({"use_dora": True}, "use_dora is True; allowed: False"),
        ({"r": 4}, "is none of this receiver's; allowed: an adapter of this model"),
        ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "it has no weights of layers.0"),
        ({"target_modules": ["nowhere"]}, "adapter: .*Target modules"),
    ],
)
def test_what_is_none_of_this_receivers_is_refused_in_one_line(
    llama, stored, tmp_path, settings, told
):
    with pytest.raises(RequestError, match=told) as refused:
        made(llama, changed(stored[0], tmp_path, **settings))
    assert "\n" not in str(refused.value)


def test_pickled_weights_are_never_read(llama, stored, tmp_path):
    folder = changed(stored[0], tmp_path)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(RequestError, match="cannot be read"):
        made(llama, folder)


def test_memory_tokens_of_another_width_are_refused(llama, stored, tmp_path):
    folder = changed(stored[0], tmp_path)
    save_file({"memory": torch.zeros(K, 5)}, folder / "memory.safetensors")
    with pytest.raises(RequestError, match="at least 3 tokens of width 32"):
        made(llama, folder)

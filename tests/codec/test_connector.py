"""A connector: another model's vectors cross, and B's side projects them."""

from __future__ import annotations

import pytest
import torch
from tiny import save_tiny
from transformers import AutoModel, AutoTokenizer

from lpca.base.errors import RequestError
from lpca.codec.architectures import make_codec
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify, load_codec, save_checkpoint
from lpca.codec.recipe import Recipe, RecipeError
from lpca.tasks.kinds.trip import Trip

K, WIDTH = 2, 48
MESSAGES = ("I am off to Rome.", "Hi.", "They offered me a job in Santiago, so I am moving there.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder of another width than the receiver's."""
    place = tmp_path_factory.mktemp("encoders")
    return save_tiny(place / "encoder", "qwen2", hidden_size=WIDTH)


def recipe(folder):
    return Recipe("connector", {"encoder": str(folder)})


def test_the_means_of_parts_of_the_message_cross(llama, folder):
    channel = Channel(llama, make_codec(llama, K, recipe(folder)), K)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    for message, packet in zip(MESSAGES, channel.sent(MESSAGES), strict=True):
        ids = torch.tensor([tokenizer(message)["input_ids"]])
        with torch.no_grad():
            states = model(ids).last_hidden_state[0]
        half = len(states) // 2
        wanted = torch.stack([states[:half].mean(0), states[half:].mean(0)])
        wanted = wanted / wanted.norm(dim=1, keepdim=True)
        assert torch.allclose(packet.vectors, wanted, atol=1e-4)
    # bits are those of what crossed, before the projection
    assert channel.capacity(MESSAGES) == [K * WIDTH * 32.0] * 3
    assert all(one.shape == (K, llama.d_model) for one in channel.prefixes(MESSAGES))


def test_the_projection_alone_is_trained(llama, folder):
    codec = make_codec(llama, K, recipe(folder))
    codec.decode(codec.encode(MESSAGES)).sum().backward()
    names = {name.partition(".")[0] for name, _ in codec.named_parameters()}
    assert names == {"project", "log_gate"}
    assert all(one.grad is not None for one in codec.parameters())
    assert sum(value.numel() for value in codec.state_dict().values()) < 5000


def test_an_empty_message_has_a_packet_too(llama, folder):
    [found] = Channel(llama, make_codec(llama, K, recipe(folder)), K).prefixes([""])
    assert bool(torch.isfinite(found).all())


def test_a_checkpoint_belongs_to_the_encoders_weights(llama, folder, tmp_path):
    codec = make_codec(llama, K, recipe(folder))
    save_checkpoint(tmp_path / "kept", codec, identify(llama, Trip(), K, 0, recipe(folder)), {})
    again = load_codec(tmp_path / "kept", llama, K)
    with torch.no_grad():
        assert torch.equal(
            again.decode(codec.encode(MESSAGES)), codec.decode(codec.encode(MESSAGES))
        )
    config = (folder / "model.safetensors").read_bytes()
    try:
        save_tiny(folder, "qwen2", seed=1, hidden_size=WIDTH)
        with pytest.raises(CodecError, match="it reads are not those that it was trained with"):
            load_codec(tmp_path / "kept", llama, K)
    finally:
        (folder / "model.safetensors").write_bytes(config)


@pytest.mark.parametrize("name", ["", "nowhere", "json/nowhere"])
def test_an_encoder_that_is_not_there_is_refused_in_one_line(llama, name):
    kind, told = (RecipeError, "a text") if not name else (RequestError, "no folder with a config")
    with pytest.raises(kind, match=told) as refused:
        make_codec(llama, K, Recipe("connector", {"encoder": name}))
    assert "\n" not in str(refused.value)


def test_weights_that_are_pickled_are_never_read(llama, folder, tmp_path):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError, match="cannot be loaded"):
        make_codec(llama, K, Recipe("connector", {"encoder": str(tmp_path)}))

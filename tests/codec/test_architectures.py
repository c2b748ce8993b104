"""What every architecture owes, and what each is by its definition."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lpca.base.errors import RequestError
from lpca.codec.architectures import CODECS, make_codec
from lpca.codec.architectures.baselines import PooledMLP
from lpca.codec.architectures.learned_queries import MemoryTokens
from lpca.codec.architectures.token_pooler import VectorQuantised
from lpca.codec.base import Codec, TrainableCodec
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify, load_codec, save_checkpoint
from lpca.codec.recipe import Recipe
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

K = 3
MESSAGES = ("I am off to Rome.", "Hi.", "They offered me a job in Santiago, so I am moving there.")
EACH: dict[str, Recipe] = {
    "token_pooler": Recipe("token_pooler"),
    "static_prefix": Recipe("static_prefix"),
    "pooled_mlp": Recipe("pooled_mlp"),
    "cross_attention": Recipe("cross_attention"),
    "memory_tokens": Recipe("memory_tokens"),
    "memory_tokens, lora": Recipe("memory_tokens", {"lora": 2}),
    "vector_quantised": Recipe("vector_quantised", {"codebook": 16}),
    "residual_vq": Recipe("residual_vq", {"codebook": 8, "quantisers": 3}),
    "cache_tokens": Recipe("cache_tokens"),
    "cache_tokens, lora": Recipe("cache_tokens", {"layers": [0, 2], "lora": 2}),
    "static_cache": Recipe("static_cache", {"layers": [1]}),
}
SEEING = [name for name in EACH if not name.startswith("static")]
CALIBRATED = ["pooled_mlp", "cross_attention", "memory_tokens", "memory_tokens, lora"]


def made(name: str, receiver: Receiver, k: int = K, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_codec(receiver, k, EACH[name])


class ParametersRead(TorchFunctionMode):
    """Where the parameters lie that torch computes with in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (*args, *(kwargs or {}).values())
        self.found |= {one.data_ptr() for one in given if type(one) is nn.Parameter}
        return func(*args, **(kwargs or {}))


def width_of(codec: Any, receiver: Receiver) -> int:
    """How many numbers a prefix has at each position."""
    return Channel(receiver, codec, K).width


def trained_a_little(codec: TrainableCodec, receiver: Receiver, steps: int = 3) -> TrainableCodec:
    """Move every weight, also those that start at zero, and messages apart."""
    optimiser = torch.optim.Adam(codec.parameters(), lr=1e-2)
    codec.train()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        wanted = torch.randn(len(MESSAGES), 1, width_of(codec, receiver))
        for _ in range(steps):
            loss = (codec.decode(codec.encode(MESSAGES)) - wanted).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return codec.eval()


def prefix(codec: TrainableCodec, messages: tuple[str, ...] = MESSAGES) -> Tensor:
    with torch.no_grad():
        return codec.decode(codec.encode(messages))


def nearest_distance(vectors: Tensor, points: Tensor) -> float:
    """How far the vector lies that is farthest from its nearest point."""
    return float((vectors[:, None] - points[None]).norm(dim=2).min(1).values.max())


def test_all_of_them_are_tested() -> None:
    of_another_model = {"connector"}  # tests/codec/test_connector.py
    assert {recipe.architecture for recipe in EACH.values()} | of_another_model == set(CODECS)


@pytest.mark.parametrize("name", EACH)
def test_shapes_and_type(name: str, receiver: Receiver) -> None:
    codec = made(name, receiver)
    assert isinstance(codec, Codec)
    found = prefix(codec)
    assert found.shape == (3, K, width_of(codec, receiver))
    assert found.dtype == torch.float32
    assert {p.dtype for p in codec.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", EACH)
def test_a_receiver_that_computes_in_bfloat16_will_do(
    name: str, tiny_folders: dict[str, Path]
) -> None:
    codec = made(name, load_receiver(str(tiny_folders["llama"]), "cpu", "bfloat16"))
    assert {p.dtype for p in codec.parameters()} == {torch.float32}
    found = prefix(trained_a_little(codec, codec.receiver) if name in SEEING else codec)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", SEEING)
def test_a_message_is_encoded_the_same_whatever_stands_beside_it(
    name: str, llama: Receiver
) -> None:
    codec = trained_a_little(made(name, llama), llama)
    together = prefix(codec)
    for message, found in zip(MESSAGES, together, strict=True):
        assert torch.allclose(prefix(codec, (message,))[0], found, atol=1e-4)


@pytest.mark.parametrize("name", SEEING)
def test_messages_differ_and_repeat_exactly(name: str, llama: Receiver) -> None:
    codec = trained_a_little(made(name, llama), llama, 20)
    first = prefix(codec)
    assert torch.equal(first, prefix(codec))
    assert not torch.allclose(first[0], first[1], atol=1e-3)


@pytest.mark.parametrize("name", EACH)
def test_every_weight_gets_a_gradient_and_the_receiver_none(name: str, llama: Receiver) -> None:
    before = llama.state_hash()
    codec = trained_a_little(made(name, llama), llama) if name in SEEING else made(name, llama)
    codec.train()
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(3, K, width_of(codec, llama), generator=draw)
    (codec.decode(codec.encode(MESSAGES)) * noise).sum().backward()
    for label, parameter in codec.named_parameters():
        assert parameter.grad is not None, label
        assert bool(parameter.grad.abs().sum() > 0), label
    assert all(p.grad is None and not p.requires_grad for p in llama.model.parameters())
    assert llama.state_hash() == before


@pytest.mark.parametrize("name", EACH)
def test_a_checkpoint_brings_it_back(name: str, llama: Receiver, tmp_path: Path) -> None:
    codec = trained_a_little(made(name, llama), llama) if name in SEEING else made(name, llama)
    save_checkpoint(tmp_path / "kept", codec, identify(llama, Trip(), K, 0, EACH[name]), {})
    assert torch.equal(prefix(load_codec(tmp_path / "kept", llama, K)), prefix(codec))
    size = sum(file.stat().st_size for file in (tmp_path / "kept").iterdir())
    weights = sum(value.numel() for value in codec.state_dict().values())
    assert size < 4 * weights + 10_000


@pytest.mark.parametrize("name", CALIBRATED)
def test_a_fresh_prefix_has_the_tables_norm_and_a_gate_scales_it(
    name: str, receiver: Receiver
) -> None:
    codec = made(name, receiver)
    norms = prefix(codec).norm(dim=2)
    assert torch.allclose(norms / receiver.mean_embedding_norm, torch.ones(3, K), atol=0.02)
    with torch.no_grad():
        codec.log_gate.fill_(math.log(2))
    assert torch.allclose(prefix(codec).norm(dim=2), 2 * norms, rtol=1e-4)


@torch.no_grad()
def test_the_pooled_mlp_sees_the_last_state_and_the_mean_alone(receiver: Receiver) -> None:
    codec: PooledMLP = made("pooled_mlp", receiver)
    for message, found in zip(MESSAGES, codec.encode(MESSAGES), strict=True):
        ids = torch.tensor([receiver.message_ids(message)])
        states = receiver.model(ids, output_hidden_states=True).hidden_states[codec.layer][0]
        pooled = torch.cat([states[-1], states.mean(0)])
        assert torch.allclose(codec.expand(pooled).view(K, -1), found, atol=1e-4)


@torch.no_grad()
def test_cross_attention_is_that_of_its_definition(llama: Receiver) -> None:
    codec = made("cross_attention", llama)
    heads, width = 8, 64
    for message, found in zip(MESSAGES, codec.encode(MESSAGES), strict=True):
        ids = torch.tensor([llama.message_ids(message)])
        states = llama.model(ids, output_hidden_states=True).hidden_states[codec.layer][0]
        normed = nn.functional.layer_norm(states, states.shape[1:])
        for latent, query in zip(found, codec.queries, strict=True):
            parts = []
            for h in range(heads):
                own = slice(h * width, (h + 1) * width)
                keys, values = (one(normed)[:, own] for one in (codec.key, codec.value))
                parts.append((keys @ query[own] / width**0.5).softmax(0) @ values)
            assert torch.allclose(codec.out(torch.cat(parts)), latent, atol=1e-4)


class TestMemoryTokens:
    @torch.no_grad()
    def test_latents_are_the_last_states_behind_the_message(self, receiver: Receiver) -> None:
        codec: MemoryTokens = made("memory_tokens", receiver)
        for message, found in zip(MESSAGES, codec.encode(MESSAGES), strict=True):
            whole = torch.cat([receiver.embed(receiver.message_ids(message)), codec.memory])
            output = receiver.model(
                inputs_embeds=whole[None], use_cache=False, output_hidden_states=True
            )
            states = output.hidden_states[-1][0, -K:]
            wanted = nn.functional.layer_norm(states, states.shape[1:])
            assert torch.allclose(wanted, found, atol=1e-3)

    @torch.no_grad()
    def test_fresh_adapters_change_nothing(self, llama: Receiver) -> None:
        plain, adapted = made("memory_tokens", llama), made("memory_tokens, lora", llama)
        for name in ("memory", "project.weight"):
            assert torch.equal(plain.state_dict()[name], adapted.state_dict()[name])
        assert torch.allclose(prefix(plain), prefix(adapted), atol=1e-5)

    def test_trained_adapters_are_the_encoders_alone(self, llama: Receiver) -> None:
        ids = torch.tensor([llama.message_ids(MESSAGES[0])])
        with torch.no_grad():
            before, logits = llama.state_hash(), llama.model(ids).logits
        codec = made("memory_tokens, lora", llama)
        fresh = prefix(codec)
        with torch.no_grad():
            for value in codec.adapter.values():
                value.add_(0.1)
            assert torch.equal(llama.model(ids).logits, logits)
        assert not torch.allclose(prefix(codec), fresh, atol=1e-3)
        assert llama.state_hash() == before

    def test_the_receivers_weights_are_shared_and_never_the_codecs(self, llama: Receiver) -> None:
        codec = made("memory_tokens, lora", llama)
        own = {p.data_ptr() for p in llama.model.parameters()}
        assert not own & {p.data_ptr() for p in codec.state_dict().values()}
        with ParametersRead() as read:
            codec.encode(MESSAGES)
        inner = {p.data_ptr() for p in llama.model.base_model.parameters()}
        assert inner <= read.found <= own | {p.data_ptr() for p in codec.parameters()}

    def test_without_peft_it_says_what_to_install(
        self, llama: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "peft", None)
        with pytest.raises(RequestError, match=r"peft is not installed; pip install 'lpca\[codec"):
            made("memory_tokens, lora", llama)


class TestVectorQuantised:
    def codes(self, codec: VectorQuantised, number: int = 0) -> Tensor:
        book: Tensor = codec.quantiser.layers[number]._codebook.embed[0]
        return book

    @pytest.mark.parametrize(
        ("settings", "bits"),
        [
            ({"codebook": 2}, 3.0),
            ({"codebook": 512}, 27.0),
            ({"codebook": 100}, 3 * math.log2(100)),
        ],
    )
    def test_its_rate(self, llama: Receiver, settings: dict[str, int], bits: float) -> None:
        assert make_codec(llama, 3, Recipe("vector_quantised", settings)).bits == bits

    def test_a_residual_ones_rate(self, llama: Receiver) -> None:
        assert made("residual_vq", llama).bits == 3 * 3 * 3

    def test_others_have_no_rate(self, llama: Receiver) -> None:
        finite = [name for name in EACH if made(name, llama).bits is not None]
        assert finite == ["vector_quantised", "residual_vq"]

    def test_latents_are_codes(self, llama: Receiver) -> None:
        codec = trained_a_little(made("vector_quantised", llama), llama)
        with torch.no_grad():
            latents = codec.encode(MESSAGES).flatten(0, 1) / codec.unit
        assert nearest_distance(latents, self.codes(codec)) < 1e-4

    def test_residual_latents_are_sums_of_codes(self, llama: Receiver) -> None:
        codec = trained_a_little(made("residual_vq", llama), llama)
        first, second, third = (self.codes(codec, i) for i in range(3))
        sums = first[:, None, None] + second[None, :, None] + third[None, None]
        with torch.no_grad():
            latents = codec.encode(MESSAGES).flatten(0, 1) / codec.unit
        assert nearest_distance(latents, sums.flatten(0, 2)) < 1e-4

    def test_each_latent_takes_the_nearest_code(self, llama: Receiver) -> None:
        codec = made("vector_quantised", llama).eval()
        pooler = made("token_pooler", llama)
        with torch.no_grad():
            pooler.load_state_dict(codec.state_dict(), strict=False)
            pooled = pooler.encode(MESSAGES).flatten(0, 1) / codec.unit
            nearest = self.codes(codec)[torch.cdist(pooled, self.codes(codec)).argmin(1)]
            found = codec.encode(MESSAGES).flatten(0, 1) / codec.unit
        assert torch.allclose(found, nearest, atol=1e-5)

    def test_no_more_messages_come_through_than_its_bits_allow(self, llama: Receiver) -> None:
        codec = make_codec(llama, 1, Recipe("vector_quantised", {"codebook": 4}))
        trained_a_little(codec, llama, 20)
        messages = MESSAGES + tuple(e.message for e in Trip().training_batch(0, 40, 0))
        found = {tuple(row) for row in prefix(codec, messages).flatten(1).tolist()}
        assert codec.bits == 2.0
        assert 1 < len(found) <= 4

    def test_a_code_that_nothing_uses_is_put_back_among_the_latents(self, llama: Receiver) -> None:
        codec = made("vector_quantised", llama)
        far = 1e3
        book = codec.quantiser.layers[0]._codebook
        with torch.no_grad():
            book.embed[0, 5:] = far
            book.embed_avg[0, 5:] = far
        messages = tuple(e.message for e in Trip().training_batch(0, 24, 0))
        codec.train()
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            used = []
            for _ in range(30):
                codec.encode(messages)
                used.append(codec.measures()["usage_entropy"])
        assert float(self.codes(codec).abs().max()) < far / 10
        assert used[-1] > used[3]

    @pytest.mark.parametrize("name", ["vector_quantised", "residual_vq"])
    def test_in_evaluation_nothing_moves(self, name: str, llama: Receiver) -> None:
        for codec in (made(name, llama), trained_a_little(made(name, llama), llama)):
            codec.eval()
            before = {key: value.clone() for key, value in codec.state_dict().items()}
            torch.manual_seed(0)
            first = prefix(codec)
            torch.manual_seed(1)
            assert torch.equal(prefix(codec), first)
            after = codec.state_dict()
            assert not [key for key, value in before.items() if not torch.equal(after[key], value)]

    def test_the_commitment_loss_is_the_distance_to_the_codes(self, llama: Receiver) -> None:
        codec = made("vector_quantised", llama).train()
        pooler = made("token_pooler", llama)
        pooler.load_state_dict(codec.state_dict(), strict=False)
        codes = self.codes(codec).clone()
        codec.encode(MESSAGES)
        pooled = pooler.encode(MESSAGES).flatten(0, 1) / codec.unit
        distances = torch.cdist(pooled, codes).min(1).values.square() / llama.d_model
        found = codec.auxiliary_loss()
        assert found is not None
        assert float(found.detach()) == pytest.approx(
            0.25 * float(distances.detach().mean()), rel=1e-4
        )

    def test_the_gradient_goes_straight_through(self, llama: Receiver) -> None:
        codec, pooler = made("vector_quantised", llama), made("token_pooler", llama)
        pooler.load_state_dict(codec.state_dict(), strict=False)
        noise = torch.randn(3, K, llama.d_model, generator=torch.Generator().manual_seed(0))
        for one in (codec, pooler):
            (one.encode(MESSAGES) * noise).sum().backward()
        assert torch.allclose(codec.queries.grad, pooler.queries.grad, rtol=1e-3, atol=1e-6)

    def test_usage_entropy_is_that_of_the_counts(self, llama: Receiver) -> None:
        codec = made("vector_quantised", llama)
        book = codec.quantiser.layers[0]._codebook
        book.cluster_size[0] = torch.tensor([4.0] * 4 + [0.0] * 12)
        assert codec.measures()["usage_entropy"] == pytest.approx(2.0)

"""Keys and values in a slot: B's own, put back, are the text; others are refused in one line."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tiny import byte_tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from lpca.base.errors import RequestError
from lpca.channel.packets import PacketError
from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.outcome import INJECTED, Outcome, cache_hash, cache_norms, canonical_ids
from lpca.evaluation.slow_path import next_token_scores, option_score
from lpca.receivers.caches import Cache, held, placed, refuse_unfit, rotation_of
from lpca.receivers.forward import Slot, own_caches, read_batch, read_context
from lpca.receivers.model import Receiver, freeze
from lpca.tasks import Episode

SHAPE = {
    **{"vocab_size": 260, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0},
    **{"initializer_range": 0.1, "max_position_embeddings": 512},
}
WINDOW = {"sliding_window": 12}
MIXED = {"layer_types": ["sliding_attention", "full_attention"] * 2}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
ROPE = {"rope_theta": 10000.0}
SOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "yarn": ("llama", {"rope_parameters": {**ROPE, **YARN}}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "mistral": ("mistral", WINDOW),
    "gemma2": ("gemma2", {**WINDOW, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", {**WINDOW, **MIXED, "query_pre_attn_scalar": 8}),
    "phi3": ("phi3", WINDOW),
    "partial": ("phi3", {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}),
}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 260}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "learned": ("gpt2", OLD, "no rotary embedding was found"),
    "alibi": ("bloom", {**OLD, "hidden_size": 32}, "alibi"),
    "latent": ("deepseek_v3", {**LATENT, "v_head_dim": 8, "n_routed_experts": 4}, "kv_lora_rank 8"),
    "state": ("lfm2", {"layer_types": ["conv", "full_attention"] * 2}, "ssm state"),
    "longrope": (
        "phi3",
        {"original_max_position_embeddings": 32, "rope_parameters": {**ROPE, **LONGROPE}},
        "rope_type longrope",
    ),
    "dynamic": (
        "llama",
        {"rope_parameters": {**ROPE, "rope_type": "dynamic", "factor": 2.0}},
        "rope_type dynamic",
    ),
    "interleaved": ("cohere", {}, "layer 0 does not turn its keys as CohereRotaryEmbedding tells"),
}
BEFORES = ("List: Rome, Oslo, and places far beyond.", "L", "List: Rio.")
MESSAGES = ("We go to Rome.", "x", "I am moving to Santiago, friend.")
AFTERS = ("\nWhere? To", " ?", "\nQuestion: where to, all in all? Answer: to")
OPTIONS = (("Rome", "Oslo", "O"), ("a", "b"), ("Santiago", "Rio", "Lima", "Accra"))
ALLOWED = 5e-6


@cache
def made(name: str) -> Receiver:
    kind, settings = SOUND[name] if name in SOUND else REFUSED[name][:2]
    shape = {} if "n_embd" in settings else SHAPE
    config = AutoConfig.for_model(kind, **{**shape, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return Receiver(name, freeze(model), byte_tokenizer(), name)


def rows(receiver: Receiver) -> tuple[list[list[int]], list[list[int]], list[list[list[int]]]]:
    befores = [receiver.prompt_start_ids(text) for text in BEFORES]
    afters = [receiver.segment_ids(text) for text in AFTERS]
    return befores, afters, [[receiver.option_ids(o)[1:] for o in row] for row in OPTIONS]


def messages(receiver: Receiver) -> list[list[int]]:
    return [receiver.message_ids(text) for text in MESSAGES]


def read(receiver: Receiver, slots: list[Slot]) -> tuple[Tensor, list[list[int]], list[float]]:
    """Logits at the prompts' ends and at the options' nodes, what is said, and scores."""
    befores, afters, options = rows(receiver)
    reading = read_context(receiver, befores).read(slots, afters, options)
    scores = [score for row in reading.option_scores(options) for score in row]
    return reading.at, reading.continuations(6), scores


@pytest.mark.parametrize("name", SOUND)
def test_a_texts_own_keys_and_values_put_back_are_the_text(name: str) -> None:
    receiver = made(name)
    befores, _, _ = rows(receiver)
    ids = messages(receiver)
    caches = own_caches(receiver, befores, ids)
    text = read(receiver, [Slot(tuple(row)) for row in ids])
    found = read(receiver, [Slot(cache=one) for one in caches])
    assert float((found[0] - text[0]).abs().max()) < ALLOWED
    assert found[1:] == (text[1], pytest.approx(text[2], abs=ALLOWED))
    assert [len(Slot(cache=one)) for one in caches] == list(map(len, ids))


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_cache_of_no_positions_is_nothing(name: str) -> None:
    receiver = made(name)
    befores, _, _ = rows(receiver)
    empty = own_caches(receiver, befores, [[]] * len(befores))
    nothing = read(receiver, [Slot()] * len(befores))
    found = read(receiver, [Slot(cache=one) for one in empty])
    assert torch.equal(found[0], nothing[0])
    assert found[1:] == nothing[1:]


def test_a_text_read_by_itself_has_the_cache_that_its_model_keeps() -> None:
    receiver = made("gemma3")
    [alone] = own_caches(receiver, [[]], messages(receiver)[:1])
    model: Any = receiver.model
    ids, kept = torch.tensor(messages(receiver)[:1]), DynamicCache()
    model(ids, use_cache=True, past_key_values=kept)
    assert list(alone) == [0, 1, 2, 3]
    for both, own in zip(alone.values(), held(kept), strict=True):
        for found, wanted in zip(both, own, strict=True):
            assert torch.allclose(found, wanted[0], atol=1e-6)


def by_hand(receiver: Receiver, before: list[int], cache: Cache, after: list[int]) -> Tensor:
    """Logits at a row's end, layer by layer: a layer that is left out has no columns there."""
    model: Any = receiver.model
    n = len(Slot(cache=cache))
    places = torch.cat([torch.arange(len(before)), torch.arange(len(after)) + len(before) + n])
    states = receiver.embed([*before, *after])
    for number, layer in enumerate(model.model.layers):
        own = layer.self_attn
        normed = layer.input_layernorm(states)
        shape = (len(places), -1, own.head_dim)
        query, key, value = (
            project(normed).view(shape).transpose(0, 1)
            for project in (own.q_proj, own.k_proj, own.v_proj)
        )
        query, key = rotated(receiver, query, places), rotated(receiver, key, places)
        at = places
        if number in cache:
            keys, values = cache[number]
            key = torch.cat([key, rotated(receiver, keys, torch.full((n,), len(before)))], dim=1)
            value = torch.cat([value, values], dim=1)
            at = torch.cat([places, torch.arange(n) + len(before)])
        key, value = (one.repeat_interleave(2, dim=0) for one in (key, value))
        weights = query @ key.transpose(1, 2) / own.head_dim**0.5
        weights = weights.masked_fill(at[None, None, :] > places[None, :, None], -torch.inf)
        mixed = (weights.softmax(-1) @ value).transpose(0, 1).reshape(len(places), -1)
        states = states + own.o_proj(mixed)
        states = states + layer.mlp(layer.post_attention_layernorm(states))
    return torch.as_tensor(model.lm_head(model.model.norm(states))[-1])


def rotated(receiver: Receiver, keys: Tensor, places: Tensor) -> Tensor:
    model: Any = receiver.model
    cosines, sines = (one[0] for one in model.model.rotary_emb(keys, places[None]))
    turn = torch.complex(cosines[:, :4], sines[:, :4])
    turns = torch.complex(keys[..., :4], keys[..., 4:]) * turn
    return torch.cat([turns.real, turns.imag], dim=-1)


def drawn(counts: tuple[int, ...], layers: tuple[int, ...]) -> list[dict[int, Any]]:
    draw = torch.Generator().manual_seed(1)
    return [
        {layer: (*torch.randn(2, 2, n, 8, generator=draw),) for layer in layers} for n in counts
    ]


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (1, 2), (0,), (3,)])
@torch.no_grad()
def test_any_cache_of_any_layers_is_what_stands_in_the_slot(layers: tuple[int, ...]) -> None:
    receiver = made("llama")
    befores, afters, options = rows(receiver)
    caches = drawn((4, 1, 7), layers)
    at, said, scores = read(receiver, [Slot(cache=one) for one in caches])
    wanted = [by_hand(receiver, *row) for row in zip(befores, caches, afters, strict=True)]
    assert float((at[:, 0] - torch.stack(wanted)).abs().max()) < ALLOWED * 4
    # behind the slot too: what is said and scored goes on from there
    following = iter(scores)
    for before, one, after, tokens, row in zip(befores, caches, afters, said, options, strict=True):
        more = list(after)
        for token in tokens:
            assert int(by_hand(receiver, before, one, more).argmax()) == token
            more.append(token)
        for option in row:
            steps = [
                float(by_hand(receiver, before, one, [*after, *option[:i]]).log_softmax(-1)[token])
                for i, token in enumerate(option)
            ]
            assert next(following) == pytest.approx(sum(steps), abs=1e-4)


@pytest.mark.parametrize("name", ["gemma3", "mistral", "qwen2"])
def test_layers_that_are_left_out_carry_nothing(name: str) -> None:
    receiver = made(name)
    befores, afters, options = rows(receiver)
    own = own_caches(receiver, befores, messages(receiver))
    some = [Slot(cache={layer: one[layer] for layer in (1, 2)}) for one in own]
    together = read(receiver, some)
    for i, slot in enumerate(some):
        # alone, without padding, and with another way to leave layers out: the same
        context = read_batch(receiver, befores[i : i + 1])
        alone = context.read([slot], afters[i : i + 1], options[i : i + 1])
        assert alone.continuations(6)[0] == together[1][i]
        assert float((alone.at[0, 0] - together[0][i, 0]).abs().max()) < ALLOWED * 4
    whole = read(receiver, [Slot(cache=one) for one in own])
    assert float((whole[0] - together[0]).abs().max()) > 0.01


def episodes() -> list[Episode]:
    rows = enumerate(zip(BEFORES, MESSAGES, AFTERS, strict=True))
    return [
        Episode(i, "seen", "w", message, before, after, ("a rail", "a road", "Rio"), 0)
        for i, (before, message, after) in rows
    ]


def outcomes_of(receiver: Receiver, slots: list[Slot]) -> tuple[Outcome, ...]:
    job = make_job(receiver, "normal", episodes(), slots)
    [(_, outcomes)] = run_block(receiver, [job], 4)
    return outcomes


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (1, 2)])
@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral", "partial"])
def test_outcomes_are_those_of_the_slow_path_and_tell_what_was_received(
    name: str, layers: tuple[int, ...]
) -> None:
    receiver = made(name)
    caches = drawn((4, 0, 7), layers)
    outcomes = outcomes_of(receiver, [Slot(cache=one) for one in caches])
    for episode, put, outcome in zip(episodes(), caches, outcomes, strict=True):
        before = canonical_ids(receiver, receiver.prompt_start_ids(episode.before))
        after = canonical_ids(receiver, receiver.prompt_end_ids(episode.after))
        given, n = outcome.given, len(Slot(cache=put))
        assert given.ids == (*before, *[INJECTED] * n, *after)
        assert (given.start, given.stop) == (len(before), len(before) + n)
        assert given.norms == pytest.approx(cache_norms(put), abs=1e-4)
        wanted = cache_hash(placed(receiver, put, len(before)))
        assert given.sha256 == (wanted if n else "")
        for option, score in zip(episode.options, outcome.scores, strict=True):
            own = option_score(receiver, given, put, receiver.option_ids(option))
            assert abs(own - score) < 2e-5
        scores = next_token_scores(receiver, given, put, outcome.said_ids)
        for one, token in zip(scores, outcome.said_ids, strict=False):
            assert one.max() - one[token] < 2e-5


def test_what_is_recorded_tells_zeros_from_no_columns_and_one_layer_from_another() -> None:
    receiver = made("llama")
    zeros = {layer: of(2, 3, 8) for layer in range(4)}
    one, other = ({layer: of(2, 3, 8)} for layer in (1, 2))
    caches: list[Cache] = [zeros, one, other, {}]
    hashes, keys = set(), set()
    for put in caches:
        slots = [Slot(cache=put)] * 3
        keys.add(make_job(receiver, "null", episodes(), slots).key)
        first = outcomes_of(receiver, slots)[0]
        hashes.add(first.given.sha256)
        assert first.given.norms == ((0.0,) * 3 if put else ())
    assert len(hashes) == len(keys) == 4


def test_keys_that_were_turned_before_are_turned_twice_and_told_from_those_that_were_not() -> None:
    receiver = made("llama")
    befores, _, _ = rows(receiver)
    own = own_caches(receiver, befores, messages(receiver))
    absolute = [placed(receiver, one, len(b)) for one, b in zip(own, befores, strict=True)]
    sound, off = (
        outcomes_of(receiver, [Slot(cache=c) for c in given]) for given in (own, absolute)
    )
    for one, other in zip(sound, off, strict=True):
        assert one.given.ids == other.given.ids
        assert one.given.sha256 != other.given.sha256
        # a turn keeps lengths: only the hash tells
        assert one.given.norms == pytest.approx(other.given.norms, abs=1e-4)
        assert max(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)) > 1e-3


def test_gradients_reach_the_keys_and_values_of_every_layer() -> None:
    receiver = made("gemma3")
    befores, afters, _ = rows(receiver)
    caches = drawn((4, 2, 3), (0, 1, 2, 3))
    for one in caches:
        for both in one.values():
            for tensor in both:
                tensor.requires_grad_(True)
    context = read_context(receiver, befores)
    slots = [Slot(cache=one) for one in caches]
    loss = context.continuation_logits(slots, afters, 1).logsumexp(-1).sum()
    tensors = [tensor for one in caches for both in one.values() for tensor in both]
    for grad in torch.autograd.grad(loss, tensors):
        assert bool(grad.abs().sum((0, 2)).gt(0).all())


@pytest.mark.parametrize("name", REFUSED)
def test_a_receiver_that_turns_otherwise_is_refused_by_what_it_does(name: str) -> None:
    receiver = made(name)
    with pytest.raises(RequestError) as refused:
        rotation_of(receiver)
    assert REFUSED[name][2] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_receiver_read_row_by_row_is_refused() -> None:
    receiver = Receiver("plain", made("llama").model, byte_tokenizer(), "plain")
    receiver.proof.plain, receiver.proof.batched = True, "a batch: tokens differ"
    befores, afters, options = rows(receiver)
    slots = [Slot(cache=one) for one in drawn((1, 1, 1), (0,))]
    with pytest.raises(RequestError, match="it is read row by row: a batch: tokens differ"):
        read_context(receiver, befores).read(slots, afters, options)


def of(heads: int, n: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(heads, n, width), torch.zeros(heads, n, width)


@pytest.mark.parametrize(
    ("cache", "layers", "told"),
    [
        ({0: of(2, 1, 8), 4: of(2, 1, 8)}, (), "layer 4; allowed: 0 to 3"),
        ({0: of(4, 1, 8)}, (), "layer 0 has keys of shape (4, 1, 8)"),
        ({1: of(2, 1, 16)}, (), "allowed: [2, n, 8] and [2, n, 8]"),
        ({0: of(2, 1, 8), 1: of(2, 2, 8)}, (), "layers of several lengths"),
        ({0: of(2, 1, 8), 1: of(2, 1, 8)}, (0, 2), "layers 0, 1; allowed: 0, 2"),
        ({0: of(2, 1, 8)}, (0, 2), "layers 0; allowed: 0, 2"),
    ],
)
def test_a_cache_that_is_none_of_the_receivers_is_refused(
    cache: Cache, layers: tuple[int, ...], told: str
) -> None:
    with pytest.raises(PacketError) as refused:
        refuse_unfit(made("llama"), cache, layers)
    assert told in str(refused.value)


def test_a_cache_with_no_text_behind_it_is_refused() -> None:
    receiver = made("llama")
    befores, afters, options = rows(receiver)
    slots = [Slot(cache=one) for one in drawn((1, 1, 1), (0,))]
    with pytest.raises(RequestError, match="a text behind its slot"):
        read_context(receiver, befores).read(slots, [[], *afters[1:]], options)


def test_caches_do_not_share_a_batch_with_tokens_or_other_layers() -> None:
    receiver = made("llama")
    befores, afters, _ = rows(receiver)
    context = read_context(receiver, befores)
    first, second, third = (Slot(cache=one) for one in drawn((1, 1, 1), (0,)))
    with pytest.raises(ValueError, match="not both"):
        context.read([first, second, Slot((5,))], afters)
    with pytest.raises(ValueError, match="of the same layers"):
        context.read([first, second, Slot(cache={1: third.cache[0]})], afters)

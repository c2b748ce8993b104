"""Receivers of many architectures are read as they read themselves, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import pytest
import torch
from tiny import byte_tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from lpca.base.errors import RequestError
from lpca.commands.cli import main
from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.outcome import canonical_ids
from lpca.evaluation.slow_path import next_token_scores, option_score
from lpca.receivers import attention, self_test
from lpca.receivers.forward import Slot, read_context
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver, hidden_states
from lpca.receivers.self_test import prove_for, prove_upto
from lpca.tasks import Episode

WINDOW, LONG = 24, 80
TABLE = {"vocab_size": 260}
SHAPE = {
    **TABLE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
NARROW = {**GROUPED, "head_dim": 8, "sliding_window": WINDOW, "pad_token_id": 0}
FOUR = {"num_hidden_layers": 4}
OLD = {**TABLE, "n_embd": 32, "n_layer": 2, "n_head": 4}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
DYNAMIC = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
LONGROPE = {
    "original_max_position_embeddings": 32,
    "max_position_embeddings": 512,
    "rope_scaling": {
        "rope_type": "longrope",
        "short_factor": [1.0] * 4,
        "long_factor": [3.0] * 4,
    },
}
CAPPED = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
CASES: dict[str, tuple[str, dict[str, object], bool]] = {
    # name: type, configuration, whether it is read row by row
    "mistral": ("mistral", NARROW, False),
    "mistral-just-crossed": ("mistral", {**NARROW, "sliding_window": LONG - 1}, False),
    "gemma2": ("gemma2", {**NARROW, **CAPPED}, False),
    "gemma3": (
        "gemma3_text",
        {**NARROW, "layer_types": ["sliding_attention", "full_attention"]},
        False,
    ),
    "phi3": ("phi3", NARROW, False),
    "qwen2": ("qwen2", {**NARROW, "use_sliding_window": True, "max_window_layers": 1}, False),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 8}, False),
    "cohere2": ("cohere2", {**NARROW, **FOUR}, False),
    "gpt_oss": ("gpt_oss", {**NARROW, **EXPERTS}, False),
    "llama4": (
        "llama4_text",
        {
            **{**NARROW, **FOUR, **EXPERTS, "intermediate_size_mlp": 64},
            "num_experts_per_tok": 1,
            "attention_chunk_size": WINDOW,
        },
        False,
    ),
    "opt": ("opt", {**SHAPE, "ffn_dim": 64, "word_embed_proj_dim": 32}, False),
    "gpt2": ("gpt2", OLD, False),
    "gpt_neo": (
        "gpt_neo",
        {
            **{**TABLE, "hidden_size": 32, "num_layers": 2, "num_heads": 4},
            **{"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
        },
        True,
    ),
    "longrope": ("phi3", {**GROUPED, **LONGROPE, "pad_token_id": 0}, True),
    "bloom": ("bloom", {**TABLE, "hidden_size": 32, "n_layer": 2, "n_head": 4}, True),
    "falcon-alibi": ("falcon", {**SHAPE, "alibi": True}, True),
    "mpt": ("mpt", {**TABLE, "d_model": 32, "n_heads": 4, "n_layers": 2}, True),
    "mamba": ("mamba", {**SHAPE, "state_size": 4}, True),
    "jamba": (
        "jamba",
        {
            **{**GROUPED, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2},
            **{"use_mamba_kernels": False, "mamba_d_state": 4},
        },
        True,
    ),
    "lfm2": ("lfm2", {**GROUPED, "layer_types": ["conv", "full_attention"]}, True),
}
REFUSED = {
    "xlm-roberta": (
        "xlm-roberta",
        {**SHAPE, "is_decoder": True, "max_position_embeddings": 200, "pad_token_id": 1},
        "learned positions",
    ),
    "gemma4": (
        "gemma4_text",
        {
            **{**NARROW, "global_head_dim": 8, "vocab_size_per_layer_input": 260},
            "hidden_size_per_layer_input": 8,
        },
        "hidden_size_per_layer_input 8",
    ),
}

Make = Callable[..., Path]


def save(folder: Path, kind: str, settings: dict[str, object]) -> Path:
    config = AutoConfig.for_model(kind, **{"eos_token_id": 0, "initializer_range": 0.3, **settings})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Receiver]:
    """Receivers by name, each loaded once."""
    made: dict[str, Receiver] = {}
    folder = tmp_path_factory.mktemp("receivers")

    def get(name: str) -> Receiver:
        if name not in made:
            kind, settings, _ = CASES[name]
            made[name] = load_receiver(str(save(folder / name, kind, settings)), "cpu", "float32")
        return made[name]

    return get


def tokens(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 257, (count,), generator=generator).tolist()


def own_scores(receiver: Receiver, ids: list[int], start: int, vectors: Tensor | None) -> Tensor:
    """Log-probabilities [positions, vocabulary] of one row, as the model itself has them."""
    inputs = {"input_ids": torch.tensor([ids])}
    if vectors is not None:
        rows = receiver.model.get_input_embeddings()(inputs["input_ids"]).clone()
        rows[0, start : start + len(vectors)] = vectors
        inputs = {"inputs_embeds": rows}
    with torch.no_grad():
        return receiver.model(**inputs, use_cache=False).logits[0].float().log_softmax(-1)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_read_as_each_row_alone(loaded: Callable[[str], Receiver], name: str) -> None:
    """Rows of several lengths, with tokens and with vectors; options of several tokens."""
    receiver = loaded(name)
    prove_upto(receiver, LONG + 8)
    assert receiver.proof.plain is CASES[name][2], receiver.proof
    assert receiver.proof.tested >= LONG + 8
    befores = [tokens(length, length) for length in (LONG - 8, 2, WINDOW + 3)]
    afters = [tokens(length, 7) for length in (3, 5, 2)]
    options = [[tokens(3, 1), [*tokens(2, 1), 9, 8]], [tokens(2, 2)], [tokens(1, 3)]]
    generator = torch.Generator().manual_seed(5)
    for vectors in (None, torch.randn((3, 4, receiver.d_model), generator=generator)):
        ids = [tokens(4, i) for i in range(3)]
        slots = [Slot(tuple(row)) for row in ids]
        if vectors is not None:
            slots = [Slot(vectors=own) for own in vectors]
        reading = read_context(receiver, befores).read(slots, afters, options)
        for row in range(3):
            prompt = [*befores[row], *ids[row], *afters[row]]
            own = None if vectors is None else vectors[row]
            for option in options[row]:
                whole = own_scores(receiver, [*prompt, *option[:-1]], len(befores[row]), own)
                at = reading.at[row, reading.trees[row].path(option)].log_softmax(-1)
                assert (at - whole[len(prompt) - 1 :]).abs().max() < 1e-4
        for row, said in enumerate(reading.continuations(3)):
            prompt = [*befores[row], *ids[row], *afters[row]]
            own = None if vectors is None else vectors[row]
            whole = own_scores(receiver, [*prompt, *said], len(befores[row]), own)
            for step, token in enumerate(said):
                scores = whole[len(prompt) - 1 + step]
                assert scores.max() - scores[token] < 1e-4


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    kind, settings, feature = REFUSED[name]
    with pytest.raises(RequestError) as caught:
        load_receiver(str(save(tmp_path, kind, settings)), "cpu", "float32")
    assert feature in str(caught.value)
    assert "\n" not in str(caught.value)


class TestAWindow:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return save(tmp_path / "model", *CASES["mistral"][:2])

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_that_a_mask_switches_off_is_noticed(
        self, folder: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attention, "own_masks", lambda model, length: {})
        receiver = load_receiver(str(folder), "cpu", dtype)
        assert receiver.proof.plain
        assert f"sliding_window {WINDOW}" in receiver.proof.batched

    def test_that_no_configuration_tells_of_is_crossed_where_a_run_crosses_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attention, "own_masks", lambda model, length: {})
        monkeypatch.setattr(self_test, "features_of", lambda model: ())
        receiver = load_receiver(str(folder), "cpu", "float32")
        assert not receiver.proof.plain
        prove_upto(receiver, LONG)
        assert receiver.proof.plain
        assert "no feature" in receiver.proof.batched

    def test_is_not_crossed_before_it_was_tried(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self_test, "AFFORDABLE", 0)
        receiver = load_receiver(str(folder), "cpu", "float32")
        slots, long = [Slot((5,))], [tokens(WINDOW, 1)]
        read_context(receiver, [tokens(WINDOW - 9, 1)]).read(slots, [[7]])
        with pytest.raises(RequestError, match=rf"exact are at most.*sliding_window {WINDOW}"):
            read_context(receiver, long).read(slots, [[7]])
        prove_upto(receiver, LONG)
        read_context(receiver, long).read(slots, [[7]])


def test_a_state_that_rows_leave_behind_is_exact_up_to_where_it_switches(tmp_path: Path) -> None:
    settings = {**GROUPED, **DYNAMIC, "max_position_embeddings": 64}
    receiver = load_receiver(str(save(tmp_path, "llama", settings)), "cpu", "float32")
    prove_upto(receiver, 60)
    assert not receiver.proof.plain
    with pytest.raises(RequestError, match=r"at most 64.*rope_type dynamic"):
        prove_upto(receiver, 80)
    prove_upto(receiver, 64)


def an_episode(message: str, seed: int = 0) -> Episode:
    return Episode(
        seed=seed,
        stratum="",
        wording=0,
        message=message,
        before="Where? " + "so " * 5 * seed,
        after=" The answer is",
        options=("Oslo", "Osaka", "Rome"),
        answer=0,
    )


def test_a_token_that_the_table_does_not_hold_is_named(tmp_path: Path) -> None:
    settings = {**GROUPED, "vocab_size": 230}
    receiver = load_receiver(str(save(tmp_path, "llama", settings)), "cpu", "float32")
    told = [an_episode("off to Oslo")]
    prove_for(receiver, told, 2)
    with pytest.raises(RequestError, match="id 255, and the embedding table holds 230"):
        prove_for(receiver, [*told, an_episode("off to Pàvia")], 2)


@pytest.mark.parametrize("name", ["mistral", "gemma3", "mamba", "mpt"])
def test_outcomes_are_those_of_the_slow_path(loaded: Callable[[str], Receiver], name: str) -> None:
    """And what B received is read off at the model, whichever way it is read."""
    receiver = loaded(name)
    episodes = [an_episode("I am off to Oslo" + "o" * i, i) for i in range(4)]
    said: list[str] = []
    prove_for(receiver, episodes, 2, said.append)
    ids = [receiver.message_ids(episode.message) for episode in episodes]
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((4, 2, receiver.d_model), generator=generator)
    jobs = [
        make_job(receiver, "p1", episodes, [Slot(tuple(row)) for row in ids]),
        make_job(receiver, "embed", episodes, [Slot(vectors=receiver.embed(row)) for row in ids]),
        make_job(receiver, "normal", episodes, [Slot(vectors=vectors) for vectors in noise]),
    ]
    for job, outcomes in run_block(receiver, jobs, 4):
        for episode, slot, outcome in zip(episodes, job.slots, outcomes, strict=True):
            before = canonical_ids(receiver, receiver.prompt_start_ids(episode.before))
            after = canonical_ids(receiver, receiver.segment_ids(episode.after))
            given = outcome.given
            assert (given.ids[: given.start], given.ids[given.stop :]) == (before, after)
            if job.condition != "normal":
                wanted = canonical_ids(receiver, receiver.message_ids(episode.message))
                assert given.ids[given.start : given.stop] == wanted
            for option, score in zip(episode.options, outcome.scores, strict=True):
                own = option_score(receiver, given, slot.vectors, receiver.option_ids(option))
                assert abs(own - score) < 1e-4
            scores = next_token_scores(receiver, given, slot.vectors, outcome.said_ids)
            for one, token in zip(scores, outcome.said_ids, strict=False):
                assert one.max() - one[token] < 1e-4
    told = [line for line in said if "row by row, which is slower" in line]
    assert len(told) == receiver.proof.plain


@pytest.mark.parametrize("name", ["mistral", "mamba"])
def test_gradients_and_states_are_the_models_own(
    loaded: Callable[[str], Receiver], name: str
) -> None:
    receiver = loaded(name)
    prove_upto(receiver, LONG)
    befores, afters = [tokens(WINDOW + 4, 1), tokens(3, 2)], [tokens(2, 3), tokens(4, 4)]
    generator = torch.Generator().manual_seed(2)
    given = torch.randn((2, 2, receiver.d_model), generator=generator)
    vectors = given.clone().requires_grad_(True)
    slots = [Slot(vectors=row) for row in vectors]
    logits = read_context(receiver, befores).continuation_logits(slots, afters, 2)
    logits.log_softmax(-1)[:, :, 5].sum().backward()
    own = given.clone().requires_grad_(True)
    for row in range(2):
        ids = torch.tensor([[*befores[row], 1, 1, *afters[row]]])
        embedded = receiver.embedding(ids)
        start = len(befores[row])
        parts = [embedded[0, :start], own[row], embedded[0, start + 2 :]]
        output = receiver.model(inputs_embeds=torch.cat(parts)[None], use_cache=False)
        output.logits[0, -2:].log_softmax(-1)[:, 5].sum().backward()
    assert vectors.grad is not None
    assert own.grad is not None
    assert torch.allclose(vectors.grad, own.grad, rtol=1e-3, atol=1e-4)
    for row, states in zip(befores, hidden_states(receiver, befores, 1), strict=True):
        with torch.no_grad():
            output = receiver.model(torch.tensor([row]), output_hidden_states=True)
        # after the first layer; some models leave the embeddings out
        off = [(states - one[0]).abs().max() for one in output.hidden_states[:2]]
        assert min(off) < 1e-4


def test_the_doctor_shows_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = save(tmp_path / "window", *CASES["mistral"][:2])
    assert main(["doctor", "--receiver", str(window), "--dtype", "float32"]) == 0
    told = capsys.readouterr().out
    for words in (f"sliding_window {WINDOW}", "in batches", "generate", "MistralForCausalLM"):
        assert words in told
    layers = save(tmp_path / "layers", *REFUSED["gemma4"][:2])
    assert main(["doctor", "--receiver", str(layers)]) == 4
    assert "cannot be read exactly" in capsys.readouterr().err


def test_loading_takes_few_passes(
    tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a small model nearly all of its time goes into them; the last two are probes."""
    passes, forward = list[object](), LlamaForCausalLM.forward
    # what it takes is asked of its signature
    monkeypatch.setattr(
        LlamaForCausalLM,
        "forward",
        wraps(forward)(lambda *given, **named: passes.append(0) or forward(*given, **named)),
    )
    load_receiver(str(tiny_folders["llama"]), "cpu")
    assert len(passes) <= 21

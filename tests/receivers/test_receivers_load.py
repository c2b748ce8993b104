from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.torch import load_file, save_file
from tiny import ARCHITECTURES, SHAPE, byte_tokenizer, save_tiny
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, DeepseekV3Config

from lpca.base.errors import RequestError
from lpca.receivers import load
from lpca.receivers.attention import cache_argument
from lpca.receivers.forward import Slot, read_context
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the Llama model's folder, to be spoilt."""
    return Path(shutil.copytree(tiny_folders["llama"], tmp_path / "model"))


def gguf_file(path: Path) -> Path:
    """A Llama of one layer, whose weights are all alike."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<end>", *alphabet, "ab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, *[1] * (len(tokens) - 1)])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    layer = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (32, 32))
    layer |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    layer |= {"attn_norm": (32,), "ffn_norm": (32,)}
    shapes = {f"blk.0.{name}": shape for name, shape in layer.items()}
    shapes |= {"token_embd": (len(tokens), 32), "output_norm": (32,), "output": (len(tokens), 32)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.full(shape, 0.25, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refusal(name: str | Path, *more: str) -> str:
    with pytest.raises(RequestError) as caught:
        load_receiver(str(name), *(more or ("cpu",)))
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.is_usage_error
    return text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_is_loaded_frozen(tiny_folders: dict[str, Path], architecture: str) -> None:
    receiver = load_receiver(str(tiny_folders[architecture]), "cpu")
    assert isinstance(receiver.model, ARCHITECTURES[architecture][1])
    assert not [name for name, p in receiver.model.named_parameters() if p.requires_grad]
    assert not receiver.model.training
    assert (receiver.dtype, receiver.device.type) == (torch.float32, "cpu")
    assert (receiver.d_model, receiver.layers) == (32, 3)
    stored = load_file(tiny_folders[architecture] / WEIGHTS)
    state = receiver.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in stored.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_it_computes_in_the_dtype_asked_for(folder: Path, dtype: str, llama: Receiver) -> None:
    receiver = load_receiver(str(folder), "cpu", dtype)
    assert str(receiver.dtype) == f"torch.{dtype}"
    assert receiver.weights_hash == llama.weights_hash
    slots = [Slot(vectors=torch.ones(2, 32))]
    assert read_context(receiver, [[5, 6]]).read(slots, [[7]]).logits.dtype == torch.float32


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_what_its_code_wants_in_float32_stays_so(tmp_path: Path, stored: torch.dtype) -> None:
    """As transformers itself has it, to the bit: a router's bias, which no bfloat16 tells apart."""
    small = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
    small |= {"moe_intermediate_size": 16, "kv_lora_rank": 8, "q_lora_rank": 8, "v_head_dim": 8}
    small |= {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "first_k_dense_replace": 1}
    config = DeepseekV3Config(**{**SHAPE, **small, "num_key_value_heads": 4, "eos_token_id": 0})
    model: Any = AutoModelForCausalLM.from_config(config, dtype=stored)  # type: ignore[no-untyped-call]
    bias = model.get_buffer("model.layers.1.mlp.gate.e_score_correction_bias")
    bias.copy_(torch.tensor([0.50001, 0.50002, 0.50003, 0.50004]))
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    own: Any = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.bfloat16, attn_implementation="eager"
    )
    found = load_receiver(str(tmp_path), "cpu", "bfloat16").model
    types = [{n: t.dtype for n, t in one.state_dict().items()} for one in (own, found)]
    assert types[0] == types[1]
    assert torch.float32 in types[0].values()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(own(ids).logits, found(ids).logits)


class TestWeightsHash:
    def test_it_is_that_of_the_content_however_many_files_hold_it(
        self, folder: Path, llama: Receiver
    ) -> None:
        llama.model.save_pretrained(folder / "sharded", max_shard_size="20KB")
        for file in folder.glob("tokenizer*"):
            shutil.copy(file, folder / "sharded")
        assert len(list((folder / "sharded").glob("*.safetensors"))) > 2
        assert load_receiver(str(folder / "sharded"), "cpu").weights_hash == llama.weights_hash

    def test_one_bit_changes_it(self, folder: Path, llama: Receiver) -> None:
        weights = load_file(folder / WEIGHTS)
        name = "model.layers.1.mlp.up_proj.weight"
        weights[name].view(torch.int32)[0, 0] ^= 1
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        assert load_receiver(str(folder), "cpu").weights_hash != llama.weights_hash

    def test_other_weights_have_another(self, tiny_receivers: dict[str, Receiver]) -> None:
        assert len({r.weights_hash for r in tiny_receivers.values()}) == len(tiny_receivers)


class TestAutoDtype:
    @pytest.fixture(params=[True, False], ids=["multiplies", "does not"])
    def multiplies(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Whether the processor multiplies bfloat16."""
        told = {"avx2": True, "avx512_bf16": request.param, "amx_bf16": False}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        return bool(request.param)

    def test_a_large_receiver_takes_bfloat16_where_the_processor_multiplies_it(
        self, multiplies: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load, "LARGE", 1)
        wanted = torch.bfloat16 if multiplies else torch.float32
        assert load_receiver(str(folder), "cpu").dtype == wanted
        assert load_receiver(str(folder), "cpu", "float32").dtype == torch.float32

    def test_a_small_one_is_float32_on_every_processor(
        self, multiplies: bool, folder: Path
    ) -> None:
        assert load_receiver(str(folder), "cpu").dtype == torch.float32

    def test_without_the_kernels_it_is_float32(
        self, multiplies: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load, "LARGE", 1)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert load_receiver(str(folder), "cpu").dtype == torch.float32


class TestConfigurationHash:
    def test_it_does_not_depend_on_place_and_dtype(self, folder: Path, llama: Receiver) -> None:
        elsewhere = load_receiver(str(folder), "cpu", "bfloat16")
        assert elsewhere.configuration_hash == llama.configuration_hash

    def test_it_changes_where_the_same_weights_make_another_model(
        self, folder: Path, llama: Receiver
    ) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
        other = load_receiver(str(folder), "cpu")
        assert other.weights_hash == llama.weights_hash
        assert other.configuration_hash != llama.configuration_hash


class TestRefusals:
    def test_a_missing_folder(self, tmp_path: Path) -> None:
        text = refusal(tmp_path / "nowhere")
        assert str(tmp_path / "nowhere") in text
        assert "config.json" in text

    @pytest.mark.parametrize("name", ["./no-such-folder", "a/b/c", "../x"])
    def test_what_looks_like_a_path_is_not_asked_of_the_network(self, name: str) -> None:
        assert "no folder with a config.json" in refusal(name)

    @pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model"])
    def test_an_unknown_name_is_answered_with_what_is_allowed(self, name: str) -> None:
        text = refusal(name)
        assert text.startswith(f"receiver {name}: cannot be loaded: ")
        for allowed in ("smollm2-135m", "stub", "folder", "Hugging Face id", ".gguf"):
            assert allowed in text

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("stubb", "stub"),
            ("Stub", "stub"),
            ("smollm2-135", "smollm2-135m"),
            ("S1", "s1"),
        ],
    )
    def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(
        self, name: str, meant: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unasked(monkeypatch)
        assert f"did you mean {meant!r}? allowed: " in refusal(name)

    def test_a_misspelt_folder(self, folder: Path) -> None:
        assert "did you mean 'model'?" in refusal(folder.parent / "modle")

    def test_a_home_that_nobody_has(self) -> None:
        assert "no folder with a config.json" in refusal("~nobody-has-it/model")

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("stub@main", "only an id of Hugging Face's has revisions"),
            ("org/name@", "no name of a receiver"),
            ("org name", "no name of a receiver"),
        ],
    )
    def test_a_name_that_can_be_none(
        self, name: str, why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unasked(monkeypatch)
        assert why in refusal(name)

    def test_a_missing_gguf_file_in_capitals(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "x.GGUF") == f"receiver {tmp_path / 'x.GGUF'}: no such file"

    def test_attention_that_is_not_there(self, tiny_folders: dict[str, Path]) -> None:
        where = str(tiny_folders["llama"])
        with pytest.raises(RequestError, match="flash-attn, or a GPU that it runs on, is not"):
            load_receiver(where, "cpu", attn="flash_attention_2")
        with pytest.raises(RequestError, match="unknown attn 'own'; allowed: auto, eager, sdpa, f"):
            load_receiver(where, "cpu", attn="own")
        with pytest.raises(RequestError, match="unknown device_map 'all'; allowed: none, auto, "):
            load_receiver(where, "cpu", device_map="all")

    @pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
    def test_quantised_weights_without_the_package_that_reads_them(
        self, folder: Path, method: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lpca.receivers.load.find_spec", lambda name: None)
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"] = {"quant_method": method, "bits": 4, "load_in_4bit": True}
        (folder / "config.json").write_text(json.dumps(config))
        assert f"its weights are quantised ({method}), which takes " in (text := refusal(folder))
        assert "pip install " in text

    def test_a_gguf_file_is_read_without_a_bar(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        receiver = load_receiver(str(gguf_file(tmp_path / "tiny.gguf")), "cpu")
        assert (receiver.d_model, receiver.layers) == (32, 1)
        assert receiver.text(receiver.message_ids("Oslo")) == " Oslo"
        assert set(receiver.embed([5])[0].tolist()) == {0.25}
        told = capsys.readouterr()
        assert told.out + told.err == ""

    def test_a_missing_gguf_file(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "x.gguf") == f"receiver {tmp_path / 'x.gguf'}: no such file"

    def test_a_gguf_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "x.gguf").write_bytes(b"GGUF, not really")
        assert "cannot be loaded" in refusal(tmp_path / "x.gguf")

    def test_an_unknown_device(self, tiny_folders: dict[str, Path]) -> None:
        text = refusal(tiny_folders["llama"], "tpu")
        assert text == "unknown device 'tpu'; allowed: auto, cpu, cuda, mps"

    def test_an_absent_device(
        self, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        text = refusal(tiny_folders["llama"], "cuda")
        assert text == "device cuda is not available here; available: cpu"
        assert load_receiver(str(tiny_folders["llama"]), "auto").device.type == "cpu"

    def test_an_unknown_dtype(self, tiny_folders: dict[str, Path]) -> None:
        text = refusal(tiny_folders["llama"], "cpu", "int8")
        assert text == "unknown dtype 'int8'; allowed: auto, float32, bfloat16, float16"

    def test_pickled_weights(self, folder: Path) -> None:
        torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
        (folder / WEIGHTS).unlink()
        assert "safetensors" in refusal(folder)

    def test_truncated_weights(self, folder: Path) -> None:
        whole = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
        assert "cannot be loaded" in refusal(folder)

    def test_a_missing_tensor_is_not_made_up(self, folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        assert "missing (model.layers.1.mlp.up_proj.weight)" in refusal(folder)

    def test_a_tensor_of_another_shape_is_not_made_up(self, folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        weights["model.norm.weight"] = torch.ones(31)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        assert "cannot be loaded" in refusal(folder)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model_type": "no-such-kind"}'])
    def test_a_config_that_is_none(self, folder: Path, text: str) -> None:
        (folder / "config.json").write_text(text)
        assert "cannot be loaded" in refusal(folder)

    def test_a_folder_without_a_tokenizer(self, folder: Path) -> None:
        for file in folder.glob("tokenizer*"):
            file.unlink()
        assert "cannot be loaded" in refusal(folder)

    def test_a_model_that_is_no_language_model(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "vit", "architectures": ["ViTModel"]}
        (folder / "config.json").write_text(json.dumps(config))
        assert "cannot be loaded" in refusal(folder)


def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face is not asked."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", asked)


def answering(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """Hugging Face answers so."""

    def answer(*_: object, **__: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", answer)


class TestHub:
    @pytest.fixture
    def cached(
        self, tiny_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> str:
        """A model of the Hub's, in two revisions, in a cache of its own."""
        place = tmp_path / "models--org--tiny-llama"
        (place / "refs").mkdir(parents=True)
        for name, revision in (("main", "a" * 40), ("old", "b" * 40)):
            (place / "refs" / name).write_text(revision)
            shutil.copytree(tiny_folders["llama"], place / "snapshots" / revision)
        config = place / "snapshots" / ("b" * 40) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.5}))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        return "org/tiny-llama"

    def test_a_revision_is_the_one_that_was_asked_for(self, cached: str) -> None:
        new, old = load_receiver(cached, "cpu"), load_receiver(f"{cached}@old", "cpu")
        assert new.model.config.rms_norm_eps != old.model.config.rms_norm_eps == 0.5
        by_commit = f"{cached}@{'b' * 40}"
        assert load_receiver(by_commit, "cpu").facts == {**old.facts, "name": by_commit}
        assert "revision 'none' of it is not in the cache" in refusal(f"{cached}@none")
        assert (new.facts["revision"], old.facts["revision"]) == ("a" * 40, "b" * 40)

    def test_what_is_cached_is_read_without_a_network(
        self, cached: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, OSError("no network"))
        assert load_receiver(cached, "cpu").layers == 3

    def test_a_misspelt_id_that_is_cached(
        self, cached: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, OSError("no network"))
        text = refusal("org/tiny-lama")
        assert "not in the cache, and Hugging Face cannot be reached; did you mean" in text
        assert f"'{cached}'?" in text

    def test_a_network_that_never_answers_is_waited_for_for_a_moment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, None)
        monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: time.sleep(60))
        monkeypatch.setattr("lpca.receivers.sources.SECONDS", 0.1)
        assert "cannot be reached" in refusal("nobody/nothing")

    @pytest.mark.parametrize(
        ("kind", "why"),
        [
            (RepositoryNotFoundError, "Hugging Face has no such model"),
            (RevisionNotFoundError, "Hugging Face has no revision 'v9' of it"),
        ],
    )
    def test_what_the_hub_has_not(
        self, kind: type[HfHubHTTPError], why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, kind("404", response=SimpleNamespace(headers={}, request=None)))
        assert why in refusal("org/name@v9")


class TestAttentionAndDevices:
    def test_attention_is_computed_as_asked_for(self, tiny_folders: dict[str, Path]) -> None:
        for attn in ("eager", "sdpa"):
            receiver = load_receiver(str(tiny_folders["llama"]), "cpu", attn=attn)
            assert receiver.attn == receiver.facts["attn"] == attn

    def test_a_receiver_that_accelerate_placed_is_the_same(
        self, tiny_folders: dict[str, Path], llama: Receiver
    ) -> None:
        pytest.importorskip("accelerate")
        placed = load_receiver(str(tiny_folders["llama"]), "cpu", device_map="auto")
        assert placed.facts["device_map"] == "auto"
        assert placed.weights_hash == llama.weights_hash
        slots = [Slot(vectors=torch.ones(2, 32))]
        logits = [read_context(one, [[5, 6]]).read(slots, [[7]]).logits for one in (placed, llama)]
        assert torch.equal(*logits)

    def test_layers_that_accelerate_dispatched_compute_the_same(
        self, fresh_llama: Receiver, llama: Receiver
    ) -> None:
        accelerate = pytest.importorskip("accelerate")
        parts = {"model.embed_tokens": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
        layers = {f"model.layers.{i}": "cpu" for i in range(3)}
        parts |= layers | {"model.rotary_emb": "cpu"}
        accelerate.dispatch_model(fresh_llama.model, parts, force_hooks=True)
        slots = [Slot(vectors=torch.ones(2, 32))]
        logits = [
            read_context(one, [[5, 6]]).read(slots, [[7]]).logits for one in (fresh_llama, llama)
        ]
        assert torch.equal(*logits)
        assert fresh_llama.state_hash() == fresh_llama.state_hash() != llama.state_hash()


def test_two_tiny_models_of_one_seed_are_one(tmp_path: Path, llama: Receiver) -> None:
    again = load_receiver(str(save_tiny(tmp_path / "again")), "cpu")
    other = load_receiver(str(save_tiny(tmp_path / "other", seed=1)), "cpu")
    assert again.weights_hash == llama.weights_hash != other.weights_hash
    assert again.state_hash() == llama.state_hash() != other.state_hash()


def test_the_cache_is_called_as_the_model_calls_it() -> None:
    """transformers renames it, and warns of the old name from 5.24 on."""

    def before(input_ids: object, past_key_values: object = None) -> None:
        pass

    def since(input_ids: object, cache: object = None, **more: object) -> None:
        pass

    assert [cache_argument(one) for one in (before, since)] == ["past_key_values", "cache"]

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lpca.base.hashing import hash_file
from lpca.codec import checkpoint
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.base import CodecError
from lpca.codec.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Identity,
    identify,
    load_codec,
    read_identity,
    read_manifest,
    save_checkpoint,
)
from lpca.codec.recipe import STATIC_PREFIX, Recipe, Stage
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

K = 2
FACTS = {"history": [{"step": 1, "loss": 2.5, "gap": None}], "trained": {"seconds": 1.5}}
MESSAGES = ["I am off to Rome.", "Hi."]


@pytest.fixture
def identity(llama: Receiver) -> Identity:
    return identify(llama, Trip(), K, 0, Recipe())


@pytest.fixture
def codec(llama: Receiver) -> TokenPooler:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = TokenPooler(llama, K)
        torch.nn.init.normal_(made.residual.weight)
    return made


@pytest.fixture
def folder(tmp_path: Path, codec: TokenPooler, identity: Identity) -> Path:
    path = tmp_path / "store" / "codec"
    save_checkpoint(path, codec, identity, FACTS)
    return path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights and make the manifest fit them."""
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)
    edit(folder, lambda m: m.update(weights_sha256=hash_file(folder / WEIGHTS)))


def test_a_round_trip_gives_the_same_codec(
    folder: Path, codec: TokenPooler, identity: Identity, llama: Receiver
) -> None:
    loaded = load_codec(folder, llama, K)
    for name, value in codec.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    with torch.no_grad():
        assert torch.equal(loaded.encode(MESSAGES), codec.encode(MESSAGES))
    assert read_identity(folder) == identity
    assert read_identity(folder).hash() == identity.hash()
    assert FACTS.items() <= read_manifest(folder).items()


def test_it_holds_a_manifest_and_safetensors_and_nothing_else(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == sorted([MANIFEST, WEIGHTS])
    assert [file.name for file in folder.parent.iterdir()] == [folder.name]


def test_saving_over_a_checkpoint_replaces_it_whole(
    folder: Path, codec: TokenPooler, identity: Identity, llama: Receiver
) -> None:
    (folder / "stray").write_text("")
    with torch.no_grad():
        codec.log_scale.fill_(0.5)
    save_checkpoint(folder, codec, replace(identity, seed=1), FACTS)
    assert read_identity(folder).seed == 1
    assert load_codec(folder, llama, K).log_scale.item() == 0.5
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, MANIFEST, "stray"}


@pytest.mark.parametrize("stop", ["read", "write_json", "rename", None])
def test_a_kill_between_the_steps_of_saving_leaves_one_of_the_two(
    folder: Path,
    codec: TokenPooler,
    identity: Identity,
    llama: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    stop: str | None,
) -> None:
    """A process that is killed does not clear up; who reads before the next run has one too."""
    with torch.no_grad():
        codec.log_scale.fill_(0.5)

    class Killed(BaseException): ...

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "settle", kill)
        if stop is not None:
            patch.setattr(checkpoint, {"read": "hash_file"}.get(stop, stop), kill)
        with suppress(Killed):
            save_checkpoint(folder, codec, replace(identity, seed=1), FACTS)
    new = stop in ("rename", None)
    for _ in range(2):
        assert read_identity(folder).seed == int(new)
        assert (load_codec(folder, llama, K).log_scale.item() == 0.5) is new
        checkpoint.settle(folder)
        assert {path.name for path in folder.iterdir()} == {WEIGHTS, MANIFEST}


@pytest.mark.parametrize("broken", ["save_file", "write_json"])
@pytest.mark.parametrize("there", [False, True])
def test_interrupted_saving_leaves_what_was_there(
    tmp_path: Path,
    codec: TokenPooler,
    identity: Identity,
    llama: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    there: bool,
) -> None:
    path = tmp_path / "store" / "codec"
    if there:
        save_checkpoint(path, codec, identity, FACTS)

    def interrupt(*args: Any, **_: Any) -> None:
        if broken == "save_file":  # write_json itself leaves no half of anything
            next(a for a in args if isinstance(a, Path)).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, broken, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, codec, replace(identity, seed=1), FACTS)
    assert [file.name for file in path.parent.iterdir()] == (["codec"] if there else [])
    if there:
        assert read_identity(path) == identity
        load_codec(path, llama, K)


class TestIdentity:
    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("k", {"k": 3}),
            ("architecture", {"recipe": Recipe(STATIC_PREFIX)}),
            ("seed", {"seed": 1}),
            ("task", {"task": Trip(5)}),
            ("curriculum", {"recipe": Recipe(stages=(Stage(7),))}),
        ],
    )
    def test_each_argument_is_named_where_it_differs(
        self, llama: Receiver, identity: Identity, field: str, change: dict[str, Any]
    ) -> None:
        arguments = {
            "task": Trip(),
            "k": K,
            "seed": 0,
            "recipe": Recipe(),
        } | change
        other = identify(llama, **arguments)
        # Another seed draws other training episodes: the data differ too.
        # Another architecture has code of its own.
        wanted = {field} | {"seed": {"task"}, "architecture": {"code"}}.get(field, set())
        assert {m.split(" is ")[0] for m in identity.mismatches(other)} == wanted
        assert other.hash() != identity.hash()

    def test_another_receiver_is_named(
        self, tiny_receivers: dict[str, Receiver], identity: Identity
    ) -> None:
        other = identify(tiny_receivers["qwen2"], Trip(), K, 0, Recipe())
        [mismatch] = identity.mismatches(other)
        assert mismatch.startswith(f"receiver is {other.receiver[:12]}, wanted ")

    def test_other_code_is_named(
        self, llama: Receiver, identity: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoint, "training_code", lambda recipe, task: "0" * 64)
        other = identify(llama, Trip(), K, 0, Recipe())
        [mismatch] = identity.mismatches(other)
        assert mismatch.startswith("code is ")

    def test_the_words_are_plain(self, identity: Identity) -> None:
        assert identity.mismatches(replace(identity, k=7)) == [f"k is 7, wanted {K}"]
        assert identity.mismatches(replace(identity, k=7), ignoring=("k",)) == []
        assert identity.mismatches(identity) == []


def truncated(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-100])


def truncated_with_its_hash(folder: Path) -> None:
    truncated(folder)
    edit(folder, lambda m: m.update(weights_sha256=hash_file(folder / WEIGHTS)))


def one_bit(folder: Path) -> None:
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(raw)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    edit(folder, lambda m: m.update(weights_sha256=hash_file(folder / WEIGHTS)))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("something was unpickled",)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights truncated": (truncated, "not the ones manifest.json names"),
    "weights truncated, manifest adapted": (truncated_with_its_hash, "cannot be loaded"),
    "one bit changed": (one_bit, "not the ones manifest.json names"),
    "weights are a pickle": (pickled, "cannot be loaded"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "cannot be loaded"),
    "NaN": (lambda f: rewrite(f, lambda s: s["queries"].fill_(torch.nan)), "NaN or infinity"),
    "infinity": (
        lambda f: rewrite(f, lambda s: s["queries"].fill_(torch.inf)),
        "NaN or infinity",
    ),
    "another shape": (
        lambda f: rewrite(f, lambda s: s.update(queries=torch.zeros(7, 256))),
        "cannot be loaded: .*queries",
    ),
    "a tensor is missing": (
        lambda f: rewrite(f, lambda s: s.pop("queries")),
        "cannot be loaded: .*queries",
    ),
    "a tensor too many": (
        lambda f: rewrite(f, lambda s: s.update(extra=torch.zeros(1))),
        "cannot be loaded: .*extra",
    ),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "no readable manifest.json"),
    "manifest is no JSON": (
        lambda f: (f / MANIFEST).write_text('{"format": 1,'),
        "no readable manifest.json",
    ),
    "manifest is binary": (
        lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe\x00"),
        "no readable manifest.json",
    ),
    "manifest is a list": (lambda f: (f / MANIFEST).write_text("[1]"), "not a checkpoint manifest"),
    "manifest of another format": (
        lambda f: edit(f, lambda m: m.update(format=1)),
        "not a checkpoint manifest of format 3",
    ),
    "no identity": (lambda f: edit(f, lambda m: m.pop("identity")), "identity is incomplete"),
    "identity lacks a field": (
        lambda f: edit(f, lambda m: m["identity"].pop("task")),
        "identity is incomplete: .*task",
    ),
    "identity is a list": (lambda f: edit(f, lambda m: m.update(identity=[1])), "incomplete"),
    "identity without a seed": (
        lambda f: edit(f, lambda m: m["identity"].update(seed=None)),
        "no seed or no recipe",
    ),
    "another architecture": (
        lambda f: edit(f, lambda m: m["identity"]["recipe"].update(architecture="Perceiver")),
        "architecture 'Perceiver' is unknown; allowed: static_prefix, pooled_mlp",
    ),
    "no folder": (shutil.rmtree, "no readable manifest.json"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_cannot_be_trusted_is_refused_in_one_line(
    folder: Path, llama: Receiver, what: str
) -> None:
    spoil, complaint = SPOILT[what]
    spoil(folder)
    with pytest.raises(CodecError, match=complaint) as caught:
        load_codec(folder, llama, read_identity(folder).k)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_manifest_swapped_with_another_checkpoints(
    folder: Path, codec: TokenPooler, identity: Identity, llama: Receiver, tmp_path: Path
) -> None:
    with torch.no_grad():
        codec.log_scale.fill_(0.5)
    save_checkpoint(tmp_path / "other", codec, replace(identity, seed=1), FACTS)
    shutil.copy(tmp_path / "other" / MANIFEST, folder / MANIFEST)
    with pytest.raises(CodecError, match="its bytes are not the ones"):
        load_codec(folder, llama, K)


def test_another_k_or_receiver_width_does_not_load(folder: Path, llama: Receiver) -> None:
    with pytest.raises(CodecError, match=r"cannot be loaded: .*queries"):
        load_codec(folder, llama, K + 1)

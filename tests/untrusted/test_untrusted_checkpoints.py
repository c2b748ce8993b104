"""A checkpoint that somebody hands over is taken, or refused in one line; nothing is lost."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from safetensors.torch import load_file, save_file

from lpca.base.errors import RequestError
from lpca.base.files import StorageError, write_file
from lpca.base.hashing import hash_file
from lpca.codec import store
from lpca.codec.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Identity,
    load_codec,
    read_identity,
    save_checkpoint,
)
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.store import Request, obtain_codec
from lpca.commands.cli import main
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

RECIPE = Recipe(stages=(Stage(4),), batch_size=2, warmup_steps=2, validation_every=3)
ROOT = Path(__file__).parents[2]


def ask(receiver: Receiver, cache: Path, told: list[str] | None = None, **changes: Any) -> Any:
    request = Request(**{"k": 2, "seed": 0, "recipe": RECIPE, **changes})
    tell = (told if told is not None else []).append
    return obtain_codec(receiver, Trip(), request, cache, lambda _: None, tell)


@pytest.fixture(scope="module")
def trained(tiny_receivers: dict[str, Receiver], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, to be copied."""
    cache = tmp_path_factory.mktemp("trained")
    ask(tiny_receivers["llama"], cache)
    (folder,) = [path for path in (cache / "codecs").iterdir() if path.is_dir()]
    return folder


@pytest.fixture
def given(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "given"))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("something was unpickled",)


def edit(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def identity(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, identity=manifest["identity"] | changes)


def recipe(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    identity(folder, recipe=manifest["identity"]["recipe"] | changes)


def elsewhere(folder: Path) -> None:
    """Name the weights by a path out of the folder, where they are whole."""
    (folder / WEIGHTS).replace(folder.parent / "outside.safetensors")
    edit(folder, weights="../outside.safetensors", weights_file="../outside.safetensors")


def eight_bits(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["queries"] = state["queries"].to(torch.float8_e4m3fn)
    state["queries"].view(torch.uint8)[0, 0] = 0x7F
    save_file(state, folder / WEIGHTS)
    edit(folder, weights_sha256=hash_file(folder / WEIGHTS))


def pickles(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    for name in ("pytorch_model.bin", "codec.pt", "codec.pkl", "codec.npy", WEIGHTS):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    edit(folder, weights_sha256=hash_file(folder / WEIGHTS))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a path out of the folder": (elsewhere, "cannot be loaded"),
    "pickles": (pickles, "cannot be loaded"),
    "NaN in eight bits": (eight_bits, "NaN or infinity"),
    "a manifest nested deeply": (
        lambda f: (f / MANIFEST).write_text("[" * 100_000),
        "nested too deeply",
    ),
    "NaN in the manifest": (lambda f: edit(f, history=[float("nan")]), "not finite"),
    "a number beyond all bounds": (
        lambda f: (f / MANIFEST).write_text('{"format": 1e999}'),
        "1e999 is not finite",
    ),
    "an architecture that is a list": (lambda f: recipe(f, architecture=[]), "is unknown"),
    "a rate beyond all bounds": (lambda f: recipe(f, learning_rate=10**400), "learning_rate is"),
    "a key of its own": (lambda f: identity(f, path="../../x"), "identity is incomplete"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line(given: Path, llama: Receiver, tmp_path: Path, what: str) -> None:
    spoil, says = REFUSED[what]
    spoil(given)
    with pytest.raises(RequestError, match=says) as caught:
        ask(llama, tmp_path / "cache", checkpoint=given)
    assert str(given) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_weight_link_to_any_other_file_is_refused(
    given: Path, llama: Receiver, tmp_path: Path
) -> None:
    (given / WEIGHTS).unlink()
    (given / WEIGHTS).symlink_to("/etc/passwd")
    with pytest.raises(RequestError, match="not the ones"):
        ask(llama, tmp_path / "cache", checkpoint=given)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Interrupt:
    """Ctrl-C before the n-th line of some functions; `lines` counts them."""

    def __init__(self, names: set[str], at: int) -> None:
        self.names, self.at, self.lines = names, at, 0

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        if frame.f_code.co_name not in self.names or "lpca" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_of_saving_leaves_a_whole_checkpoint(
    given: Path, llama: Receiver
) -> None:
    found = read_identity(given)
    codec = load_codec(given, llama, 2)
    other = Identity(**{**vars(found), "seed": 1})
    names, at, seeds = {"save_checkpoint", "settle"}, 0, list[int]()
    while True:
        at += 1
        interrupt = Interrupt(names, at)
        sys.settrace(interrupt)
        try:
            save_checkpoint(given, codec, other, {})
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        load_codec(given, llama, 2)
        assert [path.name for path in given.parent.iterdir()] == [given.name]
        seeds.append(read_identity(given).seed)
        if interrupt.lines < at:
            break
        save_checkpoint(given, codec, found, {})
    assert {*seeds} == {0, 1}
    assert at > 7


def test_a_full_disk_ends_saving_in_one_line_and_keeps_what_was_there(given: Path) -> None:
    before = files_of(given)
    code = (
        "import resource, sys; from pathlib import Path; import torch\n"
        "from lpca.codec.checkpoint import read_identity, save_checkpoint\n"
        "from lpca.base.files import StorageError\n"
        "class Codec:\n"
        "    def state_dict(self): return {'queries': torch.zeros(9999)}\n"
        "folder = Path(sys.argv[1]); found = read_identity(folder)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: save_checkpoint(folder, Codec(), found, {})\n"
        "except StorageError as error: print(error)\n"
    )
    run = warm.run(
        [sys.executable, "-c", code, str(given)], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in run.stdout
    assert "name another folder" in run.stdout
    assert run.stdout.count("\n") == 1
    assert files_of(given) == before
    assert [path.name for path in given.parent.iterdir()] == [given.name]


def test_an_unwritable_place_is_one_line(given: Path, llama: Receiver, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    codec = load_codec(given, llama, 2)
    with pytest.raises(StorageError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "codec", codec, read_identity(given), {})


def test_a_snapshot_of_another_training_is_not_taken_up(
    llama: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SNAPSHOT_EVERY", 2)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            ask(llama, tmp_path, seed=1)
        (foreign,) = (tmp_path / "codecs").glob("*.snapshot")
        swapped = foreign.read_bytes()
        foreign.unlink()
        with pytest.raises(KeyboardInterrupt):
            ask(llama, tmp_path)
    (own,) = (tmp_path / "codecs").glob("*.snapshot")
    own.write_bytes(swapped)
    told: list[str] = []
    again = ask(llama, tmp_path, told)
    assert "written as" in " ".join(told)
    assert again.facts["trained"]["resumed_at_step"] == 0


class TestOut:
    """`lpca train --out FOLDER` replaces a checkpoint, and nothing else."""

    @pytest.fixture(autouse=True)
    def at_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)

    @pytest.mark.parametrize("kind", ["folder", "file", "link"])
    def test_what_is_no_checkpoint_is_kept(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
    ) -> None:
        out = tmp_path / "out"
        if kind == "folder":
            out.mkdir()
            (out / "thesis.txt").write_text("years of work")
        elif kind == "file":
            out.write_text("years of work")
        else:
            out.symlink_to("nowhere")
        assert main(["train", "--receiver", "stub", "--out", str(out)]) == 4
        said = capsys.readouterr().err
        assert said.startswith(f"--out {out}: something else is there; allowed:")
        assert said.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert os.path.lexists(out)
        if kind == "folder":
            assert (out / "thesis.txt").read_text() == "years of work"

    @pytest.mark.parametrize("seed", ["-1", str(2**63), "9" * 100])
    def test_a_seed_that_no_generator_takes_is_a_usage_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: str
    ) -> None:
        out = tmp_path / "out"
        assert main(["train", "--receiver", "stub", "--seed", seed, "--out", str(out)]) == 4
        assert "--seed" in capsys.readouterr().err
        assert not out.exists()


def test_a_process_killed_while_it_writes_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    code = (
        "import os, signal, sys; from pathlib import Path; from lpca.base.files import write_file\n"
        "def half(part):\n"
        "    part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(Path(sys.argv[1]), half)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)])
    assert run.returncode < 0
    assert path.read_text() == "before"
    write_file(path, lambda part: part.write_text("after"))
    assert path.read_text() == "after"

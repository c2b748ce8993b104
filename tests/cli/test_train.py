from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lpca.codec.training import Training
from lpca.commands.cli import main

SPEC = Path(__file__).parents[2] / "gate_specs.yaml"
RECIPE = """
architecture: {name: vector_quantised, codebook: 8}
curriculum:
  - {steps: 1, objective: {message_reconstruction: 1}}
  - {steps: 1, objective: {answer: 1, info_nce: 0.5}}
batch_size: 3
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))


def train(tmp_path: Path, *arguments: str, recipe: str = RECIPE) -> int:
    (tmp_path / "recipe.yaml").write_text(recipe)
    common = ["--spec", str(SPEC), "--receiver", "stub", "--k", "2", "--device", "cpu"]
    out = ["--out", str(tmp_path / "out")]
    return main(["train", *common, *out, "--recipe", str(tmp_path / "recipe.yaml"), *arguments])


def test_a_recipes_codec_is_trained_and_kept_with_it(tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    recipe = manifest["identity"]["recipe"]
    assert recipe["architecture"] == {"name": "vector_quantised", "codebook": 8}
    assert [set(step["objectives"]) for step in manifest["history"]] == [
        {"message_reconstruction", "auxiliary"},
        {"answer", "info_nce", "auxiliary"},
    ]
    weights = load_file(tmp_path / "out" / "codec.safetensors")
    assert weights["quantiser.layers.0._codebook.embed"].shape[1] == 8


@pytest.mark.parametrize(
    ("recipe", "arguments", "complaint"),
    [
        ("steps: 3\nobjective: {anser: 1}\n", [], "recipe.yaml:2:20: recipe: objective 'anser'"),
        ("steps: -3\n", [], "recipe.yaml:1:8: recipe: steps is -3; allowed"),
        ("", [], "recipe.yaml:1:1: the file is empty"),
        (RECIPE, ["--architecture", "static_prefix"], "--architecture and --recipe: both given"),
        (RECIPE, ["--recipe", "/nowhere.yaml"], "/nowhere.yaml:1:1: there is no such file"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_anything_is_loaded(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recipe: str,
    arguments: list[str],
    complaint: str,
) -> None:
    assert train(tmp_path, *arguments, recipe=recipe) == 4
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_found_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    where = tmp_path / "file" / "out"
    assert train(tmp_path, "--out", str(where)) == 8
    said = capsys.readouterr().err
    assert said == f"{where}: cannot be written: Not a directory; name another folder\n"
    assert not (tmp_path / "cache").exists()


def test_a_codec_that_is_trained_and_could_not_be_written_is_not_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_at(tmp_path / "out", Path.replace))
        assert train(tmp_path) == 8
    assert f"No space left on device; {ADVICE}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(Training, "run", None)
    assert train(tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "codec.safetensors",
        "manifest.json",
    ]


ADVICE = "free some space, or name another folder"


def full_at(folder: Path, replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """A `Path.replace` that finds no space in a folder."""

    def replaced(path: Path, target: Path) -> Path:
        if Path(target).is_relative_to(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    return replaced

"""What keeps a run from being measured is said once, and early."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from gate_project import BASE, MAIN

from lpca.base import PACKAGE

WRONG = """
class Wrong:
    trained_on = ()

    def encode(self, messages):
        raise ValueError("no weights here")

    def decode(self, latents):
        return latents


def make(receiver, k):
    return Wrong()
"""


@pytest.fixture
def codec(project):
    (project.path / "my_codec.py").write_text(WRONG)
    return project


def lines(result):
    text = result.stdout.str() + result.stderr.str()
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--codec", "my_codek:make"), "there is no module my_codek; did you mean 'my_codec'?"),
        (("--codec", "my_codec:mak"), "it has no 'mak'; did you mean 'make'?"),
        (("--receiver", "./no-such-model"), "no folder with a config.json is there"),
        (("--receiver", "stubb"), "did you mean 'stub'?"),
        (("--device", "mps"), "--device mps: not available here; available: cpu"),
        (("-m", "bass"), "no gate 'bass'; did you mean 'base'? gates of gate_specs.yaml: base"),
        (("-m", "base or not gate9"), "no gate 'gate9'; gates of gate_specs.yaml: base, main"),
    ],
)
def test_what_is_not_there_is_one_message_before_anything_begins(
    codec, arguments, message, workers, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = codec.run(*arguments, *workers)
    assert result.ret == 4
    told = lines(result)
    assert len(told) <= 3, told
    assert message in " ".join(told)
    assert not (codec.path / ".lpca").exists()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_k_that_a_gate_does_not_declare_is_one_message(codec, workers):
    codec.write(BASE + MAIN.replace("requires:", "k: [4, 8]\n    requires:"))
    result = codec.run("--k", "5", *workers, in_process=not workers)
    assert result.ret == 4
    (told,) = [line for line in lines(result) if "gate main does not" in line]
    assert told.endswith("ERROR: --k 5: gate main does not declare it; allowed: 4, 8")
    assert not (codec.path / ".lpca").exists()
    assert codec.run("--k", "5", "-m", "base", "--collect-only").ret == 0


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_codec_that_fails_is_the_error_of_one_test(codec, workers):
    result = codec.run("-m", "main", "--codec", "my_codec:make", *workers, in_process=not workers)
    sys.modules.pop("my_codec", None)
    assert result.ret == 4
    outcomes = result.parseoutcomes()
    assert outcomes["errors"] == 1
    assert set(outcomes) - {"deselected"} == {"errors", "skipped"}
    result.stdout.fnmatch_lines(
        ["main k=4: NOT MEASURED", "*encode raised ValueError: no weights*"]
    )


def test_an_episode_that_is_too_long_is_found_before_a_gate_that_could_be_measured(project):
    long = MAIN.replace("answers: seen", "answers: all")
    project.write(BASE + long)
    (project.path / "gates" / "conftest.py").write_text(
        "import pytest\nfrom lpca.base.errors import RequestError\n"
        "from lpca.gate import runner\n\n\n"
        "@pytest.fixture(autouse=True)\n"
        "def refusing(monkeypatch):\n"
        "    def refuse(receiver, episodes, k, tell):\n"
        "        if k:\n"
        "            raise RequestError('an episode takes 900 positions')\n\n"
        "    monkeypatch.setattr(runner, 'prove_for', refuse)\n"
    )
    result = project.run()
    assert result.ret == 4
    assert result.parseoutcomes().keys() == {"errors", "skipped"}
    assert result.parseoutcomes()["errors"] == 1
    result.stdout.fnmatch_lines(["base: NOT MEASURED", "*900 positions*"])


def test_an_episode_that_is_too_long_is_found_before_the_receiver_is_loaded(project, tmp_path):
    model = tmp_path / "short"
    shutil.copytree(PACKAGE / "receivers" / "stub", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 12}))
    (model / "model.safetensors").write_bytes(b"none of them is read")
    result = project.run("--receiver", str(model))
    assert result.ret == 4
    assert result.parseoutcomes()["errors"] == 1
    result.stdout.fnmatch_lines(["*an episode takes * positions*allowed: at most 12;*"])


def test_an_interrupted_run_says_what_is_kept_and_how_to_go_on(project):
    (project.path / "gates" / "test_own.py").write_text(
        "def test_own():\n    raise KeyboardInterrupt\n"
    )
    result = project.run("-k", "test_own", in_process=False)
    assert result.ret == 2
    told = " ".join(result.stdout.str().split())
    assert "Kept are the evidence of gates that were done (" in told
    assert "The same command goes on from there" in told

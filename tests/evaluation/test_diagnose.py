from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify, save_checkpoint
from lpca.codec.recipe import Recipe
from lpca.commands.cli import main
from lpca.commands.diagnose import parse_scales
from lpca.diagnose.sweeps import scale_sweep
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.gate.plan import task_of
from lpca.gatespec.load import load_spec
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import split_of
from lpca.tasks.kinds.trip import Trip

K, N = 2, 12
SPEC = str(Path(__file__).parents[2] / "gate_specs.yaml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix that never saw a message, and was never trained, for the stub."""
    receiver, task = load_receiver("stub", "cpu"), task_of(load_spec(SPEC))
    folder = tmp_path_factory.mktemp("codec") / "untrained"
    codec = StaticPrefix(receiver, K)
    identity = identify(receiver, task, K, 0, Recipe().control())
    save_checkpoint(folder, codec, identity, {"history": []})
    return folder


def successes(numbers: dict[str, Any]) -> int:
    return int(numbers["successes"])


def test_at_scale_one_and_zero_it_is_what_a_gate_measures(llama: Receiver, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channel = Channel(llama, TokenPooler(llama, K), K)
    episodes = Trip().evaluation_set("validation", "seen", N, 0)
    sweep = scale_sweep(channel, episodes, [0.0, 1.0, 3.0], batch_size=5)
    gate = evaluate(
        Setting(llama, channel, episodes), ["p0", "p1", "normal", "null", "shuffle"], tmp_path
    ).outcomes
    wanted = {
        "p0": sweep["references"]["p0"],
        "p1": sweep["references"]["p1"],
        "normal": sweep["scales"][1]["normal"],
        "shuffle": sweep["scales"][1]["shuffle"],
        "null": sweep["scales"][0]["normal"],
    }
    for name, numbers in wanted.items():
        records = gate[name]
        assert successes(numbers) == sum(one.likelihood_success for one in records)
        likelihoods = [one.scores[one.answer] for one in records]
        assert numbers["nll"] == pytest.approx(-sum(likelihoods) / N, abs=1e-4)
    assert sweep["scales"][0]["normal"] == sweep["scales"][0]["shuffle"]
    assert sweep["scales"][2]["normal"]["nll"] != sweep["scales"][1]["normal"]["nll"]


def test_the_command_reads_validation_episodes_and_writes_numbers_and_picture(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def spying(channel: Channel, episodes: Any, *rest: Any, **named: Any) -> dict[str, Any]:
        seen.extend(episode.seed for episode in episodes)
        return scale_sweep(channel, episodes, *rest, **named)

    monkeypatch.setattr("lpca.diagnose.sweeps.scale_sweep", spying)
    out = tmp_path / "out"
    command = ["diagnose", str(checkpoint), "--spec", SPEC, "--receiver", "stub"]
    assert main([*command, "--n", str(N), "--scales", "1,0", "--out", str(out)]) == 0
    assert len(seen) == N
    assert {split_of(seed) for seed in seen} == {"validation"}
    written = json.loads((out / "untrained-scales.json").read_text())
    assert [one["scale"] for one in written["scales"]] == [0.0, 1.0]
    assert written["n"] == N
    assert written["split"] == "validation"
    assert (out / "untrained-scales.svg").read_bytes().startswith(b"<?xml")
    printed = capsys.readouterr().out
    assert "fresh test episodes decide" in printed
    rate = successes(written["scales"][1]["normal"]) / N
    assert f"{rate:.1%}" in next(line for line in printed.splitlines() if line.startswith("x 1"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scales", "a,b"], "--scales a,b: not a list of scales"),
        (["--scales", "-1"], "not a list of scales"),
        (["--scales", "nan"], "not a list of scales"),
        (["--n", "0"], "--n 0: out of range"),
        (["--spec", "no.yaml"], "no.yaml"),
        (["--receiver", "/nowhere/at/all"], "no folder with a config.json"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["diagnose", str(checkpoint), "--spec", SPEC, "--receiver", "stub"]
    assert main([*command, *arguments]) == 4
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_folder_without_a_checkpoint_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(tmp_path), "--spec", SPEC, "--receiver", "stub"]) == 4
    assert f"checkpoint {tmp_path}" in capsys.readouterr().err


def test_scales_are_sorted_and_counted_once() -> None:
    assert parse_scales("1,0.5,1") == [0.5, 1.0]


OWN = """
import os, sys
import torch

class Own:
    def __init__(self, receiver, k):
        self.k, self.d_model = k, receiver.d_model
    def encode(self, messages):
        if "lpca.commands.diagnose" in sys.modules:
            raise RuntimeError("this is the judge's process")
        return torch.zeros(len(messages), self.k, 1)
    def decode(self, latents):
        open(SPEC)
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ((), "decode raised PermissionError: "),
        (("--in-process",), "encode raised RuntimeError: this is the judge's process (peeping.py"),
    ],
)
def test_a_codec_of_ones_own_runs_behind_the_wall(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / "peeping.py").write_text(f"SPEC = {SPEC!r}\n{OWN}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = ["diagnose", "--codec", "peeping:Own", "--spec", SPEC, "--receiver", "stub"]
    assert main([*command, "--n", str(N), "--codec-seconds", "60", *how]) == 4
    assert told in capsys.readouterr().err
    assert ("peeping" in sys.modules) is bool(how)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["folder", "--in-process"], "--in-process: allowed: beside --codec"),
        (["--codec", "a:B", "--codec-seconds", "0"], "--codec-seconds 0.0: allowed: seconds above"),
        (["--codec", "a:B", "--codec-memory", "-1"], "--codec-memory -1.0: allowed: GiB above 0"),
    ],
)
def test_how_a_codec_runs_is_checked(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", *arguments, "--spec", SPEC]) == 4
    assert told in capsys.readouterr().err

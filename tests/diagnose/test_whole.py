from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from known_codecs import K, N

from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify, save_checkpoint
from lpca.codec.recipe import Recipe
from lpca.commands.cli import main
from lpca.diagnose import sentences as reading
from lpca.diagnose.episodes import Outcomes
from lpca.diagnose.sweeps import scale_sweep
from lpca.diagnose.whole import Diagnosed, diagnose
from lpca.gate.plan import task_of
from lpca.gatespec.load import load_spec
from lpca.receivers.model import Receiver
from lpca.tasks import split_of
from lpca.tasks.kinds.trip import Trip

ROOT = Path(__file__).parents[2]
SPEC = str(ROOT / "gate_specs.yaml")


def told(channel: Channel, probed: int = 100) -> tuple[dict[str, Any], list[str]]:
    outcomes = Outcomes(channel.receiver)
    subject = Diagnosed(channel, Trip(), "seen", 5, N, probed, 0.95, outcomes, oracle=(8, 40))
    sweep = scale_sweep(channel, subject.episodes, [0.0, 1.0], outcomes=outcomes)
    said: list[str] = []
    return diagnose(subject, sweep, lambda label: lambda done, total: None, said.append), said


def test_a_magic_prompt_is_called_one(static: Channel) -> None:
    found, said = told(static)
    first = found["reading"][0]
    assert first["text"].startswith("magic prompt: prefixes of different messages have cosine 1.00")
    assert found["parts"]["similarity"]["between"] == 1.0
    assert said == []
    assert found["failed"] == {}


def test_a_codec_that_works_is_not(trained: Channel) -> None:
    found, _ = told(trained)
    texts = [one["text"] for one in found["reading"]]
    assert not any("magic" in text for text in texts)
    assert any(text.startswith("the right message does better") for text in texts)
    assert any(text.startswith("latents tell messages apart") for text in texts)
    assert any(text.startswith("the receiver reads the message as text") for text in texts)


def test_different_prefixes_that_hold_nothing_are_no_magic_prompt_but_at_chance(
    noise: Channel,
) -> None:
    found, _ = told(noise)
    texts = [one["text"] for one in found["reading"]]
    assert not any("magic" in text for text in texts)
    assert any(text.startswith("latents do not tell messages apart") for text in texts)
    assert any(text.startswith("shuffle is as good as normal") for text in texts)


def magic(cosine: float = 0.99, low: float = -0.1, p: float = 0.5) -> bool:
    difference = {"difference": low + 0.1, "interval": [low, low + 0.2]}
    episodes = {
        "differences": {"normal - shuffle": difference, "p1 - p0": difference},
        "reversed": {"n": 4, "reversed": 0, "interval": [0.0, 0.5], "ties": 0, "by": {}},
    }
    probed = {"p": p, "interval": [0.4, 0.6], "chance": 0.25, "successes": 2, "n": 4}
    parts = {
        "similarity": {"between": cosine},
        "episodes": episodes,
        "probe": {**probed, "control": {"mean": 0.25}},
    }
    return "magic" in reading.sentences(parts)[0].text


def test_a_magic_prompt_needs_all_three_signs() -> None:
    assert magic()
    assert not magic(cosine=reading.ALIKE - 0.01)
    assert not magic(low=0.01)
    assert not magic(p=reading.PROBE_P)


def test_a_part_that_fails_is_told_and_the_others_go_on(trained: Channel) -> None:
    found, said = told(trained, probed=3)
    assert list(found["failed"]) == ["probe"]
    assert "a probe needs 5" in found["failed"]["probe"]
    assert said == [f"probe cannot be measured: {found['failed']['probe']}"]
    assert {"similarity", "episodes", "nearest", "norms", "noise", "scale", "oracle"} <= set(
        found["parts"]
    )


def test_the_nearest_tokens_stand_under_the_message_that_they_are_of() -> None:
    near = {"token": " Oslo", "cosine": 0.912}
    part = [{"message": f"A trip to {name}.", "latents": [[near], []]} for name in ("A", "B")]
    found = {"reading": [], "failed": {}, "parts": {"nearest": part}}
    title, *lines = list(reading.summary(found))[2:]
    assert title == "nearest tokens of each latent, with cosine"
    latents = ["    1: ' Oslo' 0.91", "    2: none: all zeros"]
    assert lines == ["  'A trip to A.'", *latents, "  'A trip to B.'", *latents]


def test_every_threshold_stands_on_the_page() -> None:
    page = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    for name in ("ALIKE", "PROBE_P", "SHORT", "LONG", "TOLD_NOISE", "ORACLE_PASSES"):
        assert f"{getattr(reading, name):g}" in page, name


def test_the_command_fills_a_folder_from_validation_episodes_only(
    stub: Receiver, static: Channel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = task_of(load_spec(SPEC))
    identity = identify(stub, task, K, 0, Recipe().control())
    save_checkpoint(tmp_path / "magic", static.codec, identity, {"history": []})  # type: ignore[arg-type]
    out = tmp_path / "out"
    command = ["diagnose", str(tmp_path / "magic"), "--spec", SPEC, "--receiver", "stub"]
    command += ["--n", "12", "--probe-n", "30", "--scales", "0,1,1.5", "--out", str(out)]
    assert main([*command, "--oracle", "--oracle-n", "4", "--oracle-steps", "3"]) == 0
    folder = out / "magic"
    names = {"similarity.svg", "reversals.svg", "noise.svg", "summary.txt", "diagnose.json"}
    assert {path.name for path in folder.iterdir()} == names
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "diagnose.json"
    written = json.loads((folder / "diagnose.json").read_text())
    parts = written["parts"]
    assert written["split"] == "validation"
    seeds = [
        one["seed"]
        for name in ("episodes", "nearest")
        for one in (parts["episodes"]["episodes"] if name == "episodes" else parts[name])
    ]
    assert {split_of(seed) for seed in seeds} == {"validation"}
    assert {"normal", "null", "shuffle", "random", "p0", "p1"} == set(
        parts["episodes"]["conditions"]
    )
    assert parts["oracle"]["steps"] == 3
    printed = capsys.readouterr().out
    assert (folder / "summary.txt").read_text() in printed
    assert "no sign that B reads one" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--oracle-steps", "0"], "--oracle-steps 0: out of range"),
        (["--oracle-n", "0"], "--oracle-n 0: out of range"),
        (["--probe-n", "99999"], "--probe-n 99999: out of range"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(tmp_path), *arguments]) == 4
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_codec_of_ones_own_is_looked_into(tmp_path, monkeypatch, capsys):
    (tmp_path / "cut_codec.py").write_text((ROOT / "examples" / "own_codec.py").read_text())
    monkeypatch.chdir(tmp_path)
    few = ["--n", "8", "--probe-n", "20", "--scales", "1", "--k", "2", "--out", "made"]
    asked = ["--codec", "cut_codec:Cut", "--receiver", "stub", "--device", "cpu", "--spec", SPEC]
    assert main(["diagnose", *asked, *few]) == 0
    assert "made/cut_codec-Cut/diagnose.json" in capsys.readouterr().out
    assert main(["diagnose", str(tmp_path), *asked, *few]) == 4
    assert main(["diagnose", *asked[2:], *few]) == 4
    shown = capsys.readouterr().err
    assert shown.count("allowed: either CHECKPOINT or --codec MODULE:FACTORY") == 2

"""One codec trained by several processes: the codec that one process trains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import warm
from safetensors.torch import load_file
from tiny import SHAPE, byte_tokenizer
from transformers import MambaConfig, MambaForCausalLM

from lpca.codec.checkpoint import WEIGHTS, read_manifest
from lpca.commands.cli import main
from lpca.receivers.data_parallel import DataParallelReceiver, load_among_processes
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

# as each of several processes has it: sums over another number of threads round otherwise
pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = Path(__file__).parents[2] / "gate_specs.yaml"
UNEVEN = "{batch_size: 5, steps: 12, warmup_steps: 2}"
COMPARING = """
architecture: {name: vector_quantised, codebook: 8}
curriculum:
  - {steps: 3, objective: {message_reconstruction: 1, similarity: 1}}
  - {steps: 5, objective: {answer: 1, info_nce: 0.5, kl: 1, help: 1}}
batch_size: 6
"""
READING = "{architecture: memory_tokens, objective: {answer: 1, mse: 1}, batch_size: 3, steps: 6}"


def arguments(folder: Path, recipe: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe)
    # a receiver of its own lies beside
    own = folder.parent / "receiver"
    name = str(own) if own.exists() else "stub"
    common = ["train", "--spec", str(SPEC), "--receiver", name, "--device", "cpu", "--k", "2"]
    return [*common, "--recipe", str(folder / "recipe.yaml"), "--out", str(folder / "out")]


def start(
    folder: Path, recipe: str, count: int, popen: type[subprocess.Popen[str]] = warm.Popen
) -> subprocess.Popen[str]:
    """`accelerate launch` starts GPUs' processes as this does; those of a CPU only this way."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return popen(
        [sys.executable, *launcher, "-m", "lpca", *arguments(folder, recipe)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "LPCA_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def together(folder: Path, recipe: str, count: int = 2) -> subprocess.CompletedProcess[str]:
    process = start(folder, recipe, count)
    said, complained = process.communicate(timeout=300)
    assert process.returncode == 0, complained
    return subprocess.CompletedProcess(process.args, 0, said, complained)


def alone(folder: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPCA_CACHE", str(folder / "cache"))
    assert main(arguments(folder, recipe)) == 0


def manifest(folder: Path) -> dict[str, Any]:
    return read_manifest(folder / "out")


def assert_same(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "out" / WEIGHTS) for folder in (one, other))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-6)
    histories = [manifest(folder)["history"] for folder in (one, other)]
    for mine, theirs in zip(*histories, strict=True):
        assert theirs["objectives"] == pytest.approx(mine["objectives"], abs=1e-5)
        assert theirs["gap"] == pytest.approx(mine["gap"], abs=1e-5)
    assert manifest(one)["identity"] == manifest(other)["identity"]


@pytest.mark.parametrize(
    ("recipe", "count"),
    [
        pytest.param(UNEVEN, 2, id="uneven"),
        pytest.param(UNEVEN, 3, id="three", marks=pytest.mark.slow),
        pytest.param(COMPARING, 2, id="comparing", marks=pytest.mark.slow),
        pytest.param(READING, 2, id="reading", marks=pytest.mark.slow),
    ],
)
def test_several_processes_train_the_codec_that_one_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, count: int
) -> None:
    alone(tmp_path / "alone", recipe, monkeypatch)
    done = together(tmp_path / "together", recipe, count)
    assert_same(tmp_path / "alone", tmp_path / "together")
    assert manifest(tmp_path / "together")["trained"]["processes"] == count
    assert manifest(tmp_path / "alone")["trained"]["processes"] == 1
    assert done.stdout.count("checkpoint written") == 1
    assert done.stderr.count("training codec k=2: 1 of") == 1


@pytest.mark.slow
def test_so_they_do_where_rows_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes share the rows; an odd one is read twice."""
    config = MambaConfig(**SHAPE, state_size=4, eos_token_id=0, initializer_range=0.3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MambaForCausalLM(config).save_pretrained(tmp_path / "receiver")
    byte_tokenizer().save_pretrained(tmp_path / "receiver")
    recipe = "{batch_size: 3, steps: 2, warmup_steps: 1}"
    alone(tmp_path / "alone", recipe, monkeypatch)
    done = together(tmp_path / "together", recipe)
    assert "is read row by row" in done.stderr + done.stdout
    assert_same(tmp_path / "alone", tmp_path / "together")


@pytest.mark.slow
def test_where_one_process_is_killed_all_go_on_from_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = "{batch_size: 4, steps: 150, validation_every: 50}"
    # started truly: a forked process is the server's child
    process = start(tmp_path / "together", recipe, 2, subprocess.Popen)
    codecs = tmp_path / "together" / "cache" / "codecs"
    while not list(codecs.glob("*.snapshot")):
        assert process.poll() is None
        time.sleep(0.05)
    psutil.Process(process.pid).children()[-1].send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "together" / "out").exists()
    together(tmp_path / "together", recipe)
    assert 10 <= manifest(tmp_path / "together")["trained"]["resumed_at_step"] < 150
    alone(tmp_path / "alone", recipe, monkeypatch)
    assert_same(tmp_path / "alone", tmp_path / "together")


def test_a_process_alone_loads_as_if_there_were_no_others(
    tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    name = str(tiny_folders["llama"])
    one, other = load_among_processes(name), load_receiver(name)
    assert type(one) is Receiver
    assert (one.dtype, one.device) == (other.dtype, other.device)
    assert one.state_hash() == other.state_hash()


@pytest.mark.parametrize(("index", "rows"), [(0, [0, 1]), (1, [2, 3]), (2, [4, 4])])
def test_each_process_computes_its_rows_only(llama: Receiver, index: int, rows: list[int]) -> None:
    state: Any = SimpleNamespace(num_processes=3, process_index=index, device=torch.device("cpu"))
    divided = DataParallelReceiver.of(llama, state)
    whole = torch.arange(10).view(5, 2)
    assert torch.equal(divided.own_rows(whole), whole[rows])


@pytest.mark.parametrize(
    ("here", "device", "complaint"),
    [
        ("2", "cuda", "2 processes on 0 GPUs; allowed: one for each, or --device cpu"),
        ("2", "mps", "--device mps in 2 processes; allowed: cpu, cuda"),
        ("1", "cpu", "1 of 2 processes are on this machine; allowed: all of them"),
    ],
)
def test_processes_without_a_device_or_machine_in_common_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    here: str,
    device: str,
    complaint: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": here}.items():
        monkeypatch.setenv(name, value)
    assert main([*arguments(tmp_path, "{steps: 1}"), "--device", device]) == 4
    assert capsys.readouterr().err == complaint + "\n"

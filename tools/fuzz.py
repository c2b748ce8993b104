"""Coverage-guided fuzzing of what a user hands over: `python tools/fuzz.py spec --seconds 300`.

Needs the extra `fuzz` (atheris). Every input must be read, or refused with the error its reader
documents; inputs that end otherwise are kept in the folder of `--failures`. Exit code 1 with any.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[1]
CHILD = "--child"
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".eval")
AS_MARKS, AS_LOG = 64, 128
"""Bits of an input's first byte: read outcomes as marks in [0, 1]; read it as one condition's."""
WIDTH, LAYERS, K = 4, 2, 2
ROWS = [
    {"seed": 7, "normal": 1, "p0": 0, "answers": "seen"},
    {"seed": 3, "normal": True, "p0": True, "answers": "unseen"},
]
LM_EVAL = [
    {"doc_id": at, "doc": {"page": at // 2}, "target": "A", "filter": "none", "acc": at % 2,
     "metrics": ["acc"], "doc_hash": "d", "resps": [["A"]], "filtered_resps": ["A"]}
    for at in range(3)
]  # fmt: skip
SAMPLES = [
    {"id": at, "epoch": 1, "input": "?", "target": "A", "metadata": {"page": at // 2},
     "scores": {"match": {"value": "CIP"[at], "answer": "A"}}}
    for at in range(3)
]  # fmt: skip
INSPECT = {"version": 2, "status": "success", "eval": {"task": "t"}, "samples": SAMPLES}
OLDER_EVIDENCE = {
    "gate": "gate1",
    "score": "greedy",
    "k": 4,
    "checks": [{"id": "a", "title": "A", "passed": False, "detail": "3 episodes"}],
    "episodes": [
        {"seed": 4, "answers": "seen", "outcomes": {"p0": {"likelihood": True, "greedy": False}}}
    ],
}
Harness = Callable[[bytes], None]


def spec_harness(folder: Path) -> Harness:
    """A spec file of any bytes."""
    from lpca.gate.plan import task_of
    from lpca.gatespec.load import SpecError, load_spec

    path = folder / "spec.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            task_of(load_spec(path))
        except SpecError as error:
            one_line(str(error), f"{path}:{error.position.line}:{error.position.column}: ")

    return run


def check_harness(folder: Path) -> Harness:
    """A spec file of any bytes; the checker judges those that can be read."""
    from lpca.checker.check import check_spec
    from lpca.gatespec.load import SpecError, load_spec

    path = folder / "spec.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(SpecError):
            for finding in check_spec(load_spec(path)):
                one_line(str(finding), str(finding.position))

    return run


def outcomes_harness(folder: Path) -> Harness:
    """An outcomes file: the first byte says which kind, the others are its content."""
    from lpca.judge.outcomes import OutcomeError
    from lpca.judge.reader import read_conditions, read_outcomes
    from lpca.judge.rows import Reading

    def run(data: bytes) -> None:
        kind = data[0] if data else 0
        path = folder / f"outcomes{SUFFIXES[kind % AS_MARKS % len(SUFFIXES)]}"
        path.write_bytes(data[1:])
        reading = Reading(graded=bool(kind & AS_MARKS))
        try:
            if kind & AS_LOG:
                read_conditions({"normal": str(path)}, reading)
            else:
                read_outcomes(str(path), reading)
        except OutcomeError as error:
            one_line(str(error), f"{path}: ")

    return run


def episodes_harness(folder: Path) -> Harness:
    """A file of episodes of any bytes."""
    from lpca.tasks import TaskError
    from lpca.tasks.rows import read_rows

    path = folder / "own.jsonl"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read_rows(path)
        except TaskError as error:
            one_line(str(error), f"{path}:")

    return run


def checkpoint_harness(folder: Path) -> Harness:
    """A checkpoint: the manifest's length, the manifest, the weights.

    A manifest that is an object gets the weights' own hash, or no input would get past it.
    """
    import torch

    from lpca.codec.base import CodecError
    from lpca.codec.checkpoint import MANIFEST, WEIGHTS, load_codec, read_identity, recipe_of

    receiver = SimpleNamespace(d_model=WIDTH, layers=LAYERS, device=torch.device("cpu"))

    def run(data: bytes) -> None:
        manifest, weights = checkpoint_parts(data)
        with contextlib.suppress(ValueError, RecursionError):
            held = json.loads(manifest)
            if isinstance(held, dict):
                held["weights_sha256"] = hashlib.sha256(weights).hexdigest()
                manifest = json.dumps(held).encode()
        (folder / MANIFEST).write_bytes(manifest)
        (folder / WEIGHTS).write_bytes(weights)
        try:
            recipe_of(read_identity(folder))
            load_codec(folder, receiver, K)  # type: ignore[arg-type]
        except CodecError as error:
            one_line(str(error), "")

    return run


def checkpoint_parts(data: bytes) -> tuple[bytes, bytes]:
    """Manifest and weights of one input."""
    length = int.from_bytes(data[:2], "little")
    return data[2 : 2 + length], data[2 + length :]


HARNESSES: dict[str, Callable[[Path], Harness]] = {
    "spec": spec_harness,
    "check": check_harness,
    "outcomes": outcomes_harness,
    "episodes": episodes_harness,
    "checkpoint": checkpoint_harness,
}


def one_line(message: str, start: str) -> None:
    """Refuse a message that is not one line that begins with its place."""
    if not message.startswith(start) or len(message.splitlines()) != 1:
        raise AssertionError(f"no clear message: {message[:200]!r}")


def seeds(target: str) -> Iterator[bytes]:
    """Small valid inputs to start from."""
    if target in ("spec", "check"):
        for path in (ROOT / "gate_specs.yaml", *(ROOT / "examples").glob("*.yaml")):
            yield path.read_bytes()
        yield b"version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 9}\ngates: {}\n"
    elif target == "outcomes":
        yield from outcome_seeds()
    elif target == "episodes":
        for path in (ROOT / "examples" / "own_episodes").glob("*.jsonl"):
            yield b"\n".join(path.read_bytes().splitlines()[:8])
    else:
        yield checkpoint_seed()


def outcome_seeds() -> Iterator[bytes]:
    """One of each kind that may be judged."""
    held = [ROWS, OLDER_EVIDENCE, {"normal": [11, 50], "p0": "12/50"}, {"p0": {"1": 1, "2": 0}}]
    for one in held:
        yield b"\0" + json.dumps(one).encode()
    yield b"\0" + (ROOT / "examples" / "attempts.json").read_bytes()
    yield b"\1" + "\n".join(map(json.dumps, ROWS)).encode()
    yield b"\2seed,normal,p0,answers\n7,1,0,seen\n3,true,1.0,unseen\n"
    yield b"\2episode,group,repeat,condition,outcome\n1,d,0,p0,0\n1,d,1,p0,1\n"
    yield bytes([2 + AS_MARKS]) + b"seed,group,normal,p0\n7,d,0.5,0\n3,e,1.0,.25\n"
    yield bytes([1 + AS_LOG]) + "\n".join(map(json.dumps, LM_EVAL)).encode()
    yield bytes([0 + AS_LOG]) + json.dumps(INSPECT).encode()
    yield bytes([4 + AS_LOG]) + zipped_log()
    with contextlib.suppress(ImportError):
        import pyarrow
        from pyarrow import parquet

        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.Table.from_pylist(ROWS[:1]), sink)
        yield b"\3" + sink.getvalue().to_pybytes()


def zipped_log() -> bytes:
    """A log as inspect_ai zips it, stored: what is changed stays readable."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for sample in SAMPLES:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps({"version": 2, "status": "success"}))
    return sink.getvalue()


def checkpoint_seed() -> bytes:
    """A whole checkpoint of the smallest codec."""
    import torch
    from safetensors.torch import save

    from lpca.codec.architectures.token_pooler import TokenPooler
    from lpca.codec.checkpoint import FORMAT

    receiver = SimpleNamespace(d_model=WIDTH, layers=LAYERS, device=torch.device("cpu"))
    weights = save(TokenPooler(receiver, K).state_dict())  # type: ignore[arg-type]
    identity = {"receiver": "r", "task": "t", "code": "c", "config": {"steps": 1}, "k": K}
    identity |= {"architecture": "token_pooler", "seed": 0}
    manifest = json.dumps({"format": FORMAT, "identity": identity}).encode()
    return struct.pack("<H", len(manifest)) + manifest + weights


def fuzz(target: str, failures: Path, engine: list[str]) -> None:
    """Fuzz in this process until the engine ends it; each kind of failure is kept once."""
    import atheris

    with atheris.instrument_imports(include=["lpca", "yaml", "csv", "json"]):
        harness = HARNESSES[target](Path(tempfile.mkdtemp()))

    def tried(data: bytes) -> None:
        try:
            harness(data)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line = trace.tb_lineno if trace else 0
            kept = failures / f"{target}-{type(error).__name__}-{line}"
            if not kept.exists():
                kept.write_bytes(data)
                print(f"{kept.name}: {error!r:.300}", file=sys.stderr)

    atheris.Setup([sys.argv[0], *engine], tried)
    atheris.Fuzz()


def run(target: str, seconds: int, failures: Path) -> int:
    """Fuzz in a process of its own, and say what came of it."""
    failures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        corpus.mkdir()
        for index, seed in enumerate(seeds(target)):
            (corpus / f"seed{index}").write_bytes(seed)
        engine = [
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
            "-max_len=16384",
            "-timeout=20",
            "-report_slow_units=20",
            "-rss_limit_mb=4096",
            f"-artifact_prefix={failures}/{target}-engine-",
            str(corpus),
        ]
        command = [sys.executable, __file__, target, "--failures", str(failures), CHILD, *engine]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    log = done.stderr
    features = [int(found) for found in re.findall(r"\bft: (\d+)", log)]
    inputs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log)
    if not features or not inputs:
        print(log, file=sys.stderr)
        return 2
    kept = sorted(path.name for path in failures.glob(f"{target}-*"))
    for name in kept:
        print(f"failure: {failures / name}")
    print(
        f"{target}: {inputs[-1]} inputs in {seconds} s, {max(features)} coverage features, "
        f"{len(kept)} failures"
    )
    return 1 if kept else 0


def main() -> int:
    """Read the command line."""
    arguments, engine = sys.argv[1:], []
    if CHILD in arguments:
        at = arguments.index(CHILD)
        arguments, engine = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description="Fuzz a reader of untrusted input.")
    parser.add_argument("target", choices=tuple(HARNESSES))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--failures", type=Path, default=ROOT / "fuzz-failures")
    given = parser.parse_args(arguments)
    if engine:
        fuzz(given.target, given.failures, engine)
    return run(given.target, given.seconds, given.failures)


if __name__ == "__main__":
    sys.exit(main())

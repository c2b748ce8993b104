"""Train, evaluate and gate a codec on Modal: `modal run modal_app.py --k 4 --epochs 10 --gpu H100`.

Checkpoints, outcomes, ledger and evidence stay in the volume `lpca`, by content: what is there is
not computed again. The functions run on this machine too, as `train.local(k=4)`, in `.lpca/modal`.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import modal

HERE = Path(__file__).resolve().parent
VOLUME = Path("/lpca-volume")
EPOCH = 12
"""Training steps. Messages are drawn afresh at each step: an epoch is a unit of time, no pass over
data; ten make the default recipe."""
HOURS = 3600

app = modal.App("lpca")
volume = modal.Volume.from_name("lpca", create_if_missing=True)
image = (
    modal.Image.debian_slim(python_version="3.12")
    .pip_install_from_pyproject(str(HERE / "pyproject.toml"), optional_dependencies=["codecs"])
    .env({"LPCA_CACHE": str(VOLUME / "cache"), "HF_HOME": str(VOLUME / "models")})
    .add_local_dir(str(HERE / "lpca"), "/root/lpca", ignore=["**/__pycache__"])
    .add_local_file(str(HERE / "gate_specs.yaml"), "/root/gate_specs.yaml")
)
anywhere: dict[str, Any] = {
    "image": image,
    "volumes": {str(VOLUME): volume},
    "timeout": 24 * HOURS,
}


@app.function(**anywhere)
def train(
    k: int = 4,
    epochs: int = 10,
    seed: int = 0,
    receiver: str = "smollm2-135m",
    dtype: str = "auto",
    spec: str = "",
) -> dict[str, Any]:
    """Train a codec, or go on where it was left, and keep its checkpoint in the volume.

    `spec` is the text of a spec file, the project's own when empty. Returns the checkpoint's
    `identity`, the `origin` (trained, cached, shipped) and the last step's `loss`.
    """
    from lpca.codec.store import Request, obtain_codec
    from lpca.gate.plan import task_of
    from lpca.receivers.load import load_receiver
    from lpca.report.console import StderrConsole

    _fetch()
    recipe = _recipe(epochs)
    task = task_of(_spec(spec))
    with StderrConsole() as console:
        codec = obtain_codec(
            load_receiver(receiver, "auto", dtype),
            task,
            Request(k, seed, recipe=recipe),
            _home() / "cache",
            lambda progress: console.training(progress, recipe.steps, f"codec k={k}"),
            console.tell,
        )
    _keep()
    history = codec.facts["history"]
    loss = history[-1]["loss"] if history else None
    return {"identity": codec.identity.hash(), "origin": codec.origin, "loss": loss}


@app.function(**anywhere)
def evaluate(
    name: str = "gate1",
    k: int = 4,
    epochs: int = 10,
    seed: int = 0,
    receiver: str = "smollm2-135m",
    dtype: str = "auto",
    spec: str = "",
) -> int:
    """Put the outcomes of a gate's conditions into the volume's cache; return how many there are.

    Nothing of what they say comes back: only a gate, with its checks and its ledger, reads them.
    """
    _fetch()
    with _console() as console:
        runner = _runner(_spec(spec), epochs, seed, receiver, dtype, console)
        count = runner.evaluate_all(name, k)
    _keep()
    return count


# one at a time: two that write the ledger would each lose what the other added
@app.function(**anywhere, max_containers=1)
def gate(
    name: str = "gate1",
    k: int = 4,
    epochs: int = 10,
    seed: int = 0,
    receiver: str = "smollm2-135m",
    dtype: str = "auto",
    spec: str = "",
) -> dict[str, Any]:
    """Decide a gate as `pytest gates/` does, from the outcomes that are there; its evidence."""
    _fetch()
    with _console() as console:
        runner = _runner(_spec(spec), epochs, seed, receiver, dtype, console)
        evidence = runner.evidence(name, k).data
    _keep()
    return evidence


@app.local_entrypoint()
def main(
    k: int = 4,
    epochs: int = 10,
    seed: int = 0,
    name: str = "gate1",
    receiver: str = "smollm2-135m",
    dtype: str = "auto",
    gpu: str = "L4",
    spec: str = "gate_specs.yaml",
) -> None:
    """Train, evaluate and gate; the evidence is written below `.lpca/evidence` of this machine."""
    from lpca.evidence.files import parse_evidence, write_evidence
    from lpca.evidence.runs import EVIDENCE, RUNS, keep_run, name_latest
    from lpca.gate.plan import evidence_path
    from lpca.report.terminal import gate_lines

    text = Path(spec).read_text(encoding="utf-8")
    same = {"k": k, "epochs": epochs, "seed": seed, "receiver": receiver, "dtype": dtype}
    print(train.with_options(gpu=gpu).remote(**same, spec=text))
    evaluate.with_options(gpu=gpu).remote(name, **same, spec=text)
    evidence = gate.with_options(gpu=gpu, max_containers=1).remote(name, **same, spec=text)
    found = parse_evidence(evidence)
    keep_run(Path(EVIDENCE) / RUNS, found)
    name_latest(Path(EVIDENCE) / RUNS, found)
    write_evidence(evidence_path(Path(EVIDENCE), name, k), found)
    print("\n".join(gate_lines(found, found.verdict)))
    sys.exit(found.result.exit_code)


def _home() -> Path:
    return Path(".lpca/modal").absolute() if modal.is_local() else VOLUME


def _fetch() -> None:
    """See what other containers kept."""
    if not modal.is_local():
        volume.reload()


def _keep() -> None:
    if not modal.is_local():
        volume.commit()


def _recipe(epochs: int) -> Any:
    from lpca.codec.recipe import Recipe, Stage

    return Recipe(stages=(Stage(steps=epochs * EPOCH),))


def _spec(text: str) -> Any:
    """The spec, from a file of its own in the volume: its hash names it."""
    from lpca.base.files import write_file
    from lpca.base.hashing import hash_data
    from lpca.gate.plan import sound_spec

    text = text or (HERE / "gate_specs.yaml").read_text(encoding="utf-8")
    path = _home() / "specs" / hash_data(text)[:16] / "gate_specs.yaml"
    if not path.exists():
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))
    return sound_spec(path)


def _console() -> Any:
    from lpca.report.console import StderrConsole

    return StderrConsole()


def _runner(spec: Any, epochs: int, seed: int, receiver: str, dtype: str, console: Any) -> Any:
    from lpca.gate.evidence import Origin
    from lpca.gate.runner import Options, Runner

    run = uuid.uuid4().hex
    options = Options(
        receiver=receiver,
        device="auto",
        dtype=dtype,
        checkpoint=None,
        retrain=False,
        train_seed=seed,
        batch_size=32,
        cache=_home() / "cache",
        evidence=_home() / "evidence" / run,
        ledger=_home() / "ledger",
        recipe=_recipe(epochs),
    )
    return Runner(spec, options, Origin(run, ["modal_app.py"]), console)

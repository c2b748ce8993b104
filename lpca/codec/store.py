"""Load the codec that fits, or train it: shipped, cached, or anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lpca.base import __version__
from lpca.base.errors import RequestError
from lpca.base.files import remove, touching
from lpca.base.hashing import CONTENT, hash_data
from lpca.codec.architectures import make_codec
from lpca.codec.base import DEFAULT_SEED, CodecError, TrainableCodec, bits_of
from lpca.codec.checkpoint import (
    Identity,
    identify,
    is_unwritten,
    load_codec,
    read_identity,
    read_manifest,
    recipe_of,
    save_checkpoint,
    settle,
    trained_episodes,
    write_tensors,
)
from lpca.codec.recipe import TOKEN_POOLER, Recipe
from lpca.codec.training import Processes, Progress, Training
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver
from lpca.receivers.self_test import prove_for
from lpca.tasks import Task

SNAPSHOT_EVERY = 10
UNREADABLE = (
    OSError,
    SafetensorError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What a reader of tensors raises where a file was damaged."""


@dataclass(frozen=True, eq=False)
class Obtained:
    """A codec with where it came from: `given`, `shipped`, `cached` or `trained`."""

    codec: TrainableCodec
    identity: Identity
    origin: str
    facts: dict[str, Any]

    @property
    def content_hash(self) -> str | None:
        """SHA-256 of the file of its weights."""
        return str(self.facts["weights_sha256"])

    def to_dict(self) -> dict[str, Any]:
        """As evidence has it."""
        identity = {**asdict(self.identity), "architecture": self.identity.architecture}
        history, trained = self.facts.get("history", []), self.facts.get("trained")
        known = {"bits": bits_of(self.codec), "history": history, "trained": trained}
        port = {} if self.codec.port is None else {"port": asdict(self.codec.port)}
        return {"origin": self.origin, **identity, **known, **port}


@dataclass(frozen=True)
class Request:
    """Which codec is wanted; without a seed, any shipped seed will do.

    With `shipped` false none that comes with lpca is taken, and with `retrain` none at all.
    """

    k: int
    seed: int | None = None
    checkpoint: Path | None = None
    retrain: bool = False
    recipe: Recipe = field(default_factory=Recipe)
    shipped: bool = True


def obtain_codec(
    receiver: Receiver,
    task: Task,
    request: Request,
    cache: Path,
    report: Callable[[Progress], None],
    tell: Callable[[str], None],
) -> Obtained:
    """Return the codec asked for, training it where none fits.

    Processes among which the receiver is divided all call this; each gets the same codec.
    A given checkpoint that does not fit is a RequestError. A shipped or cached one that does not is
    named through `tell` with its mismatch, and the codec is trained anew.
    """
    if request.checkpoint is not None:
        return _given(request.checkpoint, receiver, task, request)
    seed = DEFAULT_SEED if request.seed is None else request.seed
    wanted = identify(receiver, task, request.k, seed, request.recipe)
    if request.shipped and not request.retrain and receiver.name == "smollm2-135m":
        shipped = shipped_folder(request.k, request.recipe.architecture)
        if found := _fitting(shipped, receiver, wanted, "shipped", tell):
            return found
    folder = cache / "codecs" / wanted.hash()
    waiting = partial(tell, "another process trains this codec; waiting for it")
    processes = Processes(receiver)
    with processes.locked(folder, waiting):
        if processes.main:
            settle(folder)
        processes.wait()
        if not request.retrain and (found := _fitting(folder, receiver, wanted, "cached", tell)):
            return found
        return _train(receiver, task, wanted, request, folder, report, tell)


def shipped_folder(k: int, architecture: str = TOKEN_POOLER) -> Path:
    """Where the repository keeps the default receiver's checkpoint of an architecture for k."""
    name = f"smollm2-135m-{architecture}-k{k}"
    return Path(str(files("lpca.codec").joinpath("shipped", name)))


def _given(folder: Path, receiver: Receiver, task: Task, request: Request) -> Obtained:
    try:
        found = read_identity(folder)
        # How somebody trained their codec is theirs; what it was trained for must fit. Seed and
        # batch size also shape the batch by which a task is identified: theirs are taken.
        wanted = identify(receiver, task, request.k, found.seed, recipe_of(found))
        mismatches = wanted.mismatches(found, ignoring=("seed", "recipe", "code"))
        if mismatches:
            raise CodecError(f"checkpoint {folder} does not fit: {'; '.join(mismatches)}")
        codec = load_codec(folder, receiver, wanted.k)
    except CodecError as error:
        raise RequestError(str(error)) from error
    return Obtained(codec, found, "given", read_manifest(folder))


def _fitting(
    folder: Path, receiver: Receiver, wanted: Identity, origin: str, tell: Callable[[str], None]
) -> Obtained | None:
    if not folder.exists() or is_unwritten(folder):
        return None
    try:
        found = read_identity(folder)
        mismatches = wanted.mismatches(found)
        if not mismatches:
            codec = load_codec(folder, receiver, wanted.k)
            return Obtained(codec, found, origin, read_manifest(folder))
    except CodecError as error:
        mismatches = [str(error)]
    tell(f"the {origin} checkpoint {folder.name} does not fit: {'; '.join(mismatches)}; training")
    return None


def _train(
    receiver: Receiver,
    task: Task,
    identity: Identity,
    request: Request,
    folder: Path,
    report: Callable[[Progress], None],
    tell: Callable[[str], None],
) -> Obtained:
    prove_for(receiver, trained_episodes(identity, task), request.k, tell)
    processes = Processes(receiver)
    training = _training(receiver, task, identity, request)
    snapshot = folder.with_name(folder.name + ".snapshot")
    try:
        _resume(training, snapshot)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        tell(f"the snapshot {snapshot.name} cannot be read: {reason}; training from the start")
        training = _training(receiver, task, identity, request)
    started, already = time.monotonic(), len(training.history)
    processes.agree_on(already)

    def step(progress: Progress) -> None:
        processes.align(training.codec)
        if processes.main and progress.step % SNAPSHOT_EVERY == 0:
            _save_snapshot(training, snapshot)
        report(progress)

    training.run(step)
    facts = {
        "history": [asdict(progress) for progress in training.history],
        "trained": {
            "seconds": round(time.monotonic() - started, 1),
            "resumed_at_step": already,
            "dtype": str(receiver.dtype),
            "device": receiver.device.type,
            "processes": processes.count,
            "receiver": receiver.name,
            "lpca": __version__,
            "torch": torch.__version__,
        },
    }
    if processes.main:
        save_checkpoint(folder, training.codec, identity, facts)
        remove(snapshot)
    processes.wait()
    return Obtained(training.codec, identity, "trained", read_manifest(folder))


def _training(receiver: Receiver, task: Task, identity: Identity, request: Request) -> Training:
    make = partial(make_codec, receiver, identity.k, request.recipe)
    return Training(receiver, task, make, identity.seed, request.recipe)


def _save_snapshot(training: Training, path: Path) -> None:
    tensors = {f"codec.{k}": v for k, v in training.codec.state_dict().items()}
    for index, moments in training.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
    history = json.dumps([asdict(progress) for progress in training.history])
    about = {"history": history, "name": path.name}
    write_tensors(path, tensors, {**about, CONTENT: _content(tensors, about)}, durable=False)


def _content(tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """The hash of all that training goes on from; what it draws follows from seed and step."""
    return hash_data([hash_tensors(tensors.items()), about["history"], about["name"]])


def _resume(training: Training, path: Path) -> None:
    """Continue from a snapshot: the same seed and step give the same batches as without a stop.

    Raises ValueError, or what its reader raises, where it is not what was written under this name.
    """
    if not path.exists():
        return
    touching("read", path)
    with safe_open(path, framework="pt") as stored:
        about = stored.metadata()
        if about["name"] != path.name:
            raise ValueError(f"it was written as {about['name']}")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if about.get(CONTENT) != _content(tensors, about):
            raise ValueError("its content is not what was written")
        history = json.loads(about["history"])
    codec = {n.removeprefix("codec."): v for n, v in tensors.items() if n.startswith("codec.")}
    training.codec.load_state_dict(codec)
    state = training.optimiser.state_dict()
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
    training.optimiser.load_state_dict({**state, "state": moments})
    training.history = [Progress(**progress) for progress in history]

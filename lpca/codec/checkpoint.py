"""Checkpoints: safetensors plus a manifest, written last, that says what the weights belong to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lpca.base.code_identity import code_hash
from lpca.base.files import (
    PART,
    StorageError,
    folder_locked,
    read_json,
    reading,
    remove,
    rename,
    touching,
    write_file,
    write_json,
)
from lpca.base.hashing import CONTENT, hash_data, hash_file, is_altered, with_hash
from lpca.codec.architectures import CODECS, make_codec
from lpca.codec.base import CodecError, TrainableCodec
from lpca.codec.objectives import OBJECTIVES
from lpca.codec.recipe import Recipe, RecipeError, read_recipe
from lpca.codec.training import Training
from lpca.receivers.model import PLAIN_NAME, Receiver
from lpca.tasks import TASKS, Episode, Task

WEIGHTS, MANIFEST = "codec.safetensors", "manifest.json"
NEW_WEIGHTS = "codec.new.safetensors"
"""What the weights are called until the manifest names them."""
FORMAT = 3
MAX_TRAINED = 100_000
"""How many of the episodes that a codec was trained on are looked at, at most."""


@dataclass(frozen=True)
class Identity:
    """What a codec's weights follow from; two equal ones name the same training run.

    `prompt` names how B's texts stood in its prompt; checkpoints of earlier versions do not say.
    """

    receiver: str
    task: str
    code: str
    recipe: dict[str, Any]
    k: int
    seed: int
    prompt: str = PLAIN_NAME

    @property
    def architecture(self) -> str:
        """The name of the codec's architecture."""
        return recipe_of(self).architecture

    @property
    def budget(self) -> dict[str, float]:
        """What a control must have been given too."""
        return recipe_of(self).budget

    def hash(self) -> str:
        """SHA-256 of all of it."""
        return hash_data(asdict(self))

    def mismatches(self, other: Identity, ignoring: tuple[str, ...] = ()) -> list[str]:
        """Say what differs in `other`, one phrase per field."""
        mine, theirs = asdict(self), asdict(other)
        for fields in (mine, theirs):
            recipe = fields.pop("recipe")
            if "recipe" not in ignoring:
                fields.update(recipe)
        return [
            f"{field} is {_short(theirs.get(field))}, wanted {_short(mine.get(field))}"
            for field in dict.fromkeys([*mine, *theirs])
            if field not in ignoring and theirs.get(field) != mine.get(field)
        ]


def identify(receiver: Receiver, task: Task, k: int, seed: int, recipe: Recipe) -> Identity:
    """Name the training run of these arguments; data and code count by their content."""
    first_batch = [e.fields for e in task.training_batch(0, recipe.batch_size, seed)]
    return Identity(
        receiver=receiver.weights_hash,
        task=hash_data([task.training_hash(), first_batch]),
        code=training_code(recipe, task),
        recipe=recipe.content(),
        k=k,
        seed=seed,
        prompt=receiver.prompt_name,
    )


def training_code(recipe: Recipe, task: Task) -> str:
    """Hash the code that a recipe's weights follow from: loop, architecture, objectives, task."""
    return code_hash(
        Training,
        make_codec,
        task,
        resolved={
            CODECS.kind: [recipe.architecture],
            OBJECTIVES.kind: recipe.objectives,
            TASKS.kind: [task.name],
        },
    )


def write_tensors(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str] | None = None,
    *,
    durable: bool = True,
) -> None:
    """Write safetensors, whole or not at all, as `write_file`."""

    def write(part: Path) -> None:
        try:
            whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
            save_file(whole, part, metadata=dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise OSError(str(error)) from error

    write_file(path, write, durable=durable)


def save_checkpoint(
    folder: Path, codec: TrainableCodec, identity: Identity, facts: Mapping[str, Any]
) -> None:
    """Write weights and manifest; `facts` (loss history, versions) are kept beside the identity.

    Whatever stops it, the folder holds the checkpoint of before or the new one: with the manifest,
    which is replaced in one step, the weights beside it are the new ones. Other files stay.
    """
    with folder_locked(folder), reading(folder):
        new = folder / NEW_WEIGHTS
        try:
            write_tensors(new, codec.state_dict())
            about = {"format": FORMAT, "identity": asdict(identity)}
            manifest = {**about, "weights_sha256": hash_file(new), **facts}
            write_json(folder / MANIFEST, with_hash(manifest), indent=1)
            rename(new, folder / WEIGHTS)
        except BaseException:
            with suppress(OSError, StorageError):
                settle(folder)
                folder.rmdir()  # where nothing is in it
            raise


def settle(folder: Path) -> None:
    """End what a killed process had begun: the weights it wrote are the manifest's, or nobody's.

    Raises:
        StorageError: the folder cannot be written.
    """
    new = folder / NEW_WEIGHTS
    if not new.exists():
        return
    named = None
    if (folder / MANIFEST).exists():
        try:
            named = read_manifest(folder).get("weights_sha256")
        except CodecError:
            return  # whose they are cannot be told
    with reading(new):
        found = hash_file(new)
    if found == named:
        rename(new, folder / WEIGHTS)
    else:
        remove(new)


def is_unwritten(folder: Path) -> bool:
    """Whether a folder holds nothing, or what a killed process had begun to write into it."""
    names = [path.name for path in folder.iterdir()]
    return all(name == NEW_WEIGHTS or name.endswith(PART) for name in names)


def _weights(folder: Path, sha256: object) -> Path:
    """The file with a manifest's weights; CodecError where none has them."""
    path, new = folder / WEIGHTS, folder / NEW_WEIGHTS
    if new.exists() and hash_file(new) == sha256:
        return new
    if hash_file(path) != sha256:
        raise CodecError(f"{path}: its bytes are not the ones {MANIFEST} names")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's manifest; CodecError when it is absent or not one."""
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
    except StorageError as error:
        raise CodecError(f"checkpoint {folder}: no readable {MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CodecError(f"{path}: not a checkpoint manifest of format {FORMAT}")
    return manifest


def read_identity(folder: Path) -> Identity:
    """Read what a checkpoint's weights belong to; CodecError when the manifest does not say."""
    try:
        found = Identity(**read_manifest(folder)["identity"])
    except (KeyError, TypeError) as error:
        raise CodecError(f"{folder / MANIFEST}: its identity is incomplete: {error}") from error
    if not isinstance(found.seed, int) or not isinstance(found.recipe, dict):
        raise CodecError(f"{folder / MANIFEST}: its identity has no seed or no recipe")
    recipe_of(found, str(folder / MANIFEST))
    return found


def recipe_of(identity: Identity, place: str = "checkpoint") -> Recipe:
    """Return how a codec was trained, where its identity does not say by default.

    Raises CodecError, beginning with `place`, where a value cannot be.
    """
    try:
        return read_recipe(identity.recipe, place)
    except RecipeError as error:
        raise CodecError(str(error)) from None


def trained_episodes(identity: Identity, task: Task) -> list[Episode]:
    """Return the episodes a codec was trained on, the first `MAX_TRAINED` of them."""
    recipe = recipe_of(identity)
    steps = min(recipe.steps, -(-MAX_TRAINED // recipe.batch_size))
    batches = (task.training_batch(i, recipe.batch_size, identity.seed) for i in range(steps))
    return [episode for batch in batches for episode in batch]


def load_codec(folder: Path, receiver: Receiver, k: int) -> TrainableCodec:
    """Load the codec of a checkpoint whose identity fits.

    Raises CodecError when the weights are truncated, of other shapes, not finite, or not the ones
    the manifest names, or the manifest was altered.
    """
    manifest, path = read_manifest(folder), folder / WEIGHTS
    recipe = recipe_of(read_identity(folder))
    try:
        path = _weights(folder, manifest.get("weights_sha256"))
        touching("read", path)
        state = load_file(path)
        codec = make_codec(receiver, k, recipe)
        codec.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, CodecError):
            raise
        reason = " ".join(str(error).split())
        raise CodecError(f"{path}: the weights cannot be loaded: {reason}") from error
    if not all(bool(torch.isfinite(value).all()) for value in codec.state_dict().values()):
        raise CodecError(f"{path}: the weights hold NaN or infinity")
    # last: what differs is named before; manifests of earlier versions have no hash
    if CONTENT in manifest and is_altered(manifest):
        raise CodecError(f"{folder / MANIFEST}: its content is not what was written")
    return codec


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if isinstance(value, str) and len(text) > 12 else text

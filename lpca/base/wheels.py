"""Packages of the index that carry data (weights, rows): fetched once, by pip's own settings.

What is fetched is known by its hash, and may be put into place by hand.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from lpca.base.errors import RunError
from lpca.base.files import StorageError
from lpca.base.hashing import hash_file

CHUNK = 1 << 20


class WheelError(RunError):
    """A package cannot be fetched; the message says what to do."""


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
        WheelError: the index cannot be reached, or the bytes are not the pinned ones.
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
        raise WheelError(f"{requirement} cannot be downloaded: {error}; {by_hand}") from error
    found = hash_file(part)
    if found != sha256:
        part.unlink()
        raise WheelError(
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

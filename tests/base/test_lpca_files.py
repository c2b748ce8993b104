from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from lpca.base import files
from lpca.base.files import (
    StorageError,
    cache_dir,
    claimed,
    locked,
    read_json,
    try_writing,
    write_file,
    write_json,
)


def half(part: Path) -> None:
    part.write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
def test_interrupted_writing_leaves_what_was_there(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "file"
    if there:
        path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write_file(path, half)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == (
        [("file", "before")] if there else []
    )


def test_the_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    def write(part: Path) -> None:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")

    write_file(path, write)
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("data", [None, [1, 2.5, "é", True], {"a": {"b": []}}])
def test_json_comes_back_as_it_went(tmp_path: Path, data: object) -> None:
    write_json(tmp_path / "x.json", data)
    assert read_json(tmp_path / "x.json") == data


def test_nan_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1] [2]", b"\xff\xfe"])
def test_what_is_no_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json: cannot be read"):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"x\.json: there is no such file$"):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    for name in ("outcomes.json", "table.json"):
        (tmp_path / name).touch()
    with pytest.raises(StorageError, match=r"did you mean 'outcomes\.json'\?"):
        read_json(tmp_path / "outcome.json")


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written: .*; name another folder$"):
        write_json(tmp_path / "file" / "x.json", 1)
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
    with pytest.raises(StorageError, match=r"cannot be written: .*LPCA_CACHE"):
        write_json(tmp_path / "file" / "x.json", 1)
    with pytest.raises(StorageError, match="cannot be written"), locked(tmp_path / "file" / "x"):
        pytest.fail("the lock was taken")


def test_the_cache_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("LPCA_CACHE")
    assert cache_dir().name == "lpca"


class TestLock:
    def test_it_is_held_inside_and_free_afterwards(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "thing"
        other = FileLock(path.with_name("thing.lock"))
        with locked(path), pytest.raises(Timeout):
            other.acquire(timeout=0.01)
        other.acquire(timeout=0.01)
        other.release()

    def test_an_error_inside_frees_it(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError), locked(tmp_path / "x"):
            raise RuntimeError
        with locked(tmp_path / "x"):
            pass

    def test_an_error_of_the_system_inside_is_not_taken_for_one_of_storage(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError), locked(tmp_path / "x"):
            (tmp_path / "nothing").read_text()

    def test_processes_take_turns(self, tmp_path: Path) -> None:
        code = (
            "import sys, time; from pathlib import Path; from lpca.base.files import locked\n"
            "log = Path(sys.argv[1], 'log')\n"
            "with locked(Path(sys.argv[1], 'x')):\n"
            "    log.open('a').write('in '); time.sleep(0.1); log.open('a').write('out ')\n"
        )
        runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
        assert [run.wait() for run in runs] == [0, 0, 0]
        assert (tmp_path / "log").read_text() == "in out in out in out "

    def test_a_killed_process_does_not_keep_it(self, tmp_path: Path) -> None:
        code = (
            "import sys, time; from pathlib import Path; from lpca.base.files import locked\n"
            "with locked(Path(sys.argv[1], 'x')):\n"
            "    Path(sys.argv[1], 'held').touch(); time.sleep(60)\n"
        )
        run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        while not (tmp_path / "held").exists():
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
        run.wait()
        with locked(tmp_path / "x"):
            pass


class TestUnfinished:
    def left(self, folder: Path, signal: str) -> subprocess.Popen[bytes]:
        """A process that is at work on a file, or was killed there."""
        code = (
            "import os, sys, time; from pathlib import Path\n"
            "from lpca.base.files import write_file\n"
            "def write(part):\n"
            "    part.write_text('half'); Path(sys.argv[1], 'begun').touch(); " + signal + "\n"
            "    part.write_text('whole')\n"
            "write_file(Path(sys.argv[1], 'x'), write)\n"
        )
        run = subprocess.Popen([sys.executable, "-c", code, str(folder)])
        while not (folder / "begun").exists():
            assert run.poll() is None
            time.sleep(0.01)
        (folder / "begun").unlink()
        return run

    @pytest.mark.parametrize("path", ["x", "another"])
    def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_there(
        self, tmp_path: Path, path: str
    ) -> None:
        assert self.left(tmp_path, "os.kill(os.getpid(), 9)").wait() == -9
        assert len(list(tmp_path.iterdir())) == 1
        write_json(tmp_path / path, 1)
        assert [one.name for one in tmp_path.iterdir()] == [path]

    def test_what_a_living_process_is_at_work_on_is_left(self, tmp_path: Path) -> None:
        wait = "[time.sleep(.01) for _ in iter(lambda: Path(sys.argv[1], 'go').exists(), True)]"
        run = self.left(tmp_path, wait)
        write_json(tmp_path / "another", 1)
        (tmp_path / "go").touch()
        assert run.wait() == 0
        assert (tmp_path / "x").read_text() == "whole"

    def test_others_files_are_left(self, tmp_path: Path) -> None:
        (tmp_path / ".film.mp4.part").touch()
        write_json(tmp_path / "x", 1)
        assert (tmp_path / ".film.mp4.part").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_lock_file_of_another_account_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "x.lock").touch(mode=0o444)
    with locked(tmp_path / "x") as held, claimed(tmp_path / "x") as again:
        assert (held, again) == (True, False)


def test_that_a_file_can_be_written_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    try_writing(tmp_path / "new" / "file")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        try_writing(Path("/proc/nothing"))


def test_a_file_and_its_name_are_on_the_disk_before_anything_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    monkeypatch.setattr(files, "watch", lambda what, path: done.append((what, path.name[:2])))
    write_json(tmp_path / "x", 1)
    write_json(tmp_path / "y", 1, durable=False)
    folder = tmp_path.name[:2]
    assert done == [
        *[("create", "x"), ("write", ".x"), ("sync", ".x"), ("rename", "x"), ("sync", folder)],
        *[("create", "y"), ("write", ".y"), ("rename", "y")],
    ]


def test_waiting_for_another_process_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    said = []
    with locked(tmp_path / "x", lambda: said.append("at once")):
        pass
    other = FileLock(tmp_path / "x.lock")
    other.acquire()

    def release() -> None:
        said.append("waiting")
        other.release()

    with locked(tmp_path / "x", release):
        assert said == ["waiting"]

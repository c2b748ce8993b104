"""What a side may not ask of the kernel: the filter denies it, and namespaces where there are."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from test_sides import SERVE

from lpca.channel import seccomp
from lpca.channel.confine import ISOLATED
from lpca.channel.side import Side, Wall

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
ALLOW, DENY, DONE = 0x7FFF0000, 0x00050001, 0x00050000


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    """One side for all: each try leaves it as it was."""
    folder, code = tmp_path_factory.mktemp("side"), tmp_path_factory.mktemp("code")
    (code / "handler.py").write_text(SERVE)
    before = [*sys.path]
    sys.path.insert(0, str(code))
    found = Side("side A", "handler:serve", {}, folder, Wall(), [code])
    found.folder = folder
    if found.isolation != ISOLATED:
        pytest.skip("this machine has no Landlock, or no filters")
    yield found
    found.close()
    sys.path[:] = before


def done(side, do):
    return side.ask({"ask": "encode", "do": textwrap.dedent(do)})[0].get("error", "")


CALLED = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(*{call!r}) < 0:
    raise OSError(ctypes.get_errno(), "called")
"""
JUDGE = os.getpid()
TRIES = {
    "an account's keyring": (250, 0, -4, 0, 0, 0),
    "the judge's memory": (310, JUDGE, 0, 0, 0, 0, 0),
    "the judge's descriptors": (438, JUDGE, 1, 0),
    "the judge's limits": (302, JUDGE, 7, 0, 0),
    "the judge's priority": (141, 0, JUDGE, 5),
    "the account's priorities": (140, 2, 0),
    "its own cores": (203, 0, 8, b"\1" * 8),
    "the judge's policy": (144, JUDGE, 0, b"\0" * 8),
    "a trace of the judge": (101, 16, JUDGE, 0, 0),
    "calls that no filter sees": (425, 1, 0),
    "files being opened": (294, 0),
    "memory by number": (29, 7, 100, 0o1666),
    "a connection by a file": (42, 0, 0, 0),
    "which pages are in memory": (27, 0, 0, 0),
    "a read that does not wait": (327, 0, 0, 0, 0, 0, 8),
    "calls of the other form": (0x40000000 + 39,),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="these numbers are of x86-64")
@pytest.mark.parametrize("what", TRIES)
def test_what_reaches_other_processes_is_denied(side, what):
    assert done(side, CALLED.format(call=TRIES[what])).startswith("PermissionError: [Errno 1]")


def test_a_side_talks_to_no_socket(side):
    for family, kind in ((1, 2), (2, 1), (2, 2), (10, 1), (16, 3), (38, 3), (40, 1)):
        do = f"__import__('socket').socket({family}, {kind})"
        assert done(side, do).startswith("PermissionError"), (family, kind)
    own = """
        import socket
        one, other = socket.socketpair()
        one.send(b"x")
        assert other.recv(1) == b"x"
    """
    assert not done(side, own)


def test_a_lock_is_had_and_holds_nothing(side):
    """Whoever wants one goes on; nobody sees it who may read the same file."""
    locks = """
        import fcntl, struct, torch
        file = open(torch.__file__, "rb")
        told = struct.pack("hhqqi", fcntl.F_RDLCK, 0, 77, 5, 0)
        for command in (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW):
            fcntl.fcntl(file, command, told)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    """
    assert not done(side, locks)
    with Path(torch.__file__).open("rb") as file:
        told = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
        assert struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, told))[0] == fcntl.F_UNLCK
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("command", [8, 10, 15, 1024, 1026, 1036, 1038])
def test_what_an_open_file_keeps_for_others_is_denied(side, command):
    do = f"__import__('fcntl').fcntl(0, {command}, b'\\1' + b'\\0' * 7)"
    assert done(side, do).startswith("PermissionError: [Errno 1]")


def test_what_a_process_does_with_itself_stays(side):
    own = """
        import os, resource, subprocess, threading, time
        resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_CPU, (9000, 9000))
        os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), os.nice(1)
        thread = threading.Thread(target=time.sleep, args=(0,))
        thread.start(), thread.join()
        assert subprocess.check_output(["echo", "x"]) == b"x\\n"
        with open("kept", "w") as file: file.write("x")
        os.chmod("kept", 0o600), os.utime("kept"), os.replace("kept", "kept2")
    """
    assert not done(side, own)


def test_a_folder_is_seen_by_nobody_else_and_bounded(side, tmp_path):
    """Where mounts are a process's own: no file of the judge's can be touched or marked either."""
    size = "import os; assert os.statvfs('.').f_blocks * os.statvfs('.').f_bsize == 4 << 30"
    if done(side, size):
        pytest.skip("no namespaces here")
    folder = tmp_path / "judges"
    folder.write_text("x")
    for do in ("os.chmod({0}, 0o777)", "os.utime({0}, (1, 1))", "os.truncate({0}, 0)",
               "os.chown({0}, 1, 1)", "os.setxattr({0}, 'user.x', b'1')"):  # fmt: skip
        told = done(side, "import os; " + do.format(repr(str(folder))))
        assert told.startswith(("OSError: [Errno 30]", "PermissionError")), do
    assert not done(side, "open('seen', 'w').write('x')")
    assert list(side.folder.iterdir()) == []


class TestFilter:
    """The program, run on calls as the kernel runs it."""

    @staticmethod
    def decided(machine, number, *arguments, architecture=None):
        program = list(struct.iter_unpack("=HBBI", seccomp._program(machine)))
        known = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
        data = struct.pack("=iIQ", number, architecture or known[machine], 0)
        data += struct.pack("=6Q", *(one & 0xFFFFFFFFFFFFFFFF for one in arguments),
                            *[0] * (6 - len(arguments)))  # fmt: skip
        at = held = 0
        while True:
            code, yes, no, value = program[at]
            at += 1
            if code == 0x20:
                (held,) = struct.unpack_from("=I", data, value)
            elif code == 0x54:
                held &= value
            elif code in (0x15, 0x35):
                at += yes if (held == value if code == 0x15 else held >= value) else no
            else:
                return value

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_each_call_is_let_through_where_all_conditions_hold_and_else_denied(self, machine):
        column = ["x86_64", "aarch64"].index(machine)
        for name, (*numbers, conditions) in seccomp.CALLS.items():
            if numbers[column] < 0:
                continue
            number = numbers[column]
            if not conditions:
                assert self.decided(machine, number) == DENY, name
                continue
            sound = [0] * 6
            for one in conditions:
                sound[one.argument] = one.values[-1]
            assert self.decided(machine, number, *sound) == ALLOW, name
            for one in conditions:
                wrong = [*sound]
                wrong[one.argument] = 77 & one.mask if one.mask != 0xFFFFFFFF else -1
                assert self.decided(machine, number, *wrong) == DENY, name

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_locks_are_answered_and_what_files_keep_is_denied(self, machine):
        open_file, whole_file = {"x86_64": (72, 73), "aarch64": (25, 32)}[machine]
        for command in (6, 7, 37, 38, 6 | 1 << 32):
            assert self.decided(machine, open_file, 3, command) == DONE
        for command in (8, 10, 15, 1024, 1026, 1036, 1038):
            assert self.decided(machine, open_file, 3, command) == DENY
        for command in (0, 1, 2, 3, 4, 5, 36, 1030, 1035):
            assert self.decided(machine, open_file, 3, command) == ALLOW
        assert self.decided(machine, whole_file, 3, 2) == DONE

    def test_other_calls_pass_and_other_forms_do_not(self):
        assert self.decided("x86_64", 39) == self.decided("aarch64", 172) == ALLOW
        assert self.decided("x86_64", 0x40000000 + 39) == DENY
        assert self.decided("x86_64", 20, architecture=0x40000003) == DENY

    def test_each_number_stands_once(self):
        for column in (0, 1):
            every = [*seccomp.CALLS.values(), *seccomp.ANSWERED.values()]
            numbers = [one[column] for one in every if one[column] >= 0]
            assert len(numbers) == len(set(numbers))

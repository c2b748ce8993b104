"""The wire between processes, and what a side can do to the judge: nothing."""

from __future__ import annotations

import os
import re
import sys
import time

import pytest
import torch
from processes import marked

from lpca.channel.confine import ISOLATED, SEPARATE
from lpca.channel.side import KEPT_LINES, Side, SideError, Wall
from lpca.channel.wire import Wire, WireClosedError, WireError, WireLateError

LINUX = sys.platform == "linux"
SERVE = """
def serve(start):
    def answer(header, tensors):
        exec(header.get("do", ""), globals())
        return {"said": header.get("say", ""), **start.get("facts", {})}, tensors
    return answer
"""
USERS = """
import os, signal, sys, time

def leave(): os._exit(0)
def abort(): os.abort()
def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def hang(): time.sleep(1000)
def deaf(): signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT}); hang()
def give_up(): raise SystemExit(0)
def interrupt(): raise KeyboardInterrupt
def generator(): raise GeneratorExit
def long(): raise ValueError("x" * 80_000_000)
def unprintable():
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd
def recursion(): recursion()
def hoard():
    kept = []
    while True: kept.append(bytearray(b"x") * (1 << 24))
def hoard_elsewhere():
    if not os.fork(): hoard()
    time.sleep(60)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a side that runs what it is asked to run; ends them with the test."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "handler.py").write_text(SERVE)
    (tmp_path / "code" / "users.py").write_text(USERS)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    sides = []

    def start(seconds=30.0, hidden=(), **limits):
        folder = tmp_path / f"side{len(sides)}"
        folder.mkdir()
        sides.append(
            Side(
                "side A",
                "handler:serve",
                {},
                folder,
                Wall((tmp_path / "secret", *hidden), seconds, **limits),
            )
        )
        return sides[-1]

    yield start
    for side in sides:
        side.close()


def asked(side, do, **more):
    return side.ask({"ask": "encode", "do": do, **more})[0]


def test_numbers_cross_bit_for_bit_with_type_and_shape(started):
    given = {
        "single": torch.tensor([[1.5, -0.0, float("nan"), float("inf")]]),
        "half": torch.randn(3, 2).bfloat16(),
        "whole": torch.arange(6).reshape(2, 3).T,
        "none": torch.zeros(0, 4),
        "many": torch.randn(500, 500),
    }
    header, got = started().ask({"ask": "encode", "say": "Köln \ud800\n"}, given, 1 << 21)
    assert header == {"said": "Köln \ud800\n"}
    assert set(got) == set(given)
    for name, one in given.items():
        assert (got[name].dtype, got[name].shape) == (one.dtype, one.shape)
        assert torch.equal(got[name].nan_to_num(7.0), one.nan_to_num(7.0))


EARLY = """
import json, os, select
from lpca.channel import wire
def receive(self, largest, until=None, honest=wire.Wire.receive):
    select.select([self.reading], [], [])
    line = {"said": "before", "bytes": 0, **NUMBER}
    os.write(self.writing, json.dumps(line).encode() + b"\\n")
    return honest(self, largest, until)
wire.Wire.receive = receive
"""


@pytest.mark.parametrize("number", ["{}", '{"number": 1}', '{"number": None}'])
def test_an_answer_that_was_written_before_the_question_is_refused(started, number):
    side = started()
    assert asked(side, EARLY.replace("NUMBER", number), say="first") == {"said": "first"}
    with pytest.raises(SideError, match=r"encode: .* answers another question than was asked"):
        asked(side, "", say="second")


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("leave()", r"ended with exit status 0 \(users\.py:4\)$"),
        ("abort()", r"was ended by SIGABRT \(users\.py:5\)$"),
        ("crash()", r"was ended by SIGSEGV \(users\.py:6\)$"),
        ("os.kill(os.getpid(), 9)", r"was ended by SIGKILL$"),
        ("os.kill(os.getppid(), 9)", r"was ended by SIGKILL|Operation not permitted"),
        ("os.closerange(0, 100)", "ended with exit status 1$"),
        ("os.close(2); os.close(1); leave()", r"ended with exit status 0"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
         "was ended by SIGXCPU|was ended by SIGKILL"),
    ],
)  # fmt: skip
def test_a_side_that_ends_is_one_line(started, do, told):
    side = started()
    try:
        answer = asked(side, f"from users import *; {do}")
    except SideError as error:
        text = str(error)
    else:
        text = answer["error"]
    assert "\n" not in text
    assert re.search(told, text), text


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("give_up()", r"^SystemExit: 0 \(users\.py:9\)$"),
        ("interrupt()", r"^KeyboardInterrupt \(users\.py:10\)$"),
        ("generator()", r"^GeneratorExit \(users\.py:11\)$"),
        ("long()", r"^ValueError: x{400} \.\.\. \(80000000 letters\) \(users\.py:12\)$"),
        ("unprintable()", r"^Odd \(its text cannot be had: RuntimeError\) \(users\.py:16\)$"),
        ("recursion()", r"^RecursionError: .* \(users\.py:17\)$"),
    ],
)
def test_what_a_side_raises_is_an_answer(started, do, told):
    side = started()
    assert re.search(told, asked(side, f"from users import *; {do}")["error"])
    assert asked(side, "", say="still here")["said"] == "still here"


@pytest.mark.parametrize("do", ["hang()", "deaf()"])
def test_a_hang_ends_in_time_and_names_the_line(started, do):
    side, began = started(seconds=1.5), time.monotonic()
    with pytest.raises(SideError, match=r"had not answered after 1\.5 s .* \(users\.py:7\)$"):
        asked(side, f"from users import *; {do}")
    assert time.monotonic() - began < 10
    assert side.ended


@pytest.mark.skipif(not LINUX, reason="needs /proc")
@pytest.mark.parametrize(("do", "line"), [("hoard()", 20), ("hoard_elsewhere()", 23)])
def test_a_side_that_takes_too_much_memory_is_ended_where_it_is(started, do, line):
    """With all that it has started; what a side holds from its start is no fault of its code."""
    side, limit = (
        started(memory=700 << 20),
        r"held more than 0\.684 GiB of memory \(--codec-memory\)",
    )
    assert "error" not in asked(side, "kept = bytearray(b'x') * (200 << 20)")
    with pytest.raises(SideError, match=rf"{limit} \(users\.py:{line}\)$") as told:
        asked(side, f"from users import *; {do}")
    assert told.value.is_usage_error
    assert side.ended


LEFT = """
import os, subprocess, sys, time
for own_session in range(2):
    if not os.fork():
        if own_session:
            os.setsid()
            if os.fork():
                os._exit(0)
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(90)", MARK])
"""


@pytest.mark.skipif(not LINUX, reason="needs /proc")
@pytest.mark.parametrize("end", ["", "os._exit(0)"])
def test_no_process_stays_behind(started, tmp_path, end):
    """Be it a daemon in a session of its own; whether the side ends itself or is closed."""
    side, mark = started(), f"lpca-left-{os.getpid()}-{time.monotonic()}"
    do = f"MARK = {mark!r}\n{LEFT}\ntime.sleep(0.5)\n{end}"
    if end:
        with pytest.raises(SideError):
            asked(side, do)
    else:
        asked(side, do)
        assert len(marked(mark)) == 2
    side.close()
    assert marked(mark) == []


@pytest.mark.skipif(not LINUX, reason="Landlock is Linux's")
def test_what_is_hidden_cannot_be_read_and_nothing_outside_be_written(started, tmp_path):
    (tmp_path / "secret").mkdir()
    for place in (tmp_path / "secret" / "spec.yaml", tmp_path / "open.txt"):
        place.write_text("what it says")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "secret" / "spec.yaml")
    side = started()
    if side.isolation == SEPARATE:
        pytest.skip("this kernel has no Landlock")
    assert side.isolation == ISOLATED
    unshare = "__import__('ctypes').CDLL(None).unshare"
    cat = ["cat", str(tmp_path / "secret" / "spec.yaml")]
    tries = {
        "read": f"open({str(tmp_path / 'secret' / 'spec.yaml')!r}).read()",
        "link": f"open({str(tmp_path / 'link.yaml')!r}).read()",
        "judge": f"open('/proc/{os.getpid()}/cmdline').read()",
        "memory": f"open('/proc/{os.getpid()}/mem', 'rb').read(1)",
        "write": f"open({str(tmp_path / 'open.txt')!r}, 'w')",
        "make": f"open({str(tmp_path / 'new.txt')!r}, 'w')",
        "remove": f"__import__('os').remove({str(tmp_path / 'open.txt')!r})",
        "child": f"__import__('subprocess').check_output({cat!r})",
        "device": "__import__('os').mknod('disk', 0o60600, 0x800)",
        "devices": "__import__('os').listdir('/dev')",
        "mount": f"if {unshare}(0x20000): raise OSError('not permitted')",
        "signal": f"__import__('os').kill({os.getpid()}, 0)",
        "network": "__import__('socket').create_connection(('127.0.0.1', 9), 1)",
    }  # fmt: skip
    for what, do in tries.items():
        answer = asked(side, do)
        error = answer.get("error", "")
        denied = ("Permission", "CalledProcess", "not permitted", "Read-only file system")
        assert any(one in error for one in denied), (what, error)
    assert "error" not in asked(side, f"assert open({str(tmp_path / 'open.txt')!r}).read()")
    assert "error" not in asked(side, "open('own', 'w').write('x'); open('/dev/null', 'w')")


def test_nothing_of_the_judge_is_handed_over(started, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_SECRET", "1")
    with (tmp_path / "held").open("w"):
        side = started()
        do = "import os, sys; start_of = {'env': dict(os.environ), 'cwd': os.listdir('.')}"
        asked(side, do)
        checks = (
            "assert 'LPCA_SECRET' not in start_of['env'] and start_of['cwd'] == []\n"
            "assert sys.stdin.read() == '' and len(os.listdir('/proc/self/fd')) <= 7"
        )
        assert "error" not in asked(side, checks if LINUX else checks.split("and len")[0])
    assert "users" not in sys.modules


@pytest.mark.skipif(not LINUX, reason="needs /proc")
def test_two_sides_have_no_open_file_in_common(started):
    """What is set of an open file is seen by all who have it; nobody has a socket."""
    one, other = started(), started()
    setting = """
import fcntl, os
for number in range(5):
    fcntl.fcntl(number, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
"""
    # how each began: the wire's ends block again, that the answer comes
    kept = "before = [fcntl.fcntl(number, fcntl.F_GETFL) for number in range(5)]"
    back = "for number in (3, 4): fcntl.fcntl(number, fcntl.F_SETFL, before[number])"
    assert "error" not in asked(one, f"import fcntl, os\n{kept}\n{setting}\n{back}")
    seen = """
import fcntl, os
assert not any(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND for number in range(5))
kinds = [os.readlink(f"/proc/self/fd/{number}").partition(":")[0] for number in range(5)]
assert kinds == ["/dev/null", "pipe", "pipe", "pipe", "pipe"], kinds
assert not any(os.path.exists(f"/proc/self/fd/{number}") for number in range(6, 64))
"""
    assert "error" not in asked(other, seen)


@pytest.mark.skipif(not LINUX, reason="needs /proc")
def test_where_memory_runs_out_a_side_is_ended_and_not_the_judge(started):
    answer = asked(started(), "assert open('/proc/self/oom_score_adj').read() == '1000\\n'")
    assert "error" not in answer


def test_what_is_printed_is_bounded(started):
    side = started()
    asked(side, "for i in range(200_000): print(i, 'x' * 100)\nprint('\\x1b[31mred', flush=True)")
    asked(side, "import os; os.write(2, b'y' * 5_000_000)")
    side.close()
    kept = side.printed.kept
    assert side.printed.lines == 200_002
    assert len(kept) == 2 * KEPT_LINES + 1
    assert kept[0].startswith("0 x")
    assert "lines more" in kept[KEPT_LINES]
    assert kept[-2] == " [31mred"
    assert max(map(len, kept)) <= 400


class TestWire:
    """A reader takes no more than it said, and only what is a message."""

    @pytest.fixture
    def pipe(self):
        (reading, theirs), (unread, writing) = os.pipe(), os.pipe()
        yield Wire(reading, writing), theirs
        for one in (reading, theirs, unread, writing):
            os.close(one)

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (b"what?\n", "no message"),
            (b"[1]\n", "no message"),
            (b'{"bytes": "3"}\nabc', "no message"),
            (b'{"bytes": true}\n', "no message"),
            (b'{"bytes": -1}\n', "no message"),
            (b"[" * 60_000 + b"\n", "no message"),
            (b'{"bytes": 101}\n', "has 101 bytes; allowed: 100"),
            (b'{"bytes": 12}\nno tensors..', "holds no tensors"),
            (b'{"bytes": 8}\n' + b"\xff" * 8, "holds no tensors"),
        ],
    )
    def test_what_is_no_message(self, pipe, said, told):
        wire, theirs = pipe
        os.write(theirs, said)
        with pytest.raises(WireError, match=told):
            wire.receive(100, time.monotonic() + 5)

    def test_what_ends_within_a_message(self, pipe):
        wire, theirs = pipe
        os.write(theirs, b'{"bytes": 50}\nhalf')
        with pytest.raises(WireLateError):
            wire.receive(100, time.monotonic() + 0.05)
        closed = os.dup(theirs)
        os.dup2(os.open(os.devnull, os.O_WRONLY), theirs)
        os.close(closed)
        with pytest.raises(WireClosedError):
            wire.receive(100, time.monotonic() + 5)

    def test_a_reader_that_does_not_read_keeps_nobody(self, pipe):
        wire, _ = pipe
        with pytest.raises(WireLateError):
            wire.send({"many": "x" * 10_000_000}, until=time.monotonic() + 0.1)

"""Commands in processes that begin with torch loaded: forked, not started.

A command of lpca's spends some five seconds importing torch, transformers and scipy before it does
anything. `Popen` and `run` are subprocess's own but for that: a server, which has them loaded,
forks a child per command, with the arguments, folder, environment, streams and session asked for.
The child can be signalled, and ends as a Python process ends. Processes that it starts itself,
such as the workers of `-n 2`, are forked too. What a fork cannot honour, such as another hash
seed, is started in the ordinary way; where the starting is tested, use subprocess itself.

As a script, `warm.py ARGUMENTS` is `python ARGUMENTS` for a shell.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ADDRESS = "LPCA_TESTS_SERVER"
"""The environment variable that names the server's socket, which the workers of a run share."""
ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
READ_AT_START = re.compile(
    r"PYTHON(?!PATH$)|OMP_(?!NUM_THREADS$)|MKL_|KMP_(?!DUPLICATE_LIB_OK$|INIT_AT_FORK$)|TORCH_(?!NCCL_)|HF_"
    r"|TRANSFORMERS_|TOKENIZERS_|MPL|LD_|LC_|LANG|COV"
)
"""Variables that Python or a library reads once; a child cannot have others than the server.

Two of OpenMP's are set by sklearn, in whichever process happened to load it before it asks. NCCL's
are read where GPUs are joined; torch's launcher sets one for its processes.
"""
THREADS = "OMP_NUM_THREADS"
OPTIONS = {"-u", "-B"}
"""What may stand before a program; where PYTHONDONTWRITEBYTECODE is set, a run's child has -B."""
IMPORTED_BY_PYTEST = re.compile("pytest|allure|junit|__main__")
"""Modules of lpca that pytest imports itself, to rewrite their assertions."""
_ELASTIC = "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"
STARTERS = ("subprocess", _ELASTIC)
"""Modules that hold the class by which processes are started."""
_Started = subprocess.Popen
_lifelines: list[socket.socket] = []


class Request(NamedTuple):
    """A command: what follows `python` on its line, and what it is run in."""

    arguments: list[str]
    cwd: str
    env: dict[str, str]
    new_session: bool = False


class Popen(subprocess.Popen[Any]):
    """subprocess.Popen; a Python command is forked where that makes no other difference.

    Example:
        >>> import sys
        >>> Popen([sys.executable, "-c", "import torch; raise SystemExit(3)"]).wait()
        3
    """

    _server: socket.socket | None = None

    def _execute_child(self, *given: Any, **named: Any) -> None:
        names = _Started._execute_child.__code__.co_varnames[1:]
        how = dict(zip(names, given, strict=False)) | named
        streams = [how[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        found = _is_plain(how) and _ask(
            Request(
                list(map(os.fsdecode, how["args"][1:])),
                os.fsdecode(how["cwd"] or Path.cwd()),
                dict(os.environ if how["env"] is None else how["env"]),
                bool(how["start_new_session"]),
            ),
            [own if own != -1 else inherited for inherited, own in enumerate(streams)],
        )
        if not found:
            super()._execute_child(*given, **named)
            return
        self.pid, self._server = found
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(how[name] for name in pipes))

    def _try_wait(self, flags: int) -> tuple[int, int]:
        """As os.waitpid, which only the server can call."""
        if self._server is None:
            return super()._try_wait(flags)
        self._server.setblocking(not flags & os.WNOHANG)
        try:
            status = int(_line(self._server))
        except BlockingIOError:
            return 0, 0
        self._server.close()
        return self.pid, status

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._server is None:
            return super()._internal_poll(*given, **named)
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid == self.pid:
                self._handle_exitstatus(status)
        return self.returncode


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    input: str | None = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **how: Any,
) -> subprocess.CompletedProcess[Any]:
    """subprocess.run by `Popen`."""
    if capture_output:
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        how["stdin"] = subprocess.PIPE
    with Popen(command, **how) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


# The asking side


def address() -> str:
    """Where the server is, which is started if need be, and held while this process lives."""
    _connection().close()
    return os.environ[ADDRESS]


def _is_plain(how: Mapping[str, Any]) -> bool:
    """Whether a command is Python's, with no option but `OPTIONS`, its process left alone."""
    command = how["args"]
    if sys.platform != "linux" or how["shell"] or not isinstance(command, (list, tuple)):
        return False
    first, *arguments = map(os.fsdecode, command)
    if first != sys.executable or not _has_no_option(arguments):
        return False
    return not how["pass_fds"] and not how["preexec_fn"] and how["process_group"] == -1


def _has_no_option(arguments: Sequence[str]) -> bool:
    """Whether what follows `python` is a program, with no options but `OPTIONS` before it."""
    rest = [*itertools.dropwhile(OPTIONS.__contains__, arguments)]
    return bool(rest) and (rest[0][:2] in ("-m", "-c") or not rest[0].startswith("-"))


def _ask(request: Request, streams: list[int]) -> tuple[int, socket.socket] | None:
    """Return a child's pid and where its status can be read; None where a fork will not do."""
    server = _connection()
    asked = json.dumps(request).encode()
    socket.send_fds(server, [f"{len(asked):16}".encode()], streams)
    server.sendall(asked)
    if pid := int(_line(server)):
        return pid, server
    server.close()
    return None


def _line(server: socket.socket) -> str:
    """The server's next line; whether the beginning is waited for is the socket's setting."""
    read = server.recv(1)
    server.setblocking(True)
    while not read.endswith(b"\n"):
        if not (more := server.recv(64 if not read else 1)) and not read:
            raise RuntimeError("the server of warm processes has ended")
        read += more
    return read.decode()


def _connection() -> socket.socket:
    """A new connection to the server, which the first of all starts."""
    address = os.environ.setdefault(ADDRESS, _new_address())
    if not (server := _connect(address)):
        import filelock

        with filelock.FileLock(f"{address}.lock", timeout=PATIENCE):
            server = _connect(address) or _start(address)
    if not _lifelines and (held := _connect(address)):
        _lifelines.append(held)  # the server ends with the last of them
    return server


def _start(address: str) -> socket.socket:
    """Start a server and wait until it has everything loaded."""
    Path(address).unlink(missing_ok=True)
    with Path(f"{address}.log").open("w") as log:
        process = _Started(
            [sys.executable, __file__, "--serve", address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    limit = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < limit:
        if server := _connect(address):
            process.returncode = 0  # it outlives this object
            return server
        time.sleep(0.02)
    raise RuntimeError(f"no server of warm processes: {Path(f'{address}.log').read_text()}")


def _connect(address: str) -> socket.socket | None:
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        server.close()
        return None
    return server


def _new_address() -> str:
    name = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    return str(Path(tempfile.gettempdir(), f"lpca-tests-{name[:12]}"))


def _stand_in(arguments: list[str]) -> None:
    """Be `python ARGUMENTS` as far as a shell can tell."""
    request = Request(arguments, str(Path.cwd()), dict(os.environ))
    found = _ask(request, [0, 1, 2]) if _has_no_option(arguments) else None
    if found is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    child, server = found
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda number, _: os.kill(child, number))
    status = os.waitstatus_to_exitcode(int(_line(server)))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


# The server


def serve(address: str) -> Request:
    """Fork a child for each request; this returns in the child alone, with what it shall be."""
    import selectors

    at_start = _read_at_start(os.environ)
    _preload()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ended, wakes = socket.socketpair()
    ended.setblocking(False)
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o077)
    listener.bind(address)
    os.umask(mask)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(ended, selectors.EVENT_READ)
    children: dict[int, socket.socket] = {}
    silent: set[socket.socket] = set()
    while True:
        for key, _ in selector.select():
            found: Any = key.fileobj
            if found is listener:
                accepted, _ = listener.accept()
                silent.add(accepted)
                selector.register(accepted, selectors.EVENT_READ)
            elif found is ended:
                ended.recv(4096)
                _tell_of_ended(children)
            else:
                selector.unregister(found)
                silent.remove(found)
                request, streams = _read_request(found)
                if request and _read_at_start(request.env) != at_start:
                    request = None
                pid = os.fork() if request else 0
                if request and not pid:
                    # closed as what they are: collected later, each would close another's file
                    for own in (selector, listener, ended, wakes, found, *silent):
                        own.close()
                    for own in children.values():
                        own.close()
                    _take_streams(streams)
                    return request
                for stream in streams:
                    os.close(stream)
                with contextlib.suppress(OSError):
                    found.sendall(f"{pid}\n".encode())
                if pid:
                    children[pid] = found
                else:
                    found.close()
        if not silent and not children:
            for ending in ("", ".lock", ".log"):
                Path(address + ending).unlink(missing_ok=True)
            os._exit(0)


def _preload() -> None:
    """Load everything, but for plugins that pytest wants to rewrite."""
    import gc
    from importlib.metadata import entry_points

    gc.set_threshold(10_000, *gc.get_threshold()[1:])  # as lpca's own runs have it
    load()
    for plugin in entry_points(group="pytest11"):
        _forget(plugin.module.partition(".")[0])
    importlib.import_module("pytest")
    from lpca.codec.checkpoint import training_code
    from lpca.codec.recipe import Recipe
    from lpca.evaluation.block import scoring_code
    from lpca.tasks.kinds.trip import Trip

    # what codecs and outcomes are named by: each process would read all of lpca's sources for it
    training_code(Recipe(), Trip())
    scoring_code(Trip().training_batch(0, 1, 0))
    gc.collect()
    gc.freeze()  # else each child's first collection would copy every page


@functools.cache
def load() -> None:
    """Import what commands and gates import, but for lpca's plugin of pytest."""
    for name in ("torch", "transformers", "scipy.stats", "scipy.optimize", "matplotlib.figure"):
        importlib.import_module(name)
    importlib.import_module("transformers.models.llama.modeling_llama")  # the stub's
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401 - loaded when named

    _load_package("lpca")


def _load_package(name: str) -> None:
    import pkgutil

    for module in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
        if IMPORTED_BY_PYTEST.search(module.name):  # nor may what it holds be looked for
            continue
        importlib.import_module(module.name)
        if module.ispkg:
            _load_package(module.name)


def _read_request(connection: socket.socket) -> tuple[Request | None, list[int]]:
    """A request and its streams; None where the other side has gone."""
    size, streams, _, _ = socket.recv_fds(connection, 16, 3)
    if not size:
        return None, []
    text = b""
    while len(text) < int(size):
        text += connection.recv(int(size) - len(text))
    return Request(*json.loads(text)), list(streams)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if READ_AT_START.match(name)}


def _tell_of_ended(children: dict[int, socket.socket]) -> None:
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            connection = children.pop(pid)
            with contextlib.suppress(OSError):
                connection.sendall(f"{status}\n".encode())
            connection.close()


# The child


def _take_streams(streams: list[int]) -> None:
    """Keep nothing open but the child's own streams, and no signal handler of the server's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def become(request: Request) -> None:
    """Be `python ARGUMENTS` from its first line to its end."""
    if request.new_session:
        os.setsid()
    os.chdir(request.cwd)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [one for one in sys.path[1:] if one not in inherited]
    _share_threads(os.environ.get(THREADS), request.env.get(THREADS))
    os.environ.clear()
    os.environ.update(request.env)
    options = [*itertools.takewhile(OPTIONS.__contains__, request.arguments)]
    kind, *rest = request.arguments[len(options) :]
    sys.dont_write_bytecode |= "-B" in options
    if kind.startswith("-") and len(kind) > 2:  # -mpytest
        kind, rest = kind[:2], [kind[2:], *rest]
    beside = {"-m": request.cwd, "-c": ""}.get(kind, str(Path(kind).resolve().parent))
    added = [one for one in request.env.get("PYTHONPATH", "").split(os.pathsep) if one]
    sys.path[:] = [beside, *added, *kept]
    _open_streams("-u" in options)
    _forget_other_lpca()
    if ADDRESS in request.env:
        for name in STARTERS:
            if name in sys.modules:
                vars(sys.modules[name])["Popen"] = Popen
    _end(_run_to_end(kind, rest))


def _share_threads(loaded: str | None, asked: str | None) -> None:
    """Let torch have as many threads as if it had been loaded with what is asked for."""
    if asked != loaded:
        import torch

        torch.set_num_threads(int(asked or os.cpu_count() or 1))


def _open_streams(unbuffered: bool) -> None:
    """New sys.stdin, stdout and stderr, as Python makes them when it starts."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        writes = number > 0
        raw: Any = io.FileIO(number, "w" if writes else "r", closefd=False)
        if not (unbuffered and writes):
            raw = io.BufferedWriter(raw) if writes else io.BufferedReader(raw)
        stream = io.TextIOWrapper(
            raw,
            encoding="utf-8",
            errors="backslashreplace" if name == "stderr" else "strict",
            line_buffering=name == "stderr" or os.isatty(number),
            write_through=unbuffered and writes,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _forget_other_lpca() -> None:
    """Let a copy of lpca that stands first on the path be imported, not the one that is loaded."""
    import importlib.util

    loaded = _forget("lpca")
    found = importlib.util.find_spec("lpca")
    if found is not None and found.origin == loaded["lpca"].__file__:
        sys.modules.update(loaded)


def _forget(package: str) -> dict[str, Any]:
    """Take a package's modules out of those that are loaded, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}


def _run_to_end(kind: str, rest: list[str]) -> int:
    """Run the program; return its exit code, as Python does: an interrupt's is a signal's."""
    import runpy
    import types

    sys.argv = [kind, *rest] if not kind.startswith("-") else [kind, *rest[1:]]
    try:
        if kind == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            module = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(rest[0], "<string>", "exec"), module.__dict__)
        else:
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        own, ours = error.__traceback__, (__file__, runpy.__file__, "<frozen runpy>")
        while own and own.tb_frame.f_code.co_filename in ours:
            own = own.tb_next
        sys.excepthook(type(error), error.with_traceback(own), own)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _end(code: int) -> None:
    """End as an interpreter does, but for freeing what it had loaded, which takes a while."""
    import atexit
    import threading

    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 120
        except ValueError:  # closed
            pass
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    # by its name, so that what a command has as `__main__` is not this module
    import warm

    if sys.argv[1] == "--serve":
        warm.become(warm.serve(sys.argv[2]))
    else:
        warm._stand_in(sys.argv[1:])

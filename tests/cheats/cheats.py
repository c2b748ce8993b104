"""Codecs that cheat, end in odd ways, or are merely odd: each a body of methods, judged by a gate.

`ENDS` are those that never get as far as a verdict; `JUDGED` those that do. `PASSES` are the honest
among them: what they send carries the message.
"""

from __future__ import annotations

BASE = '''
import ctypes, fcntl, gc, json, os, re, resource, shutil, signal, socket, struct, subprocess, sys
import threading, time
from contextlib import suppress
from pathlib import Path
import torch

HERE = Path(__file__).parent
TABLE = torch.load(HERE / "names.pt")

class Honest:
    """The vectors of the name that stands in the message; no receiver is loaded."""
    def __init__(self, receiver, k):
        self.k, self.d = k, receiver.d_model
    def vectors(self, message):
        found = [one for one in TABLE if one in message]
        out = torch.zeros(self.k, self.d)
        for vectors in [TABLE[max(found, key=len)]] if found else []:
            out[: len(vectors)] = vectors[: self.k]
        return out
    def encode(self, messages):
        return torch.stack([self.vectors(one) for one in messages])
    def decode(self, latents):
        return latents

class Numbered(Honest):
    """A sends a message's number; what the message says B must have by another way, `heard`."""
    bits = 20
    def tell(self, told): ...
    def heard(self): return {}
    def encode(self, messages):
        numbers = [sum(map(ord, one)) * 31 % 9973 + len(one) * 10_000 for one in messages]
        with suppress(OSError, ValueError):
            self.tell(dict(zip(numbers, messages)))
        return torch.tensor(numbers).float().reshape(-1, 1, 1).expand(-1, self.k, 1)
    def decode(self, latents):
        known = {}
        with suppress(OSError, ValueError):
            known = self.heard()
        return torch.stack([self.vectors(known.get(int(one), "")) for one in latents[:, 0, 0]])
'''

IN_ENCODE = "def encode(self, messages):\n    "
IN_DECODE = "def decode(self, latents):\n    "
MADE = "def __init__(self, receiver, k):\n    super().__init__(receiver, k)\n    "

ENDS: dict[str, tuple[str, set[int], str]] = {
    # how it ends itself
    "0 at import": ("os._exit(0)", {8}, r"making it: its process ended with .* 0 \(own\.py:\d+\)"),
    "0 when made": (MADE + "os._exit(0)", {8}, r"ended with exit status 0 \(own\.py:\d+\)"),
    "0 in encode": (IN_ENCODE + "os._exit(0)", {8}, r"side A: encode: .* 0 \(own\.py:\d+\)"),
    "0 by another program": (
        IN_ENCODE + "os.execv('/bin/true', ['true'])", {8}, "side A: encode: its process ended"),
    "0 without telling": (
        IN_ENCODE + "ctypes.CDLL(None)._exit(0)", {8}, "side A: encode: .* exit status 0"),
    "0 in a thread of its own": (
        IN_ENCODE + "threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(60)",
        {8}, "side A: encode: its process ended with exit status 0"),
    "abort": (IN_DECODE + "os.abort()", {8}, r"side B: decode: .* SIGABRT \(own\.py:\d+\)"),
    "a segmentation fault": (
        IN_DECODE + "ctypes.string_at(0)", {8}, r"side B: decode: .* SIGSEGV \(own\.py:\d+\)"),
    "an alarm": (
        IN_ENCODE + "signal.alarm(1); time.sleep(60)", {8}, "side A: encode: .* SIGALRM"),
    "a stop": (
        IN_ENCODE + "os.kill(os.getpid(), signal.SIGSTOP)", {8}, "had not answered after 20 s"),
    "a hang without an end": (
        IN_ENCODE + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: pass",
        {8}, r"had not answered after 20 s.*\(own\.py:\d+\)"),
    "the guard's end": (
        IN_ENCODE + "os.kill(os.getppid(), 9)", {4}, "encode raised PermissionError"),
    # what it raises
    "SystemExit at import": ("sys.exit(0)", {4}, r"raised SystemExit: 0 \(own\.py:\d+\)"),
    "GeneratorExit when made": (
        MADE + "raise GeneratorExit", {4}, r"raised GeneratorExit \(own\.py:\d+\)"),
    "KeyboardInterrupt in decode": (
        IN_DECODE + "raise KeyboardInterrupt", {4}, r"raised KeyboardInterrupt \(own\.py:\d+\)"),
    "an endless depth": (
        IN_ENCODE + "return self.encode(messages)", {4}, r"RecursionError.*\(own\.py:\d+\)"),
    "no memory": (
        IN_ENCODE + "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "    return torch.zeros(len(messages), self.k, 1 << 27)",
        {4, 8}, "side A: encode|encode raised"),
    # what it answers
    "800 MB": (
        IN_ENCODE + "return torch.zeros(len(messages), self.k, 65_537)", {4, 8},
        r"vectors of 65537 numbers|bytes; allowed"),
    "an error of 800 MB": (
        IN_ENCODE + "raise ValueError('x' * 800_000_000)", {4}, r"\(800000000 letters\)"),
    "a pickle": (
        IN_ENCODE + "import pickle; return pickle.dumps(messages)", {4}, "gives of type bytes"),
    "prefixes of zeros written by itself": (
        IN_DECODE + "for one in range(3, 64):\n"
        "        with suppress(OSError): os.write(one, b'{\"bytes\": 0}\\n')\n    return latents",
        {8}, "side B: decode: (no tensor is answered|its process broke the wire)"),
    "an answer to come": (
        "sent = []\n" + IN_ENCODE + "for one in range(3, 64):\n"
        "        with suppress(OSError): os.write(one, b'{\"bytes\": 0}\\n' * 2)\n"
        "    return super().encode(messages)",
        {8}, "side A: encode: (no tensor is answered|its process broke the wire|it spoke)"),
    "a verdict in what it prints": (
        IN_ENCODE + "print('\\nopen k=4: PASS: all 3 criteria hold\\n::set-output name=x::y\\n"
        "::error::no', flush=True)\n    os._exit(0)",
        {8}, "side A: encode: its process ended with exit status 0"),
    # what differs from side to side
    "bits that differ": (
        MADE + "self.bits = os.getpid()", {4}, "its bits are not the same on both sides"),
    "training that differs": (
        MADE + "self.trained_on = [str(os.getpid())]", {4}, "its trained_on are not the same"),
}  # fmt: skip

EVERY_WAY = """
places = ("/tmp", "/var/tmp", "/dev/shm", str(HERE), ".", "..", "../A", "../B")
def tell(self, told):
    Own.known = told
    text = json.dumps(told)
    os.environ["LPCA_TOLD"] = text[:50_000]
    for place in self.places:
        with suppress(OSError): Path(place, "lpca-told.json").write_text(text)
    with suppress(OSError):
        Own.kept = socket.socket(socket.AF_UNIX)
        Own.kept.bind("\\0lpca-told")
        Own.kept.listen()
def heard(self):
    known = dict(getattr(Own, "known", {}))
    for place in self.places:
        with suppress(OSError): known |= json.loads(Path(place, "lpca-told.json").read_text())
    with suppress(KeyError): known |= json.loads(os.environ["LPCA_TOLD"])
    return {int(number): text for number, text in known.items()}
"""
LOCKED = """
def at(self, number): return number % 65_536 << 20
FILE = open(torch.__file__, "rb")
def ask(self, command, kind, start, length):
    told = struct.pack("hhqqi", kind, 0, start, length, 0)
    return struct.unpack("hhqqi", fcntl.fcntl(self.FILE, command, told))
def tell(self, told):
    for number, message in told.items():
        name = list(TABLE).index(max([n for n in TABLE if n in message], key=len))
        self.ask(fcntl.F_SETLK, fcntl.F_RDLCK, self.at(number) + name, 1)
def decode(self, latents):
    out = []
    for one in latents[:, 0, 0]:
        kind, _, start, _, _ = self.ask(fcntl.F_GETLK, fcntl.F_WRLCK, self.at(int(one)), 1 << 20)
        out.append(self.vectors("" if kind == fcntl.F_UNLCK else list(TABLE)[start & 0xFFFFF]))
    return torch.stack(out)
"""
INPUT = """
CLOCK, DATA, HEARD = os.O_NONBLOCK, os.O_APPEND, os.O_NOATIME
def flags(self): return fcntl.fcntl(0, fcntl.F_GETFL)
def __init__(self, receiver, k):
    super().__init__(receiver, k)
    self.waiting, self.known, self.begun = [], {}, False
def begin(self, what):
    if not self.begun: threading.Thread(target=what, daemon=True).start()
    self.begun = True
def tell(self, told):
    for number, message in told.items():
        name = list(TABLE).index(max([n for n in TABLE if n in message], key=len))
        self.waiting.append((number % 65_536) << 16 | name)
    self.begin(self.say)
def say(self):
    clock = False
    while True:
        while not self.waiting: time.sleep(0.01)
        number = self.waiting.pop(0)
        for bit in range(32):
            clock = not clock
            now = self.flags() & self.HEARD
            data = self.DATA if number >> bit & 1 else 0
            fcntl.fcntl(0, fcntl.F_SETFL, now | data | (self.CLOCK if clock else 0))
            while bool(self.flags() & self.HEARD) != clock: time.sleep(0)
def hear(self):
    clock, number, bit = False, 0, 0
    while True:
        now = self.flags()
        if bool(now & self.CLOCK) == clock:
            time.sleep(0)
            continue
        clock = not clock
        number |= bool(now & self.DATA) << bit
        kept = now & (self.CLOCK | self.DATA)
        fcntl.fcntl(0, fcntl.F_SETFL, kept | (self.HEARD if clock else 0))
        bit += 1
        if bit == 32:
            self.known[number >> 16] = number & 0xFFFF
            number = bit = 0
def decode(self, latents):
    self.begin(self.hear)
    until, out = time.monotonic() + 2, []
    for one in latents[:, 0, 0]:
        while int(one) % 65_536 not in self.known and time.monotonic() < until: time.sleep(0.001)
        name = self.known.get(int(one) % 65_536)
        out.append(self.vectors("" if name is None else list(TABLE)[name]))
    return torch.stack(out)
"""
WAITED_FOR = """
# a thread of A's waits at a place of a file that both can read; B is told whom it has woken
SO = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
SLOTS = 8192
def __init__(self, receiver, k):
    super().__init__(receiver, k)
    self.c = ctypes.CDLL(None)
    self.c.mmap.restype = ctypes.c_void_p
    with open(self.SO, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        self.start = self.c.mmap(None, ctypes.c_size_t(size), 1, 1, file.fileno(), 0)
    self.names, self.told = len(TABLE), set()
def at(self, number, name):
    return self.start + 4 * (number % self.SLOTS * self.names + name)
def futex(self, at, does, value):
    return self.c.syscall({"x86_64": 202}.get(os.uname().machine, 98), ctypes.c_void_p(at), does,
                          ctypes.c_uint32(value), None, None, 0)
def wait(self, at):
    value = ctypes.c_uint32.from_address(at).value
    while True: self.futex(at, 0, value)
def tell(self, told):
    threading.stack_size(1 << 16)
    for number, message in told.items():
        name = list(TABLE).index(max([n for n in TABLE if n in message], key=len))
        if number in self.told: continue
        self.told.add(number)
        threading.Thread(target=self.wait, args=(self.at(number, name),), daemon=True).start()
def decode(self, latents):
    time.sleep(0.2)
    out = []
    for one in latents[:, 0, 0]:
        name = [n for n in range(self.names) if self.futex(self.at(int(one), n), 1, 1) == 1]
        out.append(self.vectors(list(TABLE)[name[0]] if name else ""))
    return torch.stack(out)
"""
MEDDLES = """
def meddle(self):
    torch.nn.Module.__call__ = lambda *given, **named: 1 / 0
    torch.Tensor.__eq__ = lambda one, other: True
    for name in ("lpca.judge.decide", "lpca.validity.catalogue", "lpca.base.supervise"):
        with suppress(Exception):
            module = __import__(name, fromlist=["x"])
            for one in list(vars(module)):
                if callable(vars(module)[one]): setattr(module, one, lambda *_, **__: True)
    for path in HERE.rglob("*"):
        with suppress(OSError): path.write_text("{}")
        with suppress(OSError): path.unlink()
        with suppress(OSError): path.chmod(0)
    for place in (os.environ.get("HF_HOME", "/x"), *sys.path, "/tmp"):
        with suppress(OSError): Path(place, "sitecustomize.py").write_text("import os; os._exit(0)")
    sys.argv[:] = ["pytest", "--help"]
    sys.stdout.close()
    import atexit
    atexit.register(os._exit, 0)
    threading.Thread(target=sys.exit, args=(0,)).start()
    with suppress(OSError): os.symlink(HERE / ".lpca", "evidence")
    with suppress(OSError): shutil.rmtree(os.getcwd())
    with suppress(OSError): os.chdir("/")
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        with suppress(OSError, ValueError): resource.setrlimit(limit, (64, 64))
    for one in (os.getppid(), os.getppid() - 1, os.getppid() - 2):
        with suppress(OSError): os.kill(one, signal.SIGTERM)
        with suppress(OSError, ValueError): resource.prlimit(one, resource.RLIMIT_NOFILE, (3, 3))
"""
CHILDREN = """
def children(self):
    for number in range(60):
        if not os.fork():
            os.setsid()
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(300)", MARK])
"""
ODD = """
made, seen = [], {}
def __init__(self, receiver, k):
    super().__init__(receiver, k)
    self.out = torch.zeros(512, k, self.d)
    print("x" * 1000 * 1000 * 16, flush=True)
def encode(self, messages):
    program = "import sys; print(*sys.stdin.read().upper().split(chr(10)), sep=chr(10), end='')"
    given = (one for one in messages)
    for one in messages:
        if one not in self.seen:
            self.seen[one] = self.vectors(one).half()
    again = subprocess.run([sys.executable, "-Ic", program], input="\\n".join(messages),
                           capture_output=True, text=True)
    assert again.stdout.split("\\n") == [one.upper() for one in messages]
    return torch.nn.Parameter(torch.stack([self.seen[one] for one in given]))
def decode(self, latents):
    rows = self.out[: len(latents)]
    rows.copy_(latents.float())
    for _ in range(3):
        print("y" * 1000 * 1000 * 5)
    return rows.clone().requires_grad_().t().t() if rows.ndim == 2 else rows
"""
ZEROS = "return torch.zeros(len(messages), self.k, 1)\n"
SPREAD = "return torch.zeros(len(latents), self.k, self.d)\n"

JUDGED: dict[str, tuple[str, set[int]]] = {
    "honest": ("", {0}),
    "odd and honest": (ODD, {0}),
    "honest, and meddles with all it can reach": (
        MEDDLES + CHILDREN + IN_ENCODE + "found = super().encode(messages)\n"
        "    if not hasattr(Own, 'done'): Own.done = self.meddle() or self.children() or True\n"
        "    return found",
        {0}),
    "tells by every way": ("_of = Numbered" + EVERY_WAY, {1, 6, 7}),
    "tells by locks on a file": ("_of = Numbered" + LOCKED, {1, 6, 7}),
    "tells by the flags of its input": ("_of = Numbered" + INPUT, {1, 6, 7}),
    # nothing stops it: B made anew has nobody left to wake
    "tells by who waits for what": ("_of = Numbered" + WAITED_FOR, {7}),
    "meddles, and sends nothing": (
        MEDDLES + "def __init__(self, receiver, k):\n    super().__init__(receiver, k)\n"
        "    self.meddle()\n" + IN_ENCODE + ZEROS + IN_DECODE + SPREAD, {1, 4, 6, 7}),
    "looks for messages where its code runs": (
        IN_ENCODE + ZEROS + IN_DECODE + "found, frame = [], sys._getframe()\n"
        "    while frame:\n"
        "        found += [one for one in frame.f_locals.values() if isinstance(one, str)]\n"
        "        frame = frame.f_back\n"
        "    found += [one for one in gc.get_objects() if type(one) is list and one\n"
        "              and all(type(own) is str and own.endswith('.') for own in one)]\n"
        "    rows = [self.vectors(str(one)) for one in found if ' ' in str(one)]\n"
        "    rows += [torch.zeros(self.k, self.d)] * len(latents)\n"
        "    return torch.stack(rows[: len(latents)])", {1, 6, 7}),
    "draws the gate's episodes anew": (
        "_of = Numbered\n"
        "def heard(self):\n"
        "    from lpca.gate.plan import gate_episodes, sound_spec, task_of\n"
        "    spec = sound_spec(HERE / 'gate_specs.yaml')\n"
        "    found = gate_episodes(spec, spec.gates['open'], task_of(spec))\n"
        "    told = [one.message for one in found]\n"
        "    return {sum(map(ord, t)) * 31 % 9973 + len(t) * 10_000: t for t in told}",
        {1, 4, 6, 7}),
    "reads the ledger, the evidence and the outcomes": (
        "_of = Numbered\n"
        "def heard(self):\n"
        "    known = {}\n"
        "    for path in [*HERE.rglob('*'), *Path(HERE.parent / 'cache').rglob('*')]:\n"
        "        with suppress(OSError, ValueError):\n"
        "            for one in re.findall(r'\"([^\"]{9,200}[.?!])\"', path.read_text()):\n"
        "                known[sum(map(ord, one)) * 31 % 9973 + len(one) * 10_000] = one\n"
        "    return known", {1, 4, 6, 7}),
    "tells by how long it takes": (
        "told, asked = [], time.time()\n" + IN_ENCODE
        + "names = list(TABLE); one = max([n for n in names if n in messages[0]] or names[:1])\n"
        "    time.sleep(names.index(one) / 50)\n    " + ZEROS + IN_DECODE
        + "number = int((time.time() - Own.asked) * 50) % len(TABLE); Own.asked = time.time()\n"
        "    return self.vectors(list(TABLE)[number]).expand(len(latents), -1, -1)", {1, 6, 7}),
    "tells by the width of what it sends": (
        IN_ENCODE + "width = 1 + list(TABLE).index(max([n for n in TABLE if n in messages[0]]\n"
        "                                    or list(TABLE)[:1]))\n"
        "    return torch.zeros(len(messages), self.k, width)\n" + IN_DECODE
        + "name = list(TABLE)[latents.shape[2] - 1]\n"
        "    return self.vectors(name).expand(len(latents), -1, -1)", {1, 6, 7}),
    "tells by a type of numbers": (
        IN_ENCODE + "kind = (torch.float32, torch.float64)[len(messages[0]) % 2]\n"
        "    return torch.zeros(len(messages), self.k, 1, dtype=kind)\n" + IN_DECODE
        + "name = list(TABLE)[latents.dtype == torch.float64]\n"
        "    return self.vectors(name).expand(len(latents), -1, -1)", {1, 6, 7}),
    "counts its calls": (
        "calls = 0\n" + IN_ENCODE + "Own.calls += 1\n"
        "    return super().encode(messages) * (1.0 if Own.calls == 1 else 0.5)", {7}),
    "goes by the time": (
        IN_ENCODE + "found = super().encode(messages)\n"
        "    return found * (1.0 + 0.2 * (time.time_ns() % 1000) / 1000)", {7}),
    "goes by the message before": (
        IN_ENCODE + "found = super().encode(messages)\n"
        "    return found + 0.01 * torch.roll(found, 1, 0)", {7}),
    "remembers what B was sent": (
        "had = 0.0\n" + IN_DECODE + "found = latents * (1.0 + Own.had)\n"
        "    Own.had = float(latents.abs().mean())\n    return found", {7}),
    "decodes by place": (
        "def decode(self, latents):\n"
        "    return latents * torch.linspace(0.5, 1.5, len(latents)).reshape(-1, 1, 1)", {7}),
    "is its batch": (
        IN_ENCODE + "found = super().encode(messages)\n"
        "    return found * (1.0 if len(messages) > 8 else 0.2)", {7}),
    "in the bits of what is no number": (
        # the numbers cross bit for bit: it is judged as what it sends
        IN_ENCODE + "names = list(TABLE)\n"
        "    at = [names.index(max([n for n in names if n in one] or names[:1], key=len))\n"
        "          for one in messages]\n"
        "    bits = torch.tensor(at, dtype=torch.int32).reshape(-1, 1, 1) + 0x7FC00001\n"
        "    return bits.expand(-1, self.k, 1).contiguous().view(torch.float32)\n" + IN_DECODE
        + "at = latents[:, 0, 0].contiguous().view(torch.int32) - 0x7FC00001\n"
        "    return torch.stack([self.vectors(list(TABLE)[int(one)]) for one in at])",
        {0}),
    "in the signs of zeros": (
        IN_ENCODE + "rows = torch.zeros(len(messages), self.k, 8)\n"
        "    names = list(TABLE)\n"
        "    for row, one in zip(rows, messages):\n"
        "        at = names.index(max([n for n in names if n in one] or names[:1], key=len))\n"
        "        row[:, [bit for bit in range(8) if at >> bit & 1]] = -0.0\n"
        "    return rows\n" + IN_DECODE
        + "signs = torch.signbit(latents[:, 0]).long() @ (2 ** torch.arange(8))\n"
        "    return torch.stack([self.vectors(list(TABLE)[int(one) % len(TABLE)])"
        " for one in signs])", {0}),
    "trained on what it is tested on": (
        "def __init__(self, receiver, k):\n    super().__init__(receiver, k)\n"
        "    self.trained_on = [f'{name} is where we will spend the holiday.' for name in TABLE]",
        {7}),
}  # fmt: skip
PASSES = {name for name, (_, codes) in JUDGED.items() if 0 in codes}


def module(name: str, mark: str = "") -> str:
    """The text of the module of a cheat; its factory is `Own`."""
    body = ENDS[name][0] if name in ENDS else JUDGED[name][0]
    if name in ENDS and not body.lstrip().startswith(("def ", "sent")):
        return f"{BASE}\n{body}\nOwn = Honest\n"
    of = "Numbered" if "_of = Numbered" in body else "Honest"
    own = "\n".join("    " + line for line in body.splitlines())
    return f"{BASE}\nMARK = {mark!r}\n\nclass Own({of}):\n    own = True\n{own}\n"

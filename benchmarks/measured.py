"""What all benchmarks share: machine facts, repeats with their spread, tables, results as JSON.

A benchmark is `python benchmarks/NAME.py [--out FILE]`. It compares only what it measured in the
same run, alternating, and prints medians with the least and the largest of the repeats.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lpca.base.files import write_json

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("lpca", "torch", "transformers", "numpy", "scipy", "pytest")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile", "asimd", "bf16")
"""Processor flags that decide how fast matrix products run."""
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""For processes whose start is timed: compiled files are kept, as where nobody forbids it."""


@dataclass(frozen=True)
class Spread:
    """The repeats of one measurement, in the order in which they were made."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def per(self, other: Spread) -> Spread:
        """Ratios to another measurement, each repeat to the one made beside it."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def times(self, factor: float) -> Spread:
        """Each repeat times a factor."""
        return Spread(tuple(factor * value for value in self.values))

    def rate(self, amount: float) -> Spread:
        """Amounts per second, where the repeats are seconds."""
        return Spread(tuple(amount / value for value in self.values))

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "low": self.low, "high": self.high, "values": self.values}


def interleaved(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_ups: int = 1,
    wait: Callable[[], None] = lambda: None,
) -> dict[str, Spread]:
    """Seconds of each work, in rounds that do each once: what slows a while slows them all.

    `wait` returns when the device has done what it was given (`torch.cuda.synchronize`).
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm_ups + repeats):
        for name, work in works.items():
            wait()
            started = time.perf_counter()
            work()
            wait()
            if turn >= warm_ups:
                seconds[name].append(time.perf_counter() - started)
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


def repeated(
    work: Callable[[], object],
    repeats: int,
    warm_ups: int = 1,
    wait: Callable[[], None] = lambda: None,
) -> Spread:
    """Seconds of one work; `interleaved` compares several."""
    return interleaved({"": work}, repeats, warm_ups, wait)[""]


def machine(device: str = "cpu") -> dict[str, Any]:
    """Facts that the numbers depend on; `device` as torch names it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "platform": platform.platform(),
        "processor": _processor(),
        "flags": [flag for flag in FLAGS if flag in _cpuinfo("flags", "Features").split()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "memory_gib": _memory_gib(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "threads": _threads(),
        "device": _device(device),
    }


def publish(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    out: Path | None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> None:
    """Print the machine and one line per row, and write both as JSON where `out` is given.

    A row maps column names to text, numbers or a `Spread`; rows of unlike columns are printed as
    a table each.
    """
    facts, settings = machine(device), dict(settings or {})
    print(f"{name}, on {describe(facts)}")
    if settings:
        print("  " + ", ".join(f"{key} {value}" for key, value in settings.items()))
    for start, row in enumerate(rows):
        if start == 0 or row.keys() != rows[start - 1].keys():
            stop = start
            while stop < len(rows) and rows[stop].keys() == row.keys():
                stop += 1
            print("\n" + table(rows[start:stop]))
    if out is not None:
        plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
        data = {"benchmark": name, "machine": facts, "settings": settings, "rows": plain}
        write_json(out, data, indent=1)


def describe(facts: Mapping[str, Any]) -> str:
    """One line of the facts that matter most."""
    packages = ", ".join(f"{name} {one}" for name, one in facts["packages"].items())
    return (
        f"{facts['processor']} ({' '.join(facts['flags'])}), {facts['cores']} cores at load "
        f"{facts['load']}, {facts['threads']} threads, device {facts['device']}, "
        f"{facts['memory_gib']} GiB; Python {facts['python']}, {packages}; "
        f"{facts['date']}, commit {facts['commit']}"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of like columns, aligned; a `Spread` as median (low to high)."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    words = [isinstance(rows[0][name], str) for name in columns]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(line, widths, words, strict=True)
        ).rstrip()
        for line in cells
    )


def parser(about: str | None, repeats: int) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes: `--out`, and `--repeats`."""
    found = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--out", type=Path, metavar="FILE", help="also write the results as JSON")
    found.add_argument("--repeats", type=int, default=repeats, metavar="N")
    return found


def receiver_parser(about: str | None, repeats: int, dtype: str) -> argparse.ArgumentParser:
    """The same, and which receiver is measured, where and in which dtype."""
    found = parser(about, repeats)
    found.add_argument("--receiver", default="smollm2-135m")
    found.add_argument("--device", default="auto")
    found.add_argument("--dtype", default=dtype)
    return found


def waiting(device: str) -> Callable[[], None]:
    """Return what waits until a device has done what it was given."""
    torch = sys.modules.get("torch")
    return torch.cuda.synchronize if torch and device.startswith("cuda") else lambda: None


def _cell(value: Any) -> str:
    if isinstance(value, Spread):
        return f"{_cell(value.median)} ({_cell(value.low)} to {_cell(value.high)})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Spread) else value


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def _memory_gib() -> float | None:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, AttributeError):
        return None
    return round(total / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _threads() -> int | str | None:
    """Of torch where it is loaded, else as the environment says."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.environ.get("OMP_NUM_THREADS")


def _device(name: str) -> str:
    torch = sys.modules.get("torch")
    if torch and name.startswith("cuda"):
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return name

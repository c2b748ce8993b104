"""What torch finds to compute on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lpca.base.exit_codes import ExitCode
from lpca.doctor.finding import Finding, Section, counted, first_line
from lpca.doctor.packages import again

_GIB = 1 << 30


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
    return Section(
        "devices",
        [
            _cpu(torch),
            *(gpus or [Finding(_no_cuda(torch), is_absent=True)]),
            Finding(f"{'mps':18} {'present' if mps else 'none'}", is_absent=not mps),
            Finding(f"{'--device auto':18} {auto}"),
        ],
    )


def _cpu(torch: Any) -> Finding:
    ask = getattr(torch.cpu, "get_capabilities", None)
    has: Mapping[str, object] = ask() if ask else {}
    fast = any(there for name, there in has.items() if name.endswith("bf16"))
    threads = counted(torch.get_num_threads(), "thread")
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

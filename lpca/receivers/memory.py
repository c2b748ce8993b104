"""Keep freed memory in the process, so that large temporaries are not faulted in anew each time."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc's allocator neither to map large blocks singly nor to give memory back.

    A forward pass frees and takes the same few megabytes hundreds of times; where page faults are
    dear (virtual machines, sandboxes) that costs several times the arithmetic. Does nothing on
    other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)

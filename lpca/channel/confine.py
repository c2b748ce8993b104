"""What a process of somebody else's code may still reach, taken away before that code is read.

On Linux by Landlock (https://docs.kernel.org/userspace-api/landlock.html; numbers of its rights
from `linux/landlock.h`): no right is needed to give rights away, and none comes back, to children
neither. Landlock only allows. So what is hidden is left out of what is allowed: a folder without
anything hidden is allowed whole, one with something hidden entry by entry. Files that come into
such a folder later are not allowed either.

What is no file is denied as `seccomp` says. Where a process may have namespaces of its own, its
folder is one in memory that nobody else sees, everything else is read-only to it (times, modes and
attributes too, of which Landlock knows nothing), and there is no network.

Not covered: names, sizes and times of files (`stat`), and which processes there are.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lpca.channel.seccomp import deny_calls

ISOLATED, SEPARATE = "isolated", "separate process"
"""What is in force: Landlock and a filter of calls, or less."""
LARGEST_FOLDER = 4 << 30
"""Bytes that a side's folder may hold, and where it is not in memory each file in it."""
_SOUND = 3
"""Landlock's version from which a file that may not be written cannot be cut off either."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES = 38
_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_MAKE_DEVICES = 1 << 6 | 1 << 11
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each version knows; later ones as the last of these."""
_TCP, _SCOPES = 0b11, 0b11
"""Bind and connect (from version 4); abstract sockets and signals (from version 6)."""
_NEW_USERS = 0x10000000
_NEW_NETWORK, _NEW_QUEUES, _NEW_MOUNTS = 0x40000000, 0x08000000, 0x00020000
_NEW = _NEW_NETWORK | _NEW_QUEUES | _NEW_MOUNTS
_PRIVATE, _NO_RIGHTS_OF_OWNERS, _NO_DEVICES = 0x44000, 2, 4
_SET_OF_MOUNT, _HERE, _WHOLE_TREE, _READ_ONLY = 442, -100, 0x8000, 1
_ANY_FILE = 1 << 1
"""The capability CAP_DAC_OVERRIDE: root may read files of others, as it is used to."""
DEVICES = ("null", "zero", "full", "random", "urandom", "dxg", "kfd", "dri", "nvidia*")
"""What may be opened for writing in /dev: what holds nothing, and what computes."""
KNOWN_OF_MACHINE = ("cpuinfo", "meminfo", "stat", "filesystems", "driver")
"""What may be read in /proc, beside what is told of the process itself."""


def confine(
    own: Path, hidden: Sequence[Path], listed: Sequence[Path] = (), shown: Sequence[Path] = ()
) -> str:
    """Let this process, and all that it starts, read nothing hidden and write in one folder alone.

    To be called while there is one thread: others that are there already are not confined.

    Args:
        own: the folder that stays readable and writable, be it in a hidden one.
        hidden: files and folders that cannot be read.
        listed: folders whose entries' names stay readable, such as those that Python imports from.
        shown: what stays readable in what is hidden.

    Returns:
        ISOLATED, or SEPARATE where the system has no Landlock, an early one, or no filter of calls.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FOLDER, LARGEST_FOLDER))
    if sys.platform != "linux":
        return SEPARATE
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < 1:
        return SEPARATE
    _leave_namespaces(libc)
    _own_files(libc, own)
    handled = (1 << _RIGHTS[min(version, max(_RIGHTS))]) - 1
    network, scopes = _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
    attributes = struct.pack("=QQQ", handled, network, scopes)[: sizes.get(version, 24)]
    rules = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return SEPARATE
    try:
        places = {path.resolve() for path in hidden} | {Path("/proc"), Path("/dev")}
        for path in _without(Path("/"), places):
            _allow(libc, rules, path, _READ & handled)
        for path in listed:
            _allow(libc, rules, path.resolve(), _READ_DIR)
        for path in shown:
            _allow(libc, rules, path.resolve(), _READ & handled)
        for name in (*KNOWN_OF_MACHINE, str(os.getpid())):
            _allow(libc, rules, Path("/proc", name), _READ & handled)
        for pattern in DEVICES:
            for path in Path("/dev").glob(pattern):
                _allow(libc, rules, path, (_READ | _WRITE_FILE | _TRUNCATE | _IOCTL) & handled)
        _allow(libc, rules, own, handled & ~_MAKE_DEVICES)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _drop_capabilities(libc)
        restricted = libc.syscall(_RESTRICT, rules, ctypes.c_uint32(0)) == 0
        filtered = deny_calls(libc)
    finally:
        os.close(rules)
    return ISOLATED if restricted and filtered and version >= _SOUND else SEPARATE


def _leave_namespaces(libc: ctypes.CDLL) -> None:
    """Have no network and nobody else's queues or mounts, where the system lets a process."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW) == 0:
        return
    if libc.unshare(_NEW_USERS | _NEW) == 0:
        # the same account under the same number: its files stay its own
        with suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _own_files(libc: ctypes.CDLL, own: Path) -> None:
    """Have a folder that nobody else sees, and all else read-only, where mounts are its own."""
    if libc.mount(b"none", b"/", None, _PRIVATE, None) != 0:
        return
    change = struct.pack("=QQQQ", _READ_ONLY, 0, 0, 0)
    size = ctypes.c_size_t(len(change))
    libc.syscall(_SET_OF_MOUNT, _HERE, b"/", _WHOLE_TREE, change, size)
    options = f"size={LARGEST_FOLDER},mode=700".encode()
    flags = _NO_RIGHTS_OF_OWNERS | _NO_DEVICES
    libc.mount(b"tmpfs", os.fsencode(own), b"tmpfs", flags, options)
    os.chdir(own)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give away what root, be it of a namespace of its own, may do beyond owning files."""
    header = struct.pack("=Ii", 0x20080522, 0)
    # effective, permitted, inheritable: of the first 32 capabilities, then of the others
    for kept in (_ANY_FILE, 0):
        if libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) == 0:
            return


def _without(folder: Path, hidden: set[Path]) -> Iterator[Path]:
    """Yield as few paths as cover all of a folder but what is hidden; of links their targets do."""
    if folder in hidden:
        return
    if not any(folder in path.parents for path in hidden):
        yield folder
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink():
                yield from _without(Path(entry.path), hidden)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    """Allow rights on a path and all beneath it; one that is not there, or a link, gets none."""
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            kind = os.fstat(place).st_mode
            if stat.S_ISLNK(kind):
                return
            if not stat.S_ISDIR(kind):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights, place)
            libc.syscall(_ADD, rules, _PATH_BENEATH, rule, ctypes.c_uint32(0))
        finally:
            os.close(place)

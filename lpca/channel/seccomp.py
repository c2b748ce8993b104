"""System calls that a side has no honest use for, denied: by them it would reach other processes.

Landlock decides on files. What has no file (keyrings, other processes' limits and priorities,
queues, watches, sockets) is denied here, by a filter of the kernel's that no process can take off
again, to children neither (https://docs.kernel.org/userspace-api/seccomp_filter.html; the filter's
form from `linux/filter.h` and `linux/seccomp.h`, the calls' numbers from `asm/unistd.h`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

_SET_FILTER, _FILTER = 22, 2
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _DONE = 0x7FFF0000, 0x00050000
"""Let through; answered with "done" and not done."""
_DENY = _DONE | errno.EPERM
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_OTHER_FORM = 0x40000000
"""From this number on x86-64 has the same calls once more, in a form of 32 bits."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_UNIX, _KIND, _STREAM, _IN_ORDER = 1, 0xF, 1, 5


@dataclass(frozen=True)
class Only:
    """What an argument must be for a call to be let through.

    Attributes:
        argument: which, from 0 on; all of these are ints, so that its lower half decides.
        values: those it may have.
        mask: the bits of it that are compared.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF


Calls = dict[str, tuple[int, int, tuple[Only, ...]]]
_OWN = (Only(0, (0,)),)
"""Of this process itself: 0 in the place of a process's number."""
CALLS: Calls = {
    # keys outlive processes, and belong to the account
    "add_key": (248, 217, ()),
    "request_key": (249, 218, ()),
    "keyctl": (250, 219, ()),
    # other processes: their memory, descriptors, limits, priorities and places
    "ptrace": (101, 117, ()),
    "process_vm_readv": (310, 270, ()),
    "process_vm_writev": (311, 271, ()),
    "kcmp": (312, 272, ()),
    "pidfd_getfd": (438, 438, ()),
    "process_madvise": (440, 440, ()),
    "process_mrelease": (448, 448, ()),
    "migrate_pages": (256, 238, ()),
    "move_pages": (279, 239, _OWN),
    "prlimit64": (302, 261, _OWN),
    "getpriority": (140, 141, (Only(0, (0,)), Only(1, (0,)))),
    "setpriority": (141, 140, (Only(0, (0,)), Only(1, (0,)))),
    "ioprio_get": (252, 31, (Only(0, (1,)), Only(1, (0,)))),
    "ioprio_set": (251, 30, (Only(0, (1,)), Only(1, (0,)))),
    # its own cores, policy and rights too: any process may read them
    "sched_setaffinity": (203, 122, ()),
    "sched_setparam": (142, 118, ()),
    "sched_setscheduler": (144, 119, ()),
    "sched_setattr": (314, 274, ()),
    "sched_getattr": (315, 275, ()),
    "capget": (125, 90, ()),
    # what the kernel tells of others, or does in a process's place
    "syslog": (103, 116, ()),
    "bpf": (321, 280, ()),
    "perf_event_open": (298, 241, ()),
    "userfaultfd": (323, 282, ()),
    "io_uring_setup": (425, 425, ()),
    "io_uring_enter": (426, 426, ()),
    "io_uring_register": (427, 427, ()),
    # whether a file's pages are in memory: whoever has read them has put them there
    "mincore": (27, 232, ()),
    "cachestat": (451, 451, ()),
    "preadv2": (327, 286, (Only(5, (0,)),)),
    "inotify_init": (253, -1, ()),
    "inotify_init1": (294, 26, ()),
    "fanotify_init": (300, 262, ()),
    # files in memory: what they hold is in no process's memory, which is limited
    "memfd_create": (319, 279, ()),
    "memfd_secret": (447, 447, ()),
    # memory and queues by name; pipes, and memory of its own, stay
    "shmget": (29, 194, ()),
    "shmat": (30, 196, ()),
    "semget": (64, 190, ()),
    "msgget": (68, 186, ()),
    "mq_open": (240, 180, ()),
    # pairs of sockets stay, and those that graphics drivers make and connect with nobody
    "socket": (41, 198, (Only(0, (_UNIX,)), Only(1, (_STREAM, _IN_ORDER), _KIND))),
    "socketpair": (53, 199, (Only(1, (_STREAM, _IN_ORDER), _KIND),)),
    "connect": (42, 203, ()),
}
"""By name the number on x86-64, that on aarch64 (-1: it is not there), and what lets it through."""

_LOCKS = (6, 7, 37, 38)
"""F_SETLK and F_SETLKW, of processes and (F_OFD_) of open files."""
_SIGNALS = (8, 10, 15)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX: kept with an open file."""
_LEASES, _HINTS = (1024, 1026), (1036, 1038)
"""F_SETLEASE, F_NOTIFY; F_SET_RW_HINT, F_SET_FILE_RW_HINT: kept with the file."""
ANSWERED: dict[str, tuple[int, int, dict[int, int], int]] = {
    # a lock is seen by all who may read the file, and a side has no file with anybody in common:
    # it holds nothing, and whoever wants one goes on
    "flock": (73, 32, {}, _DONE),
    "fcntl": (
        72,
        25,
        dict.fromkeys(_LOCKS, _DONE) | dict.fromkeys((*_SIGNALS, *_LEASES, *_HINTS), _DENY),
        _ALLOW,
    ),
}
"""By name the numbers, the answer by what the second argument is, and that to all else."""


def deny_calls(libc: ctypes.CDLL) -> bool:
    """Deny this process, and all that it starts, what is in CALLS: it raises PermissionError.

    To be called while there is one thread, and after PR_SET_NO_NEW_PRIVS.

    Returns:
        Whether the filter is in force: not on other machines than x86-64 and aarch64, nor where
        the kernel has no filters.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    program = _program(machine)
    kept = ctypes.create_string_buffer(program, len(program))
    told = struct.pack("@HP", len(program) // 8, ctypes.addressof(kept))
    return bool(libc.prctl(_SET_FILTER, _FILTER, told, 0, 0) == 0)


def _program(machine: str) -> bytes:
    """The filter, an instruction in eight bytes."""
    column = list(_ARCHITECTURES).index(machine)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        # a program of another form has other numbers: none of its calls is let through
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _DENY),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _OTHER_FORM),
        (_RETURN, 0, 0, _DENY),
    ]
    for *numbers, conditions in CALLS.values():
        if (number := numbers[column]) >= 0:
            body = _body(conditions)
            lines += [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, len(body), number), *body]
    for on_x86, on_arm, answers, otherwise in ANSWERED.values():
        body = [(_LOAD, 0, 0, _ARGUMENTS + 8)]
        for value, answer in answers.items():
            body += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, answer)]
        body.append((_RETURN, 0, 0, otherwise))
        number = (on_x86, on_arm)[column]
        lines += [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, len(body), number), *body]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _body(conditions: tuple[Only, ...]) -> list[tuple[int, int, int, int]]:
    """What is done with a call: denied, but where every condition holds."""
    lines = []
    for one in conditions:
        lines += [(_LOAD, 0, 0, _ARGUMENTS + 8 * one.argument), (_AND, 0, 0, one.mask)]
        # past the values that are left, and the denial
        lefts = range(len(one.values), 0, -1)
        lines += [(_EQUAL, left, 0, value) for left, value in zip(lefts, one.values, strict=True)]
        lines.append((_RETURN, 0, 0, _DENY))
    return [*lines, (_RETURN, 0, 0, _ALLOW if conditions else _DENY)]

"""The filter of system calls: against what a model never needs, and what neither namespaces nor Landlock cover. Pure.

A list of what is denied, not of what is allowed: libraries use new calls with each release. A denied call fails with
EPERM. ``clone3`` and ``io_uring_setup`` fail with ENOSYS, as on a kernel without these calls, so that the C library
falls back on ``clone``, whose flags the filter can see, and so that no socket is made behind the filter's back.
"""

from __future__ import annotations

import errno
import struct
from typing import Collection, Dict, List, Tuple

from . import calls

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
"""As on Linux. Others, such as AF_VSOCK (the hypervisor) and AF_ALG (the kernel's ciphers), are never allowed."""

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
"""Calls of the x32 interface have numbers of their own from here on."""

_NUMBERS: Dict[str, Tuple[int, int]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
"""On x86_64 and on aarch64."""

_ONLY_X86 = {"iopl": 172, "ioperm": 173}
_ABSENT = ("clone3", "io_uring_setup")
_BY_ARGUMENT = ("clone", "socket")
_NEW_NAMESPACES = (
    calls.CLONE_NEWNS
    | calls.CLONE_NEWCGROUP
    | calls.CLONE_NEWUTS
    | calls.CLONE_NEWIPC
    | calls.CLONE_NEWUSER
    | calls.CLONE_NEWPID
    | calls.CLONE_NEWNET
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def call_filter(machine: str, families: Collection[int]) -> bytes:
    """A program of classic BPF. ``families``: of sockets that may be made; ``machine``: ``x86_64`` or ``aarch64``."""
    column = ("x86_64", "aarch64").index(machine)
    number = {name: columns[column] for name, columns in _NUMBERS.items()}
    if machine == "x86_64":
        number.update(_ONLY_X86)
    program = [_step(_LOAD, _ARCHITECTURE_AT), _step(_EQUAL, _ARCHITECTURE[machine], 1, 0), _fail(errno.EPERM)]
    program.append(_step(_LOAD, _NUMBER_AT))
    if machine == "x86_64":
        program += [_step(_AT_LEAST, _X32, 0, 1), _fail(errno.EPERM)]
    for name in sorted(number):
        if name not in _BY_ARGUMENT:
            failure = _fail(errno.ENOSYS if name in _ABSENT else errno.EPERM)
            program += [_step(_EQUAL, number[name], 0, 1), failure]
    program += [
        _step(_EQUAL, number["clone"], 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _fail(errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    program += [_step(_EQUAL, number["socket"], 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, _FIRST_ARGUMENT_AT)]
    for family in sorted(families):
        program += [_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW)]
    program.append(_fail(errno.EACCES))
    return b"".join(program)


def allowed_families(*, unix: bool, network: bool) -> List[int]:
    """The families of sockets that a model may make. ``unix``: sockets that have a path."""
    return [AF_NETLINK, *([AF_UNIX] if unix else []), *([AF_INET, AF_INET6] if network else [])]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)

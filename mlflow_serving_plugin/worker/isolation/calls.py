"""The system calls of isolation, through ctypes. Each raises OSError, with the call's name, when the kernel refuses.

Sources: the manual pages unshare(2), mount(2), mount_setattr(2), pivot_root(2), prctl(2), capset(2),
landlock_create_ruleset(2), seccomp(2), and the kernel's tables of system calls. Linux on x86_64 and aarch64; on other
machines ``KNOWN`` is False, and nothing here may be called.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any, Collection, Optional

MACHINE = platform.machine()
KNOWN = sys.platform.startswith("linux") and sys.maxsize > 2**32 and MACHINE in ("x86_64", "aarch64")

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(MACHINE, -1)
_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(MACHINE, -1)
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446

_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_LANDLOCK_VERSION, _LANDLOCK_PATH_BENEATH = 1, 1
_SET_MODE_FILTER, _FILTER_SPEC_ALLOW = 1, 4
_CAPABILITY_VERSION_3 = 0x20080522
MOST_CAPABILITIES = 64


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_libc: Any = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> int:
    return _checked(name, getattr(_libc, name)(*arguments))


def _syscall(name: str, number: int, *arguments: Any) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *words))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "{}: {}".format(name, os.strerror(number)))
    return result


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: Optional[str], flags: int, options: str = "") -> None:
    """Mount a file system of a kind, or with MS_BIND a directory or file, at ``target``."""
    fstype = kind.encode() if kind else None
    arguments = (os.fsencode(source), os.fsencode(target), fstype, ctypes.c_ulong(flags), options.encode() or None)
    _call("mount", *arguments)


def detach(target: str) -> None:
    """Unmount a tree."""
    _call("umount2", os.fsencode(target), ctypes.c_int(MNT_DETACH))


def make_read_only(target: str, *, below: bool = True, devices: bool = False) -> None:
    """Make a mount read-only, with all mounts ``below`` it; without set-user-ID programs, and without ``devices``."""
    _set_attributes(target, _ATTR_RDONLY | _ATTR_NOSUID | (0 if devices else _ATTR_NODEV), below=below)


def forbid_set_user_id(target: str) -> None:
    """Have a mount, and all below it, run no set-user-ID program and show no device."""
    _set_attributes(target, _ATTR_NOSUID | _ATTR_NODEV, below=True)


def _set_attributes(target: str, added: int, *, below: bool) -> None:
    attributes = _MountAttributes(attr_set=added)
    flags, size = _AT_RECURSIVE if below else 0, ctypes.sizeof(attributes)
    _syscall("mount_setattr", _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), flags, ctypes.byref(attributes), size)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make a mount the root, and leave the old root at a directory below the new one."""
    _syscall("pivot_root", _PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old))


def control(option: int, value: int) -> None:
    """prctl(2)."""
    zero = ctypes.c_ulong(0)
    _call("prctl", ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)


def keep_capabilities(kept: Collection[int]) -> None:
    """Give up every capability of this thread but these, also what a program could bring back when it is executed.

    Gives none: of ``kept`` stays what the thread had.
    """
    for capability in set(range(MOST_CAPABILITIES)) - set(kept):
        try:
            control(PR_CAPBSET_DROP, capability)
        except OSError:
            # Not this user's to drop, or not one of this kernel's.
            continue
    header, words = _CapabilityHeader(version=_CAPABILITY_VERSION_3), (ctypes.c_uint32 * 6)()
    _call("capget", ctypes.byref(header), ctypes.byref(words))
    for high in range(2):
        mask = sum(1 << (capability - 32 * high) for capability in kept if capability // 32 == high)
        for at in range(3):
            words[3 * high + at] &= mask
    _call("capset", ctypes.byref(header), ctypes.byref(words))


def landlock_version() -> int:
    """The version of Landlock's interface; OSError on a kernel without Landlock."""
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)


def landlock_ruleset(files: int, tcp: int, scopes: int, version: int) -> int:
    """A descriptor of rules that deny these rights. ``version``: of the interface, which knows some of them only."""
    rules = _Ruleset(files, tcp, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, ctypes.byref(rules), size, 0)


def landlock_allow(ruleset: int, rights: int, parent_fd: int) -> None:
    """Allow rights on a file, or on all below a directory."""
    rule = _PathBeneath(rights, parent_fd)
    _syscall("landlock_add_rule", _LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, ctypes.byref(rule), 0)


def landlock_restrict(ruleset: int) -> None:
    """Hold this process, and all that it starts, to the rules. Needs ``PR_SET_NO_NEW_PRIVS``."""
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ruleset, 0)


def filter_calls(program: bytes) -> None:
    """Hold this process, and all that it starts, to a filter in classic BPF. Needs ``PR_SET_NO_NEW_PRIVS``.

    SPEC_ALLOW: before Linux 5.16 a filter turned on a mitigation that slows the process down.
    """
    code = ctypes.create_string_buffer(program, len(program))
    wrapped = _Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    _syscall("seccomp", _SECCOMP, _SET_MODE_FILTER, _FILTER_SPEC_ALLOW, ctypes.byref(wrapped))

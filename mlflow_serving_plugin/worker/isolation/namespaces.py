"""Namespaces of a worker's own: in two steps, because a process enters a PID namespace by being forked into it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

from . import calls

_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EINVAL, errno.ENOSYS, errno.EUSERS)
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_REQUEST = struct.Struct("16sh14x")


def unshare_user_and_processes() -> bool:
    """The next fork is the first process of a PID namespace; whether there is a user namespace around that too.

    Root can do without a user namespace, on a kernel that has none. OSError.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        calls.unshare(calls.CLONE_NEWUSER | calls.CLONE_NEWPID)
    except OSError as error:
        if user != 0 or error.errno not in _REFUSED:
            raise
        calls.unshare(calls.CLONE_NEWPID)
        return False
    # The files belong to root where a process is not dumpable.
    calls.control(calls.PR_SET_DUMPABLE, 1)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as out:
            out.write(text)
    return True


def unshare_the_rest(*, network: bool) -> None:
    """Mounts, IPC, the host's name and control groups, and the network unless the worker may use it. OSError."""
    flags = calls.CLONE_NEWNS | calls.CLONE_NEWIPC | calls.CLONE_NEWUTS | (0 if network else calls.CLONE_NEWNET)
    try:
        calls.unshare(flags | calls.CLONE_NEWCGROUP)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        calls.unshare(flags)
    if not network:
        _raise_loopback()


def _raise_loopback() -> None:
    """Libraries talk to processes of their own by 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", _REQUEST.unpack(answer)[1] | _IFF_UP))

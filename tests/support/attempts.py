"""A program that isolates itself by a plan, tries what a hostile model would try, and prints what came of it, in JSON.

Started by its path, on any Python 3.8 or later, with standard library only: ``<plan in JSON> <facts in JSON>``.
The facts: ``worker`` (the package's directory), ``secret`` (a file), ``own`` (a readable file), ``model`` (a
file of its own to change), ``listener`` (a unix
socket), ``abstract`` (an abstract one), ``tcp`` and ``udp`` (ports), ``pid`` (of a process of the same user), and
``scratch``.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import platform
import socket
import sys
import threading
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
ADD_KEY = {"x86_64": 248, "aarch64": 217}.get(platform.machine(), -1)
CLONE_NEWUSER, MS_BIND = 0x10000000, 4096


def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(address)


def read(path):
    with Path(path).open("rb") as file:
        file.read(1)


def write(path):
    with Path(path).open("ab") as file:
        file.write(b"x")


def linked(facts):
    link = Path(facts["scratch"], "link")
    link.symlink_to(facts["secret"])
    read(link)


def in_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(True))
    thread.start()
    thread.join()
    assert done


def in_child():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def datagram(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        any_socket.sendto(b"x", ("127.0.0.1", port))


ATTEMPTS = {
    "reads a secret file": lambda facts: read(facts["secret"]),
    "reads a secret file by a link": linked,
    "reads a secret file by /proc": lambda facts: read("/proc/self/root" + facts["secret"]),
    "reads a secret file by /proc of another": lambda facts: read(f"/proc/{facts['pid']}/root{facts['secret']}"),
    "lists the directory of a secret file": lambda facts: list(Path(facts["secret"]).parent.iterdir()),
    "appends to a secret file": lambda facts: write(facts["secret"]),
    "writes beside its own file": lambda facts: write(facts["own"] + ".more"),
    "appends to its own file": lambda facts: write(facts["own"]),
    "changes its model's files for others": lambda facts: write(facts["model"]),
    "changes the kernel's settings": lambda facts: os.close(os.open("/proc/sys/vm/swappiness", os.O_WRONLY)),
    "reads another's environment": lambda facts: read(f"/proc/{facts['pid']}/environ"),
    "reads another's memory": lambda facts: os.close(os.open(f"/proc/{facts['pid']}/mem", os.O_RDONLY)),
    "reads its keeper's environment": lambda facts: read(f"/proc/{os.getppid()}/environ"),
    "signals another": lambda facts: os.kill(facts["pid"], 0),
    "traces another": lambda facts: call(libc.ptrace(PTRACE_ATTACH, facts["pid"], None, None)),
    "connects to a unix socket": lambda facts: connect(socket.AF_UNIX, facts["listener"]),
    "connects to an abstract socket": lambda facts: connect(socket.AF_UNIX, "\0" + facts["abstract"]),
    "connects by TCP": lambda facts: connect(socket.AF_INET, ("127.0.0.1", facts["tcp"])),
    "sends by UDP": lambda facts: datagram(facts["udp"]),
    "speaks to the hypervisor": lambda facts: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close(),
    "mounts": lambda facts: call(libc.mount(b"/", facts["scratch"].encode(), None, ctypes.c_ulong(MS_BIND), None)),
    "makes a user namespace": lambda facts: call(libc.unshare(CLONE_NEWUSER)),
    "changes its root": lambda facts: os.chroot(facts["scratch"]),
    "adds a key to the kernel": lambda facts: call(libc.syscall(ADD_KEY, b"user", b"x", b"y", ctypes.c_size_t(1), -4)),
    "reads its own file": lambda facts: read(facts["own"]),
    "writes to its scratch directory": lambda facts: write(Path(facts["scratch"], "x")),
    "reads its own memory": lambda facts: read("/proc/self/maps"),
    "starts a thread": lambda facts: in_thread(),
    "starts a process": lambda facts: in_child(),
    "executes a program": lambda facts: call(-os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-S", "-c", "0"])),
    "makes a pair of sockets": lambda facts: [end.close() for end in socket.socketpair()],
    "writes to /dev/null": lambda facts: write("/dev/null"),
}


def attempt(name, facts):
    try:
        ATTEMPTS[name](facts)
    except Exception as error:
        return repr(error)
    return ""


def load(directory):
    spec = importlib.util.spec_from_file_location(
        "worker", Path(directory, "__init__.py"), submodule_search_locations=[directory]
    )
    sys.modules["worker"] = importlib.util.module_from_spec(spec)
    from worker.isolation import namespaces, plan

    return namespaces, plan


def tried(plan, isolation, facts, user_namespace):
    """In the process that a worker would be."""
    reader, writer = os.pipe()
    isolation.hide_from_the_worker()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            try:
                isolation.isolate(plan, user_namespace=user_namespace)
                said = {name: attempt(name, facts) for name in ATTEMPTS}
            except BaseException as error:
                said = {"isolation": repr(error)}
            os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        said = answers.read()
    status = os.waitpid(pid, 0)[1]
    return said or f"killed: {status}"


def main(argv):
    facts = json.loads(argv[2])
    namespaces, isolation = load(facts["worker"])
    plan = isolation.Plan.read(json.loads(argv[1]))
    if not plan.namespaces:
        print(tried(plan, isolation, facts, False))
        return
    user_namespace = namespaces.unshare_user_and_processes()
    if os.fork() == 0:
        print(tried(plan, isolation, facts, user_namespace), flush=True)
        os._exit(0)
    os.wait()


if __name__ == "__main__":
    main(sys.argv)

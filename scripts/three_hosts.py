"""Three hosts on one machine, and what a host that is cut off the network costs: see ``scripts/three_hosts``.

A host is a process with namespaces of its own (network, processes, mounts, name); all that runs on the host ends with
that process. The hosts are the ends of cables to a switch, a bridge in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

ADDRESSES = ("10.77.0.1", "10.77.0.2", "10.77.0.3")
HEAD = f"{ADDRESSES[0]}:6379"
URL = f"http://{ADDRESSES[0]}:5000"
LONG_S = 180.0
CALLERS, EVERY_S = 4, 0.02
_INIT = 'mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /dev/shm; hostname "$0"; while :; do sleep 86400 & wait; done'
_SWITCH = "ip link add switch type bridge; ip link set switch up; while :; do sleep 86400 & wait; done"
_GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
_EXAMPLE = {"columns": [f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width")]}
_EXAMPLE |= {"data": [[5.1, 3.5, 1.4, 0.2]]}
BIN = Path(sys.executable).parent


class Host:
    """A host. ``kinds``: of its namespaces; ``init``: its first process, which ``pid`` names."""

    def __init__(self, name: str, environment: Mapping[str, str], kinds: str = "-nmup", init: str = _INIT) -> None:
        self._environment = {**os.environ, **environment}
        self._kinds = [f"-{kind}" for kind in kinds.strip("-")]
        proc = ["--mount-proc"] if "p" in kinds else []
        command = ["unshare", *self._kinds, *proc, "--fork", "--kill-child", "bash", "-c", init, name]
        self._process = subprocess.Popen(command, start_new_session=True)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self.pid = int(until(children.read_text, 30))

    def command(self, *words: str) -> list[str]:
        """A command for ``subprocess``, which runs on the host."""
        return ["nsenter", "-t", str(self.pid), *self._kinds, *words]

    def run(self, *words: str) -> str:
        """Run a command on the host; what it prints."""
        done = subprocess.run(
            self.command(*words), env=self._environment, capture_output=True, text=True, check=False, timeout=LONG_S
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def start(self, log: Path, *words: str) -> None:
        """Start a command that runs on until the host ends."""
        with log.open("wb") as output:
            subprocess.Popen(self.command(*words), env=self._environment, stdout=output, stderr=output)

    def end(self) -> None:
        """All that runs on the host ends at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def three_hosts(variables: Callable[[str], Mapping[str, str]]) -> Iterator[tuple[Host, list[Host]]]:
    """The switch and the hosts. ``variables``: those of the host with an address."""
    with contextlib.ExitStack() as stack:
        switch = Host("switch", {}, "-n", _SWITCH)
        stack.callback(switch.end)
        until(lambda: "switch" in switch.run("ip", "link"), 30)
        hosts = []
        for number, address in enumerate(ADDRESSES, 1):
            hosts.append(host := Host(f"host{number}", variables(address)))
            stack.callback(host.end)
            switch.run("ip", "link", "add", f"port{number}", "type", "veth", "peer", f"cable{number}")
            switch.run("ip", "link", "set", f"cable{number}", "netns", str(host.pid))
            switch.run("ip", "link", "set", f"port{number}", "master", "switch", "up")
            host.run("ip", "address", "add", f"{address}/24", "dev", f"cable{number}")
            host.run("ip", "link", "set", f"cable{number}", "up")
            host.run("ip", "link", "set", "lo", "up")
        yield switch, hosts


class Load:
    """Callers on the first host's network, each with a connection of its own: some 200 requests a second in all."""

    def __init__(self, host: Host, scratch: Path) -> None:
        self._host, self._answers = host, scratch / "answers"
        self._stop = scratch / "stop"

    def __enter__(self) -> Load:
        caller = [sys.executable, __file__, "--calls", str(self._answers), "--stop", str(self._stop)]
        self._process = subprocess.Popen(self._host.command(*caller), stdin=subprocess.DEVNULL)
        until(lambda: self.count() > 200, LONG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.touch()
        self._process.wait()

    def count(self) -> int:
        """Answers so far."""
        return len(self._answers.read_text().splitlines()) if self._answers.exists() else 0

    def report(self, what: str, since: int) -> int:
        """Print figures of the answers after the first ones; how many failed."""
        found = [line.split(" ", 2) for line in self._answers.read_text().splitlines()[since:]]
        spent, failed = sorted(float(one[0]) for one in found), [one for one in found if one[1] != "200"]
        p50, p99 = (spent[int(len(spent) * share)] for share in (0.5, 0.99))
        print(f"{what}: {len(found)} requests, {len(failed)} failed {failed[:2] or ''}", end=", ")
        print(f"p50 {p50:.3f} s, p99 {p99:.3f} s, longest {spent[-1]:.3f} s", flush=True)
        return len(failed)


def call(answers: Path, stop: Path) -> None:
    """The callers, until the file ``stop`` is there: a line for each answer."""
    import requests

    body = {"dataframe_split": _EXAMPLE}
    lock, output = threading.Lock(), answers.open("a", buffering=1)

    def caller() -> None:
        with requests.Session() as session:
            while not stop.exists():
                time.sleep(EVERY_S)
                began = time.monotonic()
                try:
                    response = session.post(f"{URL}/model/iris/1/invocations", json=body, timeout=60)
                    said = f"{response.status_code} {'' if response.ok else response.text!r}"
                except requests.RequestException as error:
                    said = f"0 {error!r}"
                with lock:
                    output.write(f"{time.monotonic() - began:.4f} {said}\n")

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def until(found: Callable[[], object], longest_s: float) -> object:
    """Wait until something is there; TimeoutError."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, urllib.error.URLError, RuntimeError):
            if value := found():
                return value
        time.sleep(0.1)
    raise TimeoutError(f"not within {longest_s:g} s")


def nodes_of(host: Host, version: str = "1") -> list[str]:
    """The nodes of a version's ready workers."""
    query = f"registered_model_name=iris&endpoint_version_name={version}"
    said = host.run(sys.executable, "-c", _GET, f"{URL}/api/2.0/mlflow/endpoints/get-version-replicas?{query}")
    return sorted(one["node"] for one in json.loads(said)["replicas"] if one["state"] == "SERVICE_STATE_READY")


def set_up(hosts: list[Host], scratch: Path) -> None:
    """A Ray cluster, the tracking server on the first host, and a model with two workers of each version."""
    first, others = hosts[0], hosts[1:]
    ray = (str(BIN / "ray"), "start", "--object-store-memory=100000000", "--disable-usage-stats", "--num-gpus=0")
    own = f"--node-ip-address={ADDRESSES[0]}"
    first.run(*ray, "--head", "--port=6379", own, "--num-cpus=0", "--include-dashboard=false")
    for host, address in zip(others, ADDRESSES[1:], strict=True):
        host.run(*ray, f"--address={HEAD}", f"--node-ip-address={address}", "--num-cpus=4")
    server = (str(BIN / "mlflow"), "server", "--app-name", "serving", "--workers", "2", "--port", "5000")
    stores = ("--backend-store-uri", f"sqlite:///{scratch}/m.db", "--artifacts-destination", str(scratch / "artifacts"))
    first.start(scratch / "server.log", *server, "--host", ADDRESSES[0], *stores)
    first.run(sys.executable, "-m", "mlflow_serving_plugin.cli.quickstart_train", URL)
    config = ("placement=ray", "replicas=2", "env_manager=local")
    options = (word for key in config for word in ("--config", key))
    print(first.run(str(BIN / "mlflow-serving"), "enable", "iris", "--wait", *options), flush=True)


def cut_off(switch: Host, hosts: list[Host], scratch: Path) -> int:
    """Pull the cable of the third host under load, and plug it in again; how many requests failed."""
    first, third = hosts[0], hosts[2]
    before = until(lambda: len(set(found := nodes_of(first))) == 2 and found, LONG_S)
    print(f"Version 1 has workers on the nodes {', '.join(node[:8] for node in before)}.", flush=True)
    with Load(first, scratch) as load:
        pulled, since = time.monotonic(), load.count()
        failed = load.report("Before", 0)
        switch.run("ip", "link", "set", "port3", "down")
        after = until(lambda: len(found := nodes_of(first)) == 2 and len(set(found)) == 1 and found, LONG_S)
        took = time.monotonic() - pulled
        failed += load.report(f"Cut off, and replaced after {took:.1f} s by a worker on {after[0][:8]}", since)
        since = load.count()
        until(lambda: "zygote" not in third.run("bash", "-c", "cat /proc/[0-9]*/cmdline"), LONG_S)
        print(f"The workers on the host that is cut off had ended after {time.monotonic() - pulled:.1f} s.", flush=True)
        switch.run("ip", "link", "set", "port3", "up")
        until(lambda: load.count() > since + 1000, LONG_S)
        failed += load.report("Cable plugged in again", since)
    return failed


def show(tls: bool) -> int:
    """See ``scripts/three_hosts``."""
    scratch = Path(tempfile.mkdtemp(prefix="h3-", dir="/var/tmp"))
    variables = {
        **{"HOME": str(scratch), "MLFLOW_SERVING_STATE_DIR": str(scratch / "s"), "MLFLOW_TRACKING_URI": URL},
        **{"MLFLOW_SERVING_BACKEND": "ray", "MLFLOW_SERVING_RAY_ADDRESS": HEAD, "MLFLOW_SERVING_ORPHAN_GRACE_S": "20"},
    }
    authority = None
    if tls:
        from support.certificates import Authority

        authority = Authority(scratch / "certificates")
    try:
        with three_hosts(lambda a: {**variables, **(authority.variables(a) if authority else {})}) as (switch, hosts):
            try:
                set_up(hosts, scratch)
                return 1 if cut_off(switch, hosts, scratch) else 0
            except BaseException:
                print((scratch / "server.log").read_text()[-4000:] if (scratch / "server.log").exists() else "")
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--calls", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # What a process of this script has started ends on its way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.calls:
        call(options.calls, options.stop)
        return 0
    return show(options.tls)


if __name__ == "__main__":
    sys.exit(main())

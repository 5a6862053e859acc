"""Models without MLflow's saving of them, and workers as processes of the test's own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from support.preloaded import start_session

import mlflow_serving_plugin
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE, worker_environment
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.worker.wire import WireError

ROOT = Path(mlflow_serving_plugin.__file__).parent
JSON = "application/json"

CODE = """
import ctypes, os, sys, threading, time
print("imported in", os.getpid())

class Model:
    def __init__(self, path):
        self.gate = threading.Barrier(5)

    def predict(self, data):
        return [self.do(**row) for row in data.to_dict(orient="records")]

    def do(self, op, arg=""):
        if op == "echo":
            return arg
        if op == "sleep":
            time.sleep(float(arg))
        elif op == "meet":
            self.gate.wait(float(arg))
        elif op == "wait":
            open(arg + ".begun", "w").close()
            while not os.path.exists(arg):
                time.sleep(0.01)
        elif op == "need memory":
            if not os.path.exists(arg):
                open(arg, "w").close()
                raise MemoryError
        elif op == "touch":
            open(arg, "w").close()
        elif op == "print":
            print(arg)
        elif op == "run":
            names = {"model": self}
            exec(arg, names)
            return names["answer"]
        elif op == "blas threads":
            from threadpoolctl import threadpool_info
            return sorted({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        elif op == "env":
            return os.environ.get(arg)
        elif op == "fds":
            return sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                          if os.path.exists(f"/proc/self/fd/{fd}"))
        elif op == "limits":
            import resource
            return [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]
        elif op == "fork":
            for _ in range(int(arg)):
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
        elif op == "daemon":
            end, start = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.write(start, str(os.getpid()).encode())
                    for fd in (0, 1, 2, end, start):
                        os.close(fd)
                    time.sleep(600)
                os._exit(0)
            os.wait()
            return int(os.read(end, 20))
        elif op == "random":
            import numpy, random
            return [float(numpy.random.random()), random.random()]
        elif op == "segfault":
            ctypes.string_at(0)
        elif op == "kill":
            os.kill(os.getpid(), 9)
        elif op == "import":
            __import__(arg)
        elif op == "raise":
            raise ValueError(arg)
        elif op == "cwd":
            return os.getcwd()
        elif op == "pid":
            return os.getpid()
        return op

def _load_pyfunc(path):
    LOADING
    return Model(path)
"""


def code_model(directory: Path, loading: str = "pass") -> Path:
    """A model whose code does what each row says: columns ``op`` and ``arg``. ``loading`` runs at load."""
    (directory / "code").mkdir(parents=True)
    (directory / "data").mkdir()
    (directory / "code" / "model_of_the_test.py").write_text(CODE.replace("LOADING", loading))
    signature = json.dumps(
        [{"name": "op", "type": "string", "required": True}, {"name": "arg", "type": "string", "required": False}]
    )
    (directory / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: model_of_the_test\n    code: code\n    data: data\n"
        f"signature:\n  inputs: '{signature}'\n"
    )
    return directory


def ask(op: str, arg: str = "") -> bytes:
    """A body for a code model."""
    return json.dumps({"dataframe_records": [{"op": op, "arg": arg}]}).encode()


def worker_config(directory: Path, model: Path, **changes: object) -> dict[str, object]:
    """The configuration of a worker whose files are all in a directory."""
    lease = directory / "lease"
    lease.touch()
    return {
        "worker_id": "w1",
        "address": str(directory / "w1.sock"),
        "status_file": str(directory / "w1.sock.status"),
        "log": str(directory / "logs" / "w1.log"),
        "log_max_bytes": 10_000_000,
        "log_backups": 1,
        "lease": str(lease),
        "orphan_grace_s": 60.0,
        "stop_grace_s": 2.0,
        "memory_limit_mb": None,
        "model_dir": str(model),
        "batching": "auto",
        "max_batch_rows": 256,
        "max_concurrency": None,
        "environment": {},
        "example": None,
        **changes,
    }


class WorkerProcess:
    """A worker started directly, without a zygote."""

    def __init__(self, config: dict[str, object]) -> None:
        self.config = config
        self.address = str(config["address"])
        command = [sys.executable, str(WORKER_PACKAGE), "serve", json.dumps(config)]
        self.process = start_session(command, cwd=Path.cwd(), env=worker_environment(os.environ, {}, {}))

    def log(self) -> str:
        try:
            return Path(str(self.config["log"])).read_text()
        except FileNotFoundError:
            return ""

    def connect(self, within_s: float = 60.0, secret: str = "") -> FrameConnection:
        """A connection, once the worker answers. Holds its lease until then."""
        deadline = time.monotonic() + within_s
        while True:
            os.utime(str(self.config["lease"]))
            try:
                connection = FrameConnection(self.address, 5.0, secret)
                connection.ping(5.0)
            except (OSError, WireError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the worker does not answer\n{self.log()}") from None
                time.sleep(0.02)
            else:
                return connection

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def value(response) -> object:
    """The one prediction of an answer."""
    assert response.status == 200, response
    (prediction,) = json.loads(response.body)["predictions"]
    return prediction

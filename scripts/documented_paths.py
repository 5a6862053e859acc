"""Takes the README's ways to a prediction as they stand in the text: on one's own server, and on a server with users.

``python scripts/documented_paths.py``, in an environment where ``pip install .`` and ``pip install 'mlflow[auth]'``
have run, and nothing else. Only what every reader chooses is replaced: the server's address, names and passwords.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "http://localhost:5000"
START_S = 300.0
STOP_S = 60.0
CHEAP = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""One web worker instead of four, and none of MLflow's own job runners, whose end takes minutes on a busy machine."""

PREDICTION = '{"predictions": [0]}'


def block(page: str, text: str) -> str:
    """The only block of a page that holds the text."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [one for one in blocks if text in one]
    return str(found)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def server(commands: str, directory: Path) -> Iterator[str]:
    """A server that these shell commands start, in a directory of its own; its address."""
    port = free_port()
    url = f"http://localhost:{port}"
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-ec", f"{commands.strip()} --port {port}"],
            stdout=output,
            stderr=output,
            cwd=directory,
            env={**os.environ, **CHEAP, "HOME": str(directory)},
            start_new_session=True,
        )
    try:
        wait_for(f"{url}/health", log)
        yield url
    except BaseException:
        print(log.read_text(errors="replace")[-6000:], file=sys.stderr)
        raise
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, and wait for all of its processes: the shell that started them ends before they do."""
    deadline = time.monotonic() + STOP_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, log: Path) -> None:
    """Wait until an address answers."""
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 -- http, as made here
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} does not answer:\n{log.read_text(errors='replace')[-6000:]}")
        time.sleep(0.2)


def run(url: str, directory: Path, *command: str, **environ: str) -> str:
    """What a documented block prints, on the server at this address."""
    said = subprocess.run(
        [part.replace(DEFAULT, url) for part in command],
        env={**os.environ, "MLFLOW_TRACKING_URI": url, **environ},
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    print(said.stdout)
    return said.stdout


def check(said: str) -> None:
    """That the last thing printed is the prediction."""
    if said.splitlines()[-1] != PREDICTION:
        raise ValueError(f"No prediction: {said}")


def log_flowers(url: str, directory: Path, environ: Mapping[str, str]) -> None:
    """Log the tutorial's model."""
    run(url, directory, sys.executable, "-c", block("docs/tutorial.md", "log_model"), **environ)


def on_ones_own_server(directory: Path) -> None:
    """README, "Use it on your server"."""
    commands = block("README.md", "pip install .\n").replace("pip install .\n", "")
    with server(commands, directory) as url:
        log_flowers(url, directory, {})
        said = run(url, directory, "sh", "-ec", block("README.md", "--wait"))
        check(said)


def on_a_server_with_users(directory: Path) -> None:
    """docs/how-to/access.md: a server with users, and a token."""
    commands = block("docs/how-to/access.md", "serving-basic-auth").replace("pip install 'mlflow[auth]'\n", "")
    for choice in ("a secret key", "a long password"):
        commands = commands.replace("=…", f"='{choice}'", 1)
    admin = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a long password"}
    with server(commands.replace(" …", ""), directory) as url:
        log_flowers(url, directory, admin)
        run(url, directory, "mlflow-serving", "enable", "flowers", "--wait", **admin)
        token = (
            block("docs/how-to/access.md", "token create").replace("=ada", "=admin").replace("=…", "='a long password'")
        )
        said = run(url, directory, "sh", "-ec", token)
        check(said)


def main() -> None:
    """Both ways, one after the other."""
    for path in (on_ones_own_server, on_a_server_with_users):
        with tempfile.TemporaryDirectory() as directory:
            print(f"--- {path.__doc__}", flush=True)
            path(Path(directory))


if __name__ == "__main__":
    main()

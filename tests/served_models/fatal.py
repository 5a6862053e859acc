"""A model that dies, hangs or cuts its connections when asked to; at loading while the file in FATAL_FILE is there."""

import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Fatal(PythonModel):
    """Does what the column ``do`` says."""

    def load_context(self, context):
        if Path(os.environ.get("FATAL_FILE", "/nowhere")).exists():
            print("The licence server said no.", flush=True)
            os._exit(3)

    def predict(self, context, model_input, params=None):
        said = str(model_input["do"].iloc[0])
        do, _, seconds = said.partition(" ")
        if do == "sleep":
            time.sleep(float(seconds.split()[0]))
        if do == "hang":
            time.sleep(3600)
        if do == "leave":
            sys.exit(3)
        if do == "allocate":
            allocate()
        if do == "exit":
            os._exit(3)
        if do == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "segfault":
            ctypes.string_at(0)
        if do == "cut":
            cut()
        return [said]


def allocate():
    """Take memory until there is no more."""
    taken = []
    while True:
        taken.append(bytearray(16 * 1024 * 1024))


def cut():
    """Send the beginning of a frame to whoever is connected, and close the connection."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            if str(descriptor.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                    connection.getpeername()
                    connection.send(b"\x00\x00\x01\x00\x03")
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


set_model(Fatal())

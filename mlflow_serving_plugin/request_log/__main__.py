"""The writer's process: ``python -m mlflow_serving_plugin.request_log <segments> <metrics>``.

The process ends when its standard input does, after one last round: its parent has ended or wants the process to end.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from filelock import FileLock

from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import REQUEST_LOG
from mlflow_serving_plugin.request_log.writer import Writer

_logger = logging.getLogger(__name__)
_failing = Throttled(_logger, every_s=60.0)

_ROUND_S = 5.0


def main(directory: Path, metrics_directory: Path) -> None:
    """Write until standard input ends."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    # Ctrl-C reaches all processes of a terminal; the parent says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Requests come before their log.
    os.nice(5)
    # Tens of thousands of records at once are no garbage, and the collector would look at them again and again.
    gc.disable()
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    metrics = Metrics(metrics_directory)
    writer = Writer(directory, lambda labels, number: metrics.add(REQUEST_LOG, labels, number))
    # The writer of a web worker that was killed may still be in its last round.
    with FileLock(directory / "writer.lock"):
        while not ended.is_set():
            _round(writer)
            gc.collect()
            ended.wait(_ROUND_S)
        _round(writer)
    metrics.flush()


def _round(writer: Writer) -> None:
    try:
        writer.run_once()
    except OSError as error:
        _failing.log(logging.WARNING, "The request log cannot be written and is tried again: %s", error)


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
    # A call of a store that hangs would hold Python up.
    os._exit(0)

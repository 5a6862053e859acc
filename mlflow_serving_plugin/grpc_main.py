"""``python -m mlflow_serving_plugin.grpc_main``: the gRPC server of a host, started by ``grpc_service``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading

from mlflow_serving_plugin import composition
from mlflow_serving_plugin.app import log_to_stderr
from mlflow_serving_plugin.background import Background
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway
from mlflow_serving_plugin.grpc.server import serve

_logger = logging.getLogger("mlflow_serving_plugin")


def main() -> int:
    """Serve until SIGTERM, or until standard input ends: the web worker that has started this process is gone."""
    log_to_stderr()
    gateway, background = composition.compose_for_grpc()
    try:
        asyncio.run(_serve(gateway, background))
    except ConfigurationError as error:
        _logger.error("%s", error.message)  # noqa: TRY400 - the message says all
        return 1
    return 0


async def _serve(gateway: Gateway, background: Background) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    background.ensure_started()
    try:
        await serve(gateway.settings, AsgiGateway(gateway), stop)
    finally:
        await asyncio.to_thread(background.stop)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # The thread that reads standard input would be waited for.
    os._exit(code)

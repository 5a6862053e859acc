import threading
from inspect import signature

import pytest
from click.testing import CliRunner
from werkzeug.serving import WSGIRequestHandler, make_server

from mlflow_serving_plugin.cli.main import main

# Before click 8.2, stderr is apart from stdout only when asked.
_RUNNER = CliRunner(**({"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}))


class QuietHandler(WSGIRequestHandler):
    def log(self, *args):
        pass


@pytest.fixture
def serve():
    """``serve(wsgi_app)`` → the URL of a real HTTP server that runs it."""
    running = []

    def start(app):
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def run(world, serve):
    """``run("status", "iris")`` → click's result, against the world's API."""
    uri = serve(world.app)

    def invoke(*args, env=None, **extra):
        none = dict.fromkeys(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"))
        env = {**none, "MLFLOW_TRACKING_URI": uri, **(env or {})}
        return _RUNNER.invoke(main, list(args), env=env, **extra)

    return invoke

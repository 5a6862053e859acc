"""``mlflow-serving quickstart``: from nothing to two served model versions, in one command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.progress import Progress
from mlflow_serving_plugin.cli.quickstart_demo import CANONICAL, LEGACY, LEGACY_TYPE, Demo, Score
from mlflow_serving_plugin.cli.scratch import Scratch, children_environment, choose_port, scratch, without_proxy

_LOOK_EVERY_S = 0.5


@click.command()
@click.option("--exit", "exit_when_done", is_flag=True, help="Stop the server after scoring, instead of at Ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the server.  [default: 5000 if free, else any]")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to keep everything in.  [default: a temporary directory, removed at the end]",
)
def quickstart(exit_when_done: bool, port: int | None, directory: Path | None) -> None:
    """Start a tracking server, and serve and score an iris model.

    \b
    Example: mlflow-serving quickstart --dir demo
    """
    console = Console()
    port = choose_port(port)
    os.environ.update(without_proxy(os.environ))
    with _stopped_by_signals(), scratch(directory) as made, _running_demo(made, port) as demo:
        with Progress(console) as progress:
            demo.prepare(progress)
        _print_result(console, demo, demo.score())
        if exit_when_done:
            console.print("\nStopping the server. Without --exit it runs until Ctrl-C.")
            return
        stays = f" Everything stays in {made.root}." if made.kept else ""
        console.print(Text(f"\nPress Ctrl-C to stop the server.{stays}"), soft_wrap=True)
        _run_until_stopped(demo)
        console.print("Stopping the server.")


@contextlib.contextmanager
def _running_demo(made: Scratch, port: int) -> Iterator[Demo]:
    """A failure prints the end of the server's log. No process is left running, with or without a failure."""
    demo = Demo(made, port, children_environment(os.environ, made))
    try:
        yield demo
    except CliError:
        click.echo(f"The end of the server's log:\n{demo.server.log_tail()}\n", err=True)
        raise
    finally:
        demo.stop()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM, a closed terminal and SIGINT (which a shell may ignore) stop the command as Ctrl-C does."""
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_until_stopped(demo: Demo) -> None:
    try:
        while demo.server.exit_code() is None:
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return
    raise CliError("The server exited unexpectedly.")


def _print_result(console: Console, demo: Demo, scores: list[Score]) -> None:
    console.print(Text(f"\nServing. MLflow and its UI: {demo.uri}", style="bold"), soft_wrap=True)
    # Lines to paste must not be wrapped or cut, however narrow the terminal is.
    longest = max(len(score.url) for score in scores)
    for score in scores:
        click.echo(f"{score.url:<{longest}}  version {score.version}: {', '.join(map(str, score.predictions))}")
    click.echo("\nScore it yourself, as MLflow 2 and 3 do:")
    click.echo(_curl(scores[0].url, "application/json", CANONICAL))
    click.echo("\nor as clients of MLflow 1 and of Databricks' model serving do:")
    click.echo(_curl(scores[2].url, LEGACY_TYPE, LEGACY))


def _curl(url: str, content_type: str, body: object) -> str:
    return f"curl {url} -H 'Content-Type: {content_type}' -d '{json.dumps(body)}'"

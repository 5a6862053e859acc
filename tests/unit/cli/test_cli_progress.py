import io

from rich.console import Console

from mlflow_serving_plugin.cli.progress import Progress, Step


def test_off_a_terminal_each_change_is_one_line_with_the_time_since_the_beginning():
    out, now = io.StringIO(), [0.0]
    with Progress(Console(file=out, width=40), clock=lambda: now[0]) as progress:
        progress.show([Step("server", "starting")])
        now[0] = 3.0
        progress.show([Step("server", "starting"), Step("model", "training [1/2] " + "x" * 60)])
        now[0] = 5.0
        progress.show([Step("server", "running", outcome=True)])
    assert out.getvalue().splitlines() == [
        "[   0 s] server: starting",
        "[   3 s] model: training [1/2] " + "x" * 60,
        "[   5 s] server: running",
    ]


def test_off_a_terminal_a_step_that_takes_long_gives_a_sign_of_life():
    out, now = io.StringIO(), [0.0]
    with Progress(Console(file=out, width=40), clock=lambda: now[0]) as progress:
        progress.show([Step("server", "starting"), Step("model", "trained", outcome=True)])
        for now[0] in (9.0, 10.0, 11.0, 20.0):
            progress.show([])
    assert out.getvalue().splitlines()[2:] == ["[  10 s] server: starting", "[  20 s] server: starting"]


def test_on_a_terminal_the_last_picture_has_every_step_and_its_outcome():
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with Progress(console, clock=lambda: now[0]) as progress:
        progress.show([Step("server", "starting"), Step("iris/1", "LAUNCHING")])
        now[0] = 7.0
        progress.show([Step("server", "running", outcome=True), Step("iris/1", "No disk.", outcome=False)])
    last = out.getvalue().rpartition("✓")[2]
    assert "server" in last and "7 s" in last and "running" in last
    assert "✗" in last and "No disk." in last

"""What a model's code finds around it while it loads and scores: the thread, event loops, and its forked children."""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support import eventually
from worker_processes import JSON, WorkerProcess, ask, code_model, value, worker_config

LOADING = """
    import asyncio, contextvars, sqlite3
    global kept, connection, variable
    async def answer():
        return 42
    kept = asyncio.run(answer())
    connection = sqlite3.connect(":memory:")
    variable = contextvars.ContextVar("variable")
    variable.set("set at load")
""".strip().replace("\n    ", "\n    ")

LOOPS = {
    "asyncio.run": """
import asyncio
async def look_up():
    await asyncio.sleep(0)
    return 42
answer = asyncio.run(look_up())
""",
    "a loop of its own": """
import asyncio
async def look_up():
    return 42
loop = asyncio.new_event_loop()
answer = loop.run_until_complete(look_up())
loop.close()
""",
    "uvloop": """
import uvloop
async def look_up():
    return 42
answer = uvloop.run(look_up())
""",
    "anyio.run": """
import anyio
async def look_up():
    await anyio.sleep(0)
    return 42
answer = anyio.run(look_up)
""",
    "a child that asyncio waits for": """
import asyncio
async def look_up():
    child = await asyncio.create_subprocess_exec("echo", "42", stdout=asyncio.subprocess.PIPE)
    return int((await child.communicate())[0])
answer = asyncio.run(look_up())
""",
    "a loop with a handler of SIGUSR1": """
import asyncio, os, signal, threading
async def look_up():
    if threading.current_thread() is threading.main_thread():
        came = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, came.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await came.wait()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    return 42
answer = asyncio.run(look_up())
""",
    "a context variable that was set at load": """
import model_of_the_test
answer = 42 if model_of_the_test.variable.get() == "set at load" else None
""",
}
ONE_THREAD = {
    "sqlite3": """
import model_of_the_test
answer = model_of_the_test.connection.execute("select 42").fetchone()[0]
""",
    "asyncio.get_event_loop": """
import asyncio
async def look_up():
    return 42
try:
    loop = asyncio.get_event_loop()
except RuntimeError:  # asyncio.run has been called before
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
answer = loop.run_until_complete(look_up())
""",
    "an alarm": """
import signal
signal.signal(signal.SIGALRM, lambda *_: globals().update(answer=42))
signal.raise_signal(signal.SIGALRM)
""",
}
CHILDREN = {
    "a pool": """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    answer = sum(pool.map(abs, [-40, -2]))
""",
    "a pool that is spawned": """
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    answer = sum(pool.map(abs, [-40, -2]))
""",
    "a pool of a forkserver": """
import multiprocessing
with multiprocessing.get_context("forkserver").Pool(1) as pool:
    answer = sum(pool.map(abs, [-40, -2]))
""",
    "a pool of futures": """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    answer = sum(pool.map(abs, [-40, -2]))
""",
    "joblib": """
import joblib
answer = sum(joblib.Parallel(2)(joblib.delayed(abs)(x) for x in (-40, -2)))
""",
    "a child that is terminated": """
import multiprocessing, time
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
child.terminate()
child.join()
answer = 42 if child.exitcode == -15 else child.exitcode
""",
    "a child that runs an event loop": """
import asyncio, multiprocessing
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
async def look_up():
    await asyncio.sleep(0)
    queue.put(42)
child = context.Process(target=lambda: asyncio.run(look_up()))
child.start()
answer = queue.get()
child.join()
""",
    "a child that comes back": """
import os
answer = 41
child = os.fork()
if child:
    answer = 42 if os.waitpid(child, 0)[1] == 0 else 43
""",
    "a child that raises": """
import os
child = os.fork()
if not child:
    raise ValueError("in the child")
answer = 42 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1 else 43
""",
    "a child that calls sys.exit": """
import os, sys
child = os.fork()
if not child:
    sys.exit(7)
answer = 35 + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
""",
    "a subprocess": """
import subprocess
answer = int(subprocess.run(["sh", "-c", "cat; echo 42"], stdout=subprocess.PIPE, check=True).stdout)
""",
    "a child without the worker's sockets": """
import multiprocessing, os
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
def sockets():
    lines = open("/proc/self/net/unix").read().splitlines()
    of_worker = {f"socket:[{line.split()[6]}]" for line in lines if line.endswith("w1.sock")}
    numbers = [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
    queue.put(len(of_worker) >= 2 and [fd for fd in numbers if os.readlink(f"/proc/self/fd/{fd}") in of_worker])
child = context.Process(target=sockets)
child.start()
answer = 42 if queue.get() == [] else 43
child.join()
""",
}


@pytest.fixture(scope="module", params=[None, 1], ids=["in threads", "one at a time"])
def worker(request, tmp_path_factory):
    """A worker whose model runs the code that it is sent."""
    path = Path(tempfile.mkdtemp(prefix="wk"))
    model = code_model(tmp_path_factory.mktemp("context") / "model", LOADING)
    started = WorkerProcess(worker_config(path, model, max_concurrency=request.param))
    yield started
    started.end()
    shutil.rmtree(path, ignore_errors=True)


def answer(worker: WorkerProcess, code: str) -> object:
    connection = worker.connect()
    try:
        return value(connection.call(JSON, ask("run", code), 60))
    finally:
        connection.close()


@pytest.mark.parametrize("code", [*LOOPS.values(), *CHILDREN.values()], ids=[*LOOPS, *CHILDREN])
def test_a_model_that_runs_an_event_loop_or_has_children_scores_time_after_time(worker, code):
    assert [answer(worker, code) for _ in range(2)] == [42, 42], worker.log()
    assert answer(worker, "import os; answer = os.getpid()") == worker.process.pid


@pytest.mark.parametrize("code", ONE_THREAD.values(), ids=ONE_THREAD)
def test_what_belongs_to_the_thread_that_loaded_the_model_works_one_at_a_time(worker, code):
    if worker.config["max_concurrency"] == 1:
        assert [answer(worker, code) for _ in range(2)] == [42, 42], worker.log()


BORROWED = """
import model_of_the_test, time
if getattr(model_of_the_test, "borrowed", False):
    raise RuntimeError("Already borrowed")
model_of_the_test.borrowed = True
time.sleep(0.001)
model_of_the_test.borrowed = False
answer = 42
"""


def test_a_model_that_is_not_thread_safe_answers_all_of_100_requests_one_at_a_time(worker):
    if worker.config["max_concurrency"] == 1:
        with ThreadPoolExecutor(20) as clients:
            assert list(clients.map(lambda _: answer(worker, BORROWED), range(100))) == [42] * 100


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_model_that_exits_instead_of_predicting_gets_a_500_that_says_so(worker, code):
    connection = worker.connect()
    response = connection.call(JSON, ask("run", code), 60)
    connection.close()
    assert response.status == 500
    assert "instead of returning a prediction" in json.loads(response.body)["message"]
    assert answer(worker, "answer = 42") == 42


def test_a_worker_drains_on_sigterm_after_its_model_has_run_event_loops_and_forked(start):
    worker = start(max_concurrency=1)
    for code in (LOOPS["uvloop"], LOOPS["a loop with a handler of SIGUSR1"], CHILDREN["a pool"]):
        assert answer(worker, code) == 42
    kept = """
import multiprocessing, time
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
answer = child.pid
"""
    child = psutil.Process(answer(worker, kept))
    worker.terminate()
    assert worker.process.wait(30) == 0
    assert not Path(worker.address).exists()
    child.kill()
    eventually(lambda: not child.is_running())

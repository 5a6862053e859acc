"""Why a worker died, from its log. The excerpts are of real logs, with the middles of the tracebacks left out."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.backends.diagnose import death_reason, last_output

NATIVE = """\
--- 2026-11-23 20:21:45 worker dbf0091696ac started
mlflow/pyfunc/utils/data_validation.py:187: UserWarning: \x1b[33mAdd type hints to the `predict` method to enable \
data validation and automatic signature inference during model logging.\x1b[0m
  color_warning(
Traceback (most recent call last):
  File "mlflow_serving_plugin/worker/zygote.py", line 138, in _become_worker
    code = run(config)
           ^^^^^^^^^^^
  File "mlflow/pyfunc/__init__.py", line 1173, in load_model
    model_impl = importlib.import_module(conf[MAIN])._load_pyfunc(data_path)
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "broken/broken.py", line 11, in load_context
    raise RuntimeError("the licence file is missing")
RuntimeError: the licence file is missing
"""

NO_FANCY_LIB = (
    "ModuleNotFoundError: No module named 'fancy_lib'. The model's environment has no 'fancy_lib': "
    "add its package to the model's requirements."
)

STOCK = """\
--- 2026-11-23 20:21:54 worker 90860672492e started
2026/11/23 20:21:57 INFO mlflow.models.flavor_backend_registry: Selected backend for flavor 'python_function'
2026/11/23 20:21:57 INFO mlflow.pyfunc.backend: === Running command 'exec uvicorn --host 127.0.0.1 --port 5000 \
--workers 1 mlflow.pyfunc.scoring_server.app:app'
Traceback (most recent call last):
  File "bin/uvicorn", line 6, in <module>
    sys.exit(main())
             ^^^^^^
  File "uvicorn/importer.py", line 22, in import_from_string
    raise exc from None
  File "<frozen importlib._bootstrap>", line 1140, in _find_and_load_unlocked
ModuleNotFoundError: No module named 'fancy_lib'
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "mlflow/models/cli.py", line 104, in serve
    ).serve(model_uri=model_uri, port=port, host=host, timeout=timeout)
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "mlflow/pyfunc/backend.py", line 326, in serve
    raise Exception(
Exception: Command '['bash', '-c', 'exec uvicorn --host 127.0.0.1 --port 5000 --workers 1 \
mlflow.pyfunc.scoring_server.app:app']' returned non zero return code. Return code = 1
--- 2026-11-23 20:22:01 worker 90860672492e ended, exit code None
"""

READY = """\
--- 2026-11-23 20:19:15 worker 36a0cd17f790 started
Loaded. Fast path: on. Batching on: verified on 8 rows.
"""


def a_log(worker_id: str, *lines: str) -> str:
    return "\n".join([f"--- 2026-11-23 20:00:00 worker {worker_id} started", *lines, ""])


def test_a_native_worker_s_reason_is_the_error_its_model_raised():
    assert death_reason(NATIVE, "dbf0091696ac") == "RuntimeError: the licence file is missing"


def test_a_stock_worker_s_reason_is_the_model_s_error_and_not_what_mlflow_says_of_any():
    assert death_reason(STOCK, "90860672492e") == NO_FANCY_LIB


@pytest.mark.parametrize("log", ["", READY], ids=["empty", "killed while it was ready"])
def test_a_worker_that_printed_no_error_gives_no_reason(log):
    assert death_reason(log, "36a0cd17f790") is None


def test_a_stock_server_that_says_only_that_it_failed_gives_no_reason():
    kept = [line for line in STOCK.splitlines() if not line.startswith("ModuleNotFoundError")]
    assert death_reason("\n".join(kept), "90860672492e") is None


def test_what_an_earlier_worker_of_the_version_printed_does_not_count():
    assert death_reason(NATIVE + READY, "36a0cd17f790") is None


def test_what_a_later_worker_of_the_version_printed_after_this_one_s_end_does_not_count():
    assert death_reason(STOCK + NATIVE, "90860672492e") == NO_FANCY_LIB


def test_a_worker_that_its_parent_ended_for_a_reason_was_not_just_killed():
    log = a_log(
        "a",
        "--- 2026-11-23 20:00:01 worker a ending: it had 70 processes, more than it may",
        "--- 2026-11-23 20:00:01 worker b ending: of another",
        "--- 2026-11-23 20:00:02 worker a ended, killed by SIGKILL",
    )
    for served in (False, True):
        reason = death_reason(log, "a", served=served)
        assert reason == "The worker was stopped: it had 70 processes, more than it may."


def test_the_end_of_another_worker_is_not_this_one_s():
    log = a_log("a", "--- 2026-11-23 20:00:01 worker b ended, exit code 0", "OSError: no")
    assert death_reason(log, "a") == "OSError: no"


def test_a_log_whose_beginning_was_rotated_away_still_tells():
    assert death_reason(NATIVE.split("\n", 1)[1], "dbf0091696ac") == "RuntimeError: the licence file is missing"


def test_a_worker_that_was_started_twice_is_judged_by_the_last_time():
    assert death_reason(a_log("a", "ValueError: first") + a_log("a", "all is well"), "a") is None


@pytest.mark.parametrize(
    "line",
    [
        "KeyError: 'x'",
        "MemoryError",
        "torch.cuda.OutOfMemoryError: CUDA out of memory.",
        "_pickle.UnpicklingError: invalid load key, 'v'.",
        "mlflow.exceptions.MlflowException: Could not find a registered artifact repository for: foo",
        "botocore.errorfactory.NoSuchKeyNotFound: gone",
        "bwrap: Can't chdir to model: No such file or directory",
    ],
)
def test_every_usual_form_of_an_error_s_last_line_is_recognised(line):
    reason = death_reason(a_log("a", "Traceback (most recent call last):", line), "a")
    assert reason is not None and reason.startswith(line.rstrip("."))


@pytest.mark.parametrize(
    "line",
    [
        "INFO: this mentions a ValueError: in passing",
        "value_error: not a class",
        "SystemExit: 1",
        "KeyboardInterrupt",
        "asyncio.exceptions.CancelledError",
        "sklearn.exceptions.InconsistentVersionWarning: Trying to unpickle estimator from version 1.0",
    ],
)
def test_what_is_no_reason_is_not_given_as_one(line):
    assert death_reason(a_log("a", line), "a") is None
    assert death_reason(a_log("a", "ValueError: the reason", line), "a") == "ValueError: the reason"


def test_of_several_errors_the_last_counts():
    assert death_reason(a_log("a", "ValueError: cause", "RuntimeError: outcome"), "a") == "RuntimeError: outcome"


def test_a_reason_is_one_line_that_ends_in_time():
    reason = death_reason(a_log("a", "ValueError: " + "x" * 10_000), "a")
    assert len(reason) == 400
    assert reason.startswith("ValueError: xxx")
    assert reason.endswith("…")


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL, probably out of memory"), (11, "SIGSEGV, the model"), (250, "signal 250")]
)
def test_a_stock_server_that_was_killed_is_told_from_one_that_failed(number, name):
    said = f"""\
--- 2026-11-23 20:47:51 worker 60d6f4a0627b started
INFO:      - "GET /ping HTTP/1.1" 200 OK
  File "mlflow/pyfunc/backend.py", line 326, in serve
    raise Exception(
Exception: Command '['bash', '-c', 'exec uvicorn --host 127.0.0.1 --port 5000 --workers 1 \
mlflow.pyfunc.scoring_server.app:app']' returned non zero return code. Return code = -{number}
--- 2026-11-23 20:48:00 worker 60d6f4a0627b ended, exit code 1
"""
    assert death_reason(said, "60d6f4a0627b").startswith(f"The worker was killed by {name}")


def test_errors_of_requests_are_no_reason_for_the_end_of_a_worker_that_served():
    log = "--- 2026-01-01 00:00:00 worker w started\nLoading.\nValueError: could not convert 'somebody's data'\n"
    assert death_reason(log, "w") is not None
    assert death_reason(log, "w", served=True) is None


@pytest.mark.parametrize(
    "loaded", ["Loaded. Fast path: on. Batching off: x.", "INFO:     Application startup complete."]
)
def test_errors_and_output_of_a_model_that_has_loaded_are_no_reason_for_they_may_quote_its_example(loaded):
    log = a_log("w", "loading", loaded, "printed s3ntinel", "ValueError: s3ntinel")
    assert death_reason(log, "w") is None
    assert last_output(log, "w") == "Last output: loading"


def test_a_worker_that_ended_itself_says_why():
    log = "--- 2026-01-01 00:00:00 worker w started\nEnding: a prediction ran on long after its request timeout.\n"
    assert death_reason(log, "w", served=True) == "A prediction ran on long after its request timeout."


def test_the_last_lines_of_one_that_ended_without_an_error_are_its_last_output():
    log = (
        "--- 2026-11-23 20:21:45 worker other started\nnot mine\n"
        "--- 2026-11-23 20:21:46 worker mine started\none\n\ntwo\nthree\nfour\n"
        "--- 2026-11-23 20:21:47 worker mine ended, exit code 3\n"
        "--- 2026-11-23 20:21:48 worker other ended, exit code 0\n"
    )
    assert last_output(log, "mine") == "Last output: two / three / four"
    assert last_output(log.replace("four", "4" * 1000), "mine").endswith("4…")
    assert last_output("--- 2026-11-23 20:21:46 worker mine started\n", "mine") == ""

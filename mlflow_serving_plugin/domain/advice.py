"""The one table of advice: what an error looks like, and what to do about the error. Pure.

Every reason that quotes an error of a model, of MLflow or of a library is made here: by ``explain``, from the last
line of a traceback. A new piece of advice is a row of ``TABLE``; a test goes through the rows.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from mlflow_serving_plugin.domain.places import without_places

Stage = Literal["fetch", "load", "predict"]
"""What failed: getting the model's files to the server, loading the model in a worker, a prediction."""

_LONGEST = 400
_IN_WORKER: tuple[Stage, ...] = ("load", "predict")


class Advice(NamedTuple):
    """One row. The first row that matches counts."""

    error: str
    """A regular expression, searched in the last line of the traceback: ``KeyError: 'x'``."""
    sentence: str
    """The cause and what to do, for the model's user. ``{0}``: the first group of ``error``."""
    seen: str
    """A line that was seen; the test of the table takes the row by it."""
    stages: tuple[Stage, ...] = _IN_WORKER
    any_body: bool = False
    """Whether every request meets the error, whatever its body is."""
    frame: str = ""
    """A regular expression for a line of the traceback above the error; empty: any traceback, or none."""
    seen_in: str = ""
    """A line of a traceback that was seen with ``frame``."""


TABLE: tuple[Advice, ...] = (
    Advice(
        r"No module named '([^']+)'",
        "The model's environment has no '{0}': add its package to the model's requirements.",
        "ModuleNotFoundError: No module named 'fancy_lib'",
        any_body=True,
    ),
    Advice(
        r"cannot import name '([^']+)' from '([^'.]+)",
        "The model needs another version of '{1}': pin the version in the model's requirements.",
        "ImportError: cannot import name 'soft_unicode' from 'markupsafe' (/srv/env/markupsafe/__init__.py)",
        any_body=True,
    ),
    Advice(
        r"Can't get attribute '([^']+)' on <module '__main__'",
        "The model needs '{0}' from the notebook or script that logged the model: put '{0}' into a module, and log the "
        "model again with code_paths.",
        "AttributeError: Can't get attribute 'Scaler' on <module '__main__' (built-in)>",
        any_body=True,
    ),
    Advice(
        r"numpy\.dtype size changed|numpy\.core\.multiarray failed to import|compiled using NumPy 1",
        "A library of the model was built for another NumPy: pin numpy in the model's requirements to the version that "
        "the model was logged with.",
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88",
        any_body=True,
    ),
    Advice(
        r"([\w.+-]+\.so[\w.]*): cannot open shared object file",
        "The server's machine has no {0}: install the system package that has the library.",
        "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
        any_body=True,
    ),
    Advice(
        r"no-tracking-server:|This model has no access to a tracking server",
        "A worker has no tracking server: set tracking to on in the endpoint's configuration, or log what the model "
        "needs with the model, as artifacts.",
        "mlflow.tracking.registry.UnsupportedModelRegistryStoreURIException:  Model registry functionality is "
        "unavailable; got unsupported URI 'no-tracking-server://set-tracking-to-on'",
        any_body=True,
    ),
    Advice(
        r"Registered Model with name=(\S+) not found|Logged model with ID '?([\w-]+)'? not found",
        "A worker cannot read the Model Registry by itself: log the other model's files with this model, as artifacts, "
        "or set tracking to on in the endpoint's configuration.",
        "mlflow.exceptions.MlflowException: Registered Model with name=base not found",
        any_body=True,
    ),
    Advice(
        r"^AttributeError: module '([^'.]+)[^']*' has no attribute",
        "The model needs another version of '{0}': pin the version in the model's requirements.",
        "AttributeError: module 'numpy' has no attribute 'float'",
        any_body=True,
    ),
    Advice(
        r"^AttributeError: '(?!(?:str|int|float|bool|list|dict|tuple|set|bytes|NoneType|DataFrame|Series|ndarray)')"
        r"(\w+)' object has no attribute",
        "The model's '{0}' is of another version of its library: pin the version in the model's requirements.",
        "AttributeError: 'LogisticRegression' object has no attribute 'multi_class'",
        any_body=True,
        # In the model's own code the attribute may be missing for one body only.
        frame=r'File "(?:[^"]*/(?:site|dist)-packages/[^"]*|[^"]*\.pyx)", line \d+, in .*\n'
        r'(?:(?!\s*File ").*\n){0,3}\s*AttributeError: ',
        seen_in='  File "/srv/env/lib/python3.11/site-packages/sklearn/linear_model/_logistic.py", line 1428, in f\n'
        "    if self.multi_class:\nAttributeError: 'LogisticRegression' object has no attribute 'multi_class'",
    ),
    Advice(
        r"^NameError: name '([^']+)' is not defined",
        "The model's code uses '{0}' without an import: add the import inside the code, and log the model again.",
        "NameError: name 'np' is not defined",
        any_body=True,
    ),
    Advice(
        r"(?:No such file|not found|does not exist|Errno 2\b).*(?:[A-Za-z]:\\|\w\\+\w)",
        "The model was logged on Windows with a path that does not exist here: log the model again with the file as an "
        "artifact or in code_paths.",
        "FileNotFoundError: [Errno 2] No such file or directory: '/srv/model/artifacts\\\\m.json'",
        any_body=True,
    ),
    Advice(
        r"(?:FileNotFoundError|NotADirectoryError)\b",
        "The model needs a file that is not among its files: log the model again, with the file as an artifact, or let "
        "the server's operator name the file in MLFLOW_SERVING_SANDBOX_READABLE_PATHS.",
        "FileNotFoundError: [Errno 2] No such file or directory: 'lookup.csv'",
    ),
    Advice(
        r"CUDA out of memory|OutOfMemoryError",
        "The GPU has no memory left: serve fewer versions or replicas there, or set environment.CUDA_VISIBLE_DEVICES.",
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    ),
    Advice(
        r"^MemoryError|Unable to allocate",
        "The worker's memory does not suffice: raise or clear memory_limit_mb, or use a machine with more memory.",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB for an array",
    ),
    Advice(
        r"^KeyError: '([A-Za-z_]\w*)'",
        "The model needs the environment variable {0}: set environment.{0}.",
        "KeyError: 'SCORE_API_KEY'",
        any_body=True,
        frame=r'File "(?:<frozen os>|[^"]*[/\\]os\.py)", line \d+, in __getitem__\n'
        r"(?:\s*(?:raise|\^).*\n)*\s*KeyError: ",
        seen_in="  File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'SCORE_API_KEY'",
    ),
    Advice(
        r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b[^.]*\benv(?:ironment)? ?var"
        r"|(?i:\benv(?:ironment)? ?var(?:iable)?s?)[ :]+\W?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b",
        "The model needs an environment variable: set environment.{0}{1}.",
        "openai.OpenAIError: The api_key client option must be set either by passing api_key to the client or by "
        "setting the OPENAI_API_KEY environment variable",
    ),
    Advice(
        r"Read-only file system|readonly database|unable to open database file",
        "In the sandbox a model keeps files below tempfile.gettempdir(). Other directories have to be named by the "
        "server's operator in MLFLOW_SERVING_SANDBOX_WRITABLE_PATHS.",
        "sqlite3.OperationalError: attempt to write a readonly database",
    ),
    Advice(
        r"Permission denied: '/",
        "The sandbox keeps the model from the file. The server's operator can name the file in "
        "MLFLOW_SERVING_SANDBOX_READABLE_PATHS, or in MLFLOW_SERVING_SANDBOX_WRITABLE_PATHS if the model changes it.",
        "PermissionError: [Errno 13] Permission denied: '/srv/weights/rater.bin'",
    ),
    Advice(
        r"Already (?:mutably )?borrowed|SQLite objects created in a thread|(?:changed size|mutated) during iteration"
        r"|Recursive use of cursors|generator already executing|another operation is in progress",
        "The model is not thread-safe: set max_concurrency to 1, with the runtime native.",
        "RuntimeError: Already borrowed",
        stages=("predict",),
    ),
    Advice(
        r"signal only works in main thread|no current event loop in thread",
        "The model has to run in the main thread: set max_concurrency to 1, with the runtime native.",
        "ValueError: signal only works in main thread of the main interpreter",
        stages=("predict",),
    ),
    Advice(
        r"No space left on device|Disk quota exceeded",
        "Free space on the server's disk.",
        "OSError: [Errno 28] No space left on device",
        stages=("fetch", "load", "predict"),
    ),
    Advice(
        r"Too many open files",
        "Raise max_open_files.",
        "OSError: [Errno 24] Too many open files: 'lookup.db'",
    ),
    Advice(
        r"can't start new thread|Resource temporarily unavailable",
        "The worker may have too many processes and threads: raise max_processes.",
        "RuntimeError: can't start new thread",
    ),
    Advice(
        r"Network is unreachable|Temporary failure in name resolution|Name or service not known"
        r"|Failed to establish a new connection: \[Errno (?:1|13)\]",
        "The model uses the network: set network to on, and let the server's machine reach the address.",
        "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
    ),
    Advice(
        r"No module named '(?:boto3|botocore|google|azure|pysftp|hdfs|pyarrow)\b",
        "The server needs the library of its artifact store: install the library beside MLflow on the server.",
        "ModuleNotFoundError: No module named 'boto3'",
        stages=("fetch",),
    ),
    Advice(
        r"NoCredentials|Unable to locate credentials|InvalidAccessKeyId|AccessDenied|Forbidden|DefaultCredentialsError",
        "The server may not read the artifact store: give the server's process credentials that may.",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        stages=("fetch",),
    ),
    Advice(
        r"NoSuchKey|NoSuchBucket|No such file or directory|No such artifact|not found|404",
        "The files are not where the version was registered from: register the model again.",
        "FileNotFoundError: [Errno 2] No such file or directory: '/srv/mlruns/1/abc/artifacts/model'",
        stages=("fetch",),
    ),
)


def advice_for(error: str, stage: Stage, traceback: str = "") -> Advice | None:
    """The row for the last line of a traceback; ``traceback``: the lines above it, as far as they are known."""
    for row in TABLE:
        if stage in row.stages and re.search(row.error, error) and re.search(row.frame, traceback, re.MULTILINE):
            return row
    return None


def advise(error: str, stage: Stage, traceback: str = "") -> str:
    """What to do about an error, in a sentence or two; empty when the table does not know the error."""
    row = advice_for(error, stage, traceback)
    found = re.search(row.error, error) if row is not None else None
    if row is None or found is None:
        return ""
    return without_places(row.sentence.format(*(group or "" for group in found.groups())))


def explain(error: str, stage: Stage, traceback: str = "") -> str:
    """A reason: the error on one line, without paths and URIs of the server, and what to do about the error."""
    said, advice = shorten(without_places(error)), advise(error, stage, traceback)
    return f"{said.rstrip('.')}. {advice}" if advice else said


def shorten(text: str, longest: int = _LONGEST) -> str:
    """The text on one line, at most ``longest`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"

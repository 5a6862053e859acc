"""Makes requests that nobody should send: all of it from a seeded generator, so that a find can be made again."""

from __future__ import annotations

import json
import random
import string

from support.dialects import DIALECTS

_PIECES = [
    b"NaN", b"Infinity", b"-1e999", b"9" * 400, b"null", b"[" * 300, b"{" * 300, b'"\\ud800"', b"\x00", b"\xff\xfe",
    b'{"a":' * 200, b",", b":", b'"', b"\\", b"\r\n", b"%", b"true", b"1e-400", b"\xef\xbb\xbf", b"dataframe_split",
]  # fmt: skip
_VALUES = [None, True, -1, 1e308, 10**30, "", "x" * 5000, "\u0000", "\ud83d", [], {}, [[]], [[[1]]], {"a": 1}, "NaN"]
_SEGMENTS = [
    "iris", "1", "2", "latest", "None", "Production", "invocations", "ping", "schema", "..", ".", "", "%2e%2e", "%00",
    "%ff", "%", "%zz", "iris@champion", "@", "a" * 2000, "ünï", "%F0%9F%A6%80", "iris/1", "0", "-1", "1e9", "9" * 40,
    "versions", "model", "?", "#", ";x=1", "iris%2F1", "\\", "'", '"',
]  # fmt: skip
_CONTROL = [
    "enable", "get-status", "list", "list-versions", "get-version-status", "list-version-aliases", "get-version-logs",
    "get-version-build-logs", "get-event-history", "get-version-replicas", "get-config", "get-input-example", "nosuch",
]  # fmt: skip
_METHODS = ["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"]
_TYPES = [
    "application/json", "text/csv", "application/vnd.apache.parquet", "application/json; format=pandas-records",
    "application/json; format=pandas-split", "application/json-numpy-split", "application/json; charset=utf-16",
    "text/plain", "", "application/json; format=", "multipart/form-data; boundary=x", ";;;", "APPLICATION/json",
]  # fmt: skip
_HEADERS = [
    ("X-MLflow-Scoring-Dialect", "legacy"), ("X-MLflow-Scoring-Dialect", "\x01"), ("X-Request-Id", "a" * 300),
    ("X-Request-Id", "\xff"), ("Content-Encoding", "gzip"), ("Accept", "*/*"), ("Expect", "100-continue"),
    ("Authorization", "Bearer x"), ("Authorization", "Basic !!!"), ("Origin", "http://evil"), ("Cookie", "x" * 3000),
    ("X-MLFLOW-WORKSPACE", "../x"), ("Sec-Fetch-Site", "cross-site"), ("Connection", "close"), ("Accept-Encoding", "x"),
    ("Content-Type", "application/json"), ("Host", "localhost"), ("Range", "bytes=0-1"), ("If-None-Match", "*"),
]  # fmt: skip


class Nonsense:
    """One stream of requests. ``bodies``: good bodies with their content types, to be spoiled."""

    def __init__(self, seed: int, bodies: list[tuple[str, bytes]]) -> None:
        self._random = random.Random(seed)
        self._bodies = bodies

    def well_formed(self) -> bytes:
        """A request that is valid HTTP, and odd in all else."""
        pick = self._random.random()
        if pick < 0.6:
            content_type, body = self._random.choice(self._bodies)
            return self._request("POST", "/model/iris/1/invocations", content_type, self._spoil(body))
        if pick < 0.8:
            return self._request(self._random.choice(_METHODS[:3]), self._path(), self._type(), self._any_body())
        return self._control()

    def broken(self) -> bytes:
        """Bytes that may be no HTTP at all."""
        whole = self.well_formed()
        pick = self._random.randrange(5)
        if pick == 0:
            return self._random.randbytes(self._random.randrange(1, 400))
        if pick == 1:
            head, _, body = whole.partition(b"\r\n\r\n")
            return self._mutated(head) + b"\r\n\r\n" + body
        if pick == 2:
            return whole[: self._random.randrange(1, len(whole))]
        if pick == 3:
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (b"{", b'"a"', b"}"))
            head = b"POST /model/iris/1/invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            return head + self._mutated(chunks + b"0\r\n\r\n")
        line = self._random.choice([b"GET  HTTP/1.1", b"POST / HTTP/9.9", b"\x16\x03\x01", b"PRI * HTTP/2.0", b"GET /"])
        return line + b"\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n"

    def _control(self) -> bytes:
        base = self._random.choice(["/api/2.0/mlflow/endpoints", "/ajax-api/2.0/preview/mlflow/endpoints-v2"])
        fields = {"registered_model_name": self._random.choice(["victim", "nosuch", self._value()])}
        if self._random.random() < 0.5:
            names = ["endpoint_version_name", "config", "page_token", "offset", "replica_id", self._text()]
            fields[self._random.choice(names)] = self._value()
        action = self._random.choice(_CONTROL)
        method = "POST" if action in {"enable", "get-version-logs"} else self._random.choice(["GET", "POST"])
        return self._request(method, f"{base}/{action}", self._type(), self._spoil(json.dumps(fields).encode(), 0.3))

    def _request(self, method: str, path: str, content_type: str, body: bytes) -> bytes:
        headers = [("Host", "localhost"), ("Content-Length", str(len(body)))]
        if content_type:
            headers.append(("Content-Type", content_type))
        headers += self._random.sample(_HEADERS[:-4], self._random.choice([0, 0, 1, 3]))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers if name != "Expect")]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body

    def _path(self) -> str:
        root = self._random.choice(["/model", "/model-endpoint", "/ajax-model", "/serving", "/api/2.0/token"])
        segments = self._random.choices(_SEGMENTS, k=self._random.randrange(6))
        return "/".join([root, *segments]).replace(" ", "%20").encode("utf-8").decode("latin-1")

    def _type(self) -> str:
        return self._random.choice(_TYPES)

    def _any_body(self) -> bytes:
        if self._random.random() < 0.3:
            return self._random.randbytes(self._random.randrange(300))
        return json.dumps(self._value()).encode()

    def _spoil(self, body: bytes, share: float = 0.9) -> bytes:
        if self._random.random() > share:
            return body
        if self._random.random() < 0.5:
            try:
                return json.dumps(self._spoilt_tree(json.loads(body))).encode()
            except ValueError:
                pass
        return self._mutated(body)

    def _spoilt_tree(self, tree: object) -> object:
        if self._random.random() < 0.15:
            return self._value()
        if isinstance(tree, dict):
            items = [
                (self._text() if self._random.random() < 0.1 else k, self._spoilt_tree(v)) for k, v in tree.items()
            ]
            return dict(items[: self._random.randrange(len(items) + 1)] if self._random.random() < 0.1 else items)
        if isinstance(tree, list):
            return [self._spoilt_tree(item) for item in tree] * self._random.choice([1, 1, 1, 0, 2])
        return tree

    def _mutated(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self._random.randrange(1, 5)):
            at = self._random.randrange(len(out) + 1)
            kind = self._random.randrange(4)
            if kind == 0:
                out[at:at] = self._random.choice(_PIECES)
            elif kind == 1:
                del out[at : at + self._random.randrange(20)]
            elif kind == 2 and at < len(out):
                out[at] = self._random.randrange(256)
            else:
                out[at:at] = out[at : at + 30]
        return bytes(out)

    def _value(self) -> object:
        return self._random.choice(_VALUES)

    def _text(self) -> str:
        return "".join(self._random.choices(string.printable, k=self._random.randrange(12)))


def good_bodies(rows: object) -> list[tuple[str, bytes]]:
    """The same rows in every dialect."""
    return [(dialect.content_type, dialect.encode(rows)) for dialect in DIALECTS]

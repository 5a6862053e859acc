"""What a peer is: something to install, start with a model, and send bodies to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from comparison.dialects import Dialect, Split
from comparison.launch import Launched, own_python
from comparison.requests_once import answers
from comparison.samples import Sample
from comparison.venvs import ensure_venv, installed_versions

MAX_BATCH = 64
MAX_WAIT_S = 0.002


@dataclass(frozen=True)
class Target:
    """A model that answers. ``start_s``: from start to first answer."""

    url: str
    launched: Launched
    start_s: float
    gateway: list[psutil.Process] = field(default_factory=list)
    serving: list[psutil.Process] = field(default_factory=list)
    """Only the processes that a request passes, and what they were forked from: those that are weighed."""


class Session(ABC):
    """A peer at work, on one model after another."""

    @abstractmethod
    def serve(self, sample: Sample) -> Target:
        """Start serving a model and wait until it answers."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def further_versions(self, sample: Sample, count: int) -> dict[str, Any] | None:
        """What further versions of a model cost in seconds and memory, where there are versions."""
        return None


class Peer(ABC):
    """A server as it is compared. ``python`` is the interpreter of its environment once ``install`` has run."""

    distributions: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    venv = ""
    dialect: Dialect = Split()
    settings = ""

    def __init__(self, key: str, title: str) -> None:
        self.key = key
        self.title = title
        self.python = own_python()

    def install(self, cache: Path) -> None:
        """Make its environment; InstallError when it cannot be had on this Python."""
        if self.packages:
            self.python = ensure_venv(cache, self.venv, self.packages)

    def versions(self) -> dict[str, str]:
        """What runs."""
        return installed_versions(self.python, self.distributions)

    @abstractmethod
    def session(self) -> Session:
        """Begin work."""

    @contextmanager
    def at_work(self) -> Iterator[Session]:
        """A session that is closed whatever happens."""
        session = self.session()
        try:
            yield session
        finally:
            session.close()


class OneModelSession(Session):
    """A server that is started anew for every model."""

    def __init__(self, peer: OneModelPeer) -> None:
        self._peer = peer
        self._launched: Launched | None = None

    def serve(self, sample: Sample) -> Target:
        self.close()
        launched = self._launched = Launched()
        command, variables = self._peer.command(sample, launched)
        url = self._peer.url(sample, launched)
        body = self._peer.dialect.encode(sample, sample.head(1))
        launched.start(command, variables, self._peer.python)
        seconds = launched.wait_until(lambda: answers(url, body))
        return Target(url, launched, seconds, serving=launched.processes())

    def close(self) -> None:
        if self._launched is not None:
            self._launched.close()
        self._launched = None


class OneModelPeer(Peer):
    """A peer of which one process group serves one model."""

    @abstractmethod
    def command(self, sample: Sample, launched: Launched) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment variables; files go below ``launched.root``."""

    @abstractmethod
    def url(self, sample: Sample, launched: Launched) -> str:
        """Where to POST."""

    def session(self) -> Session:
        return OneModelSession(self)

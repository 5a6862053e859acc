"""When store and registry are read anew, which part of them, and the reading itself, off the loop."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.desired import DesiredEntity, ModelKey, View, desire
from mlflow_serving_plugin.controller.files import present_needs
from mlflow_serving_plugin.controller.proofs import Proof
from mlflow_serving_plugin.controller.refresh import Revision, refresh
from mlflow_serving_plugin.controller.standing import proof_of
from mlflow_serving_plugin.controller.state import ControllerState
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks, Then
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.recipe import Need
from mlflow_serving_plugin.host.memory import give_back

_logger = logging.getLogger(__name__)
_REFRESH = "refresh"
_RETRY_S = 2.0

_READ_LATER, _LATER_EVERY_S, _MOST_AT_ONCE = "read later", 0.5, 50
"""The files of versions that sleep are read in small portions: a server starts with a thousand as fast as with one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was read, and what follows. ``unread``: versions that sleep, left for later."""

    view: View
    desired: dict[EntityKey, DesiredEntity]
    needs: dict[EntityKey, Need]
    unread: set[EntityKey]


class Reading:
    """Belongs to the loop's thread. Times in seconds, by the clock of ``now``."""

    def __init__(self, deps: ControllerDeps, tasks: Tasks) -> None:
        self._deps = deps
        self._tasks = tasks
        self._revision = Revision(deps.store, tasks)
        self._dirty: set[ModelKey] | None = None
        """Models to read anew; None: all of them."""
        self._due = 0.0
        self._poll_at = 0.0
        self._later_at = 0.0

    def soon(self, workspace: str | None, name: str | None, now: float) -> None:
        """Somebody says that a model has changed; without a name: any of them."""
        self._due = now
        if name is None or workspace is None:
            self._dirty = None
        elif self._dirty is not None:
            self._dirty.add((workspace, name))

    def start_if_due(self, view: View | None, state: ControllerState, then: Then, now: float) -> None:
        """Begin to read what is due. ``then`` gets ``Found``."""
        if self._revision.changed(now):
            self._due = now
        if self._tasks.running(_REFRESH) or now < min(self._due, self._poll_at):
            return
        if now >= self._poll_at:
            self._dirty = None
        if self._dirty is None:
            self._poll_at = now + self._deps.settings.poll_interval_s
        names = None if self._dirty is None else frozenset(self._dirty)
        self._dirty = set()
        self._due = float("inf")
        work = partial(self._read, view or View(), names, state.desired, dict(state.needs), state.proofs)
        self._tasks.start(_REFRESH, work, partial(self._ended, then))

    def _read(
        self,
        before: View,
        names: frozenset[ModelKey] | None,
        desired_before: Mapping[EntityKey, DesiredEntity],
        needs: Mapping[EntityKey, Need],
        proofs: Mapping[EntityKey, Proof],
    ) -> Found:
        view = refresh(self._deps.store, self._deps.registry, before, names)
        timeout_s, rules = self._deps.settings.request_timeout_s, self._deps.rules
        desired = desire(view, timeout_s, rules, (before, desired_before))
        known = {
            key: need
            for key, need in needs.items()
            if key in desired and key in desired_before and desired[key].fingerprint == desired_before[key].fingerprint
        }
        unread = {key for key, wanted in desired.items() if key not in known and proof_of(wanted, proofs) is not None}
        # A start looks at files and environment anew. Until then a look now and then suffices, and none for sleepers.
        kept = {
            key: need
            for key, need in known.items()
            if proof_of(desired[key], proofs) is not None or (names is not None and need.environment is not None)
        }
        return Found(view, desired, kept | self._needs(desired, known, desired.keys() - unread - kept.keys()), unread)

    def _needs(
        self,
        desired: Mapping[EntityKey, DesiredEntity],
        known: Mapping[EntityKey, Need],
        keys: Collection[EntityKey],
    ) -> dict[EntityKey, Need]:
        some = {key: wanted for key, wanted in desired.items() if key in keys}
        return present_needs(self._deps.paths, some, self._deps.environments, known)

    def read_later(self, state: ControllerState, now: float) -> None:
        """Begin to read the next portion of what the versions that sleep need."""
        if not state.unread or now < self._later_at or self._tasks.running(_REFRESH, _READ_LATER):
            return
        self._later_at = now + _LATER_EVERY_S
        portion = set(islice(state.unread, _MOST_AT_ONCE))
        work = partial(self._read_portion, state.desired, portion, last=len(portion) == len(state.unread))
        self._tasks.start(_READ_LATER, work, partial(state.read, portion, state.desired))

    def _read_portion(
        self, desired: Mapping[EntityKey, DesiredEntity], keys: Collection[EntityKey], *, last: bool
    ) -> dict[EntityKey, Need]:
        found = self._needs(desired, {}, keys)
        if last:
            # Reading thousands of files leaves megabytes behind that nobody needs for a long time.
            give_back()
        return found

    def _ended(self, then: Then, outcome: Outcome, now: float) -> None:
        if outcome.error is None:
            then(outcome, now)
            return
        _logger.warning("The registry could not be read, trying again: %s", outcome.reason)
        self._dirty = None
        self._due = now + _RETRY_S

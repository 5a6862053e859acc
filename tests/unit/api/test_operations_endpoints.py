"""Endpoints as operations: the order of checks, what is changed, and what the controller is told."""

import pytest

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.states import EndpointState
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, PermissionDeniedError
from mlflow_serving_plugin.host.messages import Changed
from mlflow_serving_plugin.operations.endpoints import EndpointOperations, NotEnabledError
from mlflow_serving_plugin.testing import MemoryAccess, MemoryRegistry, MemoryStore

ALICE = User("alice")


class World:
    """Operations on in-memory collaborators. ``held``: alice's permission on every model."""

    def __init__(self, held=Permission.MANAGE):
        self.store, self.sent = MemoryStore(), []
        self.access = MemoryAccess(default=held)
        registry = MemoryRegistry()
        for name in ("iris", "wine"):
            registry.add(name)
        self.operations = EndpointOperations(self.store, registry, self.access, self, self.sent.append)

    def current(self):
        return Routes()

    def enable(self, name="iris", workspace="default"):
        return self.store.enable(workspace, name, model_created_ms=1, config=None, by=None)


def test_enabling_stores_the_caller_and_tells_the_controller():
    world = World()
    world.operations.enable(ALICE, "default", "iris", {"replicas": 3})
    assert world.store.find("default", "iris").config == EndpointConfig(replicas=3)
    audit, _ = world.store.audit(page_token=None, limit=10)
    assert [event.message.endswith(" by alice.") for event in audit] == [True, True]
    assert world.sent == [Changed("default", "iris")]


def test_enabling_again_merges_the_changes_over_the_present_configuration():
    world = World()
    world.operations.enable(ALICE, "default", "iris", {"replicas": 3})
    world.operations.enable(ALICE, "default", "iris", {"batching": "off"})
    world.operations.enable(ALICE, "default", "iris")
    assert world.store.find("default", "iris").config == EndpointConfig(replicas=3, batching="off")


def test_a_wrong_configuration_enables_nothing_and_tells_nobody():
    world = World()
    with pytest.raises(InvalidParameterError, match=r"config\.replicas"):
        world.operations.enable(ALICE, "default", "iris", {"replicas": 0})
    assert world.store.enabled() == [] and world.sent == []


@pytest.mark.parametrize(
    ("held", "name", "error"),
    [
        (Permission.NONE, "iris", NotFoundError),
        (Permission.NONE, "unknown", NotFoundError),
        (Permission.READ, "unknown", NotFoundError),
        (Permission.READ, "iris", PermissionDeniedError),
        (Permission.MANAGE, "unknown", NotFoundError),
    ],
)
def test_enabling_needs_a_model_that_exists_and_manage_in_this_order(held, name, error):
    world = World(held)
    with pytest.raises(error):
        world.operations.enable(ALICE, "default", name)
    assert world.store.enabled() == [] and world.sent == []


def test_disabling_is_idempotent_and_needs_manage():
    world = World()
    world.enable()
    for _ in range(2):
        world.operations.disable(ALICE, "default", "iris")
    assert world.store.enabled() == []
    assert world.sent == [Changed("default", "iris")] * 2
    with pytest.raises(PermissionDeniedError):
        World(Permission.READ).operations.disable(ALICE, "default", "iris")


def test_configuring_checks_read_then_serving_then_manage_and_tells_the_controller():
    world = World()
    with pytest.raises(NotEnabledError):
        World(Permission.READ).operations.configure(ALICE, "default", "iris", {})
    world.enable()
    assert world.operations.configure(ALICE, "default", "iris", {"replicas": 2}).config.replicas == 2
    assert world.sent == [Changed("default", "iris")]
    world.access.default = Permission.READ
    with pytest.raises(PermissionDeniedError):
        world.operations.configure(ALICE, "default", "iris", {"replicas": 3})
    assert world.store.find("default", "iris").config.replicas == 2


def test_an_endpoint_that_no_controller_has_published_waits_for_the_controller():
    world = World()
    world.enable()
    served = world.operations.describe(ALICE, "default", "iris")
    assert (served.state, served.message, served.versions) == (
        EndpointState.STARTING,
        "Waiting for the controller.",
        [],
    )
    with pytest.raises(NotFoundError, match="Version 1"):
        served.version(1)


def test_a_model_without_serving_is_told_apart_from_a_model_that_does_not_exist():
    world = World()
    assert world.operations.describe_if_enabled(ALICE, "default", "iris") is None
    with pytest.raises(NotFoundError, match="unknown"):
        world.operations.describe_if_enabled(ALICE, "default", "unknown")


def test_only_readable_endpoints_of_the_workspace_are_listed_by_name():
    world = World(Permission.NONE)
    for name in ("wine", "iris", "secret"):
        world.enable(name)
    world.enable("elsewhere", "team")
    world.access.permissions = {("alice", name): Permission.READ for name in ("wine", "iris", "elsewhere")}
    assert [served.endpoint.name for served in world.operations.find_all(ALICE, "default")] == ["iris", "wine"]


def test_the_events_of_a_model_need_read_on_the_model():
    world = World()
    world.enable()
    assert world.operations.events(ALICE, "default", "iris", version=None, page_token=None, limit=5)[0] != []
    world.access.default = Permission.NONE
    with pytest.raises(NotFoundError):
        world.operations.events(ALICE, "default", "iris", version=None, page_token=None, limit=5)


DENIED, UNKNOWN = "wine", "nosuch"


@pytest.mark.parametrize("default", [Permission.NONE, Permission.READ, Permission.MANAGE])
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    "ask",
    [
        lambda operations, name: operations.enable(ALICE, "default", name),
        lambda operations, name: operations.disable(ALICE, "default", name),
        lambda operations, name: operations.configure(ALICE, "default", name, {}),
        lambda operations, name: operations.describe(ALICE, "default", name),
        lambda operations, name: operations.describe_if_enabled(ALICE, "default", name),
        lambda operations, name: operations.permission(ALICE, "default", name),
        lambda operations, name: operations.events(ALICE, "default", name, version=None, page_token=None, limit=9),
    ],
    ids=["enable", "disable", "configure", "describe", "overview", "permission", "events"],
)
def test_a_denied_model_looks_like_one_that_does_not_exist(ask, enabled, default):
    world = World(default)
    world.access.permissions = {("alice", DENIED): Permission.NONE}
    if enabled:
        world.enable(DENIED)

    def answer(name):
        try:
            return ask(world.operations, name)
        except NotFoundError as refused:
            return type(refused), refused.message.replace(name, "…")

    assert answer(DENIED) == answer(UNKNOWN)
    assert world.sent == []


class CaselessStore(MemoryStore):
    """As a store on MySQL or MariaDB: a name finds its row in any case."""

    def find(self, workspace, name):
        return next(
            (one for one in self.enabled() if (one.workspace, one.name.lower()) == (workspace, name.lower())), None
        )


def test_another_spelling_of_a_name_is_the_same_endpoint_with_the_same_permissions():
    world = World(Permission.MANAGE)
    object.__setattr__(world.operations, "store", CaselessStore())
    world.store = world.operations.store
    world.enable("iris")
    assert world.operations.describe(ALICE, "default", "IRIS").endpoint.name == "iris"
    world.operations.disable(ALICE, "default", "IRIS")
    assert world.store.enabled() == []
    world.enable("iris")
    world.access.permissions = {("alice", "iris"): Permission.NONE}
    for ask in (world.operations.describe, lambda *who: world.operations.configure(*who, {})):
        with pytest.raises(NotEnabledError):
            ask(ALICE, "default", "IRIS")
    with pytest.raises(NotFoundError):
        world.operations.disable(ALICE, "default", "IRIS")
    assert world.store.enabled() != []

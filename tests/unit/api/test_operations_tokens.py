"""Tokens as operations: whose they are, what they are good for, and who sees the audit."""

import pytest

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.domain.token import NEVER, Scope
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, PermissionDeniedError
from mlflow_serving_plugin.operations.endpoints import EndpointOperations
from mlflow_serving_plugin.operations.tokens import TokenOperations
from mlflow_serving_plugin.testing import MemoryAccess, MemoryRegistry, MemoryStore, MemoryTokens

ALICE, BOB, ROOT = User("alice"), User("bob"), User("root")


@pytest.fixture
def tokens():
    access, registry = MemoryAccess(admins={"root"}), MemoryRegistry()
    registry.add("iris", workspace="team")
    endpoints = EndpointOperations(MemoryStore(), registry, access, None, None)
    return TokenOperations(MemoryTokens(MemoryStore()), access, endpoints.model, clock=lambda: 100.0)


def refusal_of(tokens, model):
    with pytest.raises(NotFoundError) as refused:
        tokens.add(ALICE, "team", model=model)
    return refused.value.message


def test_a_token_belongs_to_its_maker_s_account_and_only_its_hash_is_stored(tokens):
    value, token = tokens.add(ALICE, "default", comment="ci", lifetime_s=60)
    assert (token.owner, token.account, token.comment) == ("alice", "account of alice", "ci")
    assert (token.created_ms, token.expiry_ms, token.scope) == (100_000, 160_000, None)
    assert tokens.store.find_token(digest_of(value)) == token
    assert value not in repr(vars(tokens.store))


def test_a_token_without_a_lifetime_never_expires(tokens):
    assert tokens.add(ALICE, "default")[1].expiry_ms == NEVER


def test_a_token_can_be_limited_to_a_model_that_its_maker_may_read(tokens):
    assert tokens.add(ALICE, "team", model="iris")[1].scope == Scope("team", "iris")
    unknown = refusal_of(tokens, "wine")
    tokens.access.default = Permission.NONE
    assert refusal_of(tokens, "iris") == unknown.replace("wine", "iris")
    assert len(tokens.store.tokens(None)) == 1


def test_users_see_and_revoke_their_own_tokens_and_admins_everybody_s(tokens):
    _, mine = tokens.add(ALICE, "default")
    _, theirs = tokens.add(BOB, "default")
    assert tokens.find_all(ALICE) == [mine]
    assert sorted(token.owner for token in tokens.find_all(ROOT)) == ["alice", "bob"]
    with pytest.raises(NotFoundError):
        tokens.revoke(ALICE, theirs.id)
    tokens.revoke(ROOT, theirs.id)
    tokens.revoke(ALICE, mine.id)
    assert tokens.find_all(ROOT) == []


def test_a_caller_with_a_token_for_one_model_can_neither_make_nor_see_tokens(tokens):
    scoped = User("alice", Scope("default", "iris"))
    for refused in (
        lambda: tokens.add(scoped, "default"),
        lambda: tokens.find_all(scoped),
        lambda: tokens.revoke(scoped, "1"),
    ):
        with pytest.raises(PermissionDeniedError, match="for one model"):
            refused()


@pytest.mark.parametrize(
    ("lifetime_s", "parent_ms", "expiry_ms"),
    [
        (1, 105_000, 101_000),
        (60, 105_000, 105_000),
        (None, 105_000, 105_000),
        (60, NEVER, 160_000),
        (None, NEVER, NEVER),
    ],
)
def test_a_token_that_was_created_with_a_token_ends_with_that_one(tokens, lifetime_s, parent_ms, expiry_ms):
    with_token = User("alice", token_id="parent", token_expiry_ms=parent_ms)
    _, child = tokens.add(with_token, "default", lifetime_s=lifetime_s)
    assert (child.parent, child.expiry_ms) == ("parent", expiry_ms)


def test_a_server_without_users_has_no_tokens(tokens):
    with pytest.raises(InvalidParameterError, match="no users"):
        tokens.add(User(None), "default")


def test_the_audit_is_for_admins(tokens):
    assert tokens.audit(ROOT, page_token=None, limit=10) == ([], None)
    with pytest.raises(PermissionDeniedError, match="Only an admin"):
        tokens.audit(ALICE, page_token=None, limit=10)

"""What every store of tokens does: the one in memory, and ours on each database that is tested."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.domain.token import Scope, Token
from mlflow_serving_plugin.errors import InvalidParameterError


def a_token(id="t1", owner="ada", *, account="account 1", created_ms=1, **more):
    return Token(id, owner, account, more.pop("comment", ""), created_ms, **more)


def audited(tokens):
    page, _ = tokens.audit(page_token=None, limit=100)
    return [event.message for event in reversed(page)]


def test_a_token_is_found_by_its_digest_with_all_that_was_kept(tokens):
    token = a_token(comment="for the nightly job", expiry_ms=99, scope=Scope("default", "iris"))
    tokens.add_token(token, "digest")
    assert tokens.find_token("digest") == token
    assert tokens.find_token("another") is None


def test_tokens_of_one_owner_or_of_all_come_newest_first(tokens):
    for number, owner in enumerate(("ada", "ben", "ada"), start=1):
        tokens.add_token(a_token(f"t{number}", owner, created_ms=number), f"digest {number}")
    assert [token.id for token in tokens.tokens("ada")] == ["t3", "t1"]
    assert [token.id for token in tokens.tokens(None)] == ["t3", "t2", "t1"]
    assert tokens.tokens("cleo") == []


def test_an_owner_has_a_limited_number_of_tokens_and_others_are_not_counted(tokens, monkeypatch):
    for module in ("store", "testing"):
        monkeypatch.setattr(f"mlflow_serving_plugin.{module}.tokens.MOST_TOKENS", 3)
    for number in range(3):
        tokens.add_token(a_token(f"t{number}"), f"digest {number}")
    with pytest.raises(InvalidParameterError, match="You have 3 tokens"):
        tokens.add_token(a_token("one more"), "one more")
    tokens.add_token(a_token("of ben", "ben"), "of ben")


@pytest.mark.parametrize("owner", ["ada", None], ids=["by its owner", "by an admin"])
def test_a_removed_token_is_gone_and_the_audit_says_who_removed_it(tokens, owner):
    tokens.add_token(a_token(), "digest")
    assert tokens.remove_token("t1", owner=owner, by="root")
    assert tokens.find_token("digest") is None
    assert not tokens.remove_token("t1", owner=owner, by="root")
    assert audited(tokens) == ["Token t1 was created by ada.", "Token t1 of ada was revoked by root."]


def test_nobody_removes_the_token_of_somebody_else(tokens):
    tokens.add_token(a_token(), "digest")
    assert not tokens.remove_token("t1", owner="ben", by="ben")
    assert tokens.find_token("digest") is not None


def test_tokens_that_were_created_with_a_token_are_revoked_with_it(tokens):
    for name, parent in (("t1", None), ("t2", "t1"), ("t3", "t2"), ("t4", None)):
        tokens.add_token(a_token(name, parent=parent), name)
    assert tokens.find_token("t3").parent == "t2"
    assert tokens.remove_token("t1", owner="ada", by="ada")
    assert [token.id for token in tokens.tokens(None)] == ["t4"]
    assert sum("was revoked by ada" in message for message in audited(tokens)) == 3


def test_the_use_of_a_token_is_kept(tokens):
    tokens.add_token(a_token(), "digest")
    tokens.token_used("t1", 77)
    tokens.token_used("gone", 78)
    assert tokens.find_token("digest").last_used_ms == 77


@pytest.mark.parametrize(("present", "left"), [("account 2", ["t2"]), (None, [])])
def test_tokens_of_an_account_that_is_gone_are_forgotten_and_the_audit_says_so(tokens, present, left):
    tokens.add_token(a_token("t1", account="account 1"), "1")
    tokens.add_token(a_token("t2", account="account 2"), "2")
    tokens.add_token(a_token("t3", "ben"), "3")
    tokens.forget_tokens("ada", other_than=present)
    assert [token.id for token in tokens.tokens("ada")] == left
    assert len(tokens.tokens("ben")) == 1
    assert "Token t1 ended with its user ada." in audited(tokens)


def test_the_audit_tells_what_people_changed_a_page_at_a_time(store, tokens):
    store.enable("default", "iris", model_created_ms=1, config=None, by="ada")
    tokens.add_token(a_token(scope=Scope("default", "iris")), "digest")
    first, token = tokens.audit(page_token=None, limit=1)
    second, end = tokens.audit(page_token=token, limit=1)
    assert [(event.name, event.type, event.message) for event in first + second] == [
        ("", "TOKEN_CREATED", "Token t1 for model 'iris' only was created by ada."),
        ("iris", "ENDPOINT_ENABLED", "Serving was enabled by ada."),
    ]
    assert end is None


def test_the_audit_outlives_endpoints_models_and_their_events(store, tokens):
    endpoint = store.enable("default", "iris", model_created_ms=1, config=None, by="ada")
    store.prune_events(2**60)
    store.remove(endpoint)
    again = store.enable("default", "iris", model_created_ms=2, config=None, by="ben")
    store.disable("default", "iris", by="cleo")
    store.enable("default", "iris", model_created_ms=3, config=None, by="dora")
    page, _ = tokens.audit(page_token=None, limit=100)
    assert again.id != endpoint.id
    assert {event.name for event in page} == {"iris"}
    assert [
        (event.type, event.message.split()[-1]) for event in reversed(page) if event.type != "ENDPOINT_REMOVED"
    ] == [
        ("ENDPOINT_ENABLED", "ada."),
        ("ENDPOINT_ENABLED", "ben."),
        ("ENDPOINT_DISABLED", "cleo."),
        ("ENDPOINT_ENABLED", "dora."),
    ]
    assert [event.type for event in reversed(page)].index("ENDPOINT_REMOVED") == 1
    assert store.prune_audit(page[-1].timestamp_ms) == 0
    assert store.prune_audit(2**60) == len(page)
    assert tokens.audit(page_token=None, limit=100) == ([], None)

"""What is remembered of callers, for how long, and that nobody is looked up twice at the same moment."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlflow_serving_plugin.access.base import Check, Grant, Permission, User
from mlflow_serving_plugin.access.cache import ShortCache
from mlflow_serving_plugin.access.guarded import GuardedAccess
from mlflow_serving_plugin.access.tokens import TokenAuthenticator, digest_of, new_token, token_in
from mlflow_serving_plugin.domain.token import Scope, Token
from mlflow_serving_plugin.errors import TooManyRequestsError, UnauthenticatedError

ALICE = {"authorization": "Basic alice"}


class Provider:
    challenge = "Basic"

    def __init__(self):
        self.asked = []
        self.held = Permission.MANAGE
        self.accounts = {"alice": "1"}
        self.gate = None
        self.password = "Basic alice"

    def credentials(self, headers):
        return headers.get("authorization", "").encode()

    def authenticate(self, headers):
        self.asked.append("who")
        if self.gate is not None:
            self.gate.wait(10)
        if headers.get("authorization") != self.password:
            raise UnauthenticatedError("no")
        return User("alice")

    def permission(self, user, workspace, name):
        self.asked.append((user.name, workspace, name))
        if self.held is None:
            raise OSError("the database is gone")
        return self.held

    def is_admin(self, user):
        return True

    def account(self, name):
        return self.accounts.get(name)


class Tokens:
    def __init__(self):
        self.kept = {}
        self.used = []
        self.read_only = False
        self.forgotten = []
        self.gate = None

    def find_token(self, digest):
        if self.gate is not None:
            self.gate.wait(30)
        if self.kept is None:
            raise OSError("the database is gone")
        return self.kept.get(digest)

    def token_used(self, token_id, now_ms):
        if self.read_only:
            raise OSError("the database takes no changes")
        self.used.append(token_id)

    def forget_tokens(self, owner, *, other_than):
        self.forgotten.append((owner, other_than))


class World:
    def __init__(self, cache_s=5.0, outage_s=0.0):
        self.now = 100.0
        self.provider = Provider()
        self.tokens = Tokens()
        authenticator = TokenAuthenticator(
            self.tokens, self.provider.account, challenge="Basic", clock=lambda: self.now
        )
        self.reported: list[str] = []
        self.access = GuardedAccess(
            self.provider,
            authenticator,
            cache_s=cache_s,
            outage_s=outage_s,
            report=self.reported.append,
            clock=lambda: self.now,
        )

    def token(self, **changes):
        value = new_token()
        self.tokens.kept[digest_of(value)] = Token(**{"id": "t", "owner": "alice", "account": "1", **changes})
        return {"authorization": f"Bearer {value}"}

    def held(self, headers, name="iris"):
        user = self.access.identify(headers)
        return self.access.permission(user, "default", name)


@pytest.fixture
def world():
    return World()


def a_token(world, **changes):
    return world.token(**{"comment": "", "created_ms": 0, **changes})


def test_caller_and_permission_are_recalled_together_once_they_were_looked_up(world):
    assert world.access.recall(ALICE, "default", "iris") is None
    assert world.held(ALICE) is Permission.MANAGE
    assert world.access.recall(ALICE, "default", "iris") == Grant(User("alice"), Permission.MANAGE)
    assert world.access.recall(ALICE, "other", "iris") is None


def test_a_caller_is_looked_up_once_within_the_time_and_again_after_it(world):
    for _ in range(3):
        world.held(ALICE)
    assert world.provider.asked == ["who", ("alice", "default", "iris")]
    world.now += 5.1
    world.provider.held = Permission.NONE
    assert world.access.recall(ALICE, "default", "iris") is None
    assert world.held(ALICE) is Permission.NONE


def test_a_refusal_is_remembered_too(world):
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            world.access.identify({"authorization": "Basic mallory"})
    assert world.provider.asked == ["who"]


def test_a_cache_of_no_time_asks_each_time():
    world = World(cache_s=0)
    world.held(ALICE)
    world.held(ALICE)
    assert world.provider.asked.count("who") == 2
    assert world.access.recall(ALICE, "default", "iris") is None


def test_no_credential_is_a_key_of_the_memory(world):
    world.held(ALICE)
    headers = a_token(world)
    world.held(headers)
    keys = repr([*world.access._by_password._entries, *world.access._by_token._entries])
    assert "alice" not in keys
    assert headers["authorization"].split()[1] not in keys


def test_a_token_is_looked_at_again_after_a_second(world):
    headers = a_token(world)
    assert world.held(headers) is Permission.MANAGE
    world.tokens.kept.clear()
    world.now += 0.9
    assert world.access.identify(headers).name == "alice"
    world.now += 0.2
    with pytest.raises(UnauthenticatedError, match="revoked"):
        world.access.identify(headers)


def test_an_expired_token_is_refused(world):
    headers = a_token(world, expiry_ms=int(world.now * 1000))
    with pytest.raises(UnauthenticatedError, match="expired"):
        world.access.identify(headers)


@pytest.mark.parametrize("account", [None, "2"])
def test_a_token_does_not_outlive_its_account(world, account):
    headers = a_token(world)
    world.provider.accounts = {} if account is None else {"alice": account}
    with pytest.raises(UnauthenticatedError, match="no longer exists"):
        world.access.identify(headers)
    assert world.tokens.forgotten == [("alice", account)]


def test_a_scoped_token_reads_its_model_and_is_nobody_s_admin(world):
    headers = a_token(world, scope=Scope("default", "iris"))
    assert world.held(headers) is Permission.READ
    assert world.held(headers, "wine") is Permission.NONE
    assert world.access.recall(headers, "default", "iris").permission is Permission.READ
    assert world.access.recall(headers, "default", "wine").permission is Permission.NONE
    assert not world.access.is_admin(world.access.identify(headers))


def test_a_scope_gives_nothing_that_the_owner_does_not_have(world):
    world.provider.held = Permission.NONE
    assert world.held(a_token(world, scope=Scope("default", "iris"))) is Permission.NONE


def test_the_use_of_a_token_is_noted_once_a_minute(world):
    headers = a_token(world)
    for _ in range(4):
        world.access.identify(headers)
        world.now += 20
    assert world.tokens.used == ["t", "t"]


def test_somebody_else_s_bearer_token_is_the_provider_s_to_judge():
    assert token_in("Bearer eyJhbGciOi.x.y") is None
    assert token_in("Bearer mlsp_short") is None
    assert token_in("Basic " + new_token()) is None
    value = new_token()
    assert token_in(f"bearer {value}") == value


@pytest.mark.parametrize("scheme", ["Basic ", "basic   "])
def test_a_token_is_also_the_password_of_the_user_name_token(scheme):
    value = new_token()
    encoded = base64.b64encode(f"token:{value}".encode()).decode()
    assert token_in(scheme + encoded) == value


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_header_made_by_echo_and_base64_holds_the_token_too(end):
    value = new_token()
    assert token_in("Basic " + base64.b64encode(f"token:{value}{end}".encode()).decode()) == value


@pytest.mark.parametrize(
    "credentials", ["token:a password", "token:mlsp_short", "token:", "token", "Token:{}", "alice:{}", "token:{} ", ""]
)
def test_the_password_of_a_real_user_is_the_provider_s_to_judge(credentials):
    encoded = base64.b64encode(credentials.format(new_token()).encode()).decode()
    assert token_in("Basic " + encoded) is None
    assert token_in("Basic " + encoded[:-1] + "é") is None


def test_those_who_ask_at_the_same_moment_cost_one_look_up(world):
    world.provider.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(world.access.identify, ALICE) for _ in range(8)]
        while not world.provider.asked:
            pass
        world.provider.gate.set()
        assert {future.result(10).name for future in asked} == {"alice"}
    assert world.provider.asked == ["who"]


def test_a_failed_look_up_fails_all_who_wait_and_is_forgotten():
    cache = ShortCache()
    with pytest.raises(ZeroDivisionError):
        cache.fetch("key", lambda: 1 / 0, 5)
    assert cache.fetch("key", lambda: 2, 5) == 2


def test_a_value_is_as_old_as_the_beginning_of_its_look_up():
    now = [0.0]
    cache = ShortCache(clock=lambda: now[0])

    def slow():
        now[0] = 4.0
        return "value"

    cache.fetch("key", slow, 5)
    now[0] = 4.9
    assert cache.get("key") == "value"
    now[0] = 5.1
    assert cache.get("key") is None


def test_the_memory_is_bounded():
    cache = ShortCache(most_entries=3)
    for number in range(10):
        cache.fetch(number, lambda number=number: number, 60)
    assert len(cache._entries) <= 3


def test_whoever_was_known_is_let_in_while_nobody_can_be_asked_but_not_for_ever():
    world = World(outage_s=60)
    headers = a_token(world)
    stranger = a_token(world)
    world.held(headers)
    world.tokens.kept, world.provider.held = None, None
    for _ in range(9):
        world.now += 6
        assert world.held(headers) is Permission.MANAGE
    with pytest.raises(OSError):
        world.held(stranger)
    world.now += 7
    with pytest.raises(OSError):
        world.held(headers)


def test_a_refusal_after_an_outage_counts_at_once():
    world = World(outage_s=60)
    headers = a_token(world)
    world.held(headers)
    kept, world.tokens.kept = world.tokens.kept, None
    world.now += 2
    world.held(headers)
    world.tokens.kept = kept
    kept.clear()
    world.now += 2
    with pytest.raises(UnauthenticatedError):
        world.held(headers)


def test_without_a_cache_an_outage_lets_nobody_in():
    world = World(cache_s=0, outage_s=60)
    world.held(ALICE)
    world.provider.held = None
    with pytest.raises(OSError):
        world.held(ALICE)


def test_a_token_is_good_where_its_use_cannot_be_noted(world):
    world.tokens.read_only = True
    assert world.held(a_token(world)) is Permission.MANAGE


def test_headers_that_an_unknown_app_goes_by_are_no_key_of_the_memory(world):
    secret = User("alice", credentials=(("x-api-key", "sesame"),))
    assert world.access.permission(secret, "default", "iris") is Permission.MANAGE
    assert "sesame" not in repr(list(world.access._permissions._entries))
    other = User("alice", credentials=(("x-api-key", "another"),))
    world.access.permission(other, "default", "iris")
    assert len(world.access._permissions._entries) == 2


def guess(world, number, user="alice", address="6.6.6.6"):
    """A try of another password each time: the refusal."""
    encoded = base64.b64encode(f"{user}:{number}".encode()).decode()
    with pytest.raises((UnauthenticatedError, TooManyRequestsError)) as refused:
        world.access.identify({"authorization": f"Basic {encoded}"}, address)
    return refused.value


def test_wrong_passwords_are_checked_a_few_times_and_then_have_to_wait_longer_each_time(world):
    assert {type(guess(world, number)) for number in range(6)} == {UnauthenticatedError}
    delays = []
    for number in range(6, 14):
        refused = guess(world, number)
        assert isinstance(refused, TooManyRequestsError)
        delays.append(refused.retry_after_s)
        world.now += refused.retry_after_s
        assert isinstance(guess(world, number), UnauthenticatedError)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert world.provider.asked == ["who"] * 14
    assert world.reported == ["wrong"] * 6 + ["delayed", "wrong"] * 8


def test_who_guesses_the_passwords_of_many_users_has_to_wait_too(world):
    assert {type(guess(world, 1, f"user{number}")) for number in range(21)} == {UnauthenticatedError}
    assert isinstance(guess(world, 1, "another"), TooManyRequestsError)
    assert isinstance(guess(world, 1, "another", address="7.7.7.7"), UnauthenticatedError)


def test_guessing_keeps_out_nobody_whose_password_was_right_before(world):
    world.provider.password = "Basic " + base64.b64encode(b"alice:right").decode()
    right = {"authorization": world.provider.password}
    world.access.identify(right, "6.6.6.6")
    for number in range(30):
        guess(world, number)
    world.now += 5.1
    assert world.access.identify(right, "6.6.6.6").name == "alice"


def test_a_password_that_was_right_is_told_from_guesses(world):
    world.provider.password = "Basic " + base64.b64encode(b"alice:right").decode()
    right = {"authorization": world.provider.password}
    assert world.access.check(right) is Check.PASSWORD
    world.access.identify(right)
    assert world.access.check(right) is Check.KNOWN_PASSWORD
    assert world.access.check({"authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}) is Check.PASSWORD
    assert world.access.check(a_token(world)) is Check.TOKEN
    world.provider.password = "changed"
    world.now += 5.1
    with pytest.raises(UnauthenticatedError):
        world.access.identify(right)
    assert world.access.check(right) is Check.PASSWORD


def test_guessing_keeps_out_for_long_nobody_who_comes_from_another_address(world):
    world.provider.password = "Basic " + base64.b64encode(b"alice:right").decode()
    for number in range(40):
        guess(world, number)
        world.now += 61
        guess(world, f"and {number}")
    right = {"authorization": world.provider.password}
    assert world.access.refuse_guess(right, "6.6.6.6").retry_after_s == 60
    world.now += world.access.refuse_guess(right, "7.7.7.7").retry_after_s
    assert world.access.refuse_guess(right, "6.6.6.6").retry_after_s == 56
    assert world.access.identify(right, "7.7.7.7").name == "alice"


@pytest.mark.parametrize(
    ("user", "address"),
    [
        pytest.param("bob{}", "7.7.7.7", id="at the user's address"),
        pytest.param("alice", "6.6.6.{}", id="at the user's name"),
    ],
)
def test_a_new_password_waits_once_however_long_others_guess(world, user, address):
    def guess_on(number):
        return guess(world, number, user.format(number), address.format(number))

    world.provider.password = "Basic " + base64.b64encode(b"alice:new").decode()
    right = {"authorization": world.provider.password}
    for number in range(30):
        guess_on(number)
        world.now += 5
    assert isinstance(guess_on(30), UnauthenticatedError)
    waits_s = world.access.refuse_guess(right, "7.7.7.7").retry_after_s
    assert waits_s == 4
    world.now += waits_s
    # Somebody else was faster.
    assert isinstance(guess_on(31), UnauthenticatedError)
    assert isinstance(guess_on(32), TooManyRequestsError)
    assert world.access.identify(right, "7.7.7.7").name == "alice"


def test_guesses_that_have_waited_at_one_s_own_address_wait_again(world):
    for number in range(6):
        guess(world, number)
    assert [guess(world, number).retry_after_s for number in (6, 7)] == [1, 1]
    world.now += 1
    assert isinstance(guess(world, 6), UnauthenticatedError)
    assert isinstance(guess(world, 7), TooManyRequestsError)


def test_a_program_that_repeats_an_old_password_does_not_guess(world):
    for _ in range(30):
        assert isinstance(guess(world, 1), UnauthenticatedError)
        world.now += 5.1


def test_wrong_passwords_are_forgotten_after_ten_minutes(world):
    for number in range(7):
        guess(world, number)
    world.now += 601
    assert {type(guess(world, number)) for number in range(10, 15)} == {UnauthenticatedError}


def test_a_token_does_not_wait_for_passwords(world):
    headers = a_token(world)
    world.provider.gate = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(guess, world, number) for number in range(20)]
        assert world.access.identify(headers).name == "alice"
        world.provider.gate.set()
        assert {type(one.result(30)) for one in waiting} <= {UnauthenticatedError, TooManyRequestsError}


def test_credentials_that_are_known_to_be_wrong_are_refused_from_memory(world):
    guess(world, 1)
    with pytest.raises(UnauthenticatedError):
        world.access.recall({"authorization": "Basic " + base64.b64encode(b"alice:1").decode()}, "default", "iris")


def test_who_was_known_is_let_in_while_the_database_hangs():
    world = World(outage_s=60)
    headers, gate = a_token(world), threading.Event()
    world.held(headers)
    world.tokens.gate = gate
    world.now += 2
    assert world.held(headers) is Permission.MANAGE
    # Known for another second, then let in without a wait while the same look-up goes on.
    assert world.access.recall(headers, "default", "iris").caller.name == "alice"
    world.now += 2
    assert world.held(headers) is Permission.MANAGE
    gate.set()


def test_a_wrong_password_is_logged_once_a_second_and_counted(world, caplog):
    for number in range(6):
        guess(world, number)
    world.now += 1
    guess(world, 6)
    lines = [record.getMessage() for record in caplog.records if "password" in record.getMessage()]
    assert lines == [
        "A wrong password was sent; address 6.6.6.6.",
        "A wrong password was sent; address 6.6.6.6. (5 more like this before)",
    ]

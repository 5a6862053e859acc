"""The proof that opens a connection to a relay."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.relay import proof
from mlflow_serving_plugin.relay.proof import Address, Claim, ProofError

WORKER = "0123456789ab"
RELAY, GATEWAY = b"r" * proof.NONCE_BYTES, b"g" * proof.NONCE_BYTES
CLAIM = Claim(proof.CALLS, WORKER, RELAY, GATEWAY)


@pytest.mark.parametrize(
    "address, found",
    [
        (f"tcp://10.0.0.7:8080/{WORKER}", Address("10.0.0.7", 8080, WORKER)),
        (f"tcp://node-1.local:8080/{WORKER}", Address("node-1.local", 8080, WORKER)),
        (f"tcp://[::1]:8080/{WORKER}", Address("::1", 8080, WORKER)),
        (f"/run/{WORKER}.sock", None),
        ("tcp://10.0.0.7:8080", None),
        ("tcp://10.0.0.7:8080/../secrets", None),
        (f"tcp://:8080/{WORKER}", None),
    ],
)
def test_an_address_names_host_port_and_worker(address, found):
    assert proof.parse_address(address) == found
    assert found is None or str(found) == address


def test_what_one_side_writes_the_other_side_reads():
    assert proof.read_hello(proof.hello(RELAY)) == RELAY
    answer = proof.read_answer(CLAIM.answer("s3cret"))
    assert answer == (proof.CALLS, WORKER, GATEWAY, CLAIM.of_gateway("s3cret"))
    assert len(proof.hello(RELAY)) == proof.HELLO_BYTES
    assert len(CLAIM.answer("s3cret")) == proof.ANSWER_BYTES
    assert len(CLAIM.of_relay("s3cret")) == proof.PROOF_BYTES


@pytest.mark.parametrize(
    "other",
    [
        CLAIM._replace(purpose=proof.LEASE),
        CLAIM._replace(worker_id="0123456789ac"),
        CLAIM._replace(relay_nonce=b"R" * proof.NONCE_BYTES),
        CLAIM._replace(gateway_nonce=b"G" * proof.NONCE_BYTES),
    ],
)
def test_a_proof_counts_for_what_was_said_on_its_connection_and_for_nothing_else(other):
    for side in (Claim.of_gateway, Claim.of_relay):
        assert proof.same(side(CLAIM, "s3cret"), side(CLAIM, "s3cret"))
        assert not proof.same(side(other, "s3cret"), side(CLAIM, "s3cret"))
        assert not proof.same(side(CLAIM, "s3cre"), side(CLAIM, "s3cret"))
    assert not proof.same(CLAIM.of_gateway("s3cret"), CLAIM.of_relay("s3cret"))


def test_no_side_says_the_secret():
    for said in (proof.hello(RELAY), CLAIM.answer("s3cret"), CLAIM.of_relay("s3cret")):
        assert b"s3cret" not in said


@pytest.mark.parametrize("said", [b"", b"\0" * proof.HELLO_BYTES, proof.hello(RELAY)[:-1], b"HTTP/1.1 400 Bad Request"])
def test_a_server_of_another_protocol_is_no_relay(said):
    with pytest.raises(ProofError):
        proof.read_hello(said)


@pytest.mark.parametrize(
    "purpose, worker", [(b"X", WORKER), (proof.CALLS, "../../secret"), (proof.CALLS, "0123456789AB")]
)
def test_an_answer_with_another_purpose_or_a_path_for_a_worker_is_refused(purpose, worker):
    with pytest.raises(ProofError):
        proof.read_answer(CLAIM._replace(purpose=purpose, worker_id=worker).answer("s3cret"))

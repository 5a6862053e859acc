import base64

import click
import pytest
from support.api import ApiWorld, version
from werkzeug.wrappers import Request, Response

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import parse_config


@pytest.mark.parametrize(
    "response, message",
    [
        (Response("<h1>Not Found</h1>", status=404, mimetype="text/html"), "does not run the serving app"),
        (Response('{"detail": "Not Found"}', status=404, mimetype="application/json"), "does not run the serving app"),
        (Response("<html>", status=200, mimetype="text/html"), "does not run the serving app"),
        (Response("Method Not Allowed", status=405), "does not run the serving app"),
        (Response("Permission denied", status=403), "Permission denied"),
        (Response("You are not authenticated.", status=401), "MLFLOW_TRACKING_USERNAME"),
        (Response("<h1>Bad Gateway</h1>\nx", status=502), "answered 502: <h1>Bad Gateway</h1>"),
        (
            Response('{"error_code": "PERMISSION_DENIED", "message": "You need MANAGE."}', status=403),
            "You need MANAGE.",
        ),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_do(serve, response, message):
    client = ServingClient(serve(response), {})
    with pytest.raises(CliError) as caught:
        client.endpoints()
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "http://nosuch.invalid", "http://[bad", "http://" + "a" * 70])
def test_a_server_that_cannot_be_reached_is_told(uri):
    with pytest.raises((CliError, click.UsageError)) as caught:
        ServingClient(uri, {}).endpoints()
    assert "cannot be reached" in caught.value.message or "tracking URI" in caught.value.message


@pytest.mark.parametrize(
    "answer", ["wrong", '{"error_code": "UNAUTHENTICATED", "message": "The credentials are wrong."}']
)
def test_wrong_credentials_are_told_from_missing_ones(serve, answer):
    with pytest.raises(CliError, match=r"wrong\. Check MLFLOW"):
        ServingClient(serve(Response(answer, status=401)), {"MLFLOW_TRACKING_TOKEN": "x"}).endpoints()


@pytest.mark.parametrize("token", ["two\nlines", "windows\r", "tök"])
def test_a_token_that_cannot_be_sent_is_told(token):
    with pytest.raises(CliError, match="MLFLOW_TRACKING_TOKEN holds"):
        ServingClient("http://127.0.0.1:1", {"MLFLOW_TRACKING_TOKEN": token})


def test_a_server_without_tls_is_told_from_a_certificate_that_is_not_trusted(serve):
    with pytest.raises(CliError, match="Is it an http:// address"):
        ServingClient(serve(Response()).replace("http://", "https://"), {}).endpoints()


def test_a_number_that_json_does_not_have_reaches_the_server(serve):
    bodies = []

    def app(environ, start_response):
        bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        return Response("{}", content_type="application/json")(environ, start_response)

    assert ServingClient(serve(app), {}).call("POST", "/x", {"inputs": [float("nan")]}) == {}
    assert bodies == [b'{"inputs": [NaN]}']


def test_a_tracking_uri_that_is_no_web_address_is_wrong_usage():
    with pytest.raises(click.UsageError):
        ServingClient("databricks", {})


def test_a_static_prefix_in_the_uri_works(tmp_path, serve):
    world = ApiWorld(tmp_path / "state", static_prefix="/ml/flow")
    try:
        world.enable()
        world.publish(version(1))
        client = ServingClient(serve(world.app) + "/ml/flow/", {})
        assert client.versions("iris")[0]["endpoint_version_name"] == "1"
        assert client.scoring_url("iris", "1").endswith("/ml/flow/model/iris/1/invocations")
    finally:
        world.close()


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({}, None),
        (
            {"MLFLOW_TRACKING_USERNAME": "zoë", "MLFLOW_TRACKING_PASSWORD": "pw"},
            "Basic " + base64.b64encode("zoë:pw".encode()).decode(),
        ),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
        ({"MLFLOW_TRACKING_USERNAME": "only"}, None),
    ],
)
def test_credentials_are_mlflows_own(serve, environ, expected):
    seen = []

    @Request.application
    def app(request):
        seen.append(request.headers.get("Authorization"))
        return Response('{"endpoints": []}', mimetype="application/json")

    ServingClient(serve(app), environ).endpoints()
    assert seen == [expected]


def test_a_netrc_entry_does_not_take_the_tokens_place(serve, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen = []

    @Request.application
    def app(request):
        seen.append(request.headers.get("Authorization"))
        return Response('{"endpoints": []}', mimetype="application/json")

    ServingClient(serve(app), {"MLFLOW_TRACKING_TOKEN": "abc"}).endpoints()
    assert seen == ["Bearer abc"]


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({}, True),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, False),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "false"}, True),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "ca.pem"}, "ca.pem"),
    ],
)
def test_tls_checks_are_mlflows_own(environ, expected, monkeypatch):
    asked = []

    def request(self, method, url, **options):
        asked.append(options["verify"])
        raise click.Abort

    monkeypatch.setattr("requests.Session.request", request)
    with pytest.raises(click.Abort):
        ServingClient("https://x", environ).endpoints()
    assert asked == [expected]


def test_names_are_quoted_in_scoring_urls():
    client = ServingClient("http://h", {})
    assert client.scoring_url("große M/x", "Production") == "http://h/model/gro%C3%9Fe%20M%2Fx/Production/invocations"
    assert client.scoring_url("iris", "@champion") == "http://h/model/iris@champion/invocations"


def test_config_values_are_json_where_they_can_be():
    pairs = ("replicas=2", "batching=on", "memory_limit_mb=null", "environment.A=1", "environment.B=x=y")
    assert parse_config(pairs) == {
        "replicas": 2,
        "batching": "on",
        "memory_limit_mb": None,
        "environment": {"A": "1", "B": "x=y"},
    }


def test_variables_of_an_environment_that_is_no_object_are_wrong_usage():
    with pytest.raises(click.UsageError, match="JSON object"):
        parse_config(("environment=x", "environment.A=1"))
    assert parse_config(('environment={"B": "2"}', "environment.A=1")) == {"environment": {"A": "1", "B": "2"}}

from __future__ import annotations

import pytest

from mlflow_serving_plugin.domain.reference import IN_BODY, NO_MODEL, Reference, reference_in
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.addresses import V2, Action, NoOpenAiPathError, NoV2PathError, target_of

READ = ("GET", "HEAD")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "last, action, methods",
    [
        ("invocations", Action.SCORE, ("POST",)),
        ("ping", Action.PING, READ),
        ("health", Action.PING, READ),
        ("version", Action.VERSION, READ),
        ("schema", Action.SCHEMA, READ),
    ],
)
@pytest.mark.parametrize("prefix", ["/model/", "/model-endpoint/", "/ajax-model/"])
def test_a_path_leads_to_a_reference_an_action_and_the_methods_allowed_there(prefix, last, action, methods, slash):
    target = target_of(f"{prefix}iris/3/{last}{slash}")
    assert (target.reference, target.action, target.methods) == (Reference("iris", "version", "3"), action, methods)


@pytest.mark.parametrize("path", ["/model//", "/model/iris//", "/model/iris/3//invocations", "/model/iris/3/ping//"])
def test_more_than_one_slash_names_nothing(path):
    with pytest.raises(NotFoundError):
        target_of(path)


def test_a_path_that_was_read_before_is_not_read_again():
    assert target_of("/model/iris@champion/invocations") is target_of("/model/iris@champion/invocations")


def test_a_path_of_somebody_else_leads_nowhere():
    with pytest.raises(NotFoundError, match="below /model/"):
        target_of("/api/iris/3/invocations")


OPENAI = [
    ("chat/completions", Action.SCORE, ("POST",)),
    ("responses", Action.SCORE, ("POST",)),
    ("embeddings", Action.SCORE, ("POST",)),
    ("models", Action.MODELS, READ),
]


@pytest.mark.parametrize(("path", "action", "methods"), OPENAI)
def test_openai_s_routes_stand_below_serving_endpoints_and_below_each_version(path, action, methods):
    found = target_of(f"/serving-endpoints/{path}")
    assert (found.reference, found.action, found.methods) == (IN_BODY, action, methods)
    for version, reference in (("m/3", Reference("m", "version", "3")), ("m@a", Reference("m", "alias", "a"))):
        found = target_of(f"/model/{version}/v1/{path}")
        assert (found.reference, found.action, found.methods) == (reference, action, methods)


@pytest.mark.parametrize("path", ["chat", "chat/completions/x", "responses/abc/cancel", "files/iris", "completions"])
def test_another_of_openai_s_paths_is_refused_in_openai_s_shape(path):
    with pytest.raises(NoOpenAiPathError, match="Of OpenAI's, it has /serving-endpoints/chat/completions"):
        target_of(f"/serving-endpoints/{path}")


@pytest.mark.parametrize(
    ("path", "reference", "action"),
    [
        ("", NO_MODEL, Action.SERVER),
        ("/health/live", NO_MODEL, Action.LIVE),
        ("/health/ready", NO_MODEL, Action.LIVE),
        ("/models/iris", Reference("iris", "latest", "latest"), Action.METADATA),
        ("/models/iris/ready", Reference("iris", "latest", "latest"), Action.PING),
        ("/models/iris/infer", Reference("iris", "latest", "latest"), Action.SCORE),
        ("/models/iris@champion/infer", Reference("iris", "alias", "champion"), Action.SCORE),
        ("/models/iris/versions/3", Reference("iris", "version", "3"), Action.METADATA),
        ("/models/iris/versions/3/infer", Reference("iris", "version", "3"), Action.SCORE),
        ("/models/iris/versions/Production/ready", Reference("iris", "stage", "Production"), Action.PING),
        ("/models/iris/versions/@champion/infer", Reference("iris", "alias", "champion"), Action.SCORE),
        ("/models/infer/infer", Reference("infer", "latest", "latest"), Action.SCORE),
    ],
)
def test_paths_of_v2_lead_to_the_server_or_to_a_version(path, reference, action):
    found = target_of(f"/v2{path}")
    assert (found.reference, found.action, found.dialect) == (reference, action, V2)


@pytest.mark.parametrize("path", ["/models", "/models/", "/x", "/models/a/b/c/d", "/models/iris/3/infer", "/health/x"])
def test_another_path_of_v2_is_refused_in_its_shape(path):
    with pytest.raises(NoV2PathError):
        target_of(f"/v2{path}")


@pytest.mark.parametrize(
    "path", ["iris/invocation", "modelsmith", "iris/served-models/a", "iris/served-models//invocations"]
)
def test_what_is_none_of_openai_s_is_refused_as_databricks_does(path):
    with pytest.raises(NotFoundError) as caught:
        target_of(f"/serving-endpoints/{path}")
    assert not isinstance(caught.value, NoOpenAiPathError)


@pytest.mark.parametrize("root", ["serving-endpoints", "endpoints"])
def test_a_serving_endpoint_and_each_of_its_entities_have_a_path(root):
    assert target_of(f"/{root}/split/invocations").reference == Reference("split", "traffic", "")
    found = target_of(f"/{root}/split/served-models/a/invocations/")
    assert (found.reference, found.action, found.methods) == (
        Reference("split", "entity", "a"),
        Action.SCORE,
        ("POST",),
    )


@pytest.mark.parametrize("path", ["/model/v1/1/invocations", "/model/m/v1/invocations", "/model/v1/v1/v1/responses"])
def test_a_model_or_a_stage_may_be_named_v1(path):
    assert target_of(path).reference.kind in ("version", "stage")


@pytest.mark.parametrize(
    ("model", "reference"),
    [
        ("iris", Reference("iris", "latest", "latest")),
        ("iris/3", Reference("iris", "version", "3")),
        ("iris/Production", Reference("iris", "stage", "Production")),
        ("iris@champion", Reference("iris", "alias", "champion")),
        ("models:/iris/3", Reference("iris", "version", "3")),
        ("models:/iris@champion", Reference("iris", "alias", "champion")),
    ],
)
def test_a_body_names_a_model_as_an_mlflow_uri_does_or_by_its_name_alone(model, reference):
    assert reference_in(model) == reference


@pytest.mark.parametrize("model", ["", "a/b/c", "/", "@", "a@", "/3"])
def test_a_body_that_names_no_model_is_refused(model):
    with pytest.raises(NotFoundError):
        reference_in(model)

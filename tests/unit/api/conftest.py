import pytest


@pytest.fixture
def call(world):
    """``call("GET", "get-status", registered_model_name="iris")`` → (status, JSON), on the first base path."""

    def send(method, route, *, base="/api/2.0/mlflow/endpoints", headers=None, **fields):
        options = {"query_string": fields} if method == "GET" else {"json": fields}
        response = world.client.open(f"{base}/{route}", method=method, headers=headers, **options)
        return response.status_code, response.get_json()

    return send

from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"


def test_the_http_reference_has_every_route_with_its_method(world):
    page = PAGE.read_text()
    routes = {
        (max(rule.methods - {"HEAD", "OPTIONS"}), rule.rule.rstrip("/").rsplit("/", 1)[1])
        for rule in world.app.url_map.iter_rules()
        if "not-yet" not in rule.endpoint
    }
    assert len(routes) > 20
    missing = [
        f"{method} {name}"
        for method, name in routes
        if f"{method} {name}`" not in page and f"`{method} /serving/{name}`" not in page
    ]
    assert missing == []

"""Adds the Serving tab to MLflow's page: a route for the script, and its tag in ``index.html``."""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any

from flask import Flask, Response, request

from mlflow_serving_plugin.ui.bundle import Bundle, load_bundle

_logger = logging.getLogger(__name__)

SCRIPT = "static-files/mlflow-serving.js"
"""Below MLflow's own static files, because auth apps allow everybody to read these."""

_VIEW = "serve"
_END_OF_HEAD = b"</head>"
_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


def add_serving_tab(app: Flask, static_prefix: str, bundle: Bundle | None = None) -> bool:
    """Add the tab to MLflow's Flask app; False, with a line in the log, when that is impossible.

    Call this function after an auth app has replaced its views and before the first request.
    """
    bundle = bundle or load_bundle()
    if bundle is None:
        _logger.warning("The Serving tab is missing: it was not built. 'pip install .' builds it.")
        return False
    page = app.view_functions.get(_VIEW)
    if page is None:
        _logger.warning("The Serving tab is missing: this version of MLflow has no page to add the tab to.")
        return False
    app.add_url_rule(f"{static_prefix}/{SCRIPT}", "serving_tab_script", lambda: _script(bundle))
    app.view_functions[_VIEW] = _with_tag(app, page, bundle.key)
    return True


def _with_tag(app: Flask, page: Any, key: str) -> Any:
    # Relative, as MLflow's own tags: a proxy may put a prefix before the path.
    tag = f'<script defer="defer" src="{SCRIPT}?v={key}"></script>'.encode()

    @wraps(page)
    def tagged(*args: Any, **kwargs: Any) -> Response:
        # A page that the browser cached before the plugin was installed would be "not modified".
        for name in _CONDITIONS:
            request.environ.pop(name, None)
        response = app.make_response(page(*args, **kwargs))
        if response.mimetype != "text/html" or response.status_code != 200:
            return response
        response.direct_passthrough = False
        html = response.get_data()
        if _END_OF_HEAD in html:
            response.set_data(html.replace(_END_OF_HEAD, tag + _END_OF_HEAD, 1))
        del response.headers["Last-Modified"]
        response.add_etag(overwrite=True)
        return response

    return tagged


def _script(bundle: Bundle) -> Response:
    zipped = request.accept_encodings.quality("gzip") > 0
    response = Response(bundle.zipped if zipped else bundle.plain, mimetype="text/javascript")
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    # The tag has a key of the content. A request without the key gets the newest content, uncached.
    named = request.args.get("v") == bundle.key
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if named else "no-cache"
    return response

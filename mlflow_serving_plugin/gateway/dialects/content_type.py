"""The reading of ``Content-Type`` that MLflow's dialects share."""

from __future__ import annotations

from typing import NamedTuple

from mlflow_serving_plugin.errors import UnsupportedTypeError

JSON = "application/json"
JSON_NUMPY_SPLIT = "application/json-numpy-split"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"

RECORDS, SPLIT = "pandas-records", "pandas-split"

SUPPORTED_TYPES = (JSON, f"{JSON}; format={RECORDS}", f"{JSON}; format={SPLIT}", JSON_NUMPY_SPLIT, CSV, PARQUET)

_LONGEST_TYPE = 256
"""Characters. Longer headers would only fill the cache of headers that have been read."""


class ContentType(NamedTuple):
    """A supported MIME type and its ``format`` parameter (``pandas-records``, ``pandas-split`` or None)."""

    mime: str
    format: str | None


def read_content_type(header: str | None) -> ContentType:
    """Read the header; UnsupportedTypeError for a type, parameter, format or charset that is not supported."""
    if len(header or "") > _LONGEST_TYPE:
        raise UnsupportedTypeError("The Content-Type is too long.")
    mime, parameters = _split(header or "")
    if mime not in {JSON, JSON_NUMPY_SPLIT, CSV, PARQUET}:
        raise UnsupportedTypeError(
            f"This predictor only supports the following content types: {', '.join(SUPPORTED_TYPES)}. "
            + (f"Got '{mime[:100]}'." if mime else "The request has no Content-Type.")
        )
    format_name = None
    for key, value in parameters:
        if key == "charset":
            if value != "utf-8":
                raise UnsupportedTypeError("The scoring server only supports UTF-8")
        elif key == "format" and mime == JSON and value in {RECORDS, SPLIT}:
            format_name = value
        elif key == "format":
            raise UnsupportedTypeError(f"Unsupported format '{value[:100]}' for content type '{mime}'.")
        else:
            raise UnsupportedTypeError(f"Unrecognized content type parameters: {key[:100]}.")
    return ContentType(mime, format_name)


def _split(header: str) -> tuple[str, list[tuple[str, str]]]:
    mime, *rest = (part.strip().lower() for part in header.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    return mime, [(key.strip(), value.strip().strip("\"'")) for key, _, value in pairs]

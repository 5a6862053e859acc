"""Limits of the variables that an endpoint's configuration gives its workers. Pure."""

from __future__ import annotations

MOST_VARIABLES = 50
LONGEST_VALUE_BYTES = 32 * 1024
VARIABLES_SCHEMA = {
    "maxProperties": MOST_VARIABLES,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
    "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE_BYTES},
}
"""Keywords of JSON Schema for the configuration key ``environment``."""

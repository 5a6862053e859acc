"""What expressions of PromQL ask for: their metrics, and the labels that they match and group by."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r'\s+|(?P<text>"(?:[^"\\]|\\.)*")|(?P<duration>\[[^\]]*\])|(?P<number>\d[\d.]*)|(?P<name>[A-Za-z_:][\w:]*)'
    r"|(?P<mark>=~|!~|!=|==|<=|>=|[-+*/(){},=<>])"
)
_CLOSES = {")": "(", "}": "{"}
_WORDS = {"by", "or", "unless", "and"}
_FUNCTIONS = {"absent", "histogram_quantile", "increase", "max", "rate", "sum", "vector"}


class Query(NamedTuple):
    """``matched``: label and value, by metric; ``grouped``: the labels of ``by``."""

    matched: list[tuple[str, list[tuple[str, str]]]]
    grouped: set[str]


def read_query(expression: str) -> Query:
    """AssertionError for what is no expression of the kind that this package has."""
    tokens = _tokens(expression)
    matched: list[tuple[str, list[tuple[str, str]]]] = []
    grouped: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        if kind == "name" and token == "by":
            end = tokens.index(("mark", ")"), at)
            grouped |= {name for of, name in tokens[at + 2 : end] if of == "name"}
            at = end
        elif kind == "name" and token not in _WORDS:
            if tokens[at + 1 : at + 2] in ([("mark", "(")], [("name", "by")]):
                assert token in _FUNCTIONS, token
            else:
                labels, at = _labels(tokens, at + 1)
                matched.append((token, labels))
                continue
        at += 1
    assert matched, expression
    return Query(matched, grouped)


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at, opened = [], 0, []
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        assert match, expression[at:]
        at = match.end()
        if match.lastgroup:
            found.append((match.lastgroup, match[0]))
        if match["mark"] in _CLOSES.values():
            opened.append(match["mark"])
        elif match["mark"] in _CLOSES:
            assert opened, expression
            assert opened.pop() == _CLOSES[match["mark"]], expression
    assert not opened, expression
    return found


def _labels(tokens: list[tuple[str, str]], at: int) -> tuple[list[tuple[str, str]], int]:
    """The matchers at a place, and where they end."""
    if tokens[at : at + 1] != [("mark", "{")]:
        return [], at
    end = tokens.index(("mark", "}"), at)
    inside = tokens[at + 1 : end]
    assert len(inside) % 4 == 3, inside
    return [(inside[i][1], inside[i + 2][1].strip('"')) for i in range(0, len(inside), 4)], end + 1

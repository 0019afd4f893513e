"""Rows of JSON read and compared exactly: no number is rounded, and none is too deep.

Whoever signs up or uploads chooses what stands in the JSON of a row: how deep it goes, how long its numbers are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from supapy.model import Json
from supapy.project.schema import Column

T = TypeVar("T")
# A bigint has 19 digits and a sign; Python takes its time over, and then refuses, numbers of thousands.
LONGEST_WHOLE_DIGITS = 20
# Python's parser and comparison call themselves for each level, a thousand times at most. No row that people make by
# hand has so many brackets in all.
MOST_BRACKETS = 300
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_STRING + "|[][{}:,]")
_BLANKS = re.compile(rf"({_STRING})|\s+")
# SQL's NULL in a jsonb column, where None is JSON's.
_NULL = object()


class Number(str):
    """A fractional or very large number as its text, so that nothing is rounded."""


class Deep(str):
    """A value as its text, since it has more brackets than Python's parser may be trusted with."""


def parse(line: bytes) -> Json:
    """One saved row. Whoever signs up or uploads chooses how deep the JSON in it is: none is too deep."""
    row = _value_of(line.decode())
    if isinstance(row, Deep):
        row = {key: _value_of(value) for key, value in members(row)}
    if not isinstance(row, dict):
        raise ValueError("a row is a JSON object")
    return row


def keys_of(line: bytes) -> list[str]:
    """The keys of one saved row, in their order. Raises ValueError, saying why, for what isn't a JSON object with
    each key once."""
    text = line.decode()
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        keys = [key for key, _ in members(text)]
    else:
        pairs = json.loads(text, object_pairs_hook=lambda found: found, parse_int=str, parse_float=str)
        if not (isinstance(pairs, list) and text.startswith("{")):
            raise ValueError("a row is a JSON object")
        keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a column stands there twice")
    return keys


def _value_of(text: str) -> Any:
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        return Deep(text)
    return _exactly(text)


def members(text: str) -> Iterator[tuple[str, str]]:
    """The keys of an object, each with the text of its value; the values of an array, with empty keys."""
    depth, begin, key = 0, 0, ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        depth += (mark in ("{", "[")) - (mark in ("}", "]"))
        if mark == ":" and depth == 1:
            key = json.loads(text[begin : token.start()])
        elif (mark == "," and depth == 1) or depth == 0:
            if value := text[begin : token.start()].strip():
                yield key, value
        elif not (mark in ("{", "[") and depth == 1):
            continue
        begin = token.end()


def compact(text: str) -> str:
    """JSON without the blanks between its tokens, so on one line."""
    return _BLANKS.sub(lambda found: found[1] or "", text)


def _whole(digits: str) -> int | Number:
    return int(digits) if len(digits) <= LONGEST_WHOLE_DIGITS else Number(digits)


_exactly = json.JSONDecoder(parse_float=Number, parse_int=_whole).decode


def paired(saved: Iterable[T], live: Iterable[T], key: Callable[[T], Any]) -> Iterator[tuple[T | None, T | None]]:
    """Two streams of rows, both sorted by `key`, side by side; None stands where one lacks the other's row."""
    ones, others = iter(saved), iter(live)
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        if other is None or (one is not None and key(one) < key(other)):
            yield one, None
            one = next(ones, None)
        elif one is None or key(other) < key(one):
            yield None, other
            other = next(others, None)
        else:
            yield one, other
            one, other = next(ones, None), next(others, None)


def changed_columns(saved: Json, live: Json, columns: Sequence[Column]) -> list[str]:
    """The columns that differ, of those that both tables have; `columns` are the live one's.

    A column of another type than jsonb whose key only one row has is one that only that table has.
    """
    jsonb = {column.name for column in columns if column.type == "jsonb"}
    shared = saved.keys() & live.keys() | (saved.keys() ^ live.keys()) & jsonb
    return sorted(key for key in shared if not same(saved.get(key, _NULL), live.get(key, _NULL)))


def same(one: Any, other: Any) -> bool:
    """Whether two parsed values are one, where Python's own equality takes true for 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)

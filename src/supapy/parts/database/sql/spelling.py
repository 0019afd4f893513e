"""SQL as the server prints it, spelt as it prints the same once it has read that back.

What a server prints and reads back means what it meant, and is printed in other words the second time where its parser
puts a thing together otherwise than what made it at first (PostgreSQL 15 to 17, tried with some hundred expressions):

- `x IN ('a', 'b')` of a varchar is `(ARRAY['a'::varchar, …])::text[]` at first; then every element is cast by itself;
- `x BETWEEN 1 AND 2 AND y` has a list in the list at first, then one list;
- `( SELECT 'a'::text)` is named after its type, then;
- `VALUES` that came by way of a view lose or gain a blank.

Two texts whose later spellings are the same are one meaning; nothing else about them is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What stands between brackets: texts as they are, and more of it, the brackets being its first and last.
Nodes = list["str | Nodes"]

_TOKEN = re.compile(
    r"""E'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | [\w$]+ | \s+ | :: | [()\[\]] | .""", re.VERBOSE
)
_COMMA: Nodes = [",", " "]
_BRACKETS = {"(": ")", "[": "]"}
# Without one of these in it a text is spelt as it will be; most are.
_SUSPECT = re.compile(r"ARRAY\[|\) (?:AND|OR) | VALUES|\(VALUES|\( SELECT E?'")
# A piece of a type's name.
_OF_A_TYPE = re.compile(r'[\w$.]+|"(?:[^"]|"")*"| |\([\d,]+\)')
# A function whose body is a text of its own.
_BODY = re.compile(r"^AS ", re.MULTILINE)
_NAMED_BY_TYPE = re.compile(
    r"((?:[=<>~]|EXISTS|IN|ANY|ALL) \( SELECT (?:'(?:[^']|'')*')::(?:\w+\.)?(\w+)) AS \2(?=\)|\n +FROM)"
)


def settled(sql: str) -> str:
    """The text as it is printed when it was read back, and the same one if that has happened to it already."""
    if not _SUSPECT.search(sql) or _BODY.search(sql):
        return sql
    try:
        return _NAMED_BY_TYPE.sub(r"\1", "".join(_flat(_settled(_tree(sql)))))
    except RecursionError:
        return sql  # Nobody writes brackets hundreds deep but to see what happens.


def _tree(sql: str) -> Nodes:
    root: Nodes = []
    open_nodes, closers = [root], [""]
    for token in _TOKEN.findall(sql):
        if token in _BRACKETS:
            group: Nodes = [token]
            open_nodes[-1].append(group)
            open_nodes.append(group)
            closers.append(_BRACKETS[token])
        else:
            open_nodes[-1].append(token)
            if token == closers[-1]:
                open_nodes.pop()
                closers.pop()
    return root


def _flat(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        else:
            yield from _flat(node)


def _settled(nodes: Nodes) -> Nodes:
    nodes = [node if isinstance(node, str) else _settled(node) for node in nodes]
    if nodes[:1] == ["("] and nodes[1:3] == [" ", "VALUES"]:
        del nodes[1]
    return _one_list(_cast_apart(nodes))


def _cast_apart(nodes: Nodes) -> Nodes:
    """With the cast of an array as one of each element."""
    done: Nodes = []
    while nodes:
        match nodes:
            case [["(", "ARRAY", [*array], ")"], "::", *rest] if to := _array_type(rest):
                done += ["ARRAY", _each_cast(array, to)]
                nodes = rest[len(to) + 1 :]
            # As it stands where the server saves parentheses: in extended statistics.
            case ["ARRAY", [_, _, _, *_] as array, "::", *rest] if to := _array_type(rest):
                done += ["ARRAY", _each_cast(array, to, bare=True)]
                nodes = rest[len(to) + 1 :]
            case _:
                done.append(nodes[0])
                nodes = nodes[1:]
    return done


def _array_type(nodes: Nodes) -> Nodes:
    """The type of the elements, if they begin with one of arrays."""
    for at, node in enumerate(nodes):
        if node == ["[", "]"]:
            return nodes[:at]
        if not _OF_A_TYPE.fullmatch("".join(_flat([node]))):
            break
    return []


def _each_cast(array: Nodes, to: Nodes, *, bare: bool = False) -> Nodes:
    opening, *elements, closing = array
    done: Nodes = []
    for element in _split(elements, _COMMA):
        match element:
            case ["ARRAY", [*inner]]:
                cast: Nodes = ["ARRAY", _each_cast(inner, to, bare=bare)]
            case _:
                cast = [*(element if bare else [["(", *element, ")"]]), "::", *to]
        done += [*_COMMA, *cast] if done else cast
    return [opening, *done, closing]


def _one_list(nodes: Nodes) -> Nodes:
    """With lists of AND, or of OR, in one of the same as a part of it."""
    word = _listing(nodes)
    if not word:
        return nodes
    opening, *inner, closing = nodes
    between: Nodes = [" ", word, " "]
    done: Nodes = []
    for operand in _split(inner, between):
        match operand:
            case [[*group]] if _listing(group) == word:
                operand = group[1:-1]
        done += [*between, *operand] if done else operand
    return [opening, *done, closing]


def _listing(nodes: Nodes) -> str | None:
    """AND or OR, if that is what holds together all that is in these parentheses."""
    words = [word for word in ("AND", "OR", "SELECT", "BETWEEN") if word in nodes]
    return words[0] if nodes[0] == "(" and words in (["AND"], ["OR"]) else None


def _split(nodes: Nodes, between: Nodes) -> Iterator[Nodes]:
    part: Nodes = []
    at = 0
    while at < len(nodes):
        if nodes[at : at + len(between)] == between:
            yield part
            part = []
            at += len(between)
        else:
            part.append(nodes[at])
            at += 1
    yield part

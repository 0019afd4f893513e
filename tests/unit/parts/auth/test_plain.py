"""Which lines of users are made rows of without a parser, and that nothing else passes for one."""

from __future__ import annotations

import pytest

from supapy.parts.auth.document import apart, parsed_apart
from supapy.parts.auth.plain import Form, Plain
from supapy.project.schema import Column

USERS = [("id", "uuid"), ("email", "text"), ("token", "text"), ("meta", "jsonb"), ("n", "smallint"), ("new", "text")]
IDENTITIES = [("id", "uuid"), ("data", "jsonb")]


def form(columns: list[tuple[str, str]]) -> Form:
    shown = [Column(name, kind, generated=False, identity="") for name, kind in columns]
    return Form.of(shown, {name for name, _ in columns} - {"new"}, {"token", "new"})


PLAIN = Plain(form(USERS), [("identities", form(IDENTITIES)), ("factors", form(IDENTITIES))])


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ('{"id":"1","token":""}', ["1\t\\N\t\t\\N\t\\N\t\n", "", ""]),
        ('{"id":"1"}', ["1\t\\N\t\t\\N\t\\N\t\n", "", ""]),
        ('{"id":"1","email":""}', ["1\t\t\t\\N\t\\N\t\n", "", ""]),
        ('{"id":"1","email":"é, x","token":"t","n":-1}', ["1\té, x\tt\t\\N\t-1\t\n", "", ""]),
        (
            '{"id":"1","token":"","meta":{"a": {"b": [1, "}"]}},"identities":[{"id":"2","data":null},{"id":"3"}]}',
            None,
        ),
        (
            '{"id":"1","token":"","meta":{"a": {"b": [1]}},"identities":[{"id":"2","data":null},{"id":"3"}]}',
            ['1\t\\N\t\t{"a": {"b": [1]}}\t\\N\t\n', "2\tnull\n3\t\\N\n", ""],
        ),
        ('{"id":"1","token":"","factors":[{"id":"2"}]}', ["1\t\\N\t\t\\N\t\\N\t\n", "", "2\t\\N\n"]),
    ],
)
def test_a_plain_line_is_its_rows(line: str, rows: list[str] | None) -> None:
    assert PLAIN.rows(line.encode()) == (rows and [row.encode() for row in rows])


@pytest.mark.parametrize(
    "line",
    [
        r'{"id":"1","email":"\"","token":""}',
        '{"id":"1","token":"","email":"out of order"}',
        '{"id":"1","token":"","colour":"no column"}',
        '{"id":"1","token":"","n":"1"}',
        '{"id":"1","token":"","meta":{"a":{"b":{"c":1}}}}',
        '{"id":"1","token":"","meta":{"a":1,"n":2}',
        '{"id":"1", "token":""}',
        '{"id":"1","token":"","identities":[{"id":"2"}],"email":"after"}',
        '{"id":"1","token":"","identities":[{"id":"2"},]}',
        '{"id":"1","token":"","identities":[{"id":"2"}}',
        '{"id":"1","token":""}}',
    ],
)
def test_what_is_not_as_it_is_written_is_left_to_the_server(line: str) -> None:
    assert PLAIN.rows(line.encode()) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"id":"1","identities":[{"a":1},{"b":[2]}],"factors":[{"c":3}]}',
        '{"id":"1","factors":[{"c":3}],"identities": [{"a":1},{"b":[2]}]}',
        '{"identities":[{"a":1},{"b":[2]}],"id":"1","factors":[{"c":3}]}',
    ],
)
def test_what_is_nested_is_found_wherever_it_stands(line: str) -> None:
    (head,), (identities,), (factors,) = parsed_apart([line.encode()], ["identities", "factors"])
    assert (head, identities, factors) == (b'{"id":"1"}', b'[{"a":1},{"b":[2]}]', b'[{"c":3}]')


def test_a_line_that_is_cut_in_the_wrong_place_is_no_json() -> None:
    (head,), (array,) = apart([b'{"id":"1","identities":[{"a":1}],"later":[2]}'], ["identities"])
    assert (head, array) == (b'{"id":"1"}', b'[{"a":1}],"later":[2]')
    (head,), (array,) = apart([b'{"id":"1","meta":{"identities": 1},"identities":[{"a":1}]}'], ["identities"])
    assert (head, array) == (b'{"id":"1","meta":{"identities": 1}}', b'[{"a":1}]')

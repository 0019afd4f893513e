"""Rows as JSON lines, on real servers: whatever a table holds comes back as it was, value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from typing import Any

import pytest
from tests.hostile import NAMES
from tests.projects import MAJORS, ClusterFactory, owner

from supapy.errors import SqlError
from supapy.names import literal, qualified, quoted
from supapy.project.exact import changed_columns, paired, parse, same
from supapy.project.moment import Moment
from supapy.project.postgres import Session
from supapy.project.project import Project
from supapy.project.rows import (
    array_lines,
    as_array,
    insert_staged,
    insertable,
    rows_out,
    stage,
    staged_keys,
    unknown_columns,
    update_staged,
    upsert,
)
from supapy.project.schema import Column, Table, primary_key, tables_of, user_tables
from supapy.sandbox.cluster import Cluster
from supapy.secret import Secret
from supapy.stream import lines

SETUP = """
CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('sad', 'so so', 'it''s "fine", {ok}', '');
CREATE TYPE types.pair AS (a int, "b c" text);
CREATE TYPE types.nested AS (p types.pair, moods types.mood[], j jsonb);
CREATE DOMAIN types.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN types.doc AS jsonb;
CREATE DOMAIN types.flag AS boolean;
CREATE TYPE types.textrange AS RANGE (subtype = text);
CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA types;
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA types;
"""
CONTROLS = "".join(chr(code) for code in range(1, 32)) + "\x7f\x80\x9f"
TEXTS = [
    *(
        "",
        " ",
        "a",
        "\\",
        "\\.",
        "\\\\.",
        "\n\\.\n",
        "\\N",
        "NULL",
        "null",
        '"',
        "''",
        '""',
        '"quoted"',
        "{}",
        "[",
        "]",
        ",",
        "],",
    ),
    *(
        "a\nb",
        "a\r\nb",
        "\r",
        "\t",
        "\v\f\b",
        CONTROLS,
        "\x01",
        "\x02",
        "\x01\x02\x01",
        "a,b",
        '{"a":1},',
        "\u2028\u2029",
    ),
    *(
        "é",
        "e\u0301",
        "🙂",
        "\ufeff",
        "\ufffd",
        "\U0010ffff",
        "\ue000",
        "\\u0041",
        "\\x00",
        "%s",
        "$1",
        "--",
        "/*",
        ";",
        "x" * 100_000,
    ),
]
DIGITS = "1234567890" * 300
# What is written of each type, as text that casts to it. NULL is tried of every one.
VALUES: dict[str, Sequence[str]] = {
    "smallint": ["0", "-32768", "32767"],
    "integer": ["0", "-2147483648", "2147483647"],
    "bigint": ["0", "-9223372036854775808", "9223372036854775807", "9007199254740993"],
    "real": [
        "0",
        "-0",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e-45",
        "3.4028235e38",
        "0.1",
        "1.17549435e-38",
        "16777217",
        "1e10",
    ],
    "double precision": [
        *("0", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "0.1", "0.30000000000000004"),
        *("2.2250738585072014e-308", "9007199254740993", "1e15", "1e16", "1e-5", "123456789012345680"),
    ],
    "numeric": [
        "0",
        "-0",
        "0.0",
        "1.10",
        "NaN",
        "Infinity",
        "-Infinity",
        DIGITS,
        f"-{DIGITS}.{DIGITS}",
        "1e-1000",
        "1e1000",
        "0.10000",
    ],
    "numeric(10,3)": ["0.000", "-1234567.891", "NaN"],
    "money": ["0", "-92233720368547758.08", "1234.56"],
    "boolean": ["true", "false"],
    "types.flag": ["true", "false"],
    "text": TEXTS,
    "varchar": TEXTS[:20],
    "varchar(300)": ["", "  trailing  "],
    "char(5)": ["", "a", "ab  c", "é"],
    '"char"': ["a", "", "~"],
    "name": ["a", "with space", '"q"'],
    "types.citext": ["AbC", ""],
    "bytea": ["", "\\x00", "\\x000102ff5c5c0a", "\\x" + bytes(range(256)).hex()],
    "date": ["2026-11-22", "infinity", "-infinity", "4713-01-01 BC", "0001-01-01 BC", "5874897-12-31", "0001-01-01"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00"],
    "time with time zone": ["00:00:00+00", "12:34:56.789012-15:59", "24:00:00+15:59:59"],
    "timestamp": [
        "2026-11-22 07:15:00.000001",
        "infinity",
        "-infinity",
        "4713-01-01 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
    ],
    "timestamptz": [
        "2026-11-22 07:15:00.123456+05:30",
        "infinity",
        "-infinity",
        "0044-03-15 12:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00",
    ],
    "timestamp(0)": ["2026-11-22 07:15:00"],
    "interval": [
        "0",
        "1 year 2 mons -3 days +04:05:06.000007",
        "-1 year",
        "178000000 years",
        "-00:00:00.000001",
        "1 mon -1 day",
    ],
    "interval day to second": ["3 days 04:05:06"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "inet": ["192.168.0.1", "192.168.0.1/24", "::1", "2001:db8::/32"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(3)": ["101"],
    "bit varying": ["", "1", "1" * 1000],
    "point": ["(0,-0)", "(1e-300,NaN)", "(Infinity,0.1)"],
    "box": ["(1,2),(0,0)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(0,0),1.5>"],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(1,1)]"],
    "json": [
        *(
            '{"a":1,"a":2}',
            '{ "b" : 1 ,\n "a":\t[ ] }',
            "null",
            '"x"',
            "1.50",
            "[]",
            " 1 ",
            f"[{DIGITS}]",
            '{"":""}',
            '"\\u0000"',
            '"\\ud83d\\ude42"',
        ),
        '"\u2028"',
    ],
    "jsonb": [
        *(
            "null",
            "true",
            '"null"',
            '""',
            "0",
            "-0",
            "1.10",
            "1e400",
            DIGITS,
            f"0.{DIGITS}",
            "{}",
            "[]",
            '{"a":{"b":[1,2,{"c":null}]}}',
        ),
        *(
            '{"ä\\n":"\\u2028\\\\\\"","":null}',
            '"\\u0001\\u0002\\u007f"',
            "[null]",
            '"a\\nb"',
            '"\\\\u0041"',
            '{"supapy":",\\"x\\":["}',
        ),
    ],
    "types.doc": ["null", '{"a": 1.10}', "[]"],
    "xml": ["<a>&lt;\n</a>", "text only", ""],
    "tsvector": ["'a':1A 'fat''s':2,3B", ""],
    "tsquery": ["'a' & !'b' | 'c':*A", ""],
    "jsonpath": ['$."a"[*] ? (@ > 1)'],
    "pg_lsn": ["16/B374D848"],
    "oid": ["0", "4294967295"],
    "regclass": ["pg_catalog.pg_class"],
    "xid8": ["18446744073709551615"],
    "types.mood": ["sad", "so so", 'it\'s "fine", {ok}', ""],
    "types.posint": ["1", "2147483647"],
    "types.pair": ['(1,"a ""b"", c")', "(,)", '(,"")', '(-1,"\\\\.\n")'],
    "types.nested": ['("(1,x)","{sad,""so so""}","{""a"": null}")', "(,,)", '("(,)",{},null)'],
    "int4range": ["empty", "[1,5)", "(,)", "[1,)"],
    "tstzrange": ['["2026-01-01 00:00:00+00",infinity)', "empty"],
    "numrange": ["[1.10,NaN)", "(,1e400)"],
    "types.textrange": ['["a""b\\\\","z,y"]', "(,)"],
    "int4multirange": ["{}", "{[1,3),[5,8)}"],
    "integer[]": ["{}", "{1,NULL,3}", "[2:4]={1,2,3}", "[-1:0][3:4]={{1,2},{NULL,4}}", "{{1},{2}}"],
    "text[]": ["{}", '{"",NULL,"NULL","a\\"b\\\\","{}",","," x "}', '{"a\nb"}', '{"\\\\."}'],
    "jsonb[]": ['{"null",NULL,"{\\"a\\": 1.10}"}'],
    "bytea[]": ['{"\\\\x00ff",NULL}'],
    "types.pair[]": ['{"(1,\\"a b\\")",NULL,"(,)"}'],
    "types.mood[]": ['{sad,"so so",""}'],
    "double precision[]": ["{-0,NaN,5e-324,0.1}"],
    "timestamptz[]": ["{infinity,NULL}"],
    "types.hstore": ['"a"=>NULL, "b c"=>"NULL", ""=>"\\"\\\\"', ""],
}


@contextmanager
def at_moment(dsn: Secret) -> Iterator[Moment]:
    with Project("http://127.0.0.1:9", Secret("sb_secret_x"), dsn) as project, project.moment() as moment:
        yield moment


@contextmanager
def writing(dsn: Secret) -> Iterator[Session]:
    with Project("http://127.0.0.1:9", Secret("sb_secret_x"), dsn) as project, project.session() as session:
        yield session


@pytest.fixture(scope="module", params=MAJORS)
def server(request: pytest.FixtureRequest, module_clusters: ClusterFactory) -> Cluster:
    made = module_clusters(request.param)
    with owner(made) as connection:
        connection.execute(SETUP)
    return made


def run(server: Cluster, *statements: str) -> None:
    with writing(server.dsn) as session:
        for statement in statements:
            session.execute(statement)


def table(reader: Any, schema: str, name: str) -> Table:
    return next(one for one in user_tables(reader) if (one.schema, one.name) == (schema, name))


def carried(server: Cluster, schema: str, source: str, target: str) -> list[bytes]:
    """Take a table's rows out, put them into another of the same shape, and give the lines."""
    with at_moment(server.dsn) as moment:
        rows = list(lines(rows_out(moment, table(moment, schema, source))))
    with writing(server.dsn) as session, session.transaction():
        into = table(session, schema, target)
        assert stage(session, iter(rows)) == len(rows)
        if rows:
            columns = insertable(into, staged_keys(session))
            assert insert_staged(session, into, columns) == len(rows)
    return rows


def texts(server: Cluster, name: str) -> list[tuple[Any, ...]]:
    with writing(server.dsn) as session:
        return session.rows(f"SELECT t::text FROM {name} t ORDER BY 1")


@pytest.mark.parametrize("type_name", VALUES)
def test_every_value_of_every_type_comes_back_as_it_was(server: Cluster, type_name: str) -> None:
    values = ", ".join(f"({number}, {literal(value)}::{type_name})" for number, value in enumerate(VALUES[type_name]))
    run(
        server,
        "DROP TABLE IF EXISTS types.source, types.target",
        f"CREATE TABLE types.source (id int, v {type_name})",
        "CREATE TABLE types.target (LIKE types.source)",
        f"INSERT INTO types.source VALUES {values}, (-1, NULL)",
    )
    rows = carried(server, "types", "source", "target")
    assert len(rows) == len(VALUES[type_name]) + 1
    assert texts(server, "types.target") == texts(server, "types.source")
    with writing(server.dsn) as session:
        nulls = "SELECT id FROM types.{} WHERE v IS NULL OR v::text IS NULL ORDER BY id"
        assert session.rows(nulls.format("target")) == session.rows(nulls.format("source"))
    assert all(next(iter(json.loads(row, parse_int=str, parse_float=str))) == "id" for row in rows)


def test_the_array_of_a_table_is_json_and_gives_its_lines_back(server: Cluster) -> None:
    run(
        server,
        "DROP TABLE IF EXISTS types.source",
        "CREATE TABLE types.source (v text)",
        f"INSERT INTO types.source VALUES {', '.join(f'({literal(text)})' for text in TEXTS)}",
    )
    with at_moment(server.dsn) as moment:
        one = table(moment, "types", "source")
        document = b"".join(as_array(rows_out(moment, one)))
        plain = list(lines(rows_out(moment, one)))
    assert [row["v"] for row in json.loads(document)] == TEXTS
    assert list(array_lines([document])) == plain
    assert document.count(b"\n") == len(TEXTS) + 2, "one row a line"


def test_an_empty_table_is_an_empty_array(server: Cluster) -> None:
    run(server, "DROP TABLE IF EXISTS types.source", "CREATE TABLE types.source (v text)")
    with at_moment(server.dsn) as moment:
        document = b"".join(as_array(rows_out(moment, table(moment, "types", "source"))))
    assert json.loads(document) == []
    assert list(array_lines([document])) == []


def test_a_table_without_columns_keeps_the_number_of_its_rows(server: Cluster) -> None:
    run(
        server,
        "DROP TABLE IF EXISTS types.source",
        "CREATE TABLE types.source ()",
        "INSERT INTO types.source SELECT FROM generate_series(1, 3)",
    )
    with at_moment(server.dsn) as moment:
        assert list(lines(rows_out(moment, table(moment, "types", "source")))) == [b"{}"] * 3


def test_a_very_wide_table_comes_back(server: Cluster) -> None:
    columns = [f"c{number} {('int', 'text', 'jsonb', 'numeric')[number % 4]}" for number in range(600)]
    values = [("1", "'x'", "'null'", "1.10")[number % 4] for number in range(600)]
    run(
        server,
        "DROP TABLE IF EXISTS types.source, types.target",
        f"CREATE TABLE types.source ({', '.join(columns)})",
        "CREATE TABLE types.target (LIKE types.source)",
        f"INSERT INTO types.source VALUES ({', '.join(values)}), ({', '.join(['NULL'] * 600)})",
    )
    carried(server, "types", "source", "target")
    assert texts(server, "types.target") == texts(server, "types.source")


def column_names() -> list[str]:
    return sorted(
        {name.encode()[:60].decode(errors="ignore") for name in NAMES if "\0" not in name and name}
        | {'a"b', "a\\b", "A", "select"}
    )


def test_columns_of_any_name_come_back(server: Cluster) -> None:
    names = column_names()
    columns = ", ".join(f"{quoted(name)} {('text', 'jsonb')[number % 2]}" for number, name in enumerate(names))
    values = ", ".join(
        literal((name, "null", '{"a": 1}')[number % 2 * (1 + number % 3 // 2)]) for number, name in enumerate(names)
    )
    run(
        server,
        "DROP TABLE IF EXISTS types.source, types.target",
        f"CREATE TABLE types.source ({columns})",
        "CREATE TABLE types.target (LIKE types.source)",
        f"INSERT INTO types.source VALUES ({values})",
    )
    (row,) = carried(server, "types", "source", "target")
    assert texts(server, "types.target") == texts(server, "types.source")
    texts_only = {name: name for number, name in enumerate(names) if number % 2 == 0}
    assert {name: value for name, value in json.loads(row).items() if name in texts_only} == texts_only


@pytest.mark.parametrize("name", [name for name in column_names() if len(name) < 40])
def test_tables_of_any_name_are_read(server: Cluster, name: str) -> None:
    run(
        server, f"CREATE TABLE {qualified('types', name)} (v int)", f"INSERT INTO {qualified('types', name)} VALUES (7)"
    )
    try:
        with at_moment(server.dsn) as moment:
            assert list(lines(rows_out(moment, table(moment, "types", name)))) == [b'{"v":7}']
    finally:
        run(server, f"DROP TABLE {qualified('types', name)}")


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_literals_and_identifiers_say_what_they_are_meant_to(server: Cluster, conforming: str) -> None:
    hostile = [
        text
        for text in [*TEXTS, *NAMES, "'; DROP TABLE x; --", "\\'; --", "\\", "'\\", "E'\\x'", "$$", "?"]
        if "\0" not in text
    ]
    with writing(server.dsn) as session:
        session.execute(f"SET standard_conforming_strings = {conforming}")
        session.execute("SET escape_string_warning = on")
        for text in hostile:
            assert session.value(f"SELECT {literal(text)}") == text
        for name in column_names():
            assert session.value(f"SELECT {quoted(name)} FROM (SELECT 1 AS {quoted(name)}) t") == 1
        assert session.value(f"SELECT {literal(None)}") is None


# --- what a restore does with rows -----------------------------------------------------------------------------------


@pytest.fixture
def things(server: Cluster) -> Cluster:
    run(
        server,
        "DROP TABLE IF EXISTS types.thing",
        "CREATE TABLE types.thing (id int PRIMARY KEY, a text, j jsonb, g text GENERATED ALWAYS AS (a || '!') STORED,"
        " n int GENERATED ALWAYS AS IDENTITY, d text DEFAULT 'default')",
    )
    return server


def load(server: Cluster, *rows: str, conflict: bool = False) -> list[tuple[Any, ...]]:
    with writing(server.dsn) as session:
        into = table(session, "types", "thing")
        stage(session, [row.encode() for row in rows])
        columns = insertable(into, staged_keys(session))
        insert_staged(session, into, columns, conflict=upsert(primary_key(session, into), columns) if conflict else "")
        return session.rows("SELECT id, a, j::text, g, n, d FROM types.thing ORDER BY id")


def test_columns_that_the_rows_do_not_have_take_their_defaults_and_identities_are_kept(things: Cluster) -> None:
    assert load(things, '{"id":1,"a":"x","g":"ignored","n":77}') == [(1, "x", None, "x!", 77, "default")]


def test_null_of_a_jsonb_column_is_jsons_own_and_a_left_out_key_is_sqls(things: Cluster) -> None:
    found = load(things, '{"id":1,"j":null}', '{"id":2}', '{"id":3,"j":{"a": 1.10}}')
    assert [row[2] for row in found] == ["null", None, '{"a": 1.10}']


def test_an_upsert_lets_the_new_row_win_and_may_be_repeated(things: Cluster) -> None:
    load(things, '{"id":1,"a":"old","j":{}}', '{"id":2,"a":"stays"}')
    for _ in range(2):
        found = load(things, '{"id":1,"a":"new","j":null}', '{"id":3,"a":"more"}', conflict=True)
    assert [row[:3] for row in found] == [(1, "new", "null"), (2, "stays", None), (3, "more", None)]


def test_an_update_sets_only_the_rows_with_the_key(things: Cluster) -> None:
    load(things, '{"id":1,"a":"one","j":{}}', '{"id":2,"a":"two","j":{}}')
    with writing(things.dsn) as session:
        into = table(session, "types", "thing")
        stage(session, [b'{"id":2,"a":"TWO"}', b'{"id":9,"a":"nobody"}'])
        columns = insertable(into, {"id", "a", "j"})
        assert update_staged(session, into, columns, key=("id",), instead={"a": "t.a || r.a"}) == 1
        found = session.rows("SELECT id, a, j::text FROM types.thing ORDER BY id")
    assert found == [(1, "one", "{}"), (2, "twoTWO", None)]


def test_keys_without_a_column_are_told_when_they_have_values(things: Cluster) -> None:
    with writing(things.dsn) as session:
        stage(session, [b'{"id":1,"gone":null,"lost":null}', b'{"id":2,"lost":"x","g":"generated"}'])
        keys = staged_keys(session)
        assert keys == {"id": True, "gone": False, "lost": True, "g": True}
        assert unknown_columns(table(session, "types", "thing"), keys) == ["lost"]


def test_a_line_that_is_no_json_ends_the_load_with_an_error_of_ours(things: Cluster) -> None:
    with writing(things.dsn) as session, pytest.raises(SqlError):
        stage(session, [b'{"id":1', b"{}"])


def test_rows_of_another_size_than_a_piece_are_staged_whole(things: Cluster) -> None:
    rows = [json.dumps({"id": number, "a": "x" * (number % 700)}).encode() for number in range(2000)]
    with writing(things.dsn) as session:
        assert stage(session, iter(rows)) == 2000
        assert stage(session, iter([])) == 0, "the next load replaces what was staged"


# --- what a comparison does with them --------------------------------------------------------------------------------

COLUMNS = (Column("id", "integer", False, ""), Column("a", "text", False, ""), Column("j", "jsonb", False, ""))


@pytest.mark.parametrize(
    ("saved", "live", "changed"),
    [
        ('{"id":1,"a":"x","j":{"b":[1]}}', '{"id":1,"a":"x","j":{"b":[1]}}', []),
        ('{"id":1,"a":"x"}', '{"id":1,"a":"y"}', ["a"]),
        ('{"a":null}', '{"a":""}', ["a"]),
        ('{"j":{"b":1}}', '{"j":{"b":true}}', ["j"]),
        ('{"j":[0]}', '{"j":[false]}', ["j"]),
        ('{"j":1.10}', '{"j":"1.10"}', ["j"]),
        ('{"j":1.10}', '{"j":1.1}', ["j"]),
        (f'{{"j":{DIGITS * 2}}}', f'{{"j":{DIGITS * 2}}}', []),
        (f'{{"j":{DIGITS * 2}}}', f'{{"j":"{DIGITS * 2}"}}', ["j"]),
        ('{"id":9007199254740993}', '{"id":9007199254740992}', ["id"]),
        ('{"j":null}', "{}", ["j"]),
        ("{}", '{"j":null}', ["j"]),
        ("{}", '{"j":{}}', ["j"]),
        ('{"j":{}}', '{"j":null}', ["j"]),
        ("{}", "{}", []),
        ('{"id":1,"only saved":1}', '{"id":1}', []),
        ('{"id":1}', '{"id":1,"a":"only live"}', []),
    ],
)
def test_a_comparison_sees_every_difference_of_the_columns_that_both_have(
    saved: str, live: str, changed: list[str]
) -> None:
    assert changed_columns(parse(saved.encode()), parse(live.encode()), COLUMNS) == changed


def test_a_row_of_many_brackets_is_read_member_by_member() -> None:
    deep = "[" * 5000 + "]" * 5000
    row = parse(f'{{"id":7,"a":"x,]}}\\"{{:[","deep":{deep},"j":{{"b":[1.10,null]}},"é\\n":null,"t":true}}'.encode())
    assert row == {"id": 7, "a": 'x,]}"{:[', "deep": deep, "j": {"b": ["1.10", None]}, "é\n": None, "t": True}
    assert not same(row["deep"], deep), "a text that looks like it is another value"
    many = json.dumps({"a": [[]] * 200, "b": {"c": [[]] * 400}, "d": 1})
    assert (parse(many.encode())["d"], json.loads(parse(many.encode())["b"])) == (1, {"c": [[]] * 400})


def test_two_sorted_streams_are_laid_side_by_side() -> None:
    ones, others = ([{"id": number} for number in numbers] for numbers in ([1, 2, 4, 7], [2, 3, 4, 8, 9]))
    found = [(one and one["id"], other and other["id"]) for one, other in paired(ones, others, itemgetter("id"))]
    assert found == [(1, None), (2, 2), (None, 3), (4, 4), (7, None), (None, 8), (None, 9)]


def test_tables_of_the_platform_are_read_by_their_schema(server: Cluster) -> None:
    with ExitStack() as stack:
        moment = stack.enter_context(at_moment(server.dsn))
        assert {"users", "identities", "sessions"} <= {one.name for one in tables_of(moment, "auth")}
        assert not {one.schema for one in user_tables(moment)} & {"auth", "storage", "vault"}

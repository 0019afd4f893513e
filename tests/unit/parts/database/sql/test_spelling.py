"""What a server prints of SQL that it printed before: both texts as PostgreSQL 15 and 17 gave them."""

from __future__ import annotations

import pytest

from supapy.parts.database.sql.spelling import settled

PRINTED = {
    "IN of a varchar": (
        "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
        "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
    ),
    "IN in statistics": (
        "ON id, (s::text = ANY (ARRAY['a'::character varying, 'b'::character varying]::text[])) FROM t",
        "ON id, (s::text = ANY (ARRAY['a'::character varying::text, 'b'::character varying::text])) FROM t",
    ),
    "an array of expressions with commas, brackets and quotes in them": (
        "(x = ANY ((ARRAY[f(a, 'it''s, ]'::text), (b || c), ARRAY[d, e]])::c.\"T x\"[]))",
        '(x = ANY (ARRAY[(f(a, \'it\'\'s, ]\'::text))::c."T x", ((b || c))::c."T x", ARRAY[(d)::c."T x", '
        '(e)::c."T x"]]))',
    ),
    "a type with a modifier": (
        "(ARRAY['a'::text])::character varying(10)[]",
        "ARRAY[('a'::text)::character varying(10)]",
    ),
    "BETWEEN and more": (
        "(((id >= 1) AND (id <= 3)) AND (s IS NOT NULL))",
        "((id >= 1) AND (id <= 3) AND (s IS NOT NULL))",
    ),
    "BETWEEN SYMMETRIC or more": (
        "((((id >= 1) AND (id <= 3)) OR ((id >= 3) AND (id <= 1))) OR (s IS NULL))",
        "(((id >= 1) AND (id <= 3)) OR ((id >= 3) AND (id <= 1)) OR (s IS NULL))",
    ),
    "lists three deep": ("((((a) AND (b)) AND (c)) AND (d))", "((a) AND (b) AND (c) AND (d))"),
    "VALUES": ("SELECT 1\n   FROM (VALUES (1,'a'::text)) v", "SELECT 1\n   FROM (VALUES (1,'a'::text)) v"),
    "VALUES by way of a view": (
        "SELECT 1\n   FROM ( VALUES (1,'a'::text)) v",
        "SELECT 1\n   FROM (VALUES (1,'a'::text)) v",
    ),
    "a text to compare with": ("((s)::text = ( SELECT 'a'::text AS text))", "((s)::text = ( SELECT 'a'::text))"),
    "a text that exists": (
        "(EXISTS ( SELECT 'x'::text AS text\n   FROM t))",
        "(EXISTS ( SELECT 'x'::text\n   FROM t))",
    ),
}
# Nothing in these is printed otherwise the second time.
AS_THEY_ARE = (
    "",
    "CHECK ((a > 0))",
    "((a AND b) OR c)",
    "(a AND (b OR (c AND d)))",
    "((NOT (a AND b)) AND c)",
    "(x = ANY (ARRAY['a'::text, 'b'::text]))",
    "ARRAY[]::text[]",
    "(ARRAY[1, 2])[1]",
    "(x = '((a AND b) AND c) (ARRAY[1])::text[]'::text)",
    "(x = E'\\'((a AND b) AND c)'::text)",
    '("((a AND b) AND c)" AND ")")',
    "sum(x) OVER (ORDER BY y ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "(a AND (sum(x) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)))",
    "SELECT v.text\n   FROM ( SELECT 'a'::text AS text) v",
    ") AND (",
    "(" * 5000 + "a) AND b" + ")" * 4999,
    "CREATE FUNCTION f() RETURNS int\n LANGUAGE sql\nAS $function$ select ((a AND b) AND c) $function$\n",
)


@pytest.mark.parametrize(("first", "second"), PRINTED.values(), ids=PRINTED)
def test_a_text_is_spelt_as_it_is_printed_once_it_was_read_back(first: str, second: str) -> None:
    assert settled(first) == second
    assert settled(second) == second


@pytest.mark.parametrize("text", AS_THEY_ARE)
def test_nothing_else_is_touched(text: str) -> None:
    assert settled(text) == text


def test_what_means_something_else_stays_different() -> None:
    assert settled("((a OR b) AND c)") != settled("(a OR (b AND c))")
    assert settled("((a AND b) AND c)") != settled("((a AND b) OR c)")
    assert settled("((ARRAY['a'::bpchar])::text[])") != settled("((ARRAY['a'::bpchar])::bpchar[])")

"""auth_users.json written, in the form that `document` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from supapy.names import literal
from supapy.parts.auth.document import FORMAT, in_line, row_of
from supapy.parts.auth.tables import NESTED, OTHERS
from supapy.project.moment import Moment
from supapy.project.quick import binary_rows
from supapy.project.rows import as_array, lines_statement
from supapy.project.schema import Table

# A range of users, with what is theirs, by its size on disk: the JSON is about twice as much and is one value.
RANGE_BYTES = 96 * 1024
# So many are asked for at once: a statement takes the server a while to prepare.
RANGES_TOGETHER = 24
# Of a large table's pages so many are looked at for where the ranges begin.
SAMPLED_FROM_BYTES = 32 * 1024 * 1024
SAMPLED_PERCENT = 10
_FIRST_ID = "00000000-0000-0000-0000-000000000000"
_SIZE = (
    "SELECT coalesce(sum(pg_catalog.pg_table_size(oid)), 0)::bigint FROM pg_catalog.pg_class WHERE oid = ANY(%s::oid[])"
)


def written(moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]) -> Iterator[bytes]:
    """The file's bytes. Rows of users that aren't there have no place in it: they are counted in `orphans`."""
    present = [tables[name] for name in ("users", *NESTED, *OTHERS) if name in tables]
    columns = {table.name: [column.name for column in in_line(table)] for table in present}
    yield b'{"format":%d\n,"columns":' % FORMAT + json.dumps(columns, ensure_ascii=False).encode() + b"\n"
    names = [name for name in ("users", *OTHERS) if name in tables]
    for name, pieces in sections(names, moment, tables, jobs, orphans):
        yield b',"' + name.encode() + b'":'
        yield from as_array(pieces)
    yield b"}\n"


def sections(
    names: Sequence[str], moment: Moment, tables: dict[str, Table], jobs: int, orphans: Counter[str]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each table's rows as JSON lines in pieces, by id; to be read to their end before the next one's.

    Users come by ranges of their ids, each range with what is nested in them, and several connections read at once.
    """
    nested = [
        table
        for table in (tables[name] for name in NESTED if name in tables)
        if moment.value(f"SELECT EXISTS (SELECT FROM {table.sql})")
    ]
    ranges = list(_users_out(moment, [tables["users"], *nested])) if "users" in names else []
    others = names[bool(ranges) :]
    statements = [
        lines_statement(f"SELECT {row_of(tables[one])} FROM {tables[one].sql} t ORDER BY t.id") for one in others
    ]
    groups = [[one] for one in statements]
    outputs = moment.pumped([ranges, *groups] if ranges else groups, jobs)
    for name in names:
        if name == "users":
            yield name, _users(next(outputs), len(ranges), [table.name for table in nested], orphans)
        else:
            yield name, next(outputs)


def _users_out(moment: Moment, tables: Sequence[Table]) -> Iterator[str]:
    """Statements that give all users in the order of their ids: a row for a range of ids, and in it their lines, put
    together by the server. A row for each user costs it, and whoever reads, as much again."""
    edges = _edges(moment, tables)
    ranges = list(pairwise([_FIRST_ID, *edges]))
    for at in range(0, len(ranges), RANGES_TOGETHER):
        firsts, nexts = (",".join(ids) for ids in zip(*ranges[at : at + RANGES_TOGETHER], strict=True))
        source = f"unnest('{{{firsts}}}'::uuid[], '{{{nexts}}}'::uuid[]) AS r(first, next)"
        yield _lines_of(tables, "t.KEY >= r.first AND t.KEY < r.next", source)
    last = literal(edges[-1] if edges else _FIRST_ID)
    yield _lines_of(tables, "t.KEY >= r.first", f"(SELECT {last}::uuid) AS r(first)")


def _lines_of(tables: Sequence[Table], within: str, source: str) -> str:
    """For each range the users' lines and, for each nested table, how many of its rows belong to nobody.

    What is nested is made once a range: the server can't tell how large one is, and takes any join for good.
    """
    users, *nested = tables
    groups = [
        f"""{table.name} AS MATERIALIZED (
            SELECT t.user_id AS id, pg_catalog.count(*) AS number, {literal(f',"{table.name}":[')}
                || pg_catalog.string_agg({row_of(table)}, ',' ORDER BY t.id) || ']' AS rows
            FROM {table.sql} t WHERE {within.replace("KEY", "user_id")} GROUP BY t.user_id)"""
        for table in nested
    ]
    names = [table.name for table in nested]
    numbers = "".join(f", {name}.number AS {name}" for name in names)
    joins = "".join(f" LEFT JOIN {name} ON {name}.id = t.id" for name in names)
    orphans = "".join(
        f", (coalesce((SELECT sum(number) FROM {name}), 0) - coalesce(sum(s.{name}), 0))::text" for name in names
    )
    lines_in_order = f"""SELECT {row_of(users, more=[f"{name}.rows" for name in names])} AS line{numbers}
        FROM {users.sql} t{joins} WHERE {within.replace("KEY", "id")} ORDER BY t.id"""
    given = f"WITH {', '.join(groups)} " if groups else ""
    one = f"{given}SELECT pg_catalog.string_agg(s.line, E'\\n'){orphans} FROM ({lines_in_order}) s"
    return f"COPY (SELECT found.* FROM {source}, LATERAL ({one}) found) TO STDOUT (FORMAT binary)"


def _edges(moment: Moment, tables: Sequence[Table]) -> list[str]:
    """The ids at which ranges begin, but for the first."""
    size = moment.value(_SIZE, ([table.oid for table in tables],))
    count = size // RANGE_BYTES
    fractions = [number / count for number in range(1, count)]
    sampled = SAMPLED_PERCENT if size >= SAMPLED_FROM_BYTES else 100
    found = moment.value(
        "SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY id) FROM auth.users TABLESAMPLE SYSTEM (%s)",
        (fractions, sampled),
    )
    return [str(one) for one in sorted(set(found or ()))]


def _users(output: Iterator[bytes], statements: int, nested: Sequence[str], orphans: Counter[str]) -> Iterator[bytes]:
    for users, *numbers in binary_rows(output, statements):
        if users:
            yield users
            yield b"\n"
        counted = zip(nested, numbers, strict=True)
        orphans.update({name: int(number) for name, number in counted if number and number != b"0"})

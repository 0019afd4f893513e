"""Which tables are meant, said in the patterns of pg_dump and psql.

`*` and `?` stand for any characters and for one; what else a regular expression of PostgreSQL knows works as well. A
dot parts schema from name, letters are folded to small ones, and double quotes keep what is in them as it is. A name
without a schema is looked for where the connection would find it: along its usual search path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from supapy.errors import SqlError, UsageError
from supapy.model import Json
from supapy.project.schema import Reader, managed_schemas

# What regular expressions give a meaning.
_SPECIAL = frozenset("|*+?()[]{}.^$\\")
_ANYTHING = "^(.*)$"
# The class of SQLSTATE for a regular expression that is none.
_BAD_EXPRESSION = "2201B"


@dataclass(frozen=True, slots=True)
class Patterns:
    """The tables of some schemas, or some tables, but for some; and some without their rows. Empty, it takes all.

    Raises UsageError for schemas and tables at once: pg_dump doesn't look at schemas then.
    """

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    without_rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.schemas and self.tables:
            raise UsageError("--schema says nothing beside --table", "Say --table 'SCHEMA.*' for all tables of one.")

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.takes_some or self.excluded or self.without_rows)

    @property
    def takes_some(self) -> bool:
        """Whether only what is named is taken, with what it needs, instead of all but what is named."""
        return bool(self.schemas or self.tables)

    def to_json(self) -> Json:
        """What is said of it in a backup that was made with it."""
        return {name: list(value) for name, value in asdict(self).items()}

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """What is said, by the options that say it."""
        return {
            "--schema": self.schemas,
            "--table": self.tables,
            "--exclude-table": self.excluded,
            "--exclude-table-data": self.without_rows,
        }

    def __str__(self) -> str:
        """As one would type it."""
        return " ".join(f"{option} {one}" for option, patterns in self.options.items() for one in patterns)


ALL_TABLES = Patterns()


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence by a number of its own; `whole` is that of the table that it is a partition of."""

    key: int
    schema: str
    name: str
    whole: int | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """What patterns mean: schemas by name, relations by key. A partitioned table is meant with its partitions."""

    schemas: frozenset[str]
    tables: frozenset[int]
    excluded: frozenset[int]
    without_rows: frozenset[int]


def user_relations(reader: Reader) -> list[Relation]:
    """The user's tables, views and sequences, by schema and name; their keys are their oids."""
    return [Relation(*row) for row in reader.rows(_RELATIONS, (sorted(managed_schemas(reader) - {"extensions"}),))]


def user_schemas(reader: Reader) -> list[str]:
    """The user's schemas, those that hold no table as well."""
    return [name for (name,) in reader.rows(_SCHEMAS, (sorted(managed_schemas(reader)),))]


def match(reader: Reader, patterns: Patterns, relations: Sequence[Relation], schemas: Iterable[str] = ()) -> Matched:
    """Which of the relations are meant, and of their schemas and those named besides. Raises UsageError for a pattern
    that none fits, or that is no pattern.

    The reader is a database: its regular expressions are the ones that count.
    """
    places = {*schemas, *(one.schema for one in relations)}
    visible = _visible(reader, relations)
    wholes = {one.key: one.whole for one in relations}

    def found(option: str, wanted: Iterable[str]) -> frozenset[int]:
        keys: set[int] = set()
        for pattern in wanted:
            keys |= _fitting(reader, option, pattern, relations, visible)
        return frozenset(key for key in wholes if _is_of(key, keys, wholes))

    meant: set[str] = set()
    for pattern in patterns.schemas:
        meant |= _fitting_schemas(reader, pattern, places)
    tables, excluded = found("--table", patterns.tables), found("--exclude-table", patterns.excluded)
    if patterns.tables and not tables - excluded:
        raise UsageError("--exclude-table leaves nothing of what --table chose", "Leave one of the two out.")
    return Matched(frozenset(meant), tables, excluded, found("--exclude-table-data", patterns.without_rows))


def _is_of(key: int | None, keys: set[int], wholes: dict[int, int | None]) -> bool:
    while key is not None:
        if key in keys:
            return True
        key = wholes.get(key)
    return False


def _fitting(
    reader: Reader, option: str, pattern: str, relations: Sequence[Relation], visible: frozenset[int]
) -> set[int]:
    pieces = expressions(pattern)
    if len(pieces) > 2:
        raise UsageError(f"{option} {pattern}: too many dots", "Say SCHEMA.TABLE, with double quotes around a dot.")
    of_schema, of_name = pieces if len(pieces) == 2 else (None, pieces[0])
    names = _equal(reader, option, pattern, of_name, {one.name for one in relations})
    schemas = _equal(reader, option, pattern, of_schema or _ANYTHING, {one.schema for one in relations})
    keys = {one.key for one in relations if one.name in names and one.schema in schemas}
    keys &= keys if of_schema else visible
    if not keys:
        raise UsageError(
            f"{option} {pattern}: no table of that name",
            "A table outside the search path needs its schema (SCHEMA.TABLE), and a name with capitals double quotes. "
            "Tables of the platform belong to its own parts: auth and storage.",
        )
    return keys


def _fitting_schemas(reader: Reader, pattern: str, places: set[str]) -> set[str]:
    pieces = expressions(pattern)
    if len(pieces) > 1:
        raise UsageError(f"--schema {pattern}: too many dots", "Say the name of a schema, in double quotes with a dot.")
    schemas = _equal(reader, "--schema", pattern, pieces[0], places)
    if not schemas:
        raise UsageError(
            f"--schema {pattern}: no schema of yours has that name",
            "A name with capitals needs double quotes. The platform's schemas belong to its own parts.",
        )
    return schemas


def _equal(reader: Reader, option: str, pattern: str, expression: str, names: set[str]) -> set[str]:
    if expression == _ANYTHING:
        return names
    query = "SELECT name FROM pg_catalog.unnest(%s::text[]) AS n (name) WHERE name ~ %s"
    try:
        return {name for (name,) in reader.rows(query, (sorted(names), expression))}
    except SqlError as error:
        if error.sqlstate == _BAD_EXPRESSION:
            raise UsageError(f"{option} {pattern}: {error.message}", "Put a name in double quotes.") from None
        raise


def _visible(reader: Reader, relations: Sequence[Relation]) -> frozenset[int]:
    """Those that a name without a schema means."""
    path = reader.rows(_PATH)[0][0]
    reader.rows("SELECT pg_catalog.set_config('search_path', '', true)")
    first: dict[str, Relation] = {}
    for one in sorted((one for one in relations if one.schema in path), key=lambda one: path.index(one.schema)):
        first.setdefault(one.name, one)
    return frozenset(one.key for one in first.values())


def expressions(pattern: str) -> list[str]:
    """The regular expressions of a pattern, one for each piece between its dots: psql's rules."""
    pieces, in_quotes, at = [""], False, 0
    while at < len(pattern):
        letter, after = pattern[at], pattern[at + 1 : at + 2]
        if letter == '"':
            if in_quotes and after == '"':
                pieces[-1] += '"'
                at += 1
            else:
                in_quotes = not in_quotes
        elif in_quotes:
            pieces[-1] += f"\\{letter}" if letter in _SPECIAL else letter
        elif letter == ".":
            pieces.append("")
        elif letter == "$" or (letter == "[" and after == "]"):
            pieces[-1] += f"\\{letter}"
        else:
            # ASCII alone: other letters are folded by no identifier either.
            pieces[-1] += {"*": ".*", "?": "."}.get(letter, letter.lower() if letter.isascii() else letter)
        at += 1
    return [f"^({piece})$" for piece in pieces]


_PATH = """
WITH usual AS MATERIALIZED (
    SELECT pg_catalog.set_config('search_path', reset_val, true)
    FROM pg_catalog.pg_settings WHERE name = 'search_path'
)
SELECT pg_catalog.current_schemas(false)::text[] FROM usual
"""
_SCHEMAS = """
SELECT nspname FROM pg_catalog.pg_namespace
WHERE nspname <> ALL (%s) AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, i.inhparent::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
    AND n.nspname <> ALL (%s) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

"""Triggers, rules and event triggers that reach out of the database: found by what they call, restored so that none
fires unasked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from supapy.parts.database.alive.quiesced import EVENT_TRIGGER, REACHING, RULE, TRIGGER, letting_sleep, read_quiesced
from supapy.parts.database.platform import platform
from supapy.parts.database.sql.statements import do_block
from supapy.project.moment import Moment

# What Database Webhooks call, pg_net's functions, and those of the extensions http and dblink, which are called without
# a schema.
_REACHES_OUT = re.compile(
    r'\b"?supabase_functions"?\s*\.\s*"?http_request\b|\b"?net"?\s*\.\s*"?http_\w+'
    r'|\b"?http(?:_(?:get|post|put|patch|delete|head))?"?\s*\('
    r'|\b"?dblink(?:_\w+)?"?\s*\(',
    re.IGNORECASE,
)
# A statement made at run time; not the making of a trigger, and no grant.
_BUILDS_TEXT = re.compile(r"\bEXECUTE\s+(?!(?:FUNCTION|PROCEDURE|ON)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A trigger, a rule or an event trigger, as `sort` says, that reaches out. `name` and `relation` are as SQL writes
    them, an event trigger's relation is empty. `definition` makes it, and is empty for a partition's own copy of a
    trigger, which differs from its parent's in nothing but its state (pg_trigger.tgenabled, pg_rewrite.ev_enabled). One
    that is `lasting` can't be disabled: on the platform's tables not by postgres, on a view by nobody. One that is
    `waiting` sleeps already, and has the state it will wake to. `routine` is the function a trigger calls. `comment` is
    what postgres can say of it. `source` is the host of its project."""

    sort: str
    name: str
    relation: str
    definition: str
    state: str
    routine: str
    comment: str | None
    lasting: bool
    waiting: bool
    source: str

    @property
    def title(self) -> str:
        """What people and inventories call it."""
        return _title(self.sort, self.name, self.relation)


def _reaching_out(moment: Moment) -> re.Pattern[str]:
    """What a text has that reaches out: such calls, and names of foreign tables where rows come from or go to. Without
    a schema a name counts where no other table has it."""
    far = moment.rows(_FOREIGN_TABLES)
    if not far:
        return _REACHES_OUT
    names = "|".join(
        rf'(?:"?{re.escape(schema)}"?\s*\.\s*){"" if shared else "?"}"?{re.escape(table)}"?'
        for schema, table, shared in far
    )
    moved = rf'\b(?:INTO|UPDATE|FROM|JOIN|USING|ONLY|TRUNCATE|TABLE)\s+(?:{names})(?![\w$"])'
    return re.compile(f"{_REACHES_OUT.pattern}|{moved}", re.IGNORECASE)


def _title(sort: str, name: str, relation: str) -> str:
    return f"{sort} {name} on {relation}" if relation else f"{sort} {name}"


def read_webhooks(moment: Moment, managed: frozenset[str], reaching: frozenset[int]) -> dict[tuple[int, int], Webhook]:
    """All of them by (catalog, oid), but for those that sleep by not being there; what calls one of the `reaching`
    functions reaches out."""
    asleep = {one.name: one for one in read_quiesced(moment) if one.sort in REACHING}
    hooks = {}
    for sort, catalog, oid, name, schema, table, kind, definition, state, _, owner, routine, comment in _acting(
        moment, reaching, _reaching_out(moment)
    ):
        is_theirs = schema in managed - {"extensions"} and platform.is_platform_role(owner)
        lasting = is_theirs or kind == _VIEW
        known = asleep.get(_title(sort, name, table)) if definition and state == "D" else None
        state = known.state if known else state
        waiting = known is not None
        said = None if is_theirs else comment
        hooks[catalog, oid] = Webhook(
            sort, name, table, definition, state, routine, said, lasting, waiting, moment.project.host
        )
    return hooks


def _acting(
    moment: Moment, functions: frozenset[int], says: re.Pattern[str] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Of triggers, rules and event triggers those that call one of the functions, and rules that say so themselves."""
    theirs = (sorted(platform.EVENT_TRIGGERS), platform.PLATFORM_ROLE_PATTERN)
    yield from ((TRIGGER, *row) for row in moment.rows(_TRIGGERS) if row[8][0] in functions)
    for row in moment.rows(_RULES):
        if functions & set(row[8]) or (says and says.search(row[6])):
            yield RULE, *row
    yield from ((EVENT_TRIGGER, *row) for row in moment.rows(_EVENT_TRIGGERS, theirs) if row[8][0] in functions)


def unseen(moment: Moment) -> list[str]:
    """What people call those that are awake and run statements that the user's functions put together as text: what
    these call can't be known."""
    found = _acting(moment, _functions_that(moment, lambda owner, _, body: _builds(owner, body)))
    return sorted(_title(sort, name, table) for sort, _, _, name, _, table, _, _, state, *_ in found if state != "D")


def _builds(owner: str, body: str) -> bool:
    return bool(_BUILDS_TEXT.search(body)) and not platform.is_platform_role(owner)


def unmade(moment: Moment) -> Iterator[Webhook]:
    """Those that sleep by not being there: they could not be disabled, or Database Webhooks aren't switched on."""
    for one in read_quiesced(moment):
        if one.relation and one.trigger and one.definition is not None:
            lasting = moment.value(_IS_LASTING, (platform.PLATFORM_ROLE_PATTERN, _VIEW, one.relation))
            yield Webhook(
                one.sort,
                one.trigger,
                one.relation,
                one.definition,
                one.state,
                one.routine or "",
                one.comment,
                bool(lasting),
                True,
                moment.project.host,
            )


def comments(moment: Moment) -> Iterator[tuple[str, str, str]]:
    """Those that wait with them: the title of what they are on, what the server will call that, and the text."""
    for hook in unmade(moment):
        if hook.comment is not None:
            ((name,),) = moment.rows(_WILL_BE, (hook.sort, hook.name, hook.relation))
            yield hook.title, name, hook.comment


def webhook_sql(hook: Webhook) -> str:
    """The statement that makes it, asleep or awake as the setting `supapy.quiesce` says; asleep without it."""
    return do_block(letting_sleep("webhook", **asdict(hook), title=hook.title))


def reaching_functions(moment: Moment) -> frozenset[int]:
    """The oids of functions that reach out, themselves or by others that they call."""
    reaches_out = _reaching_out(moment)
    reaching = _functions_that(moment, lambda _, name, body: name == _HTTP_REQUEST or bool(reaches_out.search(body)))
    return reaching | {oid for oid, name in moment.rows(_OF_EXTENSIONS) if _REACHES_OUT.search(f"{name}(")}


def _functions_that(moment: Moment, do: Callable[[str, str, str], bool]) -> frozenset[int]:
    """The oids of functions that do something, as their owner, name and body tell, themselves or by others that they
    call."""
    functions = {oid: (owner, name, body) for oid, owner, name, body in moment.rows(_FUNCTIONS)}
    found = {oid for oid, said in functions.items() if do(*said)}
    new = set(found)
    while new:
        names = {functions[oid][1].rpartition(".")[2] for oid in new}
        calls = re.compile(r'\b"?(?:' + "|".join(map(re.escape, sorted(names))) + r')"?\s*\(', re.IGNORECASE)
        new = {oid for oid, (_, _, body) in functions.items() if oid not in found and calls.search(body)}
        found |= new
    return frozenset(found)


_FOREIGN_TABLES = """
SELECT n.nspname, c.relname, EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relname = c.relname AND o.relkind <> 'f')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' ORDER BY 1, 2
"""
_HTTP_REQUEST = "supabase_functions.http_request"
_VIEW = "v"
_IS_LASTING = """
SELECT pg_catalog.pg_get_userbyid(relowner) ~ %s OR relkind::text = %s FROM pg_catalog.pg_class
WHERE oid = pg_catalog.to_regclass(%s)
"""
_WILL_BE = """
SELECT pg_catalog.format('%%s %%s on %%s', %s::text, (pg_catalog.parse_ident(%s))[1],
    pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, pg_catalog.to_regclass(%s), 0))
"""
# The user's own functions, and the one of Database Webhooks.
_FUNCTIONS = """
SELECT p.oid::bigint, pg_catalog.pg_get_userbyid(p.proowner), n.nspname || '.' || p.proname,
    coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('internal', 'c') AND p.prokind IN ('f', 'p') AND p.oid >= 16384
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
"""
_OF_EXTENSIONS = """
SELECT p.oid::bigint, n.nspname || '.' || p.proname
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend d
    ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid AND d.deptype = 'e'
    AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc p ON p.oid = d.objid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE e.extname IN ('pg_net', 'http', 'dblink')
"""
# A partition's copy counts where its state is not its parent's: it comes after it.
_TRIGGERS = """
SELECT t.tableoid::bigint, t.oid::bigint, pg_catalog.quote_ident(t.tgname), n.nspname,
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind::text,
    CASE WHEN p.oid IS NULL THEN pg_catalog.pg_get_triggerdef(t.oid) ELSE '' END, t.tgenabled::text,
    ARRAY[t.tgfoid::bigint], pg_catalog.pg_get_userbyid(c.relowner), t.tgfoid::pg_catalog.regprocedure::text,
    pg_catalog.obj_description(t.oid, 'pg_trigger')
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_trigger p ON p.oid = t.tgparentid
WHERE NOT t.tgisinternal AND t.tgenabled IS DISTINCT FROM p.tgenabled
ORDER BY t.oid
"""
# The server has no function that writes one.
EVENT_TRIGGER_SQL = """
'CREATE EVENT TRIGGER ' || pg_catalog.quote_ident(e.evtname) || ' ON ' || e.evtevent
|| coalesce(' WHEN TAG IN (' || (
    SELECT pg_catalog.string_agg(pg_catalog.quote_literal(tag), ', ') FROM pg_catalog.unnest(e.evttags) tag) || ')', '')
|| ' EXECUTE FUNCTION ' || e.evtfoid::pg_catalog.regprocedure
"""
_EVENT_TRIGGERS = f"""
SELECT e.tableoid::bigint, e.oid::bigint, pg_catalog.quote_ident(e.evtname), '', '', '', {EVENT_TRIGGER_SQL},
    e.evtenabled::text, ARRAY[e.evtfoid::bigint], '', e.evtfoid::pg_catalog.regprocedure::text, NULL
FROM pg_catalog.pg_event_trigger e
WHERE e.evtname <> ALL (%s) AND pg_catalog.pg_get_userbyid(e.evtowner) !~ %s
ORDER BY e.oid
"""
_RULES = """
SELECT r.tableoid::bigint, r.oid::bigint, pg_catalog.quote_ident(r.rulename), n.nspname,
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind::text,
    pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled::text,
    ARRAY(SELECT d.refobjid::bigint FROM pg_catalog.pg_depend d
        WHERE d.classid = r.tableoid AND d.objid = r.oid
            AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass),
    pg_catalog.pg_get_userbyid(c.relowner), '', pg_catalog.obj_description(r.oid, 'pg_rewrite')
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND r.oid >= 16384
ORDER BY r.oid
"""

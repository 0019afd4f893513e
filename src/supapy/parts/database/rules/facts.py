"""What the rules of a restore need to know of the catalogs, read in one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from supapy.parts.database.alive.refreshing import reaching_views
from supapy.parts.database.alive.webhooks import Webhook, reaching_functions, read_webhooks
from supapy.parts.database.platform import platform
from supapy.parts.database.platform.additions import Addition, impossible, read_additions
from supapy.parts.database.platform.queues import made_by_pgmq, partitions
from supapy.parts.database.rows.tables import calling_tables
from supapy.project.moment import Moment
from supapy.project.schema import managed_schemas


@dataclass(frozen=True, slots=True)
class TriggerFacts:
    """Where a trigger sits, and what it calls. `enabled` is "O" for an ordinary one."""

    schema: str
    name: str
    function_schema: str
    function_owner: str
    enabled: str


class Extension(NamedTuple):
    """An extension with its version, and the one that its server would make of it today, None where it has none."""

    name: str
    schema: str
    version: str
    usual: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules need to know of the catalogs beyond the archive. Keys are oids; objects are (catalog, oid).

    `restrictive` are the policies that keep out whom others let in;
    `default_comments` are the comments, as an archive names them, that extensions come with; `impossible` is what can't
    be made again, with the reason unless that is told elsewhere; `additions` is what a user made on the platform's
    tables; `extensions` are those installed; `computed` are the indexes on expressions or with a condition, and the
    tables whose checks or generated columns call a user's function; `tables` are the relations, (schema, name), that
    indexes, constraints, triggers and the like belong to; `webhooks` are the triggers and rules that reach out, as the
    functions `reaching` do, and `reaching_views` the materialized views; `queues` is what pgmq makes with a queue, and
    `queue_partitions` the partitions of queues, of which only the rows come back.
    """

    managed: frozenset[str]
    policies: dict[int, tuple[str, str]]
    restrictive: frozenset[int]
    triggers: dict[int, TriggerFacts]
    publication_members: dict[int, str]
    default_comments: frozenset[str]
    impossible: dict[tuple[int, int], str]
    additions: list[Addition]
    extensions: dict[int, Extension]
    computed: frozenset[int]
    tables: dict[tuple[int, int], tuple[str, str]]
    webhooks: dict[tuple[int, int], Webhook]
    reaching: frozenset[int]
    reaching_views: frozenset[int]
    queues: frozenset[tuple[int, int]]
    queue_partitions: frozenset[int]


def read_facts(moment: Moment) -> Facts:
    """The catalogs' side of the rules."""
    additions, policies = read_additions(moment), moment.rows(_POLICIES)
    managed, reaching = frozenset(managed_schemas(moment)), reaching_functions(moment)
    superusers = dict.fromkeys(moment.rows(_SUPERUSER_OBJECTS), "Only a superuser can make it")
    extensions = moment.rows(_EXTENSIONS)
    # Given to postgres, they would let people do what he may.
    parameters = {"managed": sorted(managed), "platform": platform.RESERVED_ROLE_PATTERN}
    theirs = dict.fromkeys(
        moment.rows(_WITH_THEIR_OWNERS_RIGHTS, parameters),
        "It acts with the rights of its owner, a role of the platform's that nothing can be given to",
    )
    return Facts(
        managed,
        {oid: (schema, table) for oid, schema, table, _ in policies},
        frozenset(oid for oid, _, _, permissive in policies if not permissive),
        {oid: TriggerFacts(*facts) for oid, *facts in moment.rows(_TRIGGERS)},
        dict(moment.rows(_PUBLICATION_MEMBERS)),
        frozenset(f"EXTENSION {name}" for _, name, has_default_comment, *_ in extensions if has_default_comment),
        {**superusers, **theirs, **impossible(moment, additions)},
        additions,
        {oid: Extension(*said) for oid, _, _, *said in extensions},
        frozenset(oid for (oid,) in moment.rows(_COMPUTED_INDEXES)) | calling_tables(moment),
        {(catalog, oid): (schema, table) for catalog, oid, schema, table in moment.rows(_PIECES_OF_TABLES)},
        read_webhooks(moment, managed, reaching),
        reaching,
        reaching_views(moment, reaching),
        made_by_pgmq(moment),
        partitions(moment),
    )


_POLICIES = """
SELECT p.oid::bigint, n.nspname, c.relname, p.polpermissive
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
_TRIGGERS = """
SELECT t.oid::bigint, n.nspname, t.tgname, fn.nspname, pg_catalog.pg_get_userbyid(f.proowner), t.tgenabled::text
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.pronamespace
WHERE NOT t.tgisinternal
"""
_PUBLICATION_MEMBERS = """
SELECT m.oid::bigint, p.pubname
FROM pg_catalog.pg_publication p JOIN (
    SELECT oid, prpubid FROM pg_catalog.pg_publication_rel
    UNION ALL SELECT oid, pnpubid FROM pg_catalog.pg_publication_namespace
) m ON m.prpubid = p.oid
"""
# Functions in C, of the server's own or said to leak nothing; base types, which stand on such functions; casts between
# types of which none is the user's.
_SUPERUSER_OBJECTS = """
SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::oid::bigint, p.oid::bigint
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE (l.lanname IN ('c', 'internal') OR p.proleakproof) AND p.prokind <> 'a' AND p.oid >= 16384
UNION ALL
SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid::bigint, t.oid::bigint
FROM pg_catalog.pg_type t WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND t.oid >= 16384
UNION ALL
SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass::oid::bigint, k.oid::bigint
FROM pg_catalog.pg_cast k WHERE k.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_type t WHERE t.oid IN (k.castsource, k.casttarget) AND t.oid >= 16384
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
            WHERE e.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND e.objid = t.oid AND e.deptype = 'e'))
"""
# Functions that are run, and views that are read, as their owners, but for owners who may do all that postgres may.
# Which owners and schemas are meant is asked first: few things are left to look at.
_WITH_THEIR_OWNERS_RIGHTS = """
WITH meant (owners, namespaces) AS MATERIALIZED (
    SELECT ARRAY(SELECT oid FROM pg_catalog.pg_roles WHERE rolname ~ %(platform)s AND NOT rolsuper
            AND NOT pg_catalog.pg_has_role(oid, current_user::pg_catalog.regrole, 'USAGE')),
        ARRAY(SELECT oid FROM pg_catalog.pg_namespace
            WHERE nspname <> ALL (%(managed)s) AND nspname !~ '^pg_' AND nspname <> 'information_schema')
)
SELECT p.tableoid::bigint, p.oid::bigint
FROM pg_catalog.pg_proc p
WHERE p.prosecdef AND p.proowner = ANY ((SELECT owners FROM meant)::oid[])
    AND p.pronamespace = ANY ((SELECT namespaces FROM meant)::oid[])
UNION ALL
SELECT c.tableoid::bigint, c.oid::bigint
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('v', 'm') AND c.relowner = ANY ((SELECT owners FROM meant)::oid[])
    AND c.relnamespace = ANY ((SELECT namespaces FROM meant)::oid[])
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions)
        WHERE option_name = 'security_invoker' AND option_value::boolean)
"""
_EXTENSIONS = """
SELECT e.oid::bigint, pg_catalog.quote_ident(e.extname),
    pg_catalog.obj_description(e.oid, 'pg_extension') = a.comment,
    e.extname, n.nspname, e.extversion, a.default_version
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = e.extname
"""
_COMPUTED_INDEXES = """
SELECT indexrelid::bigint FROM pg_catalog.pg_index WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
"""
_PIECES_OF_TABLES = """
SELECT p.catalog::pg_catalog.regclass::oid::bigint, p.oid::bigint, n.nspname, c.relname
FROM (
    SELECT 'pg_catalog.pg_class', indexrelid, indrelid FROM pg_catalog.pg_index
    UNION ALL SELECT 'pg_catalog.pg_class', d.objid, d.refobjid
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL SELECT 'pg_catalog.pg_constraint', oid, conrelid FROM pg_catalog.pg_constraint
    UNION ALL SELECT 'pg_catalog.pg_attrdef', oid, adrelid FROM pg_catalog.pg_attrdef
    UNION ALL SELECT 'pg_catalog.pg_trigger', oid, tgrelid FROM pg_catalog.pg_trigger
    UNION ALL SELECT 'pg_catalog.pg_policy', oid, polrelid FROM pg_catalog.pg_policy
    UNION ALL SELECT 'pg_catalog.pg_rewrite', oid, ev_class FROM pg_catalog.pg_rewrite
    UNION ALL SELECT 'pg_catalog.pg_statistic_ext', oid, stxrelid FROM pg_catalog.pg_statistic_ext
    UNION ALL SELECT 'pg_catalog.pg_publication_rel', oid, prrelid FROM pg_catalog.pg_publication_rel
) p (catalog, oid, relation)
JOIN pg_catalog.pg_class c ON c.oid = p.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_'
"""

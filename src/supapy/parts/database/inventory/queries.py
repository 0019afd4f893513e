"""Queries that list what stands in the catalogs, so that two databases can be held against each other.

Every query gives for each thing its name, its catalog and oid, the oid of the table it belongs to (or 0), and then its
properties, each under its own name. None mentions an oid, a physical detail or anything else that differs between two
equal databases. `definition` is SQL as the server prints it, which another major version may print otherwise.
"""

from __future__ import annotations

from supapy.parts.database.inventory.stood_on import STOOD_ON

_NOBODYS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def _users(owner: str) -> str:
    """In a schema of the user's, or put into `extensions` by him."""
    return (
        f"(n.nspname <> ALL (%(managed)s) AND {_NOBODYS} "
        f"OR n.nspname = 'extensions' AND pg_get_userbyid({owner}) !~ %(platform)s)"
    )


def _own(catalog: str, oid: str) -> str:
    """Not made by an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} "
        "AND e.deptype = 'e')"
    )


def _thing(name: str, catalog: str, oid: str, relation: str = "0") -> str:
    return (
        f"{name} AS name, '{catalog}'::regclass::oid::bigint AS catalog, {oid}::bigint AS oid, "
        f"{relation}::bigint AS relation"
    )


def _options(texts: str) -> str:
    """Texts in an order of their own; few things have any."""
    return f"CASE WHEN {texts} IS NOT NULL THEN (SELECT array_agg(o ORDER BY o) FROM unnest({texts}) o) END"


_RELATION = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
_IN_RELATION = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_USERS_RELATION = f"{_users('c.relowner')} AND c.relpersistence <> 't' AND {_own('pg_class', 'c.oid')}"
# Tables whose policies and triggers count: the user's own, and those of auth, storage and realtime.
_WATCHED_RELATION = f"({_USERS_RELATION} OR n.nspname IN ('auth', 'storage', 'realtime'))"


def _kind(kind: str) -> str:
    return f"CASE {kind} WHEN 'f' THEN 'foreign table ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' " + (
        "WHEN 'c' THEN 'type ' ELSE 'table ' END"
    )


_KIND_AND_RELATION = f"{_kind('c.relkind')} || {_RELATION}"
# The sort of what each lists; a sort may be of several kinds.
INVENTORY: tuple[tuple[str, str], ...] = (
    (
        "schemas",
        f"""
        SELECT {_thing("'schema ' || quote_ident(n.nspname)", "pg_namespace", "n.oid")},
            pg_get_userbyid(n.nspowner) AS owner
        FROM pg_namespace n WHERE n.nspname <> ALL (%(managed)s) AND {_NOBODYS}""",
    ),
    (
        "tables",
        f"""
        SELECT {_thing(_KIND_AND_RELATION, "pg_class", "c.oid", "c.oid")},
            pg_get_userbyid(c.relowner) AS owner, c.relpersistence AS persistence, c.relrowsecurity AS "row security",
            c.relforcerowsecurity AS "forced row security", c.relreplident AS "replica identity",
            {_options("c.reloptions")} AS options,
            (SELECT amname FROM pg_am WHERE oid = c.relam AND c.relkind <> 'p') AS "access method",
            (SELECT array_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum))
                FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
                WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
            pg_get_partkeydef(c.oid) AS "partition key", pg_get_expr(c.relpartbound, c.oid) AS bound,
            (SELECT array_agg(i.inhparent::regclass::text ORDER BY i.inhseqno)
                FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
            nullif(c.reloftype, 0)::regtype::text AS type, s.srvname AS server,
            {_options("f.ftoptions")} AS "server options"
        FROM {_IN_RELATION} LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
        LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
        WHERE c.relkind IN ('r', 'p', 'f') AND {_USERS_RELATION}""",
    ),
    (
        "columns",
        f"""
        SELECT {_thing(f"{_KIND_AND_RELATION} || ': column ' || quote_ident(a.attname)", "pg_class", "c.oid", "c.oid")},
            row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS place,
            format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS "not null",
            -- Told its table, the server goes through all columns for each: only generated ones name any.
            CASE WHEN c.relkind <> 'v'
                THEN pg_get_expr(d.adbin, CASE WHEN a.attgenerated <> '' THEN d.adrelid ELSE 0::oid END)
                END AS default,
            a.attgenerated AS generated, a.attidentity AS identity,
            nullif(a.attcollation, t.typcollation)::regcollation::text AS collation,
            nullif(a.attstorage, t.typstorage) AS storage, a.attcompression AS compression,
            nullif(a.attstattarget, -1) AS statistics, {_options("a.attoptions")} AS options,
            {_options("a.attfdwoptions")} AS "server options", a.attislocal AS own
        FROM {_IN_RELATION} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND {_USERS_RELATION}""",
    ),
    (
        "constraints",
        f"""
        SELECT {
            _thing(
                f"coalesce('table ' || {_RELATION}, 'type ' || k.contypid::regtype) || ': constraint ' "
                "|| quote_ident(k.conname)",
                "pg_constraint",
                "k.oid",
                "k.conrelid",
            )
        },
            pg_get_constraintdef(k.oid) AS definition, k.conislocal AS own,
            k.connoinherit AND k.contype = 'c' AS "not inherited"
        FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
        JOIN pg_namespace n ON n.oid = k.connamespace
        WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0)
            AND {_users("coalesce(c.relowner, t.typowner)")} AND coalesce(c.relpersistence, 'p') <> 't'
            AND {_own("pg_class", "k.conrelid")} AND {_own("pg_type", "k.contypid")}""",
    ),
    (
        "indexes",
        f"""
        SELECT {_thing(f"'index ' || {_RELATION}", "pg_class", "c.oid", "i.indrelid")},
            pg_get_indexdef(c.oid) AS definition, i.indisvalid AS valid, i.indisreplident AS "replica identity",
            i.indisclustered AS clustered,
            (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid) AS of
        FROM {_IN_RELATION} JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relkind IN ('i', 'I') AND (i.indisvalid OR c.relkind = 'I') AND {_USERS_RELATION}
            AND {_own("pg_class", "i.indrelid")}""",
    ),
    (
        "views",
        f"""
        SELECT {_thing(_KIND_AND_RELATION, "pg_class", "c.oid", "c.oid")},
            pg_get_userbyid(c.relowner) AS owner, {_options("c.reloptions")} AS options,
            pg_get_viewdef(c.oid) AS definition, c.relispopulated AS filled
        FROM {_IN_RELATION} WHERE c.relkind IN ('v', 'm') AND {_USERS_RELATION}""",
    ),
    (
        "rules",
        f"""
        SELECT {_thing(f"'rule ' || quote_ident(r.rulename) || ' on ' || {_RELATION}", "pg_rewrite", "r.oid", "c.oid")},
            pg_get_ruledef(r.oid) AS definition, r.ev_enabled AS enabled
        FROM pg_rewrite r JOIN {_IN_RELATION} ON c.oid = r.ev_class
        WHERE r.rulename <> '_RETURN' AND {_USERS_RELATION}""",
    ),
    (
        "sequences",
        f"""
        SELECT {_thing(f"'sequence ' || {_RELATION}", "pg_class", "c.oid", "c.oid")},
            pg_get_userbyid(c.relowner) AS owner, s.seqtypid::regtype::text AS type, s.seqstart AS start,
            s.seqincrement AS increment, s.seqmin AS least, s.seqmax AS most, s.seqcache AS cache,
            s.seqcycle AS cycles, c.relpersistence AS persistence,
            (SELECT d.refobjid::regclass || ' column ' || quote_ident(a.attname)
                FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                    AND d.refclassid = 'pg_class'::regclass) AS of
        FROM {_IN_RELATION} JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.relkind = 'S' AND {_USERS_RELATION}""",
    ),
    (
        "functions",
        f"""
        SELECT {
            _thing(
                "CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END "
                "|| p.oid::regprocedure",
                "pg_proc",
                "p.oid",
            )
        },
            pg_get_userbyid(p.proowner) AS owner,
            CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END AS definition,
            (SELECT json_build_array(g.aggtransfn::regproc, g.aggfinalfn::regproc,
                    g.aggcombinefn::regproc, g.aggserialfn::regproc, g.aggdeserialfn::regproc,
                    g.aggmtransfn::regproc, g.aggminvtransfn::regproc, g.aggmfinalfn::regproc, g.aggfinalextra,
                    g.aggmfinalextra, g.aggsortop::regoperator::text, g.aggtranstype::regtype::text,
                    g.agginitval, g.aggminitval, g.aggkind, p.proparallel, g.aggtransspace)
                FROM pg_aggregate g WHERE g.aggfnoid = p.oid) AS aggregate
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_users("p.proowner")} AND {_own("pg_proc", "p.oid")}
            AND NOT (n.nspname = 'extensions' AND p.proname = ANY (%(platform_functions)s))
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                AND d.deptype = 'i')""",
    ),
    (
        "triggers",
        f"""
        SELECT {
            _thing(f"'trigger ' || quote_ident(g.tgname) || ' on ' || {_RELATION}", "pg_trigger", "g.oid", "c.oid")
        },
            pg_get_triggerdef(g.oid) AS definition, g.tgenabled AS enabled
        FROM pg_trigger g JOIN {_IN_RELATION} ON c.oid = g.tgrelid
        JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {_WATCHED_RELATION}
            AND NOT (n.nspname IN ('auth', 'storage', 'realtime') AND g.tgname = ANY (%(platform_triggers)s)
                AND f.pronamespace = n.oid AND pg_get_userbyid(f.proowner) ~ %(platform)s)""",
    ),
    (
        "policies",
        f"""
        SELECT {_thing(f"'policy ' || quote_ident(p.polname) || ' on ' || {_RELATION}", "pg_policy", "p.oid", "c.oid")},
            p.polcmd AS command, p.polpermissive AS permissive,
            (SELECT json_agg(coalesce(r.rolname, 'public') ORDER BY r.rolname)
                FROM unnest(p.polroles) o LEFT JOIN pg_roles r ON r.oid = o) AS roles,
            pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
        FROM pg_policy p JOIN {_IN_RELATION} ON c.oid = p.polrelid WHERE {_WATCHED_RELATION}""",
    ),
    (
        "types",
        f"""
        SELECT {_thing("'type ' || t.oid::regtype", "pg_type", "t.oid", "t.typrelid")},
            pg_get_userbyid(t.typowner) AS owner, t.typtype AS kind,
            (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder)
                FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels,
            CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base,
            t.typnotnull AS "not null", t.typdefault AS default,
            CASE WHEN t.typtype = 'd' THEN nullif(t.typcollation, 0)::regcollation::text END AS collation,
            (SELECT json_build_array(r.rngsubtype::regtype::text, r.rngmultitypid::regtype::text,
                    nullif(r.rngcollation, 0)::regcollation::text, o.opcname, r.rngcanonical::regproc,
                    r.rngsubdiff::regproc)
                FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid) AS range
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype IN ('e', 'd', 'r', 'c', 'b') AND (t.typrelid = 0 OR c.relkind = 'c') AND t.typcategory <> 'A'
            AND {_users("t.typowner")} AND {_own("pg_type", "t.oid")}""",
    ),
    (
        "extensions",
        f"""
        SELECT {_thing("'extension ' || quote_ident(e.extname)", "pg_extension", "e.oid")}, n.nspname AS schema,
            e.extversion AS version
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    ),
    (
        "publications",
        f"""
        SELECT {_thing("'publication ' || quote_ident(p.pubname)", "pg_publication", "p.oid")},
            pg_get_userbyid(p.pubowner) AS owner, p.puballtables AS "all tables",
            json_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot) AS of,
            (SELECT json_agg(json_build_array(m.prrelid::regclass::text, (
                        SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                        WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs::int2[])),
                    pg_get_expr(m.prqual, m.prrelid)) ORDER BY m.prrelid::regclass::text)
                FROM pg_publication_rel m WHERE m.prpubid = p.oid) AS tables,
            (SELECT array_agg(m.pnnspid::regnamespace::text ORDER BY m.pnnspid::regnamespace::text)
                FROM pg_publication_namespace m WHERE m.pnpubid = p.oid) AS schemas
        FROM pg_publication p
        WHERE (pg_get_userbyid(p.pubowner) !~ %(platform)s OR p.pubname = 'supabase_realtime')
            AND NOT starts_with(p.pubname, %(platform_publication)s)""",
    ),
    (
        "event triggers",
        f"""
        SELECT {_thing("'event trigger ' || quote_ident(v.evtname)", "pg_event_trigger", "v.oid")},
            pg_get_userbyid(v.evtowner) AS owner, v.evtevent AS event, {_options("v.evttags")} AS tags,
            v.evtfoid::regprocedure::text AS function, v.evtenabled AS enabled
        FROM pg_event_trigger v
        WHERE pg_get_userbyid(v.evtowner) !~ %(platform)s AND v.evtname <> ALL (%(platform_event_triggers)s)""",
    ),
    (
        "statistics objects",
        f"""
        SELECT {
            _thing(
                "'statistics ' || quote_ident(n.nspname) || '.' || quote_ident(s.stxname)",
                "pg_statistic_ext",
                "s.oid",
                "s.stxrelid",
            )
        },
            pg_get_userbyid(s.stxowner) AS owner, pg_get_statisticsobjdef(s.oid) AS definition,
            nullif(s.stxstattarget, -1) AS target
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE {_users("s.stxowner")} AND {_own("pg_statistic_ext", "s.oid")}""",
    ),
    (
        "foreign servers",
        f"""
        SELECT {_thing("'server ' || quote_ident(s.srvname)", "pg_foreign_server", "s.oid")},
            pg_get_userbyid(s.srvowner) AS owner, s.srvtype AS type, s.srvversion AS version, w.fdwname AS wrapper,
            {_options("s.srvoptions")} AS options,
            (SELECT json_agg(json_build_array(coalesce(r.rolname, ''), {_options("m.umoptions")}) ORDER BY r.rolname)
                FROM pg_user_mapping m LEFT JOIN pg_roles r ON r.oid = m.umuser WHERE m.umserver = s.oid) AS users
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
        WHERE pg_get_userbyid(s.srvowner) !~ %(platform)s AND {_own("pg_foreign_server", "s.oid")}""",
    ),
    (
        "foreign servers",
        f"""
        SELECT {_thing("'foreign data wrapper ' || quote_ident(w.fdwname)", "pg_foreign_data_wrapper", "w.oid")},
            pg_get_userbyid(w.fdwowner) AS owner, nullif(w.fdwhandler, 0)::regproc::text AS handler,
            nullif(w.fdwvalidator, 0)::regproc::text AS validator, {_options("w.fdwoptions")} AS options
        FROM pg_foreign_data_wrapper w
        WHERE pg_get_userbyid(w.fdwowner) !~ %(platform)s AND {_own("pg_foreign_data_wrapper", "w.oid")}""",
    ),
    (
        "operators and casts",
        f"""
        SELECT {_thing("'operator ' || o.oid::regoperator", "pg_operator", "o.oid")},
            pg_get_userbyid(o.oprowner) AS owner, o.oprcode::regprocedure::text AS function,
            nullif(o.oprcom, 0)::regoperator::text AS commutator, nullif(o.oprnegate, 0)::regoperator::text AS negator,
            o.oprrest::regproc::text AS restrict, o.oprjoin::regproc::text AS join,
            json_build_array(o.oprcanmerge, o.oprcanhash) AS can
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
        WHERE o.oprcode <> 0 AND {_users("o.oprowner")} AND {_own("pg_operator", "o.oid")}""",
    ),
    (
        "operators and casts",
        f"""
        SELECT {_thing("'cast from ' || k.castsource::regtype || ' to ' || k.casttarget::regtype", "pg_cast", "k.oid")},
            nullif(k.castfunc, 0)::regprocedure::text AS function, k.castcontext AS context, k.castmethod AS method
        FROM pg_cast k WHERE k.oid >= 16384 AND {_own("pg_cast", "k.oid")}""",
    ),
    (
        "text search",
        f"""
        SELECT {
            _thing(
                "'text search configuration ' || quote_ident(n.nspname) || '.' || quote_ident(g.cfgname)",
                "pg_ts_config",
                "g.oid",
            )
        },
            pg_get_userbyid(g.cfgowner) AS owner,
            (SELECT prsname FROM pg_ts_parser WHERE oid = g.cfgparser) AS parser,
            (SELECT json_agg(json_build_array(m.maptokentype, m.mapseqno, m.mapdict::regdictionary::text)
                    ORDER BY m.maptokentype, m.mapseqno)
                FROM pg_ts_config_map m WHERE m.mapcfg = g.oid) AS maps
        FROM pg_ts_config g JOIN pg_namespace n ON n.oid = g.cfgnamespace
        WHERE {_users("g.cfgowner")} AND {_own("pg_ts_config", "g.oid")}""",
    ),
    (
        "text search",
        f"""
        SELECT {
            _thing(
                "'text search dictionary ' || quote_ident(n.nspname) || '.' || quote_ident(d.dictname)",
                "pg_ts_dict",
                "d.oid",
            )
        },
            pg_get_userbyid(d.dictowner) AS owner, t.tmplname AS template, d.dictinitoption AS options
        FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
        WHERE {_users("d.dictowner")} AND {_own("pg_ts_dict", "d.oid")}""",
    ),
    (
        "collations and conversions",
        f"""
        SELECT {
            _thing("'collation ' || quote_ident(n.nspname) || '.' || quote_ident(o.collname)", "pg_collation", "o.oid")
        },
            pg_get_userbyid(o.collowner) AS owner, o.collprovider AS provider, o.collisdeterministic AS exact,
            json_build_array(o.collcollate, o.collctype,
                coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale'),
                to_jsonb(o) ->> 'collicurules') AS locale
        FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
        WHERE {_users("o.collowner")} AND {_own("pg_collation", "o.oid")}""",
    ),
    (
        "collations and conversions",
        f"""
        SELECT {
            _thing("'conversion ' || quote_ident(n.nspname) || '.' || quote_ident(v.conname)", "pg_conversion", "v.oid")
        },
            pg_get_userbyid(v.conowner) AS owner, pg_encoding_to_char(v.conforencoding) AS from,
            pg_encoding_to_char(v.contoencoding) AS to, v.conproc::regproc::text AS function, v.condefault AS default
        FROM pg_conversion v JOIN pg_namespace n ON n.oid = v.connamespace
        WHERE {_users("v.conowner")} AND {_own("pg_conversion", "v.oid")}""",
    ),
    *STOOD_ON,
)

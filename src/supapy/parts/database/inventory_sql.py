"""Queries that list what stands in the catalogs, so that two databases can be held against each other.

Every query gives (name, properties as JSON, catalog, oid, oid of the table it belongs to or 0). None mentions an oid,
a physical detail or anything else that differs between two equal databases. `definition` is SQL as the server prints
it, which another major version may print otherwise.
"""

from __future__ import annotations

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


def _keys(catalog: str, oid: str, relation: str = "0") -> str:
    return f"'{catalog}'::regclass::oid::bigint, {oid}::bigint, {relation}::bigint"


_RELATION = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
_IN_RELATION = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_OPTIONS = "(SELECT json_agg(o ORDER BY o) FROM unnest({}) o)"
_USERS_RELATION = f"{_users('c.relowner')} AND c.relpersistence <> 't' AND {_own('pg_class', 'c.oid')}"
# Tables whose policies and triggers count: the user's own, and those of auth, storage and realtime.
_WATCHED_RELATION = f"({_USERS_RELATION} OR n.nspname IN ('auth', 'storage', 'realtime'))"


def _kind(kind: str) -> str:
    return f"CASE {kind} WHEN 'f' THEN 'foreign table ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' " + (
        "WHEN 'c' THEN 'type ' ELSE 'table ' END"
    )


PLATFORM_COLUMNS = "columns of the platform in use"
INVENTORY: dict[str, str] = {
    "schemas": f"""
        SELECT 'schema ' || quote_ident(n.nspname), json_build_object('owner', pg_get_userbyid(n.nspowner)),
            {_keys("pg_namespace", "n.oid")}
        FROM pg_namespace n WHERE n.nspname <> ALL (%(managed)s) AND {_NOBODYS}""",
    "tables": f"""
        SELECT {_kind("c.relkind")} || {_RELATION}, json_build_object(
                'owner', pg_get_userbyid(c.relowner), 'persistence', c.relpersistence, 'row security', c.relrowsecurity,
                'forced row security', c.relforcerowsecurity, 'replica identity', c.relreplident,
                'options', {_OPTIONS.format("c.reloptions")},
                'access method', (SELECT amname FROM pg_am WHERE oid = c.relam AND c.relkind <> 'p'),
                'key', (SELECT json_agg(a.attname ORDER BY k.place)
                    FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, place)
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num
                    WHERE i.indrelid = c.oid AND i.indisprimary),
                'partition key', pg_get_partkeydef(c.oid), 'bound', pg_get_expr(c.relpartbound, c.oid),
                'parents', (SELECT json_agg(i.inhparent::regclass::text ORDER BY i.inhseqno)
                    FROM pg_inherits i WHERE i.inhrelid = c.oid),
                'type', nullif(c.reloftype, 0)::regtype::text, 'server', s.srvname,
                'server options', {_OPTIONS.format("f.ftoptions")}),
            {_keys("pg_class", "c.oid", "c.oid")}
        FROM {_IN_RELATION} LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
        LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
        WHERE c.relkind IN ('r', 'p', 'f') AND {_USERS_RELATION}""",
    "columns": f"""
        SELECT {_kind("c.relkind")} || {_RELATION} || ': column ' || quote_ident(a.attname), json_build_object(
                'place', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
                'type', format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull,
                'default', CASE WHEN c.relkind <> 'v' THEN pg_get_expr(d.adbin, d.adrelid) END,
                'generated', a.attgenerated, 'identity', a.attidentity,
                'collation', nullif(a.attcollation, t.typcollation)::regcollation::text,
                'storage', nullif(a.attstorage, t.typstorage), 'compression', a.attcompression,
                'statistics', nullif(a.attstattarget, -1), 'options', {_OPTIONS.format("a.attoptions")},
                'server options', {_OPTIONS.format("a.attfdwoptions")}, 'own', a.attislocal),
            {_keys("pg_class", "c.oid", "c.oid")}
        FROM {_IN_RELATION} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND {_USERS_RELATION}""",
    "constraints": f"""
        SELECT coalesce('table ' || {_RELATION}, 'type ' || k.contypid::regtype) || ': constraint '
                || quote_ident(k.conname),
            json_build_object('definition', pg_get_constraintdef(k.oid), 'own', k.conislocal,
                'not inherited', k.connoinherit AND k.contype = 'c'),
            {_keys("pg_constraint", "k.oid", "k.conrelid")}
        FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
        JOIN pg_namespace n ON n.oid = k.connamespace
        WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0)
            AND {_users("coalesce(c.relowner, t.typowner)")} AND coalesce(c.relpersistence, 'p') <> 't'
            AND {_own("pg_class", "k.conrelid")} AND {_own("pg_type", "k.contypid")}""",
    "indexes": f"""
        SELECT 'index ' || {_RELATION}, json_build_object('definition', pg_get_indexdef(c.oid), 'valid', i.indisvalid,
                'replica identity', i.indisreplident, 'clustered', i.indisclustered,
                'of', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid)),
            {_keys("pg_class", "c.oid", "i.indrelid")}
        FROM {_IN_RELATION} JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relkind IN ('i', 'I') AND (i.indisvalid OR c.relkind = 'I') AND {_USERS_RELATION}
            AND {_own("pg_class", "i.indrelid")}""",
    "views": f"""
        SELECT {_kind("c.relkind")} || {_RELATION}, json_build_object(
                'owner', pg_get_userbyid(c.relowner), 'options', {_OPTIONS.format("c.reloptions")},
                'definition', pg_get_viewdef(c.oid), 'filled', c.relispopulated),
            {_keys("pg_class", "c.oid", "c.oid")}
        FROM {_IN_RELATION} WHERE c.relkind IN ('v', 'm') AND {_USERS_RELATION}""",
    "rules": f"""
        SELECT 'rule ' || quote_ident(r.rulename) || ' on ' || {_RELATION},
            json_build_object('definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled),
            {_keys("pg_rewrite", "r.oid", "c.oid")}
        FROM pg_rewrite r JOIN {_IN_RELATION} ON c.oid = r.ev_class
        WHERE r.rulename <> '_RETURN' AND {_USERS_RELATION}""",
    "sequences": f"""
        SELECT 'sequence ' || {_RELATION}, json_build_object('owner', pg_get_userbyid(c.relowner),
                'type', s.seqtypid::regtype::text, 'start', s.seqstart, 'increment', s.seqincrement, 'least', s.seqmin,
                'most', s.seqmax, 'cache', s.seqcache, 'cycles', s.seqcycle, 'persistence', c.relpersistence,
                'of', (SELECT d.refobjid::regclass || ' column ' || quote_ident(a.attname)
                    FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                        AND d.refclassid = 'pg_class'::regclass)),
            {_keys("pg_class", "c.oid", "c.oid")}
        FROM {_IN_RELATION} JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.relkind = 'S' AND {_USERS_RELATION}""",
    "functions": f"""
        SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END
                || p.oid::regprocedure,
            json_build_object('owner', pg_get_userbyid(p.proowner),
                'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
                'aggregate', (SELECT json_build_array(g.aggtransfn::regproc, g.aggfinalfn::regproc,
                        g.aggcombinefn::regproc, g.aggserialfn::regproc, g.aggdeserialfn::regproc,
                        g.aggmtransfn::regproc, g.aggminvtransfn::regproc, g.aggmfinalfn::regproc, g.aggfinalextra,
                        g.aggmfinalextra, g.aggsortop::regoperator::text, g.aggtranstype::regtype::text,
                        g.agginitval, g.aggminitval, g.aggkind, p.proparallel, g.aggtransspace)
                    FROM pg_aggregate g WHERE g.aggfnoid = p.oid)),
            {_keys("pg_proc", "p.oid")}
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_users("p.proowner")} AND {_own("pg_proc", "p.oid")}
            AND NOT (n.nspname = 'extensions' AND p.proname = ANY (%(platform_functions)s))
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                AND d.deptype = 'i')""",
    "triggers": f"""
        SELECT 'trigger ' || quote_ident(g.tgname) || ' on ' || {_RELATION}, json_build_object(
                'definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled),
            {_keys("pg_trigger", "g.oid", "c.oid")}
        FROM pg_trigger g JOIN {_IN_RELATION} ON c.oid = g.tgrelid
        JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND {_WATCHED_RELATION}
            AND NOT (n.nspname IN ('auth', 'storage', 'realtime') AND g.tgname = ANY (%(platform_triggers)s)
                AND f.pronamespace = n.oid AND pg_get_userbyid(f.proowner) ~ %(platform)s)""",
    "policies": f"""
        SELECT 'policy ' || quote_ident(p.polname) || ' on ' || {_RELATION}, json_build_object(
                'command', p.polcmd, 'permissive', p.polpermissive,
                'roles', (SELECT json_agg(coalesce(r.rolname, 'public') ORDER BY r.rolname)
                    FROM unnest(p.polroles) o LEFT JOIN pg_roles r ON r.oid = o),
                'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)),
            {_keys("pg_policy", "p.oid", "c.oid")}
        FROM pg_policy p JOIN {_IN_RELATION} ON c.oid = p.polrelid WHERE {_WATCHED_RELATION}""",
    "types": f"""
        SELECT 'type ' || t.oid::regtype, json_build_object('owner', pg_get_userbyid(t.typowner), 'kind', t.typtype,
                'labels', (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)
                    FROM pg_enum e WHERE e.enumtypid = t.oid),
                'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
                'not null', t.typnotnull, 'default', t.typdefault,
                'collation', CASE WHEN t.typtype = 'd' THEN nullif(t.typcollation, 0)::regcollation::text END,
                'range', (SELECT json_build_array(r.rngsubtype::regtype::text, r.rngmultitypid::regtype::text,
                        nullif(r.rngcollation, 0)::regcollation::text, o.opcname, r.rngcanonical::regproc,
                        r.rngsubdiff::regproc)
                    FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid)),
            {_keys("pg_type", "t.oid", "t.typrelid")}
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype IN ('e', 'd', 'r', 'c', 'b') AND (t.typrelid = 0 OR c.relkind = 'c') AND t.typcategory <> 'A'
            AND {_users("t.typowner")} AND {_own("pg_type", "t.oid")}""",
    "extensions": f"""
        SELECT 'extension ' || quote_ident(e.extname), json_build_object('schema', n.nspname),
            {_keys("pg_extension", "e.oid")}
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    "publications": f"""
        SELECT 'publication ' || quote_ident(p.pubname), json_build_object(
                'owner', pg_get_userbyid(p.pubowner), 'all tables', p.puballtables,
                'of', json_build_array(p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot),
                'tables', (SELECT json_agg(json_build_array(m.prrelid::regclass::text, (
                            SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                            WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs::int2[])),
                        pg_get_expr(m.prqual, m.prrelid)) ORDER BY m.prrelid::regclass::text)
                    FROM pg_publication_rel m WHERE m.prpubid = p.oid),
                'schemas', (SELECT json_agg(m.pnnspid::regnamespace::text ORDER BY m.pnnspid::regnamespace::text)
                    FROM pg_publication_namespace m WHERE m.pnpubid = p.oid)),
            {_keys("pg_publication", "p.oid")}
        FROM pg_publication p
        WHERE (pg_get_userbyid(p.pubowner) !~ %(platform)s OR p.pubname = 'supabase_realtime')
            AND NOT starts_with(p.pubname, %(platform_publication)s)""",
    "event triggers": f"""
        SELECT 'event trigger ' || quote_ident(v.evtname), json_build_object('owner', pg_get_userbyid(v.evtowner),
                'event', v.evtevent, 'tags', {_OPTIONS.format("v.evttags")}, 'function', v.evtfoid::regprocedure::text,
                'enabled', v.evtenabled),
            {_keys("pg_event_trigger", "v.oid")}
        FROM pg_event_trigger v
        WHERE pg_get_userbyid(v.evtowner) !~ %(platform)s AND v.evtname <> ALL (%(platform_event_triggers)s)""",
    "statistics objects": f"""
        SELECT 'statistics ' || quote_ident(n.nspname) || '.' || quote_ident(s.stxname), json_build_object(
                'owner', pg_get_userbyid(s.stxowner), 'definition', pg_get_statisticsobjdef(s.oid),
                'target', nullif(s.stxstattarget, -1)),
            {_keys("pg_statistic_ext", "s.oid", "s.stxrelid")}
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE {_users("s.stxowner")} AND {_own("pg_statistic_ext", "s.oid")}""",
    "foreign servers": f"""
        SELECT 'server ' || quote_ident(s.srvname), json_build_object('owner', pg_get_userbyid(s.srvowner),
                'type', s.srvtype, 'version', s.srvversion, 'wrapper', w.fdwname,
                'options', {_OPTIONS.format("s.srvoptions")},
                'users', (SELECT json_agg(json_build_array(coalesce(r.rolname, ''), {_OPTIONS.format("m.umoptions")})
                        ORDER BY r.rolname)
                    FROM pg_user_mapping m LEFT JOIN pg_roles r ON r.oid = m.umuser WHERE m.umserver = s.oid)),
            {_keys("pg_foreign_server", "s.oid")}
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
        WHERE pg_get_userbyid(s.srvowner) !~ %(platform)s AND {_own("pg_foreign_server", "s.oid")}
        UNION ALL
        SELECT 'foreign data wrapper ' || quote_ident(w.fdwname), json_build_object(
                'owner', pg_get_userbyid(w.fdwowner),
                'handler', nullif(w.fdwhandler, 0)::regproc, 'validator', nullif(w.fdwvalidator, 0)::regproc,
                'options', {_OPTIONS.format("w.fdwoptions")}),
            {_keys("pg_foreign_data_wrapper", "w.oid")}
        FROM pg_foreign_data_wrapper w
        WHERE pg_get_userbyid(w.fdwowner) !~ %(platform)s AND {_own("pg_foreign_data_wrapper", "w.oid")}""",
    "operators and casts": f"""
        SELECT 'operator ' || o.oid::regoperator, json_build_object('owner', pg_get_userbyid(o.oprowner),
                'function', o.oprcode::regprocedure::text, 'commutator', nullif(o.oprcom, 0)::regoperator::text,
                'negator', nullif(o.oprnegate, 0)::regoperator::text, 'restrict', o.oprrest::regproc,
                'join', o.oprjoin::regproc, 'can', json_build_array(o.oprcanmerge, o.oprcanhash)),
            {_keys("pg_operator", "o.oid")}
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
        WHERE o.oprcode <> 0 AND {_users("o.oprowner")} AND {_own("pg_operator", "o.oid")}
        UNION ALL
        SELECT 'cast from ' || k.castsource::regtype || ' to ' || k.casttarget::regtype, json_build_object(
                'function', nullif(k.castfunc, 0)::regprocedure::text, 'context', k.castcontext,
                'method', k.castmethod),
            {_keys("pg_cast", "k.oid")}
        FROM pg_cast k WHERE k.oid >= 16384 AND {_own("pg_cast", "k.oid")}""",
    "text search": f"""
        SELECT 'text search configuration ' || quote_ident(n.nspname) || '.' || quote_ident(g.cfgname),
            json_build_object('owner', pg_get_userbyid(g.cfgowner), 'parser', (SELECT prsname FROM pg_ts_parser
                    WHERE oid = g.cfgparser),
                'maps', (SELECT json_agg(json_build_array(m.maptokentype, m.mapseqno, m.mapdict::regdictionary::text)
                        ORDER BY m.maptokentype, m.mapseqno)
                    FROM pg_ts_config_map m WHERE m.mapcfg = g.oid)),
            {_keys("pg_ts_config", "g.oid")}
        FROM pg_ts_config g JOIN pg_namespace n ON n.oid = g.cfgnamespace
        WHERE {_users("g.cfgowner")} AND {_own("pg_ts_config", "g.oid")}
        UNION ALL
        SELECT 'text search dictionary ' || quote_ident(n.nspname) || '.' || quote_ident(d.dictname),
            json_build_object('owner', pg_get_userbyid(d.dictowner), 'template', t.tmplname,
                'options', d.dictinitoption),
            {_keys("pg_ts_dict", "d.oid")}
        FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
        WHERE {_users("d.dictowner")} AND {_own("pg_ts_dict", "d.oid")}""",
    "collations and conversions": f"""
        SELECT 'collation ' || quote_ident(n.nspname) || '.' || quote_ident(o.collname), json_build_object(
                'owner', pg_get_userbyid(o.collowner), 'provider', o.collprovider, 'exact', o.collisdeterministic,
                'locale', json_build_array(o.collcollate, o.collctype,
                    coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale'),
                    to_jsonb(o) ->> 'collicurules')),
            {_keys("pg_collation", "o.oid")}
        FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
        WHERE {_users("o.collowner")} AND {_own("pg_collation", "o.oid")}
        UNION ALL
        SELECT 'conversion ' || quote_ident(n.nspname) || '.' || quote_ident(v.conname), json_build_object(
                'owner', pg_get_userbyid(v.conowner), 'from', pg_encoding_to_char(v.conforencoding),
                'to', pg_encoding_to_char(v.contoencoding), 'function', v.conproc::regproc, 'default', v.condefault),
            {_keys("pg_conversion", "v.oid")}
        FROM pg_conversion v JOIN pg_namespace n ON n.oid = v.connamespace
        WHERE {_users("v.conowner")} AND {_own("pg_conversion", "v.oid")}""",
    # Not a thing of the user's, but what his own things stand on: another version of the platform may lack it.
    PLATFORM_COLUMNS: f"""
        SELECT DISTINCT ON (c.oid, a.attnum) 'use of column ' || quote_ident(a.attname) || ' of table ' || {_RELATION},
            json_build_object('table', {_RELATION}, 'column', a.attname), {_keys("pg_depend", "0")}
        FROM {_IN_RELATION} JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
        LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
        LEFT JOIN pg_class u ON u.oid = coalesce(r.ev_class, k.conrelid)
        LEFT JOIN pg_proc f ON d.classid = 'pg_proc'::regclass AND f.oid = d.objid
        WHERE n.nspname IN ('auth', 'storage', 'realtime') AND pg_get_userbyid(c.relowner) ~ %(platform)s
            AND (d.classid = 'pg_policy'::regclass OR EXISTS (SELECT FROM pg_namespace own
                WHERE own.oid = coalesce(u.relnamespace, f.pronamespace) AND own.nspname <> ALL (%(managed)s)
                    AND own.nspname !~ '^pg_'))""",
}

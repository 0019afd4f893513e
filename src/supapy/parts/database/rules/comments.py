"""Comments, also those that pg_dump leaves out: on what stands in no archive since something else brings it along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from supapy.names import literal
from supapy.parts.database.sql.archive import Section, TocEntry
from supapy.project.moment import Moment


def with_forgotten(moment: Moment, entries: Sequence[TocEntry]) -> Iterator[TocEntry]:
    """The entries of an archive, then one for each comment that it lacks: on a constraint, a foreign key or a trigger
    that a partition or an heir has from its parent, on the type of a table's rows, of an array or of multiranges, on
    the rule that makes a view. Each is restored after all else, and needs what its object comes with."""
    yield from entries
    ids = count(max((entry.id for entry in entries), default=0) + 1)
    carriers = {(entry.catalog, entry.oid): entry for entry in entries if entry.oid}
    for catalog, oid, _, text, thing in moment.once(COMMENTS):
        if thing and (of := carriers.get((catalog, oid))):
            sql = f"COMMENT ON {thing} IS {literal(text)};\n"
            yield TocEntry(
                *(next(ids), 0, 0, thing, "COMMENT", Section.POST_DATA, sql, ""), *(of.schema, "", of.owner, (of.id,))
            )


# What a comment is on and its text; of one that pg_dump leaves out the object is what brings that along, and how SQL
# names the thing itself stands last.
COMMENTS = """
SELECT coalesce(f.catalog, d.classoid)::bigint, coalesce(f.oid, d.objoid)::bigint,
    pg_catalog.pg_describe_object(d.classoid, d.objoid, d.objsubid)
        || coalesce(' of type ' || nullif(k.contypid, 0)::pg_catalog.regtype, ''), d.description,
    f.kind || (SELECT identity FROM pg_catalog.pg_identify_object(d.classoid, d.objoid, 0))
FROM pg_catalog.pg_description d
LEFT JOIN pg_catalog.pg_constraint k
    ON d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objoid
LEFT JOIN pg_catalog.pg_extension e ON d.classoid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.oid = d.objoid
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = e.extname
LEFT JOIN LATERAL (
    SELECT 'CONSTRAINT ', 'pg_catalog.pg_class'::pg_catalog.regclass::oid, k.conrelid
        WHERE k.conrelid <> 0 AND k.contype IN ('c', 'f') AND NOT k.conislocal
    UNION ALL SELECT 'TRIGGER ', 'pg_catalog.pg_class'::pg_catalog.regclass, g.tgrelid FROM pg_catalog.pg_trigger g
        WHERE d.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND g.oid = d.objoid AND g.tgparentid <> 0
    UNION ALL SELECT 'RULE ', 'pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class FROM pg_catalog.pg_rewrite r
        WHERE d.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objoid AND r.rulename = '_RETURN'
    UNION ALL SELECT 'TYPE ', 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c'
        WHERE d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objoid
    UNION ALL SELECT 'TYPE ', d.classoid, coalesce(m.rngtypid, t.typelem) FROM pg_catalog.pg_type t
        LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
        WHERE d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objoid
            AND (t.typtype = 'm' OR t.typcategory = 'A')
) f (kind, catalog, oid) ON true
WHERE d.description IS DISTINCT FROM a.comment
    -- Nobody but the superuser says anything about the server's own functions and the like.
    AND (d.objoid >= 16384 OR d.classoid IN (
        'pg_catalog.pg_namespace'::pg_catalog.regclass, 'pg_catalog.pg_extension'::pg_catalog.regclass,
        'pg_catalog.pg_language'::pg_catalog.regclass
    ))
ORDER BY d.classoid, d.objoid, d.objsubid
"""

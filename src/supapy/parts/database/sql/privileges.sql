-- Every privilege on every object, one row each: the object as it stands after ON in a GRANT, its owner, schema and
-- whether it is an extension's; an object on which nobody has a privilege gives one row without one.
SELECT o.obj, o.col, pg_get_userbyid(o.owner)::text AS owner, o.schema,
    (o.classid, o.objid) IN (SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e') AS extension,
    x.ord, pg_get_userbyid(x.grantor)::text AS grantor,
    CASE x.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(x.grantee)::text END AS grantee,
    x.privilege_type AS priv, x.is_grantable AS grantable, o.classid::bigint, o.objid::bigint
FROM object o
LEFT JOIN LATERAL aclexplode(coalesce(o.acl, o.defaults))
    WITH ORDINALITY AS x (grantor, grantee, privilege_type, is_grantable, ord) ON true

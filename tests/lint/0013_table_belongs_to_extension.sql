-- pg_dump leaves out what belongs to an extension, and DROP EXTENSION takes it: data must not.
select
    'table_belongs_to_extension' as name,
    'ERROR' as level,
    pg_describe_object(d.classid, d.objid, 0) as object,
    'a member of crm_ext' as detail,
    'Make it in crm_private.install(), which takes it out of the extension.' as remediation
from pg_depend as d
join pg_extension as e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
where e.extname = 'crm_ext'
    and d.deptype = 'e'
    and d.classid in ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_type'::regclass);

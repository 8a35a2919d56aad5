-- pg_dump leaves out what belongs to an extension, and DROP EXTENSION takes it: data must not.
select
    'error' as severity,
    pg_catalog.pg_describe_object(d.classid, d.objid, 0) as object,
    'belongs to the extension: no dump has it' as problem,
    case d.classid
        when 'pg_catalog.pg_class'::pg_catalog.regclass then pg_catalog.format('alter extension crm_ext drop table %s', d.objid::pg_catalog.regclass)
        else 'alter extension crm_ext drop …'
    end as fix
from pg_catalog.pg_depend as d
join pg_catalog.pg_extension as e on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
where e.extname = 'crm_ext'
    and d.deptype = 'e'
    and d.classid in (
        'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
        'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass
    )

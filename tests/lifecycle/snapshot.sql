-- Everything the catalog says of crm and crm_private, one fact a line, in one order: two databases with the same CRM
-- print the same lines.
with ours as (
    select oid from pg_namespace where nspname in ('crm', 'crm_private')
),
relations as (
    select c.* from pg_class as c where c.relnamespace in (select oid from ours)
),
-- The same rights in one order, whoever granted them in which order. (PostgreSQL 15 names no role of initdb's here.)
facts (fact) as (
    select format('schema %I: owner %s, rights %s, comment %L', n.nspname, n.nspowner::regrole,
        (select array_agg(format('%s=%s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type)
            order by a.grantee::regrole::text, a.privilege_type) from aclexplode(n.nspacl) as a),
        obj_description(n.oid, 'pg_namespace'))
    from pg_namespace as n
    where n.oid in (select oid from ours)
    union all
    select format('relation %s: kind %s, owner %s, row security %s, forced %s, options %s, rights %s, comment %L', c.oid::regclass,
        c.relkind, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
        (select array_agg(format('%s=%s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type)
            order by a.grantee::regrole::text, a.privilege_type)
         from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a where c.relkind <> 'i'),
        obj_description(c.oid, 'pg_class'))
    from relations as c
    union all
    select format('column %s.%I: number %s, type %s, not null %s, default %s, rights %s, comment %L', c.oid::regclass, a.attname,
        row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(c.oid, a.attnum))
    from relations as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind in ('r', 'p', 'v')
    union all
    select format('constraint %s.%I: %s, validated %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated)
    from pg_constraint as k
    where k.connamespace in (select oid from ours)
    union all
    select format('index %s', pg_get_indexdef(i.indexrelid))
    from pg_index as i
    where i.indrelid in (select oid from relations)
    union all
    select format('policy %I on %s: %s, permissive %s, for %s, using %s, check %s', p.polname, p.polrelid::regclass, p.polcmd, p.polpermissive,
        array(select role::regrole::text from unnest(p.polroles) as role order by 1),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_policy as p
    where p.polrelid in (select oid from relations)
    union all
    select format('trigger %s, enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_trigger as t
    where t.tgrelid in (select oid from relations) and not t.tgisinternal
    union all
    select format('function %s: owner %s, rights %s, comment %L, %s', p.oid::regprocedure, p.proowner::regrole,
        (select array_agg(format('%s=%s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type)
            order by a.grantee::regrole::text)
         from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a),
        obj_description(p.oid, 'pg_proc'), pg_get_functiondef(p.oid))
    from pg_proc as p
    where p.pronamespace in (select oid from ours)
    union all
    select format('type %s: owner %s, rights %s', t.oid::regtype, t.typowner::regrole, t.typacl)
    from pg_type as t
    where t.typnamespace in (select oid from ours)
    union all
    select format('member %s', pg_describe_object(d.classid, d.objid, d.objsubid))
    from pg_depend as d
    join pg_extension as e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    where e.extname = 'crm_ext' and d.deptype = 'e'
    union all
    select format('extension %s %s', e.extname, e.extversion) from pg_extension as e where e.extname = 'crm_ext'
)
select fact from facts order by fact collate "C";

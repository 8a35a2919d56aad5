-- Everything the catalog says of crm and crm_private, and of other schemas with enrolled tables, one fact a line, in one order:
-- two databases with the same CRM print the same lines.
with ours as (
    select oid from pg_namespace where nspname in ('crm', 'crm_private')
    union
    select c.relnamespace
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join pg_proc as p on p.oid = t.tgfoid
    where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'guard'
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
    select format('relation %s: kind %s, owner %s, row security %s, forced %s, persistence %s, replica identity %s, options %s, rights %s, comment %L',
        c.oid::regclass, c.relkind, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence, c.relreplident, c.reloptions,
        (select array_agg(format('%s=%s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type)
            order by a.grantee::regrole::text, a.privilege_type)
         from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a where c.relkind <> 'i'),
        obj_description(c.oid, 'pg_class'))
    from relations as c
    union all
    select format('column %s.%I: number %s, type %s, not null %s, default %s, collation %s, identity %L, generated %L, storage %s, compression %L, statistics %s, options %s, rights %s, comment %L',
        c.oid::regclass, a.attname, row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), nullif(a.attcollation, 0)::regcollation, a.attidentity, a.attgenerated, a.attstorage, a.attcompression,
        a.attstattarget, (select array_agg(o order by o) from unnest(a.attoptions) as o where o !~ '^pg_attver='),
        (select array_agg(format('%s=%s', case r.grantee when 0 then 'PUBLIC' else r.grantee::regrole::text end, r.privilege_type)
            order by r.grantee::regrole::text, r.privilege_type) from aclexplode(a.attacl) as r),
        col_description(c.oid, a.attnum))
    from relations as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind in ('r', 'p', 'v')
    union all
    select format('constraint %s.%I: %s, validated %s, comment %L', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated,
        obj_description(k.oid, 'pg_constraint'))
    from pg_constraint as k
    where k.connamespace in (select oid from ours)
    union all
    select format('index %s, valid %s, clustered %s, replica identity %s, comment %L', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered,
        i.indisreplident, obj_description(i.indexrelid, 'pg_class'))
    from pg_index as i
    where i.indrelid in (select oid from relations)
    union all
    select format('policy %I on %s: %s, permissive %s, for %s, using %s, check %s, comment %L', p.polname, p.polrelid::regclass, p.polcmd, p.polpermissive,
        array(select role::regrole::text from unnest(p.polroles) as role order by 1),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy'))
    from pg_policy as p
    where p.polrelid in (select oid from relations)
    union all
    select format('trigger %s, enabled %s, comment %L', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
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
    select format('rule %s', pg_get_ruledef(r.oid))
    from pg_rewrite as r
    where r.ev_class in (select oid from relations)
    union all
    select format('statistics %s, owner %s', pg_get_statisticsobjdef(s.oid), s.stxowner::regrole)
    from pg_statistic_ext as s
    where s.stxnamespace in (select oid from ours)
    union all
    select format('sequence %s: type %s, from %s to %s, start %s, by %s, cache %s, cycle %s', s.seqrelid::regclass, s.seqtypid::regtype, s.seqmin,
        s.seqmax, s.seqstart, s.seqincrement, s.seqcache, s.seqcycle)
    from pg_sequence as s
    where s.seqrelid in (select oid from relations)
    union all
    select format('default rights of %s in %s on %s: %s', d.defaclrole::regrole, n.nspname, d.defaclobjtype, d.defaclacl)
    from pg_default_acl as d
    left join pg_namespace as n on n.oid = d.defaclnamespace
    where n.oid in (select oid from ours) or d.defaclrole::regrole::text like 'crm\_%'
    union all
    select format('first rights on %s: %s', pg_describe_object(i.classoid, i.objoid, i.objsubid),
        (select array_agg(format('%s=%s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, a.privilege_type)
            order by a.grantee::regrole::text, a.privilege_type) from aclexplode(i.initprivs) as a))
    from pg_init_privs as i
    where (i.classoid = 'pg_namespace'::regclass and i.objoid in (select oid from ours))
        or (i.classoid = 'pg_class'::regclass and i.objoid in (select oid from relations))
        or (i.classoid = 'pg_proc'::regclass and i.objoid in (select oid from pg_proc where pronamespace in (select oid from ours)))
    union all
    select format('type %s: owner %s, rights %s', t.oid::regtype, t.typowner::regrole, t.typacl)
    from pg_type as t
    where t.typnamespace in (select oid from ours)
    union all
    select format('partition %s of %s: %s, of %s', c.oid::regclass, i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(i.inhparent))
    from relations as c
    join pg_inherits as i on i.inhrelid = c.oid
    where c.relkind in ('r', 'p')
    union all
    select format('rule %s', pg_get_ruledef(r.oid))
    from pg_rewrite as r
    where r.ev_class in (select oid from relations)
    union all
    select format('event trigger %I: on %s, %s, %s, enabled %s', t.evtname, t.evtevent, t.evttags, t.evtfoid::regprocedure, t.evtenabled)
    from pg_event_trigger as t
    union all
    select format('statistics %s', pg_get_statisticsobjdef(s.oid))
    from pg_statistic_ext as s
    where s.stxrelid in (select oid from relations)
    union all
    select format('member %s', pg_describe_object(d.classid, d.objid, d.objsubid))
    from pg_depend as d
    join pg_extension as e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    where e.extname = 'crm_ext' and d.deptype = 'e'
    union all
    select format('extension %s %s', e.extname, e.extversion) from pg_extension as e where e.extname = 'crm_ext'
)
select fact from facts order by fact collate "C";

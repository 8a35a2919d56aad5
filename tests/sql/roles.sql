-- What each built-in role may do: every cell of the table in docs/permissions.md is tried, with rows of one's own, of a team
-- colleague, of nobody and of another member, in one's organization and in one that is not one's own any more, from one
-- organization (crm_app) and across them (crm_multi).

begin;
\ir actors.psql
select no_plan();

-- The table ----------------------------------------------------------------------------------------------------------------

\set document `cat docs/permissions.md`
create table tests.lines as
select line, string_to_array(replace(trim(line, '| '), ' ', ''), '|') as cells
from string_to_table(:'document', E'\n') as line
where line ~ '^\|.*\| read_only \||^\|( [a-z_]+ \|){2} (all|team|own|–|-)';
create table tests.matrix as
select cells[1] as resource, cells[2] as action, head.roles[n] as role, nullif(cells[2 + n], '–') as scope
from tests.lines
cross join (select cells[3:] as roles from tests.lines where cells[1:2] = '{resource,action}') as head
cross join lateral generate_series(1, cardinality(head.roles)) as n
where cells[1:2] <> '{resource,action}';
create function tests.scope(role text, permission text) returns text language sql stable as $$
    select m.scope from tests.matrix as m where m.role = scope.role and m.resource || '.' || m.action = permission
$$;
grant select on tests.matrix to public;

select is(
    (select count(*) from tests.matrix),
    (select count(*) * 6 from string_to_table(:'document', E'\n') as line where line ~ '^\|' and line !~ '^\|-' and line ~ '(\|.*){9}') - 6,
    'every line of the document''s table is read'
);
select cmp_ok((select count(*) from tests.matrix), '>=', 270::bigint, 'and there are many');
select is_empty($$select from tests.matrix where scope not in ('own', 'team', 'all')$$, 'a cell is a scope, or none');
select set_eq('select distinct role from tests.matrix', 'select name from crm.built_in_roles', 'every built-in role is in it');
select set_eq('select distinct resource, action from tests.matrix', 'select resource, action from crm.permissions', 'and every permission');
select set_eq(
    'select role, resource, action, scope from tests.matrix where scope is not null',
    $$select b.role, p.resource, p.action, (array_agg(b.scope order by array_position('{all,team,own}', b.scope)))[1]
      from crm.built_in_permissions as b
      join crm.permissions as p
          on split_part(b.permission, '.', 1) in ('*', p.resource) and split_part(b.permission, '.', 2) in ('*', p.action)
      group by b.role, p.resource, p.action$$,
    'it says what the built-in roles have'
);

-- Every enrolled table, as its trigger names it, and what a row of it needs.
create table tests.tables as
select c.oid::regclass as target, split_part(encode(t.tgargs, 'escape'), '\000', 1) as resource,
    exists (select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'owner_id') as owned,
    array(
        select a.attname::text from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and a.attnotnull and not a.atthasdef
    ) as needed,
    has_table_privilege('crm_app', c.oid, 'update') as written,
    has_table_privilege('crm_app', c.oid, 'delete') as deleted,
    -- Nobody's but their owner's, whoever may reach all rows: entities/notifications.sql has them.
    c.relname = 'notifications' as personal
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
-- Parts are their record's: records.sql has them.
where t.tgfoid = 'crm_private.guard()'::regprocedure and encode(t.tgargs, 'escape') !~ '\\000part\\000$';
grant select on tests.tables to public;
select set_eq(
    $$select resource, action from tests.tables cross join unnest('{read,create,update,delete}'::text[]) as action
      where written or action = 'read'$$,
    $$select resource, action from crm.permissions
      where resource in (select resource from tests.tables) and (resource, action) not in (
          ('integration_events', 'create'), ('integration_events', 'update'), ('integration_events', 'delete')
      )$$,
    'every enrolled table has four permissions, or one that nobody writes but functions'
);

-- People and rows ----------------------------------------------------------------------------------------------------------

-- Of each role somebody who was in Borg, too, a colleague in a group with them, and a member who is in none.
select tests.register('boss', 'Acme');
select tests.register('stranger', 'Borg');
select tests.hire('other', 'Acme', 'manager');
select tests.hire(role, 'Acme', role), tests.hire(role || '_mate', 'Acme', 'read_only') from (select distinct role from tests.matrix) as r;
insert into crm.memberships (org_id, user_id, role, status, ended_at)
select tests.org_id('Borg'), p.user_id, 'admin', 'ended', now() from tests.people as p where p.name not in ('boss', 'stranger');
insert into crm.groups (org_id, name)
select org_id, g.name from tests.organizations cross join (select distinct role from tests.matrix union all values ('spare')) as g (name);
insert into crm.group_members (org_id, group_id, user_id)
select g.org_id, g.id, p.user_id from crm.groups as g join tests.people as p on p.name in (g.name, g.name || '_mate');
insert into crm.roles (org_id, name) select org_id, 'analyst' from tests.organizations;

create function tests.owner_of(role text, whose text) returns uuid language sql stable as $$
    select case whose
        when 'own' then tests.user_id(role)
        when 'team' then tests.user_id(role || '_mate')
        when 'other' then tests.user_id('other')
    end
$$;
create table tests.rows (resource text, organization text, role text, whose text, id uuid default gen_random_uuid());
insert into tests.rows (resource, organization, role, whose)
select t.resource, o.name, r.role, whose
from tests.tables as t
cross join tests.organizations as o
cross join (select distinct role from tests.matrix) as r
cross join unnest('{own,team,nobody,other}'::text[]) as whose
where t.owned and not t.personal;
grant select on tests.rows to public;

-- What payments are of: an invoice that was sent, and that whoever adds them sees.
create table tests.bills as
select o.org_id, p.user_id, gen_random_uuid() as id
from tests.organizations as o
join tests.people as p on exists (select from crm.memberships as m where m.org_id = o.org_id and m.user_id = p.user_id);
insert into crm.invoices (org_id, id, owner_id, billing_name) select org_id, id, user_id, 'Customer' from tests.bills;
insert into crm.invoice_items (org_id, invoice_id, description, unit_price) select org_id, id, 'x', 1000000 from tests.bills;
update crm.invoices set status = 'sent';
grant select on tests.bills to public;

-- What a row needs that is not any text: a name that is unique is the id. Null: the database gives it.
create table tests.contents (resource text, column_name text, value text);
insert into tests.contents values
    ('appointments', 'starts_at', '2026-01-01T10:00:00Z'), ('appointments', 'ends_at', '2026-01-01T11:00:00Z'), ('attachments', 'size_bytes', '1'),
    ('leads', 'company', 'x'), ('saved_filters', 'visibility', 'organization'), ('saved_filters', 'name', 'its id'), ('tickets', 'number', null),
    ('payments', 'amount', '1'), ('payments', 'invoice_id', 'an invoice');
grant select on tests.contents to public;

-- A new row of the table, in words. It may be of one of the records that are there.
create function tests.insertion(resource text, organization text, owner_id uuid, id uuid default gen_random_uuid()) returns text language sql stable as $$
    select format(
        'insert into %s (org_id, id, owner_id%s) values (%L, %L, %L%s)', t.target, string_agg(', ' || quote_ident(c.name), '' order by c.name),
        tests.org_id(organization), insertion.id, owner_id, string_agg(', ' || quote_literal(c.value), '' order by c.name)
    )
    from tests.tables as t
    left join lateral (
        select coalesce(needed.name, given.column_name) as name, case
            when given.column_name is null then 'x'
            when given.value = 'its id' then insertion.id::text
            when given.value = 'an invoice' then (
                select b.id::text from tests.bills as b
                where b.org_id = tests.org_id(insertion.organization) order by b.user_id = crm.current_user_id() desc nulls last limit 1
            )
            else given.value
        end as value
        from unnest(t.needed) as needed (name)
        full join (select * from tests.contents as x where x.resource = insertion.resource) as given on given.column_name = needed.name
        union all
        select 'account_id', (
            select r.id::text from tests.rows as r where (r.resource, r.organization, r.role, r.whose) = ('accounts', insertion.organization, 'owner', 'nobody')
        )
        where insertion.resource = 'attachments'
    ) as c on c.value is not null
    where t.resource = insertion.resource
    group by t.target
$$;
do $$
declare
    r tests.rows;
begin
    for r in select * from tests.rows order by resource <> 'accounts' loop
        execute tests.insertion(r.resource, r.organization, tests.owner_of(r.role, r.whose), r.id);
    end loop;
end
$$;

create table tests.results (cell text, had text, wanted text);
grant insert, select on tests.results to public;

-- Tables whose rows have owners ----------------------------------------------------------------------------------------------

create function tests.reaches(scope text, whose text) returns boolean language sql immutable as $$
    select coalesce(scope = 'all' or whose = 'own' or (scope = 'team' and whose = 'team'), false) and scope is not null
$$;

-- What the document promises.
create function tests.wanted(role text, resource text, action text, whose text, organization text) returns text language plpgsql as $$
declare
    command constant text := case action when 'give' then 'update' else action end;
    permission constant text := resource || '.' || command;
    scope constant text := tests.scope(role, permission);
    outside constant text := format('42501 new row violates row-level security policy for table "%s"', resource);
begin
    case
        when action = 'read' then
            return case when organization = 'Acme' and tests.reaches(scope, whose) then '1 rows' else '0 rows' end;
        when scope is null then
            return '42501 your role does not permit ' || permission;
        when action = 'create' then
            -- What is added for nobody is one's own.
            return case when organization = 'Acme' and tests.reaches(scope, replace(whose, 'nobody', 'own')) then '1 rows' else outside end;
        when organization = 'Borg' then
            return '0 rows';
        when action = 'give' then
            return case when tests.reaches(scope, whose) then '1 rows' else outside end;
        when not tests.reaches(tests.scope(role, resource || '.read'), whose) then
            return '0 rows';
        when tests.reaches(scope, whose) then
            return '1 rows';
        else
            return format('42501 you may see this row, but %s reaches only %s', permission, case scope when 'own' then 'your own' else 'your team''s' end);
    end case;
end
$$;

create procedure tests.try_rows(role text, organization text) language plpgsql as $$
declare
    r record;
    action text;
    statement text;
begin
    perform tests.become(role, organization);
    for r in select x.*, t.target from tests.rows as x join tests.tables as t using (resource) where x.role = try_rows.role loop
        foreach action in array '{read,create,update,delete,give}'::text[] loop
            statement := case action
                when 'read' then format('select from %s where id = %L', r.target, r.id)
                when 'create' then tests.insertion(r.resource, r.organization, tests.owner_of(r.role, r.whose))
                when 'update' then format('update %s set org_id = org_id where id = %L', r.target, r.id)
                when 'delete' then format('delete from %s where id = %L', r.target, r.id)
                else format('update %s set owner_id = %L where id = %L', r.target, tests.owner_of(r.role, r.whose),
                    (select o.id from tests.rows as o where (o.resource, o.organization, o.role, o.whose) = (r.resource, r.organization, r.role, 'own')))
            end;
            insert into tests.results values (
                format('%s, in %s: %s %s %s of %s', role, coalesce(organization, 'all of theirs'), action, r.resource, r.whose, r.organization),
                tests.outcome(statement), tests.wanted(r.role, r.resource, action, r.whose, r.organization)
            );
        end loop;
    end loop;
end
$$;
do $$
declare
    role text;
begin
    for role in select distinct m.role from tests.matrix as m order by 1 loop
        call tests.try_rows(role, 'Acme');
        call tests.try_rows(role, null);
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell) from tests.results where had is distinct from wanted order by cell;
select is(
    (select count(*) from tests.results where had = wanted), (select count(*) * 5 * 2 from tests.rows),
    'who has which role reads, adds, changes, deletes and gives away what the document says, of whosever rows'
);
select cmp_ok((select count(*) from tests.results), '>=', 960::bigint, 'in many ways');

-- Everything that is there, without naming a row: what is out of reach is passed over in reading alone. The invoices that were
-- paid are of no case.
set local session_replication_role = replica;
delete from crm.invoices where id in (select id from tests.bills);
set local session_replication_role = origin;
truncate tests.results;
do $$
declare
    r record;
    organization text;
begin
    for r in select m.role, t.resource, t.target, m.scope from tests.matrix as m join tests.tables as t using (resource) where m.action = 'read' and t.owned and not t.personal loop
        foreach organization in array array['Acme', null] loop
            perform tests.become(r.role, organization);
            insert into tests.results values (
                format('%s, in %s: reads %s', r.role, coalesce(organization, 'all of theirs'), r.resource),
                tests.outcome(format('select from %s', r.target)),
                (select count(*) || ' rows' from tests.rows as x
                 where x.resource = r.resource and x.organization = 'Acme' and (
                     r.scope = 'all' or (x.whose = 'own' and x.role = r.role) or (r.scope = 'team' and x.whose = 'team' and x.role = r.role)
                 ))
            );
        end loop;
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell) from tests.results order by cell;

-- Tables whose rows have no owners -------------------------------------------------------------------------------------------

truncate tests.results;
insert into crm.role_permissions (org_id, role, permission) select org_id, 'analyst', 'contacts.read' from tests.organizations;
insert into crm.group_permissions (org_id, group_id, permission) select org_id, id, 'contacts.read' from crm.groups where name = 'spare';
insert into crm.group_roles (org_id, group_id, role) select org_id, id, 'read_only' from crm.groups where name = 'spare';
insert into crm.tags (org_id, name) select org_id, 'spare' from tests.organizations;
insert into crm.automations (org_id, name, trigger_event) select org_id, 'spare', 'contact.created' from tests.organizations;
insert into crm.custom_fields (org_id, entity, key, label, type) select org_id, 'contacts', 'spare', 'Spare', 'text' from tests.organizations;
insert into crm.webhooks (org_id, name, url) select org_id, 'spare', 'https://example.com' from tests.organizations;
insert into crm.integration_rules (org_id, name, event_name, entity, mapping) select org_id, 'spare', 'spare.event', 'contacts', '{"last_name": "$.name"}' from tests.organizations;
insert into crm.integration_events (org_id, event_name, payload) select org_id, 'spare.event', '{}' from tests.organizations;
insert into crm.daily_metrics (org_id, day) select org_id, '2026-01-01' from tests.organizations;
insert into crm.pipelines (org_id, name) select org_id, 'spare' from tests.organizations;
insert into crm.pipeline_stages (org_id, pipeline_id, name) select org_id, id, 'spare' from crm.pipelines where name = 'spare';
-- As if they had given no numbers.
set local session_replication_role = replica;
update crm.number_series set last_number = 0;
set local session_replication_role = origin;
delete from crm.number_series where kind = 'ticket';
create table tests.unowned (resource text, condition text, addition text, change text);
insert into tests.unowned values
    ('tags', 'name = ''spare''', '(name) values (''new'')', 'description = ''x'''),
    ('roles', 'name = ''analyst''', '(name) values (''new'')', 'title = ''x'''),
    ('role_permissions', 'role = ''analyst''', '(role, permission) values (''analyst'', ''accounts.read'')', 'scope = ''own'''),
    ('automations', 'name = ''spare''', '(name, trigger_event) values (''new'', ''contact.created'')', 'enabled = true'),
    ('daily_metrics', 'day = ''2026-01-01''', null, null),
    ('webhooks', 'name = ''spare''', '(name, url) values (''new'', ''https://example.com'')', 'description = ''x'''),
    ('integration_events', 'event_name = ''spare.event''', null, null),
    ('integration_rules', 'name = ''spare''', '(name, event_name, entity, mapping) values (''new'', ''new.event'', ''contacts'', ''{"last_name": "$.name"}'')', 'enabled = false'),
    ('pipelines', 'name = ''spare''', '(name) values (''new'')', 'description = ''x'''),
    ('pipeline_stages', 'name = ''spare''', '(pipeline_id, name) select id, ''new'' from crm.pipelines where name = ''spare''', 'description = ''x'''),
    ('custom_fields', 'key = ''spare''', '(entity, key, label, type) values (''contacts'', ''new'', ''New'', ''text'')', 'label = ''x'''),
    ('number_series', 'kind = ''estimate''', '(kind) values (''ticket'')', 'prefix = ''x'''),
    ('groups', 'name = ''spare''', '(name) values (''new'')', 'description = ''x'''),
    ('group_members', 'user_id = tests.user_id(''sales_mate'')', '(group_id, user_id) select id, tests.user_id(''other'') from crm.groups where name = ''spare''',
        'is_lead = true'),
    ('group_permissions', 'permission = ''contacts.read''', '(group_id, permission) select id, ''accounts.read'' from crm.groups where name = ''spare''',
        'scope = ''own'''),
    ('group_roles', 'role = ''read_only''', '(group_id, role) select id, ''sales'' from crm.groups where name = ''spare''', 'role = ''support''');
grant select on tests.unowned to public;
select set_eq('select resource from tests.unowned', 'select resource from tests.tables where not owned', 'every enrolled table without owners is in this test');
do $$
declare
    c record;
    statement text;
    privilege text;
    no_right constant text := '42501 permission denied for table ';
    denied text;
begin
    for c in
        select m.*, t.target, u.condition, u.addition, u.change
        from tests.matrix as m join tests.tables as t using (resource) join tests.unowned as u using (resource)
        where t.written or m.action = 'read' or m.action = 'delete' and t.deleted
        order by m.role
    loop
        statement := case c.action
            when 'read' then format('select from %s where %s', c.target, c.condition)
            when 'create' then format('insert into %s %s', c.target, c.addition)
            when 'update' then format('update %s set %s where %s', c.target, c.change, c.condition)
            else format('delete from %s where %s', c.target, c.condition)
        end;
        privilege := case c.action when 'read' then 'select' when 'create' then 'insert' else c.action end;
        denied := case c.action when 'read' then '0 rows' else format('42501 your role does not permit %s.%s', c.resource, c.action) end;
        perform tests.become(c.role, 'Acme');
        insert into tests.results values (
            format('%s, in Acme: %s %s', c.role, c.action, c.resource), tests.outcome(statement),
            case
                -- Made by a function, which is called below.
                when not has_table_privilege('crm_app', c.target, privilege) then no_right || c.resource
                when c.scope = 'all' then '1 rows'
                else denied
            end
        );
        perform tests.become(c.role);
        insert into tests.results values (
            format('%s, across organizations: %s %s', c.role, c.action, c.resource), tests.outcome(statement),
            case
                when not has_table_privilege('crm_multi', c.target, privilege) then no_right || c.resource
                when c.scope = 'all' then '1 rows'
                else denied
            end
        );
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell) from tests.results where had is distinct from wanted order by cell;
select is(
    (select count(*) from tests.results where had = wanted), (select count(*) * 2 from tests.matrix as m join tests.unowned using (resource) join tests.tables as t using (resource) where t.written or m.action = 'read' or m.action = 'delete' and t.deleted),
    'tags, roles, groups and what they have, and the organization''s own settings, are looked after as the document says'
);

-- What is not enrolled is read, and changed by functions alone.
truncate tests.results;
do $$
declare
    c record;
    organization text;
begin
    for c in
        select m.role, coalesce(shared.resource, m.resource) as resource, m.scope, shared.resource is null as across
        from tests.matrix as m
        -- What all organizations share is part of roles.
        left join (values ('roles', 'permissions'), ('roles', 'built_in_roles'), ('roles', 'built_in_permissions')) as shared (part_of, resource)
            on shared.part_of = m.resource
        where m.action = 'read' and (shared.resource is not null or m.resource in ('organizations', 'users', 'memberships'))
    loop
        foreach organization in array array['Acme', null] loop
            perform tests.become(c.role, organization);
            insert into tests.results values (
                format('%s, in %s: reads %s', c.role, coalesce(organization, 'all of theirs'), c.resource),
                regexp_replace(tests.outcome(format('select from crm.%I', c.resource)), '^[1-9]\d* rows|(permission denied) .*', 'some rows\1'),
                case when organization is null and not c.across then '42501 some rowspermission denied' when c.scope = 'all' then 'some rows' else '0 rows' end
            );
        end loop;
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell) from tests.results order by cell;
create function tests.may_not_write(person text, target text) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next matches(tests.outcome(format('update crm.%I set status = ''active''', target)), '^42(501 permission denied|703)', format('%s cannot update %s', person, target));
    return next matches(tests.outcome(format('delete from crm.%I', target)), '^42501 permission denied', format('%s cannot delete %s', person, target));
    return next matches(tests.outcome(format('insert into crm.%I default values', target)), '^42501 permission denied', format('%s cannot create %s', person, target));
    return next matches(tests.outcome(format('truncate crm.%I', target)), '^42501 permission denied', format('%s cannot truncate %s', person, target));
end
$$;
select tests.may_not_write(person, target)
from unnest('{owner,read_only}'::text[]) as person,
    unnest('{organizations,users,memberships,permissions,built_in_roles,built_in_permissions}'::text[]) as target;
select tests.become('owner', 'Acme');
select matches(tests.outcome(format('truncate %s', target)), '^42501 permission denied', format('an owner cannot truncate %s', target)) from tests.tables;
select tests.nobody();

-- Functions ------------------------------------------------------------------------------------------------------------------

truncate tests.results;
create table tests.calls (permission text, call text);
insert into tests.calls values
    ('memberships.update', 'crm.set_member_role(tests.user_id(''sales_mate''), ''support'')'),
    ('memberships.delete', 'crm.remove_member(tests.user_id(''sales_mate''))'),
    ('invitations.read', 'crm.list_invitations()'),
    ('invitations.create', 'crm.invite_user(''new@example.com'', ''sales'')'),
    ('invitations.delete', 'crm.revoke_invitation(gen_random_uuid())'),
    ('api_keys.read', 'crm.list_api_keys()'),
    ('api_keys.create', 'crm.create_api_key(''Key'', ''{contacts.read}'')'),
    ('api_keys.delete', 'crm.revoke_api_key(gen_random_uuid())'),
    ('webhooks.create', 'crm.create_webhook(''New'', ''https://example.com'')'),
    ('webhooks.update', 'crm.test_webhook((select id from crm.webhooks))'),
    ('tags.update', 'crm.rename_tag(''spare'', ''other'')'),
    ('tags.delete', 'crm.merge_tags(''{spare}'', ''spare'')'),
    ('integration_events.create', 'crm.ingest_event(''any.thing'', ''{}'')'),
    ('integration_events.update', 'crm.retry_events()'),
    ('audit.read', 'crm.audit_checkpoint()'),
    ('audit.erase', 'crm.erase_person(''contacts'', (select id from crm.contacts limit 1), dry_run => true)'),
    ('access.read', 'crm.explain_access(tests.user_id(''sales_mate''), ''contacts'')');
grant select on tests.calls to public;
select is_empty(
    $$select resource, action from crm.permissions
      where resource not in (select resource from tests.tables) and resource || '.' || action not in (select permission from tests.calls)
          and (action <> 'read' or resource not in ('organizations', 'users', 'memberships')) and (resource, action) <> ('organizations', 'update')$$,
    'every permission is tried in this file'
);
do $$
declare
    c record;
begin
    for c in select m.role, f.permission, f.call, m.scope from tests.calls as f join tests.matrix as m on f.permission = m.resource || '.' || m.action loop
        perform tests.become(c.role, 'Acme');
        insert into tests.results values (
            c.role || ' calls ' || c.call, regexp_replace(tests.outcome('select * from ' || c.call), '^\d+ rows', 'done'),
            case when c.scope = 'all' then 'done' else '42501 your role does not permit ' || c.permission end
        );
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell) from tests.results where had is distinct from wanted order by cell;
select is(
    (select count(*) from tests.results where had = wanted), (select count(*) * 6 from tests.calls),
    'members, invitations, keys, webhooks, tags and explanations are there for whom the document says'
);
-- In one organization at a time. Everybody may leave.
select tests.become('read_only');
select matches(tests.outcome('select ' || call), '^42501 permission denied', 'nobody calls across organizations: ' || call) from tests.calls;
select tests.become('read_only', 'Acme');
select is(tests.outcome('select crm.leave_organization()'), '1 rows', 'whoever is in an organization may leave it');
select is(tests.outcome('select crm.set_notification_email(true)'), '1 rows', 'and have their notifications as e-mail');
select tests.nobody();

-- my_permissions tells the same.
truncate tests.results;
do $$
declare
    one text;
begin
    for one in select distinct role from tests.matrix loop
        perform tests.become(one, 'Acme');
        insert into tests.results
        select one, (select string_agg(p.permission || ' ' || p.scope, ', ' order by p.permission) from crm.my_permissions() as p),
            (select string_agg(m.resource || '.' || m.action || ' ' || m.scope, ', ' order by m.resource || '.' || m.action)
             from tests.matrix as m where m.role = one and m.scope is not null);
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell || ' hears of their permissions what the document says') from tests.results order by cell;

-- Ranks ----------------------------------------------------------------------------------------------------------------------

create table tests.ranks as
select name, (regexp_match(said, '\m' || name || '(?: and \w+)? (\d+)'))[1]::int as rank
from (select distinct role as name from tests.matrix) as r, substring(:'document' from '\*\*rank\*\* of a role \(([^)]*)\)') as said;
grant select on tests.ranks to public;
select set_eq('select name, rank from tests.ranks', 'select name, rank from crm.built_in_roles', 'the document tells the ranks');
truncate tests.results;
do $$
declare
    one tests.ranks;
begin
    for one in select * from tests.ranks loop
        perform tests.become(one.name, 'Acme');
        insert into tests.results
        select one.name || ' sees of ' || source, had, (select string_agg(r.name, ', ' order by r.name) from tests.ranks as r where r.rank <= one.rank)
        from (
            select 'roles' as source, string_agg(name, ', ' order by name) as had from crm.roles where built_in
            union all
            select 'built_in_roles', string_agg(name, ', ' order by name) from crm.built_in_roles
            union all
            select 'built_in_permissions', string_agg(distinct role, ', ' order by role) from crm.built_in_permissions
        ) as seen;
    end loop;
    perform tests.nobody();
end
$$;
select is(had, wanted, cell || ', what is not above') from tests.results order by cell;
select tests.become('admin', 'Acme');
select is(
    tests.outcome(format('select crm.set_member_role(%L, ''sales'')', tests.user_id('owner'))), '42501 this member''s role is above yours',
    'an administrator does not make an owner something else'
);
select is(
    tests.outcome(format('select crm.remove_member(%L)', tests.user_id('owner'))), '42501 this member''s role is above yours', 'nor removes one'
);
select is(
    tests.outcome(format('select crm.set_member_role(%L, ''owner'')', tests.user_id('sales'))),
    '42501 nobody can grant more than they have: this role is above yours', 'nor makes one'
);
select is(
    tests.outcome($$update crm.roles set rank = 5 where name = 'owner'$$), '0 rows', 'nor finds the owners'' role'
);
select is(
    tests.outcome($$update crm.roles set title = 'x' where name = 'sales'$$), '42501 the built-in roles cannot be changed: make one of your own',
    'nor changes what is built in'
);

-- A role of one's own is answered with, and renamed.
select is(tests.outcome($$insert into crm.roles (name) values ('new') returning *$$), '1 rows', 'an administrator hears of the role they have made');
select is(tests.outcome($$update crm.roles set title = 'x' where name = 'analyst' returning *$$), '1 rows', 'of one they have changed');
select is(tests.outcome($$update crm.roles set name = 'analysts' where name = 'analyst'$$), '1 rows', 'and may give it another name');

-- Reading only ---------------------------------------------------------------------------------------------------------------

select tests.become('read_only', 'Acme');
select is(tests.outcome('select from crm.contacts for update'), '0 rows', 'who only reads finds no contact to lock');
select matches(
    tests.outcome($$insert into crm.contacts (id, last_name) select id, 'x' from crm.contacts on conflict (org_id, id) do update set title = 'x'$$),
    '^42501 your role does not permit contacts.', 'and cannot upsert contacts'
);
select tests.become('support', 'Acme');
select is(
    tests.outcome($$update crm.contacts set title = 'x'$$), '42501 you may see this row, but contacts.update reaches only your own',
    'support that changes all it sees is refused'
);
select is(
    tests.outcome($$insert into crm.contacts (id, last_name) select id, 'x' from crm.contacts on conflict (org_id, id) do update set title = 'x'$$),
    '42501 you may see this row, but contacts.update reaches only your own', 'also by an upsert'
);
select is_empty($$select from crm.contacts where title = 'x' or last_name <> 'x'$$, 'which left nothing');

-- Several organizations --------------------------------------------------------------------------------------------------------

-- Each one's role counts there: who is a viewer here and in sales there.
select tests.nobody();
select tests.hire('both', 'Acme', 'read_only');
select tests.join('both', 'Borg', 'sales');
insert into crm.contacts (org_id, last_name, owner_id) values
    (tests.org_id('Acme'), 'Mine of Acme', tests.user_id('both')), (tests.org_id('Borg'), 'Mine of Borg', tests.user_id('both'));
select tests.become('both');
select results_eq(
    $$select last_name, count(*) from crm.contacts group by 1 order by 1$$,
    $$values ('Mine of Acme', 1::bigint), ('Mine of Borg', 1), ('x', (select count(*) from tests.rows where resource = 'contacts' and organization = 'Acme'))$$,
    'they read all here, and their own there'
);
select is(tests.outcome($$update crm.contacts set title = 'x' where org_id = tests.org_id('Borg')$$), '1 rows', 'change theirs there');
select is(tests.outcome($$update crm.contacts set title = 'x'$$), '42501 your role does not permit contacts.update', 'and not all that they see');
select is(
    tests.outcome($$update crm.contacts set title = 'x' where org_id = tests.org_id('Acme')$$), '42501 your role does not permit contacts.update', 'nor anything here'
);
select is(tests.outcome($$delete from crm.contacts where org_id = tests.org_id('Acme')$$), '42501 your role does not permit contacts.delete', 'remove nothing here');
select is(
    tests.outcome($$insert into crm.contacts (org_id, last_name) values (tests.org_id('Acme'), 'x')$$),
    '42501 new row violates row-level security policy for table "contacts"', 'add nothing here'
);
select is(tests.outcome($$insert into crm.contacts (org_id, last_name) values (tests.org_id('Borg'), 'x')$$), '1 rows', 'but there');
-- A colleague in one organization is none in another.
select tests.nobody();
select tests.hire('lead', 'Acme', 'manager');
select tests.join('lead', 'Borg', 'manager');
update crm.memberships set status = 'active', ended_at = null where user_id = tests.user_id('sales_mate');
insert into crm.group_members (org_id, group_id, user_id) select org_id, id, tests.user_id('lead') from crm.groups where org_id = tests.org_id('Acme') and name = 'sales';
select tests.become('lead');
select results_eq(
    $$select distinct org_id, owner_id from crm.contacts order by owner_id$$,
    $$select tests.org_id('Acme'), user_id from tests.people where name in ('sales', 'sales_mate') order by user_id$$,
    'who leads in one organization sees their team''s rows there, and in another none of the same people''s'
);

-- A role that changes is in force at once, not only at the next login.
select tests.nobody();
update crm.memberships set role = 'read_only' where user_id = tests.user_id('manager') and org_id = tests.org_id('Acme');
select tests.become('manager', 'Acme');
select is(tests.outcome($$update crm.contacts set title = 'x'$$), '42501 your role does not permit contacts.update', 'a manager who was made a viewer cannot change contacts with the old token');

select * from finish();
rollback;

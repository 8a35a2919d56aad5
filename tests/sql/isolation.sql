-- Strangers: for every table in crm, as the catalog has them, nobody outside an organization sees a byte of its rows,
-- changes one, or learns from an answer whether it exists. A new table is probed without a line being written here.
--
-- ann belongs to Acme; every row of Borg, of every table, is written with 'secret-borg' in as many columns as take it.

begin;
\ir actors.psql
set local client_min_messages = error; -- a GRANT by somebody who may not is a warning
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('viewer', 'Acme', 'read_only');
-- Both look across several organizations, too.
select tests.register('carl', 'Carls');
select tests.join('ann', 'Carls', 'sales'), tests.join('viewer', 'Carls', 'read_only');
update crm.users set full_name = 'secret-borg' where id = tests.user_id('bob');
update crm.organizations set name = 'secret-borg' where id = tests.org_id('Borg');

create role tests_reader in role pg_read_all_data, pg_write_all_data;
grant usage on schema tests to tests_reader;

-- Every table, and which of its rows are whose.
create table tests.tables as
select c.oid::regclass as target,
    case
        when exists (select from pg_attribute where attrelid = c.oid and attname = 'org_id') then 'org_id'
        when c.oid in ('crm.organizations'::regclass, 'crm.users'::regclass) then 'id'
    end as key,
    c.oid = 'crm.users'::regclass as of_people,
    exists (select from pg_trigger where tgrelid = c.oid and tgname = '_500_stamp') as enrolled,
    has_table_privilege('crm_app', c.oid, 'delete') as deleted_by_members
from pg_class as c
where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p');
-- What all organizations share tells nothing of any; whoever changed it would change something for all of them.
create table tests.shared as select target from tests.tables where key is null;
delete from tests.tables where key is null;
grant select on tests.tables, tests.shared to public;

select set_eq(
    'select target from tests.shared', $$values ('crm.plans'::regclass), ('crm.permissions'), ('crm.built_in_roles'), ('crm.built_in_permissions')$$,
    'every table in crm belongs to organizations, but for these'
);

-- Rows ---------------------------------------------------------------------------------------------------------------

create function tests.key_of(target regclass, organization text) returns uuid language sql stable as $$
    select case
        when t.of_people then tests.user_id(case organization when 'Borg' then 'bob' else 'ann' end)
        else tests.org_id(organization)
    end
    from tests.tables as t
    where t.target = key_of.target
$$;

-- The condition that is true of the organization's rows.
create function tests.condition(target regclass, organization text) returns text language sql stable as $$
    select format('%I = %L', t.key, tests.key_of(target, organization)) from tests.tables as t where t.target = condition.target
$$;

create function tests.row_of(target regclass, organization text) returns jsonb language plpgsql as $$
declare
    answer jsonb;
begin
    -- Not what is built in, which nobody can change, nor an invoice with a number or a pipeline with deals, which nobody can delete.
    execute format(
        'select to_jsonb(t) from %s as t where %s
        order by to_jsonb(t) ->> ''built_in'', to_jsonb(t) ->> ''number'' nulls first, to_jsonb(t) ->> ''name'' like ''For deals%%'' nulls first, to_jsonb(t) ->> ''id'' limit 1',
        target, tests.condition(target, organization)
    ) into answer;
    return answer;
end
$$;

create function tests.insertion(target regclass, content jsonb) returns text language sql as $$
    select format(
        'insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, %3$L)',
        target, (select string_agg(quote_ident(key), ', ' order by key) from jsonb_object_keys(content) as key), content
    )
$$;

-- Columns of this table that point into a table of the same organization, with that table.
create table tests.pointers as
select c.conrelid::regclass as target, a.attname as column_name, c.confrelid::regclass as points_to, b.attname as pointed_at
from pg_constraint as c
join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[2]
join pg_attribute as b on b.attrelid = c.confrelid and b.attnum = c.confkey[2]
where c.contype = 'f' and cardinality(c.conkey) = 2 and c.connamespace = 'crm'::regnamespace;
-- Of those that exclude each other: the first is set.
alter table tests.pointers add column excluded boolean;
update tests.pointers as p set excluded = exists (
    select from pg_constraint as c
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
    where c.conrelid = p.target and c.contype = 'c' and pg_get_constraintdef(c.oid) ~ 'num_nonnulls\(.*\) = 1\)'
        and a.attname = p.column_name and a.attnum > (select min(k) from unnest(c.conkey) as k)
);
-- Or what they point to could not be deleted.
update tests.pointers as p set excluded = true
where p.target = 'crm.invoices'::regclass and p.points_to = 'crm.accounts'::regclass;
grant select on tests.pointers to public;

-- What is not any text.
create table tests.forms (target regclass, column_name text, organization text, value text);
insert into tests.forms values
    ('crm.role_permissions', 'permission', 'Borg', 'contacts.delete'), ('crm.role_permissions', 'permission', 'Acme', 'contacts.read'),
    ('crm.role_permissions', 'permission', null, 'contacts.update'),
    ('crm.group_permissions', 'permission', 'Borg', 'contacts.delete'), ('crm.group_permissions', 'permission', 'Acme', 'contacts.read'),
    ('crm.group_permissions', 'permission', null, 'contacts.update'),
    ('crm.custom_fields', 'entity', 'Borg', 'contacts'), ('crm.custom_fields', 'entity', 'Acme', 'contacts'), ('crm.custom_fields', 'entity', null, 'accounts'),
    ('crm.custom_fields', 'type', 'Borg', 'text'), ('crm.custom_fields', 'type', 'Acme', 'text'), ('crm.custom_fields', 'type', null, 'text'),
    ('crm.custom_fields', 'key', 'Borg', 'secret_borg'), ('crm.custom_fields', 'key', 'Acme', 'own_acme'), ('crm.custom_fields', 'key', null, 'other'),
    -- Or the role that the tests delete could not be deleted.
    ('crm.group_roles', 'role', 'Borg', 'sales'), ('crm.group_roles', 'role', 'Acme', 'sales');
insert into tests.forms
select target::regclass, column_name, organization, replace(value, 'secret_borg', word)
from (values
    ('crm.appointments', 'starts_at', '2026-01-01T10:00:00Z'), ('crm.appointments', 'ends_at', '2026-01-01T11:00:00Z'), ('crm.attachments', 'size_bytes', '1'),
    ('crm.automations', 'trigger_event', 'secret_borg.created'), ('crm.daily_metrics', 'day', '2026-01-01'), ('crm.notifications', 'kind', 'secret_borg'),
    ('crm.integration_rules', 'event_name', 'secret_borg.seen'), ('crm.integration_events', 'event_name', 'secret_borg.seen'),
    ('crm.saved_filters', 'entity', 'secret_borg'), ('crm.saved_filters', 'visibility', 'team'), ('crm.tickets', 'number', '1'),
    ('crm.webhooks', 'url', 'https://secret_borg.example')
) as forms (target, column_name, value), (values ('Borg', 'secret_borg'), ('Acme', 'own_acme')) as organizations (organization, word);
insert into tests.forms values
    ('crm.daily_metrics', 'day', null, '2026-01-02'), ('crm.tickets', 'number', null, '2'), ('crm.messages', 'channel', null, 'email'), ('crm.saved_filters', 'entity', null, 'contacts'),
    ('crm.integration_rules', 'entity', 'Borg', 'contacts'), ('crm.integration_rules', 'entity', 'Acme', 'contacts'), ('crm.integration_rules', 'entity', null, 'accounts'),
    ('crm.integration_rules', 'event_name', null, 'any.thing'), ('crm.integration_events', 'event_name', null, 'any.thing'),
    ('crm.integration_rules', 'mapping', 'Borg', '{"last_name": "$.secret"}'), ('crm.integration_rules', 'mapping', 'Acme', '{"last_name": "$.own"}'), ('crm.integration_rules', 'mapping', null, '{"name": "$.name"}'),
    ('crm.integration_events', 'payload', 'Borg', '{"secret": "secret-borg"}'), ('crm.integration_events', 'payload', 'Acme', '{"own": "own-acme"}'), ('crm.integration_events', 'payload', null, '{}'),
    ('crm.number_series', 'kind', null, 'ticket'), ('crm.audit_transactions', 'position', null, '99'),
    ('crm.contact_emails', 'email', 'Borg', 'secret-borg@home.example'), ('crm.contact_emails', 'email', 'Acme', 'own-acme@home.example'),
    ('crm.contact_phones', 'phone', 'Borg', '+1 650 253 0000'), ('crm.contact_phones', 'phone', 'Acme', '+1 650 253 0001'),
    ('crm.leads', 'company', 'Borg', 'secret-borg'), ('crm.leads', 'company', 'Acme', 'own-acme'), ('crm.pipeline_stages', 'kind', null, 'open');
-- Every organization begins with a pipeline of the same names. Those that have deals cannot be deleted.
update crm.pipelines set name = 'secret-borg ' || name where org_id = tests.org_id('Borg');
update crm.pipeline_stages set name = 'secret-borg ' || name where org_id = tests.org_id('Borg');
insert into crm.pipelines (org_id, name) select tests.org_id(word), 'For deals ' || word from unnest('{Borg,Acme}'::text[]) as word;
insert into crm.pipeline_stages (org_id, pipeline_id, name) select org_id, id, name || ' open' from crm.pipelines where name like 'For deals%';
insert into tests.forms select 'crm.deals', 'pipeline_id', word, id::text from crm.pipelines, unnest('{Borg,Acme}'::text[]) as word where name = 'For deals ' || word;
insert into crm.roles (org_id, name) values (tests.org_id('Borg'), 'secret_borg'), (tests.org_id('Acme'), 'own_acme');

create function tests.form(target regclass, column_name text, organization text) returns jsonb language sql stable as $$
    select case when f.value ~ '^\{' then f.value::jsonb else to_jsonb(f.value) end from tests.forms as f
    where f.target = form.target and f.column_name = form.column_name and f.organization is not distinct from form.organization
$$;

-- Makes a row of the organization, if there is none yet: keys, pointers, what must not be null, then the word in every
-- text column that takes it in one form or another.
create function tests.fill(target regclass, organization text, word text) returns boolean language plpgsql as $$
declare
    content jsonb := jsonb_build_object('org_id', tests.org_id(organization));
    is_there boolean := tests.row_of(target, organization) is not null;
    needed record;
    form text;
begin
    if not is_there then
        for needed in
            select a.attname::text as name, p.points_to, p.pointed_at
            from pg_attribute as a
            left join tests.pointers as p on p.target = fill.target and p.column_name = a.attname
            where a.attrelid = fill.target and a.attnum > 0 and not a.attisdropped and a.attname <> 'org_id'
                and not coalesce(p.excluded, false)
                and (p.column_name is not null or (a.attnotnull and not a.atthasdef) or tests.form(fill.target, a.attname, organization) is not null)
        loop
            content := content || jsonb_build_object(needed.name, coalesce(tests.form(target, needed.name, organization), case
                when needed.points_to is null then to_jsonb(word)
                else tests.row_of(needed.points_to, organization) -> needed.pointed_at
            end));
        end loop;
        begin
            execute tests.insertion(target, content);
        exception
            when others then return false;
        end;
    end if;
    for needed in
        select attname as name
        from pg_attribute
        where attrelid = target and atttypid = 'text'::regtype and attnum > 0 and not attisdropped
    loop
        foreach form in array array[word, word || '@example.com', 'https://' || word || '.example', word || '.example'] loop
            begin
                execute format('update %s set %I = %L where %s', target, needed.name, form, tests.condition(target, organization));
                exit;
            exception
                when others then null;
            end;
        end loop;
    end loop;
    return true;
end
$$;

-- Several passes: a table can be filled when those it points to have been.
select tests.fill(target, 'Borg', 'secret-borg') and tests.fill(target, 'Acme', 'own-acme')
from generate_series(1, 5), tests.tables
where enrolled;
-- A payment is of an invoice that was sent; and a series that gave numbers could not be deleted.
insert into crm.invoices (org_id, id, billing_name, currency) select org_id, md5(name)::uuid, 'Customer', 'EUR' from tests.organizations where name in ('Acme', 'Borg');
insert into crm.invoice_items (org_id, invoice_id, description, unit_price) select org_id, id, 'x', 100 from crm.invoices where billing_name = 'Customer';
update crm.invoices set status = 'sent' where billing_name = 'Customer';
insert into crm.payments (org_id, invoice_id, amount) select org_id, id, 1 from crm.invoices where billing_name = 'Customer';
select tests.fill('crm.payments', 'Borg', 'secret-borg') and tests.fill('crm.payments', 'Acme', 'own-acme');
-- Of webhooks, what is on its way and what was tried.
insert into crm.webhook_deliveries (org_id, id, webhook_id, event_id, event_type, entity, record_id, state, attempts, created_at, last_error, payload)
select w.org_id, gen_random_uuid(), w.id, gen_random_uuid(), w.name, w.name, gen_random_uuid(), 'failed', 10, now(), w.name, w.name from crm.webhooks as w;
insert into crm.webhook_attempts (org_id, id, created_at, webhook_id, delivery_id, event_id, event_type, entity, record_id, attempt, outcome, error, response)
select w.org_id, gen_random_uuid(), now(), w.id, gen_random_uuid(), gen_random_uuid(), w.name, w.name, gen_random_uuid(), 10, 'failed', w.name, w.name from crm.webhooks as w;
-- What was deleted has been somebody's, too.
insert into crm.tasks (org_id, title)
select org_id, case name when 'Borg' then 'secret-borg deleted' else 'own-acme deleted' end from tests.organizations where name in ('Acme', 'Borg');
delete from crm.tasks where title like '% deleted';
set local session_replication_role = replica;
update crm.number_series set last_number = 0;
-- Of all that filling left in history, a few entries of each; its transactions come with a commit.
delete from crm.audit_log as l where l.id not in (
    select newest.id
    from tests.organizations as o
    cross join lateral (select id from crm.audit_log where org_id = tests.org_id(o.name) and entity = 'contacts' order by id desc limit 5) as newest
);
insert into crm.audit_transactions (org_id, id, created_at, entries, request_id, salt, content_hash)
select tests.org_id(word), gen_random_uuid(), now(), 1, secret, '\x00', '\x00' from (values ('Borg', 'secret-borg'), ('Acme', 'own-acme')) as both_words (word, secret);
set local session_replication_role = origin;
select is_empty(
    $$select target from tests.tables where tests.row_of(target, 'Borg') is null or tests.row_of(target, 'Acme') is null$$,
    'every table has a row of either organization'
);
select tests.analyze();

-- Probes ---------------------------------------------------------------------------------------------------------------

-- Everything by which a row of Borg could be told, in an answer or an error.
create table tests.secrets as
select unnest('{secret-borg,secret_borg}'::text[]) as secret
union select tests.key_of(target, 'Borg')::text from tests.tables
union select tests.row_of(target, 'Borg') ->> 'id' from tests.tables;
grant select on tests.secrets to public;

create table tests.overheard (said text);
grant insert, select on tests.overheard to public;

-- As cheap as a function can be, so that the planner would like to call it first.
create function tests.listen(said text) returns boolean language plpgsql volatile cost 0.0000001 as $$
begin
    insert into tests.overheard values (said);
    return true;
end
$$;

-- Not by parallel workers, even where those are forced: starting them for each of these many looks would take minutes.
create function tests.all_of_borg() returns text language plpgsql set max_parallel_workers_per_gather = 0 as $$
declare
    one record;
    content text;
    everything text := '';
begin
    for one in select target from tests.tables order by target::text loop
        execute format(
            'select string_agg(t::text || t.xmin || t.ctid, chr(10) order by t::text) from %s as t where %s',
            one.target, tests.condition(one.target, 'Borg')
        ) into content;
        everything := everything || one.target || coalesce(content, '');
    end loop;
    for one in select target from tests.shared order by target::text loop
        execute format('select string_agg(t::text || t.xmin || t.ctid, chr(10) order by t::text) from %s as t', one.target) into content;
        everything := everything || one.target || content;
    end loop;
    return everything;
end
$$;

-- What a query shows, in rows or in words, and what it makes a function hear.
create function tests.shown(query text) returns text language plpgsql as $$
declare
    line text;
    seen text := '';
begin
    begin
        for line in execute query loop
            seen := seen || coalesce(line, '') || chr(10);
        end loop;
        select seen || coalesce(string_agg(said, chr(10)), '') into seen from tests.overheard;
        raise exception using errcode = 'UNDO1';
    exception
        when sqlstate 'UNDO1' then null;
        when others then seen := sqlstate || ' ' || sqlerrm;
    end;
    return seen;
end
$$;

create function tests.tells_a_secret(query text) returns boolean language sql as $$
    select exists (select from tests.secrets as s, tests.shown(query) as shown where position(s.secret in shown) > 0)
$$;

-- Whether a statement changes anything of Borg, or of what all share. It is undone.
create table tests.before (content text);
create function tests.strikes(statement text) returns boolean language plpgsql as $$
declare
    struck boolean := false;
begin
    begin
        execute statement;
        perform set_config('role', 'none', true);
        struck := (select content from tests.before) is distinct from tests.all_of_borg();
        raise exception using errcode = 'UNDO1';
    exception
        when others then null;
    end;
    return struck;
end
$$;

create function tests.readings(target regclass) returns setof text language sql as $$
    select format(form, target, tests.condition(target, 'Borg'), tests.row_of(target, 'Borg') ->> 'id')
    from unnest(array[
        'select t::text from %1$s as t',
        'select t::text from %1$s as t where %2$s',
        'select t::text from %1$s as t where id = %3$L',
        'select t::text from %1$s as t where id = %3$L or true',
        'select t::text from %1$s as t tablesample system (100)',
        'select t::text from %1$s as t for update',
        'select t::text from %1$s as t for key share',
        'select t::text from %1$s as t where tests.listen(t::text)',
        'select t::text from %1$s as t where tests.listen(t.id::text) and %2$s',
        'select t::text from %1$s as t join %1$s as u on tests.listen(u::text)',
        'select (t::text)::integer::text from %1$s as t',
        'select (1 / (case when t::text like ''%%secret-borg%%'' then 0 else 1 end))::text from %1$s as t',
        'select query_to_xml(''select * from %1$s'', true, true, '''')::text',
        'select table_to_xml(''%1$s'', true, true, '''')::text',
        'select s::text from pg_stats as s where s.schemaname = ''crm''',
        'select s::text from pg_stats_ext as s',
        'select s::text from pg_statistic as s where s.starelid = ''%1$s''::regclass',
        'update %1$s as t set id = t.id returning t::text',
        'delete from %1$s as t returning t::text',
        'delete from %1$s as t where tests.listen(t::text) returning t::text'
    ]) as form
$$;

create function tests.writings(target regclass) returns setof text language sql as $$
    with rows as (
        select tests.row_of(target, 'Borg') as borg, tests.row_of(target, 'Acme') as acme, gen_random_uuid() as fresh, t.key
        from tests.tables as t
        where t.target = writings.target
    )
    select format(form, target, tests.condition(target, 'Borg'), tests.condition(target, 'Acme'), tests.key_of(target, 'Borg'), r.key)
    from rows as r
    cross join unnest(array[
        'update %1$s set id = id',
        'update %1$s set id = id where %2$s',
        'update %1$s as t set id = t.id from %1$s as u where u.%5$I = %4$L',
        'update %1$s set %5$I = %4$L where %3$s',
        'delete from %1$s',
        'delete from %1$s where %2$s',
        'delete from %1$s as t using %1$s as u where u.%5$I = %4$L',
        'merge into %1$s as t using (values (1)) as v on t.%5$I = %4$L when matched then delete',
        'merge into %1$s as t using (values (1)) as v on true when matched then update set id = t.id',
        'truncate %1$s cascade',
        'alter table %1$s disable row level security',
        'alter table %1$s owner to current_user',
        'drop table %1$s cascade',
        'create policy mine on %1$s using (true)',
        'create trigger mine before update on %1$s for each row execute function suppress_redundant_updates_trigger()',
        'create rule mine as on select to %1$s do also select 1',
        'grant all on %1$s to public',
        'set local row_security = off; delete from %1$s'
    ]) as form
    union all
    select tests.insertion(target, content) || suffix
    from rows as r
    cross join lateral (values
        (r.borg),
        (r.borg || jsonb_build_object('id', r.fresh)),
        (r.acme || jsonb_build_object(r.key, tests.key_of(target, 'Borg'))),
        (r.acme || jsonb_build_object('id', r.fresh, r.key, tests.key_of(target, 'Borg'))),
        (r.acme || jsonb_build_object('id', r.borg ->> 'id'))
    ) as v (content)
    cross join unnest(array['', ' on conflict do nothing']) as suffix
$$;

-- Pairs of statements that differ in one thing: it names what is elsewhere, or what is nowhere.
create function tests.pairs(target regclass)
    returns table (sentence text, elsewhere text, nowhere text)
    language plpgsql
as $$
declare
    borg constant jsonb := tests.row_of(target, 'Borg');
    acme constant jsonb := tests.row_of(target, 'Acme');
    own constant text := tests.condition(target, 'Acme');
    fresh constant uuid := gen_random_uuid();
    key text := (select t.key from tests.tables as t where t.target = pairs.target);
    constrained record;
    values_of_borg jsonb;
    values_of_nobody jsonb;
begin
    for sentence, elsewhere in
        values
            ('reads by id', 'select from %1$s where id = %2$L'),
            ('updates by id', 'update %1$s set id = id where id = %2$L'),
            ('deletes by id', 'delete from %1$s where id = %2$L'),
            ('changes the id to', 'update %1$s set id = %2$L where %3$s'),
            ('reads by organization', 'select from %1$s where %4$I = %5$L'),
            ('updates by organization', 'update %1$s set id = id where %4$I = %5$L'),
            ('deletes by organization', 'delete from %1$s where %4$I = %5$L'),
            ('changes the organization to', 'update %1$s set %4$I = %5$L where %3$s')
    loop
        nowhere := format(elsewhere, target, fresh, own, key, fresh);
        elsewhere := format(elsewhere, target, borg ->> 'id', own, key, tests.key_of(target, 'Borg'));
        return next;
    end loop;

    for constrained in
        select a.attname as column_name
        from pg_attribute as a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped and a.atttypid = 'text'::regtype
            and borg ->> a.attname like '%secret-borg%'
    loop
        for sentence, elsewhere in
            values
                ('reads by %s', 'select from %s where %I = %L'),
                ('updates by %s', 'update %s set id = id where %I = %L'),
                ('deletes by %s', 'delete from %s where %I = %L')
        loop
            sentence := format(sentence, constrained.column_name);
            nowhere := format(elsewhere, target, constrained.column_name, fresh);
            elsewhere := format(elsewhere, target, constrained.column_name, borg ->> constrained.column_name);
            return next;
        end loop;
    end loop;

    sentence := 'inserts into the organization';
    elsewhere := tests.insertion(target, acme || jsonb_build_object('id', fresh, key, tests.key_of(target, 'Borg')));
    nowhere := tests.insertion(target, acme || jsonb_build_object('id', fresh, key, fresh));
    return next;

    for constrained in select p.column_name, p.points_to, p.pointed_at from tests.pointers as p where p.target = pairs.target loop
        sentence := format('points with %s at', constrained.column_name);
        elsewhere := format('update %s set %I = %L where %s', target, constrained.column_name,
            tests.row_of(constrained.points_to, 'Borg') ->> constrained.pointed_at, own);
        nowhere := format('update %s set %I = %L where %s', target, constrained.column_name, fresh, own);
        return next;
    end loop;

    -- The other tenant's unique values in a row of one's own that has no others in common with any: as good as any others. What
    -- points somewhere was seen above.
    for constrained in
        select i.indexrelid::regclass as name, array_agg(a.attname::text) as columns
        from pg_index as i
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) and a.attname <> key
        where i.indrelid = target and i.indisunique
            and not exists (select from tests.pointers as p where p.target = pairs.target and p.column_name = a.attname)
        group by i.indexrelid
    loop
        values_of_borg := (select jsonb_object_agg(name, borg -> name) from unnest(constrained.columns) as name);
        values_of_nobody := (
            select jsonb_object_agg(a.attname, case
                when a.attname = 'email' then to_jsonb(fresh || '@example.com')
                when a.atttypid = 'uuid'::regtype then to_jsonb(fresh)
                else coalesce(tests.form(target, a.attname::text, null), to_jsonb('x' || replace(fresh::text, '-', '')))
            end)
            from pg_index as i
            join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) and a.attname <> key
            where i.indrelid = target and i.indisunique
                and not exists (select from tests.pointers as p where p.target = pairs.target and p.column_name = a.attname)
        );
        sentence := format('uses the unique values of %s', constrained.name);
        elsewhere := tests.insertion(target, acme || values_of_nobody || values_of_borg);
        nowhere := tests.insertion(target, acme || values_of_nobody);
        return next;
    end loop;
end
$$;

-- The statements are made beforehand: a stranger could not look up what to look for.
create table tests.statements as
select target, 'reading' as kind, null as sentence, statement, null as twin from tests.tables, tests.readings(target) as statement
union all
select target, 'writing', null, statement, null from tests.tables, tests.writings(target) as statement
union all
select target, 'pair', p.sentence, p.elsewhere, p.nowhere from tests.tables, tests.pairs(target) as p
union all
select target, 'shared', null, format(form, target), null
from tests.shared
cross join unnest(array[
    'update %1$s set description = ''x''',
    'update %1$s set scope = ''all''',
    'delete from %1$s',
    'insert into %1$s select ''x'', ''read'', ''x''',
    'insert into %1$s select ''sales'', ''*.*'', ''all''',
    'insert into %1$s select ''x'', ''X'', ''X'', 100',
    'truncate %1$s cascade',
    'alter table %1$s disable row level security',
    'create policy mine on %1$s using (true)',
    'grant all on %1$s to public',
    'set local row_security = off; delete from %1$s'
]) as form;
grant select on tests.statements to public;

-- One result per table and kind of attack, naming what got through. shown: what this one may look at, and not change.
create function tests.probe(stranger text, shown regclass[] default '{}') returns setof text language plpgsql as $$
declare
    one record;
    through text;
    role constant text := current_setting('role');
begin
    perform set_config('role', 'none', true);
    truncate tests.before;
    insert into tests.before values (tests.all_of_borg());
    perform set_config('role', role, true);
    for one in select target, target = any (shown) as shown from tests.tables order by target::text loop
        select string_agg(statement, '; ') into through
        from tests.statements as s
        where s.target = one.target and kind = 'reading' and tests.tells_a_secret(statement);
        if one.shown then
            return next ok(through is not null, format('%s sees Borg''s %s', stranger, one.target));
        else
            return next is(through, null, format('%s sees nothing of Borg''s %s', stranger, one.target));
        end if;

        select string_agg(statement, '; ') into through
        from tests.statements as s
        where s.target = one.target and kind = 'writing' and tests.strikes(statement);
        return next is(through, null, format('%s changes nothing of Borg''s %s', stranger, one.target));
        continue when one.shown;

        select string_agg(format('%s: %s, but nowhere: %s', sentence, tests.outcome(statement), tests.outcome(twin)), '; ') into through
        from tests.statements as s
        where s.target = one.target and kind = 'pair' and tests.outcome(statement) <> tests.outcome(twin);
        return next is(through, null, format('%s gets the same answer for what is elsewhere and what is nowhere: %s', stranger, one.target));
    end loop;

    select string_agg(statement, '; ') into through from tests.statements as s where kind = 'shared' and tests.strikes(statement);
    return next is(through, null, format('%s changes nothing that all share', stranger));
end
$$;

-- What the probes can see at all: they must find what is there to be found.
create function tests.probes_work() returns setof text language plpgsql as $$
declare
    one record;
begin
    perform tests.nobody();
    insert into tests.before values (tests.all_of_borg());
    return next ok(tests.strikes('delete from crm.built_in_permissions'), 'the probes notice what is done to what all share');
    perform tests.become('bob', 'Borg');
    for one in select target, enrolled and deleted_by_members as deletes from tests.tables order by target::text loop
        return next ok(
            tests.tells_a_secret(format('select t::text from %s as t', one.target)), format('the probes find Borg''s %s when bob looks', one.target)
        );
        return next ok(
            tests.tells_a_secret(format('select '''' from %s as t where tests.listen(t::text)', one.target)),
            format('and hear of them: %s', one.target)
        );
        if one.deletes then
            return next ok(
                tests.strikes((
                    select statement from tests.statements as s where s.target = one.target and sentence = 'deletes by id'
                )),
                format('and notice when bob deletes %s', one.target)
            );
        end if;
    end loop;
end
$$;

-- By whole tables: there the order of the conditions could let a row of somebody else be looked at first, while an index
-- is entered by organization (plans.sql).
set local enable_indexscan = off;
set local enable_indexonlyscan = off;
set local enable_bitmapscan = off;

-- Strangers ------------------------------------------------------------------------------------------------------------

select tests.probes_work();

select tests.become('ann', 'Acme');
select tests.probe('ann of Acme');

select tests.become('ann');
select tests.probe('ann across her organizations');

-- Whose role does not permit to write is refused, too: not because of what is elsewhere.
select tests.become('viewer', 'Acme');
select tests.probe('a viewer of Acme');

select tests.become('viewer');
select tests.probe('a viewer across organizations');

select tests.become_role('crm_app');
select tests.probe('crm_app without an identity');

select tests.become_role('crm_multi');
select tests.probe('crm_multi without an identity');

select tests.become_role('crm_anon');
select tests.probe('crm_anon');

select tests.become('ann', 'Acme');
set local role crm_service;
select tests.probe('ann in the role crm_service');

-- The platform sees who its tenants are and who is in them, and nothing that they have.
select tests.become_role('crm_service');
select tests.probe('crm_service', '{crm.organizations,crm.memberships}');

select tests.become_role('crm_worker');
select tests.probe('crm_worker');

select tests.become_role('crm_admin');
select tests.probe('crm_admin', '{crm.organizations,crm.memberships}');

select tests.nobody();
set local role crm_authenticator;
select tests.probe('crm_authenticator');

-- Rights over all data are no way around policies either. (The raw statistics of the planner are then legible: that is
-- PostgreSQL's, and what such a role is for.)
select tests.nobody();
delete from tests.statements where statement like '%pg\_statistic%';
set local role tests_reader;
select tests.probe('a role with pg_read_all_data and pg_write_all_data');

-- A member who has left is a stranger again.
select tests.nobody();
select tests.join('ann', 'Borg', 'admin');
select tests.become('ann');
select ok(tests.tells_a_secret('select t::text from crm.contacts as t'), 'as a member of Borg ann sees its contacts');
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('ann') and org_id = tests.org_id('Borg');
select tests.become('ann');
select ok(not tests.tells_a_secret('select t::text from crm.contacts as t'), 'after she has left she does not, with the same token');

select * from finish();
rollback;

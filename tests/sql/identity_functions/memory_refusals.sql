-- That something was remembered never makes good what is refused: what was never committed, what has expired meanwhile, and what only
-- resembles a credential that was good.

\ir memory_world.psql

create procedure tests.uncommitted() language plpgsql as $$
declare
    ann constant uuid := tests.user_id('ann');
    token text;
    key text;
    said text[];
begin
    -- A membership.
    insert into crm.memberships (org_id, user_id, role) values (tests.org_id('Borg'), ann, 'sales');
    token := crm.issue_token(ann, tests.org_id('Borg')) ->> 'access_token';
    said := array[tests.try('token', token), tests.try('token', token)];
    rollback;
    said := said || tests.try('token', token);
    insert into tests.results (had, wanted, sentence) values
        (said[1], 'accepted sales', 'ann is in Borg in the transaction in which she joins'), (said[2], said[1], 'and again'),
        (said[3], 'PT401 the access token is not valid', 'and refused with that token when it is rolled back');
    commit;
    token := crm.issue_token(ann) ->> 'access_token';
    commit;
    insert into crm.memberships (org_id, user_id, role) values (tests.org_id('Borg'), ann, 'sales');
    insert into tests.credentials values ('ann in Borg', 'token', crm.issue_token(ann, tests.org_id('Borg')) ->> 'access_token');
    commit;
    token := (select secret from tests.credentials where name = 'ann in Borg');
    perform tests.try('token', token);
    commit;
    delete from crm.memberships where user_id = ann and org_id = tests.org_id('Borg');
    commit;
    insert into crm.memberships (org_id, user_id, role) values (tests.org_id('Borg'), ann, 'owner');
    said := array[tests.try('token', token), tests.try('token', token)];
    rollback;
    said := said || array[tests.try('token', token), tests.try('token', token)];
    insert into tests.results (had, wanted, sentence) values
        (said[1], 'accepted owner', 'ann who has left Borg is in it again in the transaction in which she joins'), (said[2], said[1], 'and again'),
        (said[3], 'PT403 no access to this organization', 'and refused when it is rolled back'), (said[4], said[3], 'and again');
    commit;
    begin
        insert into crm.memberships (org_id, user_id, role) values (tests.org_id('Borg'), ann, 'owner');
        said := array[tests.try('token', token), tests.try('token', token)];
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    said := said || array[tests.try('token', token)];
    commit;
    said := said || array[tests.try('token', token)];
    insert into tests.results (had, wanted, sentence) values
        (said[2], 'accepted owner', 'ann is in it in a subtransaction in which she joins'),
        (said[3], 'PT403 no access to this organization', 'and refused when it is undone'), (said[4], said[3], 'and in the next transaction');
    commit;

    -- A signing key.
    update crm_private.settings set key_lead_time = '0';
    perform crm.rotate_signing_key('EdDSA', true);
    token := crm.issue_token(ann, tests.org_id('Acme')) ->> 'access_token';
    said := array[tests.try('token', token), tests.try('token', token)];
    rollback;
    said := said || tests.try('token', token);
    insert into tests.results (had, wanted, sentence) values
        (said[2], 'accepted owner', 'a token of a new key is good in the transaction that makes the key'),
        (said[3], 'PT401 the access token is not valid', 'and refused when it is rolled back');
    commit;

    -- An API key.
    key := crm.create_platform_key('Other', '{users.read}') ->> 'key';
    said := array[tests.try('platform key', key), tests.try('platform key', key)];
    rollback;
    said := said || tests.try('platform key', key);
    insert into tests.results (had, wanted, sentence) values
        (said[2], 'accepted ["users.read"]', 'a key is good in the transaction that makes it'),
        (said[3], 'PT401 the API key is not valid', 'and refused when it is rolled back');
    commit;
end
$$;
call tests.uncommitted();

-- Time passes, and nothing changes.
create procedure tests.expiry() language plpgsql as $$
declare
    -- The worst moment: rounded, it is almost half a second later.
    at constant timestamptz := date_trunc('second', clock_timestamp()) + interval '2.55 seconds';
    used tests.credentials;
    said text[] := '{}';
begin
    update crm_private.sessions set expires_at = at;
    update crm_private.api_keys set expires_at = at;
    commit;
    for used in select * from tests.credentials where kind <> 'issuer' and name <> 'ann in Borg' order by name loop
        said := said || array[tests.try(used.kind, used.secret), tests.try(used.kind, used.secret)];
    end loop;
    commit;
    insert into tests.results (had, wanted, sentence)
    select bool_and(one !~ '^PT')::text, 'true', 'every credential is good until it expires' from unnest(said) as one;
    commit;
    perform pg_sleep(extract(epoch from at + interval '50 ms' - clock_timestamp()));
    for used in select * from tests.credentials where kind <> 'issuer' and name <> 'ann in Borg' order by name loop
        insert into tests.results (had, wanted, sentence) values (
            tests.try(used.kind, used.secret), case when used.kind ~ 'key' then 'PT401 the API key is not valid' else 'PT401 the access token is not valid' end,
            used.name || ' is refused from the moment of its end'
        );
    end loop;
    commit;
    perform pg_sleep(extract(epoch from at + interval '1 second' - clock_timestamp()));
    for used in select * from tests.credentials where kind <> 'issuer' and name <> 'ann in Borg' order by name loop
        insert into tests.results (had, wanted, sentence) values (
            tests.try(used.kind, used.secret), case when used.kind ~ 'key' then 'PT401 the API key is not valid' else 'PT401 the access token is not valid' end,
            used.name || ' is refused a second later'
        );
    end loop;
    commit;
    perform tests.restore();
    commit;
end
$$;
call tests.expiry();

-- What resembles a credential that is remembered.
create procedure tests.likenesses() language plpgsql as $$
declare
    ann constant text := (select secret from tests.credentials where name = 'ann');
    everywhere constant text := (select secret from tests.credentials where name = 'ann everywhere');
    issuer constant text := (select secret from tests.credentials where name = 'ann of the issuer');
    key constant text := (select secret from tests.credentials where name = 'key');
    one record;
begin
    perform tests.try(kind, secret), tests.try(kind, secret) from tests.credentials;
    commit;
    for one in
        values ('token', ann || ' ', 'ann''s token with a space'),
            ('token', rtrim(ann, right(ann, 1)), 'ann''s token with less of its signature'),
            ('token', split_part(ann, '.', 1) || '.' || split_part(everywhere, '.', 2) || '.' || split_part(ann, '.', 3), 'other claims under ann''s signature'),
            ('issuer', ann, 'ann''s own token as the issuer''s'),
            ('token', issuer, 'the issuer''s token as ann''s own'),
            ('issuer', split_part(issuer, '.', 1) || '.' || split_part(issuer, '.', 2) || '.' || split_part(ann, '.', 3), 'the issuer''s claims under another signature'),
            ('key', left(key, 14) || repeat('A', 43), 'the key''s prefix with another secret'),
            ('key', key || 'A', 'the key and a letter'),
            ('key', ann, 'ann''s token as a key'),
            ('token', key, 'the key as a token')
    loop
        for n in 1..2 loop
            insert into tests.results (had, wanted, sentence) values (
                tests.try(one.column1, one.column2),
                case one.column1 when 'key' then 'PT401 the API key is not valid' else 'PT401 the access token is not valid' end,
                one.column3 || ' is refused' || case n when 2 then ', again' else '' end
            );
            commit;
        end loop;
    end loop;
    -- Refusals are not remembered: what was refused is good as soon as it is so.
    for n in 1..2 loop
        perform tests.other('update crm.users set status = ''disabled''');
        commit;
        perform tests.try('token', ann), tests.try('token', ann);
        commit;
        perform tests.other('update crm.users set status = ''active''');
        commit;
        insert into tests.results (had, wanted, sentence) values (tests.try('token', ann), 'accepted owner', 'ann is herself again as soon as she is active');
        commit;
    end loop;
end
$$;
call tests.likenesses();

\ir leave_world.psql

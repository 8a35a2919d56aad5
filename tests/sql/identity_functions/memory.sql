-- What a backend remembers of identities is forgotten on any change to what they depend on, whoever makes it and wherever it is
-- noticed: the credential was good, twice, so that it is remembered; something changes; the new state counts at once.

\ir memory_world.psql
\ir memory_changes.psql

-- Without this, the rest of the file would test nothing.
create procedure tests.remembered() language plpgsql as $$
declare
    used tests.credentials;
begin
    for used in select * from tests.credentials order by name loop
        perform tests.try(used.kind, used.secret);
        commit;
        call tests.remember(used);
        insert into tests.results (had, wanted, sentence)
        select concat_ws(', ', tests.try(used.kind, used.secret), case when tests.has_asked() then 'asked' end),
            tests.try(used.kind, used.secret), used.name || ' is remembered';
        commit;
    end loop;
end
$$;
call tests.remembered();

-- How a change comes about, after this session has remembered the credential and committed: what is said afterwards, and what was to be.
create procedure tests.by_others(c tests.changes, kind text, secret text) language plpgsql as $$
declare
    good constant text := tests.try(kind, secret);
begin
    perform tests.try(kind, secret);
    commit;
    perform tests.other(c.statement);
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), c.wanted, c.sentence || ', by another session');
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), good, 'and as before when it is undone');
    commit;
    perform tests.other('set session_replication_role = replica');
    perform tests.other(c.statement);
    perform tests.other('reset session_replication_role');
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), c.wanted, c.sentence || ', by replication');
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), good, 'and as before when it is undone');
    commit;
    perform tests.other('begin');
    perform tests.other('savepoint before');
    perform tests.other(c.statement);
    perform tests.other('rollback to before');
    perform tests.other('commit');
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), good, 'not: ' || c.sentence || ', when that is rolled back to a savepoint');
    commit;
end
$$;
create procedure tests.by_oneself(c tests.changes, kind text, secret text) language plpgsql as $$
declare
    good constant text := tests.try(kind, secret);
    said text[];
begin
    perform tests.try(kind, secret);
    commit;
    execute c.statement;
    said := array[tests.try(kind, secret), tests.try(kind, secret)];
    rollback;
    said := said || tests.try(kind, secret);
    insert into tests.results (had, wanted, sentence) values
        (said[1], c.wanted, c.sentence || ', in the same transaction'), (said[2], c.wanted, 'and stays so'),
        (said[3], good, 'and is as before when that is rolled back');
    commit;
    begin
        execute c.statement;
        said := array[tests.try(kind, secret)];
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    said := said || tests.try(kind, secret);
    insert into tests.results (had, wanted, sentence) values
        (said[1], c.wanted, c.sentence || ', in a subtransaction'), (said[2], good, 'and is as before when that is undone');
    commit;
    execute c.statement;
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(kind, secret), c.wanted, c.sentence || ', in an earlier transaction of this session');
    perform tests.restore();
    commit;
end
$$;
create procedure tests.all_changes() language plpgsql as $$
declare
    c tests.changes;
    used tests.credentials;
begin
    for c in select * from tests.changes order by id loop
        select * into used from tests.credentials where name = c.credential;
        call tests.by_others(c, used.kind, used.secret);
        call tests.by_oneself(c, used.kind, used.secret);
    end loop;
end
$$;
call tests.all_changes();

\ir leave_world.psql

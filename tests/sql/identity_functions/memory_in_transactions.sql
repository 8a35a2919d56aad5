-- What a backend remembers of identities is forgotten at once also where a transaction is under way when another session commits a
-- change: in every isolation level, and whether the credential was good in this transaction already or in an earlier one.

\ir memory_world.psql
\ir memory_changes.psql

create procedure tests.in_the_middle(c tests.changes, kind text, secret text, isolation text, asked boolean) language plpgsql as $$
declare
    said text;
begin
    perform tests.try(kind, secret), tests.try(kind, secret);
    perform set_config('default_transaction_isolation', isolation, false);
    commit;
    if asked then
        perform tests.try(kind, secret);
    end if;
    perform tests.other(c.statement);
    said := tests.try(kind, secret);
    perform set_config('default_transaction_isolation', 'read committed', false);
    commit;
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
    insert into tests.results (had, wanted, sentence) values (said, c.wanted, c.sentence || format(
        ', by another session in the middle of a transaction (%s%s)', isolation, case when asked then ', in which it was good' else '' end
    ));
    commit;
end
$$;
create procedure tests.all_changes() language plpgsql as $$
declare
    c tests.changes;
    used tests.credentials;
    isolation text;
begin
    for c in select * from tests.changes order by id loop
        select * into used from tests.credentials where name = c.credential;
        foreach isolation in array '{read committed,repeatable read,serializable}'::text[] loop
            call tests.in_the_middle(c, used.kind, used.secret, isolation, false);
            -- What noting a key's use has locked could not be truncated.
            if c.statement not like 'truncate%' then
                call tests.in_the_middle(c, used.kind, used.secret, isolation, true);
            end if;
        end loop;
    end loop;
end
$$;
call tests.all_changes();

\ir leave_world.psql

-- Each token once, so that none is remembered: the signature, the claims, and who that is now.
begin;
do $$
declare
    tokens bigint := (select count(*) from bench_tokens);
    started timestamptz;
begin
    perform crm.authenticate(current_setting('bench.token'));
    started := clock_timestamp();
    perform count(crm.authenticate(token)) from bench_tokens;
    insert into timings (what, variant, microseconds)
    values ('verify a token', 'crm_app', extract(epoch from clock_timestamp() - started) * 1000000 / tokens);

    started := clock_timestamp();
    for i in 1..20000 loop
        perform pg_temp.empty();
    end loop;
    insert into timings (what, variant, microseconds) values ('who am I', 'owner', extract(epoch from clock_timestamp() - started) * 1000000 / 20000);
    started := clock_timestamp();
    for i in 1..20000 loop
        perform crm.current_user_id();
    end loop;
    insert into timings (what, variant, microseconds) values ('who am I', 'crm_app', extract(epoch from clock_timestamp() - started) * 1000000 / 20000);
end
$$;
commit;

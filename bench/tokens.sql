-- Prints the key set and 2,000 tokens of one session, and notes what a request of that session carries.
\set ON_ERROR_STOP 1
set client_min_messages = warning;
select id as org_id from crm.organizations where slug = 'bench-1' \gset
select id as contact_id from crm.contacts where org_id = :'org_id' order by created_at limit 1 offset 1000 \gset
select crm.login('user1@bench.example', 'correct horse battery') ->> 'access_token' as token \gset
create table bench_request as
select :'org_id'::uuid as org_id, :'contact_id'::uuid as contact_id, :'token'::text as token,
    json_build_object('accept', '*/*', 'host', 'localhost:3000', 'user-agent', 'curl/8.0', 'authorization', 'Bearer ' || :'token')::text as current_headers,
    convert_from(decode(rpad(translate(split_part(:'token', '.', 2), '-_', '+/'),
        4 * ceil(length(split_part(:'token', '.', 2)) / 4.0)::int, '='), 'base64'), 'UTF8') as current_claims;
create table bench_tokens (token text);
begin;
select crm.authenticate(:'token') \g /dev/null
insert into bench_tokens select crm.switch_org('bench-1') ->> 'access_token' from generate_series(1, 2000);
commit;
select crm.jwks();
select token from bench_tokens;

-- Backends remember whether the tables are the library's until this table changes.
comment on table crm_private.schema_version is 'The versions of crm_ext whose tables these are; the newest one counts.';
create trigger _900_announce after insert or update or delete or truncate on crm_private.schema_version
    for each statement execute function crm_private.announce();
alter table crm_private.schema_version enable always trigger _900_announce;

-- Tags of records: what is checked when they are written, and what is done to a tag in all records.

create function crm_private.tag_record()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'tag_record_wrapper';

revoke all on function crm_private.tag_record() from public;
grant execute on function crm_private.tag_record() to crm_owner;

comment on function crm_private.tag_record() is
    'Trigger _140_tags: puts a record''s tags in order, each once and as the organization spells it, and makes those that are new. Errors: 22023 for tags that are none, or too many.';

create function crm_private.name_tag()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'name_tag_wrapper';

revoke all on function crm_private.name_tag() from public;
grant execute on function crm_private.name_tag() to crm_owner;

comment on function crm_private.name_tag() is
    'Trigger _120_name of tags: checks a name and keeps its key. Errors: 22023 for a name that is none, 23505 for a new name that is taken.';

create function crm_private.follow_tag()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'follow_tag_wrapper';

revoke all on function crm_private.follow_tag() from public;
grant execute on function crm_private.follow_tag() to crm_owner;

comment on function crm_private.follow_tag() is
    'Triggers _850_follow of tags: a tag''s new name is written into all records that have it; a tag that is deleted is taken from them. Errors: 55000 in REPEATABLE READ.';

create function crm.rename_tag(old text, new text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'rename_tag_wrapper';

revoke all on function crm.rename_tag(text, text) from public;
grant execute on function crm.rename_tag(text, text) to crm_app;

comment on function crm.rename_tag(text, text) is
$$Renames a tag of the active organization in all records that have it, whoever owns them; the same as changing its name in tags. old: in upper or lower case; new: up to 50 characters.
Returns {id, name}. Errors: 42501 without the permission tags.update, 22023 naming the argument, 23505 when there is a tag of the new name: then call merge_tags.$$;

create function crm.merge_tags("from" text[], "into" text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'merge_tags_wrapper';

revoke all on function crm.merge_tags(text[], text) from public;
grant execute on function crm.merge_tags(text[], text) to crm_app;

comment on function crm.merge_tags(text[], text) is
$$Makes one of several tags of the active organization: all records that have one of from have into instead, whoever owns them, and from are deleted. The names are those of tags, in upper or lower case.
Returns {name, merged, records}: how many tags are gone, and in how many records. Errors: 42501 without the permissions tags.update and tags.delete, 22023 naming the argument.$$;

create function crm.tag_counts()
    returns table (name text, color text, entity text, count bigint)
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'tag_counts_wrapper';

revoke all on function crm.tag_counts() from public;
grant execute on function crm.tag_counts() to crm_app;

comment on function crm.tag_counts() is
    'How many records of each entity have each tag, of the records that the caller may read. color: as in tags, null for those who may not read that. Tags that no such record has are not listed.';

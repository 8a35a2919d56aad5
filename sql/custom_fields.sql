-- Custom fields: the triggers of records and of definitions, and what people and the DBA call.

create function crm_private.check_custom_fields()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_custom_fields_wrapper';

revoke all on function crm_private.check_custom_fields() from public;
grant execute on function crm_private.check_custom_fields() to crm_owner;

comment on function crm_private.check_custom_fields() is
$$Trigger _150_custom_fields of tables with custom fields: checks values and brings them into the form that is stored; of an update, merges what is sent into what there is. Arguments: the entity; of parts of a record also the record's.
Errors: 22023, naming custom_fields.<key>.$$;

create function crm_private.keep_custom_values()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'keep_custom_values_wrapper';

revoke all on function crm_private.keep_custom_values() from public;
grant execute on function crm_private.keep_custom_values() to crm_owner;

comment on function crm_private.keep_custom_values() is
$$Triggers _800_custom_values_…: note unique values and references, and remove references to a record that goes. Argument: the entity.
Errors: 23505 for a value that another record has, 23503 for a record that others need, naming custom_fields.<key>.$$;

create function crm_private.check_custom_field()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_custom_field_wrapper';

revoke all on function crm_private.check_custom_field() from public;
grant execute on function crm_private.check_custom_field() to crm_owner;

comment on function crm_private.check_custom_field() is
    'Trigger _200_definition of custom_fields: a definition makes sense. Errors: 22023, naming the column.';

create function crm_private.lock_custom_fields()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'lock_custom_fields_wrapper';

revoke all on function crm_private.lock_custom_fields() from public;
grant execute on function crm_private.lock_custom_fields() to crm_owner;

comment on function crm_private.lock_custom_fields() is
    'Trigger _310_lock of custom_fields: waits for those who write values in the organization, and they from then on for it.';

create function crm_private.apply_custom_field()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'apply_custom_field_wrapper';

revoke all on function crm_private.apply_custom_field() from public;
grant execute on function crm_private.apply_custom_field() to crm_owner;

comment on function crm_private.apply_custom_field() is
$$Trigger _800_apply of custom_fields: values follow their field: to another key, to another name of an option, away with it.
Errors: 23503 for an option that records have, 23505 where values are to be unique and are not, 22023 for more than 200 fields, 55000 outside of READ COMMITTED.$$;

create function crm.rename_custom_field_option(field_id uuid, old_value text, new_value text)
    returns jsonb
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'rename_custom_field_option_wrapper';

revoke all on function crm.rename_custom_field_option(uuid, text, text) from public;
grant execute on function crm.rename_custom_field_option(uuid, text, text) to crm_app;

comment on function crm.rename_custom_field_option(uuid, text, text) is
$$Gives an option of a custom field another name, in its definition and in all records that have it. A name that another option has makes the two one.
field_id: a field of type select or multi_select. Returns {field_id, old_value, new_value}. Errors: 42501 without the permission custom_fields.update, 22023 for an unknown field or option.$$;

create function crm.index_custom_field(entity text, key text)
    returns text[]
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'index_custom_field_wrapper';

revoke all on function crm.index_custom_field(text, text) from public;
grant execute on function crm.index_custom_field(text, text) to crm_admin, crm_owner;

comment on function crm.index_custom_field(text, text) is
$$For the DBA: makes an index for filters and ranges by a custom field, for all organizations that have a field of this key: by its text, and where it is a number, by its value. Nobody writes to the table meanwhile.
entity: a table with custom fields, like contacts. Returns the names of the indexes. Errors: 22023 for an unknown field, and for one of type long_text, multi_select or url.$$;

create function crm.drop_custom_field_index(entity text, key text)
    returns text[]
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'drop_custom_field_index_wrapper';

revoke all on function crm.drop_custom_field_index(text, text) from public;
grant execute on function crm.drop_custom_field_index(text, text) to crm_admin, crm_owner;

comment on function crm.drop_custom_field_index(text, text) is
    'For the DBA: drops what crm.index_custom_field made. Returns the names of the indexes that there were.';

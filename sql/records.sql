-- What every enrolled table gets: ids, normalisation, stamps, policies and grants.

create function crm.uuid_v7()
    returns uuid
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel safe
    as 'MODULE_PATHNAME', 'uuid_v7_wrapper';

revoke all on function crm.uuid_v7() from public;
grant execute on function crm.uuid_v7() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin, crm_owner;

comment on function crm.uuid_v7() is 'A new id: UUID version 7 (RFC 9562), growing with time.';

create function crm_private.normalize()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'normalize_wrapper';

revoke all on function crm_private.normalize() from public;
grant execute on function crm_private.normalize() to crm_owner;

comment on function crm_private.normalize() is
    'Trigger _100_normalize: checks text and brings it into the form that is stored, by the rules given to crm.enroll. Errors: 22023, naming the column.';

create function crm_private.guard()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'guard_wrapper';

revoke all on function crm_private.guard() from public;
grant execute on function crm_private.guard() to crm_owner;

comment on function crm_private.guard() is
    'Trigger _300_guard: refuses a statement whose permission (<resource>.create, .update, .delete) the caller''s role has nowhere. Errors: 42501.';

create function crm_private.check_scope()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_scope_wrapper';

revoke all on function crm_private.check_scope() from public;
grant execute on function crm_private.check_scope() to crm_owner;

comment on function crm_private.check_scope() is
    'Trigger _400_scope: refuses to change or delete a row that the caller may see, but that their permission (<resource>.update, .delete) does not reach. Errors: 42501.';

create function crm_private.stamp()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'stamp_wrapper';

revoke all on function crm_private.stamp() from public;
grant execute on function crm_private.stamp() to crm_owner;

comment on function crm_private.stamp() is
    'Trigger _500_stamp: org_id, id, created_*, updated_*, owner_id, version. Errors: 42501 when org_id or id would change, 22023 when no organization is active and none is named.';

create function crm_private.pass_owner()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'pass_owner_wrapper';

revoke all on function crm_private.pass_owner() from public;
grant execute on function crm_private.pass_owner() to crm_owner;

comment on function crm_private.pass_owner() is
    'Trigger _600_owner_<parts> of a record: its parts have its owner.';

create function crm_private.check_hierarchy()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_hierarchy_wrapper';

revoke all on function crm_private.check_hierarchy() from public;
grant execute on function crm_private.check_hierarchy() to crm_owner;

comment on function crm_private.check_hierarchy() is
    'Triggers _600_hierarchy of a table whose rows belong to others of it, by the column that is the argument: no row is among its own ancestors, also when two transactions each make one half of a circle. Errors: 22023, naming the column.';

create function crm.enroll(
    target regclass,
    rules text[] default '{}',
    access text[] default null,
    part_of text default null,
    read_only boolean default false
)
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'enroll_wrapper';

revoke all on function crm.enroll(regclass, text[], text[], text, boolean) from public;
grant execute on function crm.enroll(regclass, text[], text[], text, boolean) to crm_owner;

comment on function crm.enroll(regclass, text[], text[], text, boolean) is
$$Gives a table what every table of the CRM has: forced row level security with policies for crm_app and crm_multi by the permissions <table>.read, .create, .update, .delete and their scope (own: owner_id is the caller; team: owner_id is in a group of theirs; all; without a column owner_id only those with scope all do anything); grants; a refusal of what the caller is not permitted; stamps (org_id, id, created_at, created_by, updated_at, updated_by, owner_id, version: those the table has); tags, where it has a column tags text[].
target: a table of the caller's with primary key (org_id, id). One with partitions is written by its own name: by that of a partition past policies, limits and history.
rules: how columns are checked and kept, "<column> [required] <kind>".
For text, with the kinds line <max>, text <max>, html <max> (rich text, sanitised), email, phone <column for E.164>, domain, url, code <letters>, country (ISO 3166-1 alpha-2), currency (ISO 4217), color (#rrggbb), key (a name for programs), mime (a type of file), rrule (how something repeats, RFC 5545), time_zone, locale; for text[], lines <max> (at most 100 entries). What is blank is stored as null.
For states, with the kinds steps *:<state>,… <state>:<state>,… (where a row may begin, and from which state it may go to which), since <column> <value>,… (a timestamptz: when that column came to have one of the values; *: when it changed last), owner (a uuid: who is named there owns the row), kept (clients cannot set it: of any type, its default a constant).
secret, of any type and beside another rule for the column: history tells that it changed, and never its value.
access: what the built-in roles may do, "<role> <action>[,<action>…] [own|team|all]", with the roles manager, sales, support, read_only (owners and admins may do everything) and the actions read, create, update, delete. Null: as before, or for a new table manager everything for their team, sales everything for their own, support reads all and adds and changes their own, read_only reads all.
part_of: the column of a foreign key (on delete cascade) to the record whose parts these rows are: who may read the record reads them, who may update it adds, changes and deletes them. Both tables have owner_id; a part's is the record's.
read_only: whether clients only read, and the rows are the database's.
Calling it again replaces what it made. Errors: 22023 for a table or rule that does not fit (a unique or foreign key that does not begin with org_id would tell what other organizations have; a policy of its own for the same roles would let in more), 42501 for a table of somebody else.$$;

create function crm.unenroll(target regclass)
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'unenroll_wrapper';

revoke all on function crm.unenroll(regclass) from public;
grant execute on function crm.unenroll(regclass) to crm_owner;

comment on function crm.unenroll(regclass) is
    'Takes away what crm.enroll gave, the permissions included. Row level security stays on, so the API sees nothing of the table.';

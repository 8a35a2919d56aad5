-- Parts of records, and columns that the database keeps: what crm.enroll makes of them on a DBA's own tables.

begin;
\ir actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

create table crm.orders (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text,
    status text not null default 'draft',
    sent_at timestamptz,
    status_since timestamptz,
    total numeric(19, 4) not null default 0,
    number text,
    assignee_id uuid,
    note text,
    country text,
    currency text,
    color text,
    type text,
    code text,
    owner_id uuid,
    version integer not null default 1,
    constraint orders_pkey primary key (org_id, id),
    constraint orders_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint orders_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id)
);
create table crm.order_lines (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    order_id uuid not null,
    title text,
    owner_id uuid,
    version integer not null default 1,
    constraint order_lines_pkey primary key (org_id, id),
    constraint order_lines_org_id_order_id_fkey foreign key (org_id, order_id) references crm.orders (org_id, id) on delete cascade,
    constraint order_lines_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);
create table crm.order_events (like crm.order_lines including all);
alter table crm.order_events add foreign key (org_id, order_id) references crm.orders (org_id, id) on delete cascade;
alter table crm.orders owner to crm_owner;
alter table crm.order_lines owner to crm_owner;
alter table crm.order_events owner to crm_owner;

select crm.enroll('crm.orders', array[
    'name line 100', 'status steps *:draft draft:sent,void sent:paid,void paid: void:', 'sent_at since status sent,paid',
    'status_since since status *', 'total kept', 'number kept', 'assignee_id owner', 'note html 1000',
    'country country', 'currency currency', 'color color', 'type mime', 'code key'
]);
select crm.enroll('crm.order_lines', array['title line 100'], part_of => 'order_id');
select crm.enroll('crm.order_events', part_of => 'order_id', read_only => true);
-- A second time, which changes no permission of the record's.
select crm.enroll('crm.order_events', part_of => 'order_id', read_only => true);

-- Enrolment ---------------------------------------------------------------------------------------------------------

select is(
    tests.outcome($$select crm.enroll('crm.orders', part_of => 'name')$$),
    '22023 part_of: must be a column of a foreign key (org_id, …) to a record (org_id, id) with on delete cascade; both tables have an owner_id and the same owner',
    'a part names its record by a foreign key'
);
select matches(
    tests.outcome($$select crm.enroll('crm.order_lines', access => array['sales read'], part_of => 'order_id')$$), '^22023 access: ',
    'a part has no permissions of its own'
);
select matches(
    tests.outcome(format($$select crm.enroll('crm.orders', array[%L])$$, rule)), '^22023 rules: ', 'no rule: ' || rule
)
from unnest('{status steps,status steps a:,name since status sent,sent_at kept so,assignee_id line 10,name owner,sent_at since}'::text[]) as rule;
select is_empty(
    $$select resource, action from crm.permissions where resource in ('order_lines', 'order_events')$$, 'parts have no permissions'
);
select is_empty(
    $$select tgname from pg_trigger where tgrelid in ('crm.order_lines'::regclass, 'crm.order_events'::regclass) and tgname like '\_800%'$$,
    'and are not counted'
);
select is_empty($$select relation, problem from crm.check_enrollment()$$, 'all is as it should be');
select is(
    col_description('crm.orders'::regclass, (select attnum from pg_attribute where attrelid = 'crm.orders'::regclass and attname = 'version')),
    'Grows by one with every change; kept by the database.', 'the columns that all tables have are described'
);

-- States ------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
insert into crm.orders (id, name, status_since, sent_at, total, number)
values ('018f0000-0000-7000-8000-000000000001', 'one', '2001-01-01', '2001-01-01', 99, 'X-1');
select results_eq(
    'select status, sent_at, status_since, total, number from crm.orders', $$values ('draft', null::timestamptz, now(), 0::numeric(19, 4), null::text)$$,
    'sam sets nothing that is the database''s'
);
select is(
    tests.outcome($$insert into crm.orders (status) values ('sent')$$),
    '23514 status: a new one cannot be sent / {"column":"status","from":null,"to":"sent","allowed":["draft"]}', 'an order begins as a draft'
);
select is(
    tests.outcome($$update crm.orders set status = 'paid'$$),
    '23514 status: there is no step from draft to paid / {"column":"status","from":"draft","to":"paid","allowed":["sent","void"]}',
    'an illegal step is refused with the legal ones'
);
select matches(tests.outcome($$update crm.orders set status = 'lost'$$), '^23514 status: there is no step from draft to lost', 'and so is a state there is not');
update crm.orders set total = 5, number = 'X-2', status_since = '2001-01-01', name = 'uno';
select results_eq('select name, total, number from crm.orders', $$values ('uno', 0::numeric(19, 4), null::text)$$, 'nor does sam change them');
update crm.orders set status = 'sent', sent_at = '2001-01-01';
select results_eq('select status, sent_at from crm.orders', $$values ('sent', now())$$, 'a legal step is made, and its time kept');
update crm.orders set status = 'void';
select results_eq('select status, sent_at from crm.orders', $$values ('void', null::timestamptz)$$, 'a time goes with its state');
select is(
    tests.outcome($$update crm.orders set status = 'draft'$$),
    '23514 status: there is no step from void to draft / {"column":"status","from":"void","to":"draft","allowed":[]}', 'the last state is the last'
);
select is(tests.outcome($$update crm.orders set status = 'void', name = 'x'$$), '1 rows', 'to stay is no step');

select tests.nobody();
insert into crm.orders (org_id, id, name, status, sent_at, total, number, owner_id)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000002', 'old', 'paid', '2001-01-01', 99, 'X-1', tests.user_id('sue'));
select results_eq(
    $$select status, sent_at, total, number from crm.orders where name = 'old'$$,
    $$values ('paid', timestamptz '2001-01-01', 99::numeric(19, 4), 'X-1')$$, 'the DBA brings old orders as they are'
);
select matches(tests.outcome($$update crm.orders set status = 'draft' where name = 'old'$$), '^23514 ', 'but does not turn them back either');

-- Assignees ---------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.orders (name, assignee_id) values ('assigned', tests.user_id('sue'));
select is(owner_id, tests.user_id('sue'), 'who is assigned owns it') from crm.orders where name = 'assigned';
update crm.orders set owner_id = tests.user_id('sam') where name = 'assigned';
select is(assignee_id, tests.user_id('sam'), 'who gets it is assigned') from crm.orders where name = 'assigned';
update crm.orders set assignee_id = null where name = 'assigned';
select is(owner_id, tests.user_id('sam'), 'nobody assigned leaves the owner') from crm.orders where name = 'assigned';
update crm.orders set assignee_id = tests.user_id('sue') where name = 'assigned';
select is(owner_id, tests.user_id('sue'), 'assigned to another, it is the other''s') from crm.orders where name = 'assigned';
select tests.become('sam', 'Acme');
select is_empty($$select name from crm.orders where name = 'assigned'$$, 'sam, who sees his own, does not see it any more');
select tests.become('sue', 'Acme');
select matches(
    tests.outcome(format($$update crm.orders set assignee_id = %L where name = 'assigned'$$, tests.user_id('sam'))), '^42501 ',
    'sue cannot give hers away: her scope is own'
);

-- Text --------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.orders (name, note, country, currency, color, type, code)
values ('text', '<p onclick="x()">Hi<script>alert(1)</script></p>', 'de', 'eur', '#AABBCC', 'Image/PNG', 'a_1');
select results_eq(
    $$select note, country, currency, color, type, code from crm.orders where name = 'text'$$,
    $$values ('<p>Hi</p>', 'DE', 'EUR', '#aabbcc', 'image/png', 'a_1')$$, 'text is stored in its form'
);
select is(tests.outcome(format('insert into crm.orders (%I) values (%L)', name, value)), '22023 ' || name || ': ' || problem, format('no %s: %s', name, value))
from (values
    ('country', 'XX', 'not a country''s code of two letters (ISO 3166-1) like DE'),
    ('currency', 'EU', 'not a currency''s code of three letters (ISO 4217) like EUR'),
    ('color', 'red', 'not a colour like #1e90ff'),
    ('type', 'png', 'not a type of file like image/png'),
    ('code', 'A', 'not a name of lower-case letters, digits and _ that begins with a letter, of at most 63'),
    ('note', repeat('x', 1001), 'too long: 1001 characters, at most 1000 are allowed')
) as bad (name, value, problem);

-- Parts -------------------------------------------------------------------------------------------------------------

select tests.become('sue', 'Acme');
insert into crm.order_lines (order_id, title, owner_id) values ('018f0000-0000-7000-8000-000000000002', 'hers', tests.user_id('sam'));
select is(owner_id, tests.user_id('sue'), 'a part has its record''s owner, whatever is said') from crm.order_lines;
update crm.order_lines set owner_id = tests.user_id('sam'), title = 'hers still';
select results_eq('select title, owner_id from crm.order_lines', $$values ('hers still', tests.user_id('sue'))$$, 'and keeps it');

select tests.become('sam', 'Acme');
select is_empty('select id from crm.order_lines', 'sam does not see the parts of what he does not see');
select is(tests.outcome('update crm.order_lines set title = ''his'''), '0 rows', 'nor change them');
select is(tests.outcome('delete from crm.order_lines'), '0 rows', 'nor delete them');
select matches(
    tests.outcome($$insert into crm.order_lines (order_id, title) values ('018f0000-0000-7000-8000-000000000002', 'his')$$), '^42501 ',
    'nor add to them'
);
select is(
    tests.outcome($$insert into crm.order_lines (order_id, title) values ('018f0000-0000-7000-8000-000000000002', 'his')$$),
    tests.outcome($$insert into crm.order_lines (order_id, title) values ('018f0000-0000-7000-8000-00000000dead', 'his')$$),
    'and is not told whether there is such a record'
);
insert into crm.order_lines (id, order_id, title) values ('018f0000-0000-7000-8000-0000000000aa', '018f0000-0000-7000-8000-000000000001', 'his');
select matches(
    tests.outcome($$update crm.order_lines set order_id = '018f0000-0000-7000-8000-000000000002'$$), '^42501 ', 'nor move one of his there'
);
select is(tests.outcome($$insert into crm.order_events (order_id) values ('018f0000-0000-7000-8000-000000000001')$$),
    '42501 permission denied for table order_events', 'what is read only he does not write');

select tests.become('viewer', 'Acme');
select is((select count(*) from crm.order_lines), 2::bigint, 'a viewer sees all parts');
select matches(tests.outcome($$update crm.order_lines set title = 'x'$$), '^42501 ', 'and changes none');
select matches(tests.outcome($$delete from crm.order_lines$$), '^42501 ', 'nor deletes one');

select tests.become('bob', 'Borg');
select is_empty('select id from crm.order_lines', 'bob sees none: he is of another organization');
select matches(
    tests.outcome(format($$insert into crm.order_lines (order_id) values (%L)$$, order_id)), '^23503 ', 'and adds none to ' || order_id
)
from unnest('{018f0000-0000-7000-8000-000000000001,018f0000-0000-7000-8000-00000000dead}'::uuid[]) as order_id;

select tests.become('ann', 'Acme');
update crm.orders set owner_id = tests.user_id('sue') where name = 'uno';
select is(owner_id, tests.user_id('sue'), 'parts follow their record to a new owner') from crm.order_lines where title = 'his';
select tests.become('sam', 'Acme');
select is_empty('select id from crm.order_lines', 'sam does not see them any more');
select tests.become('ann', 'Acme');
select is(tests.outcome($$update crm.order_lines set order_id = '018f0000-0000-7000-8000-000000000002'$$), '2 rows', 'ann moves parts between records');
delete from crm.orders where id = '018f0000-0000-7000-8000-000000000002';
select results_eq('select title from crm.order_lines', $$values ('his')$$, 'parts go with their record');

select tests.nobody();
delete from crm.memberships where user_id = tests.user_id('sue');
select is_empty('select owner_id from crm.order_lines where owner_id is not null', 'and lose their owner with it');
select crm.unenroll('crm.order_lines');
select is_empty(
    $$select tgname from pg_trigger where tgrelid = 'crm.orders'::regclass and tgname = '_600_owner_order_lines'$$,
    'unenrolled, a part is not followed any more'
);

select finish();
rollback;

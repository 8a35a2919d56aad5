-- By the state of a while ago, records that were tagged meanwhile could not be seen: so no tag is renamed by it.

begin isolation level repeatable read;
\ir ../actors.psql
select plan(2);
select tests.register('ann', 'Acme');
select tests.become('ann', 'Acme');
insert into crm.contacts (last_name, tags) values ('One', '{vip}');
select is(
    tests.outcome($$select crm.rename_tag('vip', 'x')$$), '55000 records that were tagged meanwhile could not be seen by the state of a while ago',
    'in REPEATABLE READ no tag is renamed'
);
select is(tests.outcome($$update crm.tags set color = '#00ff00'$$), '1 rows', 'but coloured');
select * from finish();
rollback;

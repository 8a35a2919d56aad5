-- History ends with the plan. What the DBA agreed otherwise stays.
update crm.plans as p
set limits = p.limits || jsonb_build_object('history_days', added.days)
from (values ('free', 90), ('pro', 730)) as added (name, days)
where p.name = added.name and not p.limits ? 'history_days';

comment on column crm.plans.limits is
    'The most that an organization may have: users, webhooks, or a table''s name; records: of each table without a limit of its own; history_days: for how many days its history is kept. What is not named has no limit.';

-- Who changes an organization, its members and its keys is history, too. These tables are not enrolled: functions of their own write
-- them.

select crm_private.keep_history('crm.organizations', 'organizations');
select crm_private.keep_history('crm.memberships', 'memberships');
select crm_private.keep_history('crm_private.invitations', 'invitations');
select crm_private.keep_history('crm_private.api_keys', 'api_keys', '{hash}');
select crm_private.keep_history('crm_private.plan_overrides', 'organizations');

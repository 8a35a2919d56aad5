-- In every stage of the default pipeline; what is closed was closed within the last ninety days.
with stages as (
    select s.pipeline_id, s.id, s.kind, s.probability, (row_number() over (order by s.position, s.id))::int - 1 as turn, (count(*) over ())::int as number
    from crm.pipeline_stages as s
    join crm.pipelines as p on p.org_id = s.org_id and p.id = s.pipeline_id and p.is_default
    where s.org_id = $1
), made as (
    insert into crm.deals (
        org_id, name, account_id, contact_id, pipeline_id, stage_id, status, amount, currency, expected_close_date, closed_at, lost_reason, source,
        next_step, stage_changed_at, tags, custom_fields, owner_id, external_id, created_at
    )
    select $1, (array['Licences', 'Extension', 'Starter package', 'Migration', 'Training package', 'Support contract'])[nth % 6 + 1] || ' for ' || a.name,
        a.id, c.id, s.pipeline_id, s.id, s.kind, 1000 + nth * 7919 % 60000, a.currency, current_date + (nth * 11 % 90 - 15)::int,
        case when s.kind <> 'open' then moved end,
        case when s.kind = 'lost' then (array['price', 'competitor', 'no budget', 'no answer'])[nth % 4 + 1] end,
        (array['web', 'referral', 'event', 'partner'])[nth % 4 + 1],
        case when s.kind = 'open' then (array['Send the offer', 'Call on Friday', 'Meet the board'])[nth % 3 + 1] end, moved,
        case when nth % 8 = 0 then '{upsell}'::text[] else '{}' end,
        case when nth % 4 = 0 then '{"competitors": ["globex", "initech"]}'::jsonb else '{}' end,
        a.owner_id, 'demo-deal-' || nth, moved - interval '25 days'
    from generate_series(1, 80 * $2) as nth
    join stages as s on s.turn = nth % s.number
    cross join lateral (select now() - make_interval(hours => (nth * 89 % 2100)::int) as moved) as times
    join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 7 % (60 * $2) + 1)
    join crm.accounts as a on a.org_id = $1 and a.id = c.account_id
    returning org_id, id, external_id, account_id, contact_id
)
insert into crm.deal_contacts (org_id, deal_id, contact_id, role)
select made.org_id, made.id, c.id, (array['decision maker', 'influencer', 'user'])[substring(made.external_id from '\d+$')::int % 3 + 1]
from made
join crm.contacts as c on c.org_id = made.org_id and c.account_id = made.account_id and c.id <> made.contact_id

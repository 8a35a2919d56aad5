insert into crm.messages (
    org_id, channel, direction, thread_id, from_address, to_addresses, subject, body, status, sent_at, received_at, source_id, account_id, contact_id,
    owner_id, created_at
)
select $1, channel, direction, 'demo-thread-' || nth / 3, case direction when 'inbound' then theirs else ours end,
    array[case direction when 'inbound' then ours else theirs end], case channel when 'email' then 'Your question of ' || to_char(happened, 'FMDD FMMonth') end,
    (array['Thank you, that helps.', 'When can you deliver?', 'The offer is attached.', 'Could we talk on Monday?'])[nth % 4 + 1],
    case direction when 'inbound' then 'received' else 'delivered' end, case direction when 'outbound' then happened end,
    case direction when 'inbound' then happened end, 'demo-message-' || nth, c.account_id, c.id, c.owner_id, happened
from generate_series(1, 60 * $2) as nth
cross join lateral (
    select (array['email', 'email', 'sms', 'chat'])[nth % 4 + 1] as channel, (array['inbound', 'outbound'])[nth % 2 + 1] as direction,
        now() - make_interval(mins => (nth * 1709 % 86000)::int) as happened
) as made
join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 17 % (60 * $2) + 1)
cross join lateral (
    select case channel when 'sms' then '+16502531000' else 'office@demo.example' end as ours,
        case channel when 'sms' then '+16502532000' else coalesce(c.email, 'nobody@mail.example') end as theirs
) as addresses

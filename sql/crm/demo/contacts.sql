-- Three people for each company.
insert into crm.contacts (
    org_id, account_id, first_name, last_name, title, department, lead_source, email, phone, city, country, birthday, tags, custom_fields,
    owner_id, external_id, created_at
)
select $1, a.id, first_name, last_name, title, department, lead_source,
    lower(translate(first_name || '.' || last_name, 'üßéöñ ''', 'useon')) || coalesce('.' || nullif(turn, 0), '') || '@' || a.domain,
    case when nth % 4 > 0 then '+1 650 253 ' || to_char(1000 + nth % 9000, 'FM0000') end,
    a.billing_city, a.billing_country, case when nth % 3 = 0 then date '1961-03-02' + (nth % 40 * 311)::int end,
    case nth % 7 when 0 then '{vip}'::text[] when 3 then '{newsletter}' when 5 then '{newsletter,trade fair}' else '{}' end,
    jsonb_build_object(
        'language', case a.billing_country when 'DE' then 'German' when 'FR' then 'French' when 'SE' then 'Swedish' else 'English' end,
        'decision_maker', nth % 3 = 1
    ),
    a.owner_id, 'demo-contact-' || nth, a.created_at + interval '3 days'
from (
    select company.id, company.domain, company.billing_city, company.billing_country, company.owner_id, company.created_at,
        (row_number() over (order by company.external_id))::int as number
    from crm.accounts as company
    where company.org_id = $1
) as a
cross join generate_series(0, 2) as person
cross join lateral (select (a.number - 1) * 3 + person + 1 as nth) as counted
cross join lateral (
    select (nth - 1) / 400 as turn,
        (array[
            'Maria', 'Tom', 'Priya', 'Lena', 'David', 'Jürgen', 'Aylin', 'Henrik', 'Grace', 'Samuel',
            'Claire', 'Kenji', 'Ada', 'Omar', 'Sofia', 'Lucas', 'Nina', 'Pavel', 'Rosa', 'Ivan'
        ])[(nth - 1) % 20 + 1] as first_name,
        (array[
            'Alvarez', 'Becker', 'Nair', 'Fischer', 'Okafor', 'Weiß', 'Demir', 'Larsen', 'Whitfield', 'Osei',
            'Dubois', 'Tanaka', 'Novak', 'Haddad', 'Rossi', 'Silva', 'Berg', 'Horák', 'Jiménez', 'Petrov'
        ])[((nth - 1) + (nth - 1) / 20) % 20 + 1] as last_name,
        (array['Head of Purchasing', 'Logistics Manager', 'Chief Financial Officer', 'IT Lead', 'Operations Director', 'Assistant'])[(nth - 1) % 6 + 1] as title,
        (array['Purchasing', 'Logistics', 'Finance', 'IT', 'Operations'])[(nth - 1) % 5 + 1] as department,
        (array['web', 'referral', 'event', 'partner', 'cold call'])[(nth - 1) % 5 + 1] as lead_source
) as made

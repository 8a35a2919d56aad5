-- Some have a second number and a private address.
with more as (
    select c.org_id, c.id, c.external_id, substring(c.external_id from '\d+$')::int as nth
    from crm.contacts as c
    where c.org_id = $1 and substring(c.external_id from '\d+$')::int % 5 = 0
), emails as (
    insert into crm.contact_emails (org_id, contact_id, kind, email)
    select org_id, id, 'home', replace(external_id, 'demo-', '') || '@mail.example' from more
)
insert into crm.contact_phones (org_id, contact_id, kind, phone)
select org_id, id, 'mobile', '+49 1512 ' || to_char(3000000 + nth % 6000000, 'FM0000000') from more

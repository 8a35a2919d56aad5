-- Run by crm.load_demo() as the demo organization's owner, through the same policies and triggers as any client.

insert into crm.groups (name, description) values ('Sales team', 'Its manager sees what its salespeople own.');

insert into crm.group_members (group_id, user_id, is_lead)
select g.id, m.user_id, m.role = 'manager'
from crm.groups as g
join crm.memberships as m on m.org_id = g.org_id and m.role in ('manager', 'sales')
where g.name = 'Sales team';

insert into crm.accounts (name, domain, website, type, industry, employees, annual_revenue, currency, phone, billing_city, billing_country, external_id)
values
    ('Northwind Traders', 'northwind.example', 'https://northwind.example', 'customer', 'Wholesale', 240, 38000000, 'USD', '+1 650-253-0000', 'Seattle', 'US', 'demo-northwind'),
    ('Contoso Labs', 'contoso.example', 'https://contoso.example', 'customer', 'Biotechnology', 85, 12500000, 'USD', '+1 650-253-0001', 'Boston', 'US', 'demo-contoso'),
    ('Fabrikam GmbH', 'fabrikam.example', 'https://fabrikam.example', 'prospect', 'Manufacturing', 1200, 210000000, 'EUR', '+49 30 123456', 'Berlin', 'DE', 'demo-fabrikam'),
    ('Blue Yonder Air', 'blueyonder.example', 'https://blueyonder.example', 'prospect', 'Aviation', 540, 96000000, 'GBP', '+44 20 7946 0958', 'London', 'GB', 'demo-blueyonder'),
    ('Woodgrove Partners', 'woodgrove.example', 'https://woodgrove.example', 'partner', 'Consulting', 35, 4200000, 'USD', null, 'Denver', 'US', 'demo-woodgrove');

insert into crm.contacts (account_id, first_name, last_name, title, email, phone, lead_source, owner_id, external_id)
select a.id, d.first_name, d.last_name, d.title, d.email, d.phone, d.lead_source, m.user_id, d.external_id
from (values
    ('demo-northwind', 'Maria', 'Alvarez', 'Head of Purchasing', 'maria.alvarez@northwind.example', '+1 650-253-0010', 'referral', 'sales', 'demo-01'),
    ('demo-northwind', 'Tom', 'Becker', 'Logistics Manager', 'tom.becker@northwind.example', null, 'referral', 'sales', 'demo-02'),
    ('demo-northwind', 'Priya', 'Nair', 'Chief Financial Officer', 'priya.nair@northwind.example', '+1 650-253-0011', 'event', 'manager', 'demo-03'),
    ('demo-contoso', 'Lena', 'Fischer', 'Research Director', 'lena.fischer@contoso.example', null, 'web', 'sales', 'demo-04'),
    ('demo-contoso', 'David', 'Okafor', 'Lab Manager', 'david.okafor@contoso.example', '+1 650-253-0012', 'web', 'sales', 'demo-05'),
    ('demo-fabrikam', 'Jürgen', 'Weiß', 'Plant Manager', 'juergen.weiss@fabrikam.example', '+49 30 123457', 'event', 'manager', 'demo-06'),
    ('demo-fabrikam', 'Aylin', 'Demir', 'IT Lead', 'aylin.demir@fabrikam.example', '+49 30 123458', 'event', 'sales', 'demo-07'),
    ('demo-fabrikam', 'Henrik', 'Larsen', 'Procurement', 'henrik.larsen@fabrikam.example', null, 'cold call', 'sales', 'demo-08'),
    ('demo-blueyonder', 'Grace', 'Whitfield', 'Operations Director', 'grace.whitfield@blueyonder.example', '+44 20 7946 0959', 'referral', 'manager', 'demo-09'),
    ('demo-blueyonder', 'Samuel', 'Osei', 'Fleet Manager', 'samuel.osei@blueyonder.example', null, 'web', 'sales', 'demo-10'),
    ('demo-woodgrove', 'Claire', 'Dubois', 'Partner', 'claire.dubois@woodgrove.example', null, 'partner', 'owner', 'demo-11'),
    ('demo-woodgrove', 'Kenji', 'Tanaka', 'Consultant', 'kenji.tanaka@woodgrove.example', null, 'partner', 'owner', 'demo-12'),
    (null, 'Ada', 'Novak', 'Freelance Designer', 'ada.novak@mail.example', null, 'web', 'support', 'demo-13'),
    (null, 'Omar', 'Haddad', 'Journalist', 'omar.haddad@press.example', null, 'event', 'support', 'demo-14'),
    (null, 'Sofia', 'Rossi', null, 'sofia.rossi@mail.example', '+39 06 6982 1234', 'web', 'sales', 'demo-15')
) as d (account, first_name, last_name, title, email, phone, lead_source, owner_role, external_id)
join crm.memberships as m on m.org_id = crm.current_org_id() and m.role = d.owner_role
left join crm.accounts as a on a.org_id = crm.current_org_id() and a.external_id = d.account;

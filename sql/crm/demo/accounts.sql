-- Twenty companies; each further scale has them again, with a number.
insert into crm.accounts (
    org_id, name, domain, website, type, status, industry, employees, annual_revenue, currency, email, phone,
    billing_street, billing_city, billing_postal_code, billing_country, description, tags, custom_fields, owner_id, external_id, created_at
)
select $1, d.name || coalesce(' ' || nullif(copy, 1), ''), host, 'https://' || host, d.type,
    case when d.nth = 20 then 'inactive' else 'active' end, d.industry, d.employees, d.employees * 145000, d.currency,
    'info@' || host, d.phone, d.street, d.city, d.postal_code, d.country, d.name || ' in ' || d.city || ', ' || lower(d.industry) || '.',
    case d.nth % 5 when 1 then '{vip,reference}'::text[] when 2 then '{newsletter}' when 3 then '{trade fair}' else '{}' end,
    jsonb_build_object(
        'tier', (array['gold', 'silver', 'bronze'])[d.nth % 3 + 1],
        'customer_since', to_char(date '2019-01-15' + (d.nth * 97 % 2000)::int, 'YYYY-MM-DD'),
        'health_score', 40 + d.nth * 37 % 60
    ),
    m.user_id, 'demo-' || d.key || coalesce('-' || nullif(copy, 1), ''), now() - make_interval(days => 30 + ((d.nth * 53 + copy) % 700)::int)
from (values
    (1, 'northwind', 'Northwind Traders', 'customer', 'Wholesale', 240, 'USD', '+1 650-253-0000', '1 Pine Street', 'Seattle', '98101', 'US', 'sales'),
    (2, 'contoso', 'Contoso Labs', 'customer', 'Biotechnology', 85, 'USD', '+1 650-253-0001', '22 Harbor Road', 'Boston', '02110', 'US', 'sales'),
    (3, 'fabrikam', 'Fabrikam GmbH', 'prospect', 'Manufacturing', 1200, 'EUR', '+49 30 123456', 'Werkstraße 7', 'Berlin', '10115', 'DE', 'manager'),
    (4, 'blueyonder', 'Blue Yonder Air', 'prospect', 'Aviation', 540, 'GBP', '+44 20 7946 0958', '8 Terminal Way', 'London', 'TW6 1AP', 'GB', 'manager'),
    (5, 'woodgrove', 'Woodgrove Partners', 'partner', 'Consulting', 35, 'USD', '+1 650-253-0002', '500 Larimer Street', 'Denver', '80202', 'US', 'owner'),
    (6, 'tailspin', 'Tailspin Toys', 'customer', 'Toys', 310, 'USD', '+1 650-253-0003', '77 Maker Avenue', 'Portland', '97201', 'US', 'sales'),
    (7, 'wingtip', 'Wingtip Retail', 'customer', 'Retail', 2100, 'USD', '+1 650-253-0004', '9 Market Square', 'Chicago', '60601', 'US', 'sales'),
    (8, 'litware', 'Litware Publishing', 'customer', 'Publishing', 64, 'GBP', '+44 20 7946 0959', '14 Fleet Lane', 'London', 'EC4A 2AB', 'GB', 'manager'),
    (9, 'adatum', 'Adatum Energie', 'prospect', 'Energy', 780, 'EUR', '+49 40 123456', 'Am Hafen 3', 'Hamburg', '20457', 'DE', 'sales'),
    (10, 'proseware', 'Proseware Software', 'customer', 'Software', 150, 'USD', '+1 650-253-0005', '3 Loop Road', 'Austin', '73301', 'US', 'sales'),
    (11, 'trey', 'Trey Research', 'customer', 'Research', 42, 'USD', '+1 650-253-0006', '61 College Street', 'Palo Alto', '94301', 'US', 'manager'),
    (12, 'margie', 'Margie''s Travel', 'customer', 'Travel', 28, 'EUR', '+33 1 42 68 53 00', '12 rue du Port', 'Marseille', '13002', 'FR', 'sales'),
    (13, 'fourthcoffee', 'Fourth Coffee', 'customer', 'Food', 460, 'USD', '+1 650-253-0007', '4 Bean Boulevard', 'San Francisco', '94103', 'US', 'sales'),
    (14, 'alpine', 'Alpine Ski House', 'customer', 'Hospitality', 120, 'CHF', '+41 44 668 18 00', 'Bergweg 21', 'Zürich', '8001', 'CH', 'manager'),
    (15, 'cohovineyard', 'Coho Vineyard', 'prospect', 'Wine', 55, 'USD', '+1 650-253-0008', '900 Valley Road', 'Napa', '94558', 'US', 'sales'),
    (16, 'lucerne', 'Lucerne Pharma', 'prospect', 'Pharmaceuticals', 3300, 'CHF', '+41 41 227 17 17', 'Seestrasse 40', 'Luzern', '6002', 'CH', 'manager'),
    (17, 'humongous', 'Humongous Insurance', 'customer', 'Insurance', 5400, 'USD', '+1 650-253-0009', '1 Tower Plaza', 'New York', '10005', 'US', 'manager'),
    (18, 'graphic', 'Graphic Design Institute', 'customer', 'Education', 210, 'SEK', '+46 8 123 456', 'Storgatan 5', 'Stockholm', '111 23', 'SE', 'sales'),
    (19, 'munson', 'Munson''s Parts', 'vendor', 'Automotive', 95, 'USD', '+1 650-253-0010', '18 Gear Street', 'Detroit', '48201', 'US', 'owner'),
    (20, 'citypower', 'City Power & Light', 'other', 'Utilities', 890, 'USD', '+1 650-253-0011', '200 Main Street', 'Columbus', '43004', 'US', 'owner')
) as d (nth, key, name, type, industry, employees, currency, phone, street, city, postal_code, country, owner_role)
cross join generate_series(1, $2) as copy
cross join lateral (select d.key || coalesce('-' || nullif(copy, 1), '') || '.example' as host) as named
join crm.memberships as m on m.org_id = $1 and m.role = d.owner_role

insert into crm.contacts (org_id, first_name, last_name, email, phone, title, city, country, description)
values (:org, 'First', 'Last', 'c' || random() || '@bench.example', '+49 30 1234', 'Title', 'Berlin', 'DE', repeat('words ', 20));

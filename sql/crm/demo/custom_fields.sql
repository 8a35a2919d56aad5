insert into crm.custom_fields (org_id, entity, key, label, type, options, position)
values
    ($1, 'accounts', 'tier', 'Tier', 'select', '[{"value": "gold", "label": "Gold"}, {"value": "silver", "label": "Silver"}, {"value": "bronze", "label": "Bronze"}]', 1),
    ($1, 'accounts', 'customer_since', 'Customer since', 'date', null, 2),
    ($1, 'accounts', 'health_score', 'Health score', 'number', null, 3),
    ($1, 'contacts', 'language', 'Language', 'text', null, 1),
    ($1, 'contacts', 'decision_maker', 'Decision maker', 'boolean', null, 2),
    ($1, 'deals', 'competitors', 'Competitors', 'multi_select', '[{"value": "initech", "label": "Initech"}, {"value": "globex", "label": "Globex"}, {"value": "hooli", "label": "Hooli"}]', 1)

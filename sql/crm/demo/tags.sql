insert into crm.tags (org_id, name, color, description)
values
    ($1, 'vip', '#d4af37', 'Whoever calls is put through.'),
    ($1, 'newsletter', '#1e90ff', 'Gets the newsletter.'),
    ($1, 'reference', '#2e8b57', 'May be named to others.'),
    ($1, 'at risk', '#dc143c', 'Somebody should call.'),
    ($1, 'trade fair', '#8a2be2', 'Met at the trade fair.'),
    ($1, 'upsell', '#ff8c00', 'Could use more.')

-- What the CRM was installed with names nobody in particular: verifiers look for this issuer, and links in messages lead to this
-- address.
select found.severity, 'crm_private.settings' as object, found.problem, found.fix
from (select pg_catalog.count(*) as rows from crm_private.settings) as all_settings
left join crm_private.settings as s on true
cross join lateral (
    values
        (all_settings.rows = 0, 'error', 'there is no row: nobody gets or shows a token', 'insert into crm_private.settings default values'),
        (s.issuer = 'crm_ext', 'info', 'issuer is the built-in one: tokens do not say whose they are',
            'update crm_private.settings set issuer = ''https://…'''),
        (s.public_url ~ '^https?://(localhost|127\.)', 'info', 'public_url is an address of this machine',
            'update crm_private.settings set public_url = ''https://…'''),
        (s.public_url ~ '^http://' and s.public_url !~ '^http://(localhost|127\.)', 'warning', 'public_url is not https: tokens travel in clear text',
            'update crm_private.settings set public_url = ''https://…'''),
        (s.issuer ~ '\s' or s.audience ~ '^\s*$' or s.audience ~ '(^\s|\s$)', 'warning', 'issuer or audience has blanks in it',
            'update crm_private.settings set issuer = …, audience = …'),
        (s.trusted_proxies = 0, 'info', 'trusted_proxies is 0: nobody is locked out by network address',
            'update crm_private.settings set trusted_proxies = 1')
) as found (is_so, severity, problem, fix)
where found.is_so

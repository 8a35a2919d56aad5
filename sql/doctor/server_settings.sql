-- Settings that lose data, write secrets into the log, stop row level security or let tables grow, most of them changed for a
-- night's import and never changed back.
select
    bad.severity,
    bad.name as object,
    pg_catalog.format('%s = %s: %s', bad.name, $1 -> 'settings' ->> bad.name, bad.consequence) as problem,
    pg_catalog.format('alter system set %s = %s; %s', bad.name, bad.wanted,
        case when bad.at_restart then 'then restart the server' else 'select pg_reload_conf()' end) as fix
from (
    values
        ('row_security', '^on$', 'error', 'on', false, 'queries that a policy limits fail, and the CRM takes every session of the DBA for a restore'),
        ('session_replication_role', '^origin$', 'error', 'origin', false, 'no trigger fires: nothing is checked, stamped or counted'),
        ('fsync', '^on$', 'warning', 'on', false, 'a crash of the machine destroys the cluster'),
        ('full_page_writes', '^on$', 'warning', 'on', false, 'a crash of the machine leaves torn pages'),
        ('synchronous_commit', '^(on|local|remote_write|remote_apply)$', 'warning', 'on', false, 'a crash loses what clients were told is stored'),
        ('autovacuum', '^on$', 'warning', 'on', false, 'tables grow without end, and plans go by old statistics'),
        ('track_counts', '^on$', 'warning', 'on', false, 'autovacuum does not know where to begin'),
        ('default_transaction_read_only', '^off$', 'warning', 'off', false, 'nobody can write'),
        ('statement_timeout', '^0$', 'info', '0', false, 'it also ends migrations and dumps; the API roles have theirs'),
        ('password_encryption', '^scram-sha-256$', 'warning', '''scram-sha-256''', false, 'new passwords are kept as weak hashes'),
        ('log_parameter_max_length_on_error', '^0$', 'warning', '0', false, 'the log gets the bodies of failed requests, passwords among them'),
        ('constraint_exclusion', '^(partition|on)$', 'info', 'partition', false, 'queries read partitions they need not'),
        ('enable_partition_pruning', '^on$', 'info', 'on', false, 'queries read partitions they need not'),
        ('wal_level', '^(replica|logical)$', 'info', 'replica', true, 'no standby and no recovery to a point in time'),
        ('max_prepared_transactions', '^0$', 'info', '0', true,
            'who can run SQL as an API role can leave a prepared transaction behind that holds its locks: see docs/security.md, K6'),
        ('TimeZone', '^(UTC|Etc/UTC|GMT|Etc/GMT|Etc/UCT|UCT|Zulu)$', 'info', '''UTC''', false, 'days and dates in queries without a zone are this zone''s')
) as bad (name, good, severity, wanted, at_restart, consequence)
where $1 -> 'settings' ->> bad.name !~ bad.good
union all
-- Of prepared statements, as PostgREST's are, the log gets the parameters: the request's body.
select
    'warning',
    'log_statement',
    pg_catalog.format('log_statement = %s: the log gets the bodies of requests, passwords among them', $1 -> 'settings' ->> 'log_statement'),
    'alter system set log_parameter_max_length = 0; select pg_reload_conf()'
where $1 -> 'settings' ->> 'log_statement' in ('mod', 'all') and $1 -> 'settings' ->> 'log_parameter_max_length' <> '0'
union all
select
    'warning',
    'log_min_duration_statement',
    'the log gets the bodies of slow requests, passwords among them',
    'alter system set log_parameter_max_length = 0; select pg_reload_conf()'
where ($1 -> 'settings' ->> 'log_min_duration_statement')::integer >= 0 and $1 -> 'settings' ->> 'log_parameter_max_length' <> '0'

//! All that a role can read, from the catalog.

use std::io::Read;

use crm_http_tests::admin;
use postgres::Transaction;

/// The query that reads a relation, or calls a function that needs no argument; with its name.
fn queries(role: &str) -> Vec<(String, String)> {
    let mut client = admin::connect();
    let rows = client.query(
        "select c.oid::regclass::text,
             format('select row(%s)::text from %s', string_agg(quote_ident(a.attname), ', '), c.oid::regclass)
         from pg_class as c
         join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             and has_column_privilege($1, c.oid, a.attnum, 'select')
         where c.relkind in ('r', 'v', 'm', 'p', 'f') and has_schema_privilege($1, c.relnamespace, 'usage')
             and c.relnamespace <> 'pg_toast'::regnamespace
         group by c.oid
         union all
         select p.oid::regprocedure::text, format('select t::text from %I.%I() as t', n.nspname, p.proname)
         from pg_proc as p
         join pg_namespace as n on n.oid = p.pronamespace
         join pg_type as r on r.oid = p.prorettype
         where p.prokind = 'f' and p.pronargs - p.pronargdefaults = 0 and p.provariadic = 0
             and (r.typtype <> 'p' or r.typname in ('record', 'void'))
             and has_schema_privilege($1, n.oid, 'usage') and has_function_privilege($1, p.oid, 'execute')
             -- These end or replace the identity, or hand secrets to whom they are for.
             and p.oid <> all ('{
                 crm.logout,crm.leave_organization,crm.pre_request,crm.claim_messages,crm.claim_oauth_exchanges,
                 crm.claim_webhook_deliveries
             }'::regproc[])
             -- Of whose two arguments one is needed.
             and p.oid <> 'crm.undo'::regproc
             -- The platform's, which refuse everybody else: platform_refusals.rs.
             and p.oid <> all ('{crm.list_organizations,crm.list_users,crm.rotate_signing_key}'::regproc[])",
        &[&role],
    );
    rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Everything the role can read, each with where it was. The transaction is in the role, with its identity.
pub fn everything(transaction: &mut Transaction, role: &str) -> Vec<(String, Vec<u8>)> {
    let mut read = vec![];
    // Hundreds of catalog views, each with workers of its own, would take minutes where parallel plans are forced.
    transaction.batch_execute("set local max_parallel_workers_per_gather = 0").unwrap();
    for (name, query) in queries(role) {
        let mut savepoint = transaction.savepoint("read").unwrap();
        let mut text = vec![];
        let copied =
            savepoint.copy_out(&format!("copy ({query}) to stdout")).map(|mut rows| rows.read_to_end(&mut text));
        match copied {
            Ok(Ok(_)) => read.push((name, text)),
            // Permission to call does not mean that it works here; but of our own tables and functions all do.
            _ => assert!(!name.starts_with("crm.") || role != "crm_app", "{role} cannot read {name}"),
        }
        savepoint.rollback().unwrap();
    }
    read
}

//! The administrator's connection: looks past row level security at what really is in the database.

use std::cell::RefCell;

use postgres::types::{FromSqlOwned, ToSql};
use postgres::{Client, NoTls};
use uuid::Uuid;

thread_local! {
    static CONNECTION: RefCell<Client> = RefCell::new(observer());
}

/// It is not what is tested: workers for each of its many queries would take minutes where parallel plans are forced.
fn observer() -> Client {
    let mut client = connect();
    client.batch_execute("set max_parallel_workers_per_gather = 0").unwrap();
    client
}

pub fn connect() -> Client {
    Client::connect(&crate::setting("CRM_TEST_DB"), NoTls).unwrap()
}

type Arguments<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a statement; gives how many rows it touched.
#[track_caller]
pub fn execute(statement: &str, arguments: Arguments) -> u64 {
    CONNECTION.with_borrow_mut(|client| client.execute(statement, arguments)).unwrap()
}

/// The first column of the only row.
#[track_caller]
pub fn value<T: FromSqlOwned>(query: &str, arguments: Arguments) -> T {
    CONNECTION.with_borrow_mut(|client| client.query_one(query, arguments)).unwrap().get(0)
}

/// Every row of the organization, and of the people in it, in one number that changes when anything of it does.
pub fn fingerprint(organization: Uuid) -> String {
    value(
        "select md5(string_agg(rows.line, '|' order by rows.line))
         from (
             select 'c' || c::text as line from crm.contacts as c where c.org_id = $1
             union all select 'a' || a::text from crm.accounts as a where a.org_id = $1
             union all select 'o' || o::text from crm.organizations as o where o.id = $1
             union all select 'm' || m::text from crm.memberships as m where m.org_id = $1
             union all select 'r' || r::text from crm.roles as r where r.org_id = $1
             union all select 'rp' || rp::text from crm.role_permissions as rp where rp.org_id = $1
             union all select 'g' || g::text from crm.groups as g where g.org_id = $1
             union all select 'gm' || gm::text from crm.group_members as gm where gm.org_id = $1
             union all select 'gp' || gp::text from crm.group_permissions as gp where gp.org_id = $1
             union all select 't' || t::text from crm.tags as t where t.org_id = $1
             union all select 'gr' || gr::text from crm.group_roles as gr where gr.org_id = $1
             union all select 'cf' || cf::text from crm.custom_fields as cf where cf.org_id = $1
             union all select 'u' || u::text from crm.users as u
                 where u.id in (select user_id from crm.memberships where org_id = $1)
             union all select 'p' || p::text from crm_private.passwords as p
                 where p.user_id in (select user_id from crm.memberships where org_id = $1)
         ) as rows",
        &[&organization],
    )
}

/// Rows of the organization's table.
pub fn count(table: &str, organization: Uuid) -> i64 {
    value(&format!("select count(*) from crm.{table} where org_id = $1"), &[&organization])
}

pub fn empty(organization: Uuid) {
    execute("delete from crm.contacts where org_id = $1", &[&organization]);
    execute("delete from crm.accounts where org_id = $1", &[&organization]);
}

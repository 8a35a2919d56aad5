//! A connection as PostgREST's pool has it, or anybody who got hold of crm_authenticator's password: raw SQL.

use std::cell::RefCell;

use postgres::{Client, NoTls, Row, Transaction};
use serde_json::Value;
use uuid::Uuid;

use crate::token;

thread_local! {
    static SESSION: RefCell<Client> = RefCell::new(connect());
}

/// With a session that many cases of a test use one after the other: logging in is what takes the time.
pub fn session<R>(work: impl FnOnce(&mut Client) -> R) -> R {
    SESSION.with_borrow_mut(work)
}

/// A new session of crm_authenticator, in which our library is not loaded yet.
pub fn connect() -> Client {
    Client::connect(&crate::setting("CRM_TEST_APP_DB"), NoTls).unwrap()
}

/// The same with startup options (`-c name=value`).
pub fn connect_with(options: &str) -> Result<Client, postgres::Error> {
    let mut config: postgres::Config = crate::setting("CRM_TEST_APP_DB").parse().unwrap();
    config.options(options).connect(NoTls)
}

/// Starts a request as PostgREST does: role, claims and headers first, then the pre-request.
pub fn begin_request<'a>(client: &'a mut Client, token: &str) -> Result<Transaction<'a>, postgres::Error> {
    let claims = token::payload(token);
    let headers = serde_json::json!({ "authorization": format!("Bearer {token}") }).to_string();
    let role = claims["role"].as_str().unwrap_or_default().to_owned();
    let mut transaction = client.transaction()?;
    transaction.execute(
        "select set_config('search_path', '\"crm\", \"pg_temp\"', true), set_config('role', $1, true),
             set_config('request.jwt.claims', $2, true), set_config('request.headers', $3, true)",
        &[&role, &claims.to_string(), &headers],
    )?;
    transaction.execute("select crm.pre_request()", &[])?;
    Ok(transaction)
}

/// Starts a transaction as a SQL client does, and authenticates.
pub fn begin_authenticated<'a>(client: &'a mut Client, token: &str) -> Result<Transaction<'a>, postgres::Error> {
    let role = crate::http::text(&token::payload(token)["role"]);
    let mut transaction = begin_as(client, &role)?;
    authenticate(&mut transaction, token)?;
    Ok(transaction)
}

/// Starts a transaction in a role, without an identity.
pub fn begin_as<'a>(client: &'a mut Client, role: &str) -> Result<Transaction<'a>, postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!("set local role {role}"))?;
    Ok(transaction)
}

pub fn authenticate(transaction: &mut Transaction, token: &str) -> Result<Row, postgres::Error> {
    transaction.query_one("select crm.authenticate($1)", &[&token])
}

pub fn current_user(transaction: &mut Transaction) -> Option<Uuid> {
    transaction.query_one("select crm.current_user_id()", &[]).unwrap().get(0)
}

pub fn whoami(transaction: &mut Transaction) -> Value {
    transaction.query_one("select crm.whoami()", &[]).unwrap().get(0)
}

pub fn contacts(transaction: &mut Transaction) -> i64 {
    transaction.query_one("select count(*) from crm.contacts", &[]).unwrap().get(0)
}

/// Nobody, in both roles that users have.
#[track_caller]
pub fn assert_nobody(client: &mut Client) {
    for role in ["crm_app", "crm_multi"] {
        assert_nobody_in(&mut begin_as(client, role).unwrap());
    }
}

/// Nobody, by every function that tells, and nothing to be seen.
#[track_caller]
pub fn assert_nobody_in(transaction: &mut Transaction) {
    assert_eq!(current_user(transaction), None);
    assert_eq!(whoami(transaction)["authenticated"], false);
    for table in ["contacts", "accounts", "organizations", "users", "memberships"] {
        let rows: i64 = transaction.query_one(&format!("select count(*) from crm.{table}"), &[]).unwrap().get(0);
        assert_eq!(rows, 0, "{table}");
    }
}

/// The SQLSTATE of the server's refusal; empty for success.
pub fn sqlstate<T>(result: Result<T, postgres::Error>) -> String {
    match result {
        Ok(_) => String::new(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

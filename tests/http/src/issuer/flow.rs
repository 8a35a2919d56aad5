//! Signing in by authorization code, as a client and as the worker.

use postgres::types::ToSql;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Issuer, REDIRECT_URI, as_role, challenge_of};
use crate::actor::anonymous;
use crate::admin;
use crate::http::{Response, text};
use crate::token::base64url;

pub fn start(provider: &str, redirect_uri: &str, challenge: &str) -> Response {
    let arguments = json!({ "provider": provider, "redirect_uri": redirect_uri, "code_challenge": challenge });
    anonymous("POST", "/rpc/oauth_start").json(&arguments).send()
}

pub fn finish(state: &str, code: &str, verifier: &str) -> Response {
    let arguments = json!({ "state": state, "code": code, "code_verifier": verifier });
    anonymous("POST", "/rpc/oauth_finish").json(&arguments).send()
}

/// A sign-in that has begun.
pub struct Flow {
    pub url: String,
    pub state: String,
    pub verifier: String,
    /// What the provider sends the person back with.
    pub code: String,
}

/// A code that the worker is to exchange.
#[derive(Debug, PartialEq)]
pub struct Exchange {
    pub id: Uuid,
    /// All columns but the id.
    pub row: Value,
}

impl Flow {
    pub fn start(issuer: &Issuer) -> Self {
        let verifier = base64url([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
        let answer = start(&issuer.name, REDIRECT_URI, &challenge_of(&verifier)).expect(200).json();
        let (url, state) = (text(&answer["authorization_url"]), text(&answer["state"]));
        Self { url, state, verifier, code: format!("4/{}", Uuid::new_v4()) }
    }

    /// One whose code the worker has claimed.
    pub fn claimed(issuer: &Issuer) -> (Self, Uuid) {
        let flow = Self::start(issuer);
        flow.finish().expect(202);
        let exchange = flow.claim("1 minute").unwrap();
        (flow, exchange.id)
    }

    pub fn finish(&self) -> Response {
        finish(&self.state, &self.code, &self.verifier)
    }

    /// The worker claims what there is; gives what is of this sign-in.
    pub fn claim(&self, lease: &str) -> Option<Exchange> {
        let query = "select c.id, to_jsonb(c) - 'id' from crm.claim_oauth_exchanges(100, $1::text::interval) as c";
        let rows = as_role("crm_worker", |sql| sql.query(query, &[&lease])).unwrap();
        let exchanges = rows.iter().map(|row| Exchange { id: row.get(0), row: row.get(1) });
        exchanges.into_iter().find(|exchange| exchange.row["code_verifier"] == json!(self.verifier))
    }

    /// Changes what is kept of it: `assignment` is SQL.
    pub fn set(&self, assignment: &str) {
        let statement =
            format!("update crm_private.oauth_flows set {assignment} where state_hash = sha256($1::text::bytea)");
        assert_eq!(admin::execute(&statement, &[&self.state]), 1);
    }
}

type Arguments<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The worker tells how an exchange went: `call` is SQL.
pub fn tell(call: &str, arguments: Arguments) -> Result<bool, postgres::Error> {
    as_role("crm_worker", |sql| Ok(sql.query_one(&format!("select {call}"), arguments)?.get(0)))
}

/// The worker completes it as for GitHub: with what its API says of the person.
pub fn complete(id: Uuid, subject: &str, email: Option<&str>, verified: bool) -> Result<bool, postgres::Error> {
    tell("crm.complete_oauth_exchange($1, $2, $3, $4, 'Olga Auth')", &[&id, &subject, &email, &verified])
}

/// The worker completes it as for Google: with an ID token.
pub fn complete_with_token(id: Uuid, token: &str) -> Result<bool, postgres::Error> {
    tell("crm.complete_oauth_exchange($1, id_token => $2)", &[&id, &token])
}

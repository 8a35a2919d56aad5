//! Tokens made of a good one, and whether they are refused wherever they can be shown.

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::http::Request;
use crate::sql;
use crate::token::{self, Signer, with};

/// A user with a contact, and what their token is made of.
pub struct Original {
    pub user: Actor,
    pub header: Value,
    pub payload: Value,
    pub signer: Signer,
}

impl Original {
    pub fn register() -> Self {
        let user = Actor::register();
        user.insert("contacts", &json!({ "last_name": "Guarded" }));
        let (header, payload) = (token::header(user.token()), token::payload(user.token()));
        Self { user, header, payload, signer: Signer::stolen() }
    }

    /// The token with one member of the payload changed; null removes it.
    pub fn claim(&self, name: &str, value: Value) -> String {
        self.signer.sign(&self.header.to_string(), &with(&self.payload, name, value).to_string())
    }

    /// The token with one member of the header changed.
    pub fn head(&self, name: &str, value: Value) -> String {
        self.signer.sign(&with(&self.header, name, value).to_string(), &self.payload.to_string())
    }

    /// The token with text put before the other claims.
    pub fn claims_text(&self, first: &str) -> String {
        let rest = self.payload.to_string();
        self.signer.sign(&self.header.to_string(), &format!("{{{first},{}", &rest[1..]))
    }

    pub fn signed_by(&self, alg: &str, signer: &Signer) -> String {
        signer.sign(&with(&self.header, "alg", alg.into()).to_string(), &self.payload.to_string())
    }
}

/// Refused wherever it is shown, and nothing of the user's comes back.
pub fn refused(what: &str, token: &str, status: u16) -> Result<(), String> {
    for (method, path) in
        [("GET", "/contacts"), ("GET", "/rpc/whoami"), ("GET", "/rpc/me"), ("GET", "/"), ("POST", "/contacts")]
    {
        let mut request = Request::new(method, path).token(token);
        if method == "POST" {
            request = request.json(&json!({ "last_name": "Intruder" }));
        }
        let answer = request.send();
        if answer.status != status || answer.text().contains("Guarded") {
            return Err(format!("{what}, {status} expected: {answer}"));
        }
        if status == 401 && !["PT401", "PGRST301"].contains(&answer.code().as_str()) {
            return Err(format!("{what}: another code: {answer}"));
        }
    }
    Ok(())
}

/// Refused by crm.authenticate() as well.
pub fn refused_in_sql(what: &str, token: &str, code: &str) -> Result<(), String> {
    let state = sql::session(|client| {
        let mut transaction = sql::begin_as(client, "crm_app").unwrap();
        sql::sqlstate(sql::authenticate(&mut transaction, token))
    });
    if state == code { Ok(()) } else { Err(format!("{what}: SQLSTATE {state} instead of {code}")) }
}

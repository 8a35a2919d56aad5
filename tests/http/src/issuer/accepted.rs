//! A provider whose access tokens are taken as they are. PostgREST has to know its keys, which concerns everybody: who
//! holds one is alone, and PostgREST is as before when it goes.

use std::sync::MutexGuard;
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Issuer, Key};
use crate::actor::Actor;
use crate::http::Response;
use crate::token::now;
use crate::{admin, alone};

pub const AUDIENCE: &str = "https://api.crm.example";

pub struct Accepted {
    pub issuer: Issuer,
    /// Somebody with a contact, linked to `subject`.
    pub user: Actor,
    pub subject: String,
    _alone: MutexGuard<'static, ()>,
}

impl Accepted {
    pub fn new(alg: &str) -> Self {
        let alone = alone();
        let (issuer, user) = (Issuer::new(alg), Actor::with_contacts(1));
        let accepted = Self { subject: format!("auth|{}", Uuid::new_v4()), issuer, user, _alone: alone };
        accepted.accept(&accepted.issuer);
        link(&accepted.user, &accepted.issuer, &accepted.subject);
        accepted.until_known();
        accepted
    }

    /// Takes another one's tokens, too.
    pub fn accept(&self, issuer: &Issuer) {
        issuer.set(&format!("accept_access_tokens = true, access_token_audiences = '{{other,{AUDIENCE}}}'"));
        admin::execute("notify pgrst", &[]);
    }

    pub fn claims(&self) -> Value {
        self.claims_of(&self.subject)
    }

    pub fn claims_of(&self, subject: &str) -> Value {
        json!({
            "iss": self.issuer.url, "sub": subject, "aud": AUDIENCE, "iat": now(), "nbf": now(), "exp": now() + 3600,
            "jti": Uuid::new_v4(), "client_id": self.issuer.client, "scope": "openid crm",
        })
    }

    pub fn token(&self) -> String {
        self.sign(&self.claims())
    }

    pub fn sign(&self, claims: &Value) -> String {
        sign(&self.issuer.keys[0], claims)
    }

    /// The user, with a token of the provider.
    pub fn external(&self) -> Actor {
        self.user.with_token(&self.token())
    }

    /// Somebody else of the provider's people, who is linked to this user.
    pub fn external_as(&self, user: &Actor) -> Actor {
        let subject = format!("auth|{}", Uuid::new_v4());
        link(user, &self.issuer, &subject);
        user.with_token(&self.sign(&self.claims_of(&subject)))
    }

    /// What a request with a token of these claims gets.
    pub fn get(&self, claims: &Value) -> Response {
        self.user.with_token(&self.sign(claims)).get("/contacts")
    }

    pub fn until_known(&self) {
        self.until("know", |answer| answer.status == 200);
    }

    /// PostgREST alone refuses the provider's tokens: it does not have the keys any more.
    pub fn until_forgotten(&self) {
        self.until("forget", |answer| answer.code() == "PGRST301");
    }

    fn until(&self, what: &str, reached: impl Fn(&Response) -> bool) {
        let started = Instant::now();
        // Another token each time: PostgREST remembers those it has seen.
        while !reached(&self.external().get("/rpc/me")) {
            assert!(started.elapsed() < Duration::from_secs(15), "PostgREST did not {what} the provider's keys");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        admin::execute("delete from crm_private.identity_providers where accept_access_tokens", &[]);
        admin::execute("notify pgrst", &[]);
        if !panicking() {
            self.until_forgotten();
        }
    }
}

pub fn sign(key: &Key, claims: &Value) -> String {
    key.sign(&key.header("at+jwt").to_string(), &claims.to_string())
}

/// The platform says what the provider calls this user.
pub fn link(user: &Actor, issuer: &Issuer, subject: &str) {
    let linked: bool = admin::value("select crm.link_identity($1, $2, $3)", &[&user.user, &issuer.name, &subject]);
    assert!(linked);
}

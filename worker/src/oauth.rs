//! Exchanges the codes of people who come back from an identity provider (RFC 6749, 4.1.3, with RFC 7636), and asks who they
//! are where the provider gives no ID token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tracing::{info, warn};
use uuid::Uuid;

use crate::db::{Error, Link};
use crate::guard::Guard;
use crate::http::{self, Answer};
use crate::metrics::Metrics;
use crate::repeat::Backoff;

const LEASE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(15);
const LIMIT: usize = 256 * 1024;
const AT_ONCE: i32 = 10;

pub struct Exchanger {
    pub link: Arc<Link>,
    pub client: Client,
    pub guard: Arc<Guard>,
    pub metrics: Arc<Metrics>,
}

/// A code that waits. It has no Debug: what is in it lets people in.
struct Exchange {
    id: Uuid,
    provider: String,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    code: String,
    verifier: String,
    redirect_uri: String,
}

/// What the provider says of the person.
#[derive(Debug, PartialEq)]
enum Person {
    IdToken(String),
    Profile { subject: String, email: Option<String>, email_verified: bool, full_name: Option<String> },
}

enum Problem {
    /// The provider does not take the code.
    Refused(String),
    /// It may take it later: nothing arrived there, or it is out of order.
    Later(String),
}

impl Exchanger {
    pub async fn round(&self) -> Result<bool, Error> {
        let rows = self
            .link
            .query(
                "select id, provider, token_endpoint, userinfo_endpoint, client_id, client_secret, code, code_verifier, redirect_uri
                 from crm.claim_oauth_exchanges($1, pg_catalog.make_interval(secs => $2))",
                &[(&AT_ONCE, Type::INT4), (&LEASE.as_secs_f64(), Type::FLOAT8)],
            )
            .await?;
        let exchanges = rows.iter().map(Exchange::of).collect::<Result<Vec<_>, _>>()?;
        futures_util::future::join_all(exchanges.iter().map(|exchange| self.finish(exchange))).await;
        Ok(exchanges.len() == AT_ONCE as usize)
    }

    async fn finish(&self, exchange: &Exchange) {
        let deadline = Instant::now() + LEASE;
        let provider = &exchange.provider;
        let outcome = match self.person(exchange).await {
            Ok(person) => self.complete(exchange.id, &person, deadline).await,
            Err(Problem::Refused(problem)) => {
                warn!(provider, problem, exchange = %exchange.id, "a sign-in was refused");
                self.fail(exchange.id, deadline).await
            }
            Err(Problem::Later(problem)) => {
                warn!(provider, problem, exchange = %exchange.id, "a sign-in waits for the provider");
                Ok("postponed")
            }
        };
        match outcome {
            Ok(outcome) => {
                self.metrics.oauth_exchange(outcome);
                info!(provider, exchange = %exchange.id, outcome, "a sign-in's code was handled");
            }
            Err(error) => {
                self.metrics.oauth_exchange("lost");
                warn!(provider, exchange = %exchange.id, error = %error, "what came of a sign-in could not be stored");
            }
        }
    }

    async fn complete(&self, id: Uuid, person: &Person, deadline: Instant) -> Result<&'static str, Error> {
        let told = match person {
            Person::IdToken(token) => {
                let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (token, Type::TEXT)];
                self.tell("select crm.complete_oauth_exchange($1, id_token => $2)", &parameters, deadline).await
            }
            Person::Profile { subject, email, email_verified, full_name } => {
                let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
                    (&id, Type::UUID),
                    (subject, Type::TEXT),
                    (email, Type::TEXT),
                    (email_verified, Type::BOOL),
                    (full_name, Type::TEXT),
                ];
                self.tell("select crm.complete_oauth_exchange($1, $2, $3, $4, $5)", &parameters, deadline).await
            }
        };
        match told {
            Err(error) if error.is_invalid() => {
                warn!(exchange = %id, error = %error, "what the provider said was not taken");
                self.fail(id, deadline).await
            }
            Err(error) => Err(error),
            Ok(()) => Ok("completed"),
        }
    }

    async fn fail(&self, id: Uuid, deadline: Instant) -> Result<&'static str, Error> {
        self.tell("select crm.fail_oauth_exchange($1)", &[(&id, Type::UUID)], deadline).await.map(|()| "refused")
    }

    /// Until it is stored: the code has been used.
    async fn tell(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            match self.link.query(statement, parameters).await {
                Err(error) if error.lost && Instant::now() < deadline => tokio::time::sleep(backoff.failed()).await,
                answer => return answer.map(drop),
            }
        }
    }

    async fn person(&self, exchange: &Exchange) -> Result<Person, Problem> {
        let tokens = self.tokens(exchange).await?;
        if let Some(token) = tokens.id_token {
            return Ok(Person::IdToken(token));
        }
        let (Some(token), Some(endpoint)) = (tokens.access_token, &exchange.userinfo_endpoint) else {
            return Err(Problem::Refused("the answer has no token that tells who it is".into()));
        };
        let told = self.ask(endpoint, &token).await?;
        if told["sub"].is_string() {
            return profile_of_openid(&told);
        }
        // GitHub does not speak OpenID Connect; its addresses are told elsewhere, and only there whether they were verified.
        let emails = self.ask(&format!("{}/emails", endpoint.trim_end_matches('/')), &token).await;
        profile_of_github(&told, emails.as_ref().unwrap_or(&Value::Null))
    }

    async fn tokens(&self, exchange: &Exchange) -> Result<Tokens, Problem> {
        let missing = || Problem::Refused("the provider has no token_endpoint or no client_id".into());
        let endpoint = exchange.token_endpoint.as_deref().ok_or_else(missing)?;
        let client_id = exchange.client_id.as_deref().ok_or_else(missing)?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &exchange.code),
            ("redirect_uri", &exchange.redirect_uri),
            ("client_id", client_id),
            ("code_verifier", &exchange.verifier),
        ];
        form.extend(exchange.client_secret.as_deref().map(|secret| ("client_secret", secret)));
        let url = self.guard.check(endpoint).map_err(|refusal| Problem::Refused(refusal.to_string()))?;
        let answer = exchanged(self.client.post(url).form(&form)).await?;
        Tokens::of(&answer)
    }

    async fn ask(&self, endpoint: &str, token: &str) -> Result<Value, Problem> {
        let url = self.guard.check(endpoint).map_err(|refusal| Problem::Refused(refusal.to_string()))?;
        let answer = exchanged(self.client.get(url).bearer_auth(token)).await?;
        if !answer.is_success() {
            return Err(Problem::Refused(format!("HTTP {} where it is told who it is", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(|_| Problem::Refused("who it is was not told in JSON".into()))
    }
}

async fn exchanged(request: RequestBuilder) -> Result<Answer, Problem> {
    let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
    match http::exchange(request, TIMEOUT, LIMIT).await {
        Ok(answer) if answer.cut => Err(Problem::Refused("answer too large".into())),
        Ok(answer) if answer.status >= 500 || answer.status == 429 => {
            Err(Problem::Later(format!("HTTP {}", answer.status)))
        }
        Ok(answer) => Ok(answer),
        Err(failure) if failure.before_sending => Err(Problem::Later(failure.word)),
        Err(failure) => Err(Problem::Refused(failure.word)),
    }
}

impl Exchange {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            provider: row.try_get(1)?,
            token_endpoint: row.try_get(2)?,
            userinfo_endpoint: row.try_get(3)?,
            client_id: row.try_get(4)?,
            client_secret: row.try_get(5)?,
            code: row.try_get(6)?,
            verifier: row.try_get(7)?,
            redirect_uri: row.try_get(8)?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    error: Option<String>,
    id_token: Option<String>,
    access_token: Option<String>,
}

impl Tokens {
    fn of(answer: &Answer) -> Result<Self, Problem> {
        let tokens: Self = serde_json::from_slice(&answer.body)
            .map_err(|_| Problem::Refused(format!("HTTP {} and no JSON", answer.status)))?;
        // GitHub refuses with 200 and an error.
        match &tokens.error {
            Some(error) => Err(Problem::Refused(http::excerpt(error.as_bytes(), 100))),
            None if !answer.is_success() => Err(Problem::Refused(format!("HTTP {}", answer.status))),
            None => Ok(tokens),
        }
    }
}

/// OpenID Connect Core 1.0, 5.1 and 5.3.2.
fn profile_of_openid(told: &Value) -> Result<Person, Problem> {
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    let subject = text("sub").ok_or_else(unnamed)?;
    // Some providers say it as a text.
    let email_verified = told["email_verified"] == true || told["email_verified"] == "true";
    Ok(Person::Profile { subject, email: text("email"), email_verified, full_name: text("name") })
}

/// Names of people are theirs to change; the number stays.
fn profile_of_github(told: &Value, emails: &Value) -> Result<Person, Problem> {
    let subject = match &told["id"] {
        Value::Number(id) if id.is_u64() => id.to_string(),
        Value::String(id) if !id.is_empty() => id.clone(),
        _ => return Err(unnamed()),
    };
    let verified = |email: &&Value| email["verified"] == true && email["primary"] == true;
    let primary = emails.as_array().and_then(|emails| emails.iter().find(verified));
    let email = primary.and_then(|email| email["email"].as_str()).map(str::to_owned);
    let full_name = [&told["name"], &told["login"]].into_iter().find_map(Value::as_str).map(str::to_owned);
    Ok(Person::Profile { subject, email_verified: email.is_some(), email, full_name })
}

fn unnamed() -> Problem {
    Problem::Refused("the provider does not say who it is".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;
    use serde_json::json;

    fn profile(person: Result<Person, Problem>) -> Value {
        match person {
            Ok(Person::Profile { subject, email, email_verified, full_name }) => {
                json!([subject, email, email_verified, full_name])
            }
            Ok(Person::IdToken(_)) => panic!("an ID token"),
            Err(Problem::Refused(_) | Problem::Later(_)) => Value::Null,
        }
    }

    #[test]
    fn github_tells_who_it_is_by_number_and_the_primary_verified_address() {
        let user = json!({ "id": 583231, "login": "octocat", "name": null, "email": "public@example.com" });
        let emails = json!([
            { "email": "old@example.com", "verified": true, "primary": false },
            { "email": "new@example.com", "verified": true, "primary": true },
        ]);
        let told = |user: &Value, emails: &Value| profile(profile_of_github(user, emails));
        assert_eq!(told(&user, &emails), json!(["583231", "new@example.com", true, "octocat"]));
        let unverified = json!([{ "email": "new@example.com", "verified": false, "primary": true }]);
        assert_eq!(told(&user, &unverified), json!(["583231", null, false, "octocat"]));
        assert_eq!(told(&user, &Value::Null), json!(["583231", null, false, "octocat"]));
        assert_eq!(told(&json!({ "login": "octocat" }), &emails), Value::Null);
        assert_eq!(told(&json!({ "id": -1 }), &emails), Value::Null);
    }

    #[test]
    fn openid_tells_who_it_is_by_subject() {
        let told = json!({ "sub": "a|1", "email": "a@example.com", "email_verified": true, "name": "Ada" });
        assert_eq!(profile(profile_of_openid(&told)), json!(["a|1", "a@example.com", true, "Ada"]));
        let told = json!({ "sub": "a|1", "email": "a@example.com" });
        assert_eq!(profile(profile_of_openid(&told)), json!(["a|1", "a@example.com", false, null]));
    }

    #[test]
    fn an_error_is_a_refusal_also_with_200() {
        let answer = |status, body: Value| {
            Tokens::of(&Answer { status, retry_after: None, body: body.to_string().into_bytes(), cut: false }).is_ok()
        };
        assert!(answer(200, json!({ "access_token": "x" })));
        assert!(!answer(200, json!({ "error": "bad_verification_code" })));
        assert!(!answer(400, json!({ "access_token": "x" })));
        assert!(!answer(200, json!("x")));
    }
}

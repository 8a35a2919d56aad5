//! Signing in by authorization code (RFC 6749) with PKCE (RFC 7636): what the database keeps of it. The worker, which can
//! reach the provider, exchanges the code.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Value, json};
use url::Url;

use super::answer::{self, given};
use super::providers::{self, Profile};
use super::secret;
use super::session::new_secret;
use super::settings::Settings;
use crate::db;
use crate::deployment;
use crate::error::{CrmError, Result};
use crate::text;

#[pg_extern(sql = false)]
fn oauth_start(
    provider: Option<&str>,
    redirect_uri: Option<&str>,
    code_challenge: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("oauth_start")?;
    let (name, redirect_uri) = (given("provider", provider)?, given("redirect_uri", redirect_uri)?);
    let challenge = given("code_challenge", code_challenge)?;
    if challenge.len() != secret::LENGTH || !challenge.bytes().all(is_base64url) {
        return Err(CrmError::invalid("code_challenge", "must be base64url of a SHA-256: 43 characters").into());
    }
    let state = new_secret()?;
    let url = authorization_url(name, redirect_uri, challenge, &state)?;
    let life = Settings::current()?.oauth_ttl;
    db::execute(
        "insert into crm_private.oauth_flows (state_hash, provider, redirect_uri, code_challenge, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))",
        &[secret::hash(&state).into(), name.into(), redirect_uri.into(), challenge.into(), (life as f64).into()],
    )?;
    answer::no_store();
    Ok(JsonB(json!({ "authorization_url": url, "state": state, "expires_in": life })))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn authorization_url(provider: &str, redirect_uri: &str, challenge: &str, state: &str) -> Result<String> {
    let (endpoint, client, scope, redirect_uris) = db::select(
        "select authorization_endpoint, client_ids[1], scope, redirect_uris
         from crm_private.identity_providers
         where name = $1 and enabled and authorization_endpoint is not null and token_endpoint is not null
             and cardinality(client_ids) > 0",
        &[PgBuiltInOids::TEXTOID],
        &[provider.into()],
        |rows| {
            let unknown = || CrmError::invalid("provider", "there is no such identity provider");
            let row = rows.first();
            if row.is_empty() {
                return Err(unknown());
            }
            let endpoint = row.get::<String>(1)?.ok_or_else(unknown)?;
            let client = row.get::<String>(2)?.ok_or_else(unknown)?;
            let scope = row.get::<String>(3)?.unwrap_or_default();
            Ok((endpoint, client, scope, row.get::<Vec<String>>(4)?.unwrap_or_default()))
        },
    )?;
    if !redirect_uris.iter().any(|allowed| allowed == redirect_uri) {
        return Err(CrmError::invalid("redirect_uri", "is not one of this provider's redirect_uris"));
    }
    let mut url = Url::parse(&endpoint).map_err(|_| CrmError::internal("the authorization endpoint is no URL"))?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &client)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", &scope)
        .append_pair("state", state)
        .append_pair("code_challenge", challenge)
        .append_pair("code_challenge_method", "S256");
    Ok(url.into())
}

struct Flow {
    provider: String,
    status: String,
    profile: Option<Value>,
}

const REFUSED: &str = "the sign-in is not valid: it is unknown, was finished, has expired, or the provider refused it";

#[pg_extern(sql = false)]
fn oauth_finish(state: Option<&str>, code: Option<&str>, code_verifier: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("oauth_finish")?;
    let state = secret::hash(given("state", state)?);
    let (code, verifier) = (given("code", code)?, given("code_verifier", code_verifier)?);
    if code.is_empty() || code.len() > 2000 {
        return Err(CrmError::invalid("code", "must be 1 to 2000 bytes").into());
    }
    if !(43..=128).contains(&verifier.len())
        || !verifier.bytes().all(|byte| is_base64url(byte) || b".~".contains(&byte))
    {
        return Err(CrmError::invalid("code_verifier", "must be 43 to 128 unreserved characters").into());
    }
    let Some(flow) = locked(&state, verifier)? else {
        return Ok(answer::refuse(401, "28000", REFUSED));
    };
    match (flow.status.as_str(), flow.profile) {
        ("started", _) => {
            db::execute(
                "update crm_private.oauth_flows set status = 'waiting', code = $2, code_verifier = $3 where state_hash = $1",
                &[state.into(), code.into(), verifier.into()],
            )?;
            // Wakes the worker, and tells it nothing.
            db::run("notify crm_oauth")?;
            Ok(pending())
        }
        ("waiting", _) => Ok(pending()),
        ("exchanged", Some(profile)) => {
            db::execute(
                "update crm_private.oauth_flows set status = 'finished', profile = null where state_hash = $1",
                &[state.into()],
            )?;
            Ok(finish(&flow.provider, &profile)?)
        }
        _ => Ok(answer::refuse(401, "28000", REFUSED)),
    }
}

fn pending() -> JsonB {
    answer::status(202);
    answer::header("Retry-After", "1");
    JsonB(json!({ "status": "pending" }))
}

/// The sign-in of this state, if who asks is who began it: only they have the verifier.
fn locked(state: &[u8], verifier: &str) -> Result<Option<Flow>> {
    let challenge = secret::code_challenge(verifier);
    db::write(
        "select f.provider, f.status, f.profile, f.code_challenge
         from crm_private.oauth_flows as f
         join crm_private.identity_providers as p on p.name = f.provider and p.enabled
         where f.state_hash = $1 and f.expires_at > clock_timestamp()
         for update of f",
        &[state.to_vec().into()],
        |rows| {
            let row = rows.first();
            if row.is_empty() {
                return Ok(None);
            }
            let (Some(provider), Some(status), Some(expected)) = (row.get(1)?, row.get(2)?, row.get::<String>(4)?)
            else {
                return Ok(None);
            };
            let profile = row.get::<JsonB>(3)?.map(|JsonB(profile)| profile);
            Ok(secret::equal(expected.as_bytes(), challenge.as_bytes()).then_some(Flow { provider, status, profile }))
        },
    )
}

fn finish(provider: &str, profile: &Value) -> Result<JsonB> {
    let text = |name: &str| profile[name].as_str().map(str::to_owned);
    let Some(subject) = text("subject") else { return Err(CrmError::internal("a profile without a subject")) };
    let profile = Profile {
        subject,
        email: text("email"),
        email_verified: profile["email_verified"].as_bool().unwrap_or(false),
        full_name: text("full_name"),
    };
    let create = db::select(
        "select create_users from crm_private.identity_providers where name = $1",
        &[PgBuiltInOids::TEXTOID],
        &[provider.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    providers::sign_in(provider, &profile, create, None)
}

type Exchange =
    (pgrx::Uuid, String, Option<String>, Option<String>, Option<String>, Option<String>, String, String, String);

#[pg_extern(sql = false)]
fn claim_oauth_exchanges(
    count: Option<i32>,
    lease: Option<pgrx::datum::Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(provider, String),
            name!(token_endpoint, Option<String>),
            name!(userinfo_endpoint, Option<String>),
            name!(client_id, Option<String>),
            name!(client_secret, Option<String>),
            name!(code, String),
            name!(code_verifier, String),
            name!(redirect_uri, String),
        ),
    >,
    ErrorReport,
> {
    if !deployment::may_deliver()? {
        return Ok(TableIterator::empty());
    }
    let claimed: Vec<Exchange> = db::write(
        "with waiting as materialized (
             select w.id from crm_private.oauth_flows as w
             where w.status = 'waiting' and w.expires_at > clock_timestamp()
                 and (w.claimed_until is null or w.claimed_until < clock_timestamp())
             order by w.id
             limit least(greatest(coalesce($1, 10), 0), 100)
             for update skip locked
         ),
         claimed as (
             update crm_private.oauth_flows as f
             set claimed_until = clock_timestamp() + least(greatest(coalesce($2, '30 seconds'), interval '1 second'), interval '5 minutes')
             from waiting where f.id = waiting.id
             returning f.id, f.provider, f.code, f.code_verifier, f.redirect_uri
         )
         select c.id, c.provider, p.token_endpoint, p.userinfo_endpoint, p.client_ids[1], p.client_secret,
             c.code, c.code_verifier, c.redirect_uri
         from claimed as c
         join crm_private.identity_providers as p on p.name = c.provider",
        &[count.into(), lease.into()],
        |rows| {
            let mut claimed = vec![];
            for row in rows {
                if let (Some(id), Some(provider), Some(code), Some(verifier), Some(redirect_uri)) =
                    (row.get(1)?, row.get(2)?, row.get(7)?, row.get(8)?, row.get(9)?)
                {
                    let (token, userinfo) = (row.get(3)?, row.get(4)?);
                    let (client, secret) = (row.get(5)?, row.get(6)?);
                    claimed.push((id, provider, token, userinfo, client, secret, code, verifier, redirect_uri));
                }
            }
            Ok(claimed)
        },
    )?;
    Ok(TableIterator::new(claimed))
}

#[pg_extern(sql = false)]
fn complete_oauth_exchange(
    id: Option<pgrx::Uuid>,
    subject: Option<&str>,
    email: Option<&str>,
    email_verified: Option<bool>,
    full_name: Option<&str>,
    id_token: Option<&str>,
) -> Result<bool, ErrorReport> {
    let id = given("id", id)?;
    let profile = match id_token {
        Some(token) => profile_of_token(id, token)?,
        None => Profile {
            subject: text::line(given("subject", subject)?, 255)
                .map_err(|problem| CrmError::invalid("subject", problem))?,
            email: email.map(str::to_owned),
            email_verified: email_verified.unwrap_or(false),
            full_name: full_name.and_then(|name| text::line(name, 200).ok()),
        },
    };
    if profile.subject.is_empty() {
        return Err(CrmError::invalid("subject", "must not be empty").into());
    }
    let content = json!({
        "subject": profile.subject,
        "email": profile.email,
        "email_verified": profile.email_verified,
        "full_name": profile.full_name,
    });
    let stored = db::execute(
        "update crm_private.oauth_flows
         set status = 'exchanged', profile = $2, code = null, code_verifier = null
         where id = $1 and status = 'waiting' returning 1",
        &[id.into(), JsonB(content).into()],
    )?;
    Ok(stored > 0)
}

fn profile_of_token(id: pgrx::Uuid, token: &str) -> Result<Profile> {
    let provider = db::select(
        "select provider from crm_private.oauth_flows where id = $1 and status = 'waiting'",
        &[PgBuiltInOids::UUIDOID],
        &[id.into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
    )?;
    let provider = provider.ok_or_else(|| CrmError::invalid("id", "no sign-in of this id is waiting"))?;
    providers::verified_profile(&provider, token)?.ok_or_else(|| CrmError::invalid("id_token", "is not valid"))
}

#[pg_extern(sql = false)]
fn fail_oauth_exchange(id: pgrx::Uuid) -> Result<bool, ErrorReport> {
    let failed = db::execute(
        "update crm_private.oauth_flows set status = 'failed', code = null, code_verifier = null
         where id = $1 and status = 'waiting' returning 1",
        &[id.into()],
    )?;
    Ok(failed > 0)
}

//! Signing in with the ID tokens of other providers, and the key sets these are verified with.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::Value;
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::issuer::{self, KeySet, Trust};
use super::memory;
use super::principal::{from_pg, to_pg};
use super::recovery;
use super::session::{Kind, unix_now};
use super::settings::Settings;
use crate::access::roles::OWNER;
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::custom::raw::RawJson;
use crate::records::row::{self, Row, Rows};
use crate::text;

/// What is known of somebody, by a provider's word.
pub struct Profile {
    pub subject: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub full_name: Option<String>,
}

/// A provider as its ID tokens need it.
struct Provider {
    trust: Trust,
    create_users: bool,
}

fn find(name: &str) -> Result<Option<Provider>> {
    let leeway = Settings::current()?.clock_leeway;
    db::write(
        "select issuers, algorithms, client_ids, jwks, create_users
         from crm_private.identity_providers where name = $1 and enabled and cardinality(client_ids) > 0",
        &[name.into()],
        |rows| {
            let row = rows.first();
            if row.is_empty() {
                return Ok(None);
            }
            let keys = row.get::<JsonB>(4)?.and_then(|JsonB(jwks)| KeySet::parse(&jwks).ok());
            let (Some(issuers), Some(algorithms), Some(audiences), Some(keys)) =
                (row.get(1)?, row.get(2)?, row.get(3)?, keys)
            else {
                return Ok(None);
            };
            let trust = Trust { issuers, algorithms, audiences, keys, leeway };
            Ok(Some(Provider { trust, create_users: row.get(5)?.unwrap_or(false) }))
        },
    )
}

#[pg_extern(sql = false)]
fn login_with_id_token(
    provider: Option<&str>,
    id_token: Option<&str>,
    nonce: Option<&str>,
    organization: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("login_with_id_token")?;
    let (name, token) = (given("provider", provider)?, given("id_token", id_token)?);
    let Some((profile, create_users)) = verify(name, token, nonce)? else {
        return Ok(answer::refuse(401, "28000", "the ID token is not valid"));
    };
    Ok(sign_in(name, &profile, create_users, organization)?)
}

/// What an ID token says, if it is good, and whether its provider's people may become users.
fn verify(provider: &str, token: &str, nonce: Option<&str>) -> Result<Option<(Profile, bool)>> {
    let Some(provider) = find(provider)? else { return Ok(None) };
    let Ok(token) = issuer::id_token(token, &provider.trust, nonce, unix_now()) else { return Ok(None) };
    let profile = Profile {
        subject: token.subject,
        email: token.email,
        email_verified: token.email_verified,
        full_name: token.name,
    };
    Ok(Some((profile, provider.create_users)))
}

/// The same for a token that came in exchange for a code, over a connection of our own: there was no nonce.
pub fn verified_profile(provider: &str, token: &str) -> Result<Option<Profile>> {
    Ok(verify(provider, token, None)?.map(|(profile, _)| profile))
}

/// Logs in whom a provider vouches for.
pub fn sign_in(provider: &str, profile: &Profile, create: bool, organization: Option<&str>) -> Result<JsonB> {
    const NOBODY: &str = "nobody can log in with this identity";
    const NO_ACCESS: &str = "no access to this organization";
    let found = find_user(provider, profile)?;
    let user = match &found {
        Found::Nobody => return Ok(answer::refuse(403, "42501", NOBODY)),
        Found::Newcomer(_) if !create => return Ok(answer::refuse(403, "42501", NOBODY)),
        // Theirs is yet to be made. Nothing is, for somebody who is refused.
        Found::Newcomer(_) if organization.is_some() => return Ok(answer::refuse(403, "42501", NO_ACCESS)),
        Found::Newcomer(email) => begin(provider, profile, email)?,
        Found::Linked(user) | Found::ByEmail(user) => {
            let user = *user;
            if let Err(refusal) = accounts::active_organization(user, organization)? {
                return Ok(answer::refuse_for(&refusal));
            }
            if matches!(found, Found::ByEmail(_)) {
                attach(provider, profile, user)?;
            }
            user
        }
    };
    let active = accounts::active_organization(user, organization)?.unwrap_or(None);
    Ok(JsonB(accounts::welcome(user, active, &Kind::IdentityProvider)?))
}

/// Whom a provider means.
enum Found {
    /// It meant this user before.
    Linked(Uuid),
    /// The user with the e-mail it has verified.
    ByEmail(Uuid),
    /// Nobody has this verified e-mail.
    Newcomer(String),
    /// Who must not log in, or cannot be told from somebody else.
    Nobody,
}

fn find_user(provider: &str, profile: &Profile) -> Result<Found> {
    if let Some((user, active)) = linked(provider, &profile.subject)? {
        return Ok(if active { Found::Linked(user) } else { Found::Nobody });
    }
    // An address that nobody verified could be anybody's.
    let email = profile.email.as_deref().filter(|_| profile.email_verified).and_then(|email| text::email(email).ok());
    let Some(email) = email else { return Ok(Found::Nobody) };
    Ok(match accounts::user_by_email(&email)? {
        Some(user) => Found::ByEmail(user),
        None if !accounts::email_is_taken(&email)? => Found::Newcomer(email),
        // Somebody else may have made them between the two looks.
        None => accounts::user_by_email(&email)?.map_or(Found::Nobody, Found::ByEmail),
    })
}

fn attach(provider: &str, profile: &Profile, user: Uuid) -> Result<()> {
    recovery::end_what_is_unproven(user)?;
    link(provider, &profile.subject, user)?;
    recovery::note_verified(user)
}

fn linked(provider: &str, subject: &str) -> Result<Option<(Uuid, bool)>> {
    db::select(
        "select u.id, u.status = 'active'
         from crm_private.user_identities as i
         join crm.users as u on u.id = i.user_id
         where i.provider = $1 and i.subject = $2",
        &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
        &[provider.into(), subject.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let (user, active) = rows.first().get_two::<pgrx::Uuid, bool>()?;
            Ok(user.map(from_pg).zip(active))
        },
    )
}

/// The same as of now: somebody else may have linked it while this one waited.
fn linked_now(provider: &str, subject: &str) -> Result<Option<(Uuid, bool)>> {
    memory::latest(|| linked(provider, subject))
}

/// A new user with an organization of their own, whose slug comes from the e-mail. Of two first sign-ins at once the second
/// waits here, and finds the user that the first has made.
fn begin(provider: &str, profile: &Profile, email: &str) -> Result<Uuid> {
    let local_part = email.split('@').next().unwrap_or(email);
    let full_name = profile.full_name.as_deref();
    let user = match accounts::try_create_user(email, full_name)? {
        Some(user) => {
            let organization = accounts::create_organization_as(full_name.unwrap_or(local_part), Some(local_part))?;
            accounts::add_member(organization, user, OWNER)?;
            user
        }
        None => {
            db::write("select id from crm.users where email = $1 and status = 'active'", &[email.into()], |rows| {
                if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?) }
            })?
            .map(from_pg)
            .ok_or_else(|| CrmError::forbidden("nobody can log in with this identity"))?
        }
    };
    attach(provider, profile, user)?;
    Ok(user)
}

/// Notes what a provider calls a user; `false` when it was so already.
pub fn link(provider: &str, subject: &str, user: Uuid) -> Result<bool> {
    let known = db::select(
        "select exists (select from crm_private.identity_providers where name = $1)",
        &[PgBuiltInOids::TEXTOID],
        &[provider.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    if !known {
        return Err(CrmError::invalid("provider", "there is no such identity provider"));
    }
    let linked = db::execute(
        "insert into crm_private.user_identities (provider, subject, user_id) values ($1, $2, $3)
         on conflict (provider, subject) do nothing returning 1",
        &[provider.into(), subject.into(), to_pg(user).into()],
    )?;
    match linked_now(provider, subject)? {
        Some((already, _)) if already != user => Err(CrmError::Conflict {
            message: "this identity is another user's".into(),
            hint: "Each identity belongs to one user.".into(),
        }),
        _ => Ok(linked > 0),
    }
}

#[pg_extern(sql = false)]
fn providers_to_fetch(
    older_than: Option<pgrx::datum::Interval>,
) -> Result<TableIterator<'static, (name!(provider, String), name!(jwks_uri, String))>, ErrorReport> {
    let providers: Vec<(String, String)> = db::select(
        "select name, jwks_uri from crm_private.identity_providers
         where enabled and jwks_uri is not null
             and (jwks_fetched_at is null or jwks_fetched_at < clock_timestamp() - coalesce($1, interval '1 hour'))
         order by name",
        &[PgBuiltInOids::INTERVALOID],
        &[older_than.into()],
        |rows| {
            let mut providers = vec![];
            for row in rows {
                if let (Some(name), Some(uri)) = (row.get(1)?, row.get(2)?) {
                    providers.push((name, uri));
                }
            }
            Ok(providers)
        },
    )?;
    Ok(TableIterator::new(providers))
}

#[pg_extern(sql = false)]
fn store_provider_keys(provider: Option<&str>, jwks: Option<RawJson>) -> Result<bool, ErrorReport> {
    let jwks: Value = given("jwks", jwks)?.parse("jwks")?;
    let keys = KeySet::parse(&jwks).map_err(|problem| CrmError::invalid("jwks", problem))?.to_json();
    let stored = db::write(
        "update crm_private.identity_providers as p
         set jwks = $2, jwks_fetched_at = clock_timestamp()
         from crm_private.identity_providers as before
         where p.name = $1 and before.name = p.name
         returning before.jwks is distinct from $2 and p.enabled and p.accept_access_tokens",
        &[given("provider", provider)?.into(), JsonB(keys).into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<bool>()?) },
    )?;
    if stored == Some(true) {
        // PostgREST has to know the keys of tokens that are taken as they are.
        db::run("notify pgrst")?;
    }
    Ok(stored.is_some())
}

/// All keys that access tokens of other issuers are verified with, as PostgREST has to know them.
pub fn foreign_keys() -> Result<Vec<Value>> {
    let sets = db::select(
        "select jwks from crm_private.identity_providers where enabled and accept_access_tokens and jwks is not null order by name",
        &[],
        &[],
        |rows| {
            let mut sets = vec![];
            for row in rows {
                sets.extend(row.get::<JsonB>(1)?.and_then(|JsonB(jwks)| KeySet::parse(&jwks).ok()));
            }
            Ok(sets)
        },
    )?;
    Ok(sets.iter().filter_map(|set| set.to_json().get("keys")?.as_array().cloned()).flatten().collect())
}

#[pg_trigger(sql = false)]
fn normalize_provider<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(normalized(trigger).map(Some))
}

fn normalized(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, .. } = Rows::of(trigger)?;
    if let Some(JsonB(jwks)) = new.get::<JsonB>("jwks")? {
        let keys = KeySet::parse(&jwks).map_err(|problem| CrmError::invalid("jwks", problem))?;
        new.set("jwks", Some(JsonB(keys.to_json())))?;
    }
    Ok(new)
}

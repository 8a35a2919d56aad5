//! From a raw token or API key to a verified principal, in every transaction.
//!
//! What depends on the token's bytes alone (signature, shape) is remembered per backend for good. What can change (key,
//! session, user, membership) is remembered until something changes: see `memory`. Time is looked at each time.

use std::cell::{OnceCell, RefCell};
use std::ffi::CString;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use pgrx::PgBuiltInOids;
use serde_json::Value;
use uuid::Uuid;

use super::api_keys;
use super::jwt::{self, Claims, Expectation};
use super::key_store;
use super::memory;
use super::principal::{ActiveOrganization, ApiKey, Principal, from_pg, to_pg};
use super::secret;
use super::session::unix_now;
use super::settings::Settings;
use crate::db;
use crate::error::{Refusal, Result};

/// About 1 kB each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

thread_local! {
    /// Keyed by the whole token: what equals a verified token byte for byte has its signature.
    static TOKENS: RefCell<LruCache<String, Rc<Verified>>> = RefCell::new(LruCache::new(REMEMBERED));
    static IDENTITIES: RefCell<Identities> = RefCell::new(Identities { generation: 0, known: LruCache::new(REMEMBERED) });
}

struct Identities {
    generation: u64,
    known: LruCache<Subject, Rc<Identity>>,
}

/// What a token's bytes prove.
pub struct Verified {
    kid: String,
    pub claims: Claims,
    payload: OnceCell<Value>,
    /// The claims of PostgREST that were found equal to the payload.
    seen: RefCell<String>,
}

impl Verified {
    /// Whether PostgREST verified this very token: with two Authorization headers it checks the first and hands on the last.
    pub fn is_what_was_checked(&self, token: &str, claims: &str) -> bool {
        if *self.seen.borrow() == claims {
            return true;
        }
        let payload = self.payload.get_or_init(|| jwt::payload(token).unwrap_or_default());
        let same = is_same_payload(payload, claims);
        if same {
            claims.clone_into(&mut self.seen.borrow_mut());
        }
        same
    }
}

/// A token is good, or the client is refused, or something is broken.
pub type Verdict<T> = Result<Result<T, Refusal>>;

/// An organization named by its id or its slug.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum OrganizationRef {
    Id(Uuid),
    Slug(String),
}

impl OrganizationRef {
    pub fn parse(value: &str) -> Self {
        let value = value.trim();
        Uuid::try_parse(value).map_or_else(|_| Self::Slug(value.to_lowercase()), Self::Id)
    }

    pub fn split(this: Option<&Self>) -> (Option<pgrx::Uuid>, Option<&str>) {
        match this {
            Some(Self::Id(id)) => (Some(to_pg(*id)), None),
            Some(Self::Slug(slug)) => (None, Some(slug.as_str())),
            None => (None, None),
        }
    }
}

/// What an identity is asked for: everything its answer depends on.
#[derive(Clone, Eq, Hash, PartialEq)]
pub enum Subject {
    Session { kid: String, user: Uuid, session: Uuid, actor: Option<Uuid>, organization: Option<OrganizationRef> },
    Key { key: String },
    External { provider: String, subject: String, organization: Option<OrganizationRef> },
}

/// Whom a token or key stands for, as the database says.
pub struct Identity {
    pub principal: Principal,
    /// The principal as it is set.
    pub setting: CString,
    /// Seconds since 1970.
    good_until: i64,
    /// For what PostgREST does not know: how long its statements may take.
    pub statement_timeout: Option<CString>,
    /// What `crm.authenticate` answers: a value of type jsonb, byte for byte.
    pub told: OnceCell<Vec<u8>>,
}

impl Identity {
    pub fn new(principal: Principal, good_until: Option<i64>) -> Result<Self> {
        let setting = principal.to_setting()?;
        Ok(Self {
            principal,
            setting,
            good_until: good_until.unwrap_or(i64::MAX),
            statement_timeout: None,
            told: OnceCell::new(),
        })
    }
}

/// The identity of a subject: remembered, or asked for. Only what is good is remembered.
pub fn identity(subject: Subject, ask: impl FnOnce() -> Verdict<Identity>) -> Verdict<Rc<Identity>> {
    let generation = memory::generation();
    let remembered = IDENTITIES.with_borrow_mut(|identities| {
        if identities.generation != generation {
            identities.generation = generation;
            identities.known.clear();
        }
        identities.known.get(&subject).cloned()
    });
    if let Some(identity) = remembered.filter(|identity| identity.good_until > unix_now()) {
        return Ok(Ok(identity));
    }
    let (answer, keep_under) = memory::ask(ask)?;
    let identity = match answer {
        Ok(identity) => Rc::new(identity),
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(generation) = keep_under {
        IDENTITIES.with_borrow_mut(|identities| {
            if identities.generation == generation {
                identities.known.put(subject, Rc::clone(&identity));
            }
        });
    }
    Ok(Ok(identity))
}

/// Verifies the signature; `Err(Refusal)` for everything that is wrong with the token.
pub fn signature(token: &str) -> Verdict<Rc<Verified>> {
    if let Some(verified) = TOKENS.with_borrow_mut(|tokens| tokens.get(token).cloned()) {
        return Ok(Ok(verified));
    }
    let Ok(header) = jwt::header_of(token) else { return Ok(Err(Refusal::TOKEN)) };
    let Some(key) = key_store::for_header(header)? else { return Ok(Err(Refusal::TOKEN)) };
    let Ok(claims) = jwt::verify(token, &key.key) else { return Ok(Err(Refusal::TOKEN)) };
    let verified =
        Rc::new(Verified { kid: key.kid.clone(), claims, payload: OnceCell::new(), seen: RefCell::default() });
    TOKENS.with_borrow_mut(|tokens| tokens.put(token.to_owned(), Rc::clone(&verified)));
    Ok(Ok(verified))
}

/// Whom a verified token stands for right now; `wanted` overrides the token's active organization.
pub fn token_identity(verified: &Verified, wanted: Option<OrganizationRef>) -> Verdict<Rc<Identity>> {
    let claims = &verified.claims;
    let settings = Settings::current()?;
    let expected =
        Expectation { issuer: &settings.issuer, audience: &settings.audience, leeway: settings.clock_leeway };
    if claims.role != claims.database_role() || jwt::check(claims, &expected, unix_now()).is_err() {
        return Ok(Err(Refusal::TOKEN));
    }
    let subject = Subject::Session {
        kid: verified.kid.clone(),
        user: claims.sub,
        session: claims.sid,
        actor: claims.act.as_ref().map(|actor| actor.sub),
        organization: wanted.clone().or(claims.org_id.map(OrganizationRef::Id)),
    };
    identity(subject, || ask_for_session(verified, wanted.or(claims.org_id.map(OrganizationRef::Id)).as_ref()))
}

fn ask_for_session(verified: &Verified, wanted: Option<&OrganizationRef>) -> Verdict<Identity> {
    let claims = &verified.claims;
    let actor = claims.act.as_ref().map(|actor| actor.sub);
    let (id, slug) = OrganizationRef::split(wanted);
    db::select(
        "select floor(extract(epoch from least(session.expires_at, k.expires_at)))::bigint, o.id, m.role, o.country
         from crm_private.signing_keys as k
         join crm_private.sessions as session on session.id = $2
         join crm.users as u on u.id = session.user_id
         left join (
             crm.memberships as m
             join crm.organizations as o on o.id = m.org_id and o.status = 'active'
         ) on m.user_id = $3 and m.status = 'active' and (m.org_id = $4 or o.slug = $5)
         where k.kid = $1 and (k.expires_at is null or k.expires_at > clock_timestamp())
             and session.user_id = $3 and session.ended_at is null and session.expires_at > clock_timestamp()
             and u.status = 'active'
             and session.actor_id is not distinct from $6
             and ($6 is null or exists (
                 select from crm_private.platform_members as p
                 join crm.users as support on support.id = p.user_id
                 where p.user_id = $6 and support.status = 'active'
             ))",
        &[
            PgBuiltInOids::TEXTOID,
            PgBuiltInOids::UUIDOID,
            PgBuiltInOids::UUIDOID,
            PgBuiltInOids::UUIDOID,
            PgBuiltInOids::TEXTOID,
            PgBuiltInOids::UUIDOID,
        ],
        &[
            verified.kid.as_str().into(),
            to_pg(claims.sid).into(),
            to_pg(claims.sub).into(),
            id.into(),
            slug.into(),
            actor.map(to_pg).into(),
        ],
        |rows| {
            let row = rows.first();
            if row.is_empty() {
                return Ok(Err(Refusal::TOKEN));
            }
            let organization = organization(row.get(2)?, row.get(3)?, row.get(4)?);
            if wanted.is_some() && organization.is_none() {
                return Ok(Err(Refusal::ORGANIZATION));
            }
            let principal = Principal {
                user_id: Some(claims.sub),
                session_id: Some(claims.sid),
                actor_id: actor,
                organization,
                ..Principal::default()
            };
            Ok(Ok(Identity::new(principal, row.get(1)?)?))
        },
    )
}

pub fn organization(
    id: Option<pgrx::Uuid>,
    role: Option<String>,
    country: Option<String>,
) -> Option<ActiveOrganization> {
    Some(ActiveOrganization { id: from_pg(id?), role: Some(role?), country })
}

/// What an API key stands for right now.
pub fn key_identity(key: &str) -> Verdict<Rc<Identity>> {
    let Some(prefix) = api_keys::prefix_of(key) else { return Ok(Err(Refusal::KEY)) };
    identity(Subject::Key { key: key.to_owned() }, || ask_for_key(key, prefix))
}

fn ask_for_key(key: &str, prefix: &str) -> Verdict<Identity> {
    db::select(
        "select k.id, k.hash, k.scopes, k.org_id, o.country, floor(extract(epoch from k.expires_at))::bigint
         from crm_private.api_keys as k
         left join crm.organizations as o on o.id = k.org_id
         where k.prefix = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > clock_timestamp())
             and (k.org_id is null or o.status = 'active')",
        &[PgBuiltInOids::TEXTOID],
        &[prefix.into()],
        |rows| {
            let row = rows.first();
            // Also where there is none, so that the time taken does not tell which prefixes there are.
            let presented = secret::hash(key);
            if row.is_empty() {
                return Ok(Err(Refusal::KEY));
            }
            let (Some(id), Some(hash), Some(scopes)) =
                (row.get::<pgrx::Uuid>(1)?, row.get::<Vec<u8>>(2)?, row.get::<Vec<String>>(3)?)
            else {
                return Ok(Err(Refusal::KEY));
            };
            if !secret::equal(&hash, &presented) {
                return Ok(Err(Refusal::KEY));
            }
            let country = row.get(5)?;
            let organization = row.get::<pgrx::Uuid>(4)?;
            let principal = Principal {
                api_key: Some(ApiKey { id: from_pg(id), scopes }),
                organization: organization.map(|id| ActiveOrganization { id: from_pg(id), role: None, country }),
                ..Principal::default()
            };
            let mut identity = Identity::new(principal, row.get(6)?)?;
            identity.statement_timeout = statement_timeout()?;
            Ok(Ok(identity))
        },
    )
}

/// Whether these are the claims of PostgREST for this payload: it adds the role it chose where there is none, and writes a
/// list of one audience as that one.
pub fn is_same_payload(payload: &Value, claims: &str) -> bool {
    let Ok(Value::Object(mut claims)) = serde_json::from_str(claims) else { return false };
    let Value::Object(mut payload) = payload.clone() else { return false };
    if !payload.contains_key("role") {
        claims.remove("role");
    }
    if let Some(Value::Array(audiences)) = payload.get("aud")
        && let [only] = audiences.as_slice()
    {
        let only = only.clone();
        payload.insert("aud".into(), only);
    }
    claims == payload
}

/// What a user's statements may take. PostgREST sets it for the role it knows of, which is `crm_anon` where a key or another
/// issuer's token is shown.
pub fn statement_timeout() -> Result<Option<CString>> {
    let timeout = db::select(
        "select option.option_value
         from pg_db_role_setting as s, pg_options_to_table(s.setconfig) as option
         where s.setrole = 'crm_app'::regrole and s.setdatabase = 0 and option.option_name = 'statement_timeout'",
        &[],
        &[],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
    )?;
    Ok(timeout.and_then(|timeout| CString::new(timeout).ok()))
}

pub fn org_of_slug(slug: &str) -> Result<Option<Uuid>> {
    db::select("select id from crm.organizations where slug = $1", &[PgBuiltInOids::TEXTOID], &[slug.into()], |rows| {
        if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?.map(from_pg)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_is_named_by_id_or_slug() {
        let id = Uuid::from_u128(7);
        assert_eq!(OrganizationRef::parse(&format!(" {id} ")), OrganizationRef::Id(id));
        assert_eq!(OrganizationRef::parse(" Acme "), OrganizationRef::Slug("acme".into()));
    }

    #[test]
    fn what_postgrest_changes_makes_no_difference() {
        let payload = serde_json::json!({ "sub": "x" });
        assert!(is_same_payload(&payload, r#"{"sub": "x", "role": "crm_anon"}"#));
        assert!(!is_same_payload(&payload, r#"{"sub": "y", "role": "crm_anon"}"#));
        assert!(!is_same_payload(&serde_json::json!({ "sub": "x", "role": "a" }), r#"{"sub": "x", "role": "b"}"#));
        let listed = serde_json::json!({ "aud": ["crm"], "role": "a" });
        assert!(is_same_payload(&listed, r#"{"aud": "crm", "role": "a"}"#));
        assert!(!is_same_payload(&listed, r#"{"aud": "other", "role": "a"}"#));
        assert!(!is_same_payload(&serde_json::json!({ "aud": ["crm", "x"] }), r#"{"aud": "crm"}"#));
        assert!(!is_same_payload(&listed, "[]"));
    }
}

//! From a raw token to a verified principal, in every transaction.
//!
//! What depends on the token's bytes alone (signature, shape) is remembered per backend; what can change (time, key,
//! session, user, membership) is asked again each time.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::jwt::{self, Claims, Expectation};
use super::key_store;
use super::principal::{ActiveOrganization, Principal, from_pg, to_pg};
use super::session::unix_now;
use crate::access::roles::Role;
use crate::db;
use crate::error::{CrmError, Refusal, Result};

/// About 1 kB each.
const CACHED_TOKENS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

thread_local! {
    /// Keyed by the whole token: what equals a verified token byte for byte has its signature.
    static VERIFIED: RefCell<LruCache<String, Rc<Verified>>> = RefCell::new(LruCache::new(CACHED_TOKENS));
}

/// What a token's bytes prove.
pub struct Verified {
    pub kid: String,
    pub claims: Claims,
    /// The payload as it was signed, to compare with what PostgREST verified.
    pub payload: serde_json::Value,
}

/// A token is good, or the client is refused, or something is broken.
pub type Verdict<T> = Result<Result<T, Refusal>>;

/// An organization named by its id or its slug.
#[derive(Clone, Debug, PartialEq)]
pub enum OrganizationRef {
    Id(Uuid),
    Slug(String),
}

impl OrganizationRef {
    pub fn parse(value: &str) -> Self {
        let value = value.trim();
        Uuid::try_parse(value).map_or_else(|_| Self::Slug(value.to_lowercase()), Self::Id)
    }
}

/// Verifies the signature; `Err(Refusal)` for everything that is wrong with the token.
pub fn signature(token: &str) -> Verdict<Rc<Verified>> {
    if let Some(verified) = VERIFIED.with_borrow_mut(|cache| cache.get(token).cloned()) {
        return Ok(Ok(verified));
    }
    let Ok(kid) = jwt::key_id(token) else { return Ok(Err(Refusal::TOKEN)) };
    let Some((algorithm, key)) = key_store::find(&kid)? else { return Ok(Err(Refusal::TOKEN)) };
    let Ok(payload) = jwt::verify(token, algorithm, &key) else { return Ok(Err(Refusal::TOKEN)) };
    let Ok(claims) = serde_json::from_value::<Claims>(payload.clone()) else { return Ok(Err(Refusal::TOKEN)) };
    let verified = Rc::new(Verified { kid, claims, payload });
    VERIFIED.with_borrow_mut(|cache| cache.put(token.to_owned(), Rc::clone(&verified)));
    Ok(Ok(verified))
}

/// Whom a verified token stands for right now; `wanted` overrides the token's active organization.
pub fn principal(verified: &Verified, wanted: Option<OrganizationRef>) -> Verdict<Principal> {
    let claims = &verified.claims;
    let wanted = wanted.or(claims.org_id.map(OrganizationRef::Id));
    let Some(context) = Context::load(verified, wanted.as_ref())? else {
        return Err(CrmError::internal("crm_private.settings has no row"));
    };
    if !context.alive
        || claims.role != claims.database_role()
        || jwt::check(claims, &context.expected, unix_now()).is_err()
    {
        return Ok(Err(Refusal::TOKEN));
    }
    if wanted.is_some() && context.organization.is_none() {
        return Ok(Err(Refusal::ORGANIZATION));
    }
    Ok(Ok(Principal { user_id: claims.sub, session_id: claims.sid, organization: context.organization }))
}

/// What the database says at this moment.
struct Context {
    expected: Expectation,
    /// Key, session and user are all still good.
    alive: bool,
    organization: Option<ActiveOrganization>,
}

impl Context {
    fn load(verified: &Verified, wanted: Option<&OrganizationRef>) -> Result<Option<Self>> {
        let (id, slug) = match wanted {
            Some(OrganizationRef::Id(id)) => (Some(to_pg(*id)), None),
            Some(OrganizationRef::Slug(slug)) => (None, Some(slug.as_str())),
            None => (None, None),
        };
        db::select(
            "select s.issuer, s.audience, extract(epoch from s.clock_leeway)::bigint,
                 k.kid is not null and session.id is not null and u.id is not null,
                 o.id, m.role, o.country
             from crm_private.settings as s
             left join crm_private.signing_keys as k
                 on k.kid = $1 and (k.expires_at is null or k.expires_at > clock_timestamp())
             left join crm_private.sessions as session
                 on session.id = $2 and session.user_id = $3
                 and session.ended_at is null and session.expires_at > clock_timestamp()
             left join crm.users as u on u.id = $3 and u.status = 'active'
             left join (
                 crm.memberships as m
                 join crm.organizations as o on o.id = m.org_id and o.status = 'active'
             ) on m.user_id = $3 and m.status = 'active' and (m.org_id = $4 or o.slug = $5)",
            &[
                PgBuiltInOids::TEXTOID,
                PgBuiltInOids::UUIDOID,
                PgBuiltInOids::UUIDOID,
                PgBuiltInOids::UUIDOID,
                PgBuiltInOids::TEXTOID,
            ],
            &[
                verified.kid.as_str().into(),
                to_pg(verified.claims.sid).into(),
                to_pg(verified.claims.sub).into(),
                id.into(),
                slug.into(),
            ],
            |rows| {
                let row = rows.first();
                if row.is_empty() {
                    return Ok(None);
                }
                let (Some(issuer), Some(audience), Some(leeway)) = (row.get(1)?, row.get(2)?, row.get(3)?) else {
                    return Ok(None);
                };
                let id = row.get::<pgrx::Uuid>(5)?.map(from_pg);
                let role = row.get::<String>(6)?.as_deref().and_then(Role::parse);
                let country = row.get(7)?;
                Ok(Some(Self {
                    expected: Expectation { issuer, audience, leeway },
                    alive: row.get(4)?.unwrap_or(false),
                    organization: id.zip(role).map(|(id, role)| ActiveOrganization { id, role, country }),
                }))
            },
        )
    }
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
}

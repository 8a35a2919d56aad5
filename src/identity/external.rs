//! Access tokens of other issuers, taken as they are where an administrator allows it.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::{JsonB, PgBuiltInOids};
use uuid::Uuid;

use super::issuer::{self, KeySet, Trust};
use super::memory;
use super::principal::{ActiveOrganization, Principal, from_pg, to_pg};
use super::session::unix_now;
use super::settings::Settings;
use super::verify::{
    Identity, OrganizationRef, Subject, Verdict, identity, is_same_payload, organization, statement_timeout,
};
use crate::access::permissions::organizations_of;
use crate::db;
use crate::error::{Refusal, Result};

/// An issuer whose access tokens are taken as they are.
struct Foreign {
    provider: String,
    trust: Trust,
}

thread_local! {
    static FOREIGN: RefCell<Option<(u64, Rc<Vec<Foreign>>)>> = const { RefCell::new(None) };
}

fn foreign_issuers() -> Result<Rc<Vec<Foreign>>> {
    let generation = memory::generation();
    let remembered = FOREIGN.with_borrow(|kept| match kept {
        Some((under, issuers)) if *under == generation => Some(Rc::clone(issuers)),
        _ => None,
    });
    if let Some(issuers) = remembered {
        return Ok(issuers);
    }
    let (issuers, keep_under) = memory::ask(ask_for_issuers)?;
    let issuers = Rc::new(issuers);
    if let Some(generation) = keep_under {
        FOREIGN.set(Some((generation, Rc::clone(&issuers))));
    }
    Ok(issuers)
}

fn ask_for_issuers() -> Result<Vec<Foreign>> {
    let leeway = Settings::current()?.clock_leeway;
    db::select(
        "select name, issuers, algorithms, access_token_audiences, jwks
         from crm_private.identity_providers where enabled and accept_access_tokens and jwks is not null
         order by name",
        &[],
        &[],
        |rows| {
            let mut issuers = vec![];
            for row in rows {
                let keys = row.get::<JsonB>(5)?.and_then(|JsonB(jwks)| KeySet::parse(&jwks).ok());
                if let (Some(provider), Some(issuers_), Some(algorithms), Some(audiences), Some(keys)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, keys)
                {
                    let trust = Trust { issuers: issuers_, algorithms, audiences, keys, leeway };
                    issuers.push(Foreign { provider, trust });
                }
            }
            Ok(issuers)
        },
    )
}

/// Whom an access token of another issuer stands for, if an administrator allows that; `claims` is what PostgREST verified.
pub fn external_identity(token: &str, claims: &str, wanted: Option<OrganizationRef>) -> Verdict<Rc<Identity>> {
    let issuers = foreign_issuers()?;
    let Ok(named) = issuer::issuer_of(token) else { return Ok(Err(Refusal::TOKEN)) };
    // One issuer can have several rows, each with an audience of its own.
    let now = unix_now();
    let verified = issuers
        .iter()
        .filter(|foreign| foreign.trust.issuers.contains(&named))
        .find_map(|foreign| Some((foreign, issuer::access_token(token, &foreign.trust, now).ok()?)));
    let Some((foreign, verified)) = verified else { return Ok(Err(Refusal::TOKEN)) };
    if !is_same_payload(&verified.payload, claims) {
        return Ok(Err(Refusal::TOKEN));
    }
    let subject = Subject::External {
        provider: foreign.provider.clone(),
        subject: verified.subject.clone(),
        organization: wanted.clone(),
    };
    identity(subject, || ask_for_external(&foreign.provider, &verified.subject, wanted.as_ref()))
}

fn ask_for_external(provider: &str, subject: &str, wanted: Option<&OrganizationRef>) -> Verdict<Identity> {
    let user = db::select(
        "select u.id
         from crm_private.user_identities as i
         join crm.users as u on u.id = i.user_id
         where i.provider = $1 and i.subject = $2 and u.status = 'active'",
        &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
        &[provider.into(), subject.into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?.map(from_pg)) },
    )?;
    let Some(user) = user else { return Ok(Err(Refusal::UNKNOWN_SUBJECT)) };
    let organization = match (wanted, organizations_of(user)?.as_slice()) {
        (None, [only]) => active_organization(user, &OrganizationRef::Id(*only))?,
        (None, _) => None,
        (Some(wanted), _) => match active_organization(user, wanted)? {
            None => return Ok(Err(Refusal::ORGANIZATION)),
            found => found,
        },
    };
    let principal = Principal { user_id: Some(user), organization, ..Principal::default() };
    let mut identity = Identity::new(principal, None)?;
    identity.statement_timeout = statement_timeout()?;
    Ok(Ok(identity))
}

fn active_organization(user: Uuid, wanted: &OrganizationRef) -> Result<Option<ActiveOrganization>> {
    let (id, slug) = OrganizationRef::split(Some(wanted));
    db::select(
        "select o.id, m.role, o.country
         from crm.memberships as m
         join crm.organizations as o on o.id = m.org_id and o.status = 'active'
         where m.user_id = $1 and m.status = 'active' and (m.org_id = $2 or o.slug = $3)",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(user).into(), id.into(), slug.into()],
        |rows| {
            let row = rows.first();
            if row.is_empty() { Ok(None) } else { Ok(organization(row.get(1)?, row.get(2)?, row.get(3)?)) }
        },
    )
}

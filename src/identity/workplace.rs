//! The organization that a user works in: the one that is named, or the only one.
//!
//! Whoever is no active member of an organization gets the same answer as for one that does not exist. Its members are told
//! why it was suspended or cancelled.

use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::principal::{ActiveOrganization, from_pg, to_pg};
use super::verify::{OrganizationRef, Verdict, organization};
use crate::db;
use crate::error::{Refusal, Result};

/// Three columns of `crm.organizations as o`, for [`stopped`].
macro_rules! standing {
    () => {
        "o.status, o.status_reason, to_char(o.status_changed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    };
}
pub(crate) use standing;

/// The organization to work in; `None` where none is named and the user has none or several that are active.
pub fn choose(user: Uuid, wanted: Option<&OrganizationRef>) -> Verdict<Option<ActiveOrganization>> {
    let nothing = OrganizationRef::default();
    let wanted = wanted.unwrap_or(&nothing);
    let (id, slug) = (wanted.id.map(to_pg), wanted.slug.as_deref());
    db::select(
        concat!(
            "select o.id, m.role, o.country, o.slug, ",
            standing!(),
            " from crm.memberships as m
             join crm.organizations as o on o.id = m.org_id
             where m.user_id = $1 and m.status = 'active'
                 and (o.id = $2 or o.slug = $3 or ($2 is null and $3 is null and o.status = 'active'))
             limit 2"
        ),
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(user).into(), id.into(), slug.into()],
        |rows| {
            let mut found = rows.into_iter();
            match (found.next(), found.next()) {
                (None, _) if *wanted == nothing => Ok(Ok(None)),
                (None, _) => Ok(Err(Refusal::ORGANIZATION)),
                (Some(only), None) => chosen(&only, wanted),
                (Some(_), Some(_)) if *wanted == nothing => Ok(Ok(None)),
                // The id is that of one, the slug that of another.
                (Some(_), Some(_)) => Ok(Err(Refusal::ORGANIZATION_AMBIGUOUS)),
            }
        },
    )
}

fn chosen(row: &db::Row, wanted: &OrganizationRef) -> Verdict<Option<ActiveOrganization>> {
    let (id, slug) = (row.get::<pgrx::Uuid>(1)?.map(from_pg), row.get::<String>(4)?);
    let agrees = wanted.id.is_none_or(|wanted| Some(wanted) == id)
        && wanted.slug.as_ref().is_none_or(|wanted| Some(wanted) == slug.as_ref());
    if !agrees {
        // Whether the other name is anybody's is not looked at.
        return Ok(Err(Refusal::ORGANIZATION_AMBIGUOUS));
    }
    if let Some(refusal) = stopped(row, 5)? {
        return Ok(Err(refusal));
    }
    match organization(id.map(to_pg), row.get(2)?, row.get(3)?) {
        None => Ok(Err(Refusal::ORGANIZATION)),
        found => Ok(Ok(found)),
    }
}

/// What is said of an organization that is not active, to those it concerns; `first` is the first column of `standing!()`.
pub fn stopped(row: &db::Row, first: usize) -> Result<Option<Refusal>> {
    let Some(status) = row.get::<String>(first)?.filter(|status| status != "active") else { return Ok(None) };
    let (reason, since) = (row.get::<String>(first + 1)?, row.get::<String>(first + 2)?);
    Ok(Some(Refusal::stopped(&status, reason.as_deref(), since.as_deref())))
}

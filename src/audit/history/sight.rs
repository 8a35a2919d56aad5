//! Who may know of a record's past: who may read it as it is now, or could when it was deleted, or may read all history.

use std::rc::Rc;

use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::entries::{self, Entry, id_in};
use super::images;
use super::subject::Subject;
use crate::access::grants::Scope;
use crate::access::permissions::{Holder, Permissions, everywhere, in_active};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};

/// The same answer for what is not there and what is somebody else's.
pub fn no_such_record() -> CrmError {
    CrmError::invalid("id", "there is no such record")
}

fn principal() -> Result<Rc<Principal>> {
    Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))
}

/// Who writes, in the active organization.
pub fn active() -> Result<(Rc<Principal>, Holder, Rc<Permissions>)> {
    let principal = principal()?;
    let (holder, permissions) = in_active(&principal)?
        .ok_or_else(|| CrmError::forbidden("no organization is active: name the one you mean"))?;
    Ok((principal, holder, permissions))
}

/// The organization where the caller may know of this record.
pub fn organization_of(subject: &Subject, id: Uuid) -> Result<Uuid> {
    let principal = principal()?;
    for (holder, permissions) in everywhere(&principal)? {
        if may_know(subject, holder.organization(), &permissions, id)? {
            return Ok(holder.organization());
        }
    }
    Err(no_such_record())
}

pub fn reads_all_history(permissions: &Permissions) -> bool {
    permissions.scope("audit.read") == Some(Scope::All)
}

pub fn may_know(subject: &Subject, organization: Uuid, permissions: &Permissions, id: Uuid) -> Result<bool> {
    if !images::visible(subject, organization, &[id])?.is_empty() {
        return Ok(true);
    }
    if let Some(deletion) = entries::deletion(organization, &subject.entity, id)?
        && could_read(subject, organization, &deletion)?
    {
        return Ok(true);
    }
    Ok(reads_all_history(permissions) && is_known(subject, organization, id)?)
}

/// Whether the caller might have read what was deleted.
pub fn could_read(subject: &Subject, organization: Uuid, deletion: &Entry) -> Result<bool> {
    subject.shows(organization, id_in(&deletion.before, "owner_id"))
}

fn is_known(subject: &Subject, organization: Uuid, id: Uuid) -> Result<bool> {
    let id = to_pg(id);
    let condition = "record_id = $2 and entity = $3 limit 1";
    Ok(!entries::find(organization, condition, vec![id.into(), subject.entity.as_str().into()])?.is_empty())
}

/// Those of these records that the caller finds in the trash.
pub fn in_trash(organization: Uuid, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::as_caller(|| {
        db::select(
            "select coalesce(array_agg(record_id), '{}') from crm.deleted_records where org_id = $1 and record_id = any ($2)",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDARRAYOID],
            &[to_pg(organization).into(), ids.into()],
            |rows| {
                let found = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
                Ok(found.into_iter().map(from_pg).collect())
            },
        )
    })
}

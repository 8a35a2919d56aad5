//! Who may know of a record's past: who may read it as it is now, or could when it was deleted, or may read all history.

use std::collections::HashMap;
use std::rc::Rc;

use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::entries::{self, Action, Entry, id_in};
use super::subject::Subject;
use super::{images, past};
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

/// What the caller may know of a record.
pub struct Sight {
    pub organization: Uuid,
    /// Entries up to this id tell of another record, which had the same id.
    pub floor: Option<Uuid>,
}

/// Where the caller may know of this record.
pub fn sight_of(subject: &Subject, id: Uuid) -> Result<Sight> {
    let principal = principal()?;
    for (holder, permissions) in everywhere(&principal)? {
        if let Some(sight) = look(subject, holder.organization(), &permissions, id)? {
            return Ok(sight);
        }
    }
    Err(no_such_record())
}

pub fn reads_all_history(permissions: &Permissions) -> bool {
    permissions.scope("audit.read") == Some(Scope::All)
}

/// `None`: nothing, for the caller.
pub fn look(subject: &Subject, organization: Uuid, permissions: &Permissions, id: Uuid) -> Result<Option<Sight>> {
    let is_visible = !images::visible(subject, organization, &[id])?.is_empty();
    if reads_all_history(permissions) {
        let is_known = is_visible || is_known(subject, organization, id)?;
        return Ok(is_known.then_some(Sight { organization, floor: None }));
    }
    let may_know = is_visible
        || match entries::deletion(organization, &subject.entity, id)? {
            Some(deletion) => could_read(subject, organization, &deletion)?,
            None => false,
        };
    if !may_know {
        return Ok(None);
    }
    let floor = floors(subject, organization, &[id])?.remove(&id);
    Ok(Some(Sight { organization, floor }))
}

/// Where what the caller may know of these records begins, after the entry of this id: an id can be given to another record when its
/// record is deleted, by anybody. What was before that is known to whoever could read what was deleted.
pub fn floors(subject: &Subject, organization: Uuid, ids: &[Uuid]) -> Result<HashMap<Uuid, Uuid>> {
    let ends = entries::beginnings_and_ends(organization, &subject.entity, ids)?;
    let mut floors = HashMap::new();
    for ends in ends.chunk_by(|one, other| one.record_id == other.record_id) {
        if let (Some(last), Some(floor)) = (ends.first(), floor(subject, organization, ends)?) {
            floors.insert(last.record_id, floor);
        }
    }
    Ok(floors)
}

/// Of one record, whose entries these are, the latest first.
fn floor(subject: &Subject, organization: Uuid, ends: &[Entry]) -> Result<Option<Uuid>> {
    let mut beginning: Option<&Entry> = None;
    for entry in ends {
        let goes_on = match (entry.action, beginning) {
            (Action::Delete, Some(beginning)) if is_return(beginning, entry) => true,
            (Action::Delete, _) => could_read(subject, organization, entry)?,
            _ => beginning.is_none(),
        };
        if !goes_on {
            return Ok(Some(beginning.map_or(entry.id, before)));
        }
        beginning = (entry.action == Action::Insert).then_some(entry);
    }
    Ok(beginning.map(before))
}

/// The id before an entry's.
fn before(entry: &Entry) -> Uuid {
    Uuid::from_u128(entry.id.as_u128().saturating_sub(1))
}

/// Whether what was deleted came back with this: only then its version goes on.
fn is_return(next: &Entry, deletion: &Entry) -> bool {
    let returned = past::version(&deletion.before).and_then(|last| last.checked_add(1));
    next.action == Action::Insert && returned.is_some() && past::version(&next.after) == returned
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
pub fn in_trash(subject: &Subject, organization: Uuid, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::as_caller(|| {
        db::select(
            "select coalesce(array_agg(record_id), '{}') from crm.deleted_records
             where org_id = $1 and record_id = any ($2) and entity = $3",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::TEXTOID],
            &[to_pg(organization).into(), ids.into(), subject.entity.as_str().into()],
            |rows| {
                let found = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
                Ok(found.into_iter().map(from_pg).collect())
            },
        )
    })
}

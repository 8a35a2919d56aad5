//! What was deleted and can be brought back: a line for each record in `crm.deleted_records`.

use pgrx::datum::IntoDatum;
use pgrx::pg_sys;
use uuid::Uuid;

use super::image::Shape;
use super::place::Ours;
use crate::db::append::Appender;
use crate::db::transition::value;
use crate::db::{self, locks};
use crate::error::Result;
use crate::identity::principal::to_pg;

const COLUMNS: [&str; 10] = [
    "org_id",
    "id",
    "created_at",
    "entity",
    "resource",
    "record_id",
    "owner_id",
    "title",
    "actor_id",
    "transaction_id",
];

pub struct Deletion {
    /// The entry of the audit log that says so.
    pub entry: Uuid,
    pub created_at: i64,
    pub actor_id: Option<Uuid>,
    pub transaction_id: Uuid,
}

/// Of one statement; opened for the first record.
#[derive(Default)]
pub struct Trash(Option<Appender>);

impl Trash {
    /// # Safety
    ///
    /// A slot with a row of the table, all columns taken out.
    pub unsafe fn add(
        &mut self,
        shape: &Shape,
        slot: *mut pg_sys::TupleTableSlot,
        title: Option<&str>,
        deletion: &Deletion,
    ) -> Result<()> {
        if self.0.is_none() {
            let table = db::relation(c"crm", c"deleted_records")?;
            // SAFETY: an existing table.
            let relation = unsafe { pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32) };
            self.0 = Some(Appender::new(relation, &COLUMNS)?);
        }
        let Some(table) = &mut self.0 else { return Ok(()) };
        // SAFETY: by the caller; these columns are of type uuid.
        let ids = unsafe {
            let id = |at| value::<pgrx::Uuid>(slot, at);
            (id(shape.org_id), id(shape.key), shape.owner_id.and_then(id))
        };
        table.add(|| {
            [
                ids.0.into_datum(),
                to_pg(deletion.entry).into_datum(),
                deletion.created_at.into_datum(),
                shape.entity.as_str().into_datum(),
                shape.resource.as_str().into_datum(),
                ids.1.into_datum(),
                ids.2.into_datum(),
                title.into_datum(),
                deletion.actor_id.map(to_pg).into_datum(),
                to_pg(deletion.transaction_id).into_datum(),
            ]
        });
        Ok(())
    }

    pub fn finish(self) {
        if let Some(table) = self.0 {
            table.finish();
        }
    }
}

/// Until the transaction ends nobody erases what it brings back: who is erased comes back before, and goes again, or not at all.
pub fn keep_from_erasure(organization: Uuid) -> Result<()> {
    lock(organization, pg_sys::ShareLock)
}

/// Waits for those who bring something back just now; until the transaction ends nobody else does.
pub fn keep_from_return(organization: Uuid) -> Result<()> {
    lock(organization, pg_sys::ExclusiveLock)
}

fn lock(organization: Uuid, mode: u32) -> Result<()> {
    locks::lock(db::relation(c"crm", c"deleted_records")?, locks::number(organization), 0, mode);
    Ok(())
}

/// These records of a table cannot be brought back any more: they are there again, or erased.
pub fn take_out(organization: Uuid, entity: &str, records: impl IntoIterator<Item = Uuid>) -> Result<()> {
    let _ours = Ours::begin();
    let records: Vec<_> = records.into_iter().map(to_pg).collect();
    db::execute(
        "delete from crm.deleted_records where org_id = $1 and record_id = any ($3) and entity = $2",
        &[to_pg(organization).into(), entity.into(), records.into()],
    )?;
    Ok(())
}

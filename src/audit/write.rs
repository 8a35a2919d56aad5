//! Writes entries into the month's partition, and notes them in the transaction.

use std::rc::Rc;

use pgrx::datum::IntoDatum;
use pgrx::{direct_function_call_as_datum, pg_sys};
use uuid::Uuid;

use super::entry::Entry;
use super::origin::{self, Origin};
use super::transaction::{self, Ids};
use super::trash::Deletion;
use super::{partition, place};
use crate::db::append::{Appender, Value};
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;

const COLUMNS: [&str; 19] = [
    "org_id",
    "id",
    "created_at",
    "action",
    "entity",
    "record_id",
    "changed",
    "before",
    "after",
    "transaction_id",
    "actor_id",
    "impersonator_id",
    "api_key_id",
    "database_role",
    "login_role",
    "request_id",
    "address",
    "user_agent",
    "application",
];

/// What happened to one record, as far as it is the writer's to say.
pub struct Event<'a> {
    pub org_id: Uuid,
    pub record_id: Uuid,
    pub action: &'a str,
    pub changed: Option<Vec<&'a str>>,
    pub before: Option<&'a [u8]>,
    pub after: Option<&'a [u8]>,
    /// Whether somebody has seen to it that nobody deletes the organization meanwhile.
    pub is_held: bool,
}

/// Writes the entries of one statement.
pub struct Writer<'a> {
    entity: &'a str,
    origin: Rc<Origin>,
    created_at: i64,
    transaction_id: Uuid,
    ids: Ids,
    /// Opened for the first entry.
    table: Option<(Appender, Shared)>,
}

/// What all entries of a statement have in common.
#[derive(Clone, Copy)]
struct Shared {
    entity: Value,
    transaction_id: Value,
    origin: [Value; 9],
}

impl<'a> Writer<'a> {
    pub fn new(entity: &'a str) -> Result<Self> {
        Ok(Self {
            entity,
            origin: origin::current()?,
            created_at: transaction::began_at(),
            transaction_id: transaction::id(),
            ids: Ids::new(),
            table: None,
        })
    }

    /// Gives the entry's id.
    pub fn add(&mut self, event: Event) -> Result<Uuid> {
        let entry = Entry {
            org_id: event.org_id,
            id: self.ids.next(),
            created_at: self.created_at,
            action: event.action,
            entity: self.entity,
            record_id: event.record_id,
            changed: event.changed,
            before: event.before,
            after: event.after,
            transaction_id: self.transaction_id,
        };
        if self.table.is_none() {
            transaction::begin_entries();
            let shared = Shared::of(self.entity, &self.origin, self.transaction_id);
            self.table = Some((Appender::new(partition::open(self.created_at)?, &COLUMNS)?, shared));
        }
        if !event.is_held && !place::hold(entry.org_id)? {
            return Err(CrmError::InUse {
                message: "the organization is gone".into(),
                hint: "It was deleted meanwhile, with all that was its own.".into(),
            });
        }
        transaction::note(&entry, &self.origin)?;
        if let Some((table, shared)) = &mut self.table {
            table.add(|| shared.row(&entry));
        }
        Ok(entry.id)
    }

    /// What the trash is told of an entry.
    pub fn deletion(&self, entry: Uuid) -> Deletion {
        Deletion {
            entry,
            created_at: self.created_at,
            actor_id: self.origin.actor_id,
            transaction_id: self.transaction_id,
        }
    }

    pub fn finish(self) {
        if let Some((table, _)) = self.table {
            table.finish();
        }
    }
}

impl Shared {
    fn of(entity: &str, origin: &Origin, transaction_id: Uuid) -> Self {
        let text = |text: &Option<String>| text.as_deref().into_datum();
        let id = |id: Option<Uuid>| id.map(to_pg).into_datum();
        let address = origin.address.as_ref().and_then(|address| std::ffi::CString::new(address.as_str()).ok());
        // SAFETY: the text of an IpAddr, which is NUL-terminated.
        let address = address.and_then(|address| unsafe {
            direct_function_call_as_datum(pg_sys::inet_in, &[Some(pg_sys::Datum::from(address.as_ptr()))])
        });
        Self {
            entity: entity.into_datum(),
            transaction_id: id(Some(transaction_id)),
            origin: [
                id(origin.actor_id),
                id(origin.impersonator_id),
                id(origin.api_key_id),
                origin.database_role.as_str().into_datum(),
                origin.login_role.as_str().into_datum(),
                text(&origin.request_id),
                address,
                text(&origin.user_agent),
                text(&origin.application),
            ],
        }
    }

    fn row(&self, entry: &Entry) -> [Value; COLUMNS.len()] {
        let [actor, impersonator, key, role, login, request, address, agent, application] = self.origin;
        [
            to_pg(entry.org_id).into_datum(),
            to_pg(entry.id).into_datum(),
            entry.created_at.into_datum(),
            entry.action.into_datum(),
            self.entity,
            to_pg(entry.record_id).into_datum(),
            entry.changed.as_ref().and_then(|changed| changed.as_slice().into_datum()),
            entry.before.map(json),
            entry.after.map(json),
            self.transaction_id,
            actor,
            impersonator,
            key,
            role,
            login,
            request,
            address,
            agent,
            application,
        ]
    }
}

/// Of type json, which inside is text.
fn json(text: &[u8]) -> pg_sys::Datum {
    // MaxAllocSize, which PostgreSQL gives no value more than. With its quotes a record can take more than as a row.
    const MAX: usize = 0x3fff_ffff - pg_sys::VARHDRSZ;
    if text.len() > MAX {
        let error = crate::error::CrmError::TooLarge {
            message: "the record is too large for its history".into(),
            hint: "Written as JSON it must be less than 1 GB.".into(),
        };
        pgrx::pg_sys::panic::ErrorReport::from(error).report(pgrx::PgLogLevel::ERROR);
    }
    // SAFETY: so many bytes, which are copied.
    unsafe { pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(text.as_ptr().cast(), text.len() as i32)) }
}

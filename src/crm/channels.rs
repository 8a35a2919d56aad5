//! Further e-mail addresses and phone numbers of a contact (`contact_emails`, `contact_phones`) beside the primary ones, which are
//! the contact's own columns: the rows of an import are not written twice. An e-mail address occurs once among all of an
//! organization.

use std::cell::Cell;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use crate::access::permissions;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::plans::tally;
use crate::records::row::{self, Row, Rows};
use crate::schema::is_restore;

/// A contact's column, and the statements on the table of further ones. $1 organization, $2 contact, $3 address; $4 and $5 the
/// address and kind that take its place.
struct Channel {
    column: &'static str,
    kind: &'static str,
    find: &'static str,
    replace: &'static str,
    remove: &'static str,
}

macro_rules! channel {
    ($table:literal, $column:literal, $kind:literal) => {
        Channel {
            column: $column,
            kind: $kind,
            find: concat!(
                "select kind from crm.",
                $table,
                " where org_id = $1 and contact_id = $2 and ",
                $column,
                " = $3 for update"
            ),
            replace: concat!(
                "update crm.",
                $table,
                " set ",
                $column,
                " = $4, kind = $5 where org_id = $1 and contact_id = $2 and ",
                $column,
                " = $3"
            ),
            remove: concat!(
                "delete from crm.",
                $table,
                " where org_id = $1 and contact_id = $2 and ",
                $column,
                " = $3"
            ),
        }
    };
}

const EMAIL: Channel = channel!("contact_emails", "email", "email_kind");
const PHONE: Channel = channel!("contact_phones", "phone", "phone_kind");

const TYPES: [PgBuiltInOids; 5] = [
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::UUIDOID,
    PgBuiltInOids::TEXTOID,
    PgBuiltInOids::TEXTOID,
    PgBuiltInOids::TEXTOID,
];

thread_local! {
    /// Two addresses are changing places: for a moment one is in both.
    static SWAPPING: Cell<bool> = const { Cell::new(false) };
}

fn swapping<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            SWAPPING.set(false);
        }
    }
    SWAPPING.set(true);
    let _end = End;
    run()
}

#[pg_trigger(sql = false)]
fn swap_address<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(swapped(trigger).map(Some))
}

/// The contact gets another primary address. If it was a further one of theirs, the two change places.
fn swapped(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let Some(old) = old.filter(|_| !is_restore()) else { return Ok(new) };
    // Another's row is refused after this, and until then must neither be waited for nor tell anything.
    if new.differs("org_id", &old) || new.differs("id", &old) || !may_change_contacts(&new)? {
        return Ok(new);
    }
    for channel in [&EMAIL, &PHONE] {
        if let Some(address) = new.get::<String>(channel.column)?
            && new.differs(channel.column, &old)
        {
            let is_own = swap(channel, &address, &mut new, &old)?;
            if channel.column == EMAIL.column {
                check_further(org_id_of(&new)?, &address, is_own)?;
            }
        }
    }
    Ok(new)
}

/// Whether it was a further one of theirs.
fn swap(channel: &Channel, address: &str, new: &mut Row, old: &Row) -> Result<bool> {
    let key = [new.get::<pgrx::Uuid>("org_id")?.into(), new.get::<pgrx::Uuid>("id")?.into(), address.into()];
    let kind = as_owner(|| {
        db::write_prepared(channel.find, &TYPES[..3], &key, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) }
        })
    })?;
    let Some(kind) = kind else { return Ok(false) };
    let before: Option<String> = old.get(channel.column)?;
    let statement = if before.is_some() { channel.replace } else { channel.remove };
    let [org_id, contact, address] = key;
    let arguments = [org_id, contact, address, before.into(), old.get::<String>(channel.kind)?.into()];
    swapping(|| as_owner(|| db::write_prepared(statement, &TYPES, &arguments, |_| Ok(()))))?;
    if !new.differs(channel.kind, old) {
        new.set(channel.kind, Some(kind))?;
    }
    Ok(true)
}

/// Whether a primary address is a further one, too.
fn check_further(org_id: Uuid, email: &str, is_own: bool) -> Result<()> {
    lock(org_id, Side::Primary)?;
    let query = "select exists (select from crm.contact_emails where org_id = $1 and email = $2)";
    if !is_own && known(query, org_id, email)? { Err(taken(email)) } else { Ok(()) }
}

#[pg_trigger(sql = false)]
fn check_addresses<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check_all(trigger).map(|()| None))
}

/// The same for all new contacts of a statement at once: an import has a hundred thousand.
fn check_all(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    for (org_id, _) in tally::changes(trigger, None)?.into_iter().filter(|(_, added)| *added > 0) {
        lock(org_id, Side::Primary)?;
    }
    let found = as_owner(|| {
        db::at_latest(|| {
            db::select_on_rows_of(
                trigger,
                "select a.email from added as a
                 join crm.contact_emails as e on e.org_id = a.org_id and e.email = a.email
                 limit 1",
                |rows| if rows.is_empty() { Ok(None) } else { rows.first().get_one::<String>() },
            )
        })
    })?;
    found.map_or(Ok(()), |email| Err(taken(&email)))
}

#[pg_trigger(sql = false)]
fn check_address<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

/// A further address is nobody's primary one.
fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { new, old } = Rows::of(trigger)?;
    if !is_restore()
        && !SWAPPING.get()
        && old.is_none_or(|old| !new.differs("org_id", &old))
        && may_change_contacts(&new)?
        && let Some(email) = new.get::<String>("email")?
    {
        let org_id = org_id_of(&new)?;
        lock(org_id, Side::Further)?;
        if known("select exists (select from crm.contacts where org_id = $1 and email = $2)", org_id, &email)? {
            return Err(taken(&email));
        }
    }
    Ok(new)
}

fn known(query: &'static str, org_id: Uuid, email: &str) -> Result<bool> {
    as_owner(|| {
        db::at_latest(|| {
            db::select(
                query,
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
                &[to_pg(org_id).into(), email.into()],
                |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
            )
        })
    })
}

fn taken(email: &str) -> CrmError {
    CrmError::Conflict {
        message: format!("email: {email} is an address of a contact already"),
        hint: "An e-mail address occurs once among the primary and further ones of an organization.".into(),
    }
}

fn may_change_contacts(row: &Row) -> Result<bool> {
    permissions::had_in(Some(org_id_of(row)?), "contacts.update")
}

fn org_id_of(row: &Row) -> Result<Uuid> {
    let named = row.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    let org_id = named.or_else(|| Principal::current().and_then(|principal| principal.org_id()));
    org_id.ok_or_else(|| CrmError::invalid("org_id", "name the organization: none is active"))
}

#[derive(Clone, Copy)]
enum Side {
    Primary,
    Further,
}

/// No index spans the two tables. So in one organization, whoever writes addresses of one side waits for those who write the
/// other, until they have ended; those of one side do not wait for each other.
fn lock(org_id: Uuid, side: Side) -> Result<()> {
    let mode = match side {
        Side::Primary => pg_sys::ShareLock,
        Side::Further => pg_sys::RowExclusiveLock,
    };
    locks::lock(db::relation(c"crm", c"contact_emails")?, locks::number(org_id), 0, mode);
    Ok(())
}

/// Whether an address is taken does not depend on which contacts the caller sees.
fn as_owner<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    db::as_owner_of(c"crm", c"contacts", run)
}

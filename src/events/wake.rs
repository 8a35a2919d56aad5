//! Wakes whoever delivers when something was committed that webhooks may want: `NOTIFY crm_events`, which says nothing else.

use std::cell::RefCell;
use std::num::NonZeroUsize;

use lru::LruCache;
use pgrx::PgBuiltInOids;
use uuid::Uuid;

use crate::db;
use crate::error::Result;
use crate::gucs;
use crate::identity::memory;
use crate::identity::principal::to_pg;

const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

struct Known {
    generation: u64,
    listens: LruCache<Uuid, bool>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(Known { generation: 0, listens: LruCache::new(REMEMBERED) });
}

unsafe extern "C-unwind" {
    /// PostgreSQL's own NOTIFY (commands/async.h).
    fn Async_Notify(channel: *const std::ffi::c_char, payload: *const std::ffi::c_char);
}

/// The transaction is about to commit entries of these organizations. Transactions that notify commit one after the other in all
/// of the server, so only those do whose organization has a webhook. Who is not woken comes by itself, a little later.
pub fn before_commit<'a>(organizations: impl Iterator<Item = &'a Uuid>) -> Result<()> {
    for organization in organizations {
        if gucs::notifies_always() || has_webhooks(*organization)? {
            wake();
            return Ok(());
        }
    }
    Ok(())
}

/// When the transaction commits.
pub fn wake() {
    // SAFETY: NUL-terminated texts, in a transaction that may still add to what it tells.
    unsafe { Async_Notify(c"crm_events".as_ptr(), c"".as_ptr()) };
}

/// Remembered, or asked for.
fn has_webhooks(organization: Uuid) -> Result<bool> {
    let generation = memory::generation();
    let remembered = KNOWN.with_borrow_mut(|known| {
        if known.generation != generation {
            known.generation = generation;
            known.listens.clear();
        }
        known.listens.get(&organization).copied()
    });
    if let Some(remembered) = remembered {
        return Ok(remembered);
    }
    let (has, keep_under) = memory::ask_while_writing(|| load(organization))?;
    if let Some(generation) = keep_under {
        KNOWN.with_borrow_mut(|known| {
            if known.generation == generation {
                known.listens.put(organization, has);
            }
        });
    }
    Ok(has)
}

/// For functions that run as `crm_definer`.
fn load(organization: Uuid) -> Result<bool> {
    db::select_by_key(
        "select exists (select from crm.webhooks where org_id = $1 and enabled)",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

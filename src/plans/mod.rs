//! Plans: what an organization may have, how much of it there is, and the refusal of more.

pub mod agreements;
pub mod limits;
pub mod recount;
pub mod tally;
pub mod usage;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use uuid::Uuid;

use crate::access::permissions::everywhere;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::identity::{memory, platform};
use limits::Terms;

/// Some hundred bytes each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

struct Known {
    generation: u64,
    terms: LruCache<Uuid, Rc<Terms>>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(Known { generation: 0, terms: LruCache::new(REMEMBERED) });
}

/// What an organization has: remembered, or asked for. `None` when there is no such organization (any more).
pub fn terms_of(organization: Uuid) -> Result<Option<Rc<Terms>>> {
    let generation = memory::generation();
    let remembered = KNOWN.with_borrow_mut(|known| {
        if known.generation != generation {
            known.generation = generation;
            known.terms.clear();
        }
        known.terms.get(&organization).cloned()
    });
    if remembered.is_some() {
        return Ok(remembered);
    }
    let (terms, keep_under) = memory::ask_while_writing(|| load(organization))?;
    let Some(terms) = terms.map(Rc::new) else { return Ok(None) };
    if let Some(generation) = keep_under {
        KNOWN.with_borrow_mut(|known| {
            if known.generation == generation {
                known.terms.put(organization, Rc::clone(&terms));
            }
        });
    }
    Ok(Some(terms))
}

fn load(organization: Uuid) -> Result<Option<Terms>> {
    let found = db::select(
        "select jsonb_build_object('plan', p.name, 'features', p.features, 'limits', p.limits, 'overrides', coalesce((
             select jsonb_agg(jsonb_build_object(
                 'name', a.name, 'kind', a.kind, 'enabled', a.enabled, 'maximum', a.maximum,
                 'starts_at', (extract(epoch from a.starts_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint,
                 'ends_at', (extract(epoch from a.ends_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
             ))
             from crm_private.plan_overrides as a
             where a.org_id = o.id
         ), '[]'))
         from crm.organizations as o
         join crm.plans as p on p.name = o.plan
         where o.id = $1",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<JsonB>()?) },
    )?;
    let terms = found.map(|JsonB(terms)| serde_json::from_value(terms)).transpose();
    terms.map_err(|_| CrmError::internal("the organization's plan has another form than crm_ext gives it"))
}

/// By the clock, not the transaction's time: what has ended has ended.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

#[pg_extern(sql = false)]
fn feature_enabled(name: Option<&str>, org_id: Option<pgrx::Uuid>) -> Result<bool, ErrorReport> {
    let (Some(name), Some(organization)) = (name, organization_of_caller(org_id.map(from_pg))?) else {
        return Ok(false);
    };
    Ok(terms_of(organization)?.is_some_and(|terms| terms.has_feature(name, now())))
}

/// The active organization, or the one that is named, if it is the caller's.
fn organization_of_caller(named: Option<Uuid>) -> Result<Option<Uuid>> {
    if named.is_some() && platform::permitted("organizations.read") {
        return Ok(named);
    }
    let Some(principal) = Principal::current() else { return Ok(None) };
    let Some(named) = named else { return Ok(principal.org_id()) };
    let is_callers = everywhere(&principal)?.iter().any(|(holder, _)| holder.organization() == named);
    Ok(is_callers.then_some(named))
}

//! Whether somebody may say where a webhook leads, or what it tells: only who may read all of that.

use std::collections::BTreeSet;

use super::catalogue::{Source, TEST};
use super::pattern::Pattern;
use super::queue;
use super::webhooks::list;
use crate::access::grants::Scope;
use crate::access::permissions::{Holder, Permissions, of};
use crate::audit::history::sight;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg};
use crate::records::row::Row;

/// Everybody sees their own alone; all of them are seen in history only.
const PERSONAL: &str = "notifications";
const HISTORY: &str = "audit.read";

/// Who needs no identity may all; of others the policies see to it that it is their organization.
pub fn check(new: &Row, old: Option<&Row>, patterns: &[Pattern], sources: &[Source]) -> Result<()> {
    let organization = new.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    let holder = Principal::current()
        .zip(organization)
        .and_then(|(principal, organization)| Holder::of(&principal, organization));
    let Some(holder) = holder else { return Ok(()) };
    let permissions = of(holder)?;
    if sight::reads_all_history(&permissions) {
        return Ok(());
    }
    if let Some(missing) = missing(patterns, sources, &permissions) {
        return Err(CrmError::forbidden(format!(
            "you lack {missing} for all records, which these events tell of: name only events that you may know"
        )));
    }
    let Some(old) = old.filter(|old| new.differs("url", old)) else { return Ok(()) };
    let told = [list(old, "events")?.into_iter().flatten().collect(), on_their_way(old)?].concat();
    // What is none any more could be anything.
    let told: Vec<_> = told.iter().map(|name| Pattern::parse(name).unwrap_or(Pattern::ALL)).collect();
    match missing(&told, sources, &permissions) {
        Some(missing) => Err(CrmError::forbidden(format!(
            "you lack {missing} for all records, which the webhook tells of so far, or is about to: who says where that goes must be allowed to read it"
        ))),
        None => Ok(()),
    }
}

/// The types of the events that it is to get, or did not get.
fn on_their_way(webhook: &Row) -> Result<Vec<String>> {
    let (Some(organization), Some(id)) = (webhook.get::<pgrx::Uuid>("org_id")?, webhook.get::<pgrx::Uuid>("id")?)
    else {
        return Ok(vec![]);
    };
    db::as_definer(|| {
        // Somebody may just be handing over what it wanted until now.
        queue::hold_reader(from_pg(organization), "for share")?;
        db::at_latest(|| {
            db::select_once(
                "select array_agg(distinct event_type) from crm.webhook_deliveries
                 where org_id = $1 and webhook_id = $2 and event_type <> $3",
                &[organization.into(), id.into(), TEST.0.into()],
                |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
            )
        })
    })
}

/// A permission to read what these events tell, for all records, that somebody has not: who gets them need not have any.
fn missing(patterns: &[Pattern], sources: &[Source], permissions: &Permissions) -> Option<String> {
    let needed = patterns.iter().flat_map(|pattern| {
        let mut needed: Vec<_> = sources
            .iter()
            .filter(|source| pattern.noun().is_none_or(|noun| source.noun() == noun))
            .map(permission_to_read)
            .collect();
        if needed.is_empty() {
            needed.push(HISTORY.to_owned());
        }
        needed
    });
    let needed: BTreeSet<_> = needed.collect();
    needed.into_iter().find(|permission| permissions.scope(permission) != Some(Scope::All))
}

fn permission_to_read(source: &Source) -> String {
    if source.is_enrolled && source.entity != PERSONAL {
        format!("{}.read", source.resource)
    } else {
        HISTORY.to_owned()
    }
}

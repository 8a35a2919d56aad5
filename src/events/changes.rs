//! `crm.changes_since`: the feed for whoever asks.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::cursor::Cursor;
use super::event;
use super::feed::{self, Page, Placed};
use super::kinds;
use super::pattern::{self, Pattern};
use super::picture;
use super::readable::Readable;
use crate::audit::history::sight;
use crate::audit::history::subject::Subjects;
use crate::audit::place;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};

const LIMIT_MAX: i32 = 1000;

/// So many entries are looked through for one answer, be there enough among them or not: who may read little gets an empty answer
/// and a cursor further on, and waits no longer than others.
const LOOKED_THROUGH: i64 = 5000;

const NOW: &str = "now";

/// Of type json, which inside is text.
#[pg_extern(sql = false)]
fn changes_since(
    cursor: Option<&str>,
    limit: Option<i32>,
    types: Option<Vec<Option<String>>>,
) -> Result<String, ErrorReport> {
    let limit = limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(CrmError::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")).into());
    }
    let types: Vec<_> = types.map_or_else(|| vec!["*".into()], |types| types.into_iter().flatten().collect());
    let types = pattern::parse_all(&types).map_err(|problem| CrmError::invalid("types", problem))?;
    let (_, holder, permissions) = sight::active()?;
    let organization = holder.organization();
    collect_late(organization)?;
    let read = || match cursor {
        Some(NOW) => Ok(Answer { events: vec![], cursor: feed::end(organization)?, more: false }),
        _ => {
            let from = cursor.map_or(Ok(Cursor::BEGINNING), Cursor::parse)?;
            feed::check(organization, &from)?;
            read(&Readable { organization, permissions: &permissions }, from, i64::from(limit), &types)
        }
    };
    // One snapshot for the rows and what history tells of them.
    Ok(db::at_latest(read)?.to_text())
}

/// A transaction that committed while another one did has no place yet. Where this may write it gives it one; otherwise the next
/// one does that commits, or the worker.
fn collect_late(organization: Uuid) -> Result<()> {
    // SAFETY: reads a flag of the transaction manager, and the isolation level.
    let may_place = unsafe {
        !pg_sys::XactReadOnly
            && pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32
            && !pg_sys::IsInParallelMode()
    };
    if !may_place || !db::as_definer(|| place::waits(organization))? {
        return Ok(());
    }
    db::as_definer(|| {
        let table = db::relation(c"crm", c"audit_transactions")?;
        if locks::try_one_after_another(table, organization) {
            db::at_latest(|| place::place_waiting(organization))?;
        }
        Ok(())
    })
}

struct Answer {
    events: Vec<String>,
    cursor: Cursor,
    more: bool,
}

impl Answer {
    fn to_text(&self) -> String {
        let cursor = serde_json::Value::from(self.cursor.to_text());
        format!(r#"{{"events":[{}],"cursor":{cursor},"more":{}}}"#, self.events.join(","), self.more)
    }
}

fn read(readable: &Readable, from: Cursor, limit: i64, types: &[Pattern]) -> Result<Answer> {
    let mut subjects = Subjects::default();
    let mut answer = Answer { events: vec![], cursor: from, more: true };
    let mut looked_through = 0;
    while answer.more && (answer.events.len() as i64) < limit && looked_through < LOOKED_THROUGH {
        let wanted = limit - answer.events.len() as i64;
        let Page { mut entries, cursor, more } = feed::after(readable.organization, &answer.cursor, None, wanted)?;
        looked_through += entries.len().max(1) as i64;
        entries.retain(|placed| !wanted_names(placed, types).is_empty());
        readable.keep(&mut entries, &mut subjects)?;
        answer.events.extend(tell(readable.organization, &entries, types, &mut subjects)?);
        (answer.cursor, answer.more) = (cursor, more);
    }
    Ok(answer)
}

fn wanted_names(placed: &Placed, types: &[Pattern]) -> Vec<&'static str> {
    let noun = kinds::noun(&placed.entry.entity);
    let mut names = event::names_of(&placed.entry);
    names.retain(|name| types.iter().any(|pattern| pattern.matches(&noun, name)));
    names
}

fn tell(organization: Uuid, entries: &[Placed], types: &[Pattern], subjects: &mut Subjects) -> Result<Vec<String>> {
    let pictures = picture::pictures(organization, &entries.iter().collect::<Vec<_>>(), subjects)?;
    let mut events = vec![];
    for placed in entries {
        let Some(subject) = subjects.noted(&placed.entry.entity)? else { continue };
        let columns = subject.told_columns();
        let record = pictures.get(&placed.entry.id);
        let texts = wanted_names(placed, types)
            .into_iter()
            .map(|name| event::payload(&placed.entry, organization, name, &columns, record));
        events.extend(texts);
    }
    Ok(events)
}

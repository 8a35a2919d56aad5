//! `crm.changes_since`: the feed for whoever asks.

use pgrx::PgMemoryContexts;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::catalogue;
use super::cursor::Cursor;
use super::event;
use super::feed::{self, Pace, Page, Placed};
use super::kinds;
use super::pattern::Pattern;
use super::picture::{self, Pictures};
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
const LEAST_LOOKED_THROUGH: i64 = 500;

/// An answer is not much longer than this, be there as many events as were asked for or not.
const BYTES: usize = 8 << 20;

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
    let (_, holder, permissions) = sight::active()?;
    let types = match types {
        Some(types) => catalogue::named("types", types, &catalogue::sources()?)?,
        None => vec![Pattern::ALL],
    };
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
    let mut answer = Answer { events: vec![], cursor: from, more: true };
    let (mut looked_through, mut bytes, mut pace) = (0, 0, Pace::new());
    while answer.more && (answer.events.len() as i64) < limit && bytes < BYTES && looked_through < LOOKED_THROUGH {
        // What one reads may be few among many: to look for them a few at a time would take long.
        let wanted = (limit - answer.events.len() as i64).max(LEAST_LOOKED_THROUGH);
        let mut memory = PgMemoryContexts::new("crm_ext page of events");
        // SAFETY: what is allocated for a page is used no more after it.
        let page = unsafe {
            memory.switch_to(|_| {
                let page = feed::after(readable.organization, &answer.cursor, None, pace.at_most(wanted))?;
                tell_page(readable, page, limit, types, &mut answer)
            })?
        };
        looked_through += page.entries;
        bytes += page.bytes;
        pace.note(page.bytes);
    }
    Ok(answer)
}

/// What a page took.
struct Told {
    entries: i64,
    bytes: usize,
}

fn tell_page(readable: &Readable, mut page: Page, limit: i64, types: &[Pattern], answer: &mut Answer) -> Result<Told> {
    let mut subjects = Subjects::default();
    let mut told = Told { entries: page.entries.len().max(1) as i64, bytes: page.size() };
    page.entries.retain(|placed| !wanted_names(placed, types).is_empty());
    readable.keep(&mut page.entries, &mut subjects)?;
    let pictures = picture::pictures(readable.organization, &page.entries.iter().collect::<Vec<_>>(), &mut subjects)?;
    for (at, placed) in page.entries.iter().enumerate() {
        pgrx::check_for_interrupts!();
        let events = tell(readable.organization, placed, types, &pictures, &mut subjects)?;
        told.bytes += events.iter().map(String::len).sum::<usize>();
        answer.events.extend(events);
        let is_last = at + 1 == page.entries.len();
        if !is_last && (answer.events.len() as i64 >= limit || told.bytes >= BYTES) {
            answer.cursor = page.cursor_after(placed);
            return Ok(told);
        }
    }
    (answer.cursor, answer.more) = (page.cursor, page.more);
    Ok(told)
}

fn wanted_names(placed: &Placed, types: &[Pattern]) -> Vec<&'static str> {
    let noun = kinds::noun(&placed.entry.entity);
    let mut names = event::names_of(&placed.entry);
    names.retain(|name| types.iter().any(|pattern| pattern.matches(&noun, name)));
    names
}

fn tell(
    organization: Uuid,
    placed: &Placed,
    types: &[Pattern],
    pictures: &Pictures,
    subjects: &mut Subjects,
) -> Result<Vec<String>> {
    let Some(subject) = subjects.noted(&placed.entry.entity)? else { return Ok(vec![]) };
    let (columns, record) = (subject.told_columns(), pictures.get(&placed.entry.id));
    let text = |name| event::payload(&placed.entry, organization, name, &columns, record);
    Ok(wanted_names(placed, types).into_iter().map(text).collect())
}

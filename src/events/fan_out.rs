//! Hands events to the webhooks that want them: from the feed into the queue. One reader for each organization, which remembers
//! where it is in the transaction that adds the deliveries: each event is added once, in its order.

use std::collections::BTreeSet;

use pgrx::PgBuiltInOids;
use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::cursor::Cursor;
use super::event;
use super::feed::{self, Placed};
use super::kinds;
use super::pattern::{self, Pattern};
use super::picture::{self, Pictures};
use super::queue::{self, Delivery};
use crate::audit::history::entries::Action;
use crate::audit::history::subject::Subjects;
use crate::audit::place;
use crate::db::{self, locks, savepoint};
use crate::deployment;
use crate::error::{CrmError, Result};
use crate::identity::answer;
use crate::identity::principal::{from_pg, to_pg};
use crate::plans;

/// The feature that a plan has webhooks with.
const FEATURE: &str = "webhooks";

/// Of so many organizations one call puts late transactions into their chains: each is a place in the server's lock table.
const LATE_MAX: i64 = 64;

#[pg_extern(sql = false)]
fn fan_out_events(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("fan_out_events")?;
    let batch = i64::from(batch.unwrap_or(1000));
    if !(1..=100_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 100000").into());
    }
    let mut done = Done::default();
    if deployment::may_deliver()? {
        collect_late()?;
        for organization in db::at_latest(behind)? {
            if done.entries >= batch {
                done.more = true;
                break;
            }
            fan_out(organization, batch - done.entries, &mut done)?;
        }
    }
    Ok(JsonB(
        json!({ "entries": done.entries, "events": done.events, "deliveries": done.deliveries, "more": done.more }),
    ))
}

#[derive(Clone, Copy, Default)]
struct Done {
    entries: i64,
    events: usize,
    deliveries: usize,
    more: bool,
}

/// Gives places to transactions that have none yet, where nobody else is just doing that.
fn collect_late() -> Result<()> {
    let organizations = db::select(
        "select org_id from crm.audit_transactions where position is null group by org_id order by min(created_at) limit $1",
        &[PgBuiltInOids::INT8OID],
        &[LATE_MAX.into()],
        |rows| rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg))).collect::<Result<Vec<_>>>(),
    )?;
    let table = db::relation(c"crm", c"audit_transactions")?;
    for organization in organizations.into_iter().flatten() {
        if locks::try_one_after_another(table, organization) {
            db::at_latest(|| place::place_waiting(organization))?;
        }
    }
    Ok(())
}

/// The organizations whose reader is not at the end; who has waited longest comes first.
fn behind() -> Result<Vec<Uuid>> {
    db::select(
        "select r.org_id
         from crm_private.event_readers as r
         join crm.organizations as o on o.id = r.org_id and o.status = 'active'
         cross join lateral (
             select t.position from crm.audit_transactions as t
             where t.org_id = r.org_id and t.position is not null order by t.position desc limit 1
         ) as last
         where (last.position > r.position or r.entry_id is not null or exists (
                 select from crm_private.webhook_states as s where s.org_id = r.org_id and s.replay_until is not null
             ))
             and (r.stopped_until is null or r.stopped_until <= clock_timestamp())
             and exists (select from crm.webhooks as w where w.org_id = r.org_id and w.enabled)
         order by r.read_at nulls first, r.org_id",
        &[],
        &[],
        |rows| {
            let found = rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg))).collect::<Result<Vec<_>>>()?;
            Ok(found.into_iter().flatten().collect())
        },
    )
}

/// What is wrong with one organization's webhooks is not to keep the others waiting.
fn fan_out(organization: Uuid, batch: i64, done: &mut Done) -> Result<()> {
    let outcome = savepoint::attempt(|| {
        let mut of_it = *done;
        if let Some(reader) = Reader::lock(organization)? {
            db::at_latest(|| reader.run(batch, &mut of_it))?;
        }
        Ok(of_it)
    });
    match outcome {
        Ok(of_it) => *done = of_it,
        Err(problem) => {
            ErrorReport::new(
                PgSqlErrorCode::ERRCODE_WARNING,
                format!("events of organization {organization} could not be handed to its webhooks: {problem}"),
                "",
            )
            .set_hint("They stay in the feed, and are tried again in a minute.")
            .report(PgLogLevel::WARNING);
            db::execute(
                "update crm_private.event_readers set stopped_until = clock_timestamp() + interval '1 minute' where org_id = $1",
                &[to_pg(organization).into()],
            )?;
        }
    }
    Ok(())
}

struct Reader {
    organization: Uuid,
    cursor: Cursor,
}

/// A webhook, as far as it says what it wants.
struct Webhook {
    id: Uuid,
    events: Vec<Pattern>,
    fields: Vec<String>,
    condition: Option<String>,
    ordered: bool,
    since: i64,
    replay: Option<Replay>,
}

/// What a webhook gets once more.
#[derive(Clone)]
struct Replay {
    cursor: Cursor,
    until: i64,
}

impl Reader {
    /// `None` while somebody else has it.
    fn lock(organization: Uuid) -> Result<Option<Self>> {
        db::write(
            "select position, entry_id from crm_private.event_readers where org_id = $1 for update skip locked",
            &[to_pg(organization).into()],
            |mut rows| {
                let Some(row) = rows.next() else { return Ok(None) };
                let cursor = Cursor::at(row.get(1)?.unwrap_or(0), row.get::<pgrx::Uuid>(2)?.map(from_pg), &[]);
                Ok(Some(Self { organization, cursor }))
            },
        )
    }

    fn run(self, batch: i64, done: &mut Done) -> Result<()> {
        let webhooks = webhooks(self.organization)?;
        let is_allowed =
            plans::terms_of(self.organization)?.is_some_and(|terms| terms.has_feature(FEATURE, plans::now()));
        let webhooks = if is_allowed { webhooks } else { vec![] };
        // What came before all of them is nobody's.
        let first = webhooks.iter().map(|webhook| webhook.since).min();
        let cursor = match first {
            None => feed::end(self.organization)?,
            Some(first) if first > self.cursor.position => Cursor::at(first, None, &[]),
            Some(_) => self.cursor.clone(),
        };
        let page = feed::after(self.organization, &cursor, None, batch)?;
        done.entries += page.entries.len() as i64;
        done.more |= page.more;
        let all: Vec<_> = webhooks.iter().collect();
        self.hand_over(&page.entries, &all, |webhook, placed| placed.position > webhook.since, done)?;
        db::execute(
            "update crm_private.event_readers
             set position = $2, entry_id = $3, read_at = clock_timestamp(), stopped_until = null where org_id = $1",
            &[to_pg(self.organization).into(), page.cursor.position.into(), page.cursor.entry.map(to_pg).into()],
        )?;
        for webhook in &webhooks {
            if let Some(replay) = &webhook.replay {
                self.replay(webhook, replay, batch, done)?;
            }
        }
        Ok(())
    }

    fn replay(&self, webhook: &Webhook, replay: &Replay, batch: i64, done: &mut Done) -> Result<()> {
        let page = feed::after(self.organization, &replay.cursor, Some(replay.until), batch)?;
        done.entries += page.entries.len() as i64;
        done.more |= page.more;
        self.hand_over(&page.entries, &[webhook], |_, _| true, done)?;
        let until = page.more.then_some(replay.until);
        db::execute(
            "update crm_private.webhook_states set replay_position = $3, replay_entry_id = $4, replay_until = $5
             where org_id = $1 and webhook_id = $2",
            &[
                to_pg(self.organization).into(),
                to_pg(webhook.id).into(),
                page.cursor.position.into(),
                page.cursor.entry.map(to_pg).into(),
                until.into(),
            ],
        )?;
        Ok(())
    }

    fn hand_over(
        &self,
        entries: &[Placed],
        webhooks: &[&Webhook],
        is_due: impl Fn(&Webhook, &Placed) -> bool,
        done: &mut Done,
    ) -> Result<()> {
        let mut wanted = vec![];
        for placed in entries {
            let noun = kinds::noun(&placed.entry.entity);
            for name in event::names_of(&placed.entry) {
                let takers =
                    webhooks.iter().filter(|webhook| is_due(webhook, placed) && webhook.wants(placed, &noun, name));
                let takers: Vec<_> = takers.copied().collect();
                if !takers.is_empty() {
                    wanted.push(Wanted { placed, name, takers });
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let deliveries = self.deliveries(&wanted)?;
        let events: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.event).collect();
        done.events += events.len();
        done.deliveries += deliveries.len();
        queue::enqueue(self.organization, &deliveries)
    }

    fn deliveries(&self, wanted: &[Wanted]) -> Result<Vec<Delivery>> {
        let mut subjects = Subjects::default();
        let placed: BTreeSet<_> = wanted.iter().map(|wanted| wanted.placed.entry.id).collect();
        let once: Vec<_> = {
            let mut seen = placed;
            wanted.iter().filter(|wanted| seen.remove(&wanted.placed.entry.id)).map(|wanted| wanted.placed).collect()
        };
        let pictures = picture::pictures(self.organization, &once, &mut subjects)?;
        let mut told = vec![];
        for wanted in wanted {
            if let Some(payload) = self.payload(wanted, &pictures, &mut subjects)? {
                told.extend(wanted.takers.iter().map(|webhook| (*webhook, wanted, payload.clone())));
            }
        }
        let fits = fitting(&told)?;
        let mut fit = fits.into_iter();
        told.retain(|_| fit.next().unwrap_or(false));
        self.in_lanes(told)
    }

    fn payload(&self, wanted: &Wanted, pictures: &Pictures, subjects: &mut Subjects) -> Result<Option<String>> {
        let entry = &wanted.placed.entry;
        let Some(subject) = subjects.noted(&entry.entity)? else { return Ok(None) };
        Ok(Some(event::payload(
            entry,
            self.organization,
            wanted.name,
            &subject.told_columns(),
            pictures.get(&entry.id),
        )))
    }

    fn in_lanes(&self, told: Vec<(&Webhook, &Wanted, String)>) -> Result<Vec<Delivery>> {
        let lane = |webhook: &Webhook, wanted: &Wanted| (webhook.id, wanted.placed.entry.record_id);
        let lanes: BTreeSet<_> = told
            .iter()
            .filter(|(webhook, ..)| webhook.ordered)
            .map(|(webhook, wanted, _)| lane(webhook, wanted))
            .collect();
        let mut busy = if lanes.is_empty() {
            BTreeSet::new()
        } else {
            queue::busy_lanes(self.organization, &lanes.into_iter().collect::<Vec<_>>())?
        };
        let delivery = |(webhook, wanted, payload): (&Webhook, &Wanted, String)| {
            let entry = &wanted.placed.entry;
            Delivery {
                webhook: webhook.id,
                event: event::id_of(entry.id, wanted.name),
                entry: Some(entry.id),
                kind: format!("{}.{}", kinds::noun(&entry.entity), wanted.name),
                entity: entry.entity.clone(),
                record: entry.record_id,
                ordered: webhook.ordered,
                waits: webhook.ordered && !busy.insert(lane(webhook, wanted)),
                payload,
            }
        };
        Ok(told.into_iter().map(delivery).collect())
    }
}

/// An event that somebody wants.
struct Wanted<'a> {
    placed: &'a Placed,
    name: &'static str,
    takers: Vec<&'a Webhook>,
}

impl Webhook {
    fn wants(&self, placed: &Placed, noun: &str, name: &str) -> bool {
        let entry = &placed.entry;
        let is_named = self.events.iter().any(|pattern| pattern.matches(noun, name));
        // What is new or gone has no fields that changed.
        let is_of_fields = entry.action != Action::Update
            || self.fields.is_empty()
            || self.fields.iter().any(|field| entry.changed.contains(field));
        is_named && is_of_fields
    }
}

/// Whether each of these is what its webhook's condition says.
fn fitting(told: &[(&Webhook, &Wanted, String)]) -> Result<Vec<bool>> {
    let mut fits = vec![true; told.len()];
    let asked: Vec<_> = told
        .iter()
        .enumerate()
        .filter_map(|(at, (webhook, _, payload))| Some((at, webhook.condition.as_ref()?, payload)))
        .collect();
    if asked.is_empty() {
        return Ok(fits);
    }
    let payloads: Vec<_> = asked.iter().map(|(_, _, payload)| (*payload).clone()).collect();
    let conditions: Vec<_> = asked.iter().map(|(_, condition, _)| (*condition).clone()).collect();
    let answers = db::select_once(
        "select array_agg(coalesce(a.payload::jsonb @@ a.condition::jsonpath, false) order by a.at)
         from unnest($1, $2) with ordinality as a (payload, condition, at)",
        &[payloads.into(), conditions.into()],
        |rows| Ok(rows.first().get_one::<Vec<bool>>()?.unwrap_or_default()),
    )?;
    for ((at, ..), answer) in asked.into_iter().zip(answers) {
        fits[at] = answer;
    }
    Ok(fits)
}

/// The organization's that are on. They are not deleted until the transaction ends.
fn webhooks(organization: Uuid) -> Result<Vec<Webhook>> {
    db::write(
        "select w.id, w.events, w.fields, w.condition, w.ordered, s.since, s.replay_position, s.replay_entry_id, s.replay_until
         from crm.webhooks as w
         join crm_private.webhook_states as s on s.org_id = w.org_id and s.webhook_id = w.id
         where w.org_id = $1 and w.enabled order by w.id for key share of w",
        &[to_pg(organization).into()],
        |rows| {
            let mut webhooks = vec![];
            for row in rows {
                let events = row.get::<Vec<String>>(2)?.unwrap_or_default();
                let replay = match (row.get::<i64>(7)?, row.get::<i64>(9)?) {
                    (Some(position), Some(until)) => {
                        Some(Replay { cursor: Cursor::at(position, row.get::<pgrx::Uuid>(8)?.map(from_pg), &[]), until })
                    }
                    _ => None,
                };
                webhooks.push(Webhook {
                    id: row.get::<pgrx::Uuid>(1)?.map(from_pg).unwrap_or_default(),
                    events: pattern::parse_all(&events).unwrap_or_default(),
                    fields: row.get(3)?.unwrap_or_default(),
                    condition: row.get(4)?,
                    ordered: row.get(5)?.unwrap_or(false),
                    since: row.get(6)?.unwrap_or(i64::MAX),
                    replay,
                });
            }
            Ok(webhooks)
        },
    )
}

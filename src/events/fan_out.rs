//! Hands events to the webhooks that want them: from the feed into the queue. One reader for each organization, which remembers
//! where it is in the transaction that adds the deliveries: each event is added once, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgBuiltInOids, PgMemoryContexts};
use serde_json::json;
use uuid::Uuid;

use super::cursor::Cursor;
use super::event;
use super::feed::{self, Pace, Page, Placed};
use super::kinds;
use super::pattern::{self, Pattern};
use super::picture::{self, Pictures};
use super::queue::{self, Delivery, Turn};
use super::webhooks;
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

/// After this time a call begins with nothing more: who comes next has waited longest.
const CALL: Duration = Duration::from_secs(5);

/// An organization whose events take longer than this at a time waits a while: the others do not wait for it.
const TURN: Duration = Duration::from_secs(20);

/// A webhook's condition is evaluated for a page of events in less.
const CONDITION: Duration = Duration::from_secs(2);

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
        let until = Instant::now() + CALL;
        for organization in db::at_latest(behind)? {
            if done.entries >= batch || Instant::now() > until {
                done.more = true;
                break;
            }
            fan_out(organization, batch - done.entries, until, &mut done)?;
        }
        // At the end: whoever reports would wait for the rows.
        queue::take_up()?;
        queue::settle()?;
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
pub fn behind() -> Result<Vec<Uuid>> {
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
fn fan_out(organization: Uuid, batch: i64, until: Instant, done: &mut Done) -> Result<()> {
    let outcome = savepoint::attempt_for(TURN, || {
        let mut of_it = *done;
        if let Some(reader) = Reader::lock(organization)? {
            db::at_latest(|| reader.run(batch, until, &mut of_it))?;
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

    fn run(self, batch: i64, until: Instant, done: &mut Done) -> Result<()> {
        let Some(webhooks) = enabled(self.organization)? else { return self.step_back() };
        let is_allowed =
            plans::terms_of(self.organization)?.is_some_and(|terms| terms.has_feature(FEATURE, plans::now()));
        let mut webhooks = if is_allowed { webhooks } else { vec![] };
        // What came before all of them is nobody's.
        let first = webhooks.iter().map(|webhook| webhook.since).min();
        let from = match first {
            None => feed::end(self.organization)?,
            Some(first) if first > self.cursor.position => Cursor::at(first, None, &[]),
            Some(_) => self.cursor.clone(),
        };
        let is_due = |webhook: &Webhook, placed: &Placed| placed.position > webhook.since;
        let cursor = self.pages(from, None, batch, until, &mut webhooks, is_due, done)?;
        db::execute(
            "update crm_private.event_readers
             set position = $2, entry_id = $3, read_at = clock_timestamp(), stopped_until = null where org_id = $1",
            &[to_pg(self.organization).into(), cursor.position.into(), cursor.entry.map(to_pg).into()],
        )?;
        for webhook in webhooks {
            if let Some(replay) = webhook.replay.clone() {
                self.replay(webhook, replay, batch, until, done)?;
            }
        }
        Ok(())
    }

    /// Somebody of the organization has a webhook under their hands, in a transaction that may last: the others go first.
    fn step_back(&self) -> Result<()> {
        db::execute(
            "update crm_private.event_readers set read_at = clock_timestamp() where org_id = $1",
            &[to_pg(self.organization).into()],
        )?;
        Ok(())
    }

    fn replay(&self, webhook: Webhook, replay: Replay, batch: i64, until: Instant, done: &mut Done) -> Result<()> {
        let id = webhook.id;
        let is_free = db::write(
            "select from crm_private.webhook_states where org_id = $1 and webhook_id = $2 for no key update skip locked",
            &[to_pg(self.organization).into(), to_pg(id).into()],
            |rows| Ok(!rows.is_empty()),
        )?;
        // Otherwise somebody of the organization has it under their hands, in a transaction that may last.
        if !is_free {
            return Ok(());
        }
        let more_before = std::mem::replace(&mut done.more, false);
        let cursor =
            self.pages(replay.cursor, Some(replay.until), batch, until, &mut vec![webhook], |_, _| true, done)?;
        let until = done.more.then_some(replay.until);
        done.more |= more_before;
        db::execute(
            "update crm_private.webhook_states set replay_position = $3, replay_entry_id = $4, replay_until = $5
             where org_id = $1 and webhook_id = $2",
            &[
                to_pg(self.organization).into(),
                to_pg(id).into(),
                cursor.position.into(),
                cursor.entry.map(to_pg).into(),
                until.into(),
            ],
        )?;
        Ok(())
    }

    /// Hands over page by page, so that it does not all lie in memory; gives where it ended. A webhook with a condition that cannot be
    /// evaluated is switched off.
    #[allow(clippy::too_many_arguments, reason = "from where to where, for whom, and how much")]
    fn pages(
        &self,
        from: Cursor,
        to: Option<i64>,
        batch: i64,
        until: Instant,
        webhooks: &mut Vec<Webhook>,
        is_due: impl Fn(&Webhook, &Placed) -> bool,
        done: &mut Done,
    ) -> Result<Cursor> {
        let (mut cursor, mut left, mut pace) = (from, batch, Pace::new());
        loop {
            let mut memory = PgMemoryContexts::new("crm_ext page of events");
            let handed_over = |page: &Page, done: &mut Done| self.hand_over(&page.entries, webhooks, &is_due, done);
            // SAFETY: what is allocated for a page is used no more after it.
            let (page, handed) = unsafe {
                memory.switch_to(|_| {
                    let page = feed::after(self.organization, &cursor, to, pace.at_most(left))?;
                    let handed = handed_over(&page, done)?;
                    Ok::<_, CrmError>((page, handed))
                })?
            };
            webhooks.retain(|webhook| !handed.failing.contains(&webhook.id));
            pace.note(page.size() + handed.bytes);
            done.entries += page.entries.len() as i64;
            left -= page.entries.len().max(1) as i64;
            cursor = page.cursor;
            if !page.more || left <= 0 || Instant::now() > until {
                done.more |= page.more;
                return Ok(cursor);
            }
        }
    }

    fn hand_over(
        &self,
        entries: &[Placed],
        webhooks: &[Webhook],
        is_due: impl Fn(&Webhook, &Placed) -> bool,
        done: &mut Done,
    ) -> Result<Handed> {
        let mut wanted = vec![];
        for placed in entries {
            let noun = kinds::noun(&placed.entry.entity);
            for name in event::names_of(&placed.entry) {
                let takers: Vec<_> = webhooks
                    .iter()
                    .filter(|webhook| is_due(webhook, placed) && webhook.wants(placed, &noun, name))
                    .collect();
                if !takers.is_empty() {
                    wanted.push(Wanted { placed, name, takers });
                }
            }
        }
        if wanted.is_empty() {
            return Ok(Handed::default());
        }
        let (deliveries, failing) = self.deliveries(&wanted)?;
        let events: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.event).collect();
        done.events += events.len();
        done.deliveries += deliveries.len();
        queue::enqueue(self.organization, &deliveries)?;
        Ok(Handed { bytes: deliveries.iter().map(|delivery| delivery.payload.len()).sum(), failing })
    }

    fn deliveries(&self, wanted: &[Wanted]) -> Result<(Vec<Delivery>, BTreeSet<Uuid>)> {
        let mut subjects = Subjects::default();
        let placed: BTreeSet<_> = wanted.iter().map(|wanted| wanted.placed.entry.id).collect();
        let once: Vec<_> = {
            let mut seen = placed;
            wanted.iter().filter(|wanted| seen.remove(&wanted.placed.entry.id)).map(|wanted| wanted.placed).collect()
        };
        let pictures = picture::pictures(self.organization, &once, &mut subjects)?;
        let mut told = vec![];
        for wanted in wanted {
            pgrx::check_for_interrupts!();
            if let Some(payload) = self.payload(wanted, &pictures, &mut subjects)? {
                told.extend(wanted.takers.iter().map(|webhook| (*webhook, wanted, payload.clone())));
            }
        }
        let (fits, failing) = self.fitting(&told)?;
        let mut fit = fits.into_iter();
        told.retain(|_| fit.next().unwrap_or(false));
        Ok((self.in_lanes(told)?, failing))
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
        let busy = if lanes.is_empty() {
            BTreeSet::new()
        } else {
            queue::busy_lanes(self.organization, &lanes.into_iter().collect::<Vec<_>>())?
        };
        let mut added = BTreeSet::new();
        let delivery = |(webhook, wanted, payload): (&Webhook, &Wanted, String)| {
            let entry = &wanted.placed.entry;
            let lane = lane(webhook, wanted);
            let turn = match webhook.ordered {
                true if !added.insert(lane) => Turn::Waits,
                true if busy.contains(&lane) => Turn::MayWait,
                _ => Turn::Now,
            };
            Delivery { ordered: webhook.ordered, turn, ..Delivery::of(entry, wanted.name, webhook.id, payload) }
        };
        Ok(told.into_iter().map(delivery).collect())
    }

    /// Whether each of these is what its webhook's condition says, and the webhooks of which that cannot be said.
    fn fitting(&self, told: &[(&Webhook, &Wanted, String)]) -> Result<(Vec<bool>, BTreeSet<Uuid>)> {
        let mut asked: BTreeMap<Uuid, (&str, Vec<usize>)> = BTreeMap::new();
        for (at, (webhook, ..)) in told.iter().enumerate() {
            if let Some(condition) = &webhook.condition {
                asked.entry(webhook.id).or_insert((condition, vec![])).1.push(at);
            }
        }
        let (mut fits, mut failing) = (vec![true; told.len()], BTreeSet::new());
        for (webhook, (condition, places)) in asked {
            let payloads: Vec<_> = places.iter().map(|&at| told[at].2.as_str()).collect();
            let answers = match savepoint::attempt_for(CONDITION, || fit(condition, payloads)) {
                Ok(answers) => answers,
                Err(problem) => {
                    webhooks::disable(
                        self.organization,
                        webhook,
                        &format!("its condition cannot be evaluated: {problem}"),
                    )?;
                    failing.insert(webhook);
                    vec![]
                }
            };
            for (at, &place) in places.iter().enumerate() {
                fits[place] = answers.get(at) == Some(&true);
            }
        }
        Ok((fits, failing))
    }
}

/// What a condition does not fit, because what it asks for is not there, is not what it asks for.
fn fit(condition: &str, payloads: Vec<&str>) -> Result<Vec<bool>> {
    db::select_once(
        "select array_agg(coalesce(jsonb_path_match_tz(a.payload::jsonb, $2::jsonpath, '{}', true), false) order by a.at)
         from unnest($1) with ordinality as a (payload, at)",
        &[payloads.into(), condition.into()],
        |rows| Ok(rows.first().get_one::<Vec<bool>>()?.unwrap_or_default()),
    )
}

/// What became of a page.
#[derive(Default)]
struct Handed {
    /// Of what is to be delivered.
    bytes: usize,
    /// Webhooks that were switched off.
    failing: BTreeSet<Uuid>,
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

/// The organization's that are on. They are not deleted until the transaction ends. `None` while somebody holds one of them.
fn enabled(organization: Uuid) -> Result<Option<Vec<Webhook>>> {
    let all =
        db::write("select from crm.webhooks where org_id = $1 and enabled", &[to_pg(organization).into()], |rows| {
            Ok(rows.len())
        })?;
    let webhooks = locked(organization)?;
    Ok((webhooks.len() == all).then_some(webhooks))
}

fn locked(organization: Uuid) -> Result<Vec<Webhook>> {
    db::write(
        "select w.id, w.events, w.fields, w.condition, w.ordered, s.since, s.replay_position, s.replay_entry_id, s.replay_until
         from crm.webhooks as w
         join crm_private.webhook_states as s on s.org_id = w.org_id and s.webhook_id = w.id
         where w.org_id = $1 and w.enabled order by w.id for key share of w skip locked",
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

//! Where a webhook's deliveries go, and when.

use std::collections::{BTreeSet, HashMap};

use pgrx::datum::{JsonB, TimestampWithTimeZone};
use pgrx::{PgBuiltInOids, pg_sys};
use serde_json::Value;
use uuid::Uuid;

use super::claim::{Claimed, Leased};
use super::{KEY, Target, after, now};
use crate::db;
use crate::error::Result;
use crate::events::signature;
use crate::identity::principal::to_pg;

/// Where a webhook's deliveries go.
pub struct Receiver {
    url: String,
    headers: serde_json::Map<String, Value>,
    secrets: Vec<Vec<u8>>,
    goes: bool,
    is_active: bool,
    max_per_minute: Option<i32>,
}

pub struct Targets {
    known: HashMap<Target, Receiver>,
    /// Deliveries of webhooks that take only so many a minute: when each may go.
    turns: HashMap<(Uuid, Uuid), TimestampWithTimeZone>,
}

pub enum Goes<'a> {
    There(&'a Receiver),
    Later(TimestampWithTimeZone),
    Nowhere(&'static str),
}

impl Targets {
    pub fn of(leased: &[Leased]) -> Result<Self> {
        let mut targets = Self { known: HashMap::new(), turns: HashMap::new() };
        for target in leased.iter().map(Leased::target).collect::<BTreeSet<_>>() {
            let Some(receiver) = Receiver::of(target)? else { continue };
            if let Some(most) = receiver.max_per_minute {
                targets.turns.extend(turns(leased, target, most)?);
            }
            targets.known.insert(target, receiver);
        }
        Ok(targets)
    }

    pub fn of_delivery(&self, one: &Leased) -> Goes<'_> {
        match self.known.get(&one.target()) {
            Some(target) if !target.goes => Goes::Nowhere("the webhook is disabled"),
            // Until it is resumed, or deleted with all that is its own.
            Some(target) if !target.is_active => Goes::Later(after(now(), 3600.0)),
            Some(_) if let Some(turn) = self.turns.get(&(one.org_id, one.id)) => Goes::Later(*turn),
            Some(target) => Goes::There(target),
            None => Goes::Nowhere("the webhook is gone"),
        }
    }
}

/// The generic cell rate algorithm: a webhook's next turn moves on with each delivery that is given one, so that those which have
/// to wait are given theirs at once and are not claimed before.
fn turns(leased: &[Leased], target: Target, most: i32) -> Result<Vec<((Uuid, Uuid), TimestampWithTimeZone)>> {
    let pause = 60.0 / f64::from(most.max(1));
    // In a second's worth of them, or one, they may come together.
    let slack = pause.max(1.0);
    let wanted: Vec<_> = leased.iter().filter(|one| one.target() == target).collect();
    let (organization, webhook) = target;
    let next = db::write_prepared(
        "update crm_private.webhook_states
         set next_turn = greatest(next_turn, $4) + make_interval(secs => $3)
         where (org_id, webhook_id) in (
             select org_id, webhook_id from crm_private.webhook_states where org_id = $1 and webhook_id = $2
             for no key update skip locked
         )
         returning next_turn",
        &[KEY[0], KEY[1], PgBuiltInOids::FLOAT8OID, PgBuiltInOids::TIMESTAMPTZOID],
        &[to_pg(organization).into(), to_pg(webhook).into(), (pause * wanted.len() as f64).into(), now().into()],
        |rows| rows.first().get_one::<TimestampWithTimeZone>(),
    )?;
    let Some(next) = next else {
        // Somebody of the organization has it under their hands, in a transaction that may last.
        return Ok(wanted.iter().map(|one| ((one.org_id, one.id), after(now(), 1.0))).collect());
    };
    let first = after(next, -pause * wanted.len() as f64);
    let soon = after(now(), slack);
    let turns = wanted.iter().enumerate().map(|(at, one)| ((one.org_id, one.id), after(first, pause * at as f64)));
    Ok(turns.filter(|(_, turn)| *turn > soon).collect())
}

impl Receiver {
    fn of((organization, webhook): Target) -> Result<Option<Self>> {
        // The newest secret comes first.
        db::select_by_key(
            "select w.url, w.enabled, o.status = 'active', w.max_per_minute, s.headers, k.secret
             from crm.webhooks as w
             join crm.organizations as o on o.id = w.org_id
             left join crm_private.webhook_states as s on s.org_id = w.org_id and s.webhook_id = w.id
             left join crm_private.webhook_secrets as k
                 on k.org_id = w.org_id and k.webhook_id = w.id and k.expires_at > clock_timestamp()
             where w.org_id = $1 and w.id = $2
             order by k.expires_at desc, k.id desc",
            &KEY,
            &[to_pg(organization).into(), to_pg(webhook).into()],
            |rows| {
                let mut receiver: Option<Self> = None;
                for row in rows {
                    let receiver = match &mut receiver {
                        Some(with_another_secret) => with_another_secret,
                        none => none.insert(Self::told(&row)?),
                    };
                    receiver.secrets.extend(row.get::<Vec<u8>>(6)?);
                }
                Ok(receiver)
            },
        )
    }

    fn told(row: &db::Row) -> Result<Self> {
        Ok(Self {
            url: row.get(1)?.unwrap_or_default(),
            goes: row.get(2)?.unwrap_or(false),
            is_active: row.get(3)?.unwrap_or(false),
            max_per_minute: row.get(4)?,
            headers: match row.get(5)? {
                Some(JsonB(Value::Object(headers))) => headers,
                _ => serde_json::Map::new(),
            },
            secrets: vec![],
        })
    }

    pub fn sign(&self, one: Leased) -> Claimed {
        let timestamp = pg_sys::TimestampTz::from(now()) / 1_000_000 + 946_684_800;
        let event = one.event.to_string();
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: String| drop(headers.insert(name.to_owned(), value.into()));
        set("content-type", "application/json".into());
        set("user-agent", concat!("crm_ext/", env!("CARGO_PKG_VERSION")).into());
        set("webhook-signature", signature::signatures(&self.secrets, &event, timestamp, &one.payload));
        if let Some(newest) = self.secrets.first() {
            set("x-webhook-signature", signature::plain(newest, &one.payload));
        }
        set("webhook-timestamp", timestamp.to_string());
        set("webhook-id", event);
        let [org_id, id, webhook, event] = [one.org_id, one.id, one.webhook, one.event].map(to_pg);
        (org_id, id, one.attempt, webhook, event, one.kind, self.url.clone(), JsonB(headers.into()), one.payload)
    }
}

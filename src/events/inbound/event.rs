//! Events as they are kept. Nobody has rights to write them: here that is done in the place of the table's owner.

use pgrx::datum::DatumWithOid;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::db;
use crate::db::savepoint::Refused;
use crate::error::Result;
use crate::gucs;
use crate::identity::answer;
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::raw::RawJson;

pub struct Event {
    pub id: Uuid,
    pub name: String,
    pub payload: RawJson,
    pub status: String,
    entity: Option<String>,
    record_id: Option<Uuid>,
    error: Option<String>,
}

/// What came of an event.
pub enum Outcome {
    /// There is no rule for it.
    Ignored,
    Processed {
        entity: String,
        record: Uuid,
    },
    Failed {
        entity: String,
        reason: Refused,
    },
}

const COLUMNS: &str = "id, event_name, payload, status, entity, record_id, error";

pub fn as_owner<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    db::as_owner_of(c"crm", c"integration_events", run)
}

/// Keeps a new event. `None`: it was there already, and whoever is working on it has finished.
pub fn keep(
    organization: Uuid,
    name: &str,
    key: Option<&str>,
    payload: &RawJson,
    api_key: Option<Uuid>,
) -> Result<Option<Uuid>> {
    let id = as_owner(|| {
        db::execute_returning::<pgrx::Uuid>(
            "insert into crm.integration_events (org_id, event_name, event_key, payload, api_key_id)
             values ($1, $2, $3, $4, $5)
             on conflict (org_id, event_name, event_key) do nothing
             returning id",
            &[to_pg(organization).into(), name.into(), key.into(), payload.clone().into(), api_key.map(to_pg).into()],
        )
    })?;
    Ok(id.map(from_pg))
}

/// The event that has this key, and whether it had this payload.
pub fn with_key(organization: Uuid, name: &str, key: &str, payload: &RawJson) -> Result<Option<(Event, bool)>> {
    let query = format!(
        "select {COLUMNS}, payload = $4 from crm.integration_events where org_id = $1 and event_name = $2 and event_key = $3"
    );
    let arguments = [to_pg(organization).into(), name.into(), key.into(), payload.clone().into()];
    as_owner(|| {
        db::write(&query, &arguments, |rows| match rows.into_iter().next() {
            Some(row) => Ok(Some((read(&row)?, row.get::<bool>(8)? == Some(true)))),
            None => Ok(None),
        })
    })
}

/// An event, which is then nobody else's to work on until this transaction ends.
pub fn locked(organization: Uuid, id: Uuid) -> Result<Option<Event>> {
    let condition = "org_id = $1 and id = $2 for update";
    Ok(locked_where(condition, &[to_pg(organization).into(), to_pg(id).into()])?.pop())
}

pub fn locked_where(condition: &str, arguments: &[DatumWithOid]) -> Result<Vec<Event>> {
    let query = format!("select {COLUMNS} from crm.integration_events where {condition}");
    as_owner(|| {
        db::write(&query, arguments, |rows| {
            let mut events = Vec::with_capacity(rows.len());
            for row in rows {
                events.push(read(&row)?);
            }
            Ok(events)
        })
    })
}

fn read(row: &pgrx::spi::SpiHeapTupleData) -> Result<Event> {
    Ok(Event {
        id: row.get::<pgrx::Uuid>(1)?.map(from_pg).unwrap_or_default(),
        name: row.get(2)?.unwrap_or_default(),
        payload: row.get(3)?.unwrap_or(RawJson("{}".into())),
        status: row.get(4)?.unwrap_or_default(),
        entity: row.get(5)?,
        record_id: row.get::<pgrx::Uuid>(6)?.map(from_pg),
        error: row.get(7)?,
    })
}

impl Outcome {
    pub fn status(&self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Processed { .. } => "processed",
            Self::Failed { .. } => "failed",
        }
    }

    fn entity(&self) -> Option<&str> {
        match self {
            Self::Ignored => None,
            Self::Processed { entity, .. } | Self::Failed { entity, .. } => Some(entity),
        }
    }

    fn record(&self) -> Option<Uuid> {
        if let Self::Processed { record, .. } = self { Some(*record) } else { None }
    }

    fn reason(&self) -> Option<&Refused> {
        if let Self::Failed { reason, .. } = self { Some(reason) } else { None }
    }
}

/// Notes what came of it.
pub fn note(organization: Uuid, id: Uuid, outcome: &Outcome) -> Result<()> {
    let reason = outcome.reason();
    as_owner(|| {
        db::execute(
            "update crm.integration_events
             set status = $3, entity = $4, record_id = $5, error_code = $6, error = $7, attempts = attempts + 1, processed_at = now()
             where org_id = $1 and id = $2",
            &[
                to_pg(organization).into(),
                to_pg(id).into(),
                outcome.status().into(),
                outcome.entity().into(),
                outcome.record().map(to_pg).into(),
                reason.map(|reason| reason.code.as_str()).into(),
                reason.map(|reason| reason.message.as_str()).into(),
            ],
        )
    })?;
    Ok(())
}

/// What is told of an event that was worked on. A failure is no error, which would undo it, but a request gets it as one.
pub fn tell(id: Uuid, name: &str, outcome: &Outcome) -> Value {
    let reason = outcome.reason();
    let error = reason.map(|reason| reason.message.as_str());
    let told = told(id, name, outcome.status(), false, outcome.entity(), outcome.record(), error);
    match reason {
        Some(reason) if gucs::in_request() => refuse(told, reason),
        _ => told,
    }
}

/// What became of the event stands beside what else is told in detail.
fn refuse(told: Value, reason: &Refused) -> Value {
    answer::status(http_status(&reason.code));
    let detail = reason.detail.as_deref().and_then(|detail| serde_json::from_str::<Map<String, Value>>(detail).ok());
    let mut details = detail.unwrap_or_default();
    details.extend(told.as_object().cloned().unwrap_or_default().into_iter().filter(|(name, _)| name != "error"));
    json!({
        "code": reason.code, "message": reason.message, "details": Value::from(details).to_string(), "hint": reason.hint,
    })
}

/// What is told of one that was worked on before.
pub fn tell_again(event: &Event, duplicate: bool) -> Value {
    told(
        event.id,
        &event.name,
        &event.status,
        duplicate,
        event.entity.as_deref(),
        event.record_id,
        event.error.as_deref(),
    )
}

fn told(
    id: Uuid,
    name: &str,
    status: &str,
    duplicate: bool,
    entity: Option<&str>,
    record: Option<Uuid>,
    error: Option<&str>,
) -> Value {
    json!({
        "id": id, "event_name": name, "status": status, "duplicate": duplicate, "entity": entity, "record_id": record,
        "error": error,
    })
}

fn http_status(code: &str) -> u16 {
    match code {
        "53400" => 402,
        "42501" => 403,
        _ => 422,
    }
}

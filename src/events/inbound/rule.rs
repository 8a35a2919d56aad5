//! What an event becomes: the organization's own rule for it, or one that is built in.

use std::collections::BTreeSet;

use pgrx::AllocatedByPostgres;
use pgrx::PgBuiltInOids;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::super::jsonpath;
use super::lead;
use super::mapping::{self, Found, Mapping, Values};
use super::target::Target;
use crate::db::{self, savepoint};
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;
use crate::records::custom::raw::RawJson;
use crate::records::row::{self, Row, Rows};
use crate::schema::is_restore;

const MATCH_ON_MAX: usize = 5;

pub struct Rule {
    pub entity: String,
    /// Where the payload has the event's own id.
    pub id_path: Option<String>,
    kind: Kind,
}

enum Kind {
    Own { mapping: Mapping, match_on: Vec<String> },
    Lead,
}

/// A record as it is to be.
pub struct Wanted {
    pub values: Values,
    /// By which of the columns one that is there already is found.
    pub match_on: Vec<String>,
    /// Of those that are found so.
    pub only: Option<&'static str>,
}

/// `None` where the event becomes nothing.
pub fn rule_for(organization: Uuid, event_name: &str) -> Result<Option<Rule>> {
    let own = db::as_owner_of(c"crm", c"integration_rules", || {
        db::select(
            "select enabled, entity, mapping, match_on, id_path from crm.integration_rules where org_id = $1 and event_name = $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
            &[to_pg(organization).into(), event_name.into()],
            |rows| {
                let rows = rows.first();
                let Some(enabled) = rows.get::<bool>(1)? else { return Ok(None) };
                let (mapping, match_on) = (rows.get::<RawJson>(3)?, rows.get::<Vec<String>>(4)?);
                Ok(Some((enabled, rows.get::<String>(2)?, mapping, match_on, rows.get::<String>(5)?)))
            },
        )
    })?;
    let Some((enabled, entity, mapping, match_on, id_path)) = own else {
        let lead = Rule { entity: lead::ENTITY.into(), id_path: None, kind: Kind::Lead };
        return Ok((event_name == lead::EVENT).then_some(lead));
    };
    let mapping = Mapping::parse(mapping.as_ref().map_or("", |RawJson(json)| json));
    let mapping = mapping.map_err(|_| CrmError::internal("a rule has another form than crm_ext gives it"))?;
    let kind = Kind::Own { mapping, match_on: match_on.unwrap_or_default() };
    Ok(enabled.then(|| Rule { entity: entity.unwrap_or_default(), id_path, kind }))
}

impl Rule {
    /// What the payload says the record is to be.
    pub fn wanted(&self, payload: &RawJson, target: &Target) -> Result<Wanted> {
        let values = |mapping: &Mapping| {
            let found = found(mapping.paths(), payload)?;
            Ok::<_, CrmError>(mapping.values(&found, |column| target.is_list(column)))
        };
        match &self.kind {
            Kind::Own { mapping, match_on } => {
                let values = values(mapping)?;
                let is_known = match_on.iter().all(|column| values.contains_key(column));
                let match_on = if is_known { match_on.clone() } else { vec![] };
                Ok(Wanted { values, match_on, only: None })
            }
            Kind::Lead => {
                let values = lead::complete(values(&lead::mapping())?);
                let match_on = lead::match_on(&values);
                let only = (!match_on.contains(&"external_id".to_owned())).then_some(lead::OPEN);
                Ok(Wanted { values, match_on, only })
            }
        }
    }

    /// The id that the event's sender gave it.
    pub fn event_id(&self, payload: &RawJson) -> Result<Option<String>> {
        let Some(path) = &self.id_path else { return Ok(None) };
        // What a path cannot do with this payload is no id.
        let found = savepoint::answered(|| found([path.as_str()].into_iter(), payload))?;
        let json = found.ok().and_then(|mut found| found.remove(path)?.into_iter().next());
        Ok(json.and_then(|json| match json.as_bytes().first() {
            Some(b'"') => mapping::text_of(&json),
            Some(b'-' | b'0'..=b'9') => Some(json),
            _ => None,
        }))
    }
}

/// Of one path, before what is said twice is left out of lists.
const FOUND_MAX: i64 = 1000;

/// What the paths lead to in the payload.
fn found<'a>(paths: impl Iterator<Item = &'a str>, payload: &RawJson) -> Result<Found> {
    let paths: BTreeSet<_> = paths.map(str::to_owned).collect();
    let paths: Vec<_> = paths.into_iter().collect();
    db::select(
        "select p.path, found.value::text
         from unnest($2) as p (path)
         cross join lateral (
             select q.value, q.at
             from pg_catalog.jsonb_path_query($1, p.path::pg_catalog.jsonpath, '{}', true) with ordinality as q (value, at)
             limit $3
         ) as found
         order by p.path, found.at",
        &[PgBuiltInOids::JSONBOID, PgBuiltInOids::TEXTARRAYOID, PgBuiltInOids::INT8OID],
        &[payload.clone().into(), paths.into(), FOUND_MAX.into()],
        |rows| {
            let mut found = Found::new();
            for row in rows {
                if let (Some(path), Some(json)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
                    found.entry(path).or_default().push(json);
                }
            }
            Ok(found)
        },
    )
}

#[pg_trigger(sql = false)]
fn check_integration_rule<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

/// Looks at nothing of the organization's: its policy has not been asked yet.
fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    take_json_out_of_text(&mut new)?;
    let is_same =
        |old: &Row| ["entity", "mapping", "match_on", "id_path"].iter().all(|column| !new.differs(column, old));
    if is_restore() || old.as_ref().is_some_and(is_same) {
        return Ok(new);
    }
    let target = Target::named(&new.get::<String>("entity")?.unwrap_or_default())?;
    let json = new.get::<RawJson>("mapping")?.unwrap_or(RawJson("{}".into()));
    let of_mapping = |problem| CrmError::invalid("mapping", problem);
    let mapping = Mapping::parse(&json.0).map_err(of_mapping)?;
    target.check(&mapping).map_err(of_mapping)?;
    for (column, sources) in &mapping.0 {
        for source in sources {
            if let mapping::Source::Path(path) = source {
                jsonpath::parsed(path)
                    .map_err(|problem| CrmError::invalid("mapping", format!("{column}: {problem}")))?;
            }
        }
    }
    check_match_on(&new, &target, &mapping)?;
    if let Some(path) = new.get::<String>("id_path")? {
        mapping::check_path(&path)
            .and_then(|()| jsonpath::parsed(&path))
            .map_err(|problem| CrmError::invalid("id_path", problem))?;
    }
    Ok(new)
}

/// From CSV, JSON comes as a text.
fn take_json_out_of_text(new: &mut Row) -> Result<()> {
    let sent = new.get::<RawJson>("mapping")?.and_then(|RawJson(json)| mapping::text_of(&json));
    match sent.filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|json| json.is_object())) {
        Some(json) => new.set("mapping", Some(RawJson(json))),
        None => Ok(()),
    }
}

fn check_match_on(new: &Row, target: &Target, mapping: &Mapping) -> Result<()> {
    let Some(columns) = new.get::<Vec<Option<String>>>("match_on")?.into_iter().flatten().collect::<Option<Vec<_>>>()
    else {
        return Err(CrmError::invalid("match_on", "must not contain null"));
    };
    if columns.len() > MATCH_ON_MAX {
        return Err(CrmError::invalid("match_on", format!("must be at most {MATCH_ON_MAX} columns")));
    }
    match columns.iter().find(|column| !mapping.0.contains_key(*column) || !target.is_single(column)) {
        Some(column) => Err(CrmError::invalid(
            "match_on",
            format!("{column} must be a column of the mapping, and neither a list nor an object"),
        )),
        None => Ok(()),
    }
}

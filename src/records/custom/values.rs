//! The triggers of tables with custom fields: what is written is checked, and what has to be unique, or points to other
//! records, is noted beside the record.

use std::borrow::Cow;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use super::field::{Field, Kind};
use super::merge::{self, Merged, Problem};
use super::object::Object;
use super::raw::RawJson;
use super::tables::{self, Table, is_rewriting};
use super::{COLUMN, invalid, known};
use crate::access::permissions::{self, Holder};
use crate::db::{self, restoring::is_restoring};
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::records::guard::{by_foreign_key, identified};
use crate::records::row::{self, Images, Row, Rows};
use crate::schema::is_restore;

#[pg_trigger(sql = false)]
fn check_custom_fields<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    if is_rewriting() || is_restore() || old.as_ref().is_some_and(|old| !new.differs(COLUMN, old)) {
        return Ok(new);
    }
    let sent = new.get::<RawJson>(COLUMN)?;
    if let Some(old) = &old
        && sent.is_none()
    {
        new.keep(COLUMN, old);
        return Ok(new);
    }
    let Some(organization) = organization(trigger, &new)? else { return Ok(new) };
    let sent = Object::parse(sent.as_ref().map_or("{}", |RawJson(text)| text))
        .ok_or_else(|| CrmError::invalid(COLUMN, "must be an object of keys and values"))?;
    let entity = entity(trigger)?;
    let nothing = sent == Object::default();
    if !(nothing && (old.is_some() || known::fields_of(organization)?.of_entity(&entity).is_empty())) {
        known::lock(organization, false);
    }
    let fields = known::fields_of(organization)?;
    let fields = fields.of_entity(&entity);
    let returning = is_restoring(trigger);
    let merged = match &old {
        _ if returning => {
            let before = old.as_ref().map_or(Ok(Object::default()), object_of)?;
            let still_there = still_there(organization, fields, sent)?;
            merge::update(fields, &before, &merge::returning(fields, &before, still_there))
        }
        None => merge::insert(fields, &sent),
        Some(old) => merge::update(fields, &object_of(old)?, &sent),
    };
    let merged = merged.map_err(|problem| explain(problem, fields))?;
    if !returning {
        check_references(organization, fields, &merged)?;
    }
    new.set(COLUMN, Some(RawJson(merged.object.to_text())))?;
    Ok(new)
}

/// What history brings back, without what points to records that are gone: as their deletion would have left it.
fn still_there(organization: Uuid, fields: &[Field], mut sent: Object) -> Result<Object> {
    for field in fields.iter().filter(|field| field.kind == Kind::Reference) {
        let Some(target) = sent.get(&field.key).and_then(|json| Uuid::parse_str(json.trim_matches('"')).ok()) else {
            continue;
        };
        let entity = field.reference_entity.as_deref().unwrap_or_default();
        let tables = tables::of_entity(entity)?;
        let held = tables.iter().map(|table| table.hold(organization, target)).collect::<Result<Vec<_>>>()?;
        if !held.contains(&true) {
            sent.0.remove(&field.key);
        }
    }
    Ok(sent)
}

/// The organization whose fields count; `None` where the row is none of the caller's, whom its policy is about to refuse: by
/// then nothing may have been said of what others have.
fn organization(trigger: &PgTrigger, new: &Row) -> Result<Option<Uuid>> {
    let named = new.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    let Some(organization) = named.or_else(|| Principal::current().and_then(|principal| principal.org_id())) else {
        return Ok(None);
    };
    if by_foreign_key(trigger) {
        return Ok(Some(organization));
    }
    let Some(principal) = identified()? else { return Ok(Some(organization)) };
    let Some(holder) = Holder::of(&principal, organization) else { return Ok(None) };
    let is_permitted = permissions::of(holder)?.scope(&permission(trigger)?).is_some();
    Ok(is_permitted.then_some(organization))
}

/// The trigger's arguments: the entity; of parts of a record also the record's, whose permissions are asked for.
fn permission(trigger: &PgTrigger) -> Result<String> {
    let entity = entity(trigger)?;
    let record = trigger.extra_args().unwrap_or_default().into_iter().nth(1);
    let is_new_record = record.is_none() && trigger.event().fired_by_insert();
    let action = if is_new_record { "create" } else { "update" };
    Ok(format!("{}.{action}", record.unwrap_or(entity)))
}

fn entity(trigger: &PgTrigger) -> Result<String> {
    let entity = trigger.extra_args().ok().and_then(|arguments| arguments.into_iter().next());
    entity.ok_or_else(|| CrmError::internal("the trigger does not name its entity"))
}

fn object_of(row: &Row) -> Result<Object> {
    Ok(row.get::<RawJson>(COLUMN)?.and_then(|RawJson(text)| Object::parse(&text)).unwrap_or_default())
}

fn explain(problem: Problem, fields: &[Field]) -> CrmError {
    match problem {
        Problem::Invalid(key, problem) => invalid(&key, problem),
        Problem::Unknown(key) => {
            let key: String = key.chars().filter(|c| !c.is_control()).take(63).collect();
            let known: Vec<_> = fields.iter().map(|field| field.key.as_str()).collect();
            CrmError::Unknown {
                field: format!("{COLUMN}.{key}"),
                problem: "there is no such field".into(),
                hint: if known.is_empty() {
                    "There are no custom fields here yet: add one to /custom_fields.".into()
                } else {
                    format!("The fields are: {}.", known.join(", "))
                },
            }
        }
    }
}

/// A record that the caller may not read, and one that does not exist, give the same answer.
fn check_references(organization: Uuid, fields: &[Field], merged: &Merged) -> Result<()> {
    for field in fields.iter().filter(|field| field.kind == Kind::Reference && merged.changed.contains(&field.key)) {
        let Some(target) = merged.object.get(&field.key).and_then(|json| Uuid::parse_str(json.trim_matches('"')).ok())
        else {
            continue;
        };
        let entity = field.reference_entity.as_deref().unwrap_or_default();
        let is_there = |table: &Table| Ok(table.shows(organization, target)? && table.hold(organization, target)?);
        let found = tables::of_entity(entity)?.iter().map(is_there).collect::<Result<Vec<_>>>()?;
        if !found.contains(&true) {
            return Err(invalid(&field.key, format!("must be the id of one of {entity} that you may read")));
        }
    }
    Ok(())
}

/// After the row, and so only for rows that the policies let pass.
#[pg_trigger(sql = false)]
fn keep_custom_values<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(kept(trigger).map(|()| None))
}

fn kept(trigger: &PgTrigger) -> Result<()> {
    if is_rewriting() || is_restore() {
        return Ok(());
    }
    if trigger.event().fired_by_truncate() {
        return forget_all(&entity(trigger)?);
    }
    let images = Images::of(trigger)?;
    let Some(row) = images.new.as_ref().or(images.old.as_ref()) else { return Ok(()) };
    let (Some(organization), Some(id)) = (row.get::<pgrx::Uuid>("org_id")?, row.get::<pgrx::Uuid>("id")?) else {
        return Ok(());
    };
    let (record, entity) = (Record { organization: from_pg(organization), id: from_pg(id) }, entity(trigger)?);
    let fields = known::fields_of(record.organization)?;
    let noted: Vec<_> = fields.of_entity(&entity).iter().filter(|field| is_noted(field)).collect();
    if !noted.is_empty() {
        let object = |row: &Option<Row>| row.as_ref().map_or(Ok(Object::default()), object_of);
        let (before, after) = (object(&images.old)?, object(&images.new)?);
        for field in noted {
            record.note(field, before.get(&field.key), after.get(&field.key))?;
        }
    }
    if images.new.is_none() && fields.refer_to(&entity) {
        record.let_go(&entity)?;
    }
    Ok(())
}

/// The table was emptied, for all organizations.
fn forget_all(entity: &str) -> Result<()> {
    for statement in [
        "delete from crm_private.custom_unique_values as v using crm.custom_fields as f
         where f.org_id = v.org_id and f.id = v.field_id and f.entity = $1",
        "delete from crm_private.custom_references as r using crm.custom_fields as f
         where f.org_id = r.org_id and f.id = r.field_id and f.entity = $1",
    ] {
        db::execute(statement, &[entity.into()])?;
    }
    Ok(())
}

fn is_noted(field: &Field) -> bool {
    field.is_unique || field.kind == Kind::Reference
}

struct Record {
    organization: Uuid,
    id: Uuid,
}

impl Record {
    fn note(&self, field: &Field, before: Option<&str>, after: Option<&str>) -> Result<()> {
        if before == after {
            return Ok(());
        }
        let (organization, field_id, id) = (to_pg(self.organization), to_pg(field.id), to_pg(self.id));
        if field.kind == Kind::Reference {
            self.note_reference(field, after)?;
        }
        if !field.is_unique {
            return Ok(());
        }
        if let Some(value) = before {
            db::write_prepared(
                "delete from crm_private.custom_unique_values
                 where org_id = $1 and field_id = $2 and record_id = $4 and value = case
                     when octet_length($3) > 2000 then encode(sha256(convert_to($3, 'UTF8')), 'hex') else $3 end",
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::UUIDOID],
                &[organization.into(), field_id.into(), stored_value(value).into_owned().into(), id.into()],
                |_| Ok(()),
            )?;
        }
        match after {
            Some(value) => take(self.organization, field, &[stored_value(value).into_owned()], &[id]),
            None => Ok(()),
        }
    }

    fn note_reference(&self, field: &Field, after: Option<&str>) -> Result<()> {
        let key = [to_pg(self.organization).into(), to_pg(field.id).into(), to_pg(self.id).into()];
        db::write_prepared(
            "delete from crm_private.custom_references where org_id = $1 and field_id = $2 and record_id = $3",
            &[PgBuiltInOids::UUIDOID; 3],
            &key,
            |_| Ok(()),
        )?;
        let Some(target) = after.and_then(|json| Uuid::parse_str(json.trim_matches('"')).ok()) else { return Ok(()) };
        let [organization, field, record] = key;
        db::write_prepared(
            "insert into crm_private.custom_references (org_id, field_id, record_id, target_id) values ($1, $2, $3, $4)",
            &[PgBuiltInOids::UUIDOID; 4],
            &[organization, field, record, to_pg(target).into()],
            |_| Ok(()),
        )
    }

    /// What points to the record does so no more, as with `on delete set null`; where it has to point somewhere, the record
    /// stays.
    fn let_go(&self, entity: &str) -> Result<()> {
        let arguments = [to_pg(self.organization).into(), to_pg(self.id).into(), entity.into()];
        let types = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID];
        let referring = db::at_latest(|| {
            db::select(
                "select f.entity, f.key, f.required, f.id, array_agg(r.record_id)
                 from crm_private.custom_references as r
                 join crm.custom_fields as f on f.org_id = r.org_id and f.id = r.field_id
                 where r.org_id = $1 and r.target_id = $2 and f.reference_entity = $3
                 group by f.entity, f.key, f.required, f.id
                 order by f.entity, f.key",
                &types,
                &arguments,
                |rows| rows.map(|row| Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))).collect(),
            )
        });
        let referring: Vec<Referring> = referring?;
        if referring.is_empty() || tables::is_going(self.organization)? {
            return Ok(());
        }
        tables::needs_all_rows()?;
        for (referring, key, required, field, records) in referring {
            let (Some(referring), Some(key), Some(field), Some(records)) = (referring, key, field, records) else {
                continue;
            };
            self.unlink(&referring, &key, required == Some(true), &records)?;
            db::execute(
                "delete from crm_private.custom_references where org_id = $1 and field_id = $2 and target_id = $3",
                &[to_pg(self.organization).into(), field.into(), to_pg(self.id).into()],
            )?;
        }
        Ok(())
    }

    fn unlink(&self, entity: &str, key: &str, required: bool, records: &[pgrx::Uuid]) -> Result<()> {
        let organization = to_pg(self.organization);
        for table in tables::of_entity(entity)? {
            if required {
                let count = table.count("id = any ($2)", &[organization.into(), records.to_vec().into()])?;
                if count > 0 {
                    return Err(CrmError::InUse {
                        message: format!("{count} of {entity} need this record in {COLUMN}.{key}"),
                        hint: "Give them another one first.".into(),
                    });
                }
            }
            let sets = "custom_fields - $2 where org_id = $1 and id = any ($3)";
            table.rewrite(sets, &[organization.into(), key.into(), records.to_vec().into()])?;
        }
        Ok(())
    }
}

type Referring = (Option<String>, Option<String>, Option<bool>, Option<pgrx::Uuid>, Option<Vec<pgrx::Uuid>>);

/// A value as `->>` gives it.
fn stored_value(json: &str) -> Cow<'_, str> {
    if !json.starts_with('"') {
        return json.into();
    }
    serde_json::from_str::<String>(json).map_or(json.into(), Cow::Owned)
}

/// Notes that these records have these values. Of those who want the same one at the same time, one waits here for the other.
/// What is too long for an index, which only addresses are, is noted by its hash.
pub fn take(organization: Uuid, field: &Field, values: &[String], records: &[pgrx::Uuid]) -> Result<()> {
    let taken = db::write_prepared(
        "insert into crm_private.custom_unique_values (org_id, field_id, value, record_id)
         select $1, $2, case when octet_length(value) > 2000 then encode(sha256(convert_to(value, 'UTF8')), 'hex') else value end, id
         from unnest($3::text[], $4::uuid[]) as given (value, id)
         on conflict (org_id, field_id, value) do nothing
         returning 1",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTARRAYOID, PgBuiltInOids::UUIDARRAYOID],
        &[to_pg(organization).into(), to_pg(field.id).into(), values.to_vec().into(), records.to_vec().into()],
        |rows| Ok(rows.len()),
    )?;
    if taken == values.len() {
        return Ok(());
    }
    Err(CrmError::Conflict {
        message: format!("{COLUMN}.{}: another record has this value", field.key),
        hint: "The values of this field are unique.".into(),
    })
}

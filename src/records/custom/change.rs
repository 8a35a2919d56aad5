//! The triggers of `crm.custom_fields`: a definition is checked, and when it changes, the records' values follow.

use std::cell::RefCell;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::definition::{Draft, Stored, option_values, rename_option};
use super::field::{Field, Kind};
use super::raw::RawJson;
use super::{COLUMN, known, tables, values};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::memory;
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::records::row::{self, Images, Row, Rows};
use crate::schema::is_restore;
use crate::text;

/// For each entity of an organization.
const FIELDS_MAX: i64 = 200;

/// An option that gets another name: the field, from, to.
type Renaming = (Uuid, String, String);

thread_local! {
    static RENAMING: RefCell<Option<Renaming>> = const { RefCell::new(None) };
}

#[pg_trigger(sql = false)]
fn check_custom_field<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

/// Looks at nothing of the organization's: its policy has not been asked yet.
fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    if is_restore() {
        return Ok(new);
    }
    memory::note_announcement();
    let text = |row: &Row, column: &str| row.get::<String>(column);
    if let Some(old) = &old {
        for column in ["entity", "type", "reference_entity"] {
            if text(&new, column)? != text(old, column)? {
                return Err(CrmError::invalid(column, "cannot be changed: add another field"));
            }
        }
    }
    let entity = text(&new, "entity")?.unwrap_or_default();
    for (column, entity) in [("entity", Some(entity)), ("reference_entity", text(&new, "reference_entity")?)] {
        if let Some(entity) = entity
            && old.is_none()
            && tables::of_entity(&entity)?.is_empty()
        {
            return Err(CrmError::invalid(column, "must be a table with custom fields, like contacts"));
        }
    }
    let stored = draft(&new)?.check().map_err(|(column, problem)| CrmError::invalid(column, problem))?;
    new.set("default_value", stored.default_value.map(RawJson))?;
    new.set("options", stored.options.map(RawJson))?;
    Ok(new)
}

fn draft(row: &Row) -> Result<Draft> {
    let json = |column: &str| Ok::<_, CrmError>(row.get::<RawJson>(column)?.map(|RawJson(text)| text));
    Ok(Draft {
        key: row.get("key")?.unwrap_or_default(),
        kind: row.get("type")?.unwrap_or_default(),
        required: row.get("required")?.unwrap_or_default(),
        is_unique: row.get("is_unique")?.unwrap_or_default(),
        default_value: json("default_value")?,
        options: json("options")?,
        reference_entity: row.get("reference_entity")?,
    })
}

/// Before rows are locked: who writes values holds the other lock first, and then a definition's row.
#[pg_trigger(sql = false)]
fn lock_custom_fields<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    let _ = trigger;
    if let Some(organization) = Principal::current().and_then(|principal| principal.org_id()) {
        known::lock(organization, true);
    }
    row::answer(Ok(None))
}

#[pg_trigger(sql = false)]
fn apply_custom_field<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(applied(trigger).map(|()| None))
}

fn applied(trigger: &PgTrigger) -> Result<()> {
    let Images { old, new } = Images::of(trigger)?;
    if is_restore() {
        return Ok(());
    }
    match (old, new) {
        (None, Some(new)) => check_count(&new),
        (Some(old), Some(new)) => Change::of(&old, &new)?.apply(),
        (Some(old), None) => forget(&old),
        (None, None) => Ok(()),
    }
}

fn organization_of(row: &Row) -> Result<Uuid> {
    row.get::<pgrx::Uuid>("org_id")?
        .map(from_pg)
        .ok_or_else(|| CrmError::internal("a custom field has no organization"))
}

fn check_count(new: &Row) -> Result<()> {
    let (organization, entity) = (organization_of(new)?, new.get::<String>("entity")?.unwrap_or_default());
    let count = db::select(
        "select count(*) from crm.custom_fields where org_id = $1 and entity = $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), entity.as_str().into()],
        |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)),
    )?;
    if count <= FIELDS_MAX {
        return Ok(());
    }
    Err(CrmError::invalid("entity", format!("{entity} can have {FIELDS_MAX} custom fields at most")))
}

/// The field as it is stored.
fn field_of(row: &Row) -> Result<Field> {
    let draft = draft(row)?;
    let id = row.get::<pgrx::Uuid>("id")?.map(from_pg).unwrap_or_default();
    let kind = Kind::parse(&draft.kind).ok_or_else(|| CrmError::internal("a custom field has no type"))?;
    Ok(Field {
        id,
        entity: row.get("entity")?.unwrap_or_default(),
        kind,
        required: draft.required,
        is_unique: draft.is_unique,
        options: option_values(draft.options.as_deref()),
        key: draft.key,
        default_value: draft.default_value,
        reference_entity: draft.reference_entity,
    })
}

/// The field is gone, and so are its values.
fn forget(old: &Row) -> Result<()> {
    let (organization, field) = (organization_of(old)?, field_of(old)?);
    if tables::is_going(organization)? {
        return Ok(());
    }
    known::lock(organization, true);
    tables::needs_all_rows()?;
    for table in tables::of_entity(&field.entity)? {
        let sets = "custom_fields - $2 where org_id = $1 and custom_fields ? $2";
        table.rewrite(sets, &[to_pg(organization).into(), field.key.as_str().into()])?;
    }
    Ok(())
}

struct Change {
    organization: Uuid,
    old: Field,
    new: Field,
}

impl Change {
    fn of(old: &Row, new: &Row) -> Result<Self> {
        Ok(Self { organization: organization_of(new)?, old: field_of(old)?, new: field_of(new)? })
    }

    fn apply(&self) -> Result<()> {
        let (old, new) = (&self.old, &self.new);
        let is_unchanged = old.key == new.key && old.options == new.options && old.is_unique == new.is_unique;
        if is_unchanged {
            return Ok(());
        }
        known::lock(self.organization, true);
        tables::needs_all_rows()?;
        if old.key != new.key {
            self.move_values()?;
        }
        let renamed = RENAMING.with_borrow(|renaming| renaming.clone().filter(|(field, ..)| *field == new.id));
        match &renamed {
            Some((_, from, to)) => self.rename(from, to)?,
            None => self.check_options()?,
        }
        if old.is_unique != new.is_unique || (new.is_unique && renamed.is_some()) {
            self.note_values()?;
        }
        Ok(())
    }

    fn move_values(&self) -> Result<()> {
        for table in tables::of_entity(&self.new.entity)? {
            let sets = "(custom_fields - $2) || jsonb_build_object($3::text, custom_fields -> $2)
                where org_id = $1 and custom_fields ? $2";
            let arguments =
                [to_pg(self.organization).into(), self.old.key.as_str().into(), self.new.key.as_str().into()];
            table.rewrite(sets, &arguments)?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let sets = if self.new.kind == Kind::Select {
            "jsonb_set(custom_fields, array[$2], to_jsonb($4::text)) where org_id = $1 and custom_fields ->> $2 = $3"
        } else {
            "jsonb_set(custom_fields, array[$2], (
                 select jsonb_agg(value order by value collate \"C\")
                 from (
                     select distinct case chosen when $3 then $4 else chosen end as value
                     from jsonb_array_elements_text(custom_fields -> $2) as chosen
                 ) as renamed
             )) where org_id = $1 and custom_fields -> $2 ? $3"
        };
        for table in tables::of_entity(&self.new.entity)? {
            let arguments = [to_pg(self.organization).into(), self.new.key.as_str().into(), from.into(), to.into()];
            table.rewrite(sets, &arguments)?;
        }
        Ok(())
    }

    /// An option that records have is not taken away from under them.
    fn check_options(&self) -> Result<()> {
        let condition = match self.new.kind {
            Kind::Select => "custom_fields ->> $2 = $3",
            _ => "custom_fields -> $2 ? $3",
        };
        for gone in self.old.options.iter().filter(|option| !self.new.options.contains(option)) {
            let mut count = 0;
            for table in tables::of_entity(&self.new.entity)? {
                let arguments = [to_pg(self.organization).into(), self.new.key.as_str().into(), gone.as_str().into()];
                count += table.count(condition, &arguments)?;
            }
            if count > 0 {
                return Err(CrmError::InUse {
                    message: format!("options: {count} of {} have \"{gone}\"", self.new.entity),
                    hint: "Give it another name, or make it one with another option, with /rpc/rename_custom_field_option."
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// Which values are taken, from now on or no more.
    fn note_values(&self) -> Result<()> {
        db::execute(
            "delete from crm_private.custom_unique_values where org_id = $1 and field_id = $2",
            &[to_pg(self.organization).into(), to_pg(self.new.id).into()],
        )?;
        if !self.new.is_unique {
            return Ok(());
        }
        for table in tables::of_entity(&self.new.entity)? {
            let (taken, records) = table.values(self.organization, &self.new.key)?;
            values::take(self.organization, &self.new, &taken, &records).map_err(|error| match error {
                CrmError::Conflict { .. } => CrmError::Conflict {
                    message: format!("is_unique: several records have the same value in {COLUMN}.{}", self.new.key),
                    hint: "Give each another value first.".into(),
                },
                error => error,
            })?;
        }
        Ok(())
    }
}

/// Renames an option by changing the definition as the caller, under their policies; `apply` then does the rest.
#[pg_extern(sql = false)]
fn rename_custom_field_option(
    field_id: Option<pgrx::Uuid>,
    old_value: Option<&str>,
    new_value: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("rename_custom_field_option")?;
    let field_id = given("field_id", field_id)?;
    let (from, to) = (given("old_value", old_value)?, given("new_value", new_value)?);
    let to = text::line(to, 100).map_err(|problem| CrmError::invalid("new_value", problem))?;
    let stored = options_of(field_id)?.ok_or_else(|| CrmError::invalid("field_id", "there is no such field"))?;
    if !option_values(stored.options.as_deref()).iter().any(|option| option == from) {
        return Err(CrmError::invalid("old_value", "there is no such option").into());
    }
    let renamed = rename_option(&stored, from, &to);
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            RENAMING.set(None);
        }
    }
    let _end = End;
    RENAMING.set(Some((from_pg(field_id), from.to_owned(), to.clone())));
    let changed = db::execute(
        "update crm.custom_fields set options = $2, default_value = $3 where id = $1 and org_id = (select crm.current_org_id())",
        &[field_id.into(), renamed.options.map(RawJson).into(), renamed.default_value.map(RawJson).into()],
    )?;
    if changed == 0 {
        return Err(CrmError::invalid("field_id", "there is no such field").into());
    }
    Ok(JsonB(json!({ "field_id": from_pg(field_id), "old_value": from, "new_value": to })))
}

fn options_of(field: pgrx::Uuid) -> Result<Option<Stored>> {
    db::select(
        "select options, default_value from crm.custom_fields where id = $1 and org_id = (select crm.current_org_id())",
        &[PgBuiltInOids::UUIDOID],
        &[field.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let (options, default_value) = rows.first().get_two::<RawJson, RawJson>()?;
            let text = |json: Option<RawJson>| json.map(|RawJson(text)| text);
            Ok(Some(Stored { options: text(options), default_value: text(default_value) }))
        },
    )
}

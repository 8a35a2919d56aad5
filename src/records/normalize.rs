//! Brings the text of a row into the form that is stored, by the rules its trigger was given.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::rc::Rc;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};

use super::guard;
use super::row::{self, Row, Rows};
use super::rules::{self, Kind, Rule, Stored};
use super::states::{self, Writer};
use crate::db::{self, restoring::is_restoring};
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::text::Checked;

thread_local! {
    /// Rules in parsed form by their text: a trigger's arguments never change, and the same text is the same rules.
    static PARSED: RefCell<HashMap<Vec<String>, Rc<[Rule]>>> = RefCell::new(HashMap::new());
}

#[pg_trigger(sql = false)]
fn normalize<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(normalized(trigger).map(Some))
}

fn normalized(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let rules = rules_of(trigger)?;
    // It was in this form when it was stored; but who works on a record again need not be its owner by now.
    if is_restoring(trigger) {
        let owners = rules.iter().filter(|rule| rule.kind == Kind::Owner);
        owners.into_iter().try_for_each(|rule| states::apply(rule, &mut new, old.as_ref(), Writer::Internal))?;
        return Ok(new);
    }
    let writer = match () {
        () if guard::by_foreign_key(trigger) => Writer::Internal,
        () if Principal::current().is_some() => Writer::Client,
        () => Writer::Administrator,
    };
    for rule in rules.iter() {
        if rule.is_text() {
            apply(rule, &mut new, old.as_ref())?;
        }
        if let Kind::Lines(longest) = rule.kind {
            apply_lines(rule, longest, &mut new, old.as_ref())?;
        }
        states::apply(rule, &mut new, old.as_ref(), writer)?;
    }
    Ok(new)
}

fn apply(rule: &Rule, new: &mut Row, old: Option<&Row>) -> Result<()> {
    let value = new.get::<String>(&rule.column)?;
    if let Some(old) = old
        && old.get::<String>(&rule.column)? == value
    {
        return keep(rule, value.as_deref(), new, old);
    }
    let Some(value) = value else {
        return rule.columns().skip(1).try_for_each(|derived| new.set::<String>(derived, None));
    };
    let stored = stored(rule, &value, new)?.map_err(|problem| CrmError::invalid(&rule.column, problem))?;
    if stored.value.as_ref() != Some(&value) {
        new.set(&rule.column, stored.value)?;
    }
    match stored.derived {
        Some((column, value)) => new.set(&column, value),
        None => Ok(()),
    }
}

fn apply_lines(rule: &Rule, longest: usize, new: &mut Row, old: Option<&Row>) -> Result<()> {
    let is_unchanged = old.is_some_and(|old| !new.differs(&rule.column, old));
    let Some(given) = new.get::<Vec<Option<String>>>(&rule.column)?.filter(|_| !is_unchanged) else { return Ok(()) };
    let stored = rules::lines(given.into_iter().flatten(), longest);
    let stored = stored.map_err(|problem| CrmError::invalid(&rule.column, problem))?;
    if rule.required && stored.is_empty() {
        return Err(CrmError::invalid(&rule.column, "must not be empty"));
    }
    new.set(&rule.column, Some(stored))
}

/// The value is unchanged, and may be from before the rule: so it is not checked, and its derived column stays what it was,
/// whatever the client sent for that. Where there was nothing, the organization may have got its country since.
fn keep(rule: &Rule, value: Option<&str>, new: &mut Row, old: &Row) -> Result<()> {
    for derived in rule.columns().skip(1) {
        new.keep(derived, old);
        if let Some(value) = value
            && old.get::<String>(derived)?.is_none()
            && let Ok(Stored { derived: Some((column, found)), .. }) = stored(rule, value, new)?
        {
            new.set(&column, found)?;
        }
    }
    Ok(())
}

fn stored(rule: &Rule, value: &str, row: &Row) -> Result<Checked<Stored>> {
    let country = if rule.depends_on_country(value) { country_of(row)? } else { None };
    let stored = rule.apply(value, country.as_deref());
    match &stored {
        Ok(Stored { value: Some(name), .. }) if rule.kind == Kind::TimeZone && !is_time_zone(name) => {
            Ok(Err("there is no such time zone".into()))
        }
        _ => Ok(stored),
    }
}

/// Whether the server knows it, spelled like this: it would take any case.
fn is_time_zone(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: NUL-terminated; what is found lives as long as the backend.
    unsafe {
        let zone = pg_sys::pg_tzset(name.as_ptr());
        !zone.is_null() && CStr::from_ptr(pg_sys::pg_get_timezone_name(zone)) == name.as_c_str()
    }
}

/// The country of the organization the row belongs to, whoever writes it.
fn country_of(row: &Row) -> Result<Option<String>> {
    let active = Principal::current().and_then(|principal| principal.organization.clone());
    let org_id = row.get::<pgrx::Uuid>("org_id")?.map(from_pg).or(active.as_ref().map(|active| active.id));
    match (org_id, active) {
        (None, _) => Ok(None),
        (Some(org_id), Some(active)) if active.id == org_id => Ok(active.country),
        (Some(org_id), _) => db::select(
            "select country from crm.organizations where id = $1",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(org_id).into()],
            |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
        ),
    }
}

fn rules_of(trigger: &PgTrigger) -> Result<Rc<[Rule]>> {
    let arguments = trigger.extra_args().map_err(|_| CrmError::internal("the trigger's arguments cannot be read"))?;
    PARSED.with_borrow_mut(|parsed| {
        if let Some(rules) = parsed.get(&arguments) {
            return Ok(Rc::clone(rules));
        }
        let rules = arguments
            .iter()
            .map(|rule| Rule::parse(rule).map_err(|problem| CrmError::invalid(rule, problem)))
            .collect::<Result<Rc<[Rule]>>>()?;
        parsed.insert(arguments, Rc::clone(&rules));
        Ok(rules)
    })
}

//! Columns that are the database's to keep, whatever a client sends: states and what follows from them. See `rules`.

use pgrx::prelude::*;

use super::row::Row;
use super::rules::{Kind, Rule};
use super::steps::Steps;
use crate::error::{CrmError, Result};

/// Who writes, as far as it matters to these columns.
#[derive(Clone, Copy, PartialEq)]
pub enum Writer {
    /// A client of the API.
    Client,
    /// The DBA, a migration: what is given is kept.
    Administrator,
    /// The CRM itself, or a foreign key's action.
    Internal,
}

pub fn apply(rule: &Rule, new: &mut Row, old: Option<&Row>, writer: Writer) -> Result<()> {
    let column = rule.column.as_str();
    match &rule.kind {
        Kind::Kept if writer != Writer::Client => Ok(()),
        Kind::Kept => match old {
            Some(old) => {
                new.keep(column, old);
                Ok(())
            }
            None => new.set_default(column),
        },
        Kind::Steps(_) if writer == Writer::Internal => Ok(()),
        Kind::Steps(steps) => step(column, steps, new, old, writer),
        Kind::Since(of, values) => since(column, of, values, new, old, writer),
        Kind::Owner => own(column, new, old),
        _ => Ok(()),
    }
}

fn step(column: &str, steps: &Steps, new: &Row, old: Option<&Row>, writer: Writer) -> Result<()> {
    let Some(to) = new.get::<String>(column)? else { return Ok(()) };
    let from = match old {
        Some(old) => old.get::<String>(column)?,
        None => None,
    };
    let begins_anywhere = old.is_none() && writer == Writer::Administrator;
    if steps.allow(from.as_deref(), &to) || (begins_anywhere && steps.know(&to)) {
        return Ok(());
    }
    Err(CrmError::State { column: column.into(), allowed: steps.from(from.as_deref()).to_vec(), from, to })
}

/// Now, where the other column came to have one of the values; nothing, where it has none of them any more.
fn since(column: &str, of: &str, values: &[String], new: &mut Row, old: Option<&Row>, writer: Writer) -> Result<()> {
    let any = values.is_empty();
    let is_one =
        |row: &Row| -> Result<bool> { Ok(any || row.get::<String>(of)?.is_some_and(|value| values.contains(&value))) };
    let given = new.get::<TimestampWithTimeZone>(column)?;
    let told = match old {
        Some(old) => given != old.get(column)?,
        None => given.is_some(),
    };
    let now = pgrx::datum::datetime_support::now();
    match old {
        _ if !is_one(new)? => new.set::<TimestampWithTimeZone>(column, None),
        _ if writer != Writer::Client && told => Ok(()),
        Some(old) if (any && !new.differs(of, old)) || (!any && is_one(old)?) => {
            new.keep(column, old);
            Ok(())
        }
        _ => new.set(column, Some(now)),
    }
}

/// Who is named here owns the row, and the other way round.
fn own(column: &str, new: &mut Row, old: Option<&Row>) -> Result<()> {
    let named = new.get::<pgrx::Uuid>(column)?;
    let owner = new.get::<pgrx::Uuid>("owner_id")?;
    let Some(old) = old else {
        return if named.is_some() { new.set("owner_id", named) } else { Ok(()) };
    };
    if new.differs(column, old) {
        return if named.is_some() { new.set("owner_id", named) } else { Ok(()) };
    }
    if new.differs("owner_id", old) && named.is_some() { new.set(column, owner) } else { Ok(()) }
}

//! Which version the library is of, which the extension, and which the tables; and what to do when they differ.

use std::cell::Cell;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::tables;
use crate::db;
use crate::error::{Refusal, Result};
use crate::identity::memory;
use crate::identity::principal::has_rights_of;
use crate::schema::{VERSION, tables_exist};

/// Of one database.
#[derive(Debug)]
pub struct Versions {
    pub library: &'static str,
    /// Whose functions there are; they work with any later library.
    pub extension: Option<String>,
    /// None where there are no tables.
    pub tables: Option<String>,
}

/// How the tables stand to the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Nothing has changed in the tables since their version.
    Equal,
    Older,
    Newer,
    Missing,
}

pub fn versions() -> Result<Versions> {
    let extension =
        db::select("select extversion from pg_catalog.pg_extension where extname = 'crm_ext'", &[], &[], |rows| {
            if rows.is_empty() { Ok(None) } else { rows.first().get_one::<String>() }
        })?;
    Ok(Versions { library: VERSION, extension, tables: version_of_tables()? })
}

fn version_of_tables() -> Result<Option<String>> {
    let noted = db::as_definer(|| {
        if !tables_exist()? {
            return Ok(None);
        }
        db::select("select pg_catalog.array_agg(version) from crm_private.schema_version", &[], &[], |rows| {
            rows.first().get_one::<Vec<String>>()
        })
    })?;
    Ok(noted.unwrap_or_default().into_iter().max_by_key(|version| parts(version)))
}

/// In the order of versions.
pub fn parts(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect()
}

impl Versions {
    pub fn standing(&self) -> Standing {
        match &self.tables {
            None => Standing::Missing,
            Some(tables) if parts(tables) > parts(self.library) => Standing::Newer,
            Some(tables) if tables::steps_after(tables).next().is_some() => Standing::Older,
            Some(_) => Standing::Equal,
        }
    }

    /// What the operator has to do, if anything.
    pub fn advice(&self) -> Option<String> {
        let extension = self.extension.as_deref().map_or_else(Vec::new, parts);
        let library = parts(self.library);
        let tables = self.tables.as_deref().unwrap_or_default();
        match self.standing() {
            Standing::Newer => Some(format!("Install the library of version {tables} or later.")),
            _ if extension > library => Some(format!(
                "Install the library of version {} or later.",
                self.extension.as_deref().unwrap_or_default()
            )),
            _ if extension < library => Some("Run: alter extension crm_ext update;".into()),
            Standing::Older => Some("Run: select crm_private.upgrade_tables();".into()),
            Standing::Missing => Some("Restore a dump, or run: select crm_private.install();".into()),
            Standing::Equal => None,
        }
    }

    pub fn describe(&self) -> String {
        let or_none = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
        format!("library {}, extension {}, tables {}", self.library, or_none(&self.extension), or_none(&self.tables))
    }
}

thread_local! {
    /// Under which generation the tables were found to be the library's.
    static EQUAL: Cell<Option<u64>> = const { Cell::new(None) };
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Refuses to work with tables that are not this library's.
pub fn check_tables() -> Result<Result<(), Refusal>> {
    if EQUAL.get() == Some(memory::generation()) {
        return Ok(Ok(()));
    }
    let (versions, keep_under) = memory::ask(versions)?;
    if versions.standing() == Standing::Equal {
        EQUAL.set(keep_under);
        return Ok(Ok(()));
    }
    let advice = versions.advice().unwrap_or_default();
    tell(format!("crm_ext refuses all requests ({}). {advice}", versions.describe()));
    // SAFETY: reads the session's state.
    let is_operator = has_rights_of(unsafe { pg_sys::GetSessionUserId() }, c"crm_owner");
    let hint = if is_operator { advice.into() } else { Refusal::UPDATING.hint };
    Ok(Err(Refusal { hint, ..Refusal::UPDATING }))
}

/// In the server's log and nowhere else, once for each connection.
fn tell(message: String) {
    if !TOLD.replace(true) {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message, "")
            .report(PgLogLevel::LOG_SERVER_ONLY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(extension: &str, tables: Option<&str>) -> Versions {
        Versions { library: VERSION, extension: Some(extension.into()), tables: tables.map(Into::into) }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parts("0.10.0") > parts("0.9.9"));
        assert!(parts("1.0.0") > parts("0.99.0"));
        assert_eq!(parts("0.2.0-rc.1"), parts("0.2.0"));
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(of(VERSION, Some(VERSION)).advice(), None);
        for (versions, standing, advice) in [
            (of("0.1.0", Some("0.1.0")), Standing::Older, "alter extension crm_ext update"),
            (of(VERSION, Some("0.1.0")), Standing::Older, "crm_private.upgrade_tables()"),
            (of(VERSION, None), Standing::Missing, "crm_private.install()"),
            (of(VERSION, Some("99.0.0")), Standing::Newer, "version 99.0.0"),
            (of("99.0.0", Some(VERSION)), Standing::Equal, "version 99.0.0"),
            (of("0.1.0", Some(VERSION)), Standing::Equal, "alter extension crm_ext update"),
        ] {
            assert_eq!(versions.standing(), standing, "{versions:?}");
            assert!(versions.advice().unwrap().contains(advice), "{versions:?}");
        }
    }
}

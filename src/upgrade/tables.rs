//! The steps of the tables from version to version.

use std::collections::HashSet;

use super::versions::{Standing, parts, versions};
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::refresh;
use crate::schema::{Apart, STEPS, Step, VERSION, make};

/// Those that tables of a version have before them.
pub fn steps_after(version: &str) -> impl Iterator<Item = &'static Step> {
    after(STEPS, version)
}

fn after<'a>(steps: &'a [Step], version: &str) -> impl Iterator<Item = &'a Step> + use<'a> {
    let version = parts(version);
    steps.iter().filter(move |(step, _)| parts(step) > version)
}

/// Brings tables of an earlier version here. Enrolment is renewed with the caller's rights; all else runs with those of the
/// CRM's own roles, as does what others attached to the tables.
pub fn upgrade() -> Result<()> {
    if db::confined(stands_at)?.is_none() {
        return Ok(());
    }
    let owner = db::role(c"crm_owner");
    db::as_owner(owner, || db::run("lock table crm_private.schema_version in share row exclusive mode"))?;
    // Somebody else may have done it meanwhile.
    let Some(version) = db::confined(stands_at)? else { return Ok(()) };
    let _apart = Apart::from_the_extension();
    refresh::all()?;
    db::confined(|| db::as_owner(owner, || make(texts(STEPS, &version))))
}

/// The version of tables that have steps before them.
fn stands_at() -> Result<Option<String>> {
    let versions = db::at_latest(versions)?;
    let refused = |message: String| {
        Err(CrmError::Refused { message, hint: versions.advice().unwrap_or_else(|| "There is nothing to do.".into()) })
    };
    match (versions.standing(), &versions.tables) {
        (Standing::Equal, _) => Ok(None),
        (Standing::Older, Some(tables)) => Ok(Some(tables.clone())),
        (Standing::Newer, Some(tables)) => {
            refused(format!("the tables of the CRM are of version {tables}, and the library of {VERSION}"))
        }
        _ => refused("there are no tables of the CRM".into()),
    }
}

/// What leads from a version to this one. A file that is new on the way is that of today: what later steps changed in it, it has.
fn texts(steps: &[Step], version: &str) -> Vec<&'static str> {
    let mut installed = HashSet::new();
    let mut texts = vec![];
    for (step, pieces) in after(steps, version) {
        for (path, text) in *pieces {
            match path.strip_prefix("upgrades/").and_then(|path| path.strip_prefix(step)) {
                Some(changed) if installed.contains(changed.trim_start_matches('/')) => {}
                Some(_) => texts.push(*text),
                None => {
                    installed.insert(*path);
                    texts.push(*text);
                }
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TABLE_FILES;

    #[test]
    fn steps_follow_each_other_up_to_this_version() {
        assert!(STEPS.is_sorted_by(|a, b| parts(a.0) < parts(b.0)));
        assert!(STEPS.iter().all(|(version, _)| parts(version) <= parts(VERSION)));
        assert_eq!(steps_after("0.1.0").count(), STEPS.len());
        assert_eq!(steps_after(VERSION).count(), 0);
    }

    #[test]
    fn a_file_that_is_new_on_the_way_is_changed_no_more() {
        let steps: [Step; 3] = [
            ("0.2.0", &[("entities/a.sql", "a")]),
            ("0.3.0", &[("upgrades/0.3.0/entities/a.sql", "change a"), ("upgrades/0.3.0/entities/b.sql", "change b")]),
            ("0.10.0", &[("entities/c.sql", "c")]),
        ];
        assert_eq!(texts(&steps, "0.1.0"), ["a", "change b", "c"]);
        assert_eq!(texts(&steps, "0.2.0"), ["change a", "change b", "c"]);
        assert_eq!(texts(&steps, "0.3.0"), ["c"]);
        assert!(texts(&steps, "0.10.0").is_empty());
    }

    #[test]
    fn a_piece_is_a_file_of_the_tables_or_changes_one() {
        for (version, pieces) in STEPS {
            for (path, _) in *pieces {
                let file = path.strip_prefix(&format!("upgrades/{version}/")).unwrap_or(path);
                assert!(TABLE_FILES.iter().any(|(known, _)| *known == file), "{path}");
            }
        }
    }

    #[test]
    fn every_text_below_upgrades_is_a_piece() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut folders = vec![root.join("upgrades")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                    assert!(STEPS.iter().any(|(_, pieces)| pieces.iter().any(|(path, _)| *path == name)), "{name}");
                }
            }
        }
    }
}

//! `crm.doctor` and `crm.health`: whether all is well. What is wrong is found by queries, a file each in sql/doctor/.

mod declared;
mod facts;
mod health;
mod policy;
mod version;

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

use crate::db::{self, savepoint};
use crate::error::Result;
use crate::gucs;

macro_rules! checks {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../../sql/doctor/", $name, ".sql")))),+] };
}

/// By name, what is most dangerous first. Each is told the facts as `$1` and gives severity, object, problem and fix; the
/// comment it begins with says why it matters. `audit_partitions` has its place before `signing_key`.
const CHECKS: &[(&str, &str)] = &checks![
    "role_attributes",
    "role_membership",
    "role_owns_objects",
    "role_settings",
    "role_member",
    "bypasses_row_level_security",
    "right_of_a_stranger",
    "open_to_everybody",
    "may_create",
    "default_privileges",
    "wrong_owner",
    "definer_with_power",
    "function_without_search_path",
    "function_for_public",
    "schema_version",
    "table_missing",
    "audit_partitions",
    "deployment",
    "trigger_missing",
    "enrollment",
    "policy_changed",
    "table_without_row_level_security",
    "policy_always_true",
    "several_permissive_policies",
    "restrictive_policy_binds_definer",
    "policy_function_of_wrong_kind",
    "policy_function_per_row",
    "right_without_policy",
    "view_past_policies",
    "foreign_key_without_org_id",
    "foreign_key_without_index",
    "index_missing",
    "index_not_by_organization",
    "key_without_organization",
    "partial_unique_index",
    "not_valid",
    "table_belongs_to_extension",
    "signing_key",
    "settings",
    "identity_provider_keys",
    "login_role",
    "postgrest_functions",
    "postgrest_settings",
    "server_version",
    "server_encoding",
    "server_settings",
    "library_not_preloaded",
];

/// What is wrong with one object.
pub struct Finding {
    severity: String,
    pub object: String,
    pub problem: String,
    fix: String,
}

#[pg_extern(sql = false)]
fn doctor() -> Result<
    TableIterator<
        'static,
        (
            name!(severity, String),
            name!(name, String),
            name!(object, String),
            name!(problem, String),
            name!(fix, String),
        ),
    >,
    ErrorReport,
> {
    let found = gucs::without_workers(examine);
    Ok(TableIterator::new(
        found
            .into_iter()
            .map(|(name, found)| (found.severity, name.to_owned(), found.object, found.problem, found.fix)),
    ))
}

fn examine() -> Vec<(&'static str, Finding)> {
    let mut found = vec![];
    let facts = savepoint::probe(facts::collect).unwrap_or_else(|problem| {
        found.push(("doctor", Finding::unknown(problem)));
        Value::Null
    });
    for (name, query) in CHECKS {
        let findings =
            savepoint::probe(|| run(query, &facts)).unwrap_or_else(|problem| vec![Finding::unknown(problem)]);
        found.extend(findings.into_iter().map(|finding| (*name, finding)));
    }
    found.sort_by_key(|(_, finding)| finding.rank());
    found
}

/// What the check `enrollment` finds.
pub fn enrollment() -> Result<Vec<Finding>> {
    run(include_str!("../../sql/doctor/enrollment.sql"), &facts::declared())
}

fn run(query: &str, facts: &Value) -> Result<Vec<Finding>> {
    let query = format!("select severity::text, object::text, problem::text, fix::text from (\n{query}\n) as found");
    db::select_once(&query, &[JsonB(facts.clone()).into()], |rows| {
        let mut findings = vec![];
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            findings.push(Finding { severity: text(1)?, object: text(2)?, problem: text(3)?, fix: text(4)? });
        }
        findings.sort_by(|one, other| (&one.object, &one.problem).cmp(&(&other.object, &other.problem)));
        Ok(findings)
    })
}

impl Finding {
    /// A check that fails says that something is very wrong, and not what.
    fn unknown(problem: String) -> Self {
        Self {
            severity: "error".into(),
            object: "crm.doctor()".into(),
            problem: format!("this could not be looked at: {problem}"),
            fix: "Mend what the other errors name, and ask again.".into(),
        }
    }

    fn rank(&self) -> usize {
        ["error", "warning", "info"].iter().position(|severity| *severity == self.severity).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_check_once_and_says_why() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/doctor");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let mut names: Vec<_> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        assert_eq!(names, files);
        for (name, query) in CHECKS {
            assert!(query.starts_with("-- "), "{name} does not say why");
            assert!(!query.trim_end().ends_with(';'), "{name} is more than a query");
        }
    }
}

//! What a plan, and what was agreed beside it, allow at a moment. Pure. Times are microseconds since 2000, as PostgreSQL
//! counts them.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

/// The limit of every table that has none of its own.
pub const RECORDS: &str = "records";

/// What is limited and is no table's records.
const NO_RECORDS: [&str; 3] = ["users", "webhooks", HISTORY_DAYS];

/// For how many days history is kept: nothing that is counted.
pub const HISTORY_DAYS: &str = "history_days";

/// What one organization has.
#[derive(Debug, Deserialize)]
pub struct Terms {
    pub plan: String,
    features: Vec<String>,
    limits: HashMap<String, i64>,
    overrides: Vec<Override>,
}

#[derive(Debug, Deserialize)]
struct Override {
    name: String,
    kind: Kind,
    enabled: Option<bool>,
    /// None: no limit.
    maximum: Option<i64>,
    starts_at: i64,
    ends_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Feature,
    Limit,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Limit => "limit",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    /// None: no limit.
    pub maximum: Option<i64>,
    /// Of the override that this is, if it ends.
    pub ends_at: Option<i64>,
}

impl Terms {
    pub fn has_feature(&self, name: &str, now: i64) -> bool {
        let agreed = self.agreed(Kind::Feature, name, now).and_then(|agreed| agreed.enabled);
        agreed.unwrap_or_else(|| self.features.iter().any(|feature| feature == name))
    }

    pub fn limit(&self, resource: &str, now: i64) -> Limit {
        let own = self.limit_named(resource, now);
        let any = || if NO_RECORDS.contains(&resource) { None } else { self.limit_named(RECORDS, now) };
        own.or_else(any).unwrap_or_default()
    }

    /// None: history is kept for good.
    pub fn days_of_history(&self, now: i64) -> Option<i64> {
        self.limit_named(HISTORY_DAYS, now).unwrap_or_default().maximum
    }

    fn limit_named(&self, name: &str, now: i64) -> Option<Limit> {
        if let Some(agreed) = self.agreed(Kind::Limit, name, now) {
            return Some(Limit { maximum: agreed.maximum, ends_at: agreed.ends_at });
        }
        self.limits.get(name).map(|maximum| Limit { maximum: Some(*maximum), ends_at: None })
    }

    fn agreed(&self, kind: Kind, name: &str, now: i64) -> Option<&Override> {
        self.overrides.iter().find(|agreed| {
            agreed.kind == kind
                && agreed.name == name
                && agreed.starts_at <= now
                && agreed.ends_at.is_none_or(|end| now < end)
        })
    }

    /// What is limited, as far as these terms name it.
    pub fn limited(&self) -> BTreeSet<String> {
        let agreed = self.overrides.iter().filter(|agreed| agreed.kind == Kind::Limit).map(|agreed| &agreed.name);
        agreed
            .chain(self.limits.keys())
            .filter(|name| ![RECORDS, HISTORY_DAYS].contains(&name.as_str()))
            .cloned()
            .collect()
    }
}

/// A feature's name, as a plan has it.
pub fn is_feature_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether every plan knows this limit, be there such a table or not.
pub fn is_built_in_limit(name: &str) -> bool {
    name == RECORDS || NO_RECORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn terms(overrides: Value) -> Terms {
        serde_json::from_value(json!({
            "plan": "free",
            "features": ["webhooks"],
            "limits": { "users": 10, "records": 100, "deals": 5 },
            "overrides": overrides,
        }))
        .unwrap()
    }

    fn maximum(terms: &Terms, resource: &str) -> Option<i64> {
        terms.limit(resource, 50).maximum
    }

    fn agreed(name: &str, maximum: Option<i64>, starts_at: i64, ends_at: Option<i64>) -> Value {
        json!([{ "name": name, "kind": "limit", "maximum": maximum, "starts_at": starts_at, "ends_at": ends_at }])
    }

    #[test]
    fn a_table_without_a_limit_of_its_own_has_that_of_records() {
        let terms = terms(json!([]));
        assert_eq!(maximum(&terms, "contacts"), Some(100));
        assert_eq!(maximum(&terms, "deals"), Some(5));
        assert_eq!(maximum(&terms, "users"), Some(10));
        assert_eq!(maximum(&terms, "webhooks"), None);
        assert_eq!(terms.limited().into_iter().collect::<Vec<_>>(), ["deals", "users"]);
    }

    #[test]
    fn what_was_agreed_replaces_the_limit_of_that_name() {
        let contacts = terms(agreed("contacts", Some(200), 0, None));
        assert_eq!([maximum(&contacts, "contacts"), maximum(&contacts, "accounts")], [Some(200), Some(100)]);
        let records = terms(agreed("records", Some(200), 0, None));
        assert_eq!([maximum(&records, "contacts"), maximum(&records, "deals")], [Some(200), Some(5)]);
        let unlimited = terms(agreed("deals", None, 0, None));
        assert_eq!([maximum(&unlimited, "deals"), maximum(&unlimited, "contacts")], [None, Some(100)]);
    }

    #[test]
    fn it_holds_from_its_beginning_until_just_before_its_end() {
        let terms = terms(agreed("users", Some(20), 40, Some(60)));
        let at = |now| terms.limit("users", now);
        assert_eq!(at(39), Limit { maximum: Some(10), ends_at: None });
        assert_eq!(at(40), Limit { maximum: Some(20), ends_at: Some(60) });
        assert_eq!(at(59).maximum, Some(20));
        assert_eq!(at(60), Limit { maximum: Some(10), ends_at: None });
    }

    #[test]
    fn a_feature_is_the_plans_or_agreed_and_a_limit_of_its_name_is_another_thing() {
        let feature = |name: &str, enabled: bool| {
            terms(json!([{ "name": name, "kind": "feature", "enabled": enabled, "starts_at": 0, "ends_at": 60 }]))
        };
        assert!(terms(agreed("webhooks", Some(0), 0, None)).has_feature("webhooks", 50));
        assert!(!feature("webhooks", false).has_feature("webhooks", 50));
        assert!(feature("webhooks", false).has_feature("webhooks", 60));
        assert!(feature("sso", true).has_feature("sso", 50));
        assert!(!feature("sso", true).has_feature("sso", 60));
        assert_eq!(maximum(&feature("users", true), "users"), Some(10));
    }

    #[test]
    fn the_name_of_a_feature_is_a_word() {
        for name in ["sso", "audit_export", "v2"] {
            assert!(is_feature_name(name), "{name}");
        }
        for name in ["", "Sso", "2fa", "a b", "ä", &"a".repeat(64)] {
            assert!(!is_feature_name(name), "{name}");
        }
    }
}

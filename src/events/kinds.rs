//! What events are called, and which of them an entry of history is. Pure.

use crate::records::custom::object::Object;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Created,
    Updated,
    Deleted,
}

impl Change {
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// What an update or a new record means besides.
enum When {
    /// The column has this value now: of a new record, or since this update.
    Becomes(&'static str, &'static str),
    /// It has this value now, and had one of those before.
    Turns(&'static str, &'static [&'static str], &'static str),
    /// It has another value than before, and one at all.
    Changes(&'static str),
}

struct Rule {
    entity: &'static str,
    name: &'static str,
    when: When,
    description: &'static str,
}

const fn becomes(entity: &'static str, name: &'static str, state: &'static str, description: &'static str) -> Rule {
    Rule { entity, name, when: When::Becomes("status", state), description }
}

const RULES: &[Rule] = &[
    becomes("leads", "qualified", "qualified", "A lead is worth pursuing."),
    becomes("leads", "converted", "converted", "A lead has become a customer."),
    becomes("leads", "lost", "lost", "A lead will not become a customer."),
    Rule {
        entity: "deals",
        name: "stage_changed",
        when: When::Changes("stage_id"),
        description: "A deal has moved to another stage.",
    },
    becomes("deals", "won", "won", "A deal was won."),
    becomes("deals", "lost", "lost", "A deal was lost."),
    Rule {
        entity: "deals",
        name: "reopened",
        when: When::Turns("status", &["won", "lost"], "open"),
        description: "A deal that was won or lost is open again.",
    },
    becomes("tasks", "completed", "completed", "A task is done."),
    becomes("tasks", "cancelled", "cancelled", "A task is not to be done any more."),
    becomes("appointments", "confirmed", "confirmed", "An appointment is certain."),
    becomes("appointments", "completed", "completed", "An appointment took place."),
    becomes("appointments", "cancelled", "cancelled", "An appointment does not take place."),
    becomes("appointments", "no_show", "no_show", "Somebody did not come to an appointment."),
    becomes("messages", "sent", "sent", "A message went out."),
    becomes("messages", "delivered", "delivered", "A message arrived."),
    becomes("messages", "read", "read", "A message was read."),
    becomes("messages", "failed", "failed", "A message could not be sent."),
    becomes("messages", "received", "received", "A message came in."),
    becomes("tickets", "solved", "solved", "A ticket is solved."),
    becomes("tickets", "closed", "closed", "A ticket is closed for good."),
    Rule {
        entity: "tickets",
        name: "reopened",
        when: When::Turns("status", &["solved", "closed"], "open"),
        description: "A ticket that was solved is open again.",
    },
    Rule {
        entity: "estimates",
        name: "sent",
        when: When::Turns("status", &["draft"], "sent"),
        description: "An estimate went to the customer.",
    },
    becomes("estimates", "accepted", "accepted", "The customer has accepted an estimate."),
    becomes("estimates", "declined", "declined", "The customer has declined an estimate."),
    becomes("estimates", "expired", "expired", "An estimate is not valid any more."),
    Rule {
        entity: "invoices",
        name: "sent",
        when: When::Turns("status", &["draft"], "sent"),
        description: "An invoice went to the customer.",
    },
    becomes("invoices", "partially_paid", "partially_paid", "A part of an invoice is paid."),
    becomes("invoices", "paid", "paid", "An invoice is paid."),
    becomes("invoices", "overdue", "overdue", "An invoice is not paid though it is due."),
    becomes("invoices", "voided", "void", "An invoice was declared void."),
    becomes("projects", "completed", "completed", "A project is finished."),
    becomes("projects", "cancelled", "cancelled", "A project was given up."),
    becomes("jobs", "completed", "completed", "A job is done."),
    becomes("jobs", "cancelled", "cancelled", "A job is not to be done any more."),
    Rule {
        entity: "webhooks",
        name: "disabled",
        when: When::Turns("enabled", &["true"], "false"),
        description: "A webhook gets no events any more: somebody switched it off, or it failed for too long.",
    },
];

/// The rule for every table whose records have owners.
const ASSIGNED: &str = "assigned";

/// Of an event's type the part before the dot: the entity in the singular, without its schema.
pub fn noun(entity: &str) -> String {
    let name = entity.rsplit('.').next().unwrap_or(entity);
    let is_singular = ["series", "news", "ss", "us", "is"].iter().any(|end| name.ends_with(end));
    if let Some(stem) = name.strip_suffix("ies").filter(|stem| !is_singular && stem.len() > 1) {
        return format!("{stem}y");
    }
    let hissing = ["sses", "shes", "ches", "xes", "zes"].iter().any(|end| name.ends_with(end));
    match name.strip_suffix(if hissing { "es" } else { "s" }) {
        Some(stem) if !is_singular && !stem.is_empty() => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// The types that a table's records have events of, with what they mean.
pub fn types(entity: &str, has_owner: bool) -> Vec<(String, String)> {
    let noun = noun(entity);
    let mut types: Vec<_> = Change::ALL
        .iter()
        .map(|change| (format!("{noun}.{}", change.name()), format!("A row of {entity} was {}.", change.name())))
        .collect();
    if has_owner {
        types.push((format!("{noun}.{ASSIGNED}"), format!("A row of {entity} belongs to somebody else than before.")));
    }
    let rules = RULES.iter().filter(|rule| rule.entity == entity);
    types.extend(rules.map(|rule| (format!("{noun}.{}", rule.name), rule.description.to_owned())));
    types
}

/// The names of what an entry is: first what became of the record, then what that means.
pub fn names(entity: &str, change: Change, changed: &[String], before: &Object, after: &Object) -> Vec<&'static str> {
    let mut names = vec![change.name()];
    if change == Change::Deleted {
        return names;
    }
    let is_update = change == Change::Updated;
    let has_changed = |column: &str| changed.iter().any(|name| name == column);
    if is_update && has_changed("owner_id") && after.get("owner_id").is_some() {
        names.push(ASSIGNED);
    }
    let meant = RULES.iter().filter(|rule| rule.entity == entity).filter(|rule| match rule.when {
        When::Becomes(column, value) => (!is_update || has_changed(column)) && is(after, column, value),
        When::Turns(column, from, to) => {
            is_update
                && has_changed(column)
                && is(after, column, to)
                && from.iter().any(|value| is(before, column, value))
        }
        When::Changes(column) => is_update && has_changed(column) && after.get(column).is_some(),
    });
    names.extend(meant.map(|rule| rule.name));
    names
}

/// Whether a column holds this: a text, or a word of JSON.
fn is(image: &Object, column: &str, value: &str) -> bool {
    image.get(column).is_some_and(|json| json == value || json.trim_matches('"') == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(entity: &str, change: Change, changed: &[&str], before: &str, after: &str) -> Vec<&'static str> {
        let changed: Vec<_> = changed.iter().map(|&name| name.to_owned()).collect();
        names(entity, change, &changed, &Object::parse(before).unwrap(), &Object::parse(after).unwrap())
    }

    #[test]
    fn an_entity_has_a_singular() {
        for (entity, singular) in [
            ("contacts", "contact"),
            ("activities", "activity"),
            ("pipeline_stages", "pipeline_stage"),
            ("estimate_items", "estimate_item"),
            ("daily_metrics", "daily_metric"),
            ("number_series", "number_series"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("statuses", "statuse"),
            ("news", "news"),
            ("crm_private.api_keys", "api_key"),
            ("clinic.patients", "patient"),
            ("s", "s"),
            ("staff", "staff"),
        ] {
            assert_eq!(noun(entity), singular, "{entity}");
        }
    }

    #[test]
    fn a_change_is_named_and_what_it_means() {
        let won = named("deals", Change::Updated, &["status"], r#"{"status":"open"}"#, r#"{"status":"won"}"#);
        assert_eq!(won, ["updated", "won"]);
        let moved = named("deals", Change::Updated, &["stage_id"], r#"{"stage_id":"a"}"#, r#"{"stage_id":"b"}"#);
        assert_eq!(moved, ["updated", "stage_changed"]);
        let reopened = named("deals", Change::Updated, &["status"], r#"{"status":"lost"}"#, r#"{"status":"open"}"#);
        assert_eq!(reopened, ["updated", "reopened"]);
        assert_eq!(named("deals", Change::Updated, &["amount"], "{}", r#"{"amount":5,"status":"won"}"#), ["updated"]);
        assert_eq!(named("deals", Change::Created, &[], "{}", r#"{"status":"won"}"#), ["created", "won"]);
        assert_eq!(named("deals", Change::Deleted, &[], r#"{"status":"won"}"#, "{}"), ["deleted"]);
    }

    #[test]
    fn a_new_owner_is_told() {
        assert_eq!(
            named("patients", Change::Updated, &["owner_id"], "{}", r#"{"owner_id":"x"}"#),
            ["updated", "assigned"]
        );
        assert_eq!(named("patients", Change::Updated, &["owner_id"], r#"{"owner_id":"x"}"#, "{}"), ["updated"]);
        assert_eq!(named("patients", Change::Created, &[], "{}", r#"{"owner_id":"x"}"#), ["created"]);
    }

    #[test]
    fn a_word_of_json_is_compared_too() {
        let off = named("webhooks", Change::Updated, &["enabled"], r#"{"enabled":true}"#, r#"{"enabled":false}"#);
        assert_eq!(off, ["updated", "disabled"]);
    }

    #[test]
    fn every_type_is_told_once() {
        let mut types: Vec<_> = ["deals", "invoices", "tickets", "webhooks"]
            .iter()
            .flat_map(|entity| super::types(entity, true))
            .map(|(name, _)| name)
            .collect();
        let all = types.len();
        types.sort();
        types.dedup();
        assert_eq!(types.len(), all);
        assert!(types.contains(&"invoice.voided".to_owned()) && types.contains(&"deal.assigned".to_owned()));
    }
}

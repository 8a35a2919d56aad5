use crm_http_tests::entity::{Parent, Spec};

use super::parents::{ACCOUNT, ACTIVITY, CONTACT, DEAL, LEAD, PROJECT, TICKET};

const OTHER: Parent = Parent::new("other", "accounts", r#"{ "name": "Other {n}" }"#);

pub const SPEC: Spec = Spec {
    table: "activity_links",
    parents: &[ACTIVITY, ACCOUNT, CONTACT, LEAD, DEAL, TICKET, PROJECT, OTHER],
    least: r#"{ "activity_id": "{activity}", "account_id": "{own account}" }"#,
    variants: &[
        r#"{ "account_id": null, "contact_id": "{contact}" }"#,
        r#"{ "account_id": null, "lead_id": "{lead}" }"#,
        r#"{ "account_id": null, "deal_id": "{deal}" }"#,
        r#"{ "account_id": null, "ticket_id": "{ticket}" }"#,
        r#"{ "account_id": null, "project_id": "{project}" }"#,
    ],
    change: r#"{ "account_id": "{other}" }"#,
    keys: &[(
        &["activity_id", "account_id", "contact_id", "lead_id", "deal_id", "ticket_id", "project_id"],
        r#"{ "activity_id": "{activity}", "account_id": "{own account}" }"#,
    )],
    bad: &[("account_id", "null", "activity_links_one_record_check")],
    part_of: Some("activity"),
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::CONTACT;

pub const SPEC: Spec = Spec {
    table: "contact_emails",
    parents: &[CONTACT],
    least: r#"{ "contact_id": "{contact}", "email": "contact{n}@example.com" }"#,
    full: r#"{ "kind": "home", "email": " Contact{n}@Example.COM " }"#,
    stored: r#"{ "email": "contact{n}@example.com" }"#,
    change: r#"{ "kind": "other" }"#,
    sorted: &[("kind", &[r#""home""#, r#""other""#, r#""work""#])],
    keys: &[(&["email"], r#"{ "email": "key{n}@example.com" }"#)],
    bad: &[("kind", r#""mobile""#, "contact_emails_kind_check")],
    part_of: Some("contact"),
    ..Spec::NOTHING
};

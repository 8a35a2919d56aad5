use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL};

pub const SPEC: Spec = Spec {
    table: "estimates",
    parents: &[ACCOUNT, CONTACT, DEAL],
    least: r#"{ "title": "Estimate {n}", "status": "draft", "currency": "EUR" }"#,
    full: r#"{
        "account_id": "{account}", "contact_id": "{contact}", "deal_id": "{deal}", "issue_date": "2030-05-01",
        "valid_until": "2030-06-01", "notes": "Two\nlines, and a comma", "terms": "30 days"
    }"#,
    kept: r#"{
        "number": "FORGED", "subtotal": 1, "discount_total": 2, "tax_total": 3, "total": 4, "taxes": [{ "rate": 1 }],
        "sent_at": "2001-01-01T00:00:00Z", "accepted_at": "2001-01-01T00:00:00Z", "declined_at": "2001-01-01T00:00:00Z"
    }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("title", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("issue_date", &[r#""1999-12-31""#, r#""2029-05-01""#, r#""2030-01-01""#]),
        ("currency", &[r#""CHF""#, r#""EUR""#, r#""USD""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("currency", r#""EURO""#, "currency: "),
        ("issue_date", r#""1812-06-24""#, "estimates_issue_date_check"),
        ("valid_until", r#""1812-06-24""#, "estimates_valid_until_check"),
    ],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL};

pub const SPEC: Spec = Spec {
    table: "projects",
    parents: &[ACCOUNT, CONTACT, DEAL],
    least: r#"{ "name": "Project {n}" }"#,
    full: r#"{
        "description": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "status": "active", "starts_on": "2030-05-01", "ends_on": "2030-06-01", "budget": 15000.5,
        "currency": "eur", "account_id": "{account}", "contact_id": "{contact}", "deal_id": "{deal}"
    }"#,
    stored: r#"{ "description": "<p>Two<br>lines, <b>bold</b></p>", "currency": "EUR" }"#,
    kept: r#"{ "completed_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "name": "Changed {n}" }"#,
    sorted: &[
        ("name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("ends_on", &[r#""1999-12-31""#, r#""2029-05-01""#, r#""2030-01-01""#]),
        ("budget", &["0.5", "9", "10.25", "200"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("starts_on", r#""1812-06-24""#, "projects_starts_on_check"),
        ("ends_on", r#""2812-06-24""#, "projects_ends_on_check"),
        ("budget", "-0.01", "projects_budget_check"),
        ("currency", r#""EURO""#, "currency: "),
    ],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, PROJECT};

pub const SPEC: Spec = Spec {
    table: "jobs",
    parents: &[ACCOUNT, CONTACT, DEAL, PROJECT],
    least: r#"{ "title": "Job {n}" }"#,
    full: r#"{
        "description": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "type": "Repair", "status": "in_progress", "priority": "urgent",
        "scheduled_start": "2030-05-01T09:00:00Z", "scheduled_end": "2030-05-01T12:30:00Z", "assignee_id": "{me}",
        "street": "Street 1\nDoor 2", "city": "Zürich", "state": "ZH", "postal_code": "8001", "country": "ch", "price": 250.75,
        "currency": "chf", "project_id": "{project}", "account_id": "{account}", "contact_id": "{contact}", "deal_id": "{deal}"
    }"#,
    stored: r#"{ "description": "<p>Two<br>lines, <b>bold</b></p>", "country": "CH", "currency": "CHF" }"#,
    kept: r#"{ "completed_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("title", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("scheduled_start", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("price", &["0.5", "9", "10.25", "200"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("priority", r#""higher""#, "jobs_priority_check"),
        ("price", "-0.01", "jobs_price_check"),
        ("country", r#""XY""#, "country: "),
    ],
    ..Spec::NOTHING
};

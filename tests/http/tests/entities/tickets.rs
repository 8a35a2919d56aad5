use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT};

pub const SPEC: Spec = Spec {
    table: "tickets",
    parents: &[ACCOUNT, CONTACT],
    least: r#"{ "subject": "Ticket {n}" }"#,
    full: r#"{
        "description": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "status": "open", "priority": "urgent", "channel": "web", "type": "incident",
        "category": "Printers", "assignee_id": "{me}", "sla_due_at": "2030-05-01T09:30:00Z",
        "first_response_at": "2030-05-01T09:00:00Z", "satisfaction": 4, "account_id": "{account}", "contact_id": "{contact}"
    }"#,
    stored: r#"{ "description": "<p>Two<br>lines, <b>bold</b></p>" }"#,
    kept: r#"{ "number": 999999, "resolved_at": "2001-01-01T00:00:00Z", "closed_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "subject": "Changed {n}" }"#,
    sorted: &[
        ("subject", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("sla_due_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("priority", &[r#""high""#, r#""low""#, r#""normal""#, r#""urgent""#]),
        ("satisfaction", &["1", "3", "5"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("priority", r#""higher""#, "tickets_priority_check"),
        ("channel", r#""pigeon""#, "tickets_channel_check"),
        ("type", r#""other one""#, "tickets_type_check"),
        ("satisfaction", "6", "tickets_satisfaction_check"),
    ],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, LEAD, PROJECT, TICKET};

pub const SPEC: Spec = Spec {
    table: "activities",
    parents: &[ACCOUNT, CONTACT, LEAD, DEAL, TICKET, PROJECT],
    least: r#"{ "subject": "Activity {n}" }"#,
    full: r#"{
        "type": "call", "body": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "direction": "inbound", "outcome": "Connected",
        "occurred_at": "2030-05-01T09:30:00Z", "duration_minutes": 45,
        "account_id": "{account}", "contact_id": "{contact}", "lead_id": "{lead}", "deal_id": "{deal}",
        "ticket_id": "{ticket}", "project_id": "{project}"
    }"#,
    stored: r#"{ "body": "<p>Two<br>lines, <b>bold</b></p>" }"#,
    change: r#"{ "subject": "Changed {n}" }"#,
    sorted: &[
        ("subject", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("occurred_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("duration_minutes", &["1", "9", "10", "200"]),
        ("type", &[r#""call""#, r#""email""#, r#""meeting""#, r#""note""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("type", r#""Call""#, "activities_type_check"),
        ("direction", r#""up""#, "activities_direction_check"),
        ("duration_minutes", "-1", "activities_duration_minutes_check"),
    ],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, LEAD, PROJECT, TICKET};

pub const SPEC: Spec = Spec {
    table: "appointments",
    parents: &[ACCOUNT, CONTACT, LEAD, DEAL, TICKET, PROJECT],
    least: r#"{ "title": "Appointment {n}", "starts_at": "2030-05-01T09:00:00Z", "ends_at": "2030-05-01T10:00:00Z" }"#,
    full: r#"{
        "description": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "all_day": true, "time_zone": "Europe/Berlin", "location": "Room 1, \"Elbe\"",
        "meeting_url": "https://meet.example.com/x?y=z", "status": "tentative", "remind_at": "2030-05-01T08:45:00Z",
        "account_id": "{account}", "contact_id": "{contact}", "lead_id": "{lead}", "deal_id": "{deal}",
        "ticket_id": "{ticket}", "project_id": "{project}"
    }"#,
    stored: r#"{ "description": "<p>Two<br>lines, <b>bold</b></p>" }"#,
    change: r#"{ "location": "Changed {n}" }"#,
    sorted: &[
        ("title", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("starts_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("status", &[r#""completed""#, r#""confirmed""#, r#""tentative""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[("ends_at", r#""2030-05-01T08:59:59Z""#, "appointments_ends_after_start_check")],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, LEAD, PROJECT, TICKET};

pub const SPEC: Spec = Spec {
    table: "tasks",
    parents: &[ACCOUNT, CONTACT, LEAD, DEAL, TICKET, PROJECT],
    least: r#"{ "title": "Task {n}" }"#,
    full: r#"{
        "description": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "type": "follow_up", "status": "waiting", "priority": "urgent",
        "due_at": "2030-05-01T09:30:00Z", "remind_at": "2030-05-01T09:00:00Z", "assignee_id": "{me}",
        "repeat": "FREQ=WEEKLY;BYDAY=MO,TH",
        "account_id": "{account}", "contact_id": "{contact}", "lead_id": "{lead}", "deal_id": "{deal}",
        "ticket_id": "{ticket}", "project_id": "{project}"
    }"#,
    stored: r#"{ "description": "<p>Two<br>lines, <b>bold</b></p>" }"#,
    kept: r#"{ "completed_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("title", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("due_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("status", &[r#""in_progress""#, r#""open""#, r#""waiting""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("type", r#""errand""#, "tasks_type_check"),
        ("priority", r#""higher""#, "tasks_priority_check"),
        ("repeat", r#""weekly""#, "repeat: "),
    ],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, LEAD, TICKET};

pub const SPEC: Spec = Spec {
    table: "messages",
    parents: &[ACCOUNT, CONTACT, LEAD, DEAL, TICKET],
    least: r#"{ "body": "Message {n}" }"#,
    full: r#"{
        "channel": "sms", "direction": "inbound", "status": "received", "thread_id": "Thread 1", "from_address": "+44 20 7946 0958",
        "to_addresses": ["+49 30 123456", "Sales, \"Berlin\""], "cc_addresses": ["office@example.com"], "subject": "Hello, you",
        "body_html": "<p onclick=\"x()\">Two<br>lines, <b>bold</b></p><script>alert(1)</script>", "error": "None,\nso far", "sent_at": "2030-05-01T09:30:00Z", "received_at": "2030-05-01T09:31:00Z",
        "source_id": "<{n}@example.com>", "in_reply_to": "<x@example.com>",
        "account_id": "{account}", "contact_id": "{contact}", "lead_id": "{lead}", "deal_id": "{deal}", "ticket_id": "{ticket}"
    }"#,
    stored: r#"{ "body_html": "<p>Two<br>lines, <b>bold</b></p>" }"#,
    change: r#"{ "subject": "Changed {n}" }"#,
    sorted: &[
        ("subject", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("sent_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
        ("channel", &[r#""chat""#, r#""email""#, r#""phone""#, r#""whatsapp""#]),
    ],
    keys: &[
        (&["external_id"], r#"{ "external_id": "ERP {n}" }"#),
        (&["channel", "source_id"], r#"{ "channel": "chat", "source_id": "source {n}" }"#),
    ],
    bad: &[
        ("channel", r#""pigeon""#, "messages_channel_check"),
        ("direction", r#""up""#, "messages_direction_check"),
        ("direction", r#""inbound""#, "messages_status_of_direction_check"),
    ],
    ..Spec::NOTHING
};

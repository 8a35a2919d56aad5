use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, ACTIVITY, CONTACT, DEAL, ESTIMATE, INVOICE, JOB, LEAD, MESSAGE, PROJECT, TASK, TICKET};

pub const SPEC: Spec = Spec {
    table: "attachments",
    parents: &[ACCOUNT, CONTACT, LEAD, DEAL, ACTIVITY, TASK, TICKET, PROJECT, JOB, ESTIMATE, INVOICE, MESSAGE],
    least: r#"{ "file_name": "File {n}.pdf", "size_bytes": 1234, "storage_key": "files/{n}", "account_id": "{account}" }"#,
    full: r#"{
        "content_type": "Application/PDF", "storage_url": "https://files.example.com/x?y=z", "description": "Two\nlines, and a comma",
        "checksum_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    }"#,
    variants: &[
        r#"{ "account_id": null, "contact_id": "{contact}" }"#,
        r#"{ "account_id": null, "lead_id": "{lead}" }"#,
        r#"{ "account_id": null, "deal_id": "{deal}" }"#,
        r#"{ "account_id": null, "activity_id": "{activity}" }"#,
        r#"{ "account_id": null, "task_id": "{task}" }"#,
        r#"{ "account_id": null, "ticket_id": "{ticket}" }"#,
        r#"{ "account_id": null, "project_id": "{project}" }"#,
        r#"{ "account_id": null, "job_id": "{job}" }"#,
        r#"{ "account_id": null, "estimate_id": "{estimate}" }"#,
        r#"{ "account_id": null, "invoice_id": "{invoice}" }"#,
        r#"{ "account_id": null, "message_id": "{message}" }"#,
    ],
    stored: r#"{ "content_type": "application/pdf" }"#,
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[
        ("file_name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("size_bytes", &["1", "9", "10", "104857600"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("file_name", r#""../etc/passwd""#, "attachments_file_name_check"),
        ("content_type", r#""text/html""#, "attachments_content_type_check"),
        ("content_type", r#""image/svg+xml""#, "attachments_content_type_check"),
        ("size_bytes", "0", "attachments_size_bytes_check"),
        ("size_bytes", "104857601", "attachments_size_bytes_check"),
        ("checksum_sha256", r#""e3b0""#, "attachments_checksum_sha256_check"),
        ("account_id", "null", "attachments_one_record_check"),
    ],
    ..Spec::NOTHING
};

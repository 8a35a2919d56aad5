use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "notifications",
    least: r#"{ "user_id": "{me}", "kind": "mention", "title": "Notification {n}" }"#,
    full: r#"{
        "body": "Two\nlines, and a comma", "entity": "deals", "record_id": "{org}", "read_at": "2030-05-01T09:30:00Z"
    }"#,
    change: r#"{ "read_at": "2030-05-01T09:30:00+00:00" }"#,
    sorted: &[
        ("kind", &[r#""mention""#, r#""task_due""#]),
        ("read_at", &[r#""1999-12-31T23:59:59Z""#, r#""2029-05-01T00:00:00Z""#, r#""2030-01-01T00:00:00Z""#]),
    ],
    bad: &[
        ("kind", r#""Task due""#, "kind: "),
        ("record_id", r#""00000000-0000-0000-0000-000000000000""#, "notifications_names_"),
    ],
    points_anywhere: &["record_id"],
    personal: true,
    ..Spec::NOTHING
};

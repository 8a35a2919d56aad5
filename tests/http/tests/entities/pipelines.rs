use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "pipelines",
    least: r#"{ "name": "Pipeline {n}" }"#,
    full: r#"{ "description": "Two\nlines, and a comma", "position": 7, "archived_at": "2030-05-01T09:30:00Z" }"#,
    variants: &[r#"{ "is_default": true }"#],
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[("position", &["1", "9", "10", "200"])],
    keys: &[(&["name"], r#"{ "name": "Key {n}" }"#), (&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    ..Spec::NOTHING
};

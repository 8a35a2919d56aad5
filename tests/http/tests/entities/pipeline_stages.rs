use crm_http_tests::entity::{Parent, Spec};

const PIPELINE: Parent = Parent::new("pipeline", "pipelines", r#"{ "name": "Pipeline {n}" }"#);

pub const SPEC: Spec = Spec {
    table: "pipeline_stages",
    parents: &[PIPELINE],
    least: r#"{ "pipeline_id": "{pipeline}", "name": "Stage {n}" }"#,
    full: r#"{
        "position": 7, "probability": 40, "kind": "lost", "rotting_days": 30, "description": "Two\nlines, and a comma"
    }"#,
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[("position", &["1", "9", "10", "200"]), ("probability", &["0", "9", "10", "100"])],
    keys: &[
        (&["pipeline_id", "name"], r#"{ "name": "Key {n}" }"#),
        (&["external_id"], r#"{ "external_id": "ERP {n}" }"#),
    ],
    bad: &[
        ("kind", r#""undecided""#, "pipeline_stages_kind_check"),
        ("probability", "101", "pipeline_stages_probability_check"),
        ("rotting_days", "0", "pipeline_stages_rotting_days_check"),
    ],
    ..Spec::NOTHING
};

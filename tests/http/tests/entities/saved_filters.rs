use crm_http_tests::entity::{Parent, Spec};

const GROUP: Parent = Parent::new("group", "groups", r#"{ "name": "Group {n}" }"#);

pub const SPEC: Spec = Spec {
    table: "saved_filters",
    parents: &[GROUP],
    least: r#"{ "entity": "contacts", "name": "Filter {n}", "visibility": "organization" }"#,
    full: r#"{
        "visibility": "team", "group_id": "{group}", "query": "city=ilike.*berlin*&status=eq.active",
        "definition": { "all": [{ "field": "city", "is": "Berlin" }] }, "shown_columns": ["last_name", "city"],
        "sort": "created_at.desc,id.desc", "is_pinned": true
    }"#,
    variants: &[r#"{ "visibility": "team", "group_id": "{group}" }"#],
    change: r#"{ "query": "city=eq.{n}" }"#,
    sorted: &[("entity", &[r#""accounts""#, r#""contacts""#, r#""deals""#]), ("is_pinned", &["false", "true"])],
    keys: &[(&["owner_id", "entity", "name"], r#"{ "owner_id": "{me}", "entity": "deals", "name": "Key {n}" }"#)],
    bad: &[
        ("visibility", r#""public""#, "saved_filters_visibility_check"),
        ("visibility", r#""team""#, "saved_filters_team_has_group_check"),
        ("definition", "[]", "saved_filters_definition_check"),
        ("entity", r#""Contacts of mine""#, "entity: "),
    ],
    ..Spec::NOTHING
};

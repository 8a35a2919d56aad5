use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "tags",
    least: r#"{ "name": "Tag {n}" }"#,
    full: r##"{ "color": "#FF8800", "description": "Two\nlines, and a comma" }"##,
    stored: r##"{ "name_key": "tag {n}", "color": "#ff8800" }"##,
    kept: r#"{ "name_key": "forged" }"#,
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[("color", &[r##""#000000""##, r##""#0000ff""##, r##""#ff0000""##])],
    keys: &[(&["name"], r#"{ "name": "Key {n}" }"#), (&["name_key"], r#"{ "name": "Other key {n}" }"#)],
    bad: &[("name", r#""a,b""#, "name: "), ("name", r#""a{b}""#, "name: "), ("color", r#""red""#, "color: ")],
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::CONTACT;

pub const SPEC: Spec = Spec {
    table: "contact_phones",
    parents: &[CONTACT],
    least: r#"{ "contact_id": "{own contact}", "phone": "+44 20 7946 0958" }"#,
    full: r#"{ "kind": "mobile", "phone": "+49 30 123456" }"#,
    stored: r#"{ "phone_normalized": "+4930123456" }"#,
    kept: r#"{ "phone_normalized": "+16502530000" }"#,
    change: r#"{ "kind": "fax" }"#,
    sorted: &[("kind", &[r#""home""#, r#""mobile""#, r#""work""#])],
    keys: &[(&["contact_id", "phone"], r#"{ "contact_id": "{own contact}", "phone": "+1 650 253 0000" }"#)],
    bad: &[("kind", r#""pager""#, "contact_phones_kind_check")],
    part_of: Some("contact"),
    ..Spec::NOTHING
};

use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT};

pub const SPEC: Spec = Spec {
    table: "contact_accounts",
    parents: &[CONTACT, ACCOUNT],
    least: r#"{ "contact_id": "{own contact}", "account_id": "{account}" }"#,
    full: r#"{ "role": "Board, \"chair\"" }"#,
    change: r#"{ "role": "Changed {n}" }"#,
    sorted: &[("role", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#])],
    keys: &[(&["contact_id", "account_id"], r#"{ "contact_id": "{own contact}", "account_id": "{account}" }"#)],
    part_of: Some("contact"),
    ..Spec::NOTHING
};

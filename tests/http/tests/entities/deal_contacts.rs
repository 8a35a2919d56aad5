use crm_http_tests::entity::Spec;

use super::parents::{CONTACT, DEAL};

pub const SPEC: Spec = Spec {
    table: "deal_contacts",
    parents: &[DEAL, CONTACT],
    least: r#"{ "deal_id": "{deal}", "contact_id": "{own contact}" }"#,
    full: r#"{ "role": "Decides, \"alone\"" }"#,
    change: r#"{ "role": "Changed {n}" }"#,
    sorted: &[("role", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#])],
    keys: &[(&["deal_id", "contact_id"], r#"{ "deal_id": "{deal}", "contact_id": "{own contact}" }"#)],
    part_of: Some("deal"),
    ..Spec::NOTHING
};

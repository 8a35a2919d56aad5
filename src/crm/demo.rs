//! `crm.load_demo`.

use pgrx::JsonB;
use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::access::roles::OWNER;
use crate::db;
use crate::error::Result;
use crate::gucs;
use crate::identity::accounts::{add_member, create_organization, create_user};
use crate::identity::principal::{ActiveOrganization, Principal, to_pg};

const DATA: &str = include_str!("../../sql/crm/demo_data.sql");

const USERS: [(&str, &str, &str); 6] = [
    ("owner@demo.example", "Olivia Owner", "owner"),
    ("admin@demo.example", "Adam Admin", "admin"),
    ("manager@demo.example", "Mia Manager", "manager"),
    ("sales@demo.example", "Sven Sales", "sales"),
    ("support@demo.example", "Sara Support", "support"),
    ("viewer@demo.example", "Vera Viewer", "read_only"),
];

#[pg_extern(sql = false)]
fn load_demo(password: Option<&str>) -> Result<JsonB, ErrorReport> {
    if already_loaded()? {
        return Ok(JsonB(json!({ "already_loaded": true })));
    }
    let password = password.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let organization = create_organization("Demo")?;
    let mut owner = None;
    for (email, full_name, role) in USERS {
        let user = create_user(email, Some(&password), Some(full_name))?;
        add_member(organization, user, role)?;
        owner.get_or_insert(user);
    }
    let (accounts, contacts) = match owner {
        Some(owner) => fill(organization, owner)?,
        None => (0, 0),
    };
    Ok(JsonB(json!({
        "organization": organization,
        "password": password,
        "users": USERS.map(|(email, _, role)| json!({ "email": email, "role": role })),
        "accounts": accounts,
        "contacts": contacts,
    })))
}

fn already_loaded() -> Result<bool> {
    db::select(
        "select exists (select from crm.users where email = $1)",
        &[PgBuiltInOids::TEXTOID],
        &[USERS[0].0.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// Writes the records as the owner would, then gives the transaction its own identity back. Tells how many accounts and
/// contacts there are.
fn fill(organization: Uuid, owner: Uuid) -> Result<(i64, i64)> {
    let before = gucs::identity().unwrap_or_default();
    let active = ActiveOrganization { id: organization, role: Some(OWNER.into()), country: None };
    Principal { user_id: Some(owner), organization: Some(active), ..Principal::default() }.assume()?;
    db::run(DATA)?;
    let counts = (
        count("select count(*) from crm.accounts where org_id = $1", organization)?,
        count("select count(*) from crm.contacts where org_id = $1", organization)?,
    );
    gucs::set_identity(&before);
    Ok(counts)
}

fn count(query: &'static str, organization: Uuid) -> Result<i64> {
    db::select(query, &[PgBuiltInOids::UUIDOID], &[to_pg(organization).into()], |rows| {
        Ok(rows.first().get_one::<i64>()?.unwrap_or(0))
    })
}

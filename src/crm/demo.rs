//! `crm.load_demo`.

use pgrx::JsonB;
use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db;
use crate::error::{CrmError, Result};
use crate::gucs;
use crate::identity::accounts::{add_member, create_organization, create_user};
use crate::identity::principal::{Principal, to_pg};

macro_rules! statements {
    ($($name:literal),+ $(,)?) => { [$(include_str!(concat!("../../sql/crm/demo/", $name, ".sql"))),+] };
}

/// Run in this order, with the organization as $1 and the scale as $2.
const STATEMENTS: [&str; 25] = statements![
    "groups",
    "tags",
    "custom_fields",
    "accounts",
    "account_parents",
    "contacts",
    "contact_phones",
    "leads",
    "deals",
    "projects",
    "jobs",
    "tickets",
    "activities",
    "tasks",
    "appointments",
    "messages",
    "estimates",
    "estimates_sent",
    "estimates_answered",
    "invoices",
    "invoices_sent",
    "payments",
    "daily_metrics",
    "notifications",
    "saved_filters",
];

/// What is counted in the answer.
const TABLES: [&str; 12] = [
    "accounts",
    "activities",
    "appointments",
    "contacts",
    "deals",
    "estimates",
    "invoices",
    "leads",
    "messages",
    "projects",
    "tasks",
    "tickets",
];

const USERS: [(&str, &str, &str); 6] = [
    ("owner@demo.example", "Olivia Owner", "owner"),
    ("admin@demo.example", "Adam Admin", "admin"),
    ("manager@demo.example", "Mia Manager", "manager"),
    ("sales@demo.example", "Sven Sales", "sales"),
    ("support@demo.example", "Sara Support", "support"),
    ("viewer@demo.example", "Vera Viewer", "read_only"),
];

const MAX_SCALE: i32 = 10_000;

#[pg_extern(sql = false)]
fn load_demo(password: Option<&str>, scale: Option<i32>) -> Result<JsonB, ErrorReport> {
    let scale = scale.unwrap_or(1);
    if !(1..=MAX_SCALE).contains(&scale) {
        return Err(CrmError::invalid("scale", format!("must be between 1 and {MAX_SCALE}")).into());
    }
    if already_loaded()? {
        return Ok(JsonB(json!({ "already_loaded": true })));
    }
    let password = password.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let organization = create_organization("Demo")?;
    // More of everything than the free plan has.
    db::execute("update crm.organizations set plan = 'enterprise' where id = $1", &[to_pg(organization).into()])?;
    for (email, full_name, role) in USERS {
        let user = create_user(email, Some(&password), Some(full_name))?;
        add_member(organization, user, role)?;
    }
    let mut answer = json!({
        "organization": organization,
        "password": password,
        "users": USERS.map(|(email, _, role)| json!({ "email": email, "role": role })),
    });
    for (table, rows) in fill(organization, scale)? {
        answer[table] = Value::from(rows);
    }
    Ok(JsonB(answer))
}

fn already_loaded() -> Result<bool> {
    db::select(
        "select exists (select from crm.users where email = $1)",
        &[PgBuiltInOids::TEXTOID],
        &[USERS[0].0.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// Writes the records with the tables' owner's rights and nobody's identity, so that they can be of the last months; then gives
/// the transaction its own identity back. Tells how many there are.
fn fill(organization: Uuid, scale: i32) -> Result<Vec<(&'static str, i64)>> {
    let before = gucs::identity().unwrap_or_default();
    Principal::forget();
    let counts = db::load_as_owner_of(c"crm", c"organizations", || {
        for statement in STATEMENTS {
            db::execute(statement, &[to_pg(organization).into(), scale.into()])?;
        }
        TABLES.iter().map(|table| Ok((*table, count(table, organization)?))).collect()
    });
    gucs::set_identity(&before);
    counts
}

fn count(table: &str, organization: Uuid) -> Result<i64> {
    let query = format!("select count(*) from crm.{table} where org_id = $1");
    db::write(&query, &[to_pg(organization).into()], |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)))
}

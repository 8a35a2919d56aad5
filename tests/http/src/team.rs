//! Roles and groups that an organization makes for itself.

use serde_json::json;
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::unique;

/// A name that a role may have, and nobody has had before.
pub fn role_name() -> String {
    unique("role").replace('-', "_")
}

/// A new role of the organization in which this person works; gives its name.
#[track_caller]
pub fn role(administrator: &Actor, rank: i32, permissions: &[(&str, &str)]) -> String {
    let name = role_name();
    administrator.post("/roles", &json!({ "name": name, "rank": rank })).expect(201);
    for (permission, scope) in permissions {
        widen(administrator, &name, permission, scope);
    }
    name
}

/// Adds a permission to a role; gives the id of the row.
#[track_caller]
pub fn widen(administrator: &Actor, role: &str, permission: &str, scope: &str) -> Uuid {
    let row = json!({ "role": role, "permission": permission, "scope": scope });
    id_of(&administrator.insert("role_permissions", &row))
}

/// A new group of these people.
#[track_caller]
pub fn group(administrator: &Actor, people: &[&Actor]) -> Uuid {
    let group = id_of(&administrator.insert("groups", &json!({ "name": unique("group") })));
    for person in people {
        put_into(administrator, group, person);
    }
    group
}

/// Gives the id of the row of group_members.
#[track_caller]
pub fn put_into(administrator: &Actor, group: Uuid, person: &Actor) -> Uuid {
    id_of(&administrator.insert("group_members", &json!({ "group_id": group, "user_id": person.user })))
}

/// Deletes a row that has to be there.
#[track_caller]
pub fn take_away(administrator: &Actor, table: &str, id: Uuid) {
    let gone = administrator.delete(&format!("/{table}?id=eq.{id}")).expect(200);
    assert_eq!(gone.rows().len(), 1, "{gone}");
}

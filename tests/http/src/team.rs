//! Roles and groups that an organization makes for itself, and the roles of its members.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::http::{Response, text};
use crate::{admin, unique};

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

pub fn set_role(administrator: &Actor, member: &Actor, role: &str) -> Response {
    administrator.post("/rpc/set_member_role", &json!({ "user_id": member.user, "role": role }))
}

pub fn remove(administrator: &Actor, member: &Actor) -> Response {
    administrator.post("/rpc/remove_member", &json!({ "user_id": member.user }))
}

/// Somebody new who has a role with just these permissions.
#[track_caller]
pub fn member_with(owner: &Actor, rank: i32, permissions: &[(&str, &str)]) -> Actor {
    let member = Actor::member(&owner.organization, "read_only");
    set_role(owner, &member, &role(owner, rank, permissions)).expect(200);
    member
}

/// Role and status, as stored.
#[track_caller]
pub fn membership(owner: &Actor, member: &Actor) -> (String, String) {
    let stored: Value = admin::value(
        "select jsonb_build_array(role, status) from crm.memberships where org_id = $1 and user_id = $2",
        &[&owner.organization.id, &member.user],
    );
    (text(&stored[0]), text(&stored[1]))
}

/// 403: the caller may not do this.
pub fn refused(answer: &Response) -> Result<(), String> {
    refused_with(answer, 403, "42501")
}

/// 400: an argument names what is not there.
pub fn not_there(answer: &Response) -> Result<(), String> {
    refused_with(answer, 400, "22023")
}

/// 409: an organization keeps its last owner.
pub fn last_owner(answer: &Response) -> Result<(), String> {
    refused_with(answer, 409, "23503")
}

fn refused_with(answer: &Response, status: u16, code: &str) -> Result<(), String> {
    let fits = (answer.status, answer.code().as_str()) == (status, code);
    if fits { Ok(()) } else { Err(format!("{status} {code} expected: {answer}")) }
}

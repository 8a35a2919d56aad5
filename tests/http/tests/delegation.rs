//! Nobody grants what they lack, nor touches what is above them: roles, permissions, groups, invitations, keys.

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::team::{member_with, membership, refused, remove, set_role};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, team, unique};
use serde_json::{Value, json};

fn address() -> String {
    format!("{}@example.com", unique("invited"))
}

#[test]
fn nobody_sees_the_roles_above_theirs() {
    let owner = Actor::register();
    let high = team::role(&owner, 90, &[("contacts.read", "all")]);
    let low = team::role(&owner, 5, &[("contacts.read", "own")]);
    team::widen(&owner, "admin", "contacts.read", "all");
    let group = team::group(&owner, &[]);
    for role in ["admin", "sales", &high, &low] {
        owner.insert("group_roles", &json!({ "group_id": group, "role": role }));
    }
    let built_in = ["owner", "admin", "manager", "sales", "support", "read_only"];
    for (role, built_in) in [("owner", &built_in[..]), ("admin", &built_in[1..]), ("sales", &built_in[3..])] {
        let actor = Actor::member(&owner.organization, role);
        let sees_high = role == "owner";
        let mut expected: Vec<_> = built_in.iter().map(|&name| name.to_owned()).collect();
        expected.push(low.clone());
        if sees_high {
            expected.push(high.clone());
        }
        expected.sort();
        let mut names = actor.get("/roles").expect(200).column("name");
        names.sort();
        assert_eq!(names, expected, "{role}");
        for (table, all) in [("role_permissions", vec![&high, &low]), ("group_roles", vec![&high, &low])] {
            let rows = actor.get(&format!("/{table}")).expect(200).column("role");
            let sees_table = table == "role_permissions" || role != "sales";
            for name in all {
                assert_eq!(rows.contains(name), sees_table && (sees_high || *name == low), "{role} {table} {name}");
            }
        }
    }
    let administrator = Actor::member(&owner.organization, "admin");
    let before =
        admin::value::<i64>("select sum(version)::bigint from crm.roles where org_id = $1", &[&owner.organization.id]);
    for path in
        [format!("/roles?name=eq.{high}"), "/roles?name=eq.owner".into(), format!("/role_permissions?role=eq.{high}")]
    {
        assert_eq!(administrator.delete(&path).expect(200).text(), "[]");
    }
    assert_eq!(administrator.patch(&format!("/roles?name=eq.{high}"), &json!({ "rank": 1 })).expect(200).text(), "[]");
    all(
        [
            administrator.post("/roles", &json!({ "name": team::role_name(), "rank": 81 })),
            administrator.patch(&format!("/roles?name=eq.{low}"), &json!({ "rank": 81 })),
            administrator.post("/role_permissions", &json!({ "role": high, "permission": "contacts.read" })),
            administrator.patch(&format!("/role_permissions?role=eq.{low}"), &json!({ "role": high })),
            administrator.post("/group_roles", &json!({ "group_id": team::group(&owner, &[]), "role": high })),
            set_role(&administrator, &administrator, &high),
        ],
        |answer| refused(&answer),
    );
    let after =
        admin::value::<i64>("select sum(version)::bigint from crm.roles where org_id = $1", &[&owner.organization.id]);
    assert_eq!(after, before);
}

/// Somebody has the roles of their groups too.
#[test]
fn nobody_changes_or_removes_a_member_whose_group_has_a_role_above_theirs() {
    let owner = Actor::register();
    let personnel = member_with(&owner, 50, &[("memberships.*", "all")]);
    let (member, nothing) = (Actor::member(&owner.organization, "sales"), team::role(&owner, 1, &[]));
    let group = team::group(&owner, &[&member]);
    let given = owner.insert("group_roles", &json!({ "group_id": group, "role": "admin" }));
    all([set_role(&personnel, &member, &nothing), remove(&personnel, &member)], |answer| refused(&answer));
    assert_eq!(membership(&owner, &member), ("sales".into(), "active".into()));
    team::take_away(&owner, "group_roles", id_of(&given));
    set_role(&personnel, &member, &nothing).expect(200);
    remove(&personnel, &member).expect(200);
}

#[test]
fn who_may_give_roles_but_has_little_raises_nobody() {
    let owner = Actor::register();
    let staff = [("memberships.*", "all"), ("invitations.*", "all"), ("contacts.read", "team"), ("*.read", "own")];
    let personnel = member_with(&owner, 50, &staff);
    let [manager, sales, reader] =
        ["manager", "sales", "read_only"].map(|role| Actor::member(&owner.organization, role));
    let less = team::role(&owner, 10, &[("contacts.read", "team"), ("accounts.read", "own")]);
    let wider = team::role(&owner, 10, &[("contacts.read", "all")]);
    let more = team::role(&owner, 10, &[("contacts.read", "own"), ("contacts.update", "own")]);
    let above = team::role(&owner, 51, &[]);
    let mut attempts = vec![set_role(&personnel, &manager, &less), remove(&personnel, &manager)];
    for person in [&reader, &sales, &personnel] {
        for role in ["owner", "admin", "manager", "sales", "support", "read_only", &wider, &more, &above] {
            attempts.push(set_role(&personnel, person, role));
        }
    }
    for role in ["owner", "admin", "sales", &wider, &more, &above] {
        attempts.push(personnel.post("/rpc/invite_user", &json!({ "email": address(), "role": role })));
    }
    all(attempts, |answer| refused(&answer));
    assert_eq!(membership(&owner, &reader).0, "read_only");
    // What they have, they give; also with their own role.
    set_role(&personnel, &reader, &less).expect(200);
    set_role(&personnel, &sales, &membership(&owner, &personnel).0).expect(200);
    personnel.post("/rpc/invite_user", &json!({ "email": address(), "role": less })).expect(200);
    remove(&personnel, &reader).expect(200);
}

#[test]
fn who_may_make_roles_and_groups_but_has_little_gives_no_more() {
    let owner = Actor::with_contacts(1);
    let mut permissions: Vec<_> =
        ["roles.*", "role_permissions.*", "groups.*", "group_members.*", "group_permissions.*"]
            .map(|permission| (permission, "all"))
            .into();
    permissions.extend([("group_roles.*", "all"), ("contacts.read", "team")]);
    let keeper = member_with(&owner, 30, &permissions);
    let own_role = membership(&owner, &keeper).0;
    let wide = team::role(&owner, 10, &[("contacts.read", "all")]);
    let group = team::group(&owner, &[]);
    let rich = team::group(&owner, &[]);
    owner.insert("group_permissions", &json!({ "group_id": rich, "permission": "contacts.*", "scope": "own" }));
    let put = |table: &str, row: Value| keeper.post(&format!("/{table}"), &row);
    let attempts = [
        put("role_permissions", json!({ "role": own_role, "permission": "contacts.read", "scope": "all" })),
        put("role_permissions", json!({ "role": own_role, "permission": "contacts.update", "scope": "own" })),
        put("role_permissions", json!({ "role": own_role, "permission": "contacts.*", "scope": "own" })),
        put("role_permissions", json!({ "role": own_role, "permission": "*.*", "scope": "own" })),
        put("role_permissions", json!({ "role": "sales", "permission": "contacts.read", "scope": "team" })),
        put("group_permissions", json!({ "group_id": group, "permission": "contacts.read", "scope": "all" })),
        put("group_permissions", json!({ "group_id": group, "permission": "*.read", "scope": "own" })),
        put("group_roles", json!({ "group_id": group, "role": wide })),
        put("group_roles", json!({ "group_id": group, "role": "read_only" })),
        put("group_roles", json!({ "group_id": group, "role": "admin" })),
        // A group that has more, and people whose rows a team's reader would see then.
        put("group_members", json!({ "group_id": rich, "user_id": keeper.user })),
        put("group_members", json!({ "group_id": group, "user_id": keeper.user })),
    ];
    all(attempts, |answer| refused(&answer));
    assert_eq!(keeper.count("contacts"), 0);
    put("role_permissions", json!({ "role": own_role, "permission": "contacts.read", "scope": "own" })).expect(409);
    put("group_permissions", json!({ "group_id": group, "permission": "contacts.read", "scope": "team" })).expect(201);
    let upsert = keeper
        .request("POST", "/group_permissions?on_conflict=org_id,group_id,permission")
        .prefer("resolution=merge-duplicates")
        .json(&json!({ "group_id": group, "permission": "contacts.read", "scope": "all" }));
    refused(&upsert.send()).unwrap();
    let widened = keeper.patch(&format!("/group_permissions?group_id=eq.{group}"), &json!({ "scope": "all" }));
    refused(&widened).unwrap();
    let moved = keeper.patch(&format!("/group_permissions?group_id=eq.{group}"), &json!({ "permission": "*.*" }));
    refused(&moved).unwrap();
}

// ---------------------------------------------------------------------------------------------- invitations and keys

#[test]
fn an_invitation_to_a_role_that_grew_beyond_the_inviter_or_went_is_good_no_more() {
    let owner = Actor::register();
    let permissions = [("invitations.create", "all"), ("memberships.read", "all"), ("contacts.read", "team")];
    for change in ["permission", "rank", "deleted", "demoted", "nothing"] {
        let inviter = member_with(&owner, 50, &permissions);
        let role = team::role(&owner, 10, &[("contacts.read", "own")]);
        let email = address();
        inviter.post("/rpc/invite_user", &json!({ "email": email, "role": role })).expect(200);
        match change {
            "permission" => drop(team::widen(&owner, &role, "contacts.update", "own")),
            "rank" => drop(owner.patch(&format!("/roles?name=eq.{role}"), &json!({ "rank": 60 })).expect(200)),
            "deleted" => drop(owner.delete(&format!("/roles?name=eq.{role}")).expect(200)),
            "demoted" => drop(set_role(&owner, &inviter, &role).expect(200)),
            _ => (),
        }
        let arguments = json!({ "token": token_to(&email, "invitation"), "password": unique(PASSWORD_PREFIX) });
        let answer = anonymous("POST", "/rpc/accept_invitation").json(&arguments).send();
        let expected = if change == "nothing" { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{change}: {answer}");
    }
}

#[test]
fn nobody_makes_a_key_that_may_do_more_than_they() {
    let owner = Actor::register();
    let own = [
        ("api_keys.*", "all"),
        ("contacts.read", "all"),
        ("contacts.update", "team"),
        ("contacts.create", "own"),
        ("accounts.*", "all"),
    ];
    let maker = member_with(&owner, 30, &own);
    let make = |scopes: &[&str]| maker.post("/rpc/create_api_key", &json!({ "name": "Key", "scopes": scopes }));
    // A key reaches all rows: what one has for some of them is not enough.
    let beyond: [&[&str]; 9] = [
        &["contacts.update"],
        &["contacts.create"],
        &["contacts.delete"],
        &["contacts.*"],
        &["*.read"],
        &["*.*"],
        &["roles.create"],
        &["contacts.read", "contacts.update"],
        &["nothing.read"],
    ];
    all(beyond, |scopes| refused(&make(scopes)).map_err(|problem| format!("{scopes:?}: {problem}")));
    let kept: i64 =
        admin::value("select count(*) from crm_private.api_keys where org_id = $1", &[&owner.organization.id]);
    assert_eq!(kept, 0);
    let granted: [&[&str]; 4] =
        [&["contacts.read"], &["accounts.*"], &["accounts.delete", "contacts.read"], &["api_keys.read"]];
    all(granted, |scopes| {
        let answer = make(scopes);
        if answer.status == 200 { Ok(()) } else { Err(format!("{scopes:?}: {answer}")) }
    });
}

//! Members of an organization over HTTP: their roles, how they leave, and what nobody can make of themselves or others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, invite, many};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, team, unique};
use serde_json::{Value, json};
use uuid::Uuid;

fn set_role(who: &Actor, member: &Actor, role: &str) -> Response {
    who.post("/rpc/set_member_role", &json!({ "user_id": member.user, "role": role }))
}

fn remove(who: &Actor, member: &Actor) -> Response {
    who.post("/rpc/remove_member", &json!({ "user_id": member.user }))
}

fn leave(who: &Actor) -> Response {
    who.post("/rpc/leave_organization", &json!({}))
}

/// role and status, as stored.
fn membership(organization: &Actor, member: &Actor) -> (String, String) {
    let stored: Value = admin::value(
        "select jsonb_build_array(role, status) from crm.memberships where org_id = $1 and user_id = $2",
        &[&organization.organization.id, &member.user],
    );
    (text(&stored[0]), text(&stored[1]))
}

fn role_of(organization: &Actor, member: &Actor) -> String {
    membership(organization, member).0
}

fn refused(answer: &Response, status: u16, code: &str) -> Result<(), String> {
    let fits = (answer.status, answer.code().as_str()) == (status, code);
    if fits { Ok(()) } else { Err(format!("{status} {code} expected: {answer}")) }
}

fn forbidden(answer: &Response) -> Result<(), String> {
    refused(answer, 403, "42501")
}

/// 23503: an organization keeps its last owner.
fn last_owner(answer: &Response) -> Result<(), String> {
    refused(answer, 409, "23503")
}

fn address() -> String {
    format!("{}@example.com", unique("invited"))
}

/// A member of a role that the organization made.
fn with_own_role(owner: &Actor, rank: i32, permissions: &[(&str, &str)]) -> Actor {
    let member = Actor::member(&owner.organization, "read_only");
    set_role(owner, &member, &team::role(owner, rank, permissions)).expect(200);
    member
}

// ---------------------------------------------------------------------------------------------- roles of members

#[test]
fn an_owner_gives_a_member_another_role_and_it_counts_at_the_next_request() {
    let owner = Actor::with_contacts(1);
    let member = Actor::member(&owner.organization, "sales");
    assert_eq!(member.count("contacts"), 0);
    for (role, sees) in [("support", 1), ("sales", 0), ("admin", 1), ("manager", 0), ("owner", 1), ("read_only", 1)] {
        let answer = set_role(&owner, &member, role).expect(200).json();
        assert_eq!(answer, json!({ "user_id": member.user, "role": role }));
        assert_eq!(member.get("/rpc/whoami").expect(200).json()["role"], role);
        assert_eq!(member.count("contacts"), sees, "{role}");
    }
}

#[test]
fn an_administrator_gives_roles_up_to_their_own_and_touches_no_owner() {
    let owner = Actor::register();
    let [administrator, member, co_owner] =
        ["admin", "sales", "owner"].map(|role| Actor::member(&owner.organization, role));
    for role in ["admin", "read_only", "manager"] {
        set_role(&administrator, &member, role).expect(200);
        assert_eq!(role_of(&owner, &member), role);
    }
    let attempts = [
        set_role(&administrator, &member, "owner"),
        set_role(&administrator, &administrator, "owner"),
        set_role(&administrator, &co_owner, "sales"),
        set_role(&administrator, &co_owner, "owner"),
        remove(&administrator, &co_owner),
        administrator.post("/rpc/invite_user", &json!({ "email": address(), "role": "owner" })),
        administrator.post("/group_roles", &json!({ "group_id": team::group(&owner, &[]), "role": "owner" })),
    ];
    all(attempts, |answer| forbidden(&answer));
    assert_eq!((role_of(&owner, &co_owner), role_of(&owner, &member)), ("owner".into(), "manager".into()));
    assert_eq!(membership(&owner, &administrator), ("admin".into(), "active".into()));
    // An owner does all of it.
    set_role(&owner, &administrator, "owner").expect(200);
    set_role(&administrator, &co_owner, "sales").expect(200);
    remove(&administrator, &co_owner).expect(200);
}

#[test]
fn nobody_administers_members_without_the_permission_or_elsewhere() {
    let (owner, other) = (Actor::register(), Actor::register());
    let member = Actor::member(&owner.organization, "sales");
    all(["manager", "sales", "support", "read_only"], |role| {
        let actor = Actor::member(&owner.organization, role);
        for answer in
            [set_role(&actor, &member, "read_only"), set_role(&actor, &actor, "owner"), remove(&actor, &member)]
        {
            forbidden(&answer)?;
        }
        Ok(())
    });
    // A member of one's own organization is nobody in another.
    for answer in [set_role(&other, &member, "read_only"), remove(&other, &member), set_role(&owner, &other, "sales")] {
        refused(&answer, 400, "22023").unwrap();
    }
    let both = Actor::register();
    both.join(&owner.organization, "admin");
    let across = both.logged_in(None);
    for function in ["set_member_role", "remove_member"] {
        let arguments = match function {
            "set_member_role" => json!({ "user_id": member.user, "role": "read_only" }),
            _ => json!({ "user_id": member.user }),
        };
        across.post(&format!("/rpc/{function}"), &arguments).expect(403);
        anonymous("POST", &format!("/rpc/{function}")).json(&arguments).send().expect(401);
    }
    refused(&leave(&across), 400, "22023").unwrap();
    anonymous("POST", "/rpc/leave_organization").json(&json!({})).send().expect(401);
    assert_eq!(membership(&owner, &member), ("sales".into(), "active".into()));
    assert_eq!(membership(&owner, &both), ("admin".into(), "active".into()));
}

#[test]
fn an_owner_is_told_which_argument_is_wrong() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "sales");
    for (function, arguments, status, word) in [
        ("set_member_role", json!({ "user_id": member.user, "role": "nobodys" }), 400, "role:"),
        ("set_member_role", json!({ "user_id": member.user, "role": "" }), 400, "role:"),
        ("set_member_role", json!({ "user_id": member.user, "role": null }), 400, "role:"),
        ("set_member_role", json!({ "user_id": null, "role": "sales" }), 400, "user_id:"),
        ("set_member_role", json!({ "user_id": Uuid::new_v4(), "role": "sales" }), 400, "user_id:"),
        ("set_member_role", json!({ "user_id": "x", "role": "sales" }), 400, ""),
        ("set_member_role", json!({ "user_id": member.user }), 404, ""),
        ("remove_member", json!({ "user_id": null }), 400, "user_id:"),
        ("remove_member", json!({ "user_id": Uuid::new_v4() }), 400, "user_id:"),
    ] {
        let answer = owner.post(&format!("/rpc/{function}"), &arguments);
        assert!(answer.status == status && answer.text().contains(word), "{answer}");
    }
    owner.get(&format!("/rpc/set_member_role?user_id={}&role=admin", member.user)).expect(405);
    owner.get(&format!("/rpc/remove_member?user_id={}", member.user)).expect(405);
    member.get("/rpc/leave_organization").expect(405);
    assert_eq!(membership(&owner, &member), ("sales".into(), "active".into()));
}

// ---------------------------------------------------------------------------------------------- the last owner

#[test]
fn the_last_owner_stays_one() {
    let owner = Actor::register();
    let administrator = Actor::member(&owner.organization, "admin");
    let attempts = || [set_role(&owner, &owner, "admin"), remove(&owner, &owner), leave(&owner)];
    all(attempts(), |answer| last_owner(&answer));
    owner.get("/contacts").expect(200);
    // One who was removed, or cannot act, is none to rely on.
    let co_owner = Actor::member(&owner.organization, "owner");
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&co_owner.user]);
    all(attempts(), |answer| last_owner(&answer));
    set_role(&owner, &administrator, "owner").expect(200);
    assert_eq!(leave(&owner).expect(200).json(), json!({ "user_id": owner.user, "status": "ended" }));
    all([set_role(&administrator, &administrator, "sales"), leave(&administrator)], |answer| last_owner(&answer));
}

/// What both do at the same moment: how many succeed, and how many owners are left.
fn both_at_once(rounds: usize, act: impl Fn(&Actor, &Actor) -> Response + Sync) {
    let owner = Actor::register();
    let co_owner = Actor::member(&owner.organization, "owner");
    for _ in 0..rounds {
        let answers: Vec<_> = thread::scope(|scope| {
            let act = &act;
            let both =
                [(&owner, &co_owner), (&co_owner, &owner)].map(|(one, other)| scope.spawn(move || act(one, other)));
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let succeeded = answers.iter().filter(|answer| answer.status == 200).count();
        let left: i64 = admin::value(
            "select count(*) from crm.memberships where org_id = $1 and role = 'owner' and status = 'active'",
            &[&owner.organization.id],
        );
        assert_eq!((succeeded, left), (1, 1), "{} | {}", answers[0], answers[1]);
        let other = answers.iter().find(|answer| answer.status != 200).unwrap();
        assert!([403, 409].contains(&other.status), "{other}");
        admin::execute(
            "update crm.memberships set role = 'owner', status = 'active', ended_at = null where org_id = $1",
            &[&owner.organization.id],
        );
    }
}

#[test]
fn of_two_owners_who_demote_each_other_at_once_one_succeeds() {
    both_at_once(20, |one, other| set_role(one, other, "sales"));
}

#[test]
fn of_two_owners_who_remove_each_other_at_once_one_succeeds() {
    both_at_once(20, remove);
}

#[test]
fn of_two_owners_who_leave_at_once_one_succeeds() {
    both_at_once(20, |one, _| leave(one));
}

#[test]
fn of_two_owners_who_step_down_at_once_one_succeeds() {
    both_at_once(20, |one, _| set_role(one, one, "sales"));
}

// ---------------------------------------------------------------------------------------------- ranks

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
        |answer| forbidden(&answer),
    );
    let after =
        admin::value::<i64>("select sum(version)::bigint from crm.roles where org_id = $1", &[&owner.organization.id]);
    assert_eq!(after, before);
}

/// Somebody has the roles of their groups too.
#[test]
fn nobody_changes_or_removes_a_member_whose_group_has_a_role_above_theirs() {
    let owner = Actor::register();
    let personnel = with_own_role(&owner, 50, &[("memberships.*", "all")]);
    let (member, nothing) = (Actor::member(&owner.organization, "sales"), team::role(&owner, 1, &[]));
    let group = team::group(&owner, &[&member]);
    let given = owner.insert("group_roles", &json!({ "group_id": group, "role": "admin" }));
    all([set_role(&personnel, &member, &nothing), remove(&personnel, &member)], |answer| forbidden(&answer));
    assert_eq!(membership(&owner, &member), ("sales".into(), "active".into()));
    team::take_away(&owner, "group_roles", id_of(&given));
    set_role(&personnel, &member, &nothing).expect(200);
    remove(&personnel, &member).expect(200);
}

#[test]
fn who_may_give_roles_but_has_little_raises_nobody() {
    let owner = Actor::register();
    let staff = [("memberships.*", "all"), ("invitations.*", "all"), ("contacts.read", "team"), ("*.read", "own")];
    let personnel = with_own_role(&owner, 50, &staff);
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
    all(attempts, |answer| forbidden(&answer));
    assert_eq!(role_of(&owner, &reader), "read_only");
    // What they have, they give; also with their own role.
    set_role(&personnel, &reader, &less).expect(200);
    set_role(&personnel, &sales, &role_of(&owner, &personnel)).expect(200);
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
    let keeper = with_own_role(&owner, 30, &permissions);
    let own_role = role_of(&owner, &keeper);
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
    all(attempts, |answer| forbidden(&answer));
    assert_eq!(keeper.count("contacts"), 0);
    put("role_permissions", json!({ "role": own_role, "permission": "contacts.read", "scope": "own" })).expect(409);
    put("group_permissions", json!({ "group_id": group, "permission": "contacts.read", "scope": "team" })).expect(201);
    let upsert = keeper
        .request("POST", "/group_permissions?on_conflict=org_id,group_id,permission")
        .prefer("resolution=merge-duplicates")
        .json(&json!({ "group_id": group, "permission": "contacts.read", "scope": "all" }));
    forbidden(&upsert.send()).unwrap();
    let widened = keeper.patch(&format!("/group_permissions?group_id=eq.{group}"), &json!({ "scope": "all" }));
    forbidden(&widened).unwrap();
    let moved = keeper.patch(&format!("/group_permissions?group_id=eq.{group}"), &json!({ "permission": "*.*" }));
    forbidden(&moved).unwrap();
}

// ---------------------------------------------------------------------------------------------- coming and going

#[test]
fn a_removed_member_is_refused_at_the_next_request_everywhere() {
    let owner = Actor::with_contacts(1);
    let member = Actor::member(&owner.organization, "support");
    let key = Key::of(&owner, &["contacts.read"]);
    assert_eq!(many(|| member.get("/contacts")), [200]);
    let in_sql = || sql::session(|client| sql::sqlstate(sql::begin_authenticated(client, member.token())));
    assert_eq!(in_sql(), "");
    let row = json!({ "last_name": "Theirs" });
    let contact = id_of(&member.insert("contacts", &row));
    assert_eq!(remove(&owner, &member).expect(200).json(), json!({ "user_id": member.user, "status": "ended" }));
    assert_eq!(many(|| member.get("/contacts")), [403]);
    assert_eq!(member.post("/contacts", &row).code(), "PT403");
    assert_eq!(in_sql(), "PT403");
    crm_http_tests::actor::login(&member.email, &member.password, Some(&owner.organization.slug)).expect(403);
    // Their own organization is theirs still, what they owned too, and what others hold goes on.
    member.logged_in(None).get("/contacts").expect(200);
    let stored = owner.get(&format!("/contacts?id=eq.{contact}&select=owner_id")).expect(200).json();
    assert_eq!(stored, json!([{ "owner_id": member.user }]));
    key.get("/contacts").expect(200);
    refused(&remove(&owner, &member), 400, "22023").unwrap();
    refused(&set_role(&owner, &member, "sales"), 400, "22023").unwrap();
    let listed =
        owner.get(&format!("/memberships?user_id=eq.{}&select=status,ended_at", member.user)).expect(200).rows();
    assert_eq!(listed[0]["status"], "ended");
    assert!(listed[0]["ended_at"].is_string());
}

#[test]
fn who_leaves_is_refused_at_the_next_request() {
    let owner = Actor::register();
    for role in ["admin", "read_only", "owner"] {
        let member = Actor::member(&owner.organization, role);
        assert_eq!(leave(&member).expect(200).json(), json!({ "user_id": member.user, "status": "ended" }));
        assert_eq!(many(|| member.get("/contacts")), [403]);
        leave(&member).expect(403);
    }
    let key = Key::of(&owner, &["*.*"]);
    assert_eq!(key.call("leave_organization", &json!({})).status, 403);
    owner.get("/contacts").expect(200);
    // Also out of several, the one that is named.
    let member = Actor::register();
    member.join(&owner.organization, "sales");
    let across = member.logged_in(None);
    leave(&across.working_in(&owner.organization.slug)).expect(200);
    assert_eq!(across.get("/organizations").expect(200).column("id"), [member.organization.id.to_string()]);
}

#[test]
fn the_team_of_who_left_goes_on_seeing_what_they_owned() {
    let owner = Actor::register();
    let (manager, member) =
        (Actor::member(&owner.organization, "manager"), Actor::member(&owner.organization, "sales"));
    team::group(&owner, &[&manager, &member]);
    let contact = id_of(&member.insert("contacts", &json!({ "last_name": "Left behind" })));
    leave(&member).expect(200);
    assert_eq!(manager.get("/contacts").expect(200).column("last_name"), ["Left behind"]);
    let path = format!("/contacts?id=eq.{contact}");
    assert_eq!(manager.patch(&path, &json!({ "owner_id": manager.user })).expect(200).rows().len(), 1);
}

#[test]
fn who_comes_back_by_an_invitation_has_no_groups() {
    let owner = Actor::with_contacts(1);
    let member = Actor::member(&owner.organization, "sales");
    let group = team::group(&owner, &[&member]);
    owner.insert("group_permissions", &json!({ "group_id": group, "permission": "contacts.read", "scope": "all" }));
    assert_eq!(member.count("contacts"), 1);
    remove(&owner, &member).expect(200);
    let groups = || owner.get(&format!("/group_members?user_id=eq.{}", member.user)).expect(200).rows().len();
    assert_eq!(groups(), 1);
    let token = invite(&owner, &member.email, "sales");
    let welcome = member.logged_in(None).post("/rpc/accept_invitation", &json!({ "token": token })).expect(200).json();
    let back = member.with_token(&text(&welcome["access_token"]));
    assert_eq!((back.count("contacts"), groups()), (0, 0));
    team::put_into(&owner, group, &back);
    assert_eq!(back.count("contacts"), 1);
}

#[test]
fn a_newcomer_is_invited_to_a_role_of_the_organizations_own() {
    let owner = Actor::with_contacts(1);
    let role = team::role(&owner, 10, &[("contacts.read", "all")]);
    let foreign = team::role(&Actor::register(), 10, &[]);
    let unknown = owner.post("/rpc/invite_user", &json!({ "email": address(), "role": foreign }));
    assert!(unknown.status == 400 && unknown.text().contains("role:"), "{unknown}");
    let email = address();
    let answer = owner.post("/rpc/invite_user", &json!({ "email": email, "role": role })).expect(200).json();
    assert_eq!(answer["role"], json!(role));
    let arguments = json!({ "token": token_to(&email, "invitation"), "password": unique(PASSWORD_PREFIX) });
    let welcome = anonymous("POST", "/rpc/accept_invitation").json(&arguments).send().expect(200).json();
    assert_eq!(welcome["organization"]["role"], json!(role));
    let newcomer = owner.with_token(&text(&welcome["access_token"]));
    assert_eq!(newcomer.count("contacts"), 1);
    forbidden(&newcomer.post("/contacts", &json!({ "last_name": "x" }))).unwrap();
}

#[test]
fn an_invitation_to_a_role_that_grew_beyond_the_inviter_or_went_is_good_no_more() {
    let owner = Actor::register();
    let permissions = [("invitations.create", "all"), ("memberships.read", "all"), ("contacts.read", "team")];
    for change in ["permission", "rank", "deleted", "demoted", "nothing"] {
        let inviter = with_own_role(&owner, 50, &permissions);
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

// ---------------------------------------------------------------------------------------------- keys

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
    let maker = with_own_role(&owner, 30, &own);
    let make = |scopes: &[&str]| maker.post("/rpc/create_api_key", &json!({ "name": "Key", "scopes": scopes }));
    // A key reaches all rows: what one has for some of them is not enough.
    let refused: [&[&str]; 9] = [
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
    all(refused, |scopes| forbidden(&make(scopes)).map_err(|problem| format!("{scopes:?}: {problem}")));
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

// ---------------------------------------------------------------------------------------------- explanations

#[test]
fn an_administrator_is_told_why_somebody_may_or_may_not() {
    let owner = Actor::register();
    let (member, colleague) =
        (Actor::member(&owner.organization, "sales"), Actor::member(&owner.organization, "sales"));
    let contact = |of: &Actor| id_of(&of.insert("contacts", &json!({ "last_name": "Explained" })));
    let (own, theirs) = (contact(&member), contact(&colleague));
    let explain = |row: Uuid| {
        let arguments = json!({ "user_id": member.user, "resource": "contacts", "row_id": row });
        owner.post("/rpc/explain_access", &arguments).expect(200).json()
    };
    let (mine, others) = (explain(own), explain(theirs));
    assert_eq!(
        (&mine["user_id"], &mine["resource"], &mine["row_id"]),
        (&json!(member.user), &json!("contacts"), &json!(own))
    );
    assert_eq!(mine["row"], json!({ "exists": true, "owner_id": member.user, "whose": "own" }));
    assert_eq!(others["row"]["whose"], "another's");
    assert_eq!(mine["standing"]["membership"]["role"], "sales");
    for action in ["read", "create", "update", "delete"] {
        assert_eq!(mine["may"][action]["permitted"], true, "{mine}");
        assert_eq!(mine["may"][action]["scope"], "own");
        assert_eq!(mine["may"][action]["via"][0]["via"], "role sales");
    }
    assert_eq!(others["may"]["read"]["permitted"], false, "{others}");
    let group = team::group(&owner, &[&member, &colleague]);
    owner.insert("group_permissions", &json!({ "group_id": group, "permission": "contacts.read", "scope": "team" }));
    let shared = explain(theirs);
    assert_eq!(shared["row"]["whose"], "team's");
    assert_eq!(
        (&shared["may"]["read"]["permitted"], &shared["may"]["update"]["permitted"]),
        (&json!(true), &json!(false)),
        "{shared}"
    );
    assert!(text(&shared["may"]["update"]["because"]).contains("own"), "{shared}");
    // What is told is what happens.
    let path = format!("/contacts?id=eq.{theirs}");
    assert_eq!(member.get(&path).expect(200).rows().len(), 1);
    forbidden(&member.patch(&path, &json!({ "title": "x" }))).unwrap();
    remove(&owner, &member).expect(200);
    let ended = explain(own);
    assert_eq!(ended["may"]["read"]["permitted"], false);
    assert!(text(&ended["may"]["read"]["because"]).contains("ended"), "{ended}");
}

#[test]
fn nobody_else_is_told_and_nothing_of_other_organizations() {
    let (owner, other) = (Actor::with_contacts(1), Actor::register());
    let foreign = id_of(&owner.get("/contacts").expect(200).rows()[0]);
    let ask = |who: &Actor, user: Uuid, resource: &str, row: Value| {
        who.post("/rpc/explain_access", &json!({ "user_id": user, "resource": resource, "row_id": row }))
    };
    all(["manager", "sales", "support", "read_only"], |role| {
        let actor = Actor::member(&owner.organization, role);
        forbidden(&ask(&actor, actor.user, "contacts", Value::Null))?;
        forbidden(&ask(&actor, owner.user, "contacts", json!(foreign)))
    });
    anonymous("POST", "/rpc/explain_access")
        .json(&json!({ "user_id": owner.user, "resource": "contacts" }))
        .send()
        .expect(401);
    ask(&owner, owner.user, "contacts", Value::Null).expect(200);
    // Of a person or row elsewhere the same as of none.
    let hide = |answer: Response, ids: [Uuid; 2]| {
        ids.iter().fold(answer.expect(200).text(), |text, id| text.replace(&id.to_string(), "?"))
    };
    let nowhere = [Uuid::new_v4(), Uuid::new_v4()];
    let seen = hide(ask(&other, owner.user, "contacts", json!(foreign)), [owner.user, foreign]);
    assert_eq!(seen, hide(ask(&other, nowhere[0], "contacts", json!(nowhere[1])), nowhere));
    assert!(seen.contains("no member") && !seen.contains("owner_id"), "{seen}");
    for resource in ["memberships", "users", "crm_private.settings", "pg_class", "nothing", "", "contacts; select 1"] {
        refused(&ask(&owner, owner.user, resource, Value::Null), 400, "22023").unwrap();
    }
    refused(&owner.post("/rpc/explain_access", &json!({ "user_id": null, "resource": "contacts" })), 400, "22023")
        .unwrap();
}

#[test]
fn everybody_is_told_their_own_permissions_and_nobody_elses() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "sales");
    let mine = |who: &Actor, permission: &str| {
        let rows = who.get("/rpc/my_permissions").expect(200).rows();
        rows.iter().find(|row| row["permission"] == permission).map(|row| text(&row["scope"]))
    };
    assert_eq!(mine(&member, "contacts.read").as_deref(), Some("own"));
    assert_eq!(mine(&member, "access.read"), None);
    let group = team::group(&owner, &[&member]);
    let given =
        owner.insert("group_permissions", &json!({ "group_id": group, "permission": "*.read", "scope": "all" }));
    assert_eq!(mine(&member, "contacts.read").as_deref(), Some("all"));
    assert_eq!(mine(&member, "access.read").as_deref(), Some("all"));
    assert_eq!(mine(&member, "contacts.update").as_deref(), Some("own"));
    team::take_away(&owner, "group_permissions", id_of(&given));
    assert_eq!(mine(&member, "access.read"), None);
    anonymous("GET", "/rpc/my_permissions").send().expect(401);
    let key = Key::of(&owner, &["contacts.read", "accounts.*"]);
    let told = key.get("/rpc/my_permissions?order=permission").expect(200).column("permission");
    assert_eq!(told, ["accounts.create", "accounts.delete", "accounts.read", "accounts.update", "contacts.read"]);
    // Across organizations there is nothing to tell.
    let across = Actor::register();
    across.join(&owner.organization, "sales");
    across.logged_in(None).get("/rpc/my_permissions").expect(403);
}

//! Members of an organization over HTTP: their roles, how they come and leave, and the owner there always is.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous, id_of, login};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, invite, many};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::team::{last_owner, membership, not_there, refused, remove, set_role};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, team, unique};
use serde_json::json;
use uuid::Uuid;

fn leave(who: &Actor) -> Response {
    who.post("/rpc/leave_organization", &json!({}))
}

fn address() -> String {
    format!("{}@example.com", unique("invited"))
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
        assert_eq!(membership(&owner, &member).0, role);
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
    all(attempts, |answer| refused(&answer));
    assert_eq!((membership(&owner, &co_owner).0, membership(&owner, &member).0), ("owner".into(), "manager".into()));
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
            refused(&answer)?;
        }
        Ok(())
    });
    // A member of one's own organization is nobody in another.
    for answer in [set_role(&other, &member, "read_only"), remove(&other, &member), set_role(&owner, &other, "sales")] {
        not_there(&answer).unwrap();
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
    not_there(&leave(&across)).unwrap();
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
    login(&member.email, &member.password, Some(&owner.organization.slug)).expect(403);
    // Their own organization is theirs still, what they owned too, and what others hold goes on.
    member.logged_in(None).get("/contacts").expect(200);
    let stored = owner.get(&format!("/contacts?id=eq.{contact}&select=owner_id")).expect(200).json();
    assert_eq!(stored, json!([{ "owner_id": member.user }]));
    key.get("/contacts").expect(200);
    not_there(&remove(&owner, &member)).unwrap();
    not_there(&set_role(&owner, &member, "sales")).unwrap();
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
    refused(&newcomer.post("/contacts", &json!({ "last_name": "x" }))).unwrap();
}

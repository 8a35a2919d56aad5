//! The platform's backend, with a key of the platform: people, and tokens for them.

use crm_http_tests::actor::{Actor, anonymous, id_of, login};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, forbidden, many};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::token::{payload, with};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// Of the test of crypt_blowfish (wrapper.c): the hash of "U*U".
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn platform() -> Key {
    Key::of_platform(&["users.*", "tokens.*"])
}

fn address() -> String {
    format!("{}@example.com", unique("made"))
}

fn create(arguments: &Value) -> Response {
    platform().call("create_user", arguments)
}

fn has_account(email: &str) -> bool {
    admin::value("select exists (select from crm.users where email = $1)", &[&email])
}

fn call(function: &str, user: Uuid) -> Response {
    platform().call(function, &json!({ "user_id": user }))
}

// ---------------------------------------------------------------------------------------------- creating

#[test]
fn the_platform_makes_a_user_who_logs_in_with_a_password() {
    let (owner, email, password) = (Actor::register(), address(), unique(PASSWORD_PREFIX));
    let arguments = json!({
        "email": email.to_uppercase(), "full_name": "Mia Made", "password": password, "org_id": owner.organization.id,
        "role": "manager",
    });
    let made = create(&arguments).expect(200).json();
    assert_eq!(with(&made, "id", Value::Null), json!({ "email": email, "full_name": "Mia Made", "status": "active" }));
    let welcome = login(&email, &password, None).expect(200).json();
    assert_eq!((&welcome["user"]["id"], &welcome["user"]["email_verified"]), (&made["id"], &json!(false)));
    assert_eq!(welcome["organization"]["id"], json!(owner.organization.id));
    assert_eq!(welcome["organization"]["role"], "manager");
}

#[test]
fn the_platform_makes_a_user_who_logs_in_with_the_password_they_had_elsewhere() {
    let email = address();
    let made = create(&json!({ "email": email, "password_hash": BCRYPT, "email_verified": true })).expect(200).json();
    let algorithm = || -> String {
        admin::value("select split_part(hash, '$', 2) from crm_private.passwords where user_id = $1", &[&id_of(&made)])
    };
    assert_eq!(algorithm(), "2a");
    login(&email, "U*u", None).expect(401);
    let welcome = login(&email, "U*U", None).expect(200).json();
    assert_eq!((&welcome["user"]["email_verified"], &welcome["organizations"]), (&json!(true), &json!([])));
    assert_eq!(algorithm(), "argon2id");
    login(&email, "U*U", None).expect(200);
}

#[test]
fn the_platform_makes_a_user_who_sets_a_password_by_a_message() {
    let (email, password) = (address(), unique(PASSWORD_PREFIX));
    create(&json!({ "email": email })).expect(200);
    for wrong in ["", "x", &password] {
        login(&email, wrong, None).expect(401);
    }
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": email })).send().expect(200);
    let reset = json!({ "token": token_to(&email, "password_reset"), "new_password": password });
    anonymous("POST", "/rpc/reset_password").json(&reset).send().expect(200);
    login(&email, &password, None).expect(200);
}

#[test]
fn the_platform_is_told_which_argument_of_a_user_is_wrong() {
    let (owner, password, email) = (Actor::register(), unique(PASSWORD_PREFIX), address());
    let org = owner.organization.id;
    let cases = [
        (json!({ "email": email, "password": password, "password_hash": BCRYPT }), "password_hash:"),
        (json!({ "email": email, "password_hash": "argon2" }), "password_hash:"),
        (json!({ "email": email, "password_hash": "$argon2id$" }), "password_hash:"),
        (json!({ "email": email, "password_hash": "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$x" }), "password_hash:"),
        (json!({ "email": email, "password_hash": BCRYPT.replace("$05$", "$31$") }), "password_hash:"),
        (json!({ "email": email, "password": "short" }), "password:"),
        (json!({ "email": email, "password": "password1" }), "password:"),
        (json!({ "email": email, "org_id": org }), "role:"),
        (json!({ "email": email, "role": "sales" }), "role:"),
        (json!({ "email": email, "org_id": org, "role": "root" }), "role:"),
        (json!({ "email": email, "org_id": Uuid::new_v4(), "role": "sales" }), "org_id:"),
        (json!({ "email": email, "full_name": "a\nb" }), "full_name:"),
        (json!({ "email": "nobody" }), "email:"),
        (json!({ "email": null }), "email:"),
    ];
    all(cases, |(arguments, word)| {
        let answer = create(&arguments);
        let named = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if named && !has_account(&email) { Ok(()) } else { Err(format!("{word} expected: {answer}")) }
    });
    create(&json!({ "full_name": "Nobody" })).expect(404);
    for taken in [owner.email.clone(), owner.email.to_uppercase()] {
        let answer = create(&json!({ "email": taken, "password": password }));
        assert_eq!((answer.status, answer.code()), (409, "23505".into()), "{answer}");
    }
    owner.logged_in(None);
    assert_eq!(admin::count("memberships", org), 1);
}

#[test]
fn the_platform_lists_users() {
    let platform = Key::of_platform(&["users.read"]);
    let owner = Actor::register();
    let (member, former) = (Actor::member(&owner.organization, "sales"), Actor::member(&owner.organization, "sales"));
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
        &[&former.user, &owner.organization.id],
    );
    let path = format!("/rpc/list_users?org_id={}&order=created_at", owner.organization.id);
    let listed = platform.get(&path).expect(200);
    assert_eq!(listed.column("id"), [owner.user.to_string(), member.user.to_string()]);
    let members: Vec<_> = listed.rows()[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["created_at", "email", "email_verified_at", "full_name", "id", "status"].map(String::from));
    let one = platform.get(&format!("/rpc/list_users?email=eq.{}", former.email)).expect(200);
    assert_eq!(one.column("id"), [former.user.to_string()]);
    let nowhere = platform.call("list_users", &json!({ "org_id": Uuid::new_v4() })).expect(200);
    assert_eq!(nowhere.rows().len(), 0);
}

// ---------------------------------------------------------------------------------------------- suspending, deleting

#[test]
fn a_suspended_user_is_out_at_once_and_back_after_a_new_login() {
    let user = Actor::with_contacts(1);
    let refresh =
        json!({ "refresh_token": login(&user.email, &user.password, None).expect(200).json()["refresh_token"] });
    let refresh = || anonymous("POST", "/rpc/refresh_token").json(&refresh).send();
    let issued = platform().call("issue_token", &json!({ "user_id": user.user })).expect(200).json();
    let issued = user.with_token(&text(&issued["token"]));
    for session in [&user, &issued] {
        assert_eq!(many(|| session.get("/contacts")), [200]);
    }
    let suspended = call("suspend_user", user.user).expect(200).json();
    assert_eq!((&suspended["status"], &suspended["email"]), (&json!("disabled"), &json!(user.email)));
    for session in [&user, &issued] {
        assert_eq!(many(|| session.get("/contacts")), [401]);
    }
    refresh().expect(401);
    login(&user.email, &user.password, None).expect(401);
    forbidden("", &call("issue_token", user.user)).unwrap();

    assert_eq!(call("resume_user", user.user).expect(200).json()["status"], "active");
    assert_eq!(user.logged_in(None).count("contacts"), 1);
    // What ended stays ended.
    user.get("/contacts").expect(401);
    issued.get("/contacts").expect(401);
    refresh().expect(401);
}

#[test]
fn a_user_who_is_deleted_leaves_no_name() {
    let owner = Actor::register();
    let user = Actor::register_as("Dora Deleted");
    // Somebody else owns it as well, so that it is not left without one.
    owner.join(&user.organization, "owner");
    user.join(&owner.organization, "sales");
    let working = user.logged_in(Some(&owner.organization.slug));
    let contact = working.insert("contacts", &json!({ "last_name": "Written by Dora" }));
    assert_eq!(many(|| working.get("/contacts")), [200]);
    assert_eq!(call("delete_user", user.user).expect(200).json(), json!({ "deleted": 1 }));

    let told = [&user.email, "Dora Deleted"];
    let traces = "select exists (select from crm.users where id = $1 and (email = $2 or full_name = $3))
         or exists (select from crm_private.passwords where user_id = $1)
         or exists (select from crm_private.user_identities where user_id = $1)
         or exists (select from crm_private.sessions where user_id = $1 and ended_at is null)
         or exists (select from crm_private.sessions where user_id = $1 and user_agent is not null)
         or exists (select from crm.memberships where user_id = $1 and status = 'active')";
    assert!(!admin::value::<bool>(traces, &[&user.user, &told[0], &told[1]]));
    assert_eq!(many(|| working.get("/contacts")), [401]);
    login(&user.email, &user.password, None).expect(401);
    for function in ["suspend_user", "resume_user"] {
        call(function, user.user).expect(400);
    }
    forbidden("", &call("issue_token", user.user)).unwrap();
    assert_eq!(call("delete_user", user.user).expect(200).json(), json!({ "deleted": 0 }));
    assert_eq!(call("delete_user", Uuid::new_v4()).expect(200).json(), json!({ "deleted": 0 }));
    let list = platform().get(&format!("/rpc/list_users?id=eq.{}", user.user)).expect(200);
    assert_eq!(list.rows().len(), 0);
    // What they wrote stays, and points to somebody without a name.
    let kept = owner.get(&format!("/contacts?id=eq.{}", id_of(&contact))).expect(200).rows().remove(0);
    assert_eq!(kept["created_by"], json!(user.user));

    let again = json!({ "email": user.email, "password": user.password, "organization_name": unique("again") });
    let again = anonymous("POST", "/rpc/register").json(&again).send().expect(200).json();
    assert_ne!(id_of(&again["user"]), user.user);
    assert_eq!(again["organizations"].as_array().unwrap().len(), 1);
}

#[test]
fn the_only_owner_of_an_organization_is_not_deleted() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "admin");
    let before = admin::fingerprint(owner.organization.id);
    let answer = call("delete_user", owner.user);
    assert_eq!((answer.status, answer.code()), (409, "23503".into()), "{answer}");
    assert_eq!(admin::fingerprint(owner.organization.id), before);
    owner.get("/rpc/me").expect(200);
    let promote = "update crm.memberships set role = 'owner' where user_id = $1 and org_id = $2";
    admin::execute(promote, &[&member.user, &owner.organization.id]);
    assert_eq!(call("delete_user", owner.user).expect(200).json(), json!({ "deleted": 1 }));
}

#[test]
fn the_platform_is_told_of_a_user_who_is_not_there() {
    for function in ["suspend_user", "resume_user"] {
        let answer = call(function, Uuid::new_v4());
        assert!(answer.status == 400 && answer.text().contains("user_id:"), "{answer}");
        platform().call(function, &json!({ "user_id": null })).expect(400);
    }
    platform().call("delete_user", &json!({ "user_id": null })).expect(400);
    platform().call("issue_token", &json!({ "user_id": null })).expect(400);
    forbidden("", &call("issue_token", Uuid::new_v4())).unwrap();
}

// ---------------------------------------------------------------------------------------------- tokens

#[test]
fn the_platform_issues_a_token_that_works() {
    let user = Actor::with_contacts(1);
    let arguments = json!({ "user_id": user.user, "org_id": user.organization.id });
    let answer = platform().call("issue_token", &arguments).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let told = answer.json();
    assert_eq!(told["token"], told["access_token"]);
    assert_eq!(
        (&told["expiresIn"], &told["expires_in"], &told["token_type"]),
        (&json!(3600), &json!(3600), &json!("Bearer"))
    );
    assert_eq!(told.get("refresh_token"), None);
    let issued = user.with_token(&text(&told["token"]));
    let claims = payload(issued.token());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(issued.count("contacts"), 1);
    assert_eq!(issued.insert("contacts", &json!({ "last_name": "x" }))["created_by"], json!(user.user));
    assert_eq!(issued.get("/rpc/my_sessions?kind=eq.service").expect(200).rows().len(), 1);
    sql::session(|client| drop(sql::begin_authenticated(client, issued.token()).unwrap()));
    issued.post("/rpc/logout", &json!({})).expect(200);
    issued.get("/contacts").expect(401);
    user.get("/contacts").expect(200);
}

#[test]
fn the_platform_issues_a_token_across_organizations_or_for_one_of_the_users() {
    let (user, other) = (Actor::with_contacts(1), Actor::with_contacts(1));
    let issue = |org: Value| platform().call("issue_token", &json!({ "user_id": user.user, "org_id": org }));
    for foreign in [other.organization.id, Uuid::new_v4()] {
        forbidden("", &issue(json!(foreign))).unwrap();
    }
    user.join(&other.organization, "support");
    let everywhere = user.with_token(&text(&issue(Value::Null).expect(200).json()["token"]));
    assert_eq!(everywhere.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    assert_eq!(everywhere.count("contacts"), 2);
    issue(json!(other.organization.id)).expect(200);
    admin::execute("update crm.organizations set status = 'suspended' where id = $1", &[&other.organization.id]);
    forbidden("", &issue(json!(other.organization.id))).unwrap();
}

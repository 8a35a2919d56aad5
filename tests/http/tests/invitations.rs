//! Inviting people into an organization: who may, whom, and where the token goes.

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::Response;
use crm_http_tests::machine::{Key, invite};
use crm_http_tests::mailbox::{messages_to, token_to};
use crm_http_tests::{admin, all, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

const ROLES: [&str; 6] = ["owner", "admin", "manager", "sales", "support", "read_only"];

fn address() -> String {
    format!("{}@example.com", unique("invited"))
}

fn ask(inviter: &Actor, email: &str, role: &str) -> Response {
    inviter.post("/rpc/invite_user", &json!({ "email": email, "role": role }))
}

/// How many invitations there ever were to this address.
fn invitations(email: &str) -> i64 {
    admin::value("select count(*) from crm_private.invitations where email = $1", &[&email])
}

fn open(reader: &Actor) -> Vec<String> {
    reader.get("/rpc/list_invitations").expect(200).column("email")
}

fn accept(token: &str) -> Response {
    let arguments = json!({ "token": token, "password": unique(crm_http_tests::PASSWORD_PREFIX) });
    anonymous("POST", "/rpc/accept_invitation").json(&arguments).send()
}

// ---------------------------------------------------------------------------------------------- who may

#[test]
fn an_owner_or_admin_invites_lists_and_revokes_and_nobody_else_does() {
    let owner = Actor::register();
    all(ROLES, |role| {
        let (member, email) = (Actor::member(&owner.organization, role), address());
        let there = id_of(&ask(&owner, &address(), "sales").expect(200).json());
        let administers = ["owner", "admin"].contains(&role);
        let answers = [
            ask(&member, &email, "read_only"),
            member.get("/rpc/list_invitations"),
            member.post("/rpc/revoke_invitation", &json!({ "invitation_id": there })),
        ];
        let status = if administers { 200 } else { 403 };
        if let Some(answer) = answers.iter().find(|answer| answer.status != status) {
            return Err(format!("{role}, {status} expected: {answer}"));
        }
        let in_sql = sql::session(|client| {
            let mut transaction = sql::begin_authenticated(client, member.token()).unwrap();
            sql::sqlstate(transaction.query("select crm.invite_user('in.sql@example.com', 'sales')", &[]))
        });
        if in_sql != if administers { "" } else { "42501" } {
            return Err(format!("{role}: {in_sql} in SQL"));
        }
        let revoked: bool =
            admin::value("select revoked_at is not null from crm_private.invitations where id = $1", &[&there]);
        let done = (revoked, invitations(&email), messages_to(&email).len());
        if done == if administers { (true, 1, 1) } else { (false, 0, 0) } {
            Ok(())
        } else {
            Err(format!("{role}: {done:?}"))
        }
    });
}

#[test]
fn somebody_without_an_active_organization_invites_nobody() {
    let (owner, other, email) = (Actor::register(), Actor::register(), address());
    anonymous("POST", "/rpc/invite_user").json(&json!({ "email": email, "role": "sales" })).send().expect(401);
    anonymous("GET", "/rpc/list_invitations").send().expect(401);
    owner.join(&other.organization, "owner");
    let everywhere = owner.logged_in(None);
    assert_eq!(everywhere.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    ask(&everywhere, &email, "sales").expect(403);
    everywhere.get("/rpc/list_invitations").expect(403);
    everywhere.post("/rpc/revoke_invitation", &json!({ "invitation_id": Uuid::new_v4() })).expect(403);
    assert_eq!(invitations(&email), 0);
    ask(&everywhere.logged_in(Some(&other.organization.slug)), &email, "sales").expect(200);
    assert_eq!((open(&other), open(&owner)), (vec![email], vec![]));
}

#[test]
fn an_admin_invites_everybody_but_an_owner() {
    let owner = Actor::register();
    let admin = Actor::member(&owner.organization, "admin");
    all(ROLES, |role| {
        for (inviter, status) in [(&admin, if role == "owner" { 403 } else { 200 }), (&owner, 200)] {
            let email = address();
            let answer = ask(inviter, &email, role);
            if answer.status != status || invitations(&email) != i64::from(status == 200) {
                return Err(format!("{role}, {status} expected: {answer}"));
            }
        }
        Ok(())
    });
}

#[test]
fn an_owner_whose_organization_is_suspended_invites_nobody() {
    let (owner, email) = (Actor::register(), address());
    admin::execute("update crm.organizations set status = 'suspended' where id = $1", &[&owner.organization.id]);
    ask(&owner, &email, "sales").expect(403);
    assert_eq!(invitations(&email), 0);
}

// ---------------------------------------------------------------------------------------------- whom

#[test]
fn an_owner_does_not_invite_a_member_but_somebody_who_was_one() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "sales");
    for email in [&member.email, &member.email.to_uppercase(), &format!(" {} ", member.email), &owner.email] {
        let answer = ask(&owner, email, "admin");
        assert_eq!((answer.status, answer.code()), (409, "23505".into()), "{answer}");
    }
    assert_eq!(invitations(&member.email), 0);
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
        &[&member.user, &owner.organization.id],
    );
    ask(&owner, &member.email, "admin").expect(200);
}

#[test]
fn an_owner_gets_the_same_answer_for_an_email_somebody_has_and_one_nobody_has() {
    let (owner, stranger, email) = (Actor::register(), Actor::register(), address());
    let shape = |email: &str| {
        let mut answer = ask(&owner, email, "sales").expect(200).json();
        for member in ["id", "email", "expires_at"] {
            answer[member] = Value::Null;
        }
        answer
    };
    assert_eq!(shape(&stranger.email), shape(&email));
}

#[test]
fn an_owner_is_told_which_argument_is_wrong() {
    let owner = Actor::register();
    let good = address();
    let cases = [
        (json!(""), json!("sales"), "email:"),
        (json!("nobody"), json!("sales"), "email:"),
        (json!("a@localhost"), json!("sales"), "email:"),
        (json!("Nora <nora@example.com>"), json!("sales"), "email:"),
        (json!("a\nb@example.com"), json!("sales"), "email:"),
        (json!(format!("{}@example.com", "x".repeat(300))), json!("sales"), "email:"),
        (json!("\u{212a}ate@example.com"), json!("sales"), "email:"),
        (json!(null), json!("sales"), "email:"),
        (json!(good), json!(""), "role:"),
        (json!(good), json!("Sales"), "role:"),
        (json!(good), json!("root"), "role:"),
        (json!(good), json!("crm_admin"), "role:"),
        (json!(good), json!(" sales"), "role:"),
        (json!(good), json!(null), "role:"),
    ];
    all(cases, |(email, role, word)| {
        let answer = owner.post("/rpc/invite_user", &json!({ "email": email, "role": role }));
        let named = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if named { Ok(()) } else { Err(format!("{word} expected: {answer}")) }
    });
    owner.post("/rpc/invite_user", &json!({ "email": good })).expect(404);
    owner.get(&format!("/rpc/invite_user?email={good}&role=sales")).expect(405);
    assert_eq!((open(&owner), messages_to(&good).len()), (vec![], 0));
}

// ---------------------------------------------------------------------------------------------- the token

#[test]
fn an_owner_never_learns_the_token_of_the_message() {
    let (owner, email) = (Actor::register_as("Olga Owner"), address());
    let answer = ask(&owner, &format!(" {} ", email.to_uppercase()), "manager").expect(200);
    let invitation = answer.json();
    let members: Vec<_> = invitation.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["email", "expires_at", "id", "role"]);
    assert_eq!((&invitation["email"], &invitation["role"]), (&json!(email), &json!("manager")));

    let messages = messages_to(&email);
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let token = message.token.clone().unwrap();
    assert_eq!(message.kind, "invitation");
    assert_eq!(message.content["role"], "manager");
    assert_eq!(message.content["invited_by"], "Olga Owner");
    assert!(token.len() >= 43, "256 bits");
    let listed = owner.get("/rpc/list_invitations").expect(200);
    for answer in [&answer, &listed] {
        assert!(!format!("{}{:?}", answer.text(), answer.headers).contains(&token), "{answer}");
    }
    let hashed: bool = admin::value(
        "select exists (select from crm_private.one_time_tokens where hash = sha256(convert_to($1, 'utf8')))",
        &[&token],
    );
    assert!(hashed);
    // Delivered, it is nowhere any more.
    assert!(admin::value::<bool>("select crm.complete_message($1)", &[&message.id]));
    let kept: bool =
        admin::value("select exists (select from crm_private.messages as m where strpos(m::text, $1) > 0)", &[&token]);
    assert!(!kept);
    accept(&token).expect(200);
}

#[test]
fn an_owner_or_key_cannot_claim_messages() {
    let owner = Actor::register();
    invite(&owner, &address(), "sales");
    let claim = json!({ "count": 100 });
    owner.post("/rpc/claim_messages", &claim).expect(403);
    anonymous("POST", "/rpc/claim_messages").json(&claim).send().expect(401);
    for role in ["crm_anon", "crm_app", "crm_multi", "crm_service"] {
        let state = sql::session(|client| {
            let mut transaction = sql::begin_as(client, role).unwrap();
            sql::sqlstate(transaction.query("select * from crm.claim_messages()", &[]))
        });
        assert_eq!(state, "42501", "{role}");
    }
    let key = Key::of(&owner, &["*.*"]);
    let state = sql::session(|client| {
        let mut transaction = key.begin(client, "crm_app").unwrap();
        sql::sqlstate(transaction.query("select * from crm.claim_messages()", &[]))
    });
    assert_eq!(state, "42501");
}

#[test]
fn an_owner_who_invites_again_ends_the_earlier_token() {
    let (owner, other, email) = (Actor::register(), Actor::register(), address());
    invite(&other, &email, "sales");
    let first = invite(&owner, &email, "read_only");
    let second = invite(&owner, &email.to_uppercase(), "manager");
    assert_ne!(first, second);
    let listed = owner.get("/rpc/list_invitations").expect(200).rows();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["email"], &listed[0]["role"]), (&json!(email), &json!("manager")));
    let refused = accept(&first);
    assert!(refused.status == 400 && refused.text().contains("token:"), "{refused}");
    assert_eq!(accept(&second).expect(200).json()["organization"]["role"], "manager");
    // The other organization's goes on.
    assert_eq!(open(&other), [email]);
}

// ---------------------------------------------------------------------------------------------- the list

#[test]
fn an_owner_lists_what_is_open_in_their_own_organization() {
    let (owner, other) = (Actor::register(), Actor::register());
    let emails: Vec<_> = (0..4).map(|_| address()).collect();
    for email in &emails {
        invite(&owner, email, "sales");
    }
    invite(&other, &address(), "sales");
    let listed = owner.get("/rpc/list_invitations?order=created_at").expect(200).rows();
    assert_eq!(listed.iter().map(|row| row["email"].as_str().unwrap()).collect::<Vec<_>>(), emails);
    let members: Vec<_> = listed[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "email", "expires_at", "id", "invited_by", "role"]);
    assert_eq!(listed[0]["invited_by"], json!(owner.user));

    owner.post("/rpc/revoke_invitation", &json!({ "invitation_id": listed[0]["id"] })).expect(200);
    admin::execute(
        "update crm_private.invitations set expires_at = clock_timestamp() where id = $1",
        &[&id_of(&listed[1])],
    );
    accept(&token_to(&emails[2], "invitation")).expect(200);
    assert_eq!(open(&owner), [emails[3].as_str()]);
    assert_eq!(open(&other).len(), 1);
}

#[test]
fn an_owner_revokes_only_what_is_open_in_their_own_organization() {
    let (owner, other, email) = (Actor::register(), Actor::register(), address());
    let token = invite(&owner, &email, "sales");
    let id = id_of(&owner.get("/rpc/list_invitations").expect(200).rows()[0]);
    let revoke = |by: &Actor, id: Value| by.post("/rpc/revoke_invitation", &json!({ "invitation_id": id }));
    assert_eq!(revoke(&other, json!(id)).expect(200).json(), revoke(&other, json!(Uuid::new_v4())).expect(200).json());
    assert_eq!(revoke(&other, json!(id)).expect(200).json(), json!({ "revoked": 0 }));
    assert_eq!(open(&owner), [email]);
    assert_eq!(revoke(&owner, json!(id)).expect(200).json(), json!({ "revoked": 1 }));
    assert_eq!(revoke(&owner, json!(id)).expect(200).json(), json!({ "revoked": 0 }));
    accept(&token).expect(400);
    revoke(&owner, Value::Null).expect(400);
    revoke(&owner, json!("x")).expect(400);

    let accepted = invite(&owner, &address(), "sales");
    let id = id_of(&owner.get("/rpc/list_invitations").expect(200).rows()[0]);
    let person = accept(&accepted).expect(200).json();
    assert_eq!(revoke(&owner, json!(id)).expect(200).json(), json!({ "revoked": 0 }));
    assert_eq!(person["organization"]["role"], "sales");
}

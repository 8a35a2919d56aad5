//! What somebody opened ends with them, or with the proof that their address is another's.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, invite};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::{admin, unique};
use serde_json::json;

fn new_password() -> String {
    unique("kzq-passphrase-")
}

fn accept(token: &str) -> Response {
    let body = json!({ "token": token, "password": new_password() });
    anonymous("POST", "/rpc/accept_invitation").json(&body).send()
}

fn suspend(user: &Actor) {
    admin::execute("select crm.suspend_user($1)", &[&user.user]);
}

/// A supporter and the token with which they act as the user.
fn supported(user: &Actor) -> (Actor, String) {
    let support = Actor::register();
    admin::execute("select crm.grant_platform_role($1, 'support')", &[&support.user]);
    let answer = support.post("/rpc/impersonate", &json!({ "user_id": user.user, "reason": "asked for" })).expect(200);
    (support, text(&answer.json()["access_token"]))
}

#[test]
fn a_squatter_is_out_once_the_owner_of_the_address_resets_the_password() {
    let squatter = Actor::register();
    let key = Key::of(&squatter, &["*.*"]);
    let accomplice = format!("{}@example.com", unique("accomplice"));
    let invitation = invite(&squatter, &accomplice, "owner");
    key.get("/users").expect(200);

    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": squatter.email })).send().expect(200);
    let reset = json!({ "token": token_to(&squatter.email, "password_reset"), "new_password": new_password() });
    anonymous("POST", "/rpc/reset_password").json(&reset).send().expect(200);
    key.get("/users").expect(401);
    accept(&invitation).expect(400);
    squatter.get("/rpc/me").expect(401);
}

#[test]
fn a_user_who_proved_the_address_keeps_keys_and_invitations_over_a_reset() {
    let user = Actor::register();
    let token = token_to(&user.email, "email_verification");
    user.post("/rpc/verify_email", &json!({ "token": token })).expect(200);
    let key = Key::of(&user, &["*.*"]);
    let invitation = invite(&user, &format!("{}@example.com", unique("colleague")), "sales");
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": user.email })).send().expect(200);
    let reset = json!({ "token": token_to(&user.email, "password_reset"), "new_password": new_password() });
    anonymous("POST", "/rpc/reset_password").json(&reset).send().expect(200);
    key.get("/users").expect(200);
    accept(&invitation).expect(200);
}

#[test]
fn nobody_joins_by_the_invitation_of_somebody_who_can_invite_no_more() {
    let owner = Actor::register();
    for ended in ["suspended", "left", "demoted"] {
        let administrator = Actor::member(&owner.organization, "admin");
        let email = format!("{}@example.com", unique("back"));
        let invitation = invite(&administrator, &email, "admin");
        let (user, organization) = (administrator.user, owner.organization.id);
        match ended {
            "suspended" => suspend(&administrator),
            "left" => drop(admin::execute(
                "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
                &[&user, &organization],
            )),
            _ => drop(admin::execute(
                "update crm.memberships set role = 'sales' where user_id = $1 and org_id = $2",
                &[&user, &organization],
            )),
        }
        let answer = accept(&invitation);
        assert_eq!((answer.status, answer.code().as_str()), (400, "22023"), "{ended}: {answer}");
    }
}

#[test]
fn a_supporter_who_logs_out_everywhere_acts_as_nobody_any_more() {
    let user = Actor::register();
    let (support, token) = supported(&user);
    user.with_token(&token).get("/rpc/me").expect(200);
    support.post("/rpc/logout", &json!({ "everywhere": true })).expect(200);
    user.with_token(&token).get("/rpc/me").expect(401);
    user.get("/rpc/me").expect(200);
}

#[test]
fn a_supporter_who_comes_back_does_not_go_on_acting_as_somebody() {
    let user = Actor::register();
    let (support, token) = supported(&user);
    suspend(&support);
    user.with_token(&token).get("/rpc/me").expect(401);
    admin::execute("select crm.resume_user($1)", &[&support.user]);
    user.with_token(&token).get("/rpc/me").expect(401);
}

#[test]
fn a_token_or_key_is_not_taken_from_a_url() {
    let user = Actor::register();
    let key = Key::of(&user, &["*.*"]);
    user.get(&format!("/rpc/authenticate?token={}", user.token())).expect(405);
    user.get(&format!("/rpc/authenticate_api_key?key={}", key.text)).expect(405);
}

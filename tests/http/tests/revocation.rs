//! What was taken away is gone at the very next request, although PostgREST and every backend remember the token.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::Response;
use crm_http_tests::token::{self, Signer, now, with};
use crm_http_tests::{admin, all, sql};
use serde_json::json;

/// Many requests at once, so that most of PostgREST's connections take part.
fn many(user: &Actor, path: &str) -> Vec<Response> {
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..6).map(|_| scope.spawn(|| (0..5).map(|_| user.get(path)).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn statuses(answers: &[Response]) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// A member of somebody else's organization, who works there.
struct Member {
    owner: Actor,
    member: Actor,
}

impl Member {
    fn new() -> Self {
        let owner = Actor::register();
        owner.insert("contacts", &json!({ "last_name": "Guarded" }));
        let member = Actor::member(&owner.organization, "support");
        member.share_ownership();
        Self { owner, member }
    }

    /// Ends what the statement ends, and sees what the next requests and a new transaction in SQL get.
    fn after(&self, statement: &str, status: u16, sqlstate: &str) -> Result<(), String> {
        let in_sql = || sql::session(|client| sql::sqlstate(sql::begin_authenticated(client, self.member.token())));
        assert_eq!(in_sql(), "");
        assert_eq!(statuses(&many(&self.member, "/contacts")), [200]);

        let statement = statement
            .replace("{user}", &format!("'{}'", self.member.user))
            .replace("{org}", &format!("'{}'", self.owner.organization.id))
            .replace("{session}", &format!("'{}'", self.member.session()));
        assert_eq!(admin::execute(&statement, &[]), 1, "{statement}");

        let answers = many(&self.member, "/contacts");
        let refused = answers.iter().all(|answer| answer.status == status && !answer.text().contains("Guarded"));
        let in_sql = in_sql();
        if refused && in_sql == sqlstate && self.owner.get("/contacts").status == 200 {
            Ok(())
        } else {
            Err(format!("{statement}: {:?} instead of {status}, {in_sql} instead of {sqlstate}", statuses(&answers)))
        }
    }
}

#[test]
fn a_member_is_refused_from_the_next_request_on() {
    let cases = [
        ("update crm_private.sessions set ended_at = now() where id = {session}", 401, "PT401"),
        ("update crm_private.sessions set expires_at = now() - interval '1 second' where id = {session}", 401, "PT401"),
        ("delete from crm_private.sessions where id = {session}", 401, "PT401"),
        ("update crm.users set status = 'disabled' where id = {user}", 401, "PT401"),
        ("update crm.users set status = 'deleted' where id = {user}", 401, "PT401"),
        ("delete from crm.users where id = {user}", 401, "PT401"),
        (
            "update crm.memberships set status = 'ended', ended_at = now() where user_id = {user} and org_id = {org}",
            403,
            "PT403",
        ),
        ("delete from crm.memberships where user_id = {user} and org_id = {org}", 403, "PT403"),
    ];
    all(cases, |(statement, status, sqlstate)| Member::new().after(statement, status, sqlstate));
}

#[test]
fn everybody_in_an_organization_is_refused_once_it_is_suspended() {
    for status in ["suspended", "cancelled"] {
        let Member { owner, member } = Member::new();
        assert_eq!(statuses(&many(&member, "/contacts")), [200]);
        let set = |status: &str| {
            admin::execute(
                "update crm.organizations set status = $1 where id = $2",
                &[&status, &owner.organization.id],
            );
        };
        set(status);
        for person in [&member, &owner] {
            assert_eq!(statuses(&many(person, "/contacts")), [403], "{status}");
            assert_eq!(login(&person.email, &person.password, Some(&owner.organization.slug)).status, 403, "{status}");
        }
        // In their own organization the member goes on.
        assert_eq!(member.working_in(&member.organization.slug).get("/contacts").expect(200).rows().len(), 0);
        set("active");
        assert_eq!(statuses(&many(&member, "/contacts")), [200]);
    }
}

#[test]
fn a_member_of_several_no_longer_sees_the_one_they_left() {
    let Member { owner, member } = Member::new();
    let member = member.logged_in(None);
    assert_eq!(member.get("/contacts").expect(200).column("last_name"), ["Guarded"]);
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
        &[&member.user, &owner.organization.id],
    );
    assert_eq!(member.get("/contacts").expect(200).rows().len(), 0);
    assert_eq!(member.get("/organizations").expect(200).rows().len(), 1);
    assert_eq!(member.get(&format!("/users?id=eq.{}", owner.user)).expect(200).rows().len(), 0);
    member.working_in(&owner.organization.slug).get("/contacts").expect(403);
}

#[test]
fn a_member_whose_role_shrinks_cannot_write_from_the_next_request_on() {
    let Member { owner, member } = Member::new();
    member.insert("contacts", &json!({ "last_name": "Allowed" }));
    assert_eq!(statuses(&many(&member, "/contacts")), [200]);
    admin::execute(
        "update crm.memberships set role = 'read_only' where user_id = $1 and org_id = $2",
        &[&member.user, &owner.organization.id],
    );
    for _ in 0..10 {
        member.post("/contacts", &json!({ "last_name": "Denied" })).expect(403);
    }
    assert_eq!(admin::count("contacts", owner.organization.id), 2);
}

#[test]
fn a_user_whose_token_expires_is_refused_although_it_is_remembered() {
    let user = Actor::register();
    let claims = with(&token::payload(user.token()), "exp", json!(now() + 3));
    let short = user.with_token(&Signer::stolen().sign(&token::header(user.token()).to_string(), &claims.to_string()));
    assert_eq!(statuses(&many(&short, "/contacts")), [200]);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(statuses(&many(&short, "/contacts")), [401]);
}

#[test]
fn a_disabled_user_cannot_log_in() {
    for status in ["disabled", "deleted"] {
        let user = Actor::register();
        admin::execute("update crm.users set status = $1 where id = $2", &[&status, &user.user]);
        let answer = login(&user.email, &user.password, None);
        assert_eq!((answer.status, answer.code()), (401, "28P01".into()), "{answer}");
    }
}

#[test]
fn a_user_whose_one_session_ends_keeps_the_other() {
    let phone = Actor::register();
    let laptop = phone.logged_in(None);
    assert_ne!(phone.session(), laptop.session());
    admin::execute("update crm_private.sessions set ended_at = now() where id = $1", &[&phone.session()]);
    phone.get("/rpc/me").expect(401);
    laptop.get("/rpc/me").expect(200);
}

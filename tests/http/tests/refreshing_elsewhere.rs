//! Going on in another organization: with a refresh token that names it, and by switching within a session.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::text;
use crm_http_tests::identity::{Session, refresh, refresh_in};
use crm_http_tests::{admin, all, sql, token, unique};
use serde_json::{Value, json};

/// A member of somebody else's organization and of their own, where they are.
struct Member {
    owner: Actor,
    session: Session,
}

impl Member {
    fn new() -> Self {
        let owner = Actor::register();
        owner.insert("contacts", &json!({ "last_name": "Theirs" }));
        let member = Actor::register();
        member.insert("contacts", &json!({ "last_name": "Mine" }));
        member.join(&owner.organization, "support");
        let session = Session::in_organization(&member, Some(&member.organization.slug));
        Self { owner, session }
    }

    fn switch(&self, organization: Value) -> crm_http_tests::http::Response {
        self.session.user.post("/rpc/switch_org", &json!({ "organization": organization }))
    }
}

/// The contacts that a token shows.
fn seen(session: &Session) -> Vec<String> {
    session.user.get("/contacts?order=last_name").expect(200).column("last_name")
}

fn claims(session: &Session) -> Value {
    token::payload(session.user.token())
}

/// Names of organizations that the user is not in, or that nobody has.
fn foreign() -> Vec<String> {
    let stranger = Actor::register();
    let suspended = Actor::register();
    admin::execute("update crm.organizations set status = 'suspended' where id = $1", &[&suspended.organization.id]);
    vec![
        stranger.organization.id.to_string(),
        stranger.organization.slug,
        suspended.organization.slug,
        unique("nowhere"),
        uuid::Uuid::new_v4().to_string(),
        String::new(),
        "' or true --".into(),
        "x".repeat(100 << 10),
    ]
}

#[test]
fn a_member_of_two_goes_on_in_the_one_they_name() {
    let Member { owner, session } = Member::new();
    assert_eq!(seen(&session), ["Mine"]);
    let theirs = &owner.organization;
    let in_theirs = Session::told(&session.user, &refresh_in(&session.refresh_token, &theirs.slug).expect(200));
    assert_eq!(seen(&in_theirs), ["Theirs"]);
    assert_eq!((&claims(&in_theirs)["sid"], &claims(&in_theirs)["role"]), (&json!(session.id()), &json!("crm_app")));
    // Where one was last is where one goes on.
    let still = in_theirs.refreshed();
    assert_eq!(seen(&still), ["Theirs"]);
    let own = session.user.organization.id.to_string();
    let back = Session::told(&session.user, &refresh_in(&still.refresh_token, &own).expect(200));
    assert_eq!(seen(&back), ["Mine"]);
    // The first token is still for what it was made for.
    assert_eq!(seen(&session), ["Mine"]);
}

#[test]
fn a_member_of_two_who_reads_across_both_goes_on_so() {
    let Member { session, .. } = Member::new();
    let everywhere = Session::of(&session.user);
    assert_eq!(seen(&everywhere.refreshed().refreshed()), ["Mine", "Theirs"]);
}

#[test]
fn a_user_cannot_go_on_in_an_organization_of_others_and_keeps_the_token() {
    let Member { session, .. } = Member::new();
    let expected = refresh_in(&session.refresh_token, &unique("nowhere")).expect(403).text();
    assert!(expected.contains("42501") && !expected.contains("token"), "{expected}");
    all(foreign(), |named| {
        let answer = refresh_in(&session.refresh_token, &named);
        if (answer.status, answer.text()) == (403, expected.clone()) { Ok(()) } else { Err(answer.to_string()) }
    });
    assert_eq!(session.turns(), 1);
    assert_eq!(seen(&session.expect_alive()), ["Mine"]);
}

#[test]
fn a_caller_with_a_bad_token_learns_nothing_of_organizations() {
    let Member { owner, .. } = Member::new();
    let bad = unique("nobodys");
    let expected = refresh(&bad).expect(401).text();
    for named in [owner.organization.slug, owner.organization.id.to_string(), unique("nowhere")] {
        assert_eq!(refresh_in(&bad, &named).expect(401).text(), expected);
    }
}

#[test]
fn a_user_switches_by_slug_by_id_and_to_all_within_the_session() {
    let member = Member::new();
    let theirs = &member.owner.organization;
    for (organization, role, sees) in [
        (json!(theirs.slug), "crm_app", vec!["Theirs"]),
        (json!(member.session.user.organization.id), "crm_app", vec!["Mine"]),
        (json!(theirs.id), "crm_app", vec!["Theirs"]),
        (Value::Null, "crm_multi", vec!["Mine", "Theirs"]),
    ] {
        let answer = member.switch(organization.clone()).expect(200);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        let body = answer.json();
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["access_token", "expires_in", "organization", "organizations", "token_type", "user"]);
        assert_eq!(body["organization"].is_null(), organization.is_null());
        assert_eq!(body["organizations"].as_array().unwrap().len(), 2);
        let switched = Session { refresh_token: String::new(), ..Session::told(&member.session.user, &answer) };
        assert_eq!(switched.id(), member.session.id());
        assert_eq!(claims(&switched)["role"], role);
        assert_eq!(seen(&switched), sees);
    }
    let nothing_named = member.session.user.post("/rpc/switch_org", &json!({})).expect(200).json();
    assert_eq!(nothing_named["organization"], Value::Null);
}

#[test]
fn a_user_who_switched_goes_on_there_after_a_refresh() {
    let member = Member::new();
    member.switch(json!(member.owner.organization.slug)).expect(200);
    let next = member.session.refreshed();
    assert_eq!(seen(&next), ["Theirs"]);
    member.switch(Value::Null).expect(200);
    assert_eq!(seen(&next.refreshed()), ["Mine", "Theirs"]);
}

#[test]
fn a_user_who_reads_across_all_switches_to_one() {
    let Member { owner, session } = Member::new();
    let everywhere = Session::of(&session.user);
    let answer =
        everywhere.user.post("/rpc/switch_org", &json!({ "organization": owner.organization.slug })).expect(200);
    let token = text(&answer.json()["access_token"]);
    everywhere.user.with_token(&token).post("/contacts", &json!({ "last_name": "Made there" })).expect(201);
    assert_eq!(admin::count("contacts", owner.organization.id), 2);
}

#[test]
fn a_user_cannot_switch_to_an_organization_of_others() {
    let member = Member::new();
    let expected = member.switch(json!(unique("nowhere"))).expect(403).text();
    assert!(expected.contains("42501"), "{expected}");
    all(foreign(), |named| {
        let answer = member.switch(json!(named));
        if (answer.status, answer.text()) == (403, expected.clone()) { Ok(()) } else { Err(answer.to_string()) }
    });
    assert_eq!(seen(&member.session.refreshed()), ["Mine"]);
}

#[test]
fn a_former_member_cannot_switch_back() {
    let member = Member::new();
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
        &[&member.session.user.user, &member.owner.organization.id],
    );
    member.switch(json!(member.owner.organization.slug)).expect(403);
    refresh_in(&member.session.refresh_token, &member.owner.organization.slug).expect(403);
}

#[test]
fn a_caller_without_a_session_and_a_get_request_switch_nothing() {
    let member = Member::new();
    let path = "/rpc/switch_org";
    anonymous("POST", path).json(&json!({ "organization": member.owner.organization.slug })).send().expect(401);
    let get = member.session.user.get(&format!("{path}?organization={}", member.owner.organization.slug));
    assert_eq!(get.status, 405, "{get}");
    assert_eq!(seen(&member.session.refreshed()), ["Mine"]);
}

#[test]
fn a_sql_client_switches_and_goes_on_with_the_new_token() {
    let member = Member::new();
    let switched: Value = sql::session(|client| {
        let mut transaction = sql::begin_authenticated(client, member.session.user.token()).unwrap();
        let slug = &member.owner.organization.slug;
        let refused =
            sql::sqlstate(transaction.transaction().unwrap().query_one("select crm.switch_org('nowhere')", &[]));
        assert_eq!(refused, "42501");
        let answer = transaction.query_one("select crm.switch_org($1)", &[slug]).unwrap().get(0);
        transaction.commit().unwrap();
        answer
    });
    let token = text(&switched["access_token"]);
    sql::session(|client| assert_eq!(sql::contacts(&mut sql::begin_authenticated(client, &token).unwrap()), 1));
    assert_eq!(seen(&member.session.refreshed()), ["Theirs"]);
}

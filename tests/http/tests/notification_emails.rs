//! Whether one wants one's notifications as e-mail: everybody's own word, organization by organization.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::machine::Key;
use crm_http_tests::{admin, sql};
use serde_json::{Value, json};

const PATH: &str = "/rpc/set_notification_email";

fn waiting(of: &Actor) -> i64 {
    admin::value("select count(*) from crm_private.messages where kind = 'notification' and user_id = $1", &[&of.user])
}

#[test]
fn everybody_asks_for_themselves_in_the_organization_they_work_in() {
    let (owner, elsewhere) = (Actor::register(), Actor::register());
    let member = Actor::member(&owner.organization, "read_only");
    member.join(&elsewhere.organization, "sales");
    let there = member.working_in(&owner.organization.slug);
    assert_eq!(there.get("/rpc/me").expect(200).json()["organization"]["notification_email"], false);
    for enabled in [true, true, false, true] {
        let answer = there.post(PATH, &json!({ "enabled": enabled })).expect(200).json();
        assert_eq!(answer, json!({ "notification_email": enabled }));
        assert_eq!(there.get("/rpc/me").expect(200).json()["organization"]["notification_email"], enabled);
    }
    let told = member.get("/rpc/me").expect(200).json();
    for one in told["organizations"].as_array().unwrap() {
        assert_eq!(one["notification_email"], one["id"] == json!(owner.organization.id), "{one}");
    }
    assert_eq!(owner.get("/rpc/me").expect(200).json()["organization"]["notification_email"], false);
}

#[test]
fn what_is_no_word_of_ones_own_is_refused() {
    let (owner, elsewhere) = (Actor::register(), Actor::register());
    let member = Actor::member(&owner.organization, "sales");
    let yes = json!({ "enabled": true });
    member.get(&format!("{PATH}?enabled=true")).expect(405);
    member.post(PATH, &json!({ "enabled": null })).expect(400);
    member.post(PATH, &json!({ "enabled": "perhaps" })).expect(400);
    // There is no argument that would name somebody else.
    owner.post(PATH, &json!({ "enabled": true, "user_id": member.user })).expect(404);
    member.working_in(&elsewhere.organization.slug).post(PATH, &yes).expect(403);
    anonymous("POST", PATH).json(&yes).send().expect(401);
    assert_eq!(Key::of(&owner, &["*.*"]).call("set_notification_email", &yes).status, 403);
    member.join(&elsewhere.organization, "sales");
    let nowhere = member.logged_in(None).post(PATH, &yes).expect(400).json();
    assert!(nowhere["message"].as_str().unwrap().contains("X-Org-ID"), "{nowhere}");
    let wanted: i64 =
        admin::value("select count(*) from crm_private.notification_emails where user_id = $1", &[&member.user]);
    assert_eq!(wanted, 0);
}

#[test]
fn an_address_that_is_not_proven_gets_none_and_what_is_read_first_is_not_handed_out() {
    let owner = Actor::register();
    owner.post(PATH, &json!({ "enabled": true })).expect(200);
    let told = json!({ "user_id": owner.user, "kind": "mention", "title": "Look" });
    owner.insert("notifications", &told);
    assert_eq!(waiting(&owner), 0);
    admin::execute("update crm.users set email_verified_at = now() where id = $1", &[&owner.user]);
    owner.insert("notifications", &told);
    assert_eq!(waiting(&owner), 1);
    owner.patch("/notifications?read_at=is.null", &json!({ "read_at": "2030-01-01T00:00:00Z" })).expect(200);
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_worker").unwrap();
    let handed_out: Value = transaction
        .query_one("select coalesce(jsonb_agg(m.recipient), '[]') from crm.claim_messages(100) as m where kind = 'notification'", &[])
        .unwrap()
        .get(0);
    assert!(!handed_out.as_array().unwrap().contains(&json!(owner.email)), "{handed_out}");
    transaction.rollback().unwrap();
}

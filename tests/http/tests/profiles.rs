//! People change their own profile, and an organization's is changed by those who may.

use crm_http_tests::actor::Actor;
use crm_http_tests::http::text;
use crm_http_tests::machine::{Key, forbidden};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::{admin, all};
use serde_json::{Value, json};
use uuid::Uuid;

fn of_user(id: Uuid) -> String {
    format!("/users?id=eq.{id}")
}

fn of_organization(id: Uuid) -> String {
    format!("/organizations?id=eq.{id}")
}

#[test]
fn a_user_changes_their_own_profile() {
    let person = Actor::register();
    let profile = json!({
        "full_name": " Ann Lee ", "time_zone": "Europe/Berlin", "locale": "pt_br", "avatar_url": "https://example.com/a.png",
    });
    let before = text(&person.get("/users").expect(200).rows()[0]["updated_at"]);
    let row = person.patch(&of_user(person.user), &profile).expect(200).rows().remove(0);
    assert_eq!(
        (&row["full_name"], &row["time_zone"], &row["locale"]),
        (&json!("Ann Lee"), &json!("Europe/Berlin"), &json!("pt-BR"))
    );
    assert!(text(&row["updated_at"]) > before);
    let me = person.get("/rpc/me").expect(200).json();
    assert_eq!((&me["user"]["full_name"], &me["user"]["locale"]), (&json!("Ann Lee"), &json!("pt-BR")));
    let removed = person.patch(&of_user(person.user), &json!({ "avatar_url": null, "locale": "" })).expect(200).rows();
    assert_eq!((&removed[0]["avatar_url"], &removed[0]["locale"]), (&Value::Null, &Value::Null));
    all(
        [json!({ "time_zone": "Mars/Olympus" }), json!({ "locale": "x" }), json!({ "avatar_url": "javascript:1" })],
        |bad| {
            let answer = person.patch(&of_user(person.user), &bad);
            if answer.status == 400 && answer.code() == "22023" { Ok(()) } else { Err(format!("{bad}: {answer}")) }
        },
    );
}

#[test]
fn nothing_else_of_a_user_is_changed() {
    let person = Actor::register();
    let fields = [
        ("email", json!("x@example.com")),
        ("status", json!("deleted")),
        ("id", json!(Uuid::new_v4())),
        ("email_verified_at", json!("2020-01-01")),
        ("created_at", json!("2020-01-01")),
        ("updated_at", json!("2020-01-01")),
    ];
    let before = admin::fingerprint(person.organization.id);
    all(fields, |(field, value)| {
        forbidden(field, &person.patch(&of_user(person.user), &json!({ "full_name": "x", field: value })))
    });
    person.delete(&of_user(person.user)).expect(403);
    person.post("/users", &json!({ "full_name": "x" })).expect(403);
    let upsert = person.request("POST", "/users").prefer("resolution=merge-duplicates");
    upsert.json(&json!({ "id": person.user, "full_name": "x" })).send().expect(403);
    assert_eq!(admin::fingerprint(person.organization.id), before);
}

#[test]
fn a_user_changes_nobody_elses_profile() {
    let (owner, stranger, support) = (Actor::register(), Actor::register(), Actor::register());
    let member = Actor::member(&owner.organization, "admin");
    let before = [admin::fingerprint(owner.organization.id), admin::fingerprint(stranger.organization.id)];
    let change = json!({ "full_name": "Hacked" });
    for one in [&owner, &member] {
        let other = if one.user == owner.user { member.user } else { owner.user };
        let answer = one.patch(&of_user(other), &change).expect(403);
        assert!(answer.text().contains("their own profile only"), "{answer}");
        one.patch("/users", &change).expect(403);
        one.patch("/users?full_name=neq.nobody", &change).expect(403);
        // Of whom they do not see they learn nothing.
        let (foreign, nobody) =
            (one.patch(&of_user(stranger.user), &change), one.patch(&of_user(Uuid::new_v4()), &change));
        assert_eq!((foreign.status, foreign.text()), (200, "[]".into()));
        assert_eq!((nobody.status, nobody.text()), (200, "[]".into()));
    }
    let key = Key::of(&owner, &["*.*"]);
    for user in [owner.user, stranger.user, Uuid::new_v4()] {
        forbidden("key", &key.patch(&of_user(user), &change)).unwrap();
    }
    admin::execute("select crm.grant_platform_role($1, 'support')", &[&support.user]);
    let acting = support.post("/rpc/impersonate", &json!({ "user_id": owner.user, "reason": "x" })).expect(200).json();
    let acting = owner.with_token(&text(&acting["access_token"]));
    acting.patch(&of_user(owner.user), &change).expect(403);
    acting.patch(&of_user(Uuid::new_v4()), &change).expect(403);
    assert_eq!([admin::fingerprint(owner.organization.id), admin::fingerprint(stranger.organization.id)], before);
}

#[test]
fn those_who_may_change_their_organizations_profile_and_numbers_are_read_by_its_country() {
    let owner = Actor::register();
    let path = of_organization(owner.organization.id);
    let phone = |number: &str| {
        owner.insert("contacts", &json!({ "last_name": "x", "phone": number }))["phone_normalized"].clone()
    };
    assert_eq!(phone("030 123456"), Value::Null);
    let before = text(&owner.get(&path).expect(200).rows()[0]["updated_at"]);
    let profile = json!({ "name": " Acme & Co ", "country": "de", "currency": "eur", "time_zone": "Europe/Berlin" });
    let row = owner.patch(&path, &profile).expect(200).rows().remove(0);
    assert_eq!((&row["name"], &row["country"], &row["currency"]), (&json!("Acme & Co"), &json!("DE"), &json!("EUR")));
    assert!(text(&row["updated_at"]) > before);
    assert_eq!(phone("030 123456"), "+4930123456");
    let administrator = Actor::member(&owner.organization, "admin");
    administrator.patch(&path, &json!({ "country": "US" })).expect(200);
    assert_eq!(phone("(650) 253-0000"), "+16502530000");
    for role in ["manager", "sales", "support", "read_only"] {
        let member = Actor::member(&owner.organization, role);
        member.patch(&path, &json!({ "name": "x" })).expect(403);
        member.patch(&of_organization(Uuid::new_v4()), &json!({ "name": "x" })).expect(403);
    }
    Key::of(&owner, &["organizations.*"]).patch(&path, &json!({ "currency": "USD" })).expect(200);
    forbidden("", &Key::of(&owner, &["contacts.*"]).patch(&path, &json!({ "currency": "EUR" }))).unwrap();
    all(
        [
            json!({ "slug": "x" }),
            json!({ "status": "cancelled" }),
            json!({ "id": Uuid::new_v4() }),
            json!({ "status_reason": "x" }),
        ],
        |change| forbidden("", &owner.patch(&path, &change)),
    );
}

#[test]
fn an_organizations_profile_is_changed_where_one_works() {
    let (person, other, stranger) = (Actor::register(), Actor::register(), Actor::register());
    person.join(&other.organization, "owner");
    let here = person.logged_in(Some(&person.organization.slug));
    let before = [admin::fingerprint(other.organization.id), admin::fingerprint(stranger.organization.id)];
    here.patch(&of_organization(other.organization.id), &json!({ "name": "x" })).expect(403);
    here.patch("/organizations", &json!({ "name": "x" })).expect(403);
    for id in [stranger.organization.id, Uuid::new_v4()] {
        assert_eq!(here.patch(&of_organization(id), &json!({ "name": "x" })).expect(200).text(), "[]");
    }
    assert_eq!([admin::fingerprint(other.organization.id), admin::fingerprint(stranger.organization.id)], before);
    here.working_in(&other.organization.slug)
        .patch(&of_organization(other.organization.id), &json!({ "name": "There" }))
        .expect(200);
}

#[test]
fn an_organizations_profile_is_not_changed_by_who_may_no_longer_when_it_commits() {
    let owner = Actor::register();
    let administrator = Actor::member(&owner.organization, "admin");
    let mut client = sql::connect();
    let mut transaction = sql::begin_authenticated(&mut client, administrator.token()).unwrap();
    let changed =
        transaction.execute("update crm.organizations set name = 'x' where id = $1", &[&owner.organization.id]);
    assert_eq!(changed.unwrap(), 1);
    owner.post("/rpc/set_member_role", &json!({ "user_id": administrator.user, "role": "sales" })).expect(200);
    assert_eq!(sqlstate(transaction.commit()), "42501");
    let name: String = admin::value("select name from crm.organizations where id = $1", &[&owner.organization.id]);
    assert_ne!(name, "x");
}

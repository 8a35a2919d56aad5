//! The organization a request works in, and those that were suspended or cancelled.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::identity::{Session, refresh_in};
use crm_http_tests::machine::{Key, many};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::{admin, all};
use serde_json::{Value, json};
use uuid::Uuid;

fn platform() -> Key {
    Key::of_platform(&["organizations.*"])
}

fn suspend(organization: Uuid, reason: &str) {
    platform().call("suspend_organization", &json!({ "org_id": organization, "reason": reason })).expect(200);
}

/// Somebody with a contact in each of two organizations, who looks across both.
fn both() -> (Actor, Actor) {
    let (person, other) = (Actor::with_contacts(1), Actor::with_contacts(1));
    person.join(&other.organization, "read_only");
    (person.logged_in(None), other)
}

fn with(person: &Actor, headers: &[(&str, &str)]) -> Response {
    let request = person.request("GET", "/rpc/whoami");
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send()
}

// ---------------------------------------------------------------------------------------------- which one

#[test]
fn the_host_name_names_the_organization_as_the_headers_do() {
    let (person, other) = both();
    let (mine, slug, id) = (&person.organization, other.organization.slug.as_str(), other.organization.id.to_string());
    let names: [&[(&str, &str)]; 5] = [
        &[("X-Org-Subdomain", slug)],
        &[("X-Org-ID", &id)],
        &[("X-Tenant-ID", slug)],
        &[("X-Org-ID", &id), ("X-Org-Subdomain", slug)],
        &[("X-Org-ID", slug), ("X-Tenant-ID", slug), ("X-Org-Subdomain", slug)],
    ];
    for headers in names {
        let whoami = with(&person, headers).expect(200).json();
        assert_eq!((&whoami["org_id"], &whoami["database_role"]), (&json!(id), &json!("crm_app")), "{headers:?}");
    }
    assert_eq!(with(&person, &[]).expect(200).json()["database_role"], "crm_multi");
    assert_eq!(with(&person, &[("X-Org-Subdomain", "")]).expect(200).json()["database_role"], "crm_multi");
    let differing: [&[(&str, &str)]; 4] = [
        &[("X-Org-ID", &mine.slug), ("X-Org-Subdomain", slug)],
        &[("X-Tenant-ID", &mine.slug), ("X-Org-Subdomain", slug)],
        &[("X-Org-ID", &id), ("X-Org-Subdomain", &mine.slug)],
        &[("X-Org-ID", &id), ("X-Org-Subdomain", "nowhere")],
    ];
    for headers in differing {
        let answer = with(&person, headers).expect(400);
        assert!(answer.text().contains("different organizations"), "{answer}");
    }
}

#[test]
fn a_host_name_of_somebody_elses_organization_is_refused_like_one_of_nobodys() {
    let (person, stranger) = (Actor::register(), Actor::register());
    let own = person.organization.slug.clone();
    let (id, slug) = (stranger.organization.id.to_string(), stranger.organization.slug.clone());
    let nowhere = with(&person, &[("X-Org-Subdomain", "nowhere")]).expect(403).text();
    let cases: [&[(&str, &str)]; 5] = [
        &[("X-Org-Subdomain", &slug)],
        &[("X-Org-Subdomain", &id)],
        &[("X-Org-ID", &id), ("X-Org-Subdomain", &slug)],
        &[("X-Org-ID", &id), ("X-Org-Subdomain", "other")],
        &[("X-Org-ID", &slug), ("X-Tenant-ID", &id)],
    ];
    for headers in cases {
        assert_eq!(with(&person, headers).expect(403).text(), nowhere, "{headers:?}");
    }
    // Beside one's own, whether the other exists is not told.
    let beside = |other: &str| with(&person, &[("X-Org-ID", other), ("X-Org-Subdomain", &own)]).expect(400).text();
    assert_eq!(beside(&id), beside(&Uuid::new_v4().to_string()));
}

#[test]
fn a_key_takes_no_host_name_but_that_of_its_organization() {
    let (owner, stranger) = (Actor::register(), Actor::register());
    let key = Key::of(&owner, &["*.*"]);
    let ask = |name: &str| key.request("GET", "/contacts").header("X-Org-Subdomain", name).send().status;
    assert_eq!(ask(&owner.organization.slug), 200);
    assert_eq!((ask(&stranger.organization.slug), ask("nowhere")), (403, 403));
    let both = |id: Uuid, slug: &str| {
        let request = key.request("GET", "/contacts").header("X-Org-ID", &id.to_string());
        request.header("X-Org-Subdomain", slug).send().status
    };
    assert_eq!(both(owner.organization.id, &owner.organization.slug), 200);
    assert_eq!(both(owner.organization.id, &stranger.organization.slug), 400);
    assert_eq!(both(stranger.organization.id, &stranger.organization.slug), 403);
    let platform =
        platform().request("GET", "/rpc/list_organizations").header("X-Org-Subdomain", &owner.organization.slug);
    assert_eq!(platform.send().status, 403);
}

#[test]
fn who_belongs_to_one_organization_need_not_name_it() {
    let (person, other) = both();
    admin::execute(
        "delete from crm.memberships where org_id = $1 and user_id = $2",
        &[&other.organization.id, &person.user],
    );
    let whoami = with(&person, &[]).expect(200).json();
    let expected = (json!(person.organization.id), json!("crm_app"));
    assert_eq!((whoami["org_id"].clone(), whoami["database_role"].clone()), expected);
    assert_eq!(person.insert("contacts", &json!({ "last_name": "Unnamed" }))["org_id"], json!(person.organization.id));
    // And none of those that can be worked in: nothing.
    suspend(person.organization.id, "x");
    let whoami = with(&person, &[]).expect(200).json();
    assert_eq!((&whoami["org_id"], &whoami["database_role"]), (&Value::Null, &json!("crm_multi")));
    assert_eq!(person.count("contacts"), 0);
}

#[test]
fn a_request_that_goes_on_as_another_role_takes_as_long_as_that_may() {
    let (person, other) = both();
    let seconds = |person: &Actor| {
        sql::session(|client| {
            let mut transaction = client.transaction().unwrap();
            let headers =
                json!({ "authorization": format!("Bearer {}", person.token()), "x-org-id": other.organization.slug });
            let claims = crm_http_tests::token::payload(person.token()).to_string();
            transaction
                .execute(
                    "select set_config('role', 'crm_multi', true), set_config('statement_timeout', '1h', true),
                         set_config('request.jwt.claims', $1, true), set_config('request.headers', $2, true)",
                    &[&claims, &headers.to_string()],
                )
                .unwrap();
            transaction.execute("select crm.pre_request()", &[]).unwrap();
            transaction
                .query_one("select current_user::text || ' ' || current_setting('statement_timeout')", &[])
                .unwrap()
                .get::<_, String>(0)
        })
    };
    assert_eq!(seconds(&person), "crm_app 15s");
}

// ---------------------------------------------------------------------------------------------- what is listed

#[test]
fn organizations_lists_ones_own_and_no_others() {
    let (person, other) = both();
    let _stranger = Actor::register();
    let mut expected = [person.organization.id.to_string(), other.organization.id.to_string()];
    expected.sort();
    for how in
        [person.clone(), person.working_in(&other.organization.slug), person.logged_in(Some(&person.organization.slug))]
    {
        assert_eq!(how.get("/organizations?order=id").expect(200).column("id"), expected);
    }
    assert_eq!(Key::of(&other, &["organizations.read"]).get("/organizations").expect(200).rows().len(), 1);
    assert_eq!(Key::of(&other, &["contacts.read"]).get("/organizations").expect(200).rows().len(), 0);
}

// ---------------------------------------------------------------------------------------------- suspended and cancelled

#[test]
fn members_of_a_suspended_organization_are_told_why_on_every_path_and_others_are_not() {
    let (person, other) = both();
    let (own, id) = (person.organization.slug.clone(), person.organization.id.to_string());
    let (inside, key, session) = (
        person.logged_in(Some(&own)),
        Key::of(&person.working_in(&own), &["*.*"]),
        Session::in_organization(&person, None),
    );
    let stranger = other.logged_in(None);
    assert_eq!([many(|| inside.get("/contacts")), many(|| key.get("/contacts"))], [[200], [200]]);
    suspend(person.organization.id, "Unpaid bills");
    let told = |what: &str, answer: Response| {
        let text = answer.text();
        let says = ["this organization is suspended", "Reason: Unpaid bills", "Since 20"];
        let fine = answer.status == 403 && says.iter().all(|part| text.contains(part));
        if fine { Ok(()) } else { Err(format!("{what}: {answer}")) }
    };
    let paths: Vec<(&str, Response)> = vec![
        ("token", inside.get("/contacts")),
        ("function", inside.get("/rpc/me")),
        ("X-Org-ID", person.working_in(&own).get("/contacts")),
        ("id", person.working_in(&id).get("/contacts")),
        ("X-Tenant-ID", person.request("GET", "/contacts").header("X-Tenant-ID", &own).send()),
        ("host name", person.request("GET", "/contacts").header("X-Org-Subdomain", &own).send()),
        ("key", key.get("/contacts")),
        ("key writing", key.post("/contacts", &json!({ "last_name": "x" }))),
        ("login", login(&person.email, &person.password, Some(&own))),
        (
            "switch_org",
            person.working_in(&other.organization.slug).post("/rpc/switch_org", &json!({ "organization": own })),
        ),
        ("refresh", refresh_in(&session.refresh_token, &own)),
    ];
    all(paths, |(what, answer)| told(what, answer));
    sql::session(|client| {
        assert_eq!(sqlstate(sql::begin_authenticated(client, inside.token())), "PT403");
        let mut everywhere = sql::begin_authenticated(client, person.token()).unwrap();
        assert_eq!(sql::contacts(&mut everywhere), 1);
    });
    assert_eq!(key.state_in("crm_app"), "PT403");
    let unknown = stranger.working_in("nowhere").get("/contacts").expect(403).text();
    assert_eq!(stranger.working_in(&own).get("/contacts").expect(403).text(), unknown);
    assert_eq!(
        login(&other.email, &other.password, Some(&own)).text(),
        login(&other.email, &other.password, Some("nowhere")).text()
    );
}

#[test]
fn members_of_a_suspended_organization_log_in_and_see_what_became_of_it() {
    let person = Actor::with_contacts(2);
    suspend(person.organization.id, "Unpaid bills");
    let welcome = login(&person.email, &person.password, None).expect(200).json();
    assert_eq!(welcome["organization"], Value::Null);
    let listed = &welcome["organizations"][0];
    assert_eq!((&listed["status"], &listed["status_reason"]), (&json!("suspended"), &json!("Unpaid bills")));
    assert!(listed["status_changed_at"].is_string());
    let person = person.logged_in(None);
    let row = &person.get("/organizations").expect(200).rows()[0];
    assert_eq!((&row["status"], &row["status_reason"]), (&json!("suspended"), &json!("Unpaid bills")));
    for table in ["contacts", "accounts", "memberships"] {
        assert_eq!(person.count(table), 0, "{table}");
    }
    assert_eq!(person.get("/users").expect(200).column("id"), [person.user.to_string()]);
    person.patch(&format!("/organizations?id=eq.{}", person.organization.id), &json!({ "name": "x" })).expect(403);
    let row = json!({ "last_name": "x", "org_id": person.organization.id });
    person.post("/contacts", &row).expect(403);
    assert_eq!(admin::count("contacts", person.organization.id), 2);
}

#[test]
fn a_cancelled_organization_stays_so() {
    let (person, platform) = (Actor::register(), platform());
    let arguments = json!({ "org_id": person.organization.id, "reason": "Moved away" });
    let answer = platform.call("cancel_organization", &arguments).expect(200).json();
    assert_eq!((&answer["status"], &answer["status_reason"]), (&json!("cancelled"), &json!("Moved away")));
    let told = person.get("/contacts").expect(403).text();
    assert!(told.contains("this organization was cancelled") && told.contains("Moved away"), "{told}");
    platform.call("resume_organization", &json!({ "org_id": person.organization.id })).expect(400);
    platform.call("suspend_organization", &arguments).expect(400);
    platform.call("cancel_organization", &arguments).expect(400);
    person.get("/contacts").expect(403);
}

#[test]
fn a_suspension_stops_transactions_under_way_and_no_other_begins() {
    let person = Actor::with_contacts(1);
    let (mut client, mut another) = (sql::connect(), sql::connect());
    let add = "insert into crm.contacts (last_name) values ('Under way')";
    let mut running = sql::begin_authenticated(&mut client, person.token()).unwrap();
    let mut written = sql::begin_authenticated(&mut another, person.token()).unwrap();
    assert_eq!(sql::contacts(&mut running), 1);
    written.execute(add, &[]).unwrap();
    suspend(person.organization.id, "x");
    assert_eq!(sql::contacts(&mut running), 0);
    assert_eq!(sqlstate(running.execute(add, &[])), "42501");
    drop(running);
    assert_eq!(sqlstate(written.commit()), "42501");
    assert_eq!(admin::count("contacts", person.organization.id), 1);
    let mut next = sql::begin_as(&mut client, "crm_app").unwrap();
    assert_eq!(sqlstate(sql::authenticate(&mut next, person.token())), "PT403");
    next.rollback().unwrap();
    sql::assert_nobody(&mut client);
}

#[test]
fn support_reaches_no_suspended_organization() {
    let (support, person) = (Actor::register(), Actor::register());
    admin::execute("select crm.grant_platform_role($1, 'support')", &[&support.user]);
    suspend(person.organization.id, "Unpaid bills");
    let ask = |organization: Value| {
        support.post(
            "/rpc/impersonate",
            &json!({ "user_id": person.user, "reason": "Help", "organization": organization }),
        )
    };
    assert!(ask(json!(person.organization.slug)).expect(403).text().contains("Unpaid bills"));
    let token = ask(Value::Null).expect(200).json()["access_token"].as_str().unwrap().to_owned();
    let acting = person.with_token(&token);
    assert_eq!(acting.count("contacts"), 0);
    acting.working_in(&person.organization.slug).get("/contacts").expect(403);
    Request::new("GET", "/organizations").token(&token).send().expect(200);
}

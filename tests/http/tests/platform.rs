//! The platform's backend, with a key of the platform: organizations.

use crm_http_tests::actor::{Actor, anonymous, id_of, login};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, forbidden, invite, many};
use crm_http_tests::mailbox::{messages_to, token_to};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, unique};
use serde_json::{Value, json};
use uuid::Uuid;

fn platform() -> Key {
    Key::of_platform(&["organizations.*"])
}

fn exists(slug: &str) -> bool {
    admin::value("select exists (select from crm.organizations where slug = $1)", &[&slug])
}

fn suspend(platform: &Key, organization: Uuid) -> Response {
    platform.call("suspend_organization", &json!({ "org_id": organization, "reason": "Unpaid bills" }))
}

/// The organization as the platform lists it.
fn listed(platform: &Key, organization: Uuid) -> Vec<Value> {
    platform.get(&format!("/rpc/list_organizations?id=eq.{organization}")).expect(200).rows()
}

// ---------------------------------------------------------------------------------------------- creating

#[test]
fn the_platform_creates_an_organization_under_a_slug() {
    let (platform, slug) = (platform(), unique("acme"));
    let answer =
        platform.call("create_organization", &json!({ "name": " Acme, Inc. ", "slug": slug })).expect(200).json();
    let id = id_of(&answer);
    let expected = json!({
        "id": id, "slug": slug, "name": "Acme, Inc.", "status": "active", "status_reason": null, "owner": null,
    });
    assert_eq!(answer, expected);
    let taken = platform.call("create_organization", &json!({ "name": "Another", "slug": slug }));
    assert_eq!((taken.status, taken.code()), (409, "23505".into()), "{taken}");
    let named =
        |name: &str| text(&platform.call("create_organization", &json!({ "name": name })).expect(200).json()["slug"]);
    let name = unique("Named after");
    assert_eq!(named(&name), name.to_lowercase().replace(' ', "-"));
    assert!(named(&name).starts_with(&name.to_lowercase().replace(' ', "-")));
}

#[test]
fn the_platform_is_told_which_argument_is_wrong() {
    let platform = platform();
    let slug = unique("wrong");
    let long = format!("{slug}{}", "x".repeat(64));
    let cases = [
        (json!({ "name": "", "slug": slug }), "name"),
        (json!({ "name": "  ", "slug": slug }), "name"),
        (json!({ "name": null, "slug": slug }), "name"),
        (json!({ "name": "x".repeat(201), "slug": slug }), "name"),
        (json!({ "name": "a\nb", "slug": slug }), "name"),
        (json!({ "name": "x", "slug": "" }), "slug:"),
        (json!({ "name": "x", "slug": slug.to_uppercase() }), "slug:"),
        (json!({ "name": "x", "slug": format!("-{slug}") }), "slug:"),
        (json!({ "name": "x", "slug": format!("{slug}-") }), "slug:"),
        (json!({ "name": "x", "slug": format!("{slug}--x") }), "slug:"),
        (json!({ "name": "x", "slug": format!("{slug} x") }), "slug:"),
        (json!({ "name": "x", "slug": format!("{slug}ä") }), "slug:"),
        (json!({ "name": "x", "slug": long }), "slug:"),
        (json!({ "name": "x", "slug": Uuid::new_v4() }), "slug:"),
        (json!({ "name": "x", "slug": slug, "owner_email": "nobody" }), "owner_email:"),
        (json!({ "name": "x", "slug": slug, "owner_email": "" }), "owner_email:"),
        (
            json!({ "name": "x", "slug": slug, "owner_email": format!("{slug}@example.com"), "owner_name": "a\nb" }),
            "name:",
        ),
    ];
    all(cases, |(arguments, word)| {
        let answer = platform.call("create_organization", &arguments);
        let named = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if named && !exists(&slug) { Ok(()) } else { Err(format!("{word} expected: {answer:.300}")) }
    });
    platform.call("create_organization", &json!({ "slug": slug })).expect(404);
    platform.get(&format!("/rpc/create_organization?name=x&slug={slug}")).expect(405);
    assert!(!exists(&slug));
}

#[test]
fn the_platform_gives_a_new_organization_an_owner_who_is_new() {
    let (platform, email, password) = (platform(), format!("{}@example.com", unique("owner")), unique(PASSWORD_PREFIX));
    let arguments =
        json!({ "name": "Fresh", "slug": unique("fresh"), "owner_email": email.to_uppercase(), "owner_name": "Olga" });
    let answer = platform.call("create_organization", &arguments).expect(200);
    let made = answer.json();
    assert_eq!(made["owner"]["email"], json!(email));
    let token = token_to(&email, "password_reset");
    assert!(!answer.text().contains(&token));
    login(&email, &password, None).expect(401);
    let reset = json!({ "token": token, "new_password": password });
    anonymous("POST", "/rpc/reset_password").json(&reset).send().expect(200);
    let welcome = login(&email, &password, None).expect(200).json();
    assert_eq!((&welcome["organization"]["id"], &welcome["organization"]["role"]), (&made["id"], &json!("owner")));
    assert_eq!((&welcome["user"]["id"], &welcome["user"]["full_name"]), (&made["owner"]["id"], &json!("Olga")));
    assert_eq!(welcome["user"]["email_verified"], true);
}

#[test]
fn the_platform_gives_a_new_organization_an_owner_who_has_an_account() {
    let (platform, person) = (platform(), Actor::register());
    let slug = unique("second");
    let arguments =
        json!({ "name": "Second", "slug": slug, "owner_email": person.email, "owner_name": "Somebody Else" });
    let made = platform.call("create_organization", &arguments).expect(200).json();
    assert_eq!(made["owner"]["id"], json!(person.user));
    assert!(messages_to(&person.email).iter().all(|message| message.kind != "password_reset"));
    let welcome = login(&person.email, &person.password, Some(&slug)).expect(200).json();
    assert_eq!(welcome["organization"]["role"], "owner");
    assert_eq!(
        (&welcome["user"]["full_name"], welcome["organizations"].as_array().unwrap().len()),
        (&json!("Somebody"), 2)
    );
}

// ---------------------------------------------------------------------------------------------- listing

#[test]
fn the_platform_lists_organizations_and_filters_them() {
    let platform = Key::of_platform(&["organizations.read"]);
    let (owner, _other) = (Actor::register(), Actor::register());
    Actor::member(&owner.organization, "sales");
    let slug = &owner.organization.slug;
    let one = platform.get(&format!("/rpc/list_organizations?slug=eq.{slug}")).expect(200).rows();
    assert_eq!(one.len(), 1);
    let members: Vec<_> = one[0].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["created_at", "id", "members", "name", "slug", "status", "status_changed_at", "status_reason"];
    assert_eq!(members, expected);
    assert_eq!((&one[0]["id"], &one[0]["members"]), (&json!(owner.organization.id), &json!(2)));
    let path = format!("/rpc/list_organizations?slug=eq.{slug}&select=slug,status");
    assert_eq!(platform.get(&path).expect(200).json(), json!([{ "slug": slug, "status": "active" }]));
    assert!(platform.get("/rpc/list_organizations").expect(200).rows().len() >= 2);
    assert_eq!(platform.get("/rpc/list_organizations?limit=1&order=created_at.desc").expect(200).rows().len(), 1);
    // Changing them needs more than that.
    forbidden("", &suspend(&platform, owner.organization.id)).unwrap();
    owner.get("/contacts").expect(200);
}

#[test]
fn the_platform_works_with_tenants_as_with_a_table() {
    let platform = Key::of_platform(&["organizations.*", "users.read"]);
    let owner = Actor::register();
    let id = owner.organization.id;
    let embedded = format!("/tenants?id=eq.{id}&select=slug,plan:plans(title),memberships(user_id,role)");
    let expected = json!([{
        "slug": owner.organization.slug, "plan": { "title": "Free" },
        "memberships": [{ "user_id": owner.user, "role": "owner" }],
    }]);
    assert_eq!(platform.get(&embedded).expect(200).json(), expected);

    let slug = unique("tenant");
    let made = platform.post("/tenants", &json!({ "name": " Tenant ", "slug": slug, "country": "de" })).expect(201);
    let row = &made.rows()[0];
    assert_eq!(
        (&row["name"], &row["country"], &row["plan"], &row["status"]),
        (&json!("Tenant"), &json!("DE"), &json!("free"), &json!("active"))
    );
    let path = format!("/tenants?slug=eq.{slug}");
    let changed = platform.patch(&path, &json!({ "time_zone": "Europe/Berlin" })).expect(200);
    assert_eq!((changed.rows().len(), &changed.rows()[0]["time_zone"]), (1, &json!("Europe/Berlin")));
    let named = platform.post("/tenants", &json!({ "name": slug })).expect(201);
    assert!(text(&named.rows()[0]["slug"]).starts_with(&format!("{slug}-")), "{named}");
    assert_eq!(platform.post("/tenants", &json!({ "name": "x", "slug": slug })).expect(409).code(), "23505");
    assert_eq!(platform.post("/tenants", &json!({ "name": "x", "slug": "A B" })).expect(400).code(), "22023");

    for wrong in [json!({ "status": "suspended" }), json!({ "plan": "enterprise" }), json!({ "slug": "other" })] {
        platform.patch(&path, &wrong).expect(403);
    }
    platform.delete(&path).expect(403);
    assert!(exists(&slug));
}

#[test]
fn tenants_are_the_platforms_alone() {
    let owner = Actor::register();
    let path = format!("/tenants?id=eq.{}", owner.organization.id);
    let reader = Key::of_platform(&["organizations.read"]);
    assert_eq!(reader.get(&path).expect(200).rows().len(), 1);
    assert_eq!(
        reader.get(&format!("{path}&select=memberships(id)")).expect(200).json(),
        json!([{ "memberships": [] }])
    );
    forbidden("changed", &reader.patch(&path, &json!({ "name": "Mine" }))).unwrap();
    forbidden("made", &reader.post("/tenants", &json!({ "name": "Mine" }))).unwrap();
    assert_eq!(Key::of_platform(&["users.read"]).get(&path).expect(200).rows().len(), 0);
    owner.get(&path).expect(403);
    owner.post("/tenants", &json!({ "name": "Mine" })).expect(403);
    Key::of(&owner, &["*.*"]).get(&path).expect(403);
    anonymous("GET", &path).send().expect(401);
}

// ---------------------------------------------------------------------------------------------- suspending

#[test]
fn the_platform_suspends_an_organization_and_lets_it_go_on() {
    let (platform, owner) = (platform(), Actor::with_contacts(1));
    let member = Actor::member(&owner.organization, "sales");
    let (key, id) = (Key::of(&owner, &["*.*"]), owner.organization.id);
    let every = || [many(|| owner.get("/contacts")), many(|| member.get("/contacts")), many(|| key.get("/contacts"))];
    assert_eq!(every(), [[200]; 3]);
    let answer = suspend(&platform, id).expect(200).json();
    let expected = json!({
        "id": id, "slug": owner.organization.slug, "name": owner.organization.slug, "status": "suspended",
        "status_reason": "Unpaid bills",
    });
    assert_eq!(answer, expected);
    assert_eq!(every(), [[403]; 3]);
    login(&owner.email, &owner.password, Some(&owner.organization.slug)).expect(403);
    // Where they are members too, they go on.
    member.working_in(&member.organization.slug).get("/contacts").expect(200);
    let row = &listed(&platform, id)[0];
    assert_eq!((&row["status"], &row["status_reason"]), (&json!("suspended"), &json!("Unpaid bills")));
    assert!(row["status_changed_at"].is_string());

    let answer = platform.call("resume_organization", &json!({ "org_id": id })).expect(200).json();
    assert_eq!((&answer["status"], &answer["status_reason"]), (&json!("active"), &Value::Null));
    assert_eq!(every(), [[200]; 3]);
}

#[test]
fn the_platform_says_why_and_whom_it_suspends() {
    let (platform, owner, cancelled) = (platform(), Actor::register(), Actor::register());
    admin::execute("update crm.organizations set status = 'cancelled' where id = $1", &[&cancelled.organization.id]);
    let id = owner.organization.id;
    let cases = [
        ("suspend_organization", json!({ "org_id": id, "reason": "" }), "reason:"),
        ("suspend_organization", json!({ "org_id": id, "reason": "  \t" }), "reason:"),
        ("suspend_organization", json!({ "org_id": id, "reason": null }), "reason:"),
        ("suspend_organization", json!({ "org_id": id, "reason": "a\nb" }), "reason:"),
        ("suspend_organization", json!({ "org_id": id, "reason": "x".repeat(501) }), "reason:"),
        ("suspend_organization", json!({ "org_id": null, "reason": "x" }), "org_id:"),
        ("suspend_organization", json!({ "org_id": Uuid::new_v4(), "reason": "x" }), "org_id:"),
        ("suspend_organization", json!({ "org_id": cancelled.organization.id, "reason": "x" }), "org_id:"),
        ("resume_organization", json!({ "org_id": Uuid::new_v4() }), "org_id:"),
        ("resume_organization", json!({ "org_id": null }), "org_id:"),
        ("resume_organization", json!({ "org_id": cancelled.organization.id }), "org_id:"),
    ];
    all(cases, |(function, arguments, word)| {
        let answer = platform.call(function, &arguments);
        let named = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if named { Ok(()) } else { Err(format!("{word} expected: {answer:.300}")) }
    });
    platform.call("suspend_organization", &json!({ "org_id": id })).expect(404);
    assert_eq!(listed(&platform, id)[0]["status"], "active");
    assert_eq!(listed(&platform, cancelled.organization.id)[0]["status"], "cancelled");
}

// ---------------------------------------------------------------------------------------------- deleting

/// The tables that have rows of the organization.
fn remains(organization: Uuid) -> Vec<String> {
    let tables: Vec<String> = admin::value(
        "select array_agg(a.attrelid::regclass::text) from pg_attribute as a join pg_class as c on c.oid = a.attrelid
         where a.attname = 'org_id' and c.relkind = 'r'
             and c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)",
        &[],
    );
    assert!(tables.len() >= 6, "{tables:?}");
    let has_rows = |table: &String| -> bool {
        admin::value(&format!("select exists (select from {table} where org_id = $1)"), &[&organization])
    };
    tables.into_iter().filter(has_rows).collect()
}

#[test]
fn the_platform_deletes_an_organization_and_nothing_else() {
    let (platform, owner, other) = (platform(), Actor::with_contacts(3), Actor::with_contacts(2));
    let id = owner.organization.id;
    let account = owner.insert("accounts", &json!({ "name": "Gone" }));
    owner.insert("contacts", &json!({ "last_name": "Linked", "account_id": account["id"], "owner_id": owner.user }));
    other.join(&owner.organization, "sales");
    let guest = other.logged_in(Some(&owner.organization.slug));
    let key = Key::of(&owner, &["*.*"]);
    let invitation = invite(&owner, &format!("{}@example.com", unique("invited")), "sales");
    let before = admin::fingerprint(other.organization.id);
    assert_eq!(many(|| owner.get("/contacts")), [200]);

    forbidden("", &Key::of_platform(&["organizations.update"]).call("delete_organization", &json!({ "org_id": id })))
        .unwrap();
    assert_eq!(owner.count("contacts"), 4);
    let delete = || platform.call("delete_organization", &json!({ "org_id": id })).expect(200).json();
    let told = delete();
    assert_eq!((&told["deleted"], &told["done"]), (&json!(1), &json!(true)));
    assert_eq!(remains(id), Vec::<String>::new());
    assert!(!exists(&owner.organization.slug));
    assert_eq!(admin::fingerprint(other.organization.id), before);
    assert_eq!(delete(), json!({ "deleted": 0, "rows": 0, "done": true }));

    assert_eq!(many(|| owner.get("/contacts")), [403]);
    guest.get("/contacts").expect(403);
    key.get("/contacts").expect(401);
    let arguments = json!({ "token": invitation, "password": unique(PASSWORD_PREFIX) });
    anonymous("POST", "/rpc/accept_invitation").json(&arguments).send().expect(400);
    // People stay, and so does what else they have.
    assert_eq!(other.logged_in(None).count("contacts"), 2);
    assert_eq!(login(&owner.email, &owner.password, None).expect(200).json()["organizations"], json!([]));
    platform.call("delete_organization", &json!({ "org_id": null })).expect(400);
}

// ---------------------------------------------------------------------------------------------- the key itself

#[test]
fn a_platform_key_is_refused_from_the_next_request_on_once_it_ends() {
    let statements = [
        "select crm.revoke_api_key($1)",
        "update crm_private.api_keys set expires_at = now() - interval '1 second' where id = $1",
        "delete from crm_private.api_keys where id = $1",
    ];
    all(statements, |statement| {
        let platform = platform();
        let list = || platform.get("/rpc/list_organizations?limit=1");
        assert_eq!((many(list), platform.state_in("crm_service")), (vec![200], String::new()));
        admin::execute(statement, &[&platform.id]);
        let found = (many(list), platform.state_in("crm_service"));
        if found == (vec![401], "PT401".into()) { Ok(()) } else { Err(format!("{statement}: {found:?}")) }
    });
}

#[test]
fn a_platform_key_does_the_same_in_sql() {
    let (platform, reader) = (platform(), Key::of_platform(&["users.read"]));
    let owner = Actor::register();
    sql::session(|client| {
        let mut transaction = platform.begin(client, "crm_service").unwrap();
        let found = transaction.query("select id from crm.list_organizations()", &[]).unwrap();
        assert!(found.iter().any(|row| row.get::<_, Uuid>(0) == owner.organization.id));
        drop(transaction);
        let mut transaction = reader.begin(client, "crm_service").unwrap();
        assert_eq!(sqlstate(transaction.query("select crm.list_organizations()", &[])), "42501");
    });
}

//! What a newcomer does in the first half hour, over HTTP with the token that login returned.

use crm_http_tests::actor::{self, Actor, login};
use crm_http_tests::http::{Request, text};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, token, unique};
use serde_json::{Value, json};

#[test]
fn a_newcomer_registers_and_is_the_owner_of_a_new_organization() {
    let (name, email) = (unique("newcomer"), format!("{}@example.com", unique("newcomer")));
    let answer = Request::new("POST", "/rpc/register")
        .json(&json!({
            "email": format!("  {} ", email.to_uppercase()), "password": "kzq-passphrase-1", "organization_name": name,
            "full_name": "Nora New",
        }))
        .send()
        .expect(200)
        .json();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    assert_eq!(answer["user"]["email"], email.as_str(), "stored in lower case");
    assert_eq!(answer["user"]["full_name"], "Nora New");
    assert_eq!(answer["organization"]["name"], name.as_str());
    assert_eq!(answer["organization"]["role"], "owner");
    assert_eq!(answer["organizations"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["organizations"][0]["id"], answer["organization"]["id"]);
    assert_eq!(answer["organizations"][0]["status"], "active");
}

#[test]
fn a_newcomer_whose_organization_has_a_taken_name_gets_a_slug_of_their_own() {
    let name = unique("Twice");
    let slug = || {
        let email = format!("{}@example.com", unique("twin"));
        let arguments = json!({ "email": email, "password": "kzq-passphrase-1", "organization_name": name });
        let answer = Request::new("POST", "/rpc/register").json(&arguments).send().expect(200).json();
        text(&answer["organization"]["slug"])
    };
    let (first, second) = (slug(), slug());
    assert_eq!(first, name.to_lowercase());
    assert_ne!(first, second);
    assert!(second.starts_with(&first), "{second}");
}

#[test]
fn a_user_logs_in_and_gets_a_token_with_the_claims_that_are_documented() {
    let user = Actor::register();
    let answer = login(&user.email, &user.password, None).expect(200).json();
    let access_token = text(&answer["access_token"]);
    let header = token::header(&access_token);
    assert_eq!(header["typ"], "at+jwt");
    assert!(header["kid"].is_string());
    let claims = token::payload(&access_token);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "nbf", "org_id", "role", "sid", "sub"]);
    assert_eq!(claims["sub"], json!(user.user));
    assert_eq!(claims["org_id"], json!(user.organization.id));
    assert_eq!(claims["role"], "crm_app");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
}

#[test]
fn a_user_logs_in_with_the_email_written_in_any_case() {
    let user = Actor::register();
    login(&format!(" {} ", user.email.to_uppercase()), &user.password, None).expect(200);
}

#[test]
fn a_member_of_two_organizations_logs_in_to_one_by_slug_or_id_or_to_both() {
    let (owner, guest) = (Actor::register(), Actor::register());
    guest.join(&owner.organization, "sales");

    for named in [owner.organization.slug.clone(), owner.organization.id.to_string()] {
        let answer = login(&guest.email, &guest.password, Some(&named)).expect(200).json();
        assert_eq!(answer["organization"]["id"], json!(owner.organization.id));
        assert_eq!(answer["organization"]["role"], "sales");
    }
    let answer = login(&guest.email, &guest.password, None).expect(200).json();
    assert_eq!(answer["organization"], Value::Null);
    assert_eq!(answer["organizations"].as_array().unwrap().len(), 2);
    let claims = token::payload(&text(&answer["access_token"]));
    assert_eq!(claims["role"], "crm_multi");
    assert_eq!(claims.get("org_id"), None);
}

#[test]
fn a_user_learns_who_they_are() {
    let user = Actor::register();
    let me = user.get("/rpc/me").expect(200).json();
    assert_eq!(me["user"]["id"], json!(user.user));
    assert_eq!(me["organization"]["id"], json!(user.organization.id));
    assert_eq!(me["organizations"].as_array().unwrap().len(), 1);

    let whoami = user.get("/rpc/whoami").expect(200).json();
    let expected = json!({
        "authenticated": true, "user_id": user.user, "org_id": user.organization.id, "role": "owner",
        "session_id": user.session(), "actor_id": null, "api_key_id": null, "scopes": null, "platform": false,
        "platform_role": null, "database_role": "crm_app",
    });
    assert_eq!(whoami, expected);
    assert_eq!(user.get("/rpc/current_user_id").expect(200).json(), json!(user.user));
    assert_eq!(user.get("/rpc/current_org_id").expect(200).json(), json!(user.organization.id));
    let organizations = user.get(&format!("/rpc/org_ids_for_user?uid={}", user.user)).expect(200).json();
    assert_eq!(organizations, json!([user.organization.id]));
}

#[test]
fn a_visitor_without_a_token_is_nobody() {
    let whoami = actor::anonymous("GET", "/rpc/whoami").send().expect(200).json();
    assert_eq!(whoami["authenticated"], false);
    for member in ["user_id", "org_id", "role", "session_id"] {
        assert_eq!(whoami[member], Value::Null, "{member}");
    }
    assert_eq!(whoami["database_role"], "crm_anon");
}

#[test]
fn a_visitor_reads_the_public_keys_and_nothing_of_the_private_ones() {
    let jwks = actor::anonymous("GET", "/rpc/jwks").send().expect(200).json();
    let keys = jwks["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        for public in ["kty", "kid", "alg", "use"] {
            assert!(key[public].is_string(), "{public}");
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(key.get(private), None, "{private}");
        }
    }
}

#[test]
fn a_user_lists_their_organizations_and_colleagues() {
    let owner = Actor::register();
    let colleague = Actor::member(&owner.organization, "support");
    let organizations = owner.get("/organizations").expect(200);
    assert_eq!(organizations.column("id"), [owner.organization.id.to_string()]);
    let mut people = colleague.get("/users?select=id&order=id").expect(200).column("id");
    people.sort();
    let mut expected = [owner.user.to_string(), colleague.user.to_string()];
    expected.sort();
    assert_eq!(people, expected);
    let members = owner.get("/memberships?select=role,user:users(email)&order=role").expect(200).json();
    let expected = json!([
        { "role": "owner", "user": { "email": owner.email } },
        { "role": "support", "user": { "email": colleague.email } },
    ]);
    assert_eq!(members, expected);
}

#[test]
fn a_user_names_the_organization_in_a_header_by_id_or_slug() {
    let (owner, guest) = (Actor::register(), Actor::register());
    guest.join(&owner.organization, "support");
    owner.insert("contacts", &json!({ "last_name": "Theirs" }));
    guest.insert("contacts", &json!({ "last_name": "Own" }));
    let names = |headers: &[(&str, &str)]| {
        let request = guest.request("GET", "/contacts?select=last_name");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().expect(200).column("last_name")
    };
    let (id, slug) = (owner.organization.id.to_string(), owner.organization.slug.clone());
    for header in ["X-Org-ID", "X-Tenant-ID", "x-org-id"] {
        for value in [&id, &slug, &slug.to_uppercase(), &id.to_uppercase()] {
            assert_eq!(names(&[(header, value)]), ["Theirs"], "{header}: {value}");
        }
    }
    assert_eq!(names(&[("X-Org-ID", &id), ("X-Tenant-ID", &id)]), ["Theirs"]);
    assert_eq!(names(&[]), ["Own"]);
    let made = guest.working_in(&slug).insert("contacts", &json!({ "last_name": "New" }));
    assert_eq!(made["org_id"], json!(owner.organization.id));
}

#[test]
fn a_user_who_names_two_organizations_is_asked_which() {
    let user = Actor::register();
    let answer = user
        .request("GET", "/contacts")
        .header("X-Org-ID", &user.organization.slug)
        .header("X-Tenant-ID", "another")
        .send();
    assert_eq!((answer.status, answer.code()), (400, "PT400".into()), "{answer}");
}

// ---------------------------------------------------------------------------------------------- the description

#[test]
fn a_user_finds_the_tables_and_columns_described() {
    let api = Actor::register().get("/").expect(200).json();
    let contacts = &api["definitions"]["contacts"];
    assert!(text(&contacts["description"]).contains("People"), "{contacts}");
    assert!(text(&contacts["properties"]["email"]["description"]).contains("lower case"));
    for path in ["/contacts", "/accounts", "/organizations", "/users", "/memberships", "/rpc/login", "/rpc/me"] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    let functions = api["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/rpc/"));
    all(functions, |(path, operations)| {
        let summary = text(&operations["post"]["summary"]);
        if summary.is_empty() { Err(format!("{path} has no comment")) } else { Ok(()) }
    });
}

#[test]
fn a_visitor_finds_no_table_described() {
    let api = actor::anonymous("GET", "/").send().expect(200).json();
    let paths: Vec<_> = api["paths"].as_object().unwrap().keys().filter(|path| !path.starts_with("/rpc/")).collect();
    assert_eq!(paths, ["/"]);
    assert!(api["definitions"].as_object().is_none_or(|definitions| definitions.is_empty()));
    assert!(api["paths"]["/rpc/login"].is_object());
    for path in ["/rpc/issue_token", "/rpc/rotate_signing_key", "/rpc/load_demo", "/rpc/enroll", "/rpc/me"] {
        assert!(api["paths"][path].is_null(), "{path}");
    }
}

#[test]
fn an_administrator_issues_a_token_that_works() {
    let user = Actor::register();
    let issued: Value = admin::value("select crm.issue_token($1, $2)", &[&user.user, &user.organization.id]);
    assert_eq!((&issued["token"], &issued["expiresIn"]), (&issued["access_token"], &issued["expires_in"]));
    assert_eq!(issued["expires_in"], 3600);
    let me = user.with_token(&text(&issued["token"])).get("/rpc/me").expect(200).json();
    assert_eq!(me["organization"]["id"], json!(user.organization.id));
}

#[test]
fn the_people_of_the_demo_log_in_and_find_its_contacts() {
    let password = format!("{PASSWORD_PREFIX}demo");
    let first: Value = admin::value("select crm.load_demo($1)", &[&password]);
    let again: Value = admin::value("select crm.load_demo($1)", &[&"kzq-passphrase-another"]);
    assert_eq!(again, json!({ "already_loaded": true }));
    assert!(first["already_loaded"] == true || first["contacts"] == 60, "{first}");
    // All of them, or those the role reaches.
    for (name, role, reached) in [
        ("owner", "owner", 60),
        ("admin", "admin", 60),
        ("manager", "manager", 51),
        ("sales", "sales", 30),
        ("support", "support", 60),
        ("viewer", "read_only", 60),
    ] {
        let welcome = login(&format!("{name}@demo.example"), &password, None).expect(200).json();
        assert_eq!(welcome["organization"]["role"], role);
        let path = "/contacts?select=last_name,account:accounts(name),deals(name,stage:pipeline_stages(name))&external_id=like.demo-*";
        let contacts = Request::new("GET", path).token(&text(&welcome["access_token"])).send().expect(200).rows();
        assert_eq!(contacts.len(), reached, "{name}");
        assert!(contacts.iter().all(|contact| contact["account"]["name"].is_string()), "{name}");
        assert!(contacts.iter().any(|contact| contact["deals"][0]["stage"]["name"].is_string()), "{name}");
    }
}

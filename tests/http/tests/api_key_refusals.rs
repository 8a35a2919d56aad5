//! API keys that are no good, or no longer: refused from the next request on, although backends remember them.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::Actor;
use crm_http_tests::http::Request;
use crm_http_tests::machine::{Key, many};
use crm_http_tests::{admin, all, raw, unique};
use serde_json::json;

fn owner() -> Actor {
    let owner = Actor::register();
    owner.insert("contacts", &json!({ "last_name": "Guarded" }));
    owner
}

/// Refused with this status wherever it is shown.
fn refused(what: &str, key: &Key, status: u16) -> Result<(), String> {
    for request in [
        key.request("GET", "/contacts"),
        key.request("GET", "/rpc/whoami"),
        key.request("GET", "/"),
        key.request("POST", "/contacts").json(&json!({ "last_name": "Intruder" })),
        key.request("POST", "/rpc/login").json(&json!({ "email": "nobody@example.com", "password": "x" })),
        key.request("GET", "/rpc/list_organizations"),
    ] {
        let answer = request.send();
        let shown = answer.text().contains("Guarded") || (key.text.len() > 8 && answer.text().contains(&key.text));
        if answer.status != status || shown {
            return Err(format!("{what}, {status} expected: {answer}"));
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------- no key

#[test]
fn nobody_is_let_in_with_what_is_no_key() {
    let owner = owner();
    let key = Key::of(&owner, &["*.*"]);
    let (prefix, secret) = key.text.split_at(14);
    let other = Key::of(&owner, &["*.*"]);
    let cases = [
        String::new(),
        " ".into(),
        "garbage".into(),
        key.prefix.clone(),
        prefix.into(),
        secret.into(),
        key.text[..key.text.len() - 1].into(),
        format!("{}A", key.text),
        format!("{prefix}{}", "A".repeat(43)),
        format!("{prefix}{}", "=".repeat(43)),
        format!("{prefix}{}", &other.text[14..]),
        key.text.to_uppercase(),
        key.text.to_lowercase(),
        key.text.replace("crmo_", "crmp_"),
        key.text.replace("crmo_", "crmx_"),
        format!("crmo_{}_{}", "0".repeat(8), "A".repeat(43)),
        format!("crmp_{}_{}", "%".repeat(8), "A".repeat(43)),
        format!("Bearer {}", key.text),
        format!("{0}, {0}", key.text),
        owner.token().into(),
        key.id.to_string(),
        "' or true --".into(),
        "x".repeat(30_000),
    ];
    all(cases, |text| refused(&format!("{text:.60}"), &key.with_text(&text), 401));
    assert_eq!(owner.count("contacts"), 1);
    // Space around it is not part of it, and the header's name has no case.
    let padded = Request::new("GET", "/contacts").header("X-API-Key", &format!("  {}  ", key.text));
    assert_eq!(padded.send().expect(200).rows().len(), 1);
}

#[test]
fn nobody_is_let_in_with_bytes_that_are_no_key() {
    let key = Key::of(&owner(), &["*.*"]);
    let long = format!("x-api-key: {}", "x".repeat(100_000));
    let nul = format!("x-api-key: {}\0", key.text);
    let nul_inside = format!("x-api-key: {}\0{}", &key.text[..20], &key.text[20..]);
    // PostgREST itself fails at this one.
    let not_utf8 = [b"x-api-key: ", key.text.as_bytes(), b"\xff\xfe"].concat();
    let lines: [&[u8]; 5] = [b"x-api-key:", nul.as_bytes(), nul_inside.as_bytes(), &not_utf8, long.as_bytes()];
    all(lines, |line| match raw::exchange_with_any_answer(&raw::bytes_of("GET", "/contacts", &[line])) {
        // What cannot be a header does not come as far as the database.
        None => Ok(()),
        Some(answer) if answer.status >= 400 && !answer.text().contains("Guarded") => Ok(()),
        Some(answer) => Err(format!("{}: {answer}", String::from_utf8_lossy(&line[..line.len().min(60)]))),
    });
}

#[test]
fn nobody_is_let_in_with_two_keys_unless_one_of_them_is_good() {
    let (owner, other) = (owner(), Actor::register());
    let (key, foreign) = (Key::of(&owner, &["*.read"]), Key::of(&other, &["*.read"]));
    for (first, second) in [(&key, &foreign), (&foreign, &key)] {
        let answer = first.request("GET", "/rpc/whoami").header("x-api-key", &second.text).send();
        let one = [json!(key.id), json!(foreign.id)].contains(&answer.json()["api_key_id"]);
        assert!(answer.status == 401 || answer.status == 400 || one, "{answer}");
    }
    let bad = key.with_text(&key.text.replace("crmo_", "crmp_"));
    let answer = bad.request("GET", "/contacts").header("x-api-key", &bad.text).send();
    answer.expect(401);
}

#[test]
fn a_key_beside_a_token_is_refused() {
    let (owner, other) = (owner(), owner());
    let key = Key::of(&owner, &["*.*"]);
    for (token, text) in [(owner.token(), key.text.as_str()), (other.token(), &key.text), (owner.token(), "garbage")] {
        for (method, path) in [("GET", "/contacts"), ("GET", "/rpc/whoami"), ("POST", "/contacts")] {
            let mut request = Request::new(method, path).token(token).header("x-api-key", text);
            if method == "POST" {
                request = request.json(&json!({ "last_name": "Intruder" }));
            }
            let answer = request.send();
            assert_eq!((answer.status, answer.code()), (400, "PT400".into()), "{answer}");
        }
    }
    let with_garbage = key.request("GET", "/contacts").token("garbage").send();
    assert!([400, 401].contains(&with_garbage.status), "{with_garbage}");
    assert_eq!((owner.count("contacts"), other.count("contacts")), (1, 1));
}

// ---------------------------------------------------------------------------------------------- no longer a key

/// Ends what the statement ends, and sees what the next requests and a new transaction in SQL get.
/// `stopped`: its organization is there, but is not to be worked in.
fn refused_after(stopped: bool, end: impl Fn(&Actor, &Key)) -> Result<(), String> {
    let owner = owner();
    let (key, untouched) = (Key::of(&owner, &["*.*"]), Key::of(&Actor::with_contacts(1), &["*.*"]));
    assert_eq!(key.state_in("crm_app"), "");
    assert_eq!(many(|| key.get("/contacts")), [200]);
    end(&owner, &key);
    let (statuses, state) = (many(|| key.get("/contacts")), key.state_in("crm_app"));
    assert_eq!(untouched.get("/contacts").expect(200).rows().len(), 1);
    if statuses == [401] && state == "PT401" {
        refused("wherever it is shown", &key, 401)
    } else if stopped && statuses == [403] && state == "PT403" {
        refused("wherever it is shown", &key, 403)
    } else {
        Err(format!("{statuses:?} instead of 401, {state} instead of PT401"))
    }
}

#[test]
fn a_key_is_refused_from_the_next_request_on_once_it_is_revoked() {
    refused_after(false, |owner, key| {
        owner.post("/rpc/revoke_api_key", &json!({ "api_key_id": key.id })).expect(200);
    })
    .unwrap();
}

#[test]
fn a_key_is_refused_from_the_next_request_on_once_it_or_its_organization_ends() {
    let statements = [
        "update crm_private.api_keys set revoked_at = now() where org_id = $1",
        "update crm_private.api_keys set expires_at = now() - interval '1 second' where org_id = $1",
        "update crm_private.api_keys set hash = sha256('another') where org_id = $1",
        "delete from crm_private.api_keys where org_id = $1",
        "update crm.organizations set status = 'suspended' where id = $1",
        "update crm.organizations set status = 'cancelled' where id = $1",
        "delete from crm.organizations where id = $1",
    ];
    all(statements, |statement| {
        let end = |owner: &Actor, _: &Key| assert_eq!(admin::execute(statement, &[&owner.organization.id]), 1);
        refused_after(statement.contains("set status"), end).map_err(|problem| format!("{statement}: {problem}"))
    });
}

#[test]
fn a_key_has_fewer_rights_from_the_next_request_on_once_its_scopes_shrink() {
    let owner = owner();
    let key = Key::of(&owner, &["contacts.*"]);
    let insert = || key.request("POST", "/contacts").json(&json!({ "last_name": "x" })).send();
    assert_eq!(many(insert), [201]);
    let shrink = "update crm_private.api_keys set scopes = '{contacts.read}' where id = $1";
    assert_eq!(admin::execute(shrink, &[&key.id]), 1);
    let statuses = many(insert);
    assert_eq!(owner.count("contacts"), 31);
    assert_eq!(statuses, [403]);
}

#[test]
fn a_key_is_refused_once_its_time_is_over_although_it_is_remembered() {
    let owner = owner();
    let at: String =
        admin::value("select to_char(now() + interval '3 seconds', 'YYYY-MM-DD\"T\"HH24:MI:SS.MSTZH:TZM')", &[]);
    let arguments = json!({ "name": "Short", "scopes": ["*.read"], "expires_at": at });
    let key = Key::told(&owner.post("/rpc/create_api_key", &arguments).expect(200).json());
    assert_eq!(many(|| key.get("/contacts")), [200]);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(many(|| key.get("/contacts")), [401]);
    assert_eq!(key.state_in("crm_app"), "PT401");
}

#[test]
fn a_key_works_again_once_its_organization_is_active_again() {
    let owner = owner();
    let key = Key::of(&owner, &["*.read"]);
    let set = |status: &str| {
        admin::execute("update crm.organizations set status = $1 where id = $2", &[&status, &owner.organization.id]);
    };
    assert_eq!(many(|| key.get("/contacts")), [200]);
    set("suspended");
    assert_eq!(many(|| key.get("/contacts")), [403]);
    set("active");
    assert_eq!(many(|| key.get("/contacts")), [200]);
}

#[test]
fn a_key_outlives_who_made_it() {
    let owner = owner();
    let admin = Actor::member(&owner.organization, "admin");
    let key = Key::of(&admin, &["*.read"]);
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&admin.user]);
    admin.get("/contacts").expect(401);
    key.get("/contacts").expect(200);
    assert_eq!(
        key.request("GET", &format!("/contacts?last_name=eq.{}", unique("x"))).send().expect(200).rows().len(),
        0
    );
}

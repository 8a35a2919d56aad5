//! What a stranger could learn of another organization without seeing a row of it: from counts, keys and functions.

use crm_http_tests::actor::Actor;
use crm_http_tests::http::{encode, text};
use crm_http_tests::openapi::{self, Argument, Function};
use crm_http_tests::token::with;
use crm_http_tests::victim::{Names, Victim, comparable};
use crm_http_tests::{admin, all, raw};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn a_stranger_learns_nothing_from_the_status_line_of_a_single_object() {
    let (victim, stranger) = (Victim::register(), Actor::register());
    for (name, value) in [("{contact}", "contacts"), ("{account}", "accounts"), ("{org}", "organizations")] {
        let ask = |names: &Names| {
            let path = format!("/{value}?id=eq.{}", names.fill(name));
            stranger.request("GET", &path).header("Accept", "application/vnd.pgrst.object+json").send()
        };
        let nowhere = Names::nowhere();
        let (answer, other) = (ask(&victim.names), ask(&nowhere));
        assert_eq!(answer.status, 406, "{answer}");
        assert_eq!(comparable(&answer, &victim.names), comparable(&other, &nowhere));
    }
}

#[test]
fn a_stranger_gets_no_estimate_of_how_many_rows_others_have() {
    let (victim, stranger) = (Victim::register(), Actor::register());
    let rows: Vec<_> = (0..500).map(|n| json!({ "last_name": format!("Estimated{n}") })).collect();
    victim.owner.request("POST", "/contacts").prefer("return=minimal").json(&json!(rows)).send().expect(201);
    admin::execute("analyze crm.contacts", &[]);
    let authorization = format!("Authorization: Bearer {}", stranger.token());
    let (planned, estimated, exact) = ("Prefer: count=planned", "Prefer: count=estimated", "Prefer: count=exact");
    let attempts: [&[&str]; 16] = [
        &[planned],
        &[estimated],
        &["prefer: count=planned"],
        &["Prefer: return=minimal, count=planned"],
        &["Prefer: count=planned,count=exact"],
        &["Prefer: count=exact;count=planned"],
        &["Prefer: count = planned"],
        &["Prefer: count=\"planned\""],
        &["Prefer:\tcount=planned\t"],
        &["Prefer: COUNT=PLANNED"],
        // PostgREST reads all of them, and hands on the last.
        &[planned, exact],
        &[exact, planned],
        &[planned, "Prefer: return=minimal"],
        &[estimated, "Prefer: "],
        &["prefer: count=planned", "PREFER: handling=lenient"],
        &["Prefer: return=minimal", planned, "Prefer: missing=default"],
    ];
    all(attempts, |preferences| {
        for method in ["GET", "HEAD"] {
            let mut lines = vec![authorization.as_bytes()];
            lines.extend(preferences.iter().map(|line| line.as_bytes()));
            let answer = raw::request(method, "/contacts?last_name=like.Estimated*", &lines).unwrap();
            // Refused, or counted exactly, or not at all.
            let counted = answer.header("Content-Range").unwrap_or("*/*");
            if answer.status != 400 && !["*/0", "*/*"].contains(&counted) {
                return Err(format!("{method} with {preferences:?}: {counted} instead of */0"));
            }
        }
        Ok(())
    });
}

#[test]
fn a_stranger_inserts_csv_into_their_own_organization_only() {
    let (victim, stranger) = (Victim::register(), Actor::register());
    let csv = victim.names.fill("last_name,org_id\nin,{org}\n");
    let answer = victim.unharmed(|| stranger.request("POST", "/contacts").body("text/csv", csv).send()).unwrap();
    assert_eq!(answer.status, 403, "{answer}");
    assert_eq!(stranger.count("contacts"), 0);
}

#[test]
fn both_organizations_have_the_same_keys_and_each_meets_only_its_own_duplicates() {
    let (victim, stranger) = (Victim::register(), Actor::register());
    for row in [r#"{"last_name": "x", "email": "{key}@example.com"}"#, r#"{"last_name": "x", "external_id": "{key}"}"#]
    {
        let row: Value = serde_json::from_str(&victim.names.fill(row)).unwrap();
        victim.unharmed(|| stranger.post("/contacts", &row).expect(201)).unwrap();
        let duplicate = stranger.post("/contacts", &row).expect(409);
        assert_eq!(duplicate.code(), "23505");
        assert!(!duplicate.text().contains(&victim.owner.organization.id.to_string()), "{duplicate}");
    }
}

/// What an attacker would put into an argument: the victim's names, whichever fit.
fn guesses(name: &str, schema: &Value) -> Vec<Value> {
    let templates: &[&str] = match (name, schema["format"].as_str()) {
        ("webhook_id", _) => &["{webhook}", "{contact}"],
        (_, Some("uuid")) => &["{user}", "{org}", "{contact}"],
        ("email", _) => &["{slug}@example.com"],
        ("password", _) => &["kzq-passphrase-guessed"],
        ("organization", _) => &["{org}", "{slug}"],
        ("permission", _) => &["contacts.read", "contacts.update", "*.*"],
        ("organization_name", _) => &["{slug}"],
        ("resource", _) => &["contacts"],
        // A plan's feature, a name that is taken.
        ("name", _) => &["api_keys", "{slug}"],
        ("reason", _) => &["{slug}"],
        ("role", _) => &["{role}"],
        ("url", _) => &["https://{slug}.example/hook"],
        ("condition", _) => &["$.data.last_name == \"{slug}\""],
        _ => &["{slug}", "{org}", "{user}"],
    };
    match (schema["type"].as_str(), schema["format"].as_str()) {
        _ if ["events", "types"].contains(&name) => vec![json!(["contact.*"])],
        _ if name == "fields" => vec![json!(["last_name"])],
        _ if name == "headers" => vec![json!({ "X-Token": "{slug}" })],
        // What is of no such type would be refused before the function is asked.
        (Some("boolean"), _) => vec![json!(true)],
        (Some("integer"), _) => vec![json!(1)],
        (_, Some("timestamp with time zone")) => vec![json!("2999-01-01T00:00:00Z")],
        _ => templates.iter().map(|template| Value::from(*template)).collect(),
    }
}

/// One call for each guess of each argument.
fn calls(function: &Function) -> Vec<Value> {
    function.arguments.iter().fold(vec![json!({})], |calls, Argument { name, schema }| {
        let with_guesses = |call| guesses(name, schema).into_iter().map(move |guess| with(call, name, guess));
        calls.iter().flat_map(with_guesses).collect()
    })
}

#[test]
fn a_stranger_gets_nothing_of_the_victim_from_any_function() {
    let victim = Victim::register();
    let mut visitor = Actor::register();
    visitor.token = None;
    let functions = openapi::functions(&Actor::register());
    assert!(functions.len() >= 20);
    // Some functions end the caller's session, so each meets somebody new.
    all(&functions, |function| call_with_guesses(&Actor::register(), function, &victim));
    let functions = openapi::functions(&visitor);
    assert!(functions.len() >= 10);
    all(&functions, |function| call_with_guesses(&visitor, function, &victim));
}

fn call_with_guesses(actor: &Actor, function: &Function, victim: &Victim) -> Result<(), String> {
    let path = function.path.as_str();
    for call in calls(function) {
        let body = call.to_string();
        let nowhere = Names::nowhere();
        let ask = |names: &Names| actor.request("POST", path).body("application/json", names.fill(&body)).send();
        // The sixth guess would be refused for being the sixth.
        admin::execute("delete from crm_private.login_failures", &[]);
        let answer = victim.unharmed(|| ask(&victim.names))?;
        let other = ask(&nowhere);
        // A new id, a new secret, the time, the one place where an e-mail that is taken has to be told, and the end of the caller's own session.
        let may_differ = [
            "/rpc/uuid_v7",
            "/rpc/transaction_id",
            "/rpc/create_webhook",
            "/rpc/health",
            "/rpc/register",
            "/rpc/logout",
        ]
        .contains(&path);
        if !may_differ && comparable(&answer, &victim.names) != comparable(&other, &nowhere) {
            return Err(format!("tells that it exists: {answer}\ninstead of {other}"));
        }
        let arguments = call.as_object().unwrap().iter();
        let query: Vec<_> =
            arguments.map(|(name, value)| format!("{name}={}", encode(&victim.names.fill(&text(value))))).collect();
        victim.unharmed(|| actor.get(&format!("{path}?{}", query.join("&"))))?;
    }
    Ok(())
}

#[test]
fn a_stranger_is_refused_the_organizations_of_others() {
    let (victim, stranger) = (Victim::register(), Actor::register());
    for user in [victim.owner.user, Uuid::new_v4()] {
        let answer = stranger.get(&format!("/rpc/org_ids_for_user?uid={user}"));
        assert_eq!((answer.status, answer.code()), (403, "42501".into()), "{answer}");
    }
}

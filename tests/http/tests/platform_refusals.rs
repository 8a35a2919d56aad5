//! What is for the platform, asked for by everybody else.

use std::cell::RefCell;

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::Response;
use crm_http_tests::machine::{Key, forbidden};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, unique};
use postgres::Transaction;
use serde_json::{Value, json};

const PERMISSIONS: [&str; 10] = [
    "organizations.create",
    "organizations.read",
    "organizations.update",
    "organizations.delete",
    "users.create",
    "users.read",
    "users.update",
    "users.delete",
    "tokens.create",
    "keys.update",
];

/// Function, arguments about somebody, and the permission it needs.
fn functions(victim: &Actor) -> Vec<(&'static str, Value, &'static str)> {
    let (org, user, password) = (victim.organization.id, victim.user, unique(PASSWORD_PREFIX));
    let email = format!("{}@example.com", unique("refused"));
    vec![
        ("create_organization", json!({ "name": "Refused", "owner_email": victim.email }), "organizations.create"),
        ("list_organizations", json!({}), "organizations.read"),
        ("suspend_organization", json!({ "org_id": org, "reason": "Refused" }), "organizations.update"),
        ("resume_organization", json!({ "org_id": org }), "organizations.update"),
        ("cancel_organization", json!({ "org_id": org, "reason": "Refused" }), "organizations.update"),
        ("delete_organization", json!({ "org_id": org }), "organizations.delete"),
        (
            "create_user",
            json!({ "email": email, "password": password, "org_id": org, "role": "owner" }),
            "users.create",
        ),
        ("list_users", json!({}), "users.read"),
        ("list_users", json!({ "org_id": org }), "users.read"),
        ("org_ids_for_user", json!({ "uid": user }), "users.read"),
        ("suspend_user", json!({ "user_id": user }), "users.update"),
        ("resume_user", json!({ "user_id": user }), "users.update"),
        ("link_identity", json!({ "user_id": user, "provider": "google", "subject": unique("s") }), "users.update"),
        ("delete_user", json!({ "user_id": user }), "users.delete"),
        ("issue_token", json!({ "user_id": user }), "tokens.create"),
        ("issue_token", json!({ "user_id": user, "org_id": org }), "tokens.create"),
        ("rotate_signing_key", json!({}), "keys.update"),
    ]
}

/// What a call could have changed, or told.
fn traces(victim: &Actor) -> (String, i64, i64, i64) {
    let count = |query: &str| admin::value(query, &[&victim.user]);
    (
        admin::fingerprint(victim.organization.id),
        count("select count(*) from crm_private.sessions where user_id = $1 and ended_at is null"),
        count("select count(*) from crm.memberships where user_id = $1"),
        count("select count(*) from crm_private.user_identities where user_id = $1"),
    )
}

fn unharmed(victim: &Actor, what: &str, ask: impl Fn() -> Response) -> Result<Response, String> {
    let before = traces(victim);
    let answer = ask();
    if traces(victim) != before || answer.text().contains(&victim.email) || answer.text().contains("eyJ") {
        return Err(format!("{what}: {answer}"));
    }
    Ok(answer)
}

// ---------------------------------------------------------------------------------------------- over HTTP

#[test]
fn nobody_does_what_the_platform_does_without_a_key() {
    let victim = Actor::register();
    let stranger = Actor::register();
    all(functions(&victim), |(function, arguments, _)| {
        let path = format!("/rpc/{function}");
        let answer = unharmed(&victim, function, || anonymous("POST", &path).json(&arguments).send())?;
        if answer.status != 401 {
            return Err(format!("401 expected: {answer}"));
        }
        let answer = unharmed(&victim, function, || stranger.post(&path, &arguments))?;
        forbidden(function, &answer)
    });
    // Of an owner's own organization and person, too; what they may know of themselves is no secret.
    all(
        functions(&victim).into_iter().filter(|(function, ..)| *function != "org_ids_for_user"),
        |(function, arguments, _)| {
            let answer = unharmed(&victim, function, || victim.post(&format!("/rpc/{function}"), &arguments))?;
            forbidden(function, &answer)
        },
    );
}

#[test]
fn an_organizations_key_with_all_scopes_does_nothing_that_the_platform_does() {
    let (victim, stranger) = (Actor::register(), Actor::register());
    let keys = [Key::of(&victim, &["*.*"]), Key::of(&stranger, &PERMISSIONS)];
    for key in &keys {
        all(functions(&victim), |(function, arguments, _)| {
            forbidden(function, &unharmed(&victim, function, || key.call(function, &arguments))?)
        });
    }
}

#[test]
fn a_platform_key_does_nothing_that_its_scopes_do_not_say() {
    let victim = Actor::register();
    all(functions(&victim), |(function, arguments, permission)| {
        let others: Vec<_> = PERMISSIONS.into_iter().filter(|other| *other != permission).collect();
        let key = Key::of_platform(&others);
        forbidden(function, &unharmed(&victim, function, || key.call(function, &arguments))?)
    });
}

#[test]
fn a_platform_key_sees_no_organizations_data() {
    let victim = Actor::with_contacts(1);
    let key = Key::of_platform(&["*.*"]);
    let before = traces(&victim);
    let mut answers = vec![];
    for table in ["contacts", "accounts", "organizations", "users", "memberships"] {
        // Who its tenants are, and who is in them, is the platform's to see.
        if !["organizations", "memberships"].contains(&table) {
            answers.push(key.get(&format!("/{table}")));
        }
        answers.push(key.patch(&format!("/{table}?id=eq.{}", victim.user), &json!({ "created_at": "2000-01-01" })));
        answers.push(key.delete(&format!("/{table}?id=eq.{}", victim.user)));
    }
    let row = json!({ "last_name": "x", "org_id": victim.organization.id });
    answers.push(key.post("/contacts", &row));
    answers.push(key.request("GET", "/contacts").header("X-Org-ID", &victim.organization.slug).send());
    answers.push(key.request("GET", "/contacts").header("X-Org-ID", &victim.organization.id.to_string()).send());
    for (function, arguments) in [
        ("me", json!({})),
        ("my_sessions", json!({})),
        ("list_api_keys", json!({})),
        ("create_api_key", json!({ "name": "x", "scopes": ["*.*"] })),
        ("list_invitations", json!({})),
        ("impersonate", json!({ "user_id": victim.user, "reason": "x" })),
        ("grant_platform_role", json!({ "user_id": victim.user, "role": "support" })),
        ("claim_messages", json!({})),
        ("clear_expired", json!({})),
    ] {
        answers.push(key.call(function, &arguments));
    }
    assert_eq!(traces(&victim), before);
    all(answers, |answer| forbidden("", &answer));
}

#[test]
fn a_platform_key_says_who_it_is() {
    let key = Key::of_platform(&["users.read"]);
    let whoami = key.get("/rpc/whoami").expect(200).json();
    assert_eq!((&whoami["platform"], &whoami["api_key_id"]), (&json!(true), &json!(key.id)));
    assert_eq!((&whoami["org_id"], &whoami["user_id"], &whoami["role"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(whoami["database_role"], "crm_service");
    assert!(key.prefix.starts_with("crmp_"));
}

// ---------------------------------------------------------------------------------------------- in SQL

/// Every function of the platform's role that not everybody has, called with arguments about somebody.
fn calls(victim: &Actor) -> Vec<String> {
    let functions: Vec<String> = admin::value(
        "select array_agg(format('%s|%s', p.oid::regproc, pg_get_function_identity_arguments(p.oid)))
         from pg_proc as p
         where p.pronamespace = 'crm'::regnamespace and has_function_privilege('crm_service', p.oid, 'execute')
             and not has_function_privilege('crm_anon', p.oid, 'execute') and p.proname <> 'authenticate_api_key'",
        &[],
    );
    let call = |function: &String| {
        let (name, declared) = function.split_once('|').unwrap();
        let arguments: Vec<_> =
            declared.split(", ").filter(|one| !one.is_empty()).map(|one| about(victim, one)).collect();
        format!("{name}({})", arguments.join(", "))
    };
    functions.iter().map(call).collect()
}

/// A good value for an argument. Not null where it can be helped: a strict function would not even be asked.
fn about(victim: &Actor, declared: &str) -> String {
    let value = match declared.split_once(' ').unwrap() {
        ("org_id", "uuid") => victim.organization.id.to_string(),
        (_, "uuid") => victim.user.to_string(),
        ("email", _) => format!("{}@example.com", unique("new")),
        ("owner_email", _) => victim.email.clone(),
        // As a literal it is logged with the statement that fails, as any literal is.
        ("password", _) => "a refused passphrase".into(),
        ("password_hash", _) => return "null".into(),
        ("role", _) => "owner".into(),
        ("provider", _) => "google".into(),
        ("alg", _) => "ES256".into(),
        ("slug" | "subject", _) => unique("new"),
        ("permission", _) => "contacts.read".into(),
        (_, "boolean") => "false".into(),
        (_, "integer" | "bigint") => "1".into(),
        (_, "timestamp with time zone") => "2999-01-01".into(),
        // Also the name of a feature that every plan has.
        ("name", "text") => "api_keys".into(),
        _ => "Refused".into(),
    };
    format!("'{value}'")
}

/// What a caller may ask of themselves, as the policies do: answers with nothing where nobody is known, of others' with no.
const OF_THE_CALLER: [&str; 8] = [
    "feature_enabled",
    "permitted_org_id",
    "permitted_org_ids",
    "permitted_to_platform",
    "scope_user_ids",
    "team_scope_keys",
    "all_scope_org_id",
    "all_scope_org_ids",
];

/// Calls them all in a transaction that has become crm_service; what is not refused must tell nothing.
fn nothing_in(transaction: &mut Transaction, victim: &Actor, own: bool) {
    transaction.batch_execute("set local role crm_service").unwrap();
    let role: String = transaction.query_one("select current_user::text", &[]).unwrap().get(0);
    assert_eq!(role, "crm_service");
    let before = traces(victim);
    let calls = calls(victim);
    assert!(calls.len() >= 16, "{calls:?}");
    let transaction = RefCell::new(transaction);
    all(calls, |call| {
        let mut transaction = transaction.borrow_mut();
        let mut savepoint = transaction.savepoint("attempt").unwrap();
        let harmless = OF_THE_CALLER.iter().any(|name| call.starts_with(&format!("crm.{name}(")));
        let answer = savepoint.query(&format!("select to_jsonb(found) from {call} as found"), &[]);
        match answer {
            Ok(rows) if harmless => {
                let empty = [json!(null), json!([]), json!(false)];
                let told: Vec<Value> =
                    rows.iter().map(|row| row.get::<_, Option<Value>>(0).unwrap_or_default()).collect();
                let nothing = if own {
                    let shown = format!("{told:?}");
                    let theirs = [victim.user, victim.organization.id];
                    !theirs.iter().any(|id| shown.contains(&id.to_string())) && !told.contains(&json!(true))
                } else {
                    told.iter().all(|told| empty.contains(told))
                };
                if nothing { Ok(()) } else { Err(format!("{call}: {told:?}")) }
            }
            Ok(rows) => Err(format!("{call}: {} rows", rows.len())),
            Err(error) if error.code().map(postgres::error::SqlState::code) == Some("42501") => Ok(()),
            Err(error) => Err(format!("{call}: {error:?}")),
        }
    });
    assert_eq!(traces(victim), before);
}

#[test]
fn an_attacker_who_becomes_the_platforms_role_without_an_identity_is_refused_everything() {
    let victim = Actor::with_contacts(1);
    let mut client = sql::connect();
    nothing_in(&mut client.transaction().unwrap(), &victim, false);
    nothing_in(&mut sql::begin_as(&mut client, "crm_anon").unwrap(), &victim, false);
    client.batch_execute("set role crm_service").unwrap();
    let state = sqlstate(client.query("select * from crm.list_users()", &[]));
    assert_eq!(state, "42501");
    for table in ["contacts", "accounts", "users"] {
        assert_eq!(sqlstate(client.query(&format!("select * from crm.{table}"), &[])), "42501", "{table}");
    }
    for table in ["organizations", "memberships", "tenants"] {
        assert_eq!(client.query(&format!("select * from crm.{table}"), &[]).unwrap().len(), 0, "{table}");
    }
    for change in ["update crm.tenants set name = 'Mine'", "insert into crm.tenants (name) values ('Mine')"] {
        assert_eq!(sqlstate(client.batch_execute(change)), "42501", "{change}");
    }
}

#[test]
fn an_attacker_who_becomes_the_platforms_role_in_a_request_is_refused_everything() {
    let (victim, attacker) = (Actor::with_contacts(1), Actor::with_contacts(1));
    let mut client = sql::connect();
    nothing_in(&mut sql::begin_request(&mut client, attacker.token()).unwrap(), &victim, true);
    nothing_in(&mut sql::begin_authenticated(&mut client, attacker.token()).unwrap(), &victim, true);
}

#[test]
fn an_attacker_who_becomes_the_platforms_role_with_an_organizations_key_is_refused_everything() {
    let (victim, attacker) = (Actor::with_contacts(1), Actor::register());
    let key = Key::of(&attacker, &["*.*"]);
    let mut client = sql::connect();
    for role in ["crm_app", "crm_service"] {
        nothing_in(&mut key.begin(&mut client, role).unwrap(), &victim, true);
    }
}

#[test]
fn an_attacker_with_a_key_of_few_scopes_gains_none_by_another_role() {
    let victim = Actor::register();
    let key = Key::of_platform(&["organizations.read"]);
    let mut client = sql::connect();
    for role in ["crm_app", "crm_service"] {
        let mut transaction = key.begin(&mut client, role).unwrap();
        transaction.batch_execute("set local role crm_service").unwrap();
        let call = format!("select crm.issue_token('{}')", victim.user);
        assert_eq!(sqlstate(transaction.query(&call, &[])), "42501", "{role}");
        transaction.rollback().unwrap();
    }
    let mut transaction = key.begin(&mut client, "crm_app").unwrap();
    assert_eq!(sql::contacts(&mut transaction), 0);
    assert_eq!(sqlstate(transaction.execute("insert into crm.contacts (last_name) values ('x')", &[])), "42501");
}

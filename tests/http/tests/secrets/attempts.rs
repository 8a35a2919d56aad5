//! Every identity function, called with the secrets, in every way that fails.

use crm_http_tests::actor::anonymous;
use crm_http_tests::http::{Request, encode};
use crm_http_tests::{admin, raw, sql};
use postgres::{Client, Transaction};
use serde_json::{Value, json};

use super::known::Known;

/// What was answered to those who did not succeed.
pub type Answers = Vec<String>;

// ---------------------------------------------------------------------------------------------- over HTTP

/// The functions that take a secret, with good arguments.
fn calls(known: &Known) -> Vec<(&'static str, Value)> {
    let (password, wrong) = (&known.target.password, &known.wrong_password);
    let email = &known.target.email;
    vec![
        ("/rpc/login", json!({ "email": email, "password": password, "organization": "nowhere" })),
        ("/rpc/login", json!({ "email": email, "password": wrong })),
        ("/rpc/register", json!({ "email": email, "password": wrong, "organization_name": "x" })),
        ("/rpc/refresh_token", json!({ "refresh_token": known.refresh_tokens[0], "organization": "nowhere" })),
        ("/rpc/refresh_token", json!({ "refresh_token": known.refresh_tokens[1] })),
        ("/rpc/change_password", json!({ "current_password": wrong, "new_password": password })),
        ("/rpc/change_password", json!({ "current_password": password, "new_password": "password" })),
        ("/rpc/reset_password", json!({ "token": known.verification, "new_password": wrong })),
        ("/rpc/reset_password", json!({ "token": known.reset, "new_password": "password" })),
        ("/rpc/verify_email", json!({ "token": known.reset })),
        ("/rpc/accept_invitation", json!({ "token": known.invitation, "password": "password" })),
        ("/rpc/accept_invitation", json!({ "token": known.verification, "password": wrong })),
        ("/rpc/create_user", json!({ "email": email, "password": wrong })),
        ("/rpc/create_user", json!({ "email": "x@example.com", "password_hash": format!("{}x", known.password_hash) })),
        ("/rpc/create_user", json!({ "email": email, "password": wrong, "password_hash": known.password_hash })),
        ("/rpc/login_with_id_token", json!({ "provider": known.provider, "id_token": known.id_token })),
        ("/rpc/login_with_id_token", json!({ "provider": "google", "id_token": known.id_token, "nonce": known.nonce })),
        (
            "/rpc/oauth_finish",
            json!({ "state": known.state, "code": known.code, "code_verifier": format!("{}x", known.code_verifier) }),
        ),
        ("/rpc/oauth_finish", json!({ "state": known.state, "code": known.code, "code_verifier": "short" })),
        ("/rpc/authenticate", json!({ "token": known.owner.token() })),
    ]
}

/// The same with one thing wrong.
fn spoiled(body: &Value) -> Vec<String> {
    let mut bodies = vec![];
    for (name, value) in body.as_object().unwrap() {
        let text = value.as_str().unwrap();
        for other in [json!(format!("{text}\u{0}")), json!([text]), json!({ "x": text }), Value::Null, json!(1)] {
            let mut copy = body.clone();
            copy[name] = other;
            bodies.push(copy.to_string());
        }
        let mut copy = body.clone();
        copy.as_object_mut().unwrap().remove(name);
        bodies.push(copy.to_string());
        copy[format!("x{name}")] = value.clone();
        bodies.push(copy.to_string());
    }
    let whole = body.to_string();
    bodies.extend([whole[..whole.len() - 2].to_owned(), format!("{whole}x"), format!("[{whole}]"), whole]);
    bodies
}

fn in_the_query(path: &str, body: &Value) -> String {
    let pairs = body.as_object().unwrap().iter();
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", encode(value.as_str().unwrap()))).collect();
    format!("{path}?{}", pairs.join("&"))
}

/// Calls them as everybody who can send a request. What PostgREST repeats of a URL is not looked at.
pub fn over_http(known: &Known) -> Answers {
    let mut answers = vec![];
    let mut note = |request: Request| {
        let answer = request.send();
        // PostgREST repeats a body that is no JSON to whoever sent it.
        if answer.status >= 400 && answer.code() != "PGRST102" {
            answers.push(format!("{} {:?}", answer.text(), answer.headers));
        }
    };
    for (path, body) in calls(known) {
        let whole = body.to_string();
        for spoiled in spoiled(&body) {
            note(Request::new("POST", path).body("application/json", spoiled.clone()));
            if spoiled == whole {
                note(known.target.request("POST", path).body("application/json", spoiled.clone()));
                for key in [&known.api_key, &known.platform_key] {
                    note(Request::new("POST", path).header("x-api-key", key).body("application/json", spoiled.clone()));
                }
            }
        }
        let query = in_the_query(path, &body);
        note(Request::new("POST", path).body("application/x-www-form-urlencoded", query.split_once('?').unwrap().1));
        for kind in ["text/plain", "application/octet-stream", "text/csv", "text/xml", "nonsense"] {
            note(Request::new("POST", path).body(kind, body.to_string()));
        }
        note(Request::new("POST", path).prefer("params=single-object").json(&body));
        drop(anonymous("GET", &query).send());
        drop(known.target.request("GET", &query).send());
    }
    for header in [
        ("Authorization", format!("Bearer {}", known.api_key)),
        ("Authorization", format!("Bearer {}", known.refresh_tokens[1])),
        ("Authorization", format!("Basic {}", known.platform_key)),
        ("Authorization", format!("Bearer {}x", known.owner.token())),
        ("x-api-key", format!("{}x", known.api_key)),
        ("x-api-key", known.owner.token().to_owned()),
        ("X-Org-ID", known.api_key.clone()),
        ("Prefer", format!("count={}", known.api_key)),
    ] {
        for path in ["/contacts", "/rpc/whoami", "/rpc/me"] {
            note(Request::new("GET", path).header(header.0, &header.1));
            note(known.owner.request("GET", path).header(header.0, &header.1));
        }
    }
    answers.push(slow_login(known));
    answers
}

/// A login that the database's time limit ends, which PostgREST 12 answers with 500.
fn slow_login(known: &Known) -> String {
    let mut locker = admin::connect();
    let mut lock = locker.transaction().unwrap();
    lock.batch_execute("lock table crm_private.passwords in access exclusive mode").unwrap();
    let body = json!({ "email": known.owner.email, "password": known.owner.password }).to_string();
    let length = format!("Content-Length: {}", body.len());
    let mut bytes = raw::bytes_of("POST", "/rpc/login", &[b"Content-Type: application/json", length.as_bytes()]);
    bytes.extend(body.as_bytes());
    let answer = raw::exchange_with_any_answer(&bytes).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (500, "57014"), "{answer}");
    format!("{} {:?}", answer.text(), answer.headers)
}

// ---------------------------------------------------------------------------------------------- in SQL

struct Function {
    name: String,
    returns_secrets: bool,
    /// Name and type.
    arguments: Vec<(String, String)>,
}

/// The functions of the API that the role may call, from the catalog.
fn functions(role: &str) -> Vec<Function> {
    let rows: Value = admin::value(
        "select coalesce(jsonb_agg(jsonb_build_array(p.proname, (
             select jsonb_agg(jsonb_build_array(p.proargnames[n], format_type(p.proargtypes[n - 1], null)))
             from generate_series(1, p.pronargs) as n
         ))), '[]')
         from pg_proc as p
         where p.pronamespace = 'crm'::regnamespace and p.prokind = 'f' and p.pronargs > 0
             and has_function_privilege($1, p.oid, 'execute')",
        &[&role],
    );
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let arguments = |list: &Value| list.as_array().unwrap().iter().map(|one| (text(&one[0]), text(&one[1]))).collect();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| Function {
            name: text(&row[0]),
            // A repeated refresh is answered with the same successor; what waits is claimed with its secret.
            returns_secrets: ["refresh_token", "claim_messages", "claim_oauth_exchanges", "claim_webhook_deliveries"]
                .contains(&row[0].as_str().unwrap()),
            arguments: arguments(&row[1]),
        })
        .collect()
}

/// Values for an argument of this name: as many different ones as there are to try.
fn values(known: &Known, name: &str, of_type: &str) -> Vec<String> {
    let own = |texts: &[&String]| texts.iter().map(|text| (*text).clone()).collect();
    match (name, of_type) {
        (name, _) if name.ends_with("password") => own(&[&known.target.password, &known.wrong_password]),
        ("token", _) => vec![
            known.reset.clone(),
            known.verification.clone(),
            known.invitation.clone(),
            known.owner.token().to_owned() + "x",
            known.api_key.clone(),
        ],
        ("refresh_token", _) => own(&[&known.refresh_tokens[1], &known.api_key, &known.reset]),
        ("key" | "api_key", _) => vec![known.api_key.clone(), known.platform_key.clone() + "x"],
        ("id_token", _) => vec![known.id_token.clone() + "x", known.id_token.clone()],
        ("nonce", _) => own(&[&known.nonce]),
        ("code", _) => own(&[&known.code]),
        ("code_verifier", _) => own(&[&known.code_verifier, &known.code]),
        ("code_challenge", _) => own(&[&known.code_challenge, &known.code_verifier]),
        ("state", _) => own(&[&known.state]),
        ("password_hash", _) => vec![known.password_hash.clone() + "x", known.password_hash.clone()],
        ("jwks", _) => vec![known.private_jwk.to_string()],
        ("provider", _) => own(&[&known.provider]),
        ("email", _) => own(&[&known.target.email]),
        ("role", _) => vec!["sales".into()],
        ("url", _) => vec!["https://example.com/hook".into(), known.webhook_header.clone()],
        ("headers", _) => vec![
            json!({ "X-Token": known.webhook_header }).to_string(),
            json!({ "X Token": known.webhook_header }).to_string(),
            json!({ "X-Token": [known.webhook_header] }).to_string(),
        ],
        ("webhook_id", _) => vec![known.webhook.to_string(), known.target.user.to_string()],
        (_, "uuid") => vec![known.target.user.to_string()],
        (_, "integer" | "bigint") => vec!["1".into()],
        (_, "boolean") => vec!["true".into()],
        (_, "interval") => vec!["1 minute".into()],
        (_, "jsonb") => vec!["{}".into()],
        (_, "timestamp with time zone") => vec!["2100-01-01".into()],
        (_, "text[]") => vec!["{contacts.read}".into()],
        _ => vec!["something".into()],
    }
}

/// How a call is made to fail, if it does not do so by itself.
const TROUBLE: [&str; 4] =
    ["", "set local statement_timeout = 20", "set local lock_timeout = 10", "set transaction read only"];

/// Calls each function with each value, and undoes it. Gives the errors and the results.
fn call_all(known: &Known, transaction: &mut Transaction, role: &str) -> Answers {
    let mut answers = vec![];
    for function in functions(role) {
        let names = function.arguments.iter().enumerate();
        let names: Vec<_> = names.map(|(at, (name, of))| format!("{name} => ${}::text::{of}", at + 1)).collect();
        let call = format!("select t::text from crm.{}({}) as t", function.name, names.join(", "));
        let candidates: Vec<_> = function.arguments.iter().map(|(name, of)| values(known, name, of)).collect();
        let most = candidates.iter().map(Vec::len).max().unwrap();
        for round in 0..most + 1 {
            for trouble in TROUBLE {
                let nul = if round == most { "\0" } else { "" };
                let arguments: Vec<_> =
                    candidates.iter().map(|list| format!("{}{nul}", list[round % list.len()])).collect();
                let arguments: Vec<_> =
                    arguments.iter().map(|text| text as &(dyn postgres::types::ToSql + Sync)).collect();
                let mut savepoint = transaction.savepoint("call").unwrap();
                savepoint.batch_execute(trouble).unwrap();
                match savepoint.query(&call, &arguments) {
                    Ok(rows) if !function.returns_secrets => {
                        answers.extend(rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()));
                    }
                    Ok(_) => {}
                    Err(error) => answers.push(format!("{}: {:?}", function.name, error.as_db_error())),
                }
                savepoint.rollback().unwrap();
            }
        }
    }
    answers
}

/// Calls them in every role, while somebody holds the tables of secrets, so that some wait.
pub fn in_sql(known: &Known, multi: &str) -> Answers {
    let mut answers = vec![];
    let roles: [(&str, Option<(&str, &str)>); 5] = [
        ("crm_anon", None),
        ("crm_app", Some(("authenticate", known.owner.token()))),
        ("crm_multi", Some(("authenticate", multi))),
        ("crm_service", Some(("authenticate_api_key", &known.platform_key))),
        ("crm_worker", None),
    ];
    for (role, identity) in roles {
        // PostgREST's login role cannot become the worker.
        let mut client = if role == "crm_worker" { worker() } else { sql::connect() };
        let mut transaction = sql::begin_as(&mut client, role).unwrap();
        if let Some((function, secret)) = identity {
            transaction.execute(&format!("select crm.{function}($1)"), &[&secret]).unwrap();
        }
        answers.extend(call_all(known, &mut transaction, role));
    }
    let mut locker = admin::connect();
    let mut lock = locker.transaction().unwrap();
    lock.batch_execute("lock table crm_private.passwords, crm_private.one_time_tokens, crm_private.refresh_tokens")
        .unwrap();
    let mut client = sql::connect();
    for (call, secret) in [
        ("crm.login('{email}', $1)", &known.owner.password),
        ("crm.reset_password($1, 'something new')", &known.reset),
        ("crm.refresh_token($1)", &known.refresh_tokens[1]),
        ("crm.accept_invitation($1)", &known.invitation),
    ] {
        let call = format!("select {}", call.replace("{email}", &known.owner.email));
        let mut transaction = sql::begin_as(&mut client, "crm_anon").unwrap();
        transaction.batch_execute("set local statement_timeout = 100").unwrap();
        let error = transaction.execute(&call, &[secret]).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014", "{call}: {error}");
        answers.push(format!("{:?}", error.as_db_error()));
    }
    answers
}

/// A session with the worker's rights, as a login role of an installation has it.
fn worker() -> Client {
    let mut client = admin::connect();
    client.batch_execute("set log_error_verbosity = terse; set role crm_worker").unwrap();
    client
}

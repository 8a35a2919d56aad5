//! What the server writes down while everything goes wrong: no password, hash, token or key.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::Request;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, setting, sql, token, unique};
use serde_json::json;

/// Requests and statements that fail with a secret in them.
fn fail_in_every_way(user: &Actor) {
    let (email, password, token) = (&user.email, &user.password, user.token());
    let post = |path: &str, body: &str| drop(Request::new("POST", path).body("application/json", body).send());
    let taken = json!({ "email": email, "password": password, "organization_name": "Taken" });
    post("/rpc/register", &taken.to_string());
    post("/rpc/register", &token::with(&taken, "email", json!("nobody")).to_string());
    post("/rpc/register", &token::with(&taken, "organization_name", json!("")).to_string());
    post("/rpc/login", &json!({ "email": email, "password": format!("{password}x") }).to_string());
    post("/rpc/login", &json!({ "email": email, "password": password, "organization": "nowhere" }).to_string());
    post("/rpc/login", &json!({ "email": email, "password": password, "extra": 1 }).to_string());
    post("/rpc/login", &format!("{{\"email\": \"{email}\", \"password\": \"{password}\""));
    post(&format!("/rpc/login?email={email}&password={password}"), "{}");
    login(email, password, None).expect(200);
    user.get(&format!("/rpc/login?email={email}&password={password}"));
    user.post("/contacts", &json!({ "last_name": "", "org_id": "x" }));
    user.post("/contacts", &json!({ "last_name": "x", "birthday": "soon" }));
    user.get("/contacts?id=eq.x");
    user.working_in("nowhere").get("/contacts");
    user.with_token(&format!("{token}x")).get("/contacts");
    admin::execute("update crm_private.sessions set ended_at = now() where id = $1", &[&user.session()]);
    user.get("/contacts").expect(401);
    assert!(sql::session(|client| sql::begin_authenticated(client, token).is_err()));
    assert!(sql::session(|client| sql::begin_request(client, token).is_err()));
    let mut client = admin::connect();
    assert!(client.execute("select crm.register($1, $2, 'Taken')", &[email, password]).is_err());
    assert!(client.execute("select crm.rotate_signing_key('none')", &[]).is_err());
}

#[test]
fn an_administrator_finds_no_password_in_the_log_that_stood_beside_a_nul() {
    // PostgreSQL quotes what stands before it in the JSON.
    let password = unique("nul-passphrase");
    for (path, body) in [
        ("/rpc/register", json!({ "password": password, "xemail": "\u{0}@example.com", "organization_name": "x" })),
        ("/rpc/login", json!({ "email": "x@example.com", "password": format!("{password}\u{0}") })),
    ] {
        let body = body.to_string().replace("xemail", "email");
        Request::new("POST", path).body("application/json", body).send().expect(400);
    }
    let log = std::fs::read(setting("CRM_TEST_LOG")).unwrap();
    let log = String::from_utf8_lossy(&log);
    let line = log.lines().find(|line| line.contains(&password));
    assert_eq!(line, None);
}

#[test]
fn an_administrator_finds_no_secret_in_the_servers_log() {
    let user = Actor::register();
    fail_in_every_way(&user);

    let log = std::fs::read(setting("CRM_TEST_LOG")).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(log.contains("ERROR"), "this is not the log of a server that met errors");
    let header = user.token().split('.').next().unwrap();
    let keys: String = admin::value("select string_agg(private_key, '') from crm_private.signing_keys", &[]);
    let key_lines = keys.lines().filter(|line| line.len() > 20 && !line.starts_with("--"));
    // The tests' passwords all begin alike; the header is that of every token this key has signed.
    let secrets = [PASSWORD_PREFIX, header, "$argon2id$v=19$m=", "BEGIN PRIVATE KEY"];
    all(secrets.into_iter().chain(key_lines), |secret| {
        let line = log.lines().find(|line| line.contains(secret));
        line.map_or(Ok(()), |line| Err(format!("{secret}: {}", line.chars().take(300).collect::<String>())))
    });
}

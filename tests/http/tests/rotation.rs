//! A new signing key is published before it signs, so that nobody notices; unless the earlier ones were stolen. These
//! tests run one at a time and put back what they found.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crm_http_tests::actor::{self, Actor, login};
use crm_http_tests::everybodys::{Everybodys, published, rotate, until_accepted};
use crm_http_tests::forgery::refused_in_sql;
use crm_http_tests::http::{Response, text};
use crm_http_tests::{admin, alone, sql, token};
use serde_json::{Value, json};

fn refresh(refresh_token: &str) -> Response {
    actor::anonymous("POST", "/rpc/refresh_token").json(&json!({ "refresh_token": refresh_token })).send()
}

fn kid(token: &str) -> String {
    text(&token::header(token)["kid"])
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Seconds since 1970 of one of the key's times.
fn time(column: &str, kid: &str) -> Option<f64> {
    let query = format!("select extract(epoch from {column})::float8 from crm_private.signing_keys where kid = $1");
    admin::value(&query, &[&kid])
}

fn published_kids() -> Vec<String> {
    published().iter().map(|key| text(&key["kid"])).collect()
}

/// Waits for as long as the database's own clock says.
fn until_signing(kid: &str) {
    while time("active_from", kid).unwrap() > seconds() {
        thread::sleep(Duration::from_millis(20));
    }
}

// ---------------------------------------------------------------------------------------------- nobody notices

/// What one person met: tokens with the time they arrived, and answers that were not 200.
#[derive(Default)]
struct Met {
    tokens: Vec<(String, f64)>,
    requests: usize,
    failures: Vec<String>,
}

impl Met {
    /// The answer of a request that has to succeed; `what` is a path or says which token was used.
    fn expect(&mut self, what: &str, answer: Response) -> Option<Value> {
        self.requests += 1;
        if answer.status == 200 {
            return Some(answer.json());
        }
        self.failures.push(format!("{what}: {answer}"));
        None
    }

    fn tokens_of(&mut self, answer: &Value) -> (String, String) {
        let access = text(&answer["access_token"]);
        self.tokens.push((access.clone(), seconds()));
        (access, text(&answer["refresh_token"]))
    }

    /// Logs in, uses the token, refreshes it, uses both, over and over.
    fn work_until(mut self, end: Instant) -> Self {
        let user = Actor::register();
        let first = user.token().to_owned();
        while Instant::now() < end {
            let answer = login(&user.email, &user.password, None);
            let Some(answer) = self.expect("login", answer) else { continue };
            let (mut access, mut refresh_token) = self.tokens_of(&answer);
            for _ in 0..4 {
                let before = user.with_token(&access);
                self.expect("new token", before.get("/rpc/me"));
                let answer = refresh(&refresh_token);
                let Some(answer) = self.expect("refresh", answer) else { break };
                (access, refresh_token) = self.tokens_of(&answer);
                self.expect("refreshed token", user.with_token(&access).get("/contacts"));
                self.expect("token before the refresh", before.get("/contacts"));
                self.expect("oldest token", user.with_token(&first).get("/rpc/whoami"));
            }
        }
        self
    }
}

#[test]
fn users_who_work_while_keys_are_rotated_lose_no_request() {
    let _everybodys = Everybodys::keep_with_lead_time("2 seconds");
    let end = Instant::now() + Duration::from_secs(12);
    let (met, rotated) = thread::scope(|scope| {
        let users: Vec<_> = (0..4).map(|_| scope.spawn(|| Met::default().work_until(end))).collect();
        let rotated: Vec<_> = ["ES256", "EdDSA", "RS256", "ES256"]
            .map(|alg| {
                let kid = rotate(alg);
                thread::sleep(Duration::from_millis(2_100));
                kid
            })
            .into();
        (users.into_iter().map(|user| user.join().unwrap()).collect::<Vec<_>>(), rotated)
    });
    let failures: Vec<_> = met.iter().flat_map(|met| &met.failures).collect();
    let requests: usize = met.iter().map(|met| met.requests).sum();
    assert!(failures.is_empty(), "{} of {requests} failed: {failures:#?}", failures.len());

    let mut signed = BTreeMap::<String, usize>::new();
    for (token, arrived) in met.iter().flat_map(|met| &met.tokens) {
        let kid = kid(token);
        let issued = token::payload(token)["iat"].as_f64().unwrap();
        let active_from = time("active_from", &kid).unwrap();
        assert!(*arrived >= active_from && issued >= active_from.floor(), "{kid} signed before its time");
        let retired = time("retired_at", &kid);
        assert!(retired.is_none_or(|retired| issued <= retired), "{kid} signed after its time");
        *signed.entry(kid).or_default() += 1;
    }
    assert!(rotated.iter().filter(|kid| signed.contains_key(*kid)).count() >= 3, "{signed:?} of {rotated:?}");
}

#[test]
fn a_new_key_is_published_at_once_and_signs_after_the_lead_time() {
    let everybodys = Everybodys::keep_with_lead_time("3 seconds");
    let user = Actor::register();
    let asked = seconds();
    let next = rotate("ES256");
    assert_eq!(kid(user.logged_in(None).token()), everybodys.kid());
    assert_eq!(published_kids(), [next.as_str(), &everybodys.kid()]);
    let active_from = time("active_from", &next).unwrap();
    assert!(active_from >= asked + 3.0 && active_from <= seconds() + 3.0, "{asked} {active_from}");
    assert_eq!(time("retired_at", &everybodys.kid()), Some(active_from), "one signs until the next one does");

    // What is rotated meanwhile waits for its turn.
    let last = rotate("EdDSA");
    assert!(time("active_from", &last).unwrap() >= active_from);
    until_signing(&next);
    let again = user.logged_in(None);
    assert!([&next, &last].contains(&&kid(again.token())));
    again.get("/rpc/me").expect(200);
    until_signing(&last);
    let again = user.logged_in(None);
    assert_eq!(kid(again.token()), last);
    again.get("/rpc/me").expect(200);
    user.get("/rpc/me").expect(200);
}

#[test]
fn an_administrator_finds_no_private_key_of_a_retired_key() {
    let everybodys = Everybodys::keep_with_lead_time("1 second");
    let next = rotate("ES256");
    until_signing(&next);
    rotate("EdDSA");
    let kept: Vec<String> = admin::value(
        "select array_agg(kid order by active_from) from crm_private.signing_keys where private_key is not null",
        &[],
    );
    assert!(!kept.contains(&everybodys.kid()), "{kept:?}");
    assert_eq!(kept.len(), 2, "the one that signs and the next");
}

// ---------------------------------------------------------------------------------------------- stolen keys

fn rotate_and_revoke(alg: &str) -> String {
    admin::value("select crm.rotate_signing_key($1, revoke => true)", &[&alg])
}

#[test]
fn users_are_refused_at_the_next_request_once_the_keys_are_revoked() {
    let _everybodys = Everybodys::keep_with_lead_time("2 seconds");
    let first = Actor::with_contacts(1);
    let earlier = rotate("ES256");
    until_signing(&earlier);
    let answer = login(&first.email, &first.password, None).expect(200).json();
    let second = first.with_token(&text(&answer["access_token"]));
    assert_eq!(kid(second.token()), earlier);
    let unused = rotate("EdDSA");
    for user in [&first, &second] {
        user.get("/contacts").expect(200);
        sql::session(|client| drop(sql::begin_authenticated(client, user.token()).unwrap()));
    }

    let new = rotate_and_revoke("RS256");
    for user in [&first, &second] {
        user.get("/contacts").expect(401);
        user.get("/rpc/whoami").expect(401);
        assert_eq!(refused_in_sql("revoked", user.token(), "PT401"), Ok(()));
    }
    assert_eq!(published_kids(), [new.as_str()]);
    let kept: Vec<String> =
        admin::value("select array_agg(kid) from crm_private.signing_keys where private_key is not null", &[]);
    assert_eq!(kept, [new.as_str()]);

    let refreshed = refresh(&text(&answer["refresh_token"])).expect(200).json();
    let refreshed = first.with_token(&text(&refreshed["access_token"]));
    assert_eq!(kid(refreshed.token()), new);
    until_accepted(&refreshed);
    assert_eq!(refreshed.session(), second.session());
    assert_eq!(refreshed.get("/contacts").expect(200).rows().len(), 1);

    // The key that was to be next does not come back when its turn would have been.
    until_signing(&unused);
    thread::sleep(Duration::from_millis(100));
    let again = first.logged_in(None);
    assert_eq!(kid(again.token()), new);
    again.get("/contacts").expect(200);
    first.get("/contacts").expect(401);
    second.get("/contacts").expect(401);
}

#[test]
fn nobody_but_the_platform_rotates_keys() {
    let _alone = alone();
    let user = Actor::register();
    let arguments = json!({ "alg": "EdDSA", "revoke": true });
    let before = published();
    user.post("/rpc/rotate_signing_key", &arguments).expect(403);
    user.logged_in(None).post("/rpc/rotate_signing_key", &json!({})).expect(403);
    actor::anonymous("POST", "/rpc/rotate_signing_key").json(&arguments).send().expect(401);
    let mut client = admin::connect();
    for role in ["crm_anon", "crm_app", "crm_multi", "crm_worker"] {
        let mut transaction = sql::begin_as(&mut client, role).unwrap();
        let rotated = transaction.execute("select crm.rotate_signing_key('RS256', true)", &[]);
        assert_eq!(sql::sqlstate(rotated), "42501", "{role}");
    }
    assert_eq!(published(), before);
}

// -------------------------------------------------------------------------------------------- what verifiers are told

#[test]
fn a_verifier_keeps_the_key_set_no_longer_than_a_new_key_is_published_ahead() {
    for (lead_time, seconds) in [("2 seconds", 2), ("1 hour", 3600), ("0", 0)] {
        let _everybodys = Everybodys::keep_with_lead_time(lead_time);
        let answer = actor::anonymous("GET", "/rpc/jwks").send().expect(200);
        assert_eq!(answer.header("Cache-Control"), Some(format!("public, max-age={seconds}").as_str()), "{answer}");
    }
}

#[test]
fn a_verifier_is_told_where_everything_is_and_who_the_issuer_of_the_tokens_is() {
    let _everybodys = Everybodys::keep();
    admin::execute(
        "update crm_private.settings set issuer = 'https://crm.example', public_url = 'https://crm.example/api'",
        &[],
    );
    rotate("ES256");
    let answer = actor::anonymous("GET", "/rpc/openid_configuration").send().expect(200);
    let expected = json!({
        "issuer": "https://crm.example",
        "jwks_uri": "https://crm.example/api/rpc/jwks",
        "token_endpoint": "https://crm.example/api/rpc/login",
        "userinfo_endpoint": "https://crm.example/api/rpc/me",
        "end_session_endpoint": "https://crm.example/api/rpc/logout",
        "response_types_supported": [],
        "grant_types_supported": ["password", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "access_token_signing_alg_values_supported": ["ES256", "RS256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid", "org_id", "role", "act"],
    });
    assert_eq!(answer.json(), expected);
    let user = Actor::register();
    until_accepted(&user);
    assert_eq!(token::payload(user.token())["iss"], expected["issuer"]);
    let claims = token::payload(user.token());
    let supported: Vec<_> = expected["claims_supported"].as_array().unwrap().iter().map(text).collect();
    assert!(claims.as_object().unwrap().keys().all(|claim| supported.contains(claim)), "{claims}");
    let algorithms: Vec<_> = published().iter().map(|key| text(&key["alg"])).collect();
    assert!(algorithms.iter().all(|alg| ["ES256", "RS256"].contains(&alg.as_str())), "{algorithms:?}");
}

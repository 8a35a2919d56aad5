//! What the worker does for signing in with other providers: it fetches their keys and exchanges their codes. One test at a time:
//! a worker takes what waits for anybody.

use std::sync::{Arc, Mutex};

use crm_http_tests::issuer::flow::Flow;
use crm_http_tests::issuer::{Issuer, REDIRECT_URI, new_email, signed_in};
use crm_http_tests::receiver::{Answer, Call, Receiver};
use crm_http_tests::worker::{Worker, eventually};
use crm_http_tests::{admin, alone};
use serde_json::{Value, json};

/// A worker that may call this provider, which is on this machine.
fn worker_for(provider: &Receiver) -> Worker {
    let certificate = provider.certificate_file();
    Worker::start(&[("JOBS", "keys,oauth"), ("ALLOWED_NETWORKS", "127.0.0.1,::1"), ("CA_FILE", certificate)])
}

fn has_keys(issuer: &Issuer) -> bool {
    let query = "select jwks is not null from crm_private.identity_providers where name = $1";
    admin::value(query, &[&issuer.name])
}

/// A provider without keys that publishes them at `receiver`.
fn publishing(receiver: &Receiver) -> Issuer {
    let issuer = Issuer::without_keys("RS256");
    issuer.set(&format!("jwks_uri = '{}/certs'", receiver.url));
    issuer
}

/// Answers with what is put there.
fn serving() -> (Receiver, Arc<Mutex<Answer>>) {
    let answer = Arc::new(Mutex::new(Answer::new(503, "")));
    let given = answer.clone();
    (Receiver::tls(move |_| given.lock().unwrap().clone()), answer)
}

#[test]
fn somebody_signs_in_with_keys_that_the_worker_has_fetched() {
    let _alone = alone();
    let (receiver, answer) = serving();
    let issuer = publishing(&receiver);
    *answer.lock().unwrap() = Answer::new(200, issuer.jwks());
    issuer.sign_in(&issuer.claims(&new_email())).expect(401);
    let worker = worker_for(&receiver);
    eventually("the keys are there", || has_keys(&issuer).then_some(()));
    issuer.sign_in(&issuer.claims(&new_email())).expect(200);
    let call = &receiver.calls_of("/certs")[0];
    assert_eq!((call.method.as_str(), call.header("accept")), ("GET", "application/json"));
    assert!(call.header("user-agent").starts_with("crm-worker/"));
    assert!(worker.metric("crm_worker_key_fetches_total{outcome=\"stored\"}") >= Some(1.0));
}

#[test]
fn keys_that_cannot_be_fetched_leave_the_ones_before() {
    let _alone = alone();
    for bad in [
        Answer::new(500, "no"),
        Answer::new(302, "").header("location", "/elsewhere"),
        Answer::new(200, "{\"keys\": []}"),
        Answer::new(200, "<html>"),
        Answer::new(200, "x".repeat(300 << 10)),
    ] {
        let (receiver, answer) = serving();
        *answer.lock().unwrap() = bad.clone();
        let mut issuer = publishing(&receiver);
        issuer.publish().unwrap();
        issuer.set("jwks_fetched_at = now() - interval '2 hours'");
        let worker = worker_for(&receiver);
        let line = worker.until_logged("the provider's keys could not be fetched");
        assert_eq!(line["provider"], json!(issuer.name), "{line}");
        assert_eq!(receiver.calls().len(), 1, "a redirect was followed, or it was tried again at once");
        issuer.sign_in(&issuer.claims(&new_email())).expect(200);
        issuer.rotate();
        issuer.sign_in(&issuer.claims(&new_email())).expect(401);
    }
}

#[test]
fn a_provider_in_a_private_network_is_not_called_unless_it_is_allowed() {
    let _alone = alone();
    let (receiver, answer) = serving();
    let issuer = publishing(&receiver);
    *answer.lock().unwrap() = Answer::new(200, issuer.jwks());
    let worker = Worker::start(&[("JOBS", "keys"), ("CA_FILE", receiver.certificate_file())]);
    let line = worker.until_logged("the provider's keys could not be fetched");
    assert_eq!(line["problem"], "address not allowed", "{line}");
    assert!(receiver.calls().is_empty() && !has_keys(&issuer));
}

/// A provider as it exchanges codes: takes the one code and verifier, and answers with `tokens`, and with `person` where it is asked.
fn exchanging(tokens: impl Fn(&Call) -> Answer + Send + Sync + 'static, person: Value, emails: Value) -> Receiver {
    Receiver::tls(move |call| match (call.path.as_str(), call.header("authorization")) {
        ("/token", _) => tokens(call),
        ("/user", "Bearer token-of-ida") => Answer::new(200, &person),
        ("/user/emails", "Bearer token-of-ida") => Answer::new(200, &emails),
        _ => Answer::new(401, "{}"),
    })
}

fn of(receiver: &Receiver) -> Issuer {
    let issuer = Issuer::new("ES256");
    issuer.set(&format!("token_endpoint = '{0}/token', userinfo_endpoint = '{0}/user'", receiver.url));
    issuer
}

/// Comes back from the provider and asks until there is an answer.
fn finished(flow: &Flow) -> crm_http_tests::http::Response {
    flow.finish().expect(202);
    eventually("the code is exchanged", || Some(flow.finish()).filter(|answer| answer.status != 202))
}

#[test]
fn somebody_signs_in_with_github() {
    let _alone = alone();
    let email = new_email();
    let person = json!({ "id": 583231, "login": "ida", "name": "Ida Code", "email": "public@example.com" });
    let emails = json!([
        { "email": "other@example.com", "primary": false, "verified": true },
        { "email": email, "primary": true, "verified": true },
    ]);
    let tokens = |_: &Call| Answer::new(200, json!({ "access_token": "token-of-ida", "token_type": "bearer" }));
    let receiver = exchanging(tokens, person, emails);
    let (issuer, worker) = (of(&receiver), worker_for(&receiver));
    let flow = Flow::start(&issuer);
    let user = signed_in(&finished(&flow).expect(200).json());
    assert_eq!(user.email, email);
    let call = &receiver.calls_of("/token")[0];
    assert_eq!((call.method.as_str(), call.header("accept")), ("POST", "application/json"));
    for (field, value) in [
        ("grant_type", "authorization_code"),
        ("code", &flow.code),
        ("code_verifier", &flow.verifier),
        ("redirect_uri", REDIRECT_URI),
        ("client_id", &issuer.client),
        ("client_secret", &format!("the secret of {}", issuer.name)),
    ] {
        assert_eq!(call.field(field).as_deref(), Some(value), "{field}");
    }
    let subject: String =
        admin::value("select subject from crm_private.user_identities where provider = $1", &[&issuer.name]);
    assert_eq!(subject, "583231");
    for secret in [&flow.code, &flow.verifier, "token-of-ida", "the secret of", &email] {
        assert!(!worker.log().contains(secret), "{secret} in {}", worker.log());
    }
}

#[test]
fn somebody_signs_in_by_code_with_an_id_token() {
    let _alone = alone();
    let token = Arc::new(Mutex::new(String::new()));
    let given = token.clone();
    let tokens = move |_: &Call| Answer::new(200, json!({ "access_token": "x", "id_token": *given.lock().unwrap() }));
    let receiver = exchanging(tokens, Value::Null, Value::Null);
    let (issuer, _worker) = (of(&receiver), worker_for(&receiver));
    let email = new_email();
    *token.lock().unwrap() = issuer.id_token(&issuer.claims(&email));
    assert_eq!(signed_in(&finished(&Flow::start(&issuer)).expect(200).json()).email, email);
    // One that somebody else has signed ends the sign-in.
    *token.lock().unwrap() = Issuer::new("ES256").id_token(&issuer.claims(&email));
    finished(&Flow::start(&issuer)).expect(401);
    assert!(receiver.calls_of("/user").is_empty());
}

#[test]
fn a_code_that_the_provider_does_not_take_ends_the_sign_in() {
    let _alone = alone();
    for refusal in [
        Answer::new(200, json!({ "error": "bad_verification_code", "error_description": "it has expired" })),
        Answer::new(400, json!({ "error": "invalid_grant" })),
        Answer::new(302, "").header("location", "/user"),
        Answer::new(200, "no json"),
        Answer::new(200, json!({ "token_type": "bearer" })),
        Answer::new(200, json!({ "access_token": "token-of-somebody-else" })),
    ] {
        let given = refusal.clone();
        let receiver = exchanging(move |_| given.clone(), Value::Null, Value::Null);
        let (issuer, _worker) = (of(&receiver), worker_for(&receiver));
        let answer = finished(&Flow::start(&issuer)).expect(401);
        assert_eq!(answer.code(), "28000", "{refusal:?}");
        assert_eq!(issuer.people(), 0);
    }
}

#[test]
fn a_provider_that_is_out_of_order_is_asked_again() {
    let _alone = alone();
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let tokens = move |_: &Call| {
        *count.lock().unwrap() += 1;
        match *count.lock().unwrap() {
            1 => Answer::new(503, "busy"),
            _ => Answer::new(200, json!({ "access_token": "token-of-ida" })),
        }
    };
    let person = json!({ "sub": "ida|1", "email": new_email(), "email_verified": true, "name": "Ida" });
    let receiver = exchanging(tokens, person, Value::Null);
    let (issuer, worker) = (of(&receiver), worker_for(&receiver));
    let flow = Flow::start(&issuer);
    flow.finish().expect(202);
    worker.until_logged("a sign-in waits for the provider");
    flow.finish().expect(202);
    // As if its lease had ended.
    flow.set("claimed_until = null");
    finished(&flow).expect(200);
    assert_eq!(*asked.lock().unwrap(), 2);
}

//! Signing in by authorization code: what the client sees. These tests run one at a time: the worker claims what there
//! is.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::anonymous;
use crm_http_tests::http::{Request, encode, text};
use crm_http_tests::issuer::flow::{Flow, complete, finish, start};
use crm_http_tests::issuer::{Issuer, REDIRECT_URI, challenge_of, new_email, signed_in, user_of};
use crm_http_tests::token::base64url;
use crm_http_tests::{all, alone, unique};
use serde_json::{Value, json};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[test]
fn a_person_is_sent_to_the_provider_with_all_it_needs_to_know() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let answer = start(&issuer.name, REDIRECT_URI, CHALLENGE).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    let (url, state) = (text(&answer["authorization_url"]), text(&answer["state"]));
    let (endpoint, query) = url.split_once('?').unwrap();
    assert_eq!((endpoint, answer["expires_in"].clone()), (format!("{}/authorize", issuer.url).as_str(), json!(600)));
    let sent: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    let expected = [
        ("response_type", "code".to_owned()),
        ("client_id", issuer.client.clone()),
        ("redirect_uri", encode(REDIRECT_URI)),
        ("scope", "openid+email+profile".into()),
        ("state", state.clone()),
        ("code_challenge", CHALLENGE.into()),
        ("code_challenge_method", "S256".into()),
    ];
    assert_eq!(sent, expected.each_ref().map(|(name, value)| (*name, value.as_str())));
    assert_eq!(state.len(), 43);
    let again = start(&issuer.name, REDIRECT_URI, CHALLENGE).expect(200).json();
    assert_ne!(again["state"], json!(state));
}

#[test]
fn a_provider_whose_endpoint_has_a_query_keeps_it() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    issuer.set("authorization_endpoint = 'https://login.example/authorize?tenant=a%26b', scope = 'read:user a&b=c'");
    let url = Flow::start(&issuer).url;
    assert!(url.starts_with("https://login.example/authorize?tenant=a%26b&response_type=code&"), "{url}");
    assert!(url.contains("&scope=read%3Auser+a%26b%3Dc&"), "{url}");
}

#[test]
fn an_attacker_cannot_have_somebody_sent_elsewhere() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    issuer.set("redirect_uris = '{https://app.example/callback,https://second.example/in?x=1}'");
    let elsewhere = [
        "https://app.example/callback/",
        "https://app.example/callback/more",
        "https://app.example/callback?next=evil",
        "https://app.example/callback#evil",
        "https://app.example/Callback",
        "https://APP.example/callback",
        "https://app.example/",
        "https://app.example",
        "https://app.example.evil.example/callback",
        "https://app.example@evil.example/callback",
        "https://app.example:443/callback",
        "http://app.example/callback",
        "https://app.example/./callback",
        "https://app.example/%63allback",
        "https://app.example/callback ",
        "https://second.example/in",
        "https://second.example/in?x=1&x=2",
        "{https://app.example/callback}",
        "%",
        "",
    ];
    all(elsewhere, |uri| {
        let answer = start(&issuer.name, uri, CHALLENGE);
        let refused = answer.status == 400 && answer.code() == "22023" && answer.text().contains("redirect_uri: ");
        if refused { Ok(()) } else { Err(format!("{uri}: {answer}")) }
    });
    start(&issuer.name, "https://second.example/in?x=1", CHALLENGE).expect(200);
}

#[test]
fn a_client_is_told_which_argument_of_the_start_is_wrong() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let long = "x".repeat(44);
    let challenges = ["", "short", &CHALLENGE[1..], &long, &CHALLENGE.replace('-', "+"), &CHALLENGE.replace('-', "=")];
    let refused = |provider: &str, challenge: &str, word: &str| {
        let answer = start(provider, REDIRECT_URI, challenge);
        let refused = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if refused { Ok(()) } else { Err(format!("{word}: {answer}")) }
    };
    all(challenges, |challenge| refused(&issuer.name, challenge, "code_challenge: "));
    all(["", "nobody", "google", "github", "' or true --"], |name| refused(name, CHALLENGE, "provider: "));
    for change in ["enabled = false", "enabled = true, token_endpoint = null"] {
        issuer.set(change);
        assert_eq!(refused(&issuer.name, CHALLENGE, "provider: "), Ok(()));
    }
    for name in ["provider", "redirect_uri", "code_challenge"] {
        let mut arguments =
            json!({ "provider": issuer.name, "redirect_uri": REDIRECT_URI, "code_challenge": CHALLENGE });
        arguments[name] = Value::Null;
        let answer = anonymous("POST", "/rpc/oauth_start").json(&arguments).send().expect(400);
        assert!(answer.text().contains(&format!("{name}: is missing")), "{answer}");
    }
}

#[test]
fn a_client_is_told_which_argument_of_the_finish_is_wrong() {
    let _alone = alone();
    let (long_code, long) = ("x".repeat(2001), "x".repeat(129));
    let cases = [
        ("", VERIFIER, "code: "),
        (long_code.as_str(), VERIFIER, "code: "),
        ("code", "", "code_verifier: "),
        ("code", &VERIFIER[1..], "code_verifier: "),
        ("code", &long, "code_verifier: "),
        ("code", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r+wW1gFWFOEjXk", "code_verifier: "),
        ("code", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX\u{e9}", "code_verifier: "),
    ];
    all(cases, |(code, verifier, word)| {
        let answer = finish("state", code, verifier);
        if answer.status == 400 && answer.text().contains(word) { Ok(()) } else { Err(format!("{word}{answer}")) }
    });
    finish("state", "code", &"a.~_-".repeat(25)).expect(401);
    for function in
        ["oauth_start?provider=x&redirect_uri=x&code_challenge=x", "oauth_finish?state=x&code=x&code_verifier=x"]
    {
        Request::new("GET", &format!("/rpc/{function}")).send().expect(405);
    }
}

#[test]
fn a_person_waits_for_the_worker_and_then_is_logged_in_once() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let (flow, email) = (Flow::start(&issuer), new_email());
    for _ in 0..3 {
        let pending = flow.finish().expect(202);
        assert_eq!((pending.header("Retry-After"), pending.json()), (Some("1"), json!({ "status": "pending" })));
    }
    let exchange = flow.claim("1 minute").unwrap();
    flow.finish().expect(202);
    assert!(complete(exchange.id, "583231", Some(&email), true).unwrap());
    let answer = flow.finish().expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    let user = &answer["user"];
    assert_eq!((&user["email"], &user["full_name"]), (&json!(email), &json!("Olga Auth")));
    assert_eq!(user["email_verified"], true);
    assert_eq!(answer["organization"]["role"], "owner");
    signed_in(&answer).get("/contacts").expect(200);
    for _ in 0..2 {
        assert_eq!(flow.finish().expect(401).code(), "28000");
    }

    let (again, id) = Flow::claimed(&issuer);
    assert!(complete(id, "583231", None, false).unwrap());
    assert_eq!(signed_in(&again.finish().expect(200).json()).user, signed_in(&answer).user);
}

#[test]
fn a_verifier_and_a_challenge_go_together_as_in_rfc_7636() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    assert_eq!(challenge_of(VERIFIER), CHALLENGE);
    let state = text(&start(&issuer.name, REDIRECT_URI, CHALLENGE).expect(200).json()["state"]);
    finish(&state, "code", CHALLENGE).expect(401);
    finish(&state, "code", VERIFIER).expect(202);
    let longest = "Az09-._~".repeat(16);
    let state = text(&start(&issuer.name, REDIRECT_URI, &challenge_of(&longest)).expect(200).json()["state"]);
    finish(&state, "code", &longest).expect(202);
}

#[test]
fn an_attacker_without_the_verifier_gets_nothing_and_stops_nobody() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let (flow, own) = (Flow::start(&issuer), Flow::start(&issuer));
    let stranger = base64url([7; 32]);
    let attack = || {
        for (state, verifier) in [
            (&flow.state, &stranger),
            (&flow.state, &own.verifier),
            (&own.state, &flow.verifier),
            (&flow.state, &challenge_of(&flow.verifier)),
            (&flow.state.to_uppercase(), &flow.verifier),
            (&unique("state"), &flow.verifier),
            (&String::new(), &flow.verifier),
        ] {
            assert_eq!(finish(state, "stolen", verifier).expect(401).code(), "28000", "{state} {verifier}");
        }
    };
    attack();
    flow.finish().expect(202);
    attack();
    let exchange = flow.claim("1 minute").unwrap();
    assert_eq!(exchange.row["code"], json!(flow.code));
    assert!(complete(exchange.id, "1", Some(&new_email()), true).unwrap());
    attack();
    flow.finish().expect(200);
    attack();
}

#[test]
fn a_person_who_comes_too_late_is_refused() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let late = "expires_at = now() - interval '1 second'";
    let flow = Flow::start(&issuer);
    flow.set(late);
    assert_eq!(flow.finish().expect(401).code(), "28000");
    let flow = Flow::start(&issuer);
    flow.finish().expect(202);
    flow.set(late);
    assert_eq!(flow.claim("1 minute"), None);
    flow.finish().expect(401);
    let ((flow, id), email) = (Flow::claimed(&issuer), new_email());
    complete(id, "1", Some(&email), true).unwrap();
    flow.set(late);
    flow.finish().expect(401);
    assert_eq!((user_of(&email), issuer.people()), (None, 0));
}

#[test]
fn a_person_is_refused_once_the_provider_is_off() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let (flow, id) = Flow::claimed(&issuer);
    complete(id, "1", Some(&new_email()), true).unwrap();
    issuer.set("enabled = false");
    flow.finish().expect(401);
    issuer.set("enabled = true, create_users = false");
    assert_eq!(flow.finish().expect(403).code(), "42501");
    assert_eq!(issuer.people(), 0);
}

#[test]
fn two_who_finish_at_once_are_not_both_let_in() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    for subject in 0..5 {
        let (flow, id) = Flow::claimed(&issuer);
        complete(id, &subject.to_string(), Some(&new_email()), true).unwrap();
        let mut statuses: Vec<u16> = thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| flow.finish().status)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401]);
    }
}

#[test]
fn a_worker_may_take_its_time_between_two_questions_of_the_client() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let flow = Flow::start(&issuer);
    let answer = thread::scope(|scope| {
        let client = scope.spawn(|| {
            loop {
                let answer = flow.finish();
                if answer.status != 202 {
                    return answer;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let exchange = loop {
            if let Some(exchange) = flow.claim("1 minute") {
                break exchange;
            }
            thread::sleep(Duration::from_millis(20));
        };
        complete(exchange.id, "1", Some(&new_email()), true).unwrap();
        client.join().unwrap()
    });
    answer.expect(200);
}

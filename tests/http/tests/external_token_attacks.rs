//! Access tokens of an accepted issuer that are wrong in one thing, and what even a good one does not permit. These
//! tests run one at a time: PostgREST's keys are everybody's.

use crm_http_tests::actor::Actor;
use crm_http_tests::forgery::{refused, refused_in_sql};
use crm_http_tests::http::Request;
use crm_http_tests::issuer::accepted::{Accepted, link, sign};
use crm_http_tests::issuer::{Issuer, Key};
use crm_http_tests::token::{self, now, payload, with};
use crm_http_tests::{all, raw, unique};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn an_attacker_gets_nothing_with_wrong_claims() {
    let accepted = Accepted::new("ES256");
    let (now, url, client) = (now(), accepted.issuer.url.clone(), accepted.issuer.client.clone());
    let claims = [
        ("aud", json!("https://another.example")),
        ("aud", json!(client)),
        ("aud", json!("crm")),
        ("aud", json!("")),
        ("aud", json!([])),
        ("aud", json!(["https://another.example"])),
        ("aud", json!(1)),
        ("aud", Value::Null),
        ("iss", json!(format!("{url}/"))),
        ("iss", json!(url.to_uppercase())),
        ("iss", json!("https://accounts.google.com")),
        ("iss", json!("crm_ext")),
        ("iss", json!([url])),
        ("iss", Value::Null),
        ("exp", json!(now - 3600)),
        // PostgREST forgives 30 seconds.
        ("exp", json!(now - 10)),
        ("exp", json!((now + 600).to_string())),
        ("exp", json!(now as f64 + 600.5)),
        ("exp", json!(1e308)),
        ("exp", json!(u64::MAX)),
        ("exp", Value::Null),
        ("iat", json!(now + 20)),
        ("iat", json!(now + 3600)),
        ("nbf", json!(now + 20)),
        ("nbf", json!(now + 3600)),
        ("sub", json!("")),
        ("sub", json!(1)),
        ("sub", json!("x".repeat(256))),
        ("sub", Value::Null),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
    ];
    all(claims, |(name, value)| {
        let what: String = format!("{name}: {value}").chars().take(80).collect();
        refused(&what, &accepted.sign(&with(&accepted.claims(), name, value)), 401)
    });
    accepted.external().get("/contacts").expect(200);
}

#[test]
fn an_attacker_gets_no_database_role_by_a_claim() {
    let accepted = Accepted::new("ES256");
    let roles = [
        ("crm_service", 403),
        ("crm_definer", 403),
        ("crm_admin", 403),
        ("crm_owner", 403),
        ("crm_worker", 403),
        ("crm_backup", 403),
        ("crm_authenticator", 403),
        ("postgres", 403),
        ("none", 403),
        ("crm_app", 401),
        ("crm_multi", 401),
        // PostgREST 12 answers 400 for a role that does not exist, before the database can say more.
        ("authenticated", 400),
        ("CRM_APP", 400),
        ("crm_app; reset role", 400),
    ];
    let refuses = |value: Value, status: u16| {
        let token = accepted.sign(&with(&accepted.claims(), "role", value.clone()));
        for path in ["/contacts", "/rpc/whoami", "/rpc/me", "/", "/rpc/list_users"] {
            let answer = Request::new("GET", path).token(&token).send();
            if answer.status != status {
                return Err(format!("{value}, {status} expected: {answer}"));
            }
        }
        Ok(())
    };
    all(roles, |(role, status)| refuses(json!(role), status));
    all([json!(["crm_app"]), json!({ "role": "crm_app" }), json!(7)], |role| refuses(role, 400));
    let mut null = accepted.claims();
    null["role"] = Value::Null;
    assert!([400, 401, 403].contains(&accepted.get(&null).status));
    // The one role that says nothing.
    accepted.get(&with(&accepted.claims(), "role", json!("crm_anon"))).expect(200);
}

#[test]
fn an_issuer_cannot_make_tokens_that_pass_for_ours() {
    let accepted = Accepted::new("RS256");
    let victim = Actor::with_contacts(1);
    let (header, claims) = (token::header(victim.token()), payload(victim.token()));
    let key = &accepted.issuer.keys[0];
    let own_kid = with(&header, "kid", json!(key.kid));
    let no_kid = with(&header, "kid", Value::Null);
    let named = with(&claims, "iss", json!(accepted.issuer.url));
    all(
        [
            ("our kid", &header, claims.clone()),
            ("its own kid", &own_kid, claims.clone()),
            ("no kid", &no_kid, claims.clone()),
            ("its own name", &own_kid, named.clone()),
            ("our issuer, no role", &own_kid, with(&claims, "role", Value::Null)),
            ("our issuer, anonymous", &own_kid, with(&claims, "role", json!("crm_anon"))),
        ],
        |(what, header, claims)| {
            let forged = key.sign(&header.to_string(), &claims.to_string());
            refused(what, &forged, 401).and(refused_in_sql(what, &forged, "PT401"))
        },
    );
    victim.get("/contacts").expect(200);
    assert_eq!(refused_in_sql("a good one", &accepted.token(), "PT401"), Ok(()));
}

#[test]
fn an_issuer_cannot_speak_for_another() {
    let accepted = Accepted::new("ES256");
    let (other, stranger) = (Issuer::new("ES256"), Key::generate("ES256"));
    accepted.accept(&other);
    let theirs = Actor::with_contacts(1);
    let subject = unique("theirs");
    link(&theirs, &other, &subject);
    let claims = with(&accepted.claims_of(&subject), "iss", json!(other.url));
    let started = std::time::Instant::now();
    while theirs.with_token(&sign(&other.keys[0], &with(&claims, "jti", json!(Uuid::new_v4())))).get("/contacts").status
        != 200
    {
        assert!(started.elapsed().as_secs() < 15, "PostgREST did not take the second issuer's keys over");
    }
    let other_kid = other.keys[0].header("at+jwt").to_string();
    let own = &accepted.issuer.keys[0];
    assert_eq!(refused("its own key", &sign(own, &claims), 401), Ok(()));
    assert_eq!(refused("the other's kid", &own.sign(&other_kid, &claims.to_string()), 401), Ok(()));
    let same_subject = with(&accepted.claims_of(&accepted.subject), "iss", json!(other.url));
    assert_eq!(refused("our issuer's subject", &sign(&other.keys[0], &same_subject), 403), Ok(()));
    assert_eq!(refused("a stranger", &sign(&stranger, &accepted.claims()), 401), Ok(()));
    let stranger = stranger.called(&own.kid);
    assert_eq!(refused("a stranger with a known kid", &sign(&stranger, &accepted.claims()), 401), Ok(()));
}

#[test]
fn an_attacker_gets_nothing_with_another_header() {
    let accepted = Accepted::new("ES256");
    let key = &accepted.issuer.keys[0];
    let headers = [
        ("typ", json!("id+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("dpop+jwt")),
        ("jku", json!("https://evil.example")),
        ("x5u", json!("https://evil.example")),
        ("jwk", key.canonical()),
        ("crit", json!(["exp"])),
        ("kid", json!("unknown")),
        ("alg", json!("ES384")),
        ("alg", json!("none")),
    ];
    all(headers, |(name, value)| {
        let header = with(&key.header("at+jwt"), name, value.clone()).to_string();
        refused(&format!("{name}: {value}"), &key.sign(&header, &accepted.claims().to_string()), 401)
    });
    for typ in [json!("JWT"), json!("application/at+jwt"), Value::Null] {
        let header = with(&key.header("at+jwt"), "typ", typ).to_string();
        let token = key.sign(&header, &accepted.claims().to_string());
        accepted.user.with_token(&token).get("/contacts").expect(200);
    }
}

#[test]
fn an_attacker_gets_nothing_with_a_claim_given_twice() {
    let accepted = Accepted::new("ES256");
    let victim = accepted.external_as(&Actor::with_contacts(1));
    let theirs = payload(victim.token())["sub"].clone();
    let key = &accepted.issuer.keys[0];
    for text in
        [format!(r#""sub":{theirs}"#), r#""role":"crm_app""#.into(), r#""aud":"other""#.into(), r#""exp":1"#.into()]
    {
        let claims = with(&accepted.claims(), "role", json!("crm_anon")).to_string();
        let forged = key.sign(&key.header("at+jwt").to_string(), &format!("{{{text},{}", &claims[1..]));
        assert_eq!(accepted.user.with_token(&forged).get("/contacts").status, 401, "{text}");
    }
}

#[test]
fn an_attacker_gets_nothing_with_two_authorization_headers() {
    let accepted = Accepted::new("ES256");
    let second = accepted.external_as(&Actor::with_contacts(1));
    let external = accepted.external();
    for (one, other) in [(&external, &second), (&external, &accepted.user), (&accepted.user, &external)] {
        let header = |actor: &Actor| format!("Authorization: Bearer {}", actor.token()).into_bytes();
        let answer = raw::request("GET", "/contacts", &[&header(one), &header(other)]).unwrap();
        assert_eq!(answer.status, 401, "{answer}");
    }
}

#[test]
fn a_user_cannot_change_what_proves_them_with_a_token_of_another_issuer() {
    let accepted = Accepted::new("ES256");
    let external = accepted.external();
    let passwords = json!({ "current_password": accepted.user.password, "new_password": unique("kzq-passphrase-") });
    let calls = [
        ("change_password", passwords),
        ("create_api_key", json!({ "name": "Key", "scopes": ["contacts.read"] })),
        ("switch_org", json!({ "organization": accepted.user.organization.slug })),
        ("logout", json!({})),
        ("logout", json!({ "everywhere": true })),
        ("end_session", json!({ "session_id": accepted.user.session() })),
        ("request_email_verification", json!({})),
        ("invite_user", json!({ "email": "somebody@example.com", "role": "admin" })),
        ("impersonate", json!({ "user_id": accepted.user.user, "reason": "To see" })),
        ("link_identity", json!({ "user_id": accepted.user.user, "provider": accepted.issuer.name, "subject": "x" })),
        ("issue_token", json!({ "user_id": accepted.user.user })),
    ];
    all(calls, |(function, arguments)| {
        let answer = external.post(&format!("/rpc/{function}"), &arguments);
        if answer.code() == "PT403" { Ok(()) } else { Err(answer.to_string()) }
    });
    accepted.user.get("/contacts").expect(200);
    let refresh = json!({ "refresh_token": external.token() });
    Request::new("POST", "/rpc/refresh_token").json(&refresh).send().expect(401);
    external.request("GET", "/contacts").header("x-api-key", "crmo_00000000_x").send().expect(400);
}

//! ID tokens with a good signature that claim what is wrong: another issuer, another client, another time.

use crm_http_tests::all;
use crm_http_tests::forgery::refused as refused_as_access_token;
use crm_http_tests::issuer::{Issuer, new_email, user_of};
use crm_http_tests::token::{now, with};
use serde_json::{Value, json};

/// Refused, and nobody is made.
fn refused(issuer: &Issuer, what: &str, token: &str) -> Result<(), String> {
    let people = issuer.people();
    let answer = issuer.show(token);
    if answer.status != 401 || answer.code() != "28000" || issuer.people() != people {
        return Err(format!("{what}: {answer}"));
    }
    Ok(())
}

/// Every one of these values is refused, null meaning that the claim is missing; without the change the token is good.
fn all_refused(issuer: &Issuer, cases: Vec<(&str, Value)>) {
    let email = new_email();
    let claims = issuer.claims(&email);
    all(cases, |(name, value)| {
        let what: String = format!("{name}: {value}").chars().take(80).collect();
        refused(issuer, &what, &issuer.id_token(&with(&claims, name, value)))
    });
    assert_eq!(user_of(&email), None);
    issuer.sign_in(&claims).expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_another_issuer() {
    let issuer = Issuer::new("ES256");
    let url = &issuer.url;
    all_refused(
        &issuer,
        vec![
            ("iss", json!(format!("{url}/"))),
            ("iss", json!(format!("{url}.evil.example"))),
            ("iss", json!(url[..url.len() - 1])),
            ("iss", json!(url.to_uppercase())),
            ("iss", json!(url.replace("https://", "http://"))),
            ("iss", json!(url.trim_start_matches("https://"))),
            ("iss", json!(format!(" {url}"))),
            ("iss", json!(format!("{url}\u{0}"))),
            ("iss", json!("crm_ext")),
            ("iss", json!("")),
            ("iss", json!([url])),
            ("iss", json!(1)),
            ("iss", Value::Null),
        ],
    );
}

#[test]
fn an_attacker_gets_nothing_with_a_token_for_another_client() {
    let issuer = Issuer::new("ES256");
    let client = &issuer.client;
    all_refused(
        &issuer,
        vec![
            ("aud", json!("another.apps.example")),
            ("aud", json!(client[1..])),
            ("aud", json!(client.to_uppercase())),
            ("aud", json!(format!("{client} "))),
            ("aud", json!("crm")),
            ("aud", json!("")),
            ("aud", json!([])),
            ("aud", json!(["another.apps.example", "third.apps.example"])),
            ("aud", json!([client, 1])),
            ("aud", json!([client, ""])),
            ("aud", json!([[client]])),
            ("aud", json!({ "0": client })),
            ("aud", json!(true)),
            ("aud", Value::Null),
            ("azp", json!("another.apps.example")),
            ("azp", json!("")),
            ("azp", json!([client])),
            ("azp", json!(1)),
        ],
    );
    let claims = issuer.claims(&new_email());
    let several = with(&claims, "aud", json!(["another.apps.example", client]));
    issuer.sign_in(&several).expect(200);
    // OpenID Connect Core 1.0, 3.1.3.7: with several audiences, azp has to say for whom the token was made.
    issuer.sign_in(&with(&several, "azp", Value::Null)).expect(401);
    issuer.sign_in(&with(&claims, "azp", Value::Null)).expect(200);
    issuer.sign_in(&with(&claims, "aud", json!([client]))).expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_a_token_of_another_time() {
    let issuer = Issuer::new("ES256");
    let now = now();
    all_refused(
        &issuer,
        vec![
            ("exp", json!(now - 3600)),
            ("exp", json!(now - 10)),
            ("exp", json!(0)),
            ("exp", json!(-1)),
            ("exp", json!((now + 600).to_string())),
            ("exp", json!(now as f64 + 600.5)),
            ("exp", json!(1e18)),
            ("exp", json!(1e308)),
            ("exp", json!(i64::MAX)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(true)),
            ("exp", json!([now + 600])),
            ("exp", Value::Null),
            ("iat", json!(now + 60)),
            ("iat", json!(now + 86_400)),
            ("iat", json!(now.to_string())),
            ("iat", json!(-1)),
            ("iat", Value::Null),
            ("nbf", json!(now + 60)),
            ("nbf", json!("0")),
        ],
    );
    // Clocks differ a little.
    let claims = issuer.claims(&new_email());
    issuer.sign_in(&with(&claims, "iat", json!(now + 2))).expect(200);
    issuer.sign_in(&with(&claims, "nbf", json!(now - 60))).expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_an_impossible_subject() {
    let issuer = Issuer::new("ES256");
    all_refused(
        &issuer,
        vec![
            ("sub", Value::Null),
            ("sub", json!("")),
            ("sub", json!(1)),
            ("sub", json!(["1"])),
            ("sub", json!("a\u{0}b")),
            ("sub", json!("a\nb")),
            ("sub", json!("x".repeat(256))),
            ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
        ],
    );
    issuer.sign_in(&with(&issuer.claims(&new_email()), "sub", json!("ä".repeat(255)))).expect(200);
    issuer.sign_in(&with(&issuer.claims(&new_email()), "sub", json!("' or true --"))).expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_a_null_for_a_claim() {
    let issuer = Issuer::new("ES256");
    all(["iss", "aud", "azp", "sub", "exp", "iat", "nbf", "nonce", "events"], |name| {
        let mut claims = issuer.claims(&new_email());
        claims[name] = Value::Null;
        refused(&issuer, name, &issuer.id_token(&claims))
    });
}

#[test]
fn an_attacker_gets_nothing_with_a_claim_given_twice() {
    let issuer = Issuer::new("ES256");
    let (victim, theirs) = issuer.newcomer();
    let header = issuer.keys[0].header("JWT").to_string();
    let claims = issuer.claims(&new_email()).to_string();
    let texts = [
        format!(r#""sub":{}"#, theirs["sub"]),
        format!(r#""email":"{}""#, victim.email),
        r#""email_verified":false"#.into(),
        r#""aud":"another.apps.example""#.into(),
        r#""iss":"https://another.example""#.into(),
        r#""exp":1"#.into(),
        // The same name, written otherwise.
        format!(r#""\u0073ub":{}"#, theirs["sub"]),
    ];
    all(texts, |text| {
        for payload in [format!("{{{text},{}", &claims[1..]), format!("{},{text}}}", &claims[..claims.len() - 1])] {
            refused(&issuer, &text, &issuer.keys[0].sign(&header, &payload))?;
        }
        Ok(())
    });
}

#[test]
fn an_attacker_cannot_use_an_id_token_as_an_access_token() {
    let issuer = Issuer::new("RS256");
    let (user, claims) = issuer.newcomer();
    for role in [Value::Null, json!("crm_app"), json!("crm_anon")] {
        let token = issuer.id_token(&with(&claims, "role", role.clone()));
        assert_eq!(refused_as_access_token(&role.to_string(), &token, 401), Ok(()));
    }
    user.get("/contacts").expect(200);
    let expired = with(&claims, "exp", json!(now() - 60));
    assert_eq!(refused_as_access_token("expired", &issuer.id_token(&expired), 401), Ok(()));
}

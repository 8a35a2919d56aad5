//! Signing keys and token settings change. All of it concerns everybody, so these tests run one at a time and put back
//! what they found.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::everybodys::{Everybodys, published, rotate, until_accepted};
use crm_http_tests::http::text;
use crm_http_tests::token::{self, base64url, from_base64url};
use crm_http_tests::{admin, sql};
use serde_json::{Value, json};

#[test]
fn a_user_logs_in_with_every_kind_of_key_and_earlier_tokens_go_on() {
    let _everybodys = Everybodys::keep();
    let mut earlier = vec![Actor::with_contacts(1)];
    for alg in ["ES256", "EdDSA", "RS256"] {
        let kid = rotate(alg);
        let user = earlier[0].logged_in(None);
        let header = token::header(user.token());
        assert_eq!((&header["alg"], &header["kid"], &header["typ"]), (&json!(alg), &json!(kid), &json!("at+jwt")));
        until_accepted(&user);
        earlier.push(user);
        for user in &earlier {
            assert_eq!(user.get("/contacts").expect(200).rows().len(), 1, "{alg}");
            sql::session(|client| drop(sql::begin_authenticated(client, user.token()).unwrap()));
        }
    }
    assert_eq!(published().len(), 4);
    for key in published() {
        let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[_] = match key["kty"].as_str().unwrap() {
            "RSA" => &["alg", "e", "kid", "kty", "n", "use"],
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            _ => &["alg", "crv", "kid", "kty", "use", "x"],
        };
        assert_eq!(members, expected, "{key}");
    }
}

#[test]
fn a_user_is_refused_once_the_key_of_their_token_has_expired() {
    let everybodys = Everybodys::keep();
    let before = Actor::with_contacts(1);
    rotate("ES256");
    let after = before.logged_in(None);
    until_accepted(&after);
    before.get("/contacts").expect(200);
    let lives_on: bool = admin::value(
        "select expires_at between now() + interval '1 hour' and now() + interval '1 hour 5 minutes'
         from crm_private.signing_keys where kid = $1",
        &[&everybodys.kid()],
    );
    assert!(lives_on, "the earlier key verifies as long as a token signed with it can live");

    admin::execute(
        "update crm_private.signing_keys set expires_at = now() - interval '1 second' where kid = $1",
        &[&everybodys.kid()],
    );
    // PostgREST knows nothing of it: it still has that key, and the token in its cache.
    before.get("/contacts").expect(401);
    assert_eq!(sql::session(|client| sql::sqlstate(sql::begin_authenticated(client, before.token()))), "PT401");
    after.get("/contacts").expect(200);
    assert!(published().iter().all(|key| key["kid"] != json!(everybodys.kid())));
}

#[test]
fn a_user_is_refused_once_the_key_of_their_token_is_gone() {
    let _everybodys = Everybodys::keep();
    rotate("EdDSA");
    let user = Actor::register();
    until_accepted(&user);
    let kid = rotate("RS256");
    admin::execute("delete from crm_private.signing_keys where alg = 'EdDSA'", &[]);
    user.get("/contacts").expect(401);
    let again = user.logged_in(None);
    assert_eq!(token::header(again.token())["kid"], json!(kid));
    until_accepted(&again);
}

/// The order of the curve P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature that the same key verifies: (r, n - s) instead of (r, s).
fn malleated(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = from_base64url(signature);
    let mut borrow = 0_i32;
    for position in (0..32).rev() {
        let difference = i32::from(ORDER[position]) - i32::from(signature[32 + position]) - borrow;
        borrow = i32::from(difference < 0);
        signature[32 + position] = difference.rem_euclid(256) as u8;
    }
    format!("{message}.{}", base64url(signature))
}

#[test]
fn an_attacker_gains_nothing_by_malleating_an_es256_signature() {
    let _everybodys = Everybodys::keep();
    rotate("ES256");
    let user = Actor::with_contacts(0);
    until_accepted(&user);
    let twin = user.with_token(&malleated(user.token()));
    assert_ne!(twin.token(), user.token());
    // ECDSA verifies both, so it is the same token in other letters: the same person, and it ends with the session.
    let answer = twin.get("/rpc/whoami");
    assert!(answer.status == 401 || answer.json()["session_id"] == json!(user.session()), "{answer}");
    admin::execute("update crm_private.sessions set ended_at = now() where id = $1", &[&user.session()]);
    twin.get("/rpc/whoami").expect(401);
    user.get("/rpc/whoami").expect(401);
}

#[test]
fn an_attacker_gets_nothing_with_the_signature_of_another_kind_of_key() {
    let _everybodys = Everybodys::keep();
    rotate("ES256");
    let es256 = Actor::register();
    until_accepted(&es256);
    rotate("EdDSA");
    let eddsa = es256.logged_in(None);
    until_accepted(&eddsa);
    for (one, other) in [(&es256, &eddsa), (&eddsa, &es256)] {
        let (mine, theirs): (Vec<_>, Vec<_>) = (one.token().split('.').collect(), other.token().split('.').collect());
        for token in [
            format!("{}.{}.{}", theirs[0], mine[1], mine[2]),
            format!("{}.{}.{}", mine[0], mine[1], theirs[2]),
            format!("{}.{}.{}", mine[0], mine[1], base64url([0; 64])),
        ] {
            es256.with_token(&token).get("/contacts").expect(401);
        }
    }
}

#[test]
fn an_administrator_who_asks_for_an_unknown_algorithm_changes_nothing() {
    let _everybodys = Everybodys::keep();
    let before = published();
    let mut client = admin::connect();
    for alg in ["", "HS256", "none", "rs256", "Ed25519", "RS256; drop table crm.contacts"] {
        assert_eq!(sql::sqlstate(client.execute("select crm.rotate_signing_key($1)", &[&alg])), "22023", "{alg}");
    }
    assert_eq!(published(), before);
}

#[test]
fn everybody_is_refused_once_the_issuer_or_the_audience_is_another() {
    for column in ["issuer", "audience"] {
        let _everybodys = Everybodys::keep();
        let user = Actor::with_contacts(1);
        user.get("/contacts").expect(200);
        admin::execute(&format!("update crm_private.settings set {column} = 'https://crm.example'"), &[]);
        user.get("/contacts").expect(401);
        admin::execute("notify pgrst", &[]);
        let again = user.logged_in(None);
        until_accepted(&again);
        user.get("/contacts").expect(401);
    }
}

#[test]
fn a_user_gets_tokens_of_the_lifetime_that_is_set() {
    let _everybodys = Everybodys::keep();
    let user = Actor::register();
    admin::execute(
        "update crm_private.settings set access_token_ttl = '2 minutes', service_token_ttl = '3 minutes'",
        &[],
    );
    let answer = login(&user.email, &user.password, None).expect(200).json();
    let claims = token::payload(&text(&answer["access_token"]));
    assert_eq!(answer["expires_in"], 120);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    let issued: Value = admin::value("select crm.issue_token($1)", &[&user.user]);
    assert_eq!(issued["expires_in"], 180);
}

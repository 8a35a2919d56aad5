use std::sync::LazyLock;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::*;
use crate::identity::jwt;
use crate::identity::keys::KeyPair;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example.com";

static ED: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(Algorithm::EdDSA).unwrap());
static EC: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(Algorithm::ES256).unwrap());
static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(Algorithm::RS256).unwrap());
static P384: LazyLock<KeyPair> = LazyLock::new(|| {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(48);
    KeyPair {
        kid: "p384".into(),
        public_jwk: json!({ "kty": "EC", "crv": "P-384", "x": encoded(x), "y": encoded(y), "kid": "p384" }),
        private_pem: pem::encode(&pem::Pem::new("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref())),
    }
});

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn bare(jwk: &Value) -> Value {
    without(without(jwk.clone(), "kid"), "alg")
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(&json!({ "keys": keys })).unwrap()
}

fn trust_in(keys: &[Value], algorithms: &[&str]) -> Trust {
    Trust {
        issuers: vec![ISSUER.into(), "issuer.example.com".into()],
        algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
        audiences: vec!["crm".into(), "crm-mobile".into()],
        keys: set(keys),
        leeway: 30,
    }
}

fn trust() -> Trust {
    trust_in(from_ref(&ED.public_jwk), &["EdDSA"])
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "user|1", "aud": "crm", "iat": NOW, "exp": NOW + 600 })
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": ED.kid, "typ": "JWT" })
}

fn signed_with(algorithm: Algorithm, pair: &KeyPair, header: &str, payload: &str) -> String {
    let pem = pair.private_pem.as_bytes();
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
        _ => EncodingKey::from_rsa_pem(pem),
    };
    let message = format!("{}.{}", encoded(header), encoded(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.unwrap(), algorithm).unwrap();
    format!("{message}.{signature}")
}

fn token_of(header: &str, payload: &str) -> String {
    signed_with(Algorithm::EdDSA, &ED, header, payload)
}

fn token(claims: &Value) -> String {
    token_of(&header().to_string(), &claims.to_string())
}

fn is_id_token(claims: &Value) -> bool {
    id_token(&token(claims), &trust(), None, NOW).is_ok()
}

fn is_access_token(claims: &Value) -> bool {
    access_token(&token(claims), &trust(), NOW).is_ok()
}

/// One key, one token of RFC 7515 A.2, A.3 and RFC 8037 A.4 each.
fn published() -> [(&'static str, Value, &'static str); 3] {
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp\
        -Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH\
        SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DW\
        NmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let ec = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    [
        (
            "RS256",
            rsa,
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb2\
             90Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp\
             5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0Ga\
             rZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98r\
             qVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "ES256",
            ec,
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb2\
             90Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "EdDSA",
            ed,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWb\
             hijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ]
}

#[test]
fn the_published_examples_verify() {
    for (algorithm, key, token) in published() {
        let trust = trust_in(&[key], &[algorithm]);
        let (_, payload) = signed(token, &trust).ok().unwrap();
        let start = if algorithm == "EdDSA" { "Example of Ed25519 signing" } else { "{\"iss\":\"joe\",\r\n" };
        assert!(payload.starts_with(start.as_bytes()), "{algorithm}");

        let parts: Vec<_> = token.split('.').collect();
        let other_payload = encoded("{\"iss\":\"eve\"}");
        assert!(signed(&format!("{}.{other_payload}.{}", parts[0], parts[2]), &trust).is_err(), "{algorithm}");
        for signature in ["", "AAAA", &parts[2][..parts[2].len() - 4], &format!("{}AAAA", parts[2])] {
            let forged = format!("{}.{}.{signature}", parts[0], parts[1]);
            assert!(signed(&forged, &trust).is_err(), "{algorithm} {signature}");
        }
    }
}

#[test]
fn every_algorithm_verifies_with_its_own_kind_of_key_only() {
    let all = [
        ("RS256", Algorithm::RS256, &RSA),
        ("RS384", Algorithm::RS384, &RSA),
        ("PS256", Algorithm::PS256, &RSA),
        ("ES256", Algorithm::ES256, &EC),
        ("ES384", Algorithm::ES384, &P384),
        ("EdDSA", Algorithm::EdDSA, &ED),
    ];
    let names = all.map(|(name, ..)| name);
    for (name, algorithm, pair) in all {
        let trust = trust_in(&[bare(&pair.public_jwk)], &names);
        for said in names {
            let header = json!({ "alg": said }).to_string();
            let token = signed_with(algorithm, pair, &header, &claims().to_string());
            assert_eq!(access_token(&token, &trust, NOW).is_ok(), said == name, "{name} as {said}");
        }
    }
}

#[test]
fn an_algorithm_that_is_not_trusted_is_refused() {
    for trusted in [&[][..], &["RS256"], &["eddsa"], &["EdDSA "]] {
        let trust = trust_in(from_ref(&ED.public_jwk), trusted);
        assert_eq!(access_token(&token(&claims()), &trust, NOW), Err(Invalid), "{trusted:?}");
    }
}

#[test]
fn neither_no_signature_nor_a_shared_secret_counts_even_if_trusted() {
    for (pair, secret) in [(&*ED, ED.public_jwk["x"].as_str().unwrap()), (&*RSA, RSA.public_jwk["n"].as_str().unwrap())]
    {
        let trust = trust_in(&[bare(&pair.public_jwk)], &["none", "None", "HS256", "RS512", ""]);
        for alg in ["none", "None", ""] {
            let unsigned = format!("{}.{}.", encoded(json!({ "alg": alg }).to_string()), encoded(claims().to_string()));
            assert_eq!(access_token(&unsigned, &trust, NOW), Err(Invalid), "{alg:?}");
        }
        for secret in [EncodingKey::from_secret(secret.as_bytes()), EncodingKey::from_base64_secret("").unwrap()] {
            let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(), &secret).unwrap();
            assert_eq!(access_token(&token, &trust, NOW), Err(Invalid));
        }
    }
}

#[test]
fn the_algorithm_a_key_names_is_its_only_one() {
    for (own, fits) in [("RS256", false), ("PS256", true)] {
        let trust = trust_in(&[with(bare(&RSA.public_jwk), "alg", own.into())], &["RS256", "PS256"]);
        let token = signed_with(Algorithm::PS256, &RSA, r#"{"alg":"PS256"}"#, &claims().to_string());
        assert_eq!(access_token(&token, &trust, NOW).is_ok(), fits, "{own}");
    }
}

#[test]
fn the_key_is_the_one_named_or_the_only_one_that_fits() {
    let ed = |kid: &str| with(bare(&ED.public_jwk), "kid", kid.into());
    let other = bare(&KeyPair::generate(Algorithm::EdDSA).unwrap().public_jwk);
    let rsa = |kid: &str| with(bare(&RSA.public_jwk), "kid", kid.into());
    let named = |kid: &str| json!({ "alg": "EdDSA", "kid": kid });
    let unnamed = json!({ "alg": "EdDSA" });
    for (keys, header, accepted) in [
        (vec![ed("a")], named("a"), true),
        (vec![ed("a")], named("b"), false),
        (vec![ed("a")], named("A"), false),
        (vec![ed("a")], named(""), false),
        (vec![ed("a")], json!({ "alg": "EdDSA", "kid": null }), false),
        (vec![ed("a")], json!({ "alg": "EdDSA", "kid": 1 }), false),
        (vec![bare(&ED.public_jwk)], named("a"), false),
        (vec![bare(&ED.public_jwk)], unnamed.clone(), true),
        (vec![ed("a")], unnamed.clone(), true),
        (vec![ed("a"), ed("a")], named("a"), true),
        (vec![ed("a"), rsa("b")], unnamed.clone(), true),
        (vec![ed("a"), rsa("a")], named("a"), true),
        (vec![ed("a"), rsa("b")], named("b"), false),
        (vec![ed("a"), other.clone()], unnamed.clone(), false),
        (vec![ed("a"), with(other.clone(), "kid", "b".into())], named("a"), true),
        (vec![ed("a"), with(other.clone(), "kid", "b".into())], named("b"), false),
        (vec![ed("a"), with(other.clone(), "kid", "a".into())], named("a"), false),
    ] {
        let trust = trust_in(&keys, &["EdDSA", "RS256"]);
        let token = token_of(&header.to_string(), &claims().to_string());
        assert_eq!(access_token(&token, &trust, NOW).is_ok(), accepted, "{keys:?} {header}");
    }
}

#[test]
fn headers_that_bring_keys_or_change_the_meaning_are_refused() {
    let accepted = |header: Value| {
        let token = token_of(&header.to_string(), &claims().to_string());
        (id_token(&token, &trust(), None, NOW).is_ok(), access_token(&token, &trust(), NOW).is_ok())
    };
    for (name, value) in [
        ("jku", json!("https://issuer.example.com/keys")),
        ("x5u", json!("https://issuer.example.com/chain")),
        ("x5c", json!([])),
        ("jwk", ED.public_jwk.clone()),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("jku", json!(null)),
        ("crit", json!(null)),
    ] {
        assert_eq!(accepted(with(header(), name, value.clone())), (false, false), "{name} {value}");
    }
    assert_eq!(accepted(with(header(), "x5t", "AAAA".into())), (true, true));
    assert_eq!(accepted(with(header(), "cat", json!({ "a": 1 }))), (true, true));
}

#[test]
fn a_header_that_is_no_header_is_refused() {
    let kid = &ED.kid;
    for bad in [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        format!(r#"{{"kid":"{kid}"}}"#),
        format!(r#"{{"alg":null,"kid":"{kid}"}}"#),
        format!(r#"{{"alg":["EdDSA"],"kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":1}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}} {{}}"#),
    ] {
        assert_eq!(access_token(&token_of(&bad, &claims().to_string()), &trust(), NOW), Err(Invalid), "{bad}");
    }
}

#[test]
fn the_type_says_which_tokens_may_count() {
    for (typ, id, access) in [
        (json!("JWT"), true, true),
        (json!("jwt"), true, true),
        (json!("application/jwt"), true, true),
        (json!("at+jwt"), false, true),
        (json!("AT+JWT"), false, true),
        (json!("application/at+jwt"), false, true),
        (json!("logout+jwt"), false, false),
        (json!("dpop+jwt"), false, false),
        (json!("JOSE"), false, false),
        (json!(""), false, false),
        (json!(null), false, false),
    ] {
        let token = token_of(&with(header(), "typ", typ.clone()).to_string(), &claims().to_string());
        assert_eq!(id_token(&token, &trust(), None, NOW).is_ok(), id, "{typ}");
        assert_eq!(access_token(&token, &trust(), NOW).is_ok(), access, "{typ}");
    }
    let untyped = token_of(&without(header(), "typ").to_string(), &claims().to_string());
    assert!(id_token(&untyped, &trust(), None, NOW).is_ok());
    assert!(access_token(&untyped, &trust(), NOW).is_ok());
}

#[test]
fn a_verified_id_token_says_who_the_user_is() {
    let claims = with(claims(), "email", "Ann.Lee@example.com".into());
    let claims = with(with(claims, "email_verified", true.into()), "name", " Ann Lee ".into());
    let expected = IdToken {
        issuer: ISSUER.into(),
        subject: "user|1".into(),
        email: Some("Ann.Lee@example.com".into()),
        email_verified: true,
        name: Some("Ann Lee".into()),
        expires_at: NOW + 600,
    };
    assert_eq!(id_token(&token(&claims), &trust(), None, NOW), Ok(expected));
}

#[test]
fn a_verified_access_token_is_given_as_it_is() {
    let claims = with(with(claims(), "org", json!({ "id": 1 })), "nonce", "n".into());
    let claims = without(with(claims, "azp", "https://app.example.com".into()), "iat");
    let expected =
        AccessToken { issuer: ISSUER.into(), subject: "user|1".into(), expires_at: NOW + 600, payload: claims.clone() };
    assert_eq!(access_token(&token(&claims), &trust(), NOW), Ok(expected));
}

#[test]
fn a_payload_that_is_no_object_is_refused() {
    for payload in ["", "null", "[]", "\"text\"", "{", "{} {}", "\u{feff}{}"] {
        let token = token_of(&header().to_string(), payload);
        assert_eq!(access_token(&token, &trust(), NOW), Err(Invalid), "{payload}");
        assert_eq!(issuer_of(&token), Err(Invalid), "{payload}");
    }
}

#[test]
fn issuer_and_subject_are_required_and_checked() {
    for (name, value, accepted) in [
        ("iss", json!("issuer.example.com"), true),
        ("iss", json!("https://issuer.example.com/"), false),
        ("iss", json!("https://ISSUER.example.com"), false),
        ("iss", json!([ISSUER]), false),
        ("iss", json!(""), false),
        ("iss", json!(null), false),
        ("sub", json!("a".repeat(255)), true),
        ("sub", json!("ä".repeat(255)), true),
        ("sub", json!("a".repeat(256)), false),
        ("sub", json!(""), false),
        ("sub", json!("a\u{0}b"), false),
        ("sub", json!("a\nb"), false),
        ("sub", json!("a\u{85}b"), false),
        ("sub", json!(1), false),
        ("sub", json!(null), false),
    ] {
        let claims = with(claims(), name, value.clone());
        assert_eq!(is_id_token(&claims), accepted, "{name} {value}");
        assert_eq!(is_access_token(&claims), accepted, "{name} {value}");
    }
    for name in ["iss", "sub", "aud", "exp"] {
        assert!(!is_id_token(&without(claims(), name)), "{name}");
        assert!(!is_access_token(&without(claims(), name)), "{name}");
    }
}

#[test]
fn times_are_whole_seconds() {
    for name in ["exp", "nbf", "iat"] {
        for bad in [
            json!(NOW.to_string()),
            json!(NOW as f64 + 600.5),
            json!(NOW as f64 + 600.0),
            json!(-1),
            json!(TIME_MAX + 1),
            json!(u64::MAX),
            json!(1e308),
            json!(true),
            json!([NOW]),
            json!(null),
        ] {
            let claims = with(claims(), name, bad.clone());
            assert!(!is_id_token(&claims), "{name} {bad}");
            assert!(!is_access_token(&claims), "{name} {bad}");
        }
    }
    assert!(is_id_token(&with(claims(), "exp", TIME_MAX.into())));
    let exponent = claims().to_string().replace(&(NOW + 600).to_string(), "18000006e2");
    assert!(access_token(&token_of(&header().to_string(), &exponent), &trust(), NOW).is_err());
}

#[test]
fn a_token_counts_from_its_beginning_to_its_end_give_or_take_the_leeway() {
    for (name, value, accepted) in [
        ("exp", NOW + 1, true),
        ("exp", NOW - 29, true),
        ("exp", NOW - 30, false),
        ("exp", 0, false),
        ("nbf", NOW + 30, true),
        ("nbf", NOW + 31, false),
        ("nbf", 0, true),
        ("iat", NOW + 30, true),
        ("iat", NOW + 31, false),
        ("iat", 0, true),
    ] {
        let claims = with(claims(), name, value.into());
        assert_eq!(is_id_token(&claims), accepted, "{name} {value}");
        assert_eq!(is_access_token(&claims), accepted, "{name} {value}");
    }
    let strict = Trust { leeway: 0, ..trust() };
    for (exp, accepted) in [(NOW, false), (NOW + 1, true)] {
        let token = token(&with(claims(), "exp", exp.into()));
        assert_eq!(access_token(&token, &strict, NOW).is_ok(), accepted, "{exp}");
    }
    let extreme = Trust { leeway: i64::MAX, ..trust() };
    assert!(access_token(&token(&claims()), &extreme, NOW).is_ok());
    assert!(access_token(&token(&claims()), &trust(), i64::MAX).is_err());
    assert!(access_token(&token(&claims()), &trust(), i64::MIN).is_err());
}

#[test]
fn an_id_token_says_when_it_was_issued() {
    assert!(!is_id_token(&without(claims(), "iat")));
    assert!(is_access_token(&without(claims(), "iat")));
}

#[test]
fn the_audience_and_the_authorized_party_must_be_ours() {
    for (aud, azp, id, access) in [
        (json!("crm"), None, true, true),
        (json!("crm-mobile"), None, true, true),
        (json!(["crm"]), None, true, true),
        (json!("other"), None, false, false),
        (json!("CRM"), None, false, false),
        (json!("crm "), None, false, false),
        (json!(""), None, false, false),
        (json!([]), None, false, false),
        (json!([""]), None, false, false),
        (json!(["crm", ""]), None, false, false),
        (json!(["crm", 1]), Some(json!("crm")), false, false),
        (json!(["crm", null]), Some(json!("crm")), false, false),
        (json!({ "crm": true }), None, false, false),
        (json!(null), None, false, false),
        (json!(1), None, false, false),
        (json!(["crm", "other"]), None, false, true),
        (json!(["other", "crm"]), Some(json!("crm")), true, true),
        (json!(["other", "third"]), Some(json!("crm")), false, false),
        (json!(["other", "crm"]), Some(json!("other")), false, true),
        (json!("crm"), Some(json!("crm-mobile")), true, true),
        (json!("crm"), Some(json!("other")), false, true),
        (json!("crm"), Some(json!("")), false, true),
        (json!("crm"), Some(json!(null)), false, true),
        (json!("crm"), Some(json!(["crm"])), false, true),
        (json!("other"), Some(json!("crm")), false, false),
    ] {
        let mut claims = with(claims(), "aud", aud.clone());
        if let Some(azp) = &azp {
            claims["azp"] = azp.clone();
        }
        assert_eq!(is_id_token(&claims), id, "{aud} {azp:?}");
        assert_eq!(is_access_token(&claims), access, "{aud} {azp:?}");
    }
    let nobody = Trust { audiences: vec![], ..trust() };
    assert_eq!(access_token(&token(&claims()), &nobody, NOW), Err(Invalid));
    let anybody = Trust { audiences: vec![String::new()], ..trust() };
    assert_eq!(access_token(&token(&with(claims(), "aud", "".into())), &anybody, NOW), Err(Invalid));
}

#[test]
fn the_nonce_is_the_one_that_was_sent() {
    for (expected, actual, accepted) in [
        (None, None, true),
        (Some("n-1"), Some(json!("n-1")), true),
        (Some("n-1"), Some(json!("n-2")), false),
        (Some("n-1"), Some(json!("n-12")), false),
        (Some("n-1"), Some(json!("N-1")), false),
        (Some("n-1"), Some(json!(["n-1"])), false),
        (Some("n-1"), Some(json!(null)), false),
        (Some("n-1"), None, false),
        (Some(""), None, false),
        (Some(""), Some(json!("")), false),
        (None, Some(json!("n-1")), false),
        (None, Some(json!("")), false),
        (None, Some(json!(null)), false),
    ] {
        let mut claims = claims();
        if let Some(actual) = &actual {
            claims["nonce"] = actual.clone();
        }
        let verified = id_token(&token(&claims), &trust(), expected, NOW);
        assert_eq!(verified.is_ok(), accepted, "{expected:?} {actual:?}");
    }
}

#[test]
fn an_address_is_verified_only_if_the_issuer_says_so() {
    for (verified, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!("TRUE"), false),
        (json!("1"), false),
        (json!(1), false),
        (json!([true]), false),
        (json!(null), false),
    ] {
        let claims = with(with(claims(), "email", "ann@example.com".into()), "email_verified", verified.clone());
        let user = id_token(&token(&claims), &trust(), None, NOW).unwrap();
        assert_eq!(user.email_verified, expected, "{verified}");
    }
    let unsaid = with(claims(), "email", "ann@example.com".into());
    assert!(!id_token(&token(&unsaid), &trust(), None, NOW).unwrap().email_verified);
}

#[test]
fn a_bad_name_or_address_is_left_out() {
    for (name, email) in [
        (json!("a".repeat(201)), json!("a".repeat(255))),
        (json!("Ann\u{0}"), json!("ann\u{0}@example.com")),
        (json!("Ann\nLee"), json!("ann@example.com\r\nBcc: eve@example.com")),
        (json!(""), json!("")),
        (json!("  "), json!(" ")),
        (json!(["Ann"]), json!(["ann@example.com"])),
        (json!(null), json!(null)),
    ] {
        let claims = with(with(claims(), "name", name.clone()), "email", email.clone());
        let user = id_token(&token(&with(claims, "email_verified", true.into())), &trust(), None, NOW).unwrap();
        assert_eq!((user.name, user.email, user.email_verified), (None, None, false), "{name} {email}");
    }
    let longest = with(with(claims(), "name", "ä".repeat(200).into()), "email", "a".repeat(254).into());
    let user = id_token(&token(&longest), &trust(), None, NOW).unwrap();
    assert!(user.name.is_some() && user.email.is_some());
}

#[test]
fn repeated_claims_are_refused() {
    let once = with(with(claims(), "email", "a@example.com".into()), "email_verified", true.into());
    let once = with(with(with(once, "azp", "crm".into()), "nbf", NOW.into()), "other", 1.into());
    let once = with(once, "name", "Ann".into());
    let text = once.to_string();
    for (name, value) in once.as_object().unwrap() {
        let twice = format!("{},\"{name}\":{value}}}", text.strip_suffix('}').unwrap());
        let token = token_of(&header().to_string(), &twice);
        assert_eq!(id_token(&token, &trust(), None, NOW), Err(Invalid), "{name}");
        assert_eq!(access_token(&token, &trust(), NOW), Err(Invalid), "{name}");
        assert_eq!(issuer_of(&token), Err(Invalid), "{name}");
    }
    assert!(is_id_token(&once));
    let nonce = text.replacen('{', r#"{"nonce":"n","\u006eonce":"n","#, 1);
    assert_eq!(id_token(&token_of(&header().to_string(), &nonce), &trust(), Some("n"), NOW), Err(Invalid));
}

#[test]
fn an_event_is_no_token() {
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let claims = with(claims(), "events", event);
    assert!(!is_id_token(&claims));
    assert!(!is_access_token(&claims));
}

#[test]
fn a_token_that_is_not_written_canonically_is_refused() {
    let token = token(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let [head, body, signature] = parts[..] else { unreachable!() };
    // 64 bytes leave four bits of the last character unused; another character with the same upper bits.
    let last = signature.chars().last().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    for forged in [
        format!("{head}.{body}.{}{next}", signature.strip_suffix(last).unwrap()),
        format!("{head}.{body}.{signature}=="),
        format!("{head}.{body}.{signature}."),
        format!("{head}.{body}.{signature}.x"),
        format!(".{head}.{body}.{signature}"),
        format!("{head}..{body}.{signature}"),
        format!("{head}.{body}.{signature}\n"),
        format!(" {head}.{body}.{signature}"),
        format!("{head}.{body}="),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{head}.{signature}"),
        format!(".{body}.{signature}"),
        format!("{head}..{signature}"),
        head.to_owned(),
        "..".into(),
        String::new(),
    ] {
        assert_eq!(access_token(&forged, &trust(), NOW), Err(Invalid), "{forged}");
    }
    assert!(access_token(&token, &trust(), NOW).is_ok());
}

#[test]
fn unused_bits_are_refused_in_header_and_payload_even_if_signed() {
    // A length that is no multiple of three leaves unused bits in the last character.
    let padded = |json: Value| {
        let text = json.to_string();
        if text.len().is_multiple_of(3) { format!("{text} ") } else { text }
    };
    let (head, body) = (encoded(padded(header())), encoded(padded(claims())));
    let bump = |text: &str| {
        let (rest, last) = text.split_at(text.len() - 1);
        format!("{rest}{}", char::from(last.as_bytes()[0] + 1))
    };
    let sign = |message: String| {
        let key = jwt::encoding_key(Algorithm::EdDSA, &ED.private_pem).unwrap();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    };
    assert!(access_token(&sign(format!("{head}.{body}")), &trust(), NOW).is_ok());
    assert!(access_token(&sign(format!("{}.{body}", bump(&head))), &trust(), NOW).is_err());
    assert!(access_token(&sign(format!("{head}.{}", bump(&body))), &trust(), NOW).is_err());
}

#[test]
fn a_long_token_is_not_looked_at() {
    let sized = |length: usize| token(&with(claims(), "fill", "x".repeat(length).into()));
    let fits = (11_000..13_000).rev().map(sized).find(|token| token.len() <= 16 * 1024).unwrap();
    let too_long = (11_000..13_000).map(sized).find(|token| token.len() > 16 * 1024).unwrap();
    assert!(access_token(&fits, &trust(), NOW).is_ok());
    assert!(id_token(&fits, &trust(), None, NOW).is_ok());
    assert!(issuer_of(&fits).is_ok());
    assert_eq!(access_token(&too_long, &trust(), NOW), Err(Invalid));
    assert_eq!(id_token(&too_long, &trust(), None, NOW), Err(Invalid));
    assert_eq!(issuer_of(&too_long), Err(Invalid));
}

#[test]
fn the_issuer_is_read_without_trust() {
    assert_eq!(
        issuer_of(&token(&with(claims(), "iss", "https://other.example.com".into()))).unwrap(),
        "https://other.example.com"
    );
    for bad in
        [json!(""), json!("a\u{0}"), json!("a\nb"), json!("a".repeat(2_001)), json!(1), json!(null), json!([ISSUER])]
    {
        assert_eq!(issuer_of(&token(&with(claims(), "iss", bad.clone()))), Err(Invalid), "{bad}");
    }
    assert_eq!(issuer_of(&token(&without(claims(), "iss"))), Err(Invalid));
    for bad in ["", ".", "..", "a.b", "a.!.c", "a.e30.c.d"] {
        assert_eq!(issuer_of(bad), Err(Invalid), "{bad}");
    }
}

#[test]
fn a_key_set_is_written_with_what_was_checked_and_nothing_else() {
    let keys = [RSA.public_jwk.clone(), EC.public_jwk.clone(), with(P384.public_jwk.clone(), "use", "sig".into())];
    let keys = [&keys[..], &[with(bare(&ED.public_jwk), "use", "sig".into())]].concat();
    let more: Vec<_> = keys
        .iter()
        .map(|key| with(with(without(key.clone(), "use"), "x5c", json!(["MII"])), "x5t", "AAAA".into()))
        .map(|key| with(with(key, "key_ops", json!(["verify"])), "extra", json!({ "a": 1 })))
        .collect();
    let parsed = KeySet::parse(&json!({ "keys": more, "extra": 1 })).unwrap();
    assert_eq!(parsed.to_json(), json!({ "keys": keys }));
    assert_eq!(KeySet::parse(&parsed.to_json()).unwrap(), parsed);
    let members = parsed.to_json();
    for member in members["keys"].as_array().unwrap() {
        assert!(serde_json::from_value::<jsonwebtoken::jwk::Jwk>(member.clone()).is_ok(), "{member}");
    }
}

#[test]
fn keys_of_no_use_are_left_out() {
    let rsa = bare(&RSA.public_jwk);
    let ec = bare(&EC.public_jwk);
    let p384 = bare(&P384.public_jwk);
    let ed = bare(&ED.public_jwk);
    let number = |bytes: usize, first: u8, last: u8| {
        let mut number = vec![0x55; bytes];
        (number[0], number[bytes - 1]) = (first, last);
        Value::from(encoded(number))
    };
    let n = BASE64_URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    let x = ec["x"].as_str().unwrap();
    let point = [x, ec["y"].as_str().unwrap()].map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).concat();
    let (left, right) = (encoded(&point[..31]), encoded(&point[31..]));
    let short = encoded(&BASE64_URL_SAFE_NO_PAD.decode(x).unwrap()[1..]);
    let long = encoded([&[0], &BASE64_URL_SAFE_NO_PAD.decode(x).unwrap()[..]].concat());
    for (why, key) in [
        ("for encryption", with(ed.clone(), "use", "enc".into())),
        ("unknown use", with(ed.clone(), "use", "tls".into())),
        ("use is null", with(ed.clone(), "use", json!(null))),
        ("for signing only", with(ed.clone(), "key_ops", json!(["sign"]))),
        ("no operation", with(ed.clone(), "key_ops", json!([]))),
        ("operations are text", with(ed.clone(), "key_ops", "verify".into())),
        ("symmetric", json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" })),
        ("unknown kind", json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" })),
        ("no kind", without(ed.clone(), "kty")),
        ("kind in lower case", with(rsa.clone(), "kty", "rsa".into())),
        ("Ed448", with(ed.clone(), "crv", "Ed448".into())),
        ("X25519", with(ed.clone(), "crv", "X25519".into())),
        ("P-521", with(ec.clone(), "crv", "P-521".into())),
        ("secp256k1", with(ec.clone(), "crv", "secp256k1".into())),
        ("no curve", without(ec.clone(), "crv")),
        ("an algorithm of another kind", with(rsa.clone(), "alg", "ES256".into())),
        ("an algorithm for encryption", with(rsa.clone(), "alg", "RSA-OAEP".into())),
        ("a shared secret's algorithm", with(rsa.clone(), "alg", "HS256".into())),
        ("an algorithm of another curve", with(ec.clone(), "alg", "ES384".into())),
        ("no algorithm at all", with(ed.clone(), "alg", "none".into())),
        ("algorithm is a number", with(ed.clone(), "alg", 1.into())),
        ("long key id", with(ed.clone(), "kid", "k".repeat(201).into())),
        ("empty key id", with(ed.clone(), "kid", "".into())),
        ("key id is a number", with(ed.clone(), "kid", 1.into())),
        ("control characters in the key id", with(ed.clone(), "kid", "a\u{0}b".into())),
        ("1024 bits", with(rsa.clone(), "n", number(128, 0xff, 1))),
        ("2047 bits", with(rsa.clone(), "n", number(256, 0x7f, 1))),
        ("8193 bits", with(rsa.clone(), "n", number(1025, 1, 1))),
        ("even modulus", with(rsa.clone(), "n", number(256, 0xff, 2))),
        ("leading zero", with(rsa.clone(), "n", encoded([&[0], &n[..]].concat()).into())),
        ("padding", with(rsa.clone(), "n", format!("{}==", rsa["n"].as_str().unwrap()).into())),
        ("empty modulus", with(rsa.clone(), "n", "".into())),
        ("no modulus", without(rsa.clone(), "n")),
        ("modulus is a number", with(rsa.clone(), "n", 1.into())),
        ("no exponent", without(rsa.clone(), "e")),
        ("empty exponent", with(rsa.clone(), "e", "".into())),
        ("exponent 1", with(rsa.clone(), "e", "AQ".into())),
        ("exponent 2", with(rsa.clone(), "e", "Ag".into())),
        ("exponent 4", with(rsa.clone(), "e", "BA".into())),
        ("exponent with a leading zero", with(rsa.clone(), "e", "AAEAAQ".into())),
        ("exponent of 34 bits", with(rsa.clone(), "e", encoded([2, 0, 0, 0, 1]).into())),
        ("huge exponent", with(rsa.clone(), "e", number(256, 0xff, 1))),
        ("short coordinate", with(ec.clone(), "x", short.into())),
        ("long coordinate", with(ec.clone(), "x", long.into())),
        ("coordinates of different length", with(with(ec.clone(), "x", left.into()), "y", right.into())),
        ("off the curve", with(ec.clone(), "y", ec["x"].clone())),
        ("zero point", with(with(ec.clone(), "x", encoded([0; 32]).into()), "y", encoded([0; 32]).into())),
        ("out of the field", with(ec.clone(), "x", encoded([0xff; 32]).into())),
        ("the wrong curve", with(p384.clone(), "crv", "P-256".into())),
        ("off the larger curve", with(p384.clone(), "y", p384["x"].clone())),
        ("no y", without(ec.clone(), "y")),
        ("standard base64", with(ed.clone(), "x", format!("+/{}", encoded([7; 31])).into())),
        ("unused bits", with(ed.clone(), "x", format!("{}B", "A".repeat(42)).into())),
        ("31 bytes", with(ed.clone(), "x", encoded([7; 31]).into())),
        ("33 bytes", with(ed.clone(), "x", encoded([7; 33]).into())),
        ("no x", without(ed.clone(), "x")),
    ] {
        let problem = KeySet::parse(&json!({ "keys": [key] })).unwrap_err();
        assert!(problem.starts_with("no key of the set verifies signatures"), "{why}: {problem}");
        assert_eq!(set(&[key, ed.clone()]), set(from_ref(&ed)), "{why}");
    }
    for (why, key) in [
        ("8192 bits", with(rsa.clone(), "n", number(1024, 0xff, 1))),
        ("exponent 3", with(rsa.clone(), "e", "Aw".into())),
        ("long key id", with(ed.clone(), "kid", "ä".repeat(200).into())),
    ] {
        assert!(KeySet::parse(&json!({ "keys": [key] })).is_ok(), "{why}");
    }
}

#[test]
fn what_is_no_key_set_is_refused() {
    let ed = &ED.public_jwk;
    let private = |name: &str| json!({ "keys": [ed, with(ed.clone(), name, "AAAA".into())] });
    for (json, problem) in [
        (json!(null), "not a key set"),
        (json!("secret"), "not a key set"),
        (json!([ed]), "not a key set"),
        (ed.clone(), "not a key set"),
        (json!({ "keys": ed }), "not a key set"),
        (json!({ "keys": ["secret", ed] }), "not a key set"),
        (json!({ "keys": [] }), "no key of the set"),
        (json!({ "keys": vec![ed; 101] }), "too many keys: 101, at most 100"),
        (private("d"), "the key set contains a private key"),
        (private("p"), "the key set contains a private key"),
        (private("q"), "the key set contains a private key"),
        (private("dp"), "the key set contains a private key"),
        (private("dq"), "the key set contains a private key"),
        (private("qi"), "the key set contains a private key"),
        (private("oth"), "the key set contains a private key"),
        (private("priv"), "the key set contains a private key"),
        (json!({ "keys": [ed, { "kty": "RSA", "use": "enc", "d": null }] }), "the key set contains a private key"),
    ] {
        let found = KeySet::parse(&json).unwrap_err();
        assert!(found.starts_with(problem), "{json}: {found}");
    }
    assert!(KeySet::parse(&json!({ "keys": vec![ed; 100] })).is_ok());
}

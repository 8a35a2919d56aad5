//! Tokens of attackers who do not have the key, and what else they put into the header.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crm_http_tests::actor;
use crm_http_tests::forgery::{Original, refused, refused_in_sql};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::token::{STRANGER_X, Signer, base64url, from_base64url, now, with};
use crm_http_tests::{admin, all, raw};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn an_attacker_gets_nothing_without_a_signature() {
    let original = Original::register();
    let parts: Vec<_> = original.user.token().split('.').collect();
    let payload = parts[1];
    let unsigned = |alg: &str| base64url(with(&original.header, "alg", alg.into()).to_string());
    let mut tokens = vec![
        ("cut off", format!("{}.{payload}.", parts[0])),
        ("two parts", format!("{}.{payload}", parts[0])),
        ("four parts", format!("{}.x", original.user.token())),
        ("five parts", format!("{}.x.y", original.user.token())),
    ];
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        tokens.push(("alg none", format!("{}.{payload}.", unsigned(alg))));
        tokens.push(("alg none, two parts", format!("{}.{payload}", unsigned(alg))));
        tokens.push(("alg none, signature kept", format!("{}.{payload}.{}", unsigned(alg), parts[2])));
    }
    all(tokens, |(what, token)| refused(what, &token, 401).and(refused_in_sql(what, &token, "PT401")));
}

#[test]
fn an_attacker_gets_nothing_with_a_signature_of_something_else() {
    let (original, other) = (Original::register(), Original::register());
    let (mine, theirs): (Vec<_>, Vec<_>) =
        (other.user.token().split('.').collect(), original.user.token().split('.').collect());
    let mut flipped = from_base64url(theirs[2]);
    flipped[10] ^= 1;
    let escalated = base64url(with(&other.payload, "org_id", json!(original.user.organization.id)).to_string());
    let tokens = [
        ("my signature, their claims", format!("{}.{}.{}", mine[0], theirs[1], mine[2])),
        ("my claims escalated", format!("{}.{escalated}.{}", mine[0], mine[2])),
        ("one bit", format!("{}.{}.{}", theirs[0], theirs[1], base64url(&flipped))),
        ("zeros", format!("{}.{}.{}", theirs[0], theirs[1], base64url([0; 256]))),
        ("cut", format!("{}.{}.{}", theirs[0], theirs[1], &theirs[2][..100])),
        ("twice", format!("{}.{}.{}{}", theirs[0], theirs[1], theirs[2], theirs[2])),
    ];
    all(tokens, |(what, token)| refused(what, &token, 401).and(refused_in_sql(what, &token, "PT401")));
}

// ---------------------------------------------------------------------------------------------- the public key as a secret

/// DER: a value with its tag and length.
fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut encoded = vec![tag];
    match value.len() {
        length @ 0..=127 => encoded.push(length as u8),
        length @ 128..=255 => encoded.extend([0x81, length as u8]),
        length => encoded.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    encoded.extend_from_slice(value);
    encoded
}

fn der_number(bytes: &[u8]) -> Vec<u8> {
    let sign = if bytes[0] & 0x80 == 0 { vec![] } else { vec![0] };
    der(0x02, &[sign.as_slice(), bytes].concat())
}

fn pem(label: &str, der: &[u8], end: &str) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----{end}", lines.join("\n"))
}

/// The public key in every form a library may have taken for an HMAC secret.
fn public_forms() -> Vec<(String, Vec<u8>)> {
    let jwks = actor::anonymous("GET", "/rpc/jwks").send().expect(200);
    let key = jwks.json()["keys"][0].clone();
    let configured: String = admin::value("select crm.jwks()::text", &[]);
    let mut forms = vec![
        ("JWKS as served".to_owned(), jwks.body.clone()),
        ("JWKS as configured".into(), configured.into_bytes()),
        ("JWKS without spaces".into(), jwks.json().to_string().into_bytes()),
        ("keys".into(), jwks.json()["keys"].to_string().into_bytes()),
        ("JWK".into(), key.to_string().into_bytes()),
        ("kid".into(), key["kid"].as_str().unwrap().into()),
        ("nothing".into(), vec![]),
    ];
    if let (Some(n), Some(e)) = (key["n"].as_str(), key["e"].as_str()) {
        let rsa = der(0x30, &[der_number(&from_base64url(n)), der_number(&from_base64url(e))].concat());
        let algorithm = der(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
        let spki = der(0x30, &[algorithm, der(0x03, &[&[0], rsa.as_slice()].concat())].concat());
        forms.extend([("n".into(), n.into()), ("n, decoded".into(), from_base64url(n)), ("DER".into(), spki.clone())]);
        for (label, der) in [("PUBLIC KEY", &spki), ("RSA PUBLIC KEY", &rsa)] {
            for end in ["", "\n"] {
                forms.push((format!("PEM {label} {end:?}"), pem(label, der, end).into_bytes()));
            }
        }
    }
    forms
}

#[test]
fn an_attacker_gets_nothing_with_the_public_key_as_hmac_secret() {
    let original = Original::register();
    all(public_forms(), |(form, secret)| {
        for (alg, algorithm) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
        {
            let signer = Signer::hmac(algorithm, &secret);
            let what = format!("{alg} with {form}");
            for alg in [alg, "RS256"] {
                let token = original.signed_by(alg, &signer);
                refused(&what, &token, 401)?;
                refused_in_sql(&what, &token, "PT401")?;
            }
        }
        Ok(())
    });
}

#[test]
fn an_attacker_gets_nothing_with_a_key_of_their_own() {
    let original = Original::register();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": STRANGER_X, "alg": "EdDSA", "use": "sig" });
    let mine = with(&original.header, "alg", json!("EdDSA"));
    let headers = [
        mine.clone(),
        with(&mine, "jwk", jwk.clone()),
        with(&with(&mine, "jwk", jwk.clone()), "kid", json!("mine")),
        with(&with(&mine, "jwk", jwk), "kid", Value::Null),
        with(&mine, "jku", json!("https://attacker.example/jwks.json")),
        with(&mine, "x5u", json!("https://attacker.example/cert.pem")),
        with(&mine, "x5c", json!(["MIIB"])),
    ];
    all(headers, |header| {
        let token = Signer::stranger().sign(&header.to_string(), &original.payload.to_string());
        let what = header.to_string();
        refused(&what, &token, 401).and(refused_in_sql(&what, &token, "PT401"))
    });
}

// ---------------------------------------------------------------------------------------------- no token at all

#[test]
fn an_attacker_gets_nothing_with_junk() {
    let original = Original::register();
    let good = original.user.token().to_owned();
    let header = original.header.to_string();
    let payload = original.payload.to_string();
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let tokens = [
        ("dots".to_owned(), "..".to_owned()),
        ("letters".into(), "abc".into()),
        ("junk parts".into(), "a.b.c".into()),
        ("no JSON".into(), format!("{}.{}.{}", base64url("{"), base64url("{}"), base64url("x"))),
        ("empty objects".into(), original.signer.sign("{}", "{}")),
        ("an array for the payload".into(), original.signer.sign(&header, &format!("[{payload}]"))),
        ("text for the payload".into(), original.signer.sign(&header, "\"admin\"")),
        ("nothing for the payload".into(), original.signer.sign(&header, "")),
        ("a deep payload".into(), original.signer.sign(&header, &deep)),
        ("a NUL in the payload".into(), original.claim("jti", json!("\u{0}"))),
        ("a surrogate".into(), original.claims_text(r#""x":"\ud800""#)),
        ("a byte order mark".into(), original.signer.sign(&header, &format!("\u{feff}{payload}"))),
        ("padding".into(), format!("{good}==")),
        ("quotes".into(), format!("\"{good}\"")),
        ("a slash".into(), good.replacen('.', "/", 1)),
        ("a prefix".into(), format!("Bearer {good}")),
        ("a space inside".into(), format!("{} {}", &good[..20], &good[20..])),
        ("long but within PostgREST's limit".into(), "a".repeat(30_000)),
        ("a long claim".into(), original.claim("jti", json!("a".repeat(20_000)))),
    ];
    all(tokens, |(what, token)| refused(&what, &token, 401).and(refused_in_sql(&what, &token, "PT401")));
    for token in ["", " ", "\u{e4}\u{f6}.\u{fc}.\u{df}", &"\u{1f600}".repeat(100)] {
        assert_eq!(refused_in_sql(token, token, "PT401"), Ok(()));
    }
}

fn authorization(values: &[&[u8]]) -> Option<Response> {
    let lines: Vec<_> = values.iter().map(|value| [b"Authorization: ", *value].concat()).collect();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    raw::request("GET", "/contacts", &lines)
}

#[test]
fn an_attacker_gets_nothing_with_a_header_no_client_would_send() {
    let original = Original::register();
    let good = original.user.token();
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    let values: [(&str, Vec<u8>, &[u16]); 14] = [
        ("nothing", b"".into(), &[401]),
        ("no token", b"Bearer".into(), &[401]),
        ("an empty token", b"Bearer ".into(), &[401]),
        ("another scheme", format!("Basic {good}").into(), &[401]),
        ("no scheme", good.into(), &[401]),
        ("a tab", format!("Bearer\t{good}").into(), &[401]),
        ("UTF-8", "Bearer \u{e4}.\u{f6}.\u{fc}".into(), &[401]),
        ("no UTF-8", b"Bearer \xff\xfe.\xff.\xff".into(), &[401]),
        ("emoji inside", bearer(&good.replacen('.', ".\u{1f600}", 1)), &[401]),
        ("NUL", b"Bearer \0".into(), &[400, 401]),
        ("NUL after the token", bearer(&format!("{good}\0")), &[400, 401]),
        ("a list", bearer(&format!("{good}, Bearer {good}")), &[401]),
        ("100 kB", bearer(&"a".repeat(100_000)), &[400, 431]),
        ("100 kB of claims", bearer(&original.claim("jti", json!("a".repeat(75_000)))), &[400, 431]),
    ];
    all(values, |(what, value, statuses)| match authorization(&[&value]) {
        Some(answer) if statuses.contains(&answer.status) && !answer.text().contains("Guarded") => Ok(()),
        Some(answer) => Err(format!("{what}, {statuses:?} expected: {answer}")),
        None => Err(format!("{what}: no answer")),
    });
}

#[test]
fn an_attacker_gets_nothing_with_two_authorization_headers() {
    let (victim, attacker) = (Original::register(), Original::register());
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    let (theirs, mine) = (bearer(victim.user.token()), bearer(attacker.user.token()));
    let forged = bearer(&victim.signed_by("EdDSA", &Signer::stranger()));
    let expired = bearer(&victim.claim("exp", json!(now() - 100)));
    let pairs = [
        ("theirs, mine", &theirs, &mine),
        ("mine, theirs", &mine, &theirs),
        ("mine, forged", &mine, &forged),
        ("forged, mine", &forged, &mine),
        ("mine, expired", &mine, &expired),
        ("expired, mine", &expired, &mine),
        ("mine, junk", &mine, &b"Bearer x.y.z".to_vec()),
        ("mine, another scheme", &mine, &b"Basic YTpi".to_vec()),
        ("another scheme, theirs", &b"Basic YTpi".to_vec(), &theirs),
        ("mine, nothing", &mine, &b"".to_vec()),
    ];
    all(pairs, |(what, first, second)| match authorization(&[first, second]) {
        Some(answer) if answer.status == 401 && !answer.text().contains("Guarded") => Ok(()),
        Some(answer) => Err(format!("{what}: {answer}")),
        None => Err(format!("{what}: no answer")),
    });
}

#[test]
fn a_visitor_without_a_token_is_refused_on_every_table() {
    for table in ["contacts", "accounts", "organizations", "users", "memberships"] {
        for request in [
            Request::new("GET", &format!("/{table}")),
            Request::new("HEAD", &format!("/{table}")),
            Request::new("DELETE", &format!("/{table}?id=not.is.null")),
            Request::new("POST", &format!("/{table}")).json(&json!({})),
            Request::new("PATCH", &format!("/{table}?id=not.is.null")).json(&json!({ "id": Uuid::nil() })),
        ] {
            request.send().expect(401);
        }
    }
    Request::new("GET", "/rpc/me").send().expect(401);
    Request::new("GET", "/contacts").header("X-Org-ID", "demo").send().expect(401);
}

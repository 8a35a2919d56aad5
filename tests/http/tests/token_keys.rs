//! What an attacker tries with keys, algorithms and the header of a token. Where the signature is not what is tried, it
//! is the server's own. These tests run one at a time, because they make keys.

use crm_http_tests::actor::Actor;
use crm_http_tests::everybodys::{Everybodys, published, rotate, until_accepted};
use crm_http_tests::forgery::{Original, refused, refused_in_sql};
use crm_http_tests::token::{STRANGER_X, Signer, base64url, from_base64url, now, with};
use crm_http_tests::{all, alone};
use jsonwebtoken::Algorithm;
use serde_json::json;
use uuid::Uuid;

fn refused_everywhere(what: &str, token: &str) -> Result<(), String> {
    refused(what, token, 401).and(refused_in_sql(what, token, "PT401"))
}

/// Somebody with a contact, and what their token of a new key is made of.
fn original_of(alg: &str) -> Original {
    rotate(alg);
    until_accepted(&Actor::register());
    Original::register()
}

// ---------------------------------------------------------------------------------------------- one algorithm per key

#[test]
fn a_thief_of_the_rsa_key_gets_nothing_with_another_algorithm_of_rsa() {
    let _everybodys = Everybodys::keep();
    let original = original_of("RS256");
    let algorithms = [
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
    ];
    all(algorithms, |(alg, algorithm)| {
        let signer = Signer::stolen().misused(algorithm);
        refused_everywhere(alg, &original.signed_by(alg, &signer))
            .and(refused_everywhere(&format!("{alg} called RS256"), &original.signed_by("RS256", &signer)))
    });
}

#[test]
fn an_attacker_gets_nothing_with_the_public_key_of_a_curve_as_hmac_secret() {
    let _everybodys = Everybodys::keep();
    for alg in ["ES256", "EdDSA"] {
        let original = original_of(alg);
        let key = published()[0].clone();
        let part = |name: &str| key[name].as_str().map(from_base64url).unwrap_or_default();
        let secrets = [
            ("JWK", key.to_string().into_bytes()),
            ("x as text", key["x"].as_str().unwrap().into()),
            ("x", part("x")),
            ("SEC 1 or the bare key", [&[4], part("x").as_slice(), &part("y")].concat()),
            ("x and y", [part("x"), part("y")].concat()),
        ];
        all(secrets, |(what, secret)| {
            let signer = Signer::hmac(Algorithm::HS256, &secret);
            refused_everywhere(what, &original.signed_by("HS256", &signer))
                .and(refused_everywhere(what, &original.signed_by(alg, &signer)))
        });
    }
}

#[test]
fn an_attacker_gets_nothing_by_naming_one_key_and_using_another() {
    let _everybodys = Everybodys::keep();
    let originals = ["RS256", "ES256", "EdDSA"].map(original_of);
    for one in &originals {
        for other in originals.iter().filter(|other| other.header != one.header) {
            let kid = &other.header["kid"];
            for header in [with(&one.header, "kid", kid.clone()), with(&one.header, "alg", other.header["alg"].clone())]
            {
                for signer in [&one.signer, &other.signer] {
                    let token = signer.sign_bytes(header.to_string(), one.payload.to_string());
                    assert_eq!(refused_everywhere(&header.to_string(), &token), Ok(()));
                }
            }
            // The good keys verify what they signed, whosever claims they are.
            let twin = other.signer.sign_bytes(other.header.to_string(), one.payload.to_string());
            assert_eq!(refused_in_sql("twin", &twin, ""), Ok(()));
        }
    }
}

// ---------------------------------------------------------------------------------------------- signatures of nothing

/// The order of P-256 and that of Ed25519, big-endian.
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const ED25519_ORDER: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The sum of two big-endian numbers of 32 bytes; `None` where it is longer.
fn sum(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let (mut digits, mut carry) = (vec![], 0_u16);
    for (a, b) in one.iter().rev().zip(other.iter().rev()) {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        digits.push(digit as u8);
        carry = digit >> 8;
    }
    digits.reverse();
    (carry == 0).then_some(digits)
}

#[test]
fn an_attacker_gets_nothing_with_an_es256_signature_of_zeros() {
    let _everybodys = Everybodys::keep();
    let original = original_of("ES256");
    let (message, good) = original.user.token().rsplit_once('.').unwrap();
    let good = from_base64url(good);
    let (r, s) = good.split_at(32);
    let (zero, order) = ([0; 32].to_vec(), bytes_of(P256_ORDER));
    let one = [[0; 31].as_slice(), &[1]].concat();
    let der = |number: &[u8]| [&[2, 33, 0], number].concat();
    let signatures = [
        ("r = s = 0", [zero.as_slice(), &zero].concat()),
        ("r = 0", [zero.as_slice(), s].concat()),
        ("s = 0", [r, &zero].concat()),
        ("r = s = 1", [one.as_slice(), &one].concat()),
        ("r = s = n", [order.as_slice(), &order].concat()),
        ("r = n", [order.as_slice(), s].concat()),
        ("s = n", [r, &order].concat()),
        ("s and r changed over", [s, r].concat()),
        ("of 96 bytes", [&[0; 16], r, &[0; 16], s].concat()),
        ("DER", [vec![0x30, 70], der(r), der(s)].concat()),
        ("DER of zeros", vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ("nothing", vec![]),
    ];
    all(signatures, |(what, signature)| refused_everywhere(what, &format!("{message}.{}", base64url(signature))));
}

#[test]
fn an_attacker_gets_nothing_with_an_eddsa_signature_of_nothing_or_a_second_one() {
    let _everybodys = Everybodys::keep();
    let original = original_of("EdDSA");
    let (message, good) = original.user.token().rsplit_once('.').unwrap();
    let good = from_base64url(good);
    let (r, s) = good.split_at(32);
    let big_endian: Vec<u8> = s.iter().rev().copied().collect();
    let second: Vec<u8> = sum(&big_endian, &bytes_of(ED25519_ORDER)).unwrap().into_iter().rev().collect();
    let order: Vec<u8> = bytes_of(ED25519_ORDER).into_iter().rev().collect();
    let identity = [&[1][..], &[0; 31]].concat();
    let zero = [0; 32];
    let signatures = [
        ("zeros", [zero, zero].concat()),
        ("the neutral point, 0", [identity.as_slice(), &zero].concat()),
        ("the neutral point, L", [identity.as_slice(), &order].concat()),
        ("S + L", [r, &second].concat()),
        ("S = 0", [r, &zero].concat()),
        ("R = 0", [&zero, s].concat()),
        ("nothing", vec![]),
    ];
    all(signatures, |(what, signature)| refused_everywhere(what, &format!("{message}.{}", base64url(signature))));
}

// ---------------------------------------------------------------------------------------------- the header

#[test]
fn a_thief_of_the_key_gets_nothing_with_a_header_that_says_more() {
    let _alone = alone();
    let original = Original::register();
    let own_key = published()[0].clone();
    let stranger = json!({ "kty": "OKP", "crv": "Ed25519", "x": STRANGER_X });
    let members = [
        ("jwk", own_key),
        ("jwk", stranger),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("jku", json!("http://127.0.0.1/rpc/jwks")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5u", json!("file:///etc/passwd")),
        ("x5c", json!(["MIIB"])),
        ("x5c", json!([])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["unknown"])),
        ("b64", json!(true)),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
        ("iss", original.payload["iss"].clone()),
        ("exp", json!(now() + 900)),
        ("unknown", json!(null)),
        ("", json!("")),
    ];
    all(members, |(name, value)| {
        let what = format!("{name}: {value}");
        let mut header = original.header.clone();
        header[name] = value;
        refused_everywhere(&what, &original.signer.sign_bytes(header.to_string(), original.payload.to_string()))
    });
    // RFC 7797: the payload as it is, signed as it is.
    let header = with(&with(&original.header, "b64", json!(false)), "crit", json!(["b64"]));
    let token = original.signer.seal(&format!("{}.{}", base64url(header.to_string()), original.payload));
    assert_eq!(refused_in_sql("a bare payload", &token, "PT401"), Ok(()));
}

#[test]
fn an_attacker_gets_nothing_with_a_kid_that_is_no_kid() {
    let _alone = alone();
    let original = Original::register();
    let kid = original.header["kid"].as_str().unwrap();
    let kids = [
        json!("' union select '{\"kty\":\"oct\",\"k\":\"\"}' --"),
        json!("x'; drop table crm.contacts; --"),
        json!(format!("{kid}' or '1'='1")),
        json!("$1"),
        json!("%"),
        json!("../../etc/passwd"),
        json!("/dev/null"),
        json!("http://attacker.example/"),
        json!("0"),
        json!("null"),
        json!([kid]),
        json!({ "kid": kid }),
        json!(true),
        json!(Uuid::new_v4()),
        json!(kid[..kid.len() - 1]),
        json!(format!("{kid}{kid}")),
        json!("\u{1f511}"),
        json!("a".repeat(5_000)),
    ];
    all(kids, |kid| {
        let what: String = kid.to_string().chars().take(60).collect();
        let own = original.head("kid", kid.clone());
        let empty = Signer::hmac(Algorithm::HS256, b"");
        let header = with(&with(&original.header, "kid", kid), "alg", json!("HS256"));
        let unkeyed = empty.sign_bytes(header.to_string(), original.payload.to_string());
        refused_everywhere(&what, &own).and(refused_everywhere(&what, &unkeyed))
    });
    let null = json!({ "typ": "at+jwt", "alg": "RS256", "kid": null }).to_string();
    assert_eq!(refused_everywhere("null", &original.signer.sign_bytes(null, original.payload.to_string())), Ok(()));
}

// ---------------------------------------------------------------------------------------------- somebody else's tokens

#[test]
fn a_user_of_another_installation_gets_nothing_here() {
    let _alone = alone();
    let original = Original::register();
    let theirs = with(&original.header, "alg", json!("EdDSA"));
    let stranger = Signer::stranger();
    for kid in [original.header["kid"].clone(), json!("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")] {
        let token = stranger.sign_bytes(with(&theirs, "kid", kid).to_string(), original.payload.to_string());
        assert_eq!(refused_everywhere("the same claims", &token), Ok(()));
    }
}

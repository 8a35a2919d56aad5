//! Tokens whose text is unusual: too long, too deep, not UTF-8, not quite base64url. Where the signature covers it, it
//! is the server's own.

use crm_http_tests::all;
use crm_http_tests::forgery::{Original, refused, refused_in_sql};
use crm_http_tests::raw;
use crm_http_tests::token::{base64url, from_base64url, with};
use serde_json::{Value, json};

/// Refused over HTTP and in SQL.
fn refused_everywhere(what: &str, token: &str) -> Result<(), String> {
    refused(what, token, 401).and(refused_in_sql(what, token, "PT401"))
}

/// The text of a JSON object with a member put before the others.
fn with_text(object: &Value, first: &str) -> String {
    format!("{{{first},{}", &object.to_string()[1..])
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The same bytes in another spelling: the bits that the last character has beyond them are not zero.
fn spelled_differently(part: &str) -> String {
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[value + 1]))
}

/// A payload whose base64url has bits left over.
fn uneven(payload: &Value) -> String {
    let mut text = payload.to_string();
    while text.len() % 3 != 1 {
        text.push(' ');
    }
    text
}

#[test]
fn an_attacker_gets_nothing_with_another_spelling_of_a_good_token() {
    let original = Original::register();
    let good = original.user.token().to_owned();
    let parts: Vec<_> = good.split('.').collect();
    let header = original.header.to_string();
    let payload = base64url(uneven(&original.payload));
    let sealed = |payload: &str| original.signer.seal(&format!("{}.{payload}", parts[0]));
    assert_eq!(refused_in_sql("the other spelling's twin", &sealed(&payload), ""), Ok(()));
    let mut tokens = vec![
        ("a signature with bits left over", format!("{}.{}.{}", parts[0], parts[1], spelled_differently(parts[2]))),
        ("a payload with bits left over", sealed(&spelled_differently(&payload))),
        ("a padded payload", sealed(&format!("{payload}=="))),
        ("a padded signature", format!("{good}==")),
        ("a padded header", original.signer.seal(&format!("{}=.{}", base64url(format!("{header} ")), parts[1]))),
        ("a dot more", format!("{good}.")),
        ("a dot before", format!(".{good}")),
        ("text behind it", format!("{good}x")),
        ("an empty header", format!(".{}.{}", parts[1], parts[2])),
        ("an empty payload", format!("{}..{}", parts[0], parts[2])),
        ("a percent sign", format!("{good}%20")),
        ("a space in the signature", format!("{} {}", &good[..good.len() - 9], &good[good.len() - 9..])),
        ("upper case", good.to_uppercase()),
    ];
    let standard: String = parts[2].replace('-', "+").replace('_', "/");
    if standard != parts[2] {
        tokens.push(("the other alphabet", format!("{}.{}.{standard}", parts[0], parts[1])));
    }
    all(tokens, |(what, token)| refused_everywhere(what, &token));
    for (what, token) in [
        ("a space before", format!(" {good}")),
        ("a space behind", format!("{good} ")),
        ("a line break behind", format!("{good}\n")),
        ("a line break inside", format!("{}\r\n{}", &good[..64], &good[64..])),
        ("a no-break space", format!("{good}\u{a0}")),
        ("twice", format!("{good} {good}")),
    ] {
        assert_eq!(refused_in_sql(what, &token, "PT401"), Ok(()));
    }
}

#[test]
fn an_attacker_gets_nothing_with_a_signature_cut_off_or_made_longer() {
    let original = Original::register();
    let (message, signature) = original.user.token().rsplit_once('.').unwrap();
    let bytes = from_base64url(signature);
    let signatures = [
        ("one byte", vec![bytes[0]]),
        ("half", bytes[..bytes.len() / 2].to_vec()),
        ("all but the last byte", bytes[..bytes.len() - 1].to_vec()),
        ("all but the first byte", bytes[1..].to_vec()),
        ("a zero behind", [bytes.as_slice(), &[0]].concat()),
        ("a zero before", [&[0], bytes.as_slice()].concat()),
        ("doubled", [bytes.as_slice(), &bytes].concat()),
        ("ones", vec![0xff; bytes.len()]),
        ("reversed", bytes.iter().rev().copied().collect()),
    ];
    all(signatures, |(what, signature)| refused_everywhere(what, &format!("{message}.{}", base64url(signature))));
}

#[test]
fn an_attacker_gets_nothing_with_an_encrypted_or_a_nested_token() {
    let original = Original::register();
    let good = original.user.token();
    let jwe = |header: Value| {
        let parts = [&b"key"[..], &[7; 12], good.as_bytes(), &[9; 16]].map(base64url);
        format!("{}.{}", base64url(header.to_string()), parts.join("."))
    };
    let nested = with(&original.header, "cty", json!("JWT"));
    let tokens = [
        ("JWE with RSA-OAEP", jwe(json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": original.header["kid"] }))),
        ("JWE with a shared key", jwe(json!({ "alg": "dir", "enc": "A256GCM" }))),
        ("JWE with a password", jwe(json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000 }))),
        ("JWE that is compressed", jwe(json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }))),
        ("JWE with our header", jwe(original.header.clone())),
        ("nested, said so", original.signer.sign_bytes(nested.to_string(), good)),
        ("nested", original.signer.sign_bytes(original.header.to_string(), good)),
        ("nested in quotes", original.signer.sign_bytes(original.header.to_string(), format!("\"{good}\""))),
        ("JSON serialization", json!({ "payload": good, "signatures": [{ "protected": good }] }).to_string()),
    ];
    all(tokens, |(what, token)| refused_everywhere(what, &token));
}

#[test]
fn an_attacker_gets_nothing_with_json_that_can_be_read_in_two_ways() {
    let original = Original::register();
    let (header, payload) = (&original.header, &original.payload);
    let kid = header["kid"].to_string();
    let sub = payload["sub"].to_string();
    let headers = [
        ("kid twice", with_text(header, r#""kid":"other""#)),
        ("the same kid twice", with_text(header, &format!(r#""kid":{kid}"#))),
        ("alg twice", with_text(header, r#""alg":"none""#)),
        ("typ twice", with_text(header, r#""typ":"JWT""#)),
        ("an escaped name twice", with_text(header, r#""\u006bid":"other""#)),
        ("a name in capitals", with_text(header, r#""KID":"other""#)),
        ("text behind", format!("{header}{{}}")),
        ("a comma behind", header.to_string().replace('}', ",}")),
        ("single quotes", header.to_string().replace('"', "'")),
        ("a comment", format!("/* */{header}")),
        ("an array", format!("[{header}]")),
        ("null", "null".into()),
        ("a byte order mark", format!("\u{feff}{header}")),
    ];
    all(headers, |(what, header)| refused_everywhere(what, &original.signer.sign_bytes(header, payload.to_string())));
    let payloads = [
        ("sub twice", with_text(payload, &format!(r#""sub":{sub}"#))),
        ("an escaped name twice", with_text(payload, &format!(r#""s\u0075b":{sub}"#))),
        ("act twice", with_text(payload, r#""act":null,"act":null"#)),
        ("a name in capitals", with_text(payload, &format!(r#""SUB":{sub}"#))),
        ("text behind", format!("{payload}x")),
        ("a second object", format!("{payload}{payload}")),
        ("a comma behind", payload.to_string().replace('}', ",}")),
        ("NaN", payload.to_string().replacen("\"iat\":", "\"iat\":NaN,\"x\":", 1)),
        ("a line break in a text", payload.to_string().replacen("crm", "cr\nm", 1)),
    ];
    all(payloads, |(what, payload)| refused_everywhere(what, &original.signer.sign_bytes(header.to_string(), payload)));
}

#[test]
fn an_attacker_gets_nothing_with_characters_that_look_alike_or_are_none() {
    let original = Original::register();
    let text = |member: &str| original.payload[member].as_str().unwrap().to_owned();
    let kid = original.header["kid"].as_str().unwrap().to_owned();
    let claims = [
        ("iss", text("iss").replacen('c', "\u{441}", 1)),
        ("iss", text("iss").to_uppercase()),
        ("iss", format!("{}\u{0}", text("iss"))),
        ("iss", format!("{} ", text("iss"))),
        ("iss", format!("{}\u{200b}", text("iss"))),
        ("aud", "\u{ff43}rm".into()),
        ("aud", "crm\u{0}".into()),
        ("aud", "CRM".into()),
        ("sub", text("sub").replacen('-', "\u{2010}", 1)),
        ("sub", format!("{}\u{0}", text("sub"))),
        ("sid", format!("{}\n", text("sid"))),
    ];
    all(claims, |(name, value)| refused_everywhere(&format!("{name}: {value:?}"), &original.claim(name, json!(value))));
    for kid in
        [format!("{kid}\u{0}"), format!("{kid} "), format!("\u{410}{}", &kid[1..]), kid.to_lowercase() + "\u{301}"]
    {
        assert_eq!(refused_everywhere(&format!("{kid:?}"), &original.head("kid", json!(kid))), Ok(()));
    }
    // Half of a pair, as JSON can write it and UTF-8 cannot.
    for half in [r"\ud800", r"\udc00", r"\ud800x", r"\udc00\ud800"] {
        for (name, object) in [("kid", &original.header), ("iss", &original.payload), ("role", &original.payload)] {
            let broken = with_text(&with(object, name, Value::Null), &format!(r#""{name}":"{half}""#));
            let is_header = object == &original.header;
            let token = if is_header {
                original.signer.sign_bytes(broken, original.payload.to_string())
            } else {
                original.signer.sign_bytes(original.header.to_string(), broken)
            };
            assert_eq!(refused_everywhere(&format!("{name}: {half}"), &token), Ok(()));
        }
    }
}

#[test]
fn an_attacker_gets_nothing_with_a_token_that_is_not_utf_8() {
    let original = Original::register();
    let bytes = |object: &Value, from: &str, to: &[u8]| {
        let text = object.to_string();
        let at = text.find(from).unwrap();
        [&text.as_bytes()[..at], to, &text.as_bytes()[at + from.len()..]].concat()
    };
    let (header, payload) = (original.header.to_string(), original.payload.to_string());
    let utf_16: Vec<u8> = payload.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let tokens = [
        (
            "Latin-1 in the payload",
            original.signer.sign_bytes(&header, bytes(&original.payload, "crm_ext", b"crm_\xe4xt")),
        ),
        (
            "an overlong letter",
            original.signer.sign_bytes(&header, bytes(&original.payload, "crm_ext", b"crm\xc1\x9fext")),
        ),
        (
            "a surrogate as bytes",
            original.signer.sign_bytes(&header, bytes(&original.payload, "crm_ext", b"\xed\xa0\x80")),
        ),
        ("a raw NUL", original.signer.sign_bytes(&header, bytes(&original.payload, "crm_ext", b"crm_ext\0"))),
        ("UTF-16", original.signer.sign_bytes(&header, utf_16)),
        (
            "Latin-1 in the header",
            original.signer.sign_bytes(bytes(&original.header, "at+jwt", b"at+jwt\xff"), &payload),
        ),
        ("noise", original.signer.sign_bytes([0x80, 0xff, 0xfe], [0xff; 100])),
    ];
    all(tokens, |(what, token)| refused_everywhere(what, &token));
}

/// The claim with so many arrays in one another.
fn deep(levels: usize) -> String {
    format!(r#""x":{}{}"#, "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn an_attacker_gets_nothing_with_a_deep_token_and_the_server_goes_on() {
    let original = Original::register();
    // Up to 2,500 levels the token is short enough to be read at all.
    for levels in [100, 126, 127, 128, 129, 500, 2_500, 10_000] {
        let token = original.claims_text(&deep(levels));
        assert_eq!(refused_everywhere(&levels.to_string(), &token), Ok(()));
        let header = with_text(&original.header, &deep(levels));
        let token = original.signer.sign_bytes(header, original.payload.to_string());
        assert_eq!(refused_everywhere(&format!("{levels} in the header"), &token), Ok(()));
    }
    let objects = format!(r#""act":{}1{}"#, r#"{"act":"#.repeat(1_000), "}".repeat(1_000));
    assert_eq!(refused_everywhere("act in act", &original.claims_text(&objects)), Ok(()));
    assert_eq!(refused_in_sql("deep", &original.claims_text(&deep(1_000_000)), "PT401"), Ok(()));
    original.user.get("/contacts").expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_a_long_token_and_the_server_goes_on() {
    let original = Original::register();
    for length in [8 * 1024, 100_000, 1 << 20, 16 << 20] {
        let long = original.claim("jti", json!("a".repeat(length)));
        let parts = original.user.token().to_owned() + &"A".repeat(length);
        for token in [&long, &parts, &"a".repeat(length), &".".repeat(length), &"A.".repeat(length / 2)] {
            assert_eq!(refused_in_sql(&format!("{length}"), token, "PT401"), Ok(()));
        }
    }
    for length in [100_000, 1 << 20] {
        let long = original.claim("jti", json!("a".repeat(length)));
        let answer = raw::request("GET", "/contacts", &[format!("Authorization: Bearer {long}").as_bytes()]);
        // PostgREST closes the connection where it does not answer.
        assert!(answer.as_ref().is_none_or(|answer| [400, 431].contains(&answer.status)), "{length}: {answer:?}");
    }
    original.user.get("/contacts").expect(200);
}

//! ID tokens as an attacker would make them. Each is refused in the same words, and makes nobody.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::all;
use crm_http_tests::http::Response;
use crm_http_tests::issuer::{Issuer, Key, new_email, user_of};
use crm_http_tests::token::{Signer, base64url, from_base64url, with};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// A provider, and what a good token of it is made of.
struct Target {
    issuer: Issuer,
    email: String,
    claims: Value,
    header: Value,
}

impl Target {
    fn new(alg: &str) -> Self {
        let (issuer, email) = (Issuer::new(alg), new_email());
        let (claims, header) = (issuer.claims(&email), issuer.keys[0].header("JWT"));
        Self { issuer, email, claims, header }
    }

    fn good(&self) -> String {
        self.issuer.id_token(&self.claims)
    }

    /// A good token with one claim changed; null removes it.
    fn claim(&self, name: &str, value: Value) -> String {
        self.issuer.id_token(&with(&self.claims, name, value))
    }

    /// A good token with one member of the header changed.
    fn head(&self, name: &str, value: Value) -> String {
        self.signed(&with(&self.header, name, value).to_string(), &self.claims.to_string())
    }

    fn signed(&self, header: &str, payload: &str) -> String {
        self.issuer.keys[0].sign(header, payload)
    }

    fn refuses(&self, what: &str, token: &str) -> Result<(), String> {
        self.is_refusal(what, &self.issuer.show(token))
    }

    fn is_refusal(&self, what: &str, answer: &Response) -> Result<(), String> {
        let what: String = what.chars().take(80).collect();
        let expected = json!({
            "code": "28000", "message": "the ID token is not valid", "details": null, "hint": null,
        });
        if answer.status != 401 || answer.json() != expected {
            return Err(format!("{what}: {answer}"));
        }
        if user_of(&self.email).is_some() || self.issuer.people() > 0 {
            return Err(format!("{what}: makes somebody"));
        }
        Ok(())
    }

    /// The tables' last line: nothing but what was wrong was the reason.
    fn takes_a_good_one(&self) {
        self.issuer.show(&self.good()).expect(200);
    }
}

#[test]
fn an_attacker_gets_nothing_without_a_signature() {
    let target = Target::new("RS256");
    let good = target.good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    all(["none", "None", "NONE", "nOnE", "", " none"], |alg| {
        let header = base64url(json!({ "alg": alg, "typ": "JWT" }).to_string());
        let named = base64url(with(&target.header, "alg", json!(alg)).to_string());
        let payload = base64url(target.claims.to_string());
        for token in [
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{named}.{payload}."),
            format!("{named}.{payload}.{signature}"),
        ] {
            target.refuses(alg, &token)?;
        }
        Ok(())
    });
    for token in [format!("{message}."), message.to_owned(), format!("{message}.{}", base64url([0; 256]))] {
        assert_eq!(target.refuses("no signature", &token), Ok(()));
    }
    target.takes_a_good_one();
}

#[test]
fn an_attacker_gets_nothing_with_a_secret_that_everybody_knows() {
    let target = Target::new("RS256");
    let key = &target.issuer.keys[0];
    let (pem, jwk) = (key.pem(), key.canonical());
    let modulus = from_base64url(jwk["n"].as_str().unwrap());
    let secrets: [&[u8]; 9] = [
        pem.as_bytes(),
        pem.trim().as_bytes(),
        key.public_bytes(),
        &modulus,
        jwk["n"].as_str().unwrap().as_bytes(),
        &jwk.to_string().into_bytes(),
        target.issuer.client.as_bytes(),
        key.kid.as_bytes(),
        b"secret",
    ];
    let algorithms = [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")];
    all(secrets, |secret| {
        for (algorithm, name) in algorithms {
            let signer = Signer::hmac(algorithm, secret);
            for alg in [name, "RS256"] {
                let header = with(&target.header, "alg", json!(alg)).to_string();
                target.refuses(alg, &signer.sign_bytes(header.as_str(), target.claims.to_string()))?;
            }
        }
        Ok(())
    });
    target.takes_a_good_one();
}

#[test]
fn an_attacker_gets_nothing_with_another_key() {
    let mut target = Target::new("ES256");
    target.issuer.keys.push(Key::generate("ES256"));
    target.issuer.publish().unwrap();
    let claims = target.claims.to_string();
    let (first, second) = (&target.issuer.keys[0], &target.issuer.keys[1]);
    let stranger = Key::generate("ES256");
    let own_kid = stranger.header("JWT").to_string();
    let stranger = stranger.called(&first.kid);
    let unnamed = with(&target.header, "kid", Value::Null);
    let with_key = with(&target.header, "jwk", stranger.published());
    let cases = [
        ("another issuer's key", stranger.sign(&target.header.to_string(), &claims)),
        ("unknown kid", stranger.sign(&own_kid, &claims)),
        ("unknown kid, good key", first.sign(&own_kid, &claims)),
        ("kid of another key", first.sign(&second.header("JWT").to_string(), &claims)),
        ("no kid, several keys", first.sign(&unnamed.to_string(), &claims)),
        ("its key along with it", stranger.sign(&with_key.to_string(), &claims)),
    ];
    all(cases, |(what, token)| target.refuses(what, &token));
    all([json!(""), json!(1), json!(["x"]), json!("' or true --"), json!("a".repeat(4000))], |kid| {
        target.refuses(&kid.to_string(), &target.head("kid", kid.clone()))
    });
    let unnamed_good = target.signed(&unnamed.to_string(), &target.issuer.claims(&new_email()).to_string());
    target.issuer.keys.truncate(1);
    target.issuer.publish().unwrap();
    target.issuer.show(&unnamed_good).expect(200);
}

#[test]
fn an_attacker_gets_nothing_with_a_key_for_another_algorithm() {
    let mut target = Target::new("RS256");
    target.issuer.keys.extend([Key::generate("ES256"), Key::generate("EdDSA")]);
    target.issuer.publish().unwrap();
    let claims = target.claims.to_string();
    let [rsa, ec, ed] = target.issuer.keys.as_slice() else { panic!("three keys") };
    let named = |alg: &str| with(&target.header, "alg", json!(alg)).to_string();
    let cases = [
        ("ES256 is published, but not trusted", ec.sign(&ec.header("JWT").to_string(), &claims)),
        ("EdDSA is published, but not trusted", ed.sign(&ed.header("JWT").to_string(), &claims)),
        ("PS256 by the key for RS256", rsa.sign_pss(&named("PS256"), &claims)),
        ("PS256 called RS256", rsa.sign_pss(&named("RS256"), &claims)),
        ("RS256 called RS512", rsa.sign(&named("RS512"), &claims)),
        ("RS256 called ES256", rsa.sign(&named("ES256"), &claims)),
        ("in lower case", rsa.sign(&named("rs256"), &claims)),
        ("no alg", rsa.sign(&with(&target.header, "alg", Value::Null).to_string(), &claims)),
        ("alg is a list", rsa.sign(&with(&target.header, "alg", json!(["RS256"])).to_string(), &claims)),
    ];
    all(cases, |(what, token)| target.refuses(what, &token));
    target.takes_a_good_one();
}

#[test]
fn an_attacker_gets_nothing_with_a_signature_in_another_form() {
    for alg in ["RS256", "ES256", "EdDSA"] {
        let target = Target::new(alg);
        let good = target.good();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let bytes = from_base64url(signature);
        let flipped: Vec<_> =
            bytes.iter().enumerate().map(|(at, byte)| if at == 7 { byte ^ 1 } else { *byte }).collect();
        let cases = [
            ("a bit flipped", base64url(flipped)),
            ("too short", base64url(&bytes[1..])),
            ("too long", base64url([bytes.as_slice(), &[0]].concat())),
            ("all zero", base64url(vec![0; bytes.len()])),
            ("padded", format!("{signature}==")),
            ("a space", format!("{signature} x")),
            ("twice", format!("{signature}.{signature}")),
        ];
        all(cases, |(what, signature)| target.refuses(what, &format!("{message}.{signature}")));
        target.takes_a_good_one();
    }
}

#[test]
fn an_attacker_gets_nothing_with_a_header_that_changes_how_a_token_is_read() {
    let target = Target::new("ES256");
    let url = format!("{}/certs", target.issuer.url);
    let headers = [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["AAAA"])),
        ("jwk", target.issuer.keys[0].published()),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("typ", json!("at+jwt")),
        ("typ", json!("application/at+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("secevent+jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!("")),
        ("typ", json!(1)),
    ];
    all(headers, |(name, value)| target.refuses(&format!("{name}: {value}"), &target.head(name, value)));
    let twice = target.header.to_string().replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(target.refuses("alg twice", &target.signed(&twice, &target.claims.to_string())), Ok(()));
    for header in ["", "null", "[]", "\"ES256\"", "{", "\u{feff}{}"] {
        assert_eq!(target.refuses(header, &target.signed(header, &target.claims.to_string())), Ok(()));
    }
    for typ in [json!("jwt"), json!("application/jwt"), Value::Null] {
        target.issuer.show(&target.head("typ", typ)).expect(200);
    }
}

#[test]
fn an_attacker_gets_nothing_with_a_token_of_somebody_else() {
    let (target, other) = (Target::new("ES256"), Target::new("ES256"));
    let ours = Actor::register();
    let theirs_for_us = other.issuer.id_token(&target.claims);
    let with_our_kid = other.issuer.keys[0].sign(&target.header.to_string(), &target.claims.to_string());
    let cases = [
        ("another provider's token", other.good()),
        ("another provider's token with our provider's claims", theirs_for_us),
        ("the same with our provider's kid", with_our_kid),
        ("our own access token", ours.token().to_owned()),
        ("a stranger's", Signer::stranger().sign_bytes(target.header.to_string(), target.claims.to_string())),
    ];
    all(cases, |(what, token)| target.refuses(what, &token));
    assert_eq!(other.is_refusal("the other way round", &other.issuer.show(&target.good())), Ok(()));
    target.takes_a_good_one();
    other.takes_a_good_one();
}

#[test]
fn an_attacker_gets_nothing_with_what_is_no_token() {
    let target = Target::new("ES256");
    let good = target.good();
    let parts: Vec<_> = good.split('.').collect();
    let padded = target.claim("picture", json!("x".repeat(100_000)));
    let nested = format!(r#"{{"a":{}{},{}"#, "[".repeat(5000), "]".repeat(5000), &target.claims.to_string()[1..]);
    let cases = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b.c".into(),
        "x".repeat(100_000),
        ".".repeat(100_000),
        padded,
        target.signed(&target.header.to_string(), &nested),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{}", parts[2]),
        format!("{}.{}", parts[0], parts[2]),
        format!("{}.{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[1], parts[2]),
        format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
        format!("Bearer {good}"),
        format!("{good}\u{301}"),
        "ä.ö.ü".into(),
        "\u{1f511}.\u{1f511}.\u{1f511}".into(),
        json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string(),
        base64url(&good),
    ];
    all(cases, |token| target.refuses(&token, &token));
    for payload in ["", "null", "[]", "\"x\"", "{", "{}{}", "\u{feff}{}"] {
        assert_eq!(target.refuses(payload, &target.signed(&target.header.to_string(), payload)), Ok(()));
    }
    for (name, value) in [("id_token", Value::Null), ("provider", Value::Null)] {
        let mut arguments = json!({ "provider": target.issuer.name, "id_token": good });
        arguments[name] = value;
        anonymous("POST", "/rpc/login_with_id_token").json(&arguments).send().expect(400);
    }
    target.takes_a_good_one();
}

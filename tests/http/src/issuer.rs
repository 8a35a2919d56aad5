//! Another identity provider: its keys, the key set it publishes, the tokens it signs, and the row that makes it known.

pub mod accepted;
pub mod flow;

use std::cell::RefCell;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postgres::{Client, Transaction};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, Organization, anonymous, id_of};
use crate::http::{Response, text};
use crate::token::{base64url, now};
use crate::{admin, unique};

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub struct Key {
    pub kid: String,
    pair: Pair,
}

impl Key {
    pub fn generate(alg: &str) -> Self {
        let pair = match alg {
            "RS256" => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            "ES256" => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            other => panic!("no keys for {other}"),
        };
        Self { kid: Uuid::new_v4().simple().to_string(), pair }
    }

    /// The same key under another name.
    pub fn called(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }

    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    pub fn public_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(key) => key.public_key().as_ref(),
            Pair::Ec(key) => key.public_key().as_ref(),
            Pair::Ed(key) => key.public_key().as_ref(),
        }
    }

    /// The public half as OpenSSL writes it; of RSA keys only.
    pub fn pem(&self) -> String {
        let Pair::Rsa(key) = &self.pair else { panic!("not an RSA key") };
        let encoded = BASE64_STANDARD.encode(key.public_key().as_der().unwrap().as_ref());
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The members that are kept of the public half.
    pub fn canonical(&self) -> Value {
        let bytes = self.public_bytes();
        let mut jwk = match &self.pair {
            // RFC 8017, A.1.1: of a key of 2048 bits, the modulus follows nine bytes of DER, the exponent is last.
            Pair::Rsa(_) => {
                json!({ "kty": "RSA", "n": base64url(&bytes[9..265]), "e": base64url(&bytes[bytes.len() - 3..]) })
            }
            Pair::Ec(_) => {
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(&bytes[1..33]), "y": base64url(&bytes[33..]) })
            }
            Pair::Ed(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(bytes) }),
        };
        jwk["use"] = "sig".into();
        jwk["alg"] = self.alg().into();
        jwk["kid"] = self.kid.as_str().into();
        jwk
    }

    /// The public half as issuers publish it, with more than anybody needs.
    pub fn published(&self) -> Value {
        let mut jwk = self.canonical();
        jwk["x5c"] = json!([BASE64_STANDARD.encode(self.public_bytes())]);
        jwk["x5t"] = base64url(digest(&SHA256, self.public_bytes())).into();
        jwk["key_ops"] = json!(["verify"]);
        jwk["issuer"] = "https://login.example/{tenant}/v2.0".into();
        jwk
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of exactly these texts.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", base64url(header), base64url(payload));
        format!("{message}.{}", base64url(self.signature(message.as_bytes())))
    }

    /// The same with PSS padding; by RSA keys only.
    pub fn sign_pss(&self, header: &str, payload: &str) -> String {
        let Pair::Rsa(key) = &self.pair else { panic!("not an RSA key") };
        let message = format!("{}.{}", base64url(header), base64url(payload));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", base64url(signature))
    }

    pub fn header(&self, typ: &str) -> Value {
        json!({ "alg": self.alg(), "kid": self.kid, "typ": typ })
    }
}

/// A provider, known and enabled until this goes.
pub struct Issuer {
    /// The row's name.
    pub name: String,
    pub url: String,
    pub client: String,
    /// All are published; the first signs.
    pub keys: Vec<Key>,
}

pub const REDIRECT_URI: &str = "https://app.example/callback";

impl Issuer {
    /// One that signs like this, and has published its keys.
    pub fn new(alg: &str) -> Self {
        let issuer = Self::without_keys(alg);
        assert!(issuer.publish().unwrap());
        issuer
    }

    pub fn without_keys(alg: &str) -> Self {
        let name = unique("issuer");
        let issuer = Self {
            url: format!("https://{name}.example"),
            client: format!("{name}.apps.example"),
            keys: vec![Key::generate(alg)],
            name,
        };
        admin::execute(
            "insert into crm_private.identity_providers
                 (name, enabled, issuers, client_ids, algorithms, jwks_uri, authorization_endpoint, token_endpoint,
                  userinfo_endpoint, client_secret, redirect_uris)
             values ($1, true, array[$2], array[$3], array[$4], $2 || '/certs', $2 || '/authorize', $2 || '/token',
                  $2 || '/userinfo', 'the secret of ' || $1, array[$5])",
            &[&issuer.name, &issuer.url, &issuer.client, &alg, &REDIRECT_URI],
        );
        issuer
    }

    /// Changes the row: `assignment` is SQL.
    pub fn set(&self, assignment: &str) {
        let statement = format!("update crm_private.identity_providers set {assignment} where name = $1");
        assert_eq!(admin::execute(&statement, &[&self.name]), 1);
    }

    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Key::published).collect::<Vec<_>>() })
    }

    /// The worker fetches the key set.
    pub fn publish(&self) -> Result<bool, postgres::Error> {
        self.store(&self.jwks())
    }

    pub fn store(&self, jwks: &Value) -> Result<bool, postgres::Error> {
        as_role("crm_worker", |worker| {
            Ok(worker.query_one("select crm.store_provider_keys($1, $2)", &[&self.name, &jwks])?.get(0))
        })
    }

    /// Signs with a new key from now on; the one before stays published.
    pub fn rotate(&mut self) {
        self.keys.insert(0, Key::generate(self.keys[0].alg()));
    }

    /// What it says of somebody new with this e-mail, in Google's words.
    pub fn claims(&self, email: &str) -> Value {
        let subject = Uuid::new_v4().as_u128() % 10_u128.pow(21);
        json!({
            "iss": self.url, "azp": self.client, "aud": self.client, "sub": format!("{subject:021}"), "email": email,
            "email_verified": true, "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "name": "Ida Token", "given_name": "Ida",
            "family_name": "Token", "picture": format!("{}/photo.jpg", self.url), "iat": now(), "exp": now() + 3600,
            "jti": Uuid::new_v4(),
        })
    }

    pub fn id_token(&self, claims: &Value) -> String {
        self.keys[0].sign(&self.keys[0].header("JWT").to_string(), &claims.to_string())
    }

    /// Signs in with an ID token of these claims.
    pub fn sign_in(&self, claims: &Value) -> Response {
        self.show(&self.id_token(claims))
    }

    pub fn show(&self, token: &str) -> Response {
        self.show_with(token, &json!({}))
    }

    /// The same with further arguments.
    pub fn show_with(&self, token: &str, further: &Value) -> Response {
        let mut arguments = further.clone();
        arguments["provider"] = self.name.as_str().into();
        arguments["id_token"] = token.into();
        anonymous("POST", "/rpc/login_with_id_token").json(&arguments).send()
    }

    /// Somebody new, after signing in.
    pub fn newcomer(&self) -> (Actor, Value) {
        let claims = self.claims(&new_email());
        (signed_in(&self.sign_in(&claims).expect(200).json()), claims)
    }

    /// How many people it is known to have.
    pub fn people(&self) -> i64 {
        admin::value("select count(*) from crm_private.user_identities where provider = $1", &[&self.name])
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        admin::execute("delete from crm_private.identity_providers where name = $1", &[&self.name]);
    }
}

pub fn new_email() -> String {
    format!("{}@example.com", unique("ida"))
}

pub fn user_of(email: &str) -> Option<Uuid> {
    admin::value("select (select id from crm.users where email = $1)", &[&email])
}

/// Whom the answer of a sign-in lets in.
pub fn signed_in(answer: &Value) -> Actor {
    let organization = &answer["organization"];
    let id = Uuid::parse_str(&text(&organization["id"])).unwrap_or_default();
    Actor {
        user: id_of(&answer["user"]),
        email: text(&answer["user"]["email"]),
        password: String::new(),
        organization: Organization { id, slug: text(&organization["slug"]) },
        token: Some(text(&answer["access_token"])),
        works_in: None,
    }
}

thread_local! {
    static CONNECTION: RefCell<Client> = RefCell::new(admin::connect());
}

/// Works in SQL as this database role, and commits.
pub fn as_role<R>(role: &str, work: impl FnOnce(&mut Transaction) -> R) -> R {
    CONNECTION.with_borrow_mut(|client| {
        let mut transaction = client.transaction().unwrap();
        transaction.batch_execute(&format!("set local role {role}")).unwrap();
        let result = work(&mut transaction);
        transaction.commit().unwrap();
        result
    })
}

/// The code challenge of a code verifier (RFC 7636, S256).
pub fn challenge_of(verifier: &str) -> String {
    base64url(digest(&SHA256, verifier.as_bytes()))
}

//! People whose every secret is known, and a search for all of them at once.

use crm_http_tests::actor::{Actor, anonymous, id_of, login};
use crm_http_tests::http::text;
use crm_http_tests::token::{STRANGER_X, Signer, base64url, now};
use crm_http_tests::{PASSWORD_PREFIX, admin, unique};
use serde_json::{Value, json};
use uuid::Uuid;

pub struct Known {
    /// Reads afterwards.
    pub owner: Actor,
    /// Logs in, resets and so on, with success and without.
    pub target: Actor,
    pub platform_key: String,
    pub provider: String,
    pub wrong_password: String,
    pub refresh_tokens: [String; 2],
    pub api_key: String,
    pub reset: String,
    pub verification: String,
    pub invitation: String,
    pub nonce: String,
    pub code: String,
    pub code_verifier: String,
    pub code_challenge: String,
    pub state: String,
    pub id_token: String,
    pub client_secret: String,
    pub password_hash: String,
    pub private_jwk: Value,
    pub webhook: Uuid,
    pub webhook_secrets: [String; 2],
    pub webhook_header: String,
}

/// What was sent to the address.
fn message(kind: &str, recipient: &str) -> String {
    admin::value(
        "select secret from crm_private.messages where kind = $1 and recipient = $2 order by created_at desc limit 1",
        &[&kind, &recipient],
    )
}

fn make_provider(name: &str, client_secret: &str) {
    let jwks =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": STRANGER_X, "kid": "stranger", "alg": "EdDSA" }] });
    admin::execute(
        "insert into crm_private.identity_providers (name, enabled, issuers, client_ids, algorithms, jwks,
             authorization_endpoint, token_endpoint, userinfo_endpoint, client_secret, redirect_uris)
         values ($1, true, array['https://' || $1], array['client-' || $1], '{EdDSA}', $2,
             'https://provider.example/authorize', 'https://provider.example/token', 'https://provider.example/me',
             $3, '{https://app.example/back}')",
        &[&name, &jwks, &client_secret],
    );
}

fn id_token(provider: &str, nonce: &str) -> String {
    let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": "stranger" });
    let claims = json!({
        "iss": format!("https://{provider}"), "aud": format!("client-{provider}"), "sub": unique("subject"),
        "iat": now(), "exp": now() + 900, "nonce": nonce, "email": format!("{}@example.com", unique("person")),
        "email_verified": true,
    });
    Signer::stranger().sign_bytes(header.to_string(), claims.to_string())
}

/// Whose secret was replaced, with something on its way to it.
fn make_webhook(owner: &Actor, header: &str) -> (Uuid, [String; 2]) {
    let arguments = json!({
        "name": "Hook", "url": "https://example.com/hook", "headers": { "X-Token": "something before" },
    });
    let made = owner.post("/rpc/create_webhook", &arguments).expect(200).json();
    let call = |function: &str, more: Value| {
        let mut arguments = more;
        arguments["webhook_id"] = made["id"].clone();
        owner.post(&format!("/rpc/{function}"), &arguments).expect(200).json()
    };
    call("set_webhook_headers", json!({ "headers": { "X-Token": header } }));
    let rotated = call("rotate_webhook_secret", json!({}));
    call("test_webhook", json!({}));
    (id_of(&made), [text(&made["secret"]), text(&rotated["secret"])])
}

impl Known {
    pub fn make() -> Self {
        let (owner, target) = (Actor::register(), Actor::register());
        let post = |path: &str, body: Value| anonymous("POST", path).json(&body).send().expect(200).json();
        let first = text(&login(&target.email, &target.password, None).expect(200).json()["refresh_token"]);
        let second = text(&post("/rpc/refresh_token", json!({ "refresh_token": first }))["refresh_token"]);
        let api_key = owner.post("/rpc/create_api_key", &json!({ "name": "x", "scopes": ["*.*"] })).expect(200).json();
        let platform_key: Value = admin::value("select crm.create_platform_key('x')", &[]);
        let invited = format!("{}@example.com", unique("invited"));
        owner.post("/rpc/invite_user", &json!({ "email": invited, "role": "sales" })).expect(200);
        post("/rpc/request_password_reset", json!({ "email": target.email }));
        target.post("/rpc/request_email_verification", &json!({})).expect(200);

        let webhook_header = unique("header-of-a-webhook");
        let (webhook, webhook_secrets) = make_webhook(&owner, &webhook_header);
        let (provider, client_secret) = (unique("provider"), unique("client-secret"));
        make_provider(&provider, &client_secret);
        let code_verifier = base64url(Uuid::new_v4().to_string() + &unique("verifier"));
        let code_challenge: String = admin::value(
            "select rtrim(translate(encode(sha256($1::text::bytea), 'base64'), '+/', '-_'), '=')",
            &[&code_verifier],
        );
        let start = json!({
            "provider": provider, "redirect_uri": "https://app.example/back", "code_challenge": code_challenge,
        });
        let state = text(&post("/rpc/oauth_start", start)["state"]);
        let nonce = unique("nonce-of-a-client");
        Self {
            platform_key: text(&platform_key["key"]),
            wrong_password: unique(PASSWORD_PREFIX),
            refresh_tokens: [first, second],
            api_key: text(&api_key["key"]),
            reset: message("password_reset", &target.email),
            verification: message("email_verification", &target.email),
            invitation: message("invitation", &invited),
            id_token: id_token(&provider, &nonce),
            code: unique("authorization-code"),
            // Nobody's password: only its text has to be right, and u leaves no bits over.
            password_hash: format!("$2b$05${:.21}u{:.30}u", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
            private_jwk: json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "x": STRANGER_X, "d": base64url(Uuid::new_v4().to_string()),
            }] }),
            owner,
            target,
            provider,
            nonce,
            code_verifier,
            code_challenge,
            state,
            client_secret,
            webhook,
            webhook_secrets,
            webhook_header,
        }
    }

    /// What nobody may find, with what it is.
    pub fn secrets(&self) -> Vec<(String, String)> {
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        let mut secrets: Vec<(&str, String)> = vec![
            ("password", self.owner.password.clone()),
            ("password", self.target.password.clone()),
            ("wrong password", self.wrong_password.clone()),
            ("refresh token", self.refresh_tokens[0].clone()),
            ("refresh token", self.refresh_tokens[1].clone()),
            ("API key", self.api_key.rsplit_once("crmo_").unwrap().1.split_once('_').unwrap().1.into()),
            ("platform key", self.platform_key.rsplit_once("crmp_").unwrap().1.split_once('_').unwrap().1.into()),
            ("reset token", self.reset.clone()),
            ("verification token", self.verification.clone()),
            ("invitation token", self.invitation.clone()),
            ("nonce", self.nonce.clone()),
            ("code", self.code.clone()),
            ("code verifier", self.code_verifier.clone()),
            ("state", self.state.clone()),
            ("client secret", self.client_secret.clone()),
            ("webhook secret", self.webhook_secrets[0].replace("whsec_", "")),
            ("webhook secret", self.webhook_secrets[1].replace("whsec_", "")),
            ("header of a webhook", self.webhook_header.clone()),
            ("ID token", signature(&self.id_token)),
            ("password hash", self.password_hash.clone()),
            ("private JWK", text(&self.private_jwk["keys"][0]["d"])),
            ("access token", signature(self.owner.token())),
            ("access token", signature(self.target.token())),
        ];
        assert!(secrets.iter().all(|(_, secret)| secret.len() >= 16), "{secrets:?}");
        secrets.extend(hidden());
        secrets.into_iter().map(|(what, secret)| (what.to_owned(), secret)).collect()
    }
}

/// Keys and hashes as they lie in crm_private: every column that is bytea, or is kept out of the planner's statistics.
fn hidden() -> Vec<(&'static str, String)> {
    let columns: Vec<String> = admin::value(
        "select array_agg(format('%I', a.attname) || ' from ' || c.oid::regclass order by c.relname, a.attnum)
         from pg_class as c
         join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'crm_private'::regnamespace and c.relkind = 'r'
             and (a.atttypid = 'bytea'::regtype or a.attstattarget = 0) and a.atttypid <> 'jsonb'::regtype",
        &[],
    );
    assert!(columns.len() >= 12, "{columns:?}");
    let mut found = vec![];
    for column in &columns {
        let (name, table) = column.split_once(" from ").unwrap();
        let query = format!(
            "select coalesce(array_agg(ltrim(t.value, '\\x')), '{{}}')
             from (
                 select {name}::text as value from {table} where {name} is not null order by ctid desc limit 200
             ) as t"
        );
        let values: Vec<String> = admin::value(&query, &[]);
        // A private key has many lines; those that every key has are too short to matter.
        let lines =
            values.iter().flat_map(|value| value.lines()).filter(|line| line.len() >= 16 && !line.starts_with('-'));
        found.extend(lines.map(|line| ("in crm_private", line.to_owned())));
    }
    assert!(found.len() >= 20, "{}", found.len());
    found
}

/// Many texts, looked for at once.
pub struct Needles {
    texts: Vec<(String, String)>,
    /// By the hash of their first bytes.
    buckets: Vec<Vec<usize>>,
}

const START: usize = 8;

fn bucket(bytes: &[u8]) -> usize {
    let number = u64::from_le_bytes(bytes[..START].try_into().unwrap());
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

impl Needles {
    pub fn new(texts: Vec<(String, String)>) -> Self {
        let mut buckets = vec![vec![]; 1 << 16];
        for (at, (_, text)) in texts.iter().enumerate() {
            buckets[bucket(text.as_bytes())].push(at);
        }
        Self { texts, buckets }
    }

    /// What is found, and where.
    pub fn find(&self, place: &str, hay: &[u8]) -> Result<(), String> {
        for (at, start) in hay.windows(START).enumerate() {
            let here = &self.buckets[bucket(start)];
            if let Some(found) = here.iter().find(|needle| hay[at..].starts_with(self.texts[**needle].1.as_bytes())) {
                let (what, secret) = &self.texts[*found];
                let around = &hay[at.saturating_sub(150)..hay.len().min(at + 150)];
                return Err(format!("{place}: {what} {secret}: …{}…", String::from_utf8_lossy(around)));
            }
        }
        Ok(())
    }
}

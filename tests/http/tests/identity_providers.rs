//! A provider is a row, and its keys are the worker's to fetch.

use crm_http_tests::actor::anonymous;
use crm_http_tests::issuer::{Issuer, Key, as_role, new_email, signed_in};
use crm_http_tests::sql::sqlstate;
use crm_http_tests::token::with;
use crm_http_tests::{admin, all, alone, unique};
use serde_json::{Value, json};

fn stored_keys(issuer: &Issuer) -> Value {
    admin::value("select jwks from crm_private.identity_providers where name = $1", &[&issuer.name])
}

/// The answer of a statement in this role.
fn attempt(role: &str, statement: &str) -> String {
    as_role(role, |sql| sqlstate(sql.batch_execute(statement)))
}

/// Google's row as it is shipped comes back when this goes.
struct Google;

impl Drop for Google {
    fn drop(&mut self) {
        admin::execute("delete from crm_private.user_identities where provider = 'google'", &[]);
        admin::execute(
            "update crm_private.identity_providers
             set enabled = false, client_ids = '{}', jwks = null, jwks_fetched_at = null where name = 'google'",
            &[],
        );
    }
}

#[test]
fn a_dba_finds_google_and_github_ready_and_disabled() {
    let _alone = alone();
    let presets: Value = admin::value(
        "select jsonb_object_agg(name, jsonb_build_array(enabled, client_ids, accept_access_tokens, jwks_uri, scope))
         from crm_private.identity_providers where name in ('google', 'github')",
        &[],
    );
    let certificates = "https://www.googleapis.com/oauth2/v3/certs";
    let expected = json!({
        "google": [false, [], false, certificates, "openid email profile"],
        "github": [false, [], false, null, "read:user user:email"],
    });
    assert_eq!(presets, expected);
}

#[test]
fn a_person_signs_in_with_google_whichever_way_it_spells_its_name() {
    let (_alone, _google) = (alone(), Google);
    let signer = Issuer::new("RS256");
    let claims = with(&signer.claims(&new_email()), "iss", json!("https://accounts.google.com"));
    let sign_in = |claims: &Value| {
        let arguments = json!({ "provider": "google", "id_token": signer.id_token(claims) });
        anonymous("POST", "/rpc/login_with_id_token").json(&arguments).send()
    };
    let store = "select crm.store_provider_keys('google', $1)";
    let stored: bool = as_role("crm_worker", |sql| sql.query_one(store, &[&signer.jwks()])).unwrap().get(0);
    assert!(stored);
    sign_in(&claims).expect(401);
    admin::execute(
        "update crm_private.identity_providers set enabled = true, client_ids = array[$1] where name = 'google'",
        &[&signer.client],
    );
    let first = signed_in(&sign_in(&claims).expect(200).json());
    let other_spelling = sign_in(&with(&claims, "iss", json!("accounts.google.com"))).expect(200).json();
    assert_eq!(signed_in(&other_spelling).user, first.user);
    for iss in ["http://accounts.google.com", "https://accounts.google.com/", "google", "Accounts.google.com"] {
        sign_in(&with(&claims, "iss", json!(iss))).expect(401);
    }
}

#[test]
fn a_dba_makes_a_provider_as_a_member_of_crm_owner() {
    let (role, name) = (unique("dba").replace('-', "_"), unique("issuer"));
    admin::execute(&format!("create role {role} in role crm_owner"), &[]);
    let insert = format!(
        "insert into crm_private.identity_providers (name, enabled, issuers, client_ids)
         values ('{name}', true, '{{https://{name}.example}}', '{{client}}')"
    );
    let made = attempt(&role, &insert);
    let changed =
        attempt(&role, &format!("update crm_private.identity_providers set enabled = false where name = '{name}'"));
    let seen: bool = admin::value(
        "select exists (select from crm_private.identity_providers where name = $1 and not enabled)",
        &[&name],
    );
    let deleted = attempt(&role, &format!("delete from crm_private.identity_providers where name = '{name}'"));
    admin::execute(&format!("drop role {role}"), &[]);
    assert_eq!((made.as_str(), changed.as_str(), deleted.as_str(), seen), ("", "", "", true));
}

#[test]
fn nobody_but_the_owner_sees_or_makes_a_provider() {
    let roles = ["crm_anon", "crm_app", "crm_multi", "crm_service", "crm_worker", "crm_admin", "crm_authenticator"];
    all(roles, |role| {
        for statement in [
            "select client_secret from crm_private.identity_providers",
            "insert into crm_private.identity_providers (name) values ('mine')",
            "update crm_private.identity_providers set enabled = true",
            "delete from crm_private.identity_providers",
            "select * from crm_private.user_identities",
            "select * from crm_private.oauth_flows",
        ] {
            let state = attempt(role, statement);
            if state != "42501" {
                return Err(format!("{role}: {statement}: {state:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn a_dba_cannot_make_a_provider_that_makes_no_sense() {
    let cases = [
        ("enabled", "true"),
        ("enabled, accept_access_tokens, issuers", "true, true, '{https://issuer.example}'"),
        ("accept_access_tokens, access_token_audiences", "true, '{crm}'"),
        ("algorithms", "'{HS256}'"),
        ("algorithms", "'{none}'"),
        ("algorithms", "'{RS256,HS256}'"),
        ("algorithms", "'{null}'"),
        ("algorithms", "'{}'"),
        ("jwks_uri", "'http://issuer.example/certs'"),
        ("token_endpoint", "'file:///etc/passwd'"),
        ("authorization_endpoint", "'javascript:alert(1)'"),
        ("userinfo_endpoint", "'HTTPS://issuer.example'"),
    ];
    all(cases, |(columns, values)| {
        let insert = |name: &str| {
            let statement =
                format!("insert into crm_private.identity_providers (name, {columns}) values ('{name}', {values})");
            attempt("postgres", &statement)
        };
        let state = insert(&unique("issuer"));
        if state == "23514" { Ok(()) } else { Err(format!("{columns} = {values}: {state:?}")) }
    });
    all(["", "Google", "a b", "-a", "a--b", "ä", &"x".repeat(51)], |name| {
        let state =
            attempt("postgres", &format!("insert into crm_private.identity_providers (name) values ('{name}')"));
        if state == "23514" { Ok(()) } else { Err(format!("{name}: {state:?}")) }
    });
}

#[test]
fn a_worker_stores_keys_and_nothing_beside_them() {
    let mut issuer = Issuer::new("RS256");
    issuer.keys.extend([Key::generate("ES256"), Key::generate("EdDSA")]);
    let mut jwks = issuer.jwks();
    jwks["extra"] = json!("member");
    let encryption = with(&Key::generate("RS256").published(), "use", json!("enc"));
    jwks["keys"].as_array_mut().unwrap().extend([encryption, json!({ "kty": "oct", "k": "c2VjcmV0" })]);
    assert!(issuer.store(&jwks).unwrap());
    let canonical: Vec<_> = issuer.keys.iter().map(Key::canonical).collect();
    assert_eq!(stored_keys(&issuer), json!({ "keys": canonical }));
}

#[test]
fn a_worker_stores_no_bad_key_set_and_the_one_before_stays() {
    let issuer = Issuer::new("ES256");
    let before = stored_keys(&issuer);
    let (key, rsa) = (issuer.keys[0].published(), Key::generate("RS256").published());
    let private = |name: &str| json!({ "keys": [key, with(&rsa, name, json!("AAAA"))] });
    let sets = [
        json!(null),
        json!(1),
        json!("secret"),
        json!([]),
        json!({}),
        json!({ "keys": [] }),
        json!({ "keys": key }),
        json!({ "keys": [key, "secret"] }),
        json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }),
        json!({ "keys": [with(&key, "use", json!("enc"))] }),
        json!({ "keys": [with(&key, "y", key["x"].clone())] }),
        json!({ "keys": [with(&rsa, "e", json!("AQ"))] }),
        json!({ "keys": [with(&rsa, "n", json!("AQAB"))] }),
        json!({ "keys": vec![&key; 101] }),
        json!({ "error": "temporarily unavailable" }),
        private("d"),
        private("p"),
        private("qi"),
        private("oth"),
    ];
    all(sets, |jwks| {
        let state = sqlstate(issuer.store(&jwks));
        if state != "22023" {
            return Err(format!("{state:?}: {jwks}"));
        }
        if stored_keys(&issuer) != before {
            return Err(format!("stored: {jwks}"));
        }
        Ok(())
    });
    issuer.sign_in(&issuer.claims(&new_email())).expect(200);
}

#[test]
fn a_dba_who_puts_keys_into_the_row_is_held_to_the_same() {
    let issuer = Issuer::without_keys("EdDSA");
    let update = |jwks: Value| {
        let row = "update crm_private.identity_providers set jwks = $1 where name = $2";
        as_role("postgres", |sql| sqlstate(sql.execute(row, &[&jwks, &issuer.name])))
    };
    assert_eq!(update(issuer.jwks()), "");
    let canonical = json!({ "keys": [issuer.keys[0].canonical()] });
    assert_eq!(stored_keys(&issuer), canonical);
    assert_eq!(update(json!({ "keys": [with(&issuer.keys[0].published(), "d", json!("AAAA"))] })), "22023");
    assert_eq!(update(json!({ "keys": [] })), "22023");
    assert_eq!(stored_keys(&issuer), canonical);
    issuer.sign_in(&issuer.claims(&new_email())).expect(200);
}

#[test]
fn a_worker_is_told_whose_keys_to_fetch() {
    let issuer = Issuer::without_keys("ES256");
    let fetch = |older_than: &str| -> Vec<String> {
        let query = "select jwks_uri from crm.providers_to_fetch($1::text::interval) where provider = $2";
        let rows = as_role("crm_worker", |sql| sql.query(query, &[&older_than, &issuer.name])).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(fetch("1 hour"), [format!("{}/certs", issuer.url)]);
    assert!(issuer.publish().unwrap());
    assert_eq!(fetch("1 hour").len(), 0);
    assert_eq!(fetch("0").len(), 1);
    issuer.set("jwks_fetched_at = now() - interval '2 hours'");
    assert_eq!(fetch("1 hour").len(), 1);
    issuer.set("enabled = false");
    assert_eq!(fetch("1 hour").len(), 0);
    issuer.set("enabled = true, jwks_uri = null");
    assert_eq!(fetch("1 hour").len(), 0);
}

#[test]
fn a_worker_who_has_keys_of_a_provider_that_is_gone_is_told_so() {
    let issuer = Issuer::new("ES256");
    let store = |name: Option<&str>, jwks: Option<Value>| {
        as_role("crm_worker", |sql| {
            sql.query_one("select crm.store_provider_keys($1, $2)", &[&name, &jwks]).map(|row| row.get::<_, bool>(0))
        })
    };
    assert!(!store(Some(&unique("issuer")), Some(issuer.jwks())).unwrap());
    assert_eq!(sqlstate(store(None, Some(issuer.jwks()))), "22023");
    assert_eq!(sqlstate(store(Some(&issuer.name), None)), "22023");
}

#[test]
fn a_person_goes_on_signing_in_while_the_keys_rotate() {
    let mut issuer = Issuer::new("RS256");
    let claims = issuer.claims(&new_email());
    let before = issuer.id_token(&claims);
    issuer.rotate();
    // Nobody has fetched the new key yet.
    issuer.sign_in(&claims).expect(401);
    assert!(issuer.publish().unwrap());
    issuer.sign_in(&claims).expect(200);
    issuer.show(&before).expect(200);
    issuer.keys.truncate(1);
    assert!(issuer.publish().unwrap());
    issuer.show(&before).expect(401);
    issuer.sign_in(&claims).expect(200);
}

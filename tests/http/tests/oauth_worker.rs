//! Signing in by authorization code: what the worker does, and nobody else may. These tests run one at a time: the
//! worker claims what there is.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::issuer::flow::{Flow, complete, complete_with_token, tell};
use crm_http_tests::issuer::{Issuer, REDIRECT_URI, as_role, new_email, signed_in, user_of};
use crm_http_tests::sql::sqlstate;
use crm_http_tests::token::with;
use crm_http_tests::{admin, all, alone};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn a_worker_is_told_all_it_needs_to_exchange_a_code() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let flow = Flow::start(&issuer);
    assert_eq!(flow.claim("1 minute"), None, "there is no code yet");
    flow.finish().expect(202);
    let expected = json!({
        "provider": issuer.name, "token_endpoint": format!("{}/token", issuer.url),
        "userinfo_endpoint": format!("{}/userinfo", issuer.url), "client_id": issuer.client,
        "client_secret": format!("the secret of {}", issuer.name), "code": flow.code,
        "code_verifier": flow.verifier, "redirect_uri": REDIRECT_URI,
    });
    assert_eq!(flow.claim("1 minute").unwrap().row, expected);
}

#[test]
fn a_second_worker_gets_a_code_only_once_the_lease_of_the_first_has_ended() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let flow = Flow::start(&issuer);
    flow.finish().expect(202);
    let first = flow.claim("1 second").unwrap();
    assert_eq!(flow.claim("1 second"), None);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(flow.claim("1 minute").unwrap(), first);
    assert_eq!(flow.claim("1 minute"), None);
    assert!(complete(first.id, "1", Some(&new_email()), true).unwrap());
    flow.set("claimed_until = null");
    assert_eq!(flow.claim("1 minute"), None, "it is done");
}

#[test]
fn two_workers_at_once_never_get_the_same_code() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let flows: Vec<_> = (0..6).map(|_| Flow::start(&issuer)).collect();
    for flow in &flows {
        flow.finish().expect(202);
    }
    let claim = || -> Vec<Uuid> {
        let rows = as_role("crm_worker", |sql| sql.query("select id from crm.claim_oauth_exchanges(2)", &[])).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let mut claimed: Vec<Uuid> = thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(claim)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    claimed.extend(claim());
    claimed.extend(claim());
    claimed.extend(claim());
    let all = claimed.len();
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!((claimed.len(), all), (6, 6));
}

#[test]
fn a_worker_fails_a_sign_in_and_the_person_is_refused() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let (flow, id) = Flow::claimed(&issuer);
    assert!(tell("crm.fail_oauth_exchange($1)", &[&id]).unwrap());
    assert_eq!(flow.finish().expect(401).code(), "28000");
    assert!(!tell("crm.fail_oauth_exchange($1)", &[&id]).unwrap());
    assert!(!complete(id, "1", Some(&new_email()), true).unwrap());
    flow.finish().expect(401);
    assert_eq!(issuer.people(), 0);
}

#[test]
fn a_worker_cannot_complete_what_is_not_waiting() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    assert!(!complete(Uuid::new_v4(), "1", None, false).unwrap());
    assert!(!tell("crm.fail_oauth_exchange($1)", &[&Uuid::new_v4()]).unwrap());
    let (flow, id) = Flow::claimed(&issuer);
    let email = new_email();
    assert!(complete(id, "1", Some(&email), true).unwrap());
    assert!(!complete(id, "2", Some(&new_email()), true).unwrap());
    assert!(!tell("crm.fail_oauth_exchange($1)", &[&id]).unwrap());
    assert_eq!(signed_in(&flow.finish().expect(200).json()).email, email);
    let token = issuer.id_token(&issuer.claims(&new_email()));
    assert_eq!(sqlstate(complete_with_token(id, &token)), "22023");
}

#[test]
fn a_worker_cannot_complete_without_saying_who_it_is() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let (flow, id) = Flow::claimed(&issuer);
    for call in [
        "crm.complete_oauth_exchange($1)",
        "crm.complete_oauth_exchange($1, '')",
        "crm.complete_oauth_exchange($1, '  ')",
        "crm.complete_oauth_exchange($1, E'a\\nb')",
        "crm.complete_oauth_exchange($1, repeat('x', 256))",
        "crm.complete_oauth_exchange($1, null, 'somebody@example.com', true)",
        "crm.complete_oauth_exchange($1, 'subject', id_token => '')",
        "crm.complete_oauth_exchange(null, $1::uuid::text)",
    ] {
        assert_eq!(sqlstate(tell(call, &[&id])).as_str(), "22023", "{call}");
    }
    flow.finish().expect(202);
    assert!(complete(id, "1", Some(&new_email()), true).unwrap());
    flow.finish().expect(200);
}

#[test]
fn a_worker_shows_the_id_token_it_got_and_only_a_good_one_counts() {
    let _alone = alone();
    let (issuer, other) = (Issuer::new("RS256"), Issuer::new("RS256"));
    let (flow, id) = Flow::claimed(&issuer);
    let email = new_email();
    let claims = issuer.claims(&email);
    let bad = [
        ("another provider's", other.id_token(&other.claims(&email))),
        ("another client's", issuer.id_token(&with(&claims, "aud", json!("another.apps.example")))),
        ("expired", issuer.id_token(&with(&claims, "exp", json!(1)))),
        ("of another request", issuer.id_token(&with(&claims, "nonce", json!("abc")))),
        ("nothing", "..".into()),
    ];
    all(bad, |(what, token)| {
        let state = sqlstate(complete_with_token(id, &token));
        if state == "22023" { Ok(()) } else { Err(format!("{what}: {state:?}")) }
    });
    flow.finish().expect(202);
    assert!(complete_with_token(id, &issuer.id_token(&claims)).unwrap());
    let user = signed_in(&flow.finish().expect(200).json());
    assert_eq!((user.email.as_str(), user_of(&email)), (email.as_str(), Some(user.user)));
    // The same person, without the detour.
    assert_eq!(signed_in(&issuer.sign_in(&claims).expect(200).json()).user, user.user);
}

#[test]
fn a_person_whose_email_the_provider_has_not_verified_is_refused() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let user = Actor::register();
    for (email, verified) in
        [(Some(user.email.clone()), false), (Some(new_email()), false), (None, true), (None, false)]
    {
        let (flow, id) = Flow::claimed(&issuer);
        assert!(complete(id, "1", email.as_deref(), verified).unwrap());
        assert_eq!(flow.finish().expect(403).code(), "42501");
        // That was the answer: it is not there a second time.
        flow.finish().expect(401);
    }
    assert_eq!(issuer.people(), 0);
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn an_attacker_who_registered_the_email_is_out_once_its_owner_comes_by_code() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let attacker = Actor::register();
    let (flow, id) = Flow::claimed(&issuer);
    complete(id, "1", Some(&attacker.email.to_uppercase()), true).unwrap();
    let owner = signed_in(&flow.finish().expect(200).json());
    assert_eq!(owner.user, attacker.user);
    attacker.get("/contacts").expect(401);
    login(&attacker.email, &attacker.password, None).expect(401);
    owner.get("/contacts").expect(200);
}

#[test]
fn what_is_secret_of_a_sign_in_is_kept_no_longer_than_needed() {
    let _alone = alone();
    let issuer = Issuer::new("ES256");
    let kept = |flow: &Flow| -> Value {
        admin::value(
            "select to_jsonb(f) from crm_private.oauth_flows as f where state_hash = sha256($1::text::bytea)",
            &[&flow.state],
        )
    };
    let (flow, id) = Flow::claimed(&issuer);
    assert!(!kept(&flow).to_string().contains(&flow.state));
    complete(id, "1", Some(&new_email()), true).unwrap();
    assert_eq!((&kept(&flow)["code"], &kept(&flow)["code_verifier"]), (&Value::Null, &Value::Null));
    flow.finish().expect(200);
    assert_eq!(kept(&flow)["profile"], Value::Null);
    let (failed, id) = Flow::claimed(&issuer);
    tell("crm.fail_oauth_exchange($1)", &[&id]).unwrap();
    assert_eq!((&kept(&failed)["code"], &kept(&failed)["code_verifier"]), (&Value::Null, &Value::Null));
}

#[test]
fn nobody_but_the_worker_may_do_its_work() {
    let _alone = alone();
    let calls = [
        ("claim_oauth_exchanges", "()", json!({})),
        ("complete_oauth_exchange", "(gen_random_uuid(), 'x')", json!({ "id": Uuid::nil(), "subject": "x" })),
        ("fail_oauth_exchange", "(gen_random_uuid())", json!({ "id": Uuid::nil() })),
        ("providers_to_fetch", "()", json!({})),
        ("store_provider_keys", "('google', '{}')", json!({ "provider": "google", "jwks": {} })),
    ];
    let roles = ["crm_anon", "crm_app", "crm_multi", "crm_service", "crm_admin", "crm_owner", "crm_authenticator"];
    let user = Actor::register();
    all(calls, |(function, arguments, body)| {
        for role in roles {
            let call = format!("select crm.{function}{arguments}");
            let state = as_role(role, |sql| sqlstate(sql.batch_execute(&call)));
            // The DBA may put keys there by hand.
            let by_hand = (function, role) == ("store_provider_keys", "crm_admin");
            if state != if by_hand { "22023" } else { "42501" } {
                return Err(format!("{role}: {call}: {state:?}"));
            }
        }
        let path = format!("/rpc/{function}");
        for (answer, status) in [(anonymous("POST", &path).json(&body).send(), 401), (user.post(&path, &body), 403)] {
            if (answer.status, answer.code().as_str()) != (status, "42501") {
                return Err(answer.to_string());
            }
        }
        Ok(())
    });
}

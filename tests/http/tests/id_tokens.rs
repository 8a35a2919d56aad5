//! Signing in with the ID token of another provider: who one becomes by it.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::http::{Request, encode, text};
use crm_http_tests::issuer::{Issuer, new_email, signed_in, user_of};
use crm_http_tests::token::{payload, with};
use crm_http_tests::{admin, all, unique};
use serde_json::{Value, json};

fn refresh(token: &Value) -> u16 {
    anonymous("POST", "/rpc/refresh_token").json(&json!({ "refresh_token": token })).send().status
}

#[test]
fn a_newcomer_becomes_a_user_and_the_owner_of_an_organization() {
    for alg in ["RS256", "ES256", "EdDSA"] {
        let issuer = Issuer::new(alg);
        let email = new_email();
        let answer = issuer.sign_in(&issuer.claims(&email)).expect(200);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        let answer = answer.json();
        let mut members: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let expected = [
            "access_token",
            "expires_in",
            "organization",
            "organizations",
            "refresh_expires_in",
            "refresh_token",
            "token_type",
            "user",
        ];
        assert_eq!(members, expected);
        let user = &answer["user"];
        assert_eq!(
            user,
            &json!({
                "id": user["id"], "email": email, "full_name": "Ida Token", "email_verified": true, "time_zone": null,
                "locale": null, "avatar_url": null,
            })
        );
        let organization = &answer["organization"];
        assert_eq!(organization["slug"], json!(email.split('@').next()));
        assert_eq!(organization["role"], "owner");
        assert_eq!(answer["organizations"].as_array().map(Vec::len), Some(1));
        assert_eq!(answer["organizations"][0]["id"], organization["id"]);

        let newcomer = signed_in(&answer);
        newcomer.insert("contacts", &json!({ "last_name": "First" }));
        let whoami = newcomer.get("/rpc/whoami").expect(200).json();
        assert_eq!((&whoami["user_id"], &whoami["role"]), (&user["id"], &json!("owner")));
        let sessions = newcomer.get("/rpc/my_sessions").expect(200).rows();
        assert_eq!((sessions.len(), &sessions[0]["kind"]), (1, &json!("identity_provider")));
        assert_eq!(refresh(&answer["refresh_token"]), 200);
    }
}

#[test]
fn a_newcomer_has_no_password_and_no_verification_message() {
    let issuer = Issuer::new("ES256");
    let (newcomer, _) = issuer.newcomer();
    login(&newcomer.email, "", None).expect(401);
    login(&newcomer.email, &unique("kzq-passphrase-"), None).expect(401);
    let passwords: i64 =
        admin::value("select count(*) from crm_private.passwords where user_id = $1", &[&newcomer.user]);
    assert_eq!(passwords, 0);
}

#[test]
fn two_newcomers_with_the_same_local_part_get_organizations_of_their_own() {
    let issuer = Issuer::new("ES256");
    let local = unique("ida");
    let slugs = ["example.com", "example.org", "example.net"].map(|domain| {
        let answer = issuer.sign_in(&issuer.claims(&format!("{local}@{domain}"))).expect(200).json();
        text(&answer["organization"]["slug"])
    });
    assert_eq!(slugs[0], local);
    for slug in &slugs[1..] {
        assert!(slug.starts_with(&format!("{local}-")) && slug.len() == local.len() + 9, "{slug}");
    }
    assert_ne!(slugs[1], slugs[2]);
}

#[test]
fn a_person_is_the_same_user_the_next_time_whatever_their_email_is_then() {
    let issuer = Issuer::new("RS256");
    let (newcomer, claims) = issuer.newcomer();
    let somebody = Actor::register();
    for change in [
        claims.clone(),
        with(&claims, "email", json!(new_email())),
        with(&claims, "email", json!(somebody.email)),
        with(&claims, "email", Value::Null),
        with(&claims, "email_verified", json!(false)),
        with(&claims, "name", json!("Another Name")),
    ] {
        let again = issuer.sign_in(&change).expect(200).json();
        assert_eq!((signed_in(&again).user, text(&again["user"]["email"])), (newcomer.user, newcomer.email.clone()));
        assert_eq!(signed_in(&again).organization.id, newcomer.organization.id);
    }
    assert_eq!(issuer.people(), 1);
}

#[test]
fn a_subject_is_somebody_else_at_another_provider() {
    let (one, other) = (Issuer::new("ES256"), Issuer::new("ES256"));
    let (newcomer, claims) = one.newcomer();
    let same_subject = with(&other.claims(&new_email()), "sub", claims["sub"].clone());
    assert_ne!(signed_in(&other.sign_in(&same_subject).expect(200).json()).user, newcomer.user);
}

#[test]
fn two_sign_ins_of_a_newcomer_at_once_make_one_user() {
    let issuer = Issuer::new("ES256");
    for _ in 0..5 {
        let email = new_email();
        let token = issuer.id_token(&issuer.claims(&email));
        let answers: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| issuer.show(&token))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        for answer in answers {
            assert_eq!(Some(signed_in(&answer.expect(200).json()).user), user_of(&email));
        }
    }
}

#[test]
fn a_person_signs_in_with_the_nonce_they_asked_with() {
    let issuer = Issuer::new("ES256");
    let plain = issuer.claims(&new_email());
    let asked = with(&plain, "nonce", json!("n-0S6_WzA2Mj"));
    let cases = [
        (&asked, json!({ "nonce": "n-0S6_WzA2Mj" }), 200),
        (&asked, json!({ "nonce": "n-0S6_WzA2Mk" }), 401),
        (&asked, json!({ "nonce": "n-0S6_WzA2M" }), 401),
        (&asked, json!({ "nonce": "" }), 401),
        (&asked, json!({}), 401),
        (&plain, json!({}), 200),
        (&plain, json!({ "nonce": "n-0S6_WzA2Mj" }), 401),
        (&plain, json!({ "nonce": "" }), 401),
    ];
    all(cases, |(claims, further, status)| {
        let answer = issuer.show_with(&issuer.id_token(claims), &further);
        if answer.status == status { Ok(()) } else { Err(format!("{further}, {status} expected: {answer}")) }
    });
    for nonce in [json!(""), json!(null), json!(1)] {
        let mut claims = plain.clone();
        claims["nonce"] = nonce.clone();
        issuer.show_with(&issuer.id_token(&claims), &json!({ "nonce": nonce })).expect(401);
    }
}

#[test]
fn a_member_of_several_organizations_names_the_one_to_work_in() {
    let issuer = Issuer::new("ES256");
    let (user, claims) = issuer.newcomer();
    let (other, foreign) = (Actor::register(), Actor::register());
    user.join(&other.organization, "sales");
    let sign_in =
        |organization: &str| issuer.show_with(&issuer.id_token(&claims), &json!({ "organization": organization }));
    for (named, id) in [
        (user.organization.slug.clone(), user.organization.id),
        (other.organization.slug.to_uppercase(), other.organization.id),
        (other.organization.id.to_string(), other.organization.id),
    ] {
        let answer = sign_in(&named).expect(200).json();
        assert_eq!(answer["organization"]["id"], json!(id), "{named}");
        assert_eq!(payload(&text(&answer["access_token"]))["org_id"], json!(id), "{named}");
    }
    for named in [foreign.organization.slug.as_str(), &foreign.organization.id.to_string(), "nowhere", ""] {
        assert_eq!(sign_in(named).expect(403).code(), "42501", "{named}");
    }
    let everywhere = issuer.sign_in(&claims).expect(200).json();
    assert_eq!((&everywhere["organization"], everywhere["organizations"].as_array().unwrap().len()), (&Value::Null, 2));
    assert_eq!(payload(&text(&everywhere["access_token"]))["role"], "crm_multi");
}

#[test]
fn a_newcomer_who_is_refused_for_the_organization_they_name_leaves_nothing() {
    let issuer = Issuer::new("ES256");
    let email = new_email();
    let token = issuer.id_token(&issuer.claims(&email));
    let foreign = Actor::register().organization.slug;
    issuer.show_with(&token, &json!({ "organization": foreign })).expect(403);
    assert_eq!((user_of(&email), issuer.people()), (None, 0));
}

#[test]
fn a_token_in_the_query_of_a_get_request_is_refused() {
    let issuer = Issuer::new("ES256");
    let token = issuer.id_token(&issuer.claims(&new_email()));
    let path = format!("/rpc/login_with_id_token?provider={}&id_token={}", issuer.name, encode(&token));
    Request::new("GET", &path).send().expect(405);
    assert_eq!(issuer.people(), 0);
}

#[test]
fn nobody_signs_in_with_a_provider_that_is_off_or_unknown_or_has_no_keys() {
    let issuer = Issuer::new("ES256");
    let (user, claims) = issuer.newcomer();
    let refused = |provider: Value| {
        let arguments = json!({ "provider": provider, "id_token": issuer.id_token(&claims) });
        anonymous("POST", "/rpc/login_with_id_token").json(&arguments).send().expect(401).code()
    };
    for name in ["", "nobody", "google", "github", "' or true --", &issuer.name.to_uppercase()] {
        assert_eq!(refused(json!(name)), "28000", "{name}");
    }
    let before: Value =
        admin::value("select to_jsonb(p) from crm_private.identity_providers as p where name = $1", &[&issuer.name]);
    for change in [
        "enabled = false",
        "jwks = null",
        "issuers = '{}'",
        "algorithms = '{RS256}'",
        "client_ids = '{}', accept_access_tokens = true, access_token_audiences = '{crm}'",
    ] {
        issuer.set(change);
        assert_eq!(refused(json!(issuer.name)), "28000", "{change}");
        admin::execute(
            "update crm_private.identity_providers as p
             set enabled = was.enabled, jwks = was.jwks, issuers = was.issuers, client_ids = was.client_ids,
                 algorithms = was.algorithms, accept_access_tokens = was.accept_access_tokens
             from jsonb_populate_record(null::crm_private.identity_providers, $1) as was where p.name = was.name",
            &[&before],
        );
    }
    // Sessions are the CRM's own: they outlive the provider.
    user.get("/contacts").expect(200);
    issuer.sign_in(&claims).expect(200);
}

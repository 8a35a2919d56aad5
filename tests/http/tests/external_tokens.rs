//! Access tokens of another issuer, taken as they are. These tests run one at a time: PostgREST's keys are everybody's.

use crm_http_tests::actor::Actor;
use crm_http_tests::all;
use crm_http_tests::forgery::{Original, refused};
use crm_http_tests::issuer::accepted::{AUDIENCE, Accepted};
use crm_http_tests::token::{now, payload, with};
use crm_http_tests::{admin, sql};
use serde_json::{Value, json};

/// Somebody who may only read in the user's organization, with a token of the provider.
fn reader(accepted: &Accepted) -> Actor {
    let reader = Actor::register();
    reader.share_ownership();
    admin::execute("delete from crm.memberships where user_id = $1", &[&reader.user]);
    reader.join(&accepted.user.organization, "read_only");
    accepted.external_as(&reader)
}

#[test]
fn a_user_works_with_the_tokens_of_an_issuer_that_is_accepted() {
    for alg in ["RS256", "ES256", "EdDSA"] {
        let accepted = Accepted::new(alg);
        let external = accepted.external();
        external.insert("contacts", &json!({ "last_name": "Second" }));
        assert_eq!(external.get("/contacts").expect(200).rows().len(), 2);
        let whoami = external.get("/rpc/whoami").expect(200).json();
        let expected = json!({
            "authenticated": true, "user_id": accepted.user.user, "org_id": accepted.user.organization.id,
            "role": "owner", "session_id": null, "actor_id": null, "api_key_id": null, "scopes": null,
            "platform": false, "platform_role": null, "database_role": "crm_app",
        });
        assert_eq!(whoami, expected);
        assert_eq!(external.get("/rpc/me").expect(200).json()["user"]["email"], json!(accepted.user.email));
        let mine = accepted.user.get("/").expect(200).json();
        assert_eq!(external.get("/").expect(200).json()["paths"], mine["paths"]);
    }
}

#[test]
fn a_user_works_with_a_token_that_says_more_than_is_needed() {
    let accepted = Accepted::new("ES256");
    let more = [
        ("aud", json!([AUDIENCE])),
        ("aud", json!(["https://other.example", AUDIENCE])),
        ("role", json!("crm_anon")),
        ("roles", json!(["admin"])),
        ("realm_access", json!({ "roles": ["offline_access", "uma_authorization"] })),
        ("auth_time", json!(now() - 5)),
        ("name", json!("Zoë \"Z\" \u{1f511} \\ / \u{7f}\u{2028}")),
        ("empty", json!([{}, [], "", null, false])),
        ("number", json!(0.5)),
        ("number", json!(-17)),
        ("number", json!(9_007_199_254_740_993_i64)),
        ("number", json!(1.0)),
        ("number", json!(100.0)),
        ("number", json!(1e-9)),
        ("sid", json!("not a uuid")),
        ("org_id", json!("org_2fZ")),
        ("act", json!({ "sub": "somebody" })),
    ];
    all(more, |(name, value)| {
        let answer = accepted.get(&with(&accepted.claims(), name, value.clone()));
        if answer.status == 200 && answer.rows().len() == 1 {
            Ok(())
        } else {
            Err(format!("{name}: {value}: {answer}"))
        }
    });
}

#[test]
fn a_user_may_with_such_a_token_what_their_role_permits() {
    let accepted = Accepted::new("ES256");
    let external = reader(&accepted);
    assert_eq!(external.count("contacts"), 1);
    assert_eq!(external.post("/contacts", &json!({ "last_name": "No" })).code(), "PT403");
    assert_eq!(external.count("contacts"), 1);
}

#[test]
fn a_user_who_may_not_do_something_gets_the_same_status_as_with_our_tokens() {
    let accepted = Accepted::new("ES256");
    let external = reader(&accepted);
    let ours = external.logged_in(None).post("/contacts", &json!({ "last_name": "No" })).expect(403).json();
    // 401 would tell a client that its token is bad, and to fetch another.
    let theirs = external.post("/contacts", &json!({ "last_name": "No" })).expect(403).json();
    assert_eq!(theirs["message"], ours["message"]);
}

#[test]
fn a_member_of_several_organizations_works_in_the_one_named_or_looks_across_all() {
    let accepted = Accepted::new("ES256");
    let (user, other, foreign) = (Actor::with_contacts(1), Actor::with_contacts(2), Actor::with_contacts(1));
    user.join(&other.organization, "support");
    let external = accepted.external_as(&user);
    let whoami = |actor: &Actor| actor.get("/rpc/whoami").expect(200).json();
    let across = whoami(&external);
    assert_eq!((&across["database_role"], &across["org_id"]), (&json!("crm_multi"), &Value::Null));
    assert_eq!(external.count("contacts"), 3);
    external.post("/contacts", &json!({ "last_name": "Nowhere" })).expect(400);
    for (named, organization, contacts) in [
        (user.organization.slug.clone(), &user.organization, 1),
        (other.organization.slug.to_uppercase(), &other.organization, 2),
        (other.organization.id.to_string(), &other.organization, 2),
    ] {
        let there = external.working_in(&named);
        assert_eq!(there.count("contacts"), contacts, "{named}");
        let whoami = whoami(&there);
        assert_eq!((&whoami["database_role"], &whoami["org_id"]), (&json!("crm_app"), &json!(organization.id)));
    }
    for named in [foreign.organization.slug.as_str(), &foreign.organization.id.to_string(), "nowhere", ""] {
        assert_eq!(external.working_in(named).get("/contacts").expect(403).code(), "PT403", "{named}");
    }
    let two = external.request("GET", "/contacts").header("X-Org-ID", "one").header("X-Tenant-ID", "another");
    two.send().expect(400);
}

#[test]
fn a_user_who_joins_a_second_organization_looks_across_both_at_the_next_request() {
    let accepted = Accepted::new("ES256");
    let (external, other) = (accepted.external(), Actor::with_contacts(2));
    for _ in 0..5 {
        assert_eq!(external.count("contacts"), 1);
    }
    accepted.user.join(&other.organization, "support");
    for _ in 0..5 {
        assert_eq!(external.count("contacts"), 3);
    }
}

#[test]
fn a_stranger_whom_nobody_linked_is_refused() {
    let accepted = Accepted::new("ES256");
    for subject in ["auth|nobody", &accepted.user.user.to_string(), &accepted.user.email, "' or true --"] {
        let answer = accepted.get(&accepted.claims_of(subject)).expect(403);
        assert_eq!(answer.code(), "PT403", "{subject}");
    }
}

#[test]
fn a_user_is_refused_at_the_request_after_something_ended() {
    let accepted = Accepted::new("ES256");
    let host = Actor::with_contacts(1);
    let ends: [(&str, &str, u16); 4] = [
        ("update crm.users set status = 'disabled' where id = $1", "", 403),
        ("delete from crm_private.user_identities where user_id = $1", "", 403),
        ("update crm.memberships set status = 'ended', ended_at = now() where user_id = $1", "named", 403),
        (
            "update crm.organizations set status = 'suspended'
             where id in (select org_id from crm.memberships where user_id = $1 and role <> 'owner')",
            "named",
            403,
        ),
    ];
    for (statement, named, status) in ends {
        let member = Actor::register();
        member.share_ownership();
        member.join(&host.organization, "sales");
        let mut external = accepted.external_as(&member);
        if !named.is_empty() {
            external = external.working_in(&host.organization.slug);
        }
        external.get("/contacts").expect(200);
        admin::execute(statement, &[&member.user]);
        assert_eq!(external.get("/contacts").expect(status).code(), "PT403", "{statement}");
    }
}

#[test]
fn a_user_whose_only_membership_ended_sees_nothing_at_the_next_request() {
    let accepted = Accepted::new("ES256");
    let external = accepted.external();
    assert_eq!(external.count("contacts"), 1);
    accepted.user.share_ownership();
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1",
        &[&accepted.user.user],
    );
    assert_eq!(external.count("contacts"), 0);
    assert_eq!(external.post("/contacts", &json!({ "last_name": "No" })).code(), "PT403");
}

#[test]
fn a_user_is_refused_once_the_provider_is_off() {
    let accepted = Accepted::new("ES256");
    let external = accepted.external();
    let on = format!("enabled = true, accept_access_tokens = true, access_token_audiences = '{{{AUDIENCE}}}'");
    for change in ["access_token_audiences = '{another}'", "enabled = false", "accept_access_tokens = false"] {
        accepted.issuer.set(&on);
        external.get("/contacts").expect(200);
        accepted.issuer.set(change);
        // PostgREST knows nothing of it, and has the token in its cache.
        for user in [&external, &accepted.external()] {
            assert_eq!(user.get("/contacts").expect(401).code(), "PT401", "{change}");
        }
    }
    admin::execute("notify pgrst", &[]);
    accepted.until_forgotten();
    external.get("/contacts").expect(401);
    accepted.issuer.set(&on);
    admin::execute("notify pgrst", &[]);
    accepted.until_known();
}

#[test]
fn a_user_goes_on_while_the_issuers_keys_rotate() {
    let mut accepted = Accepted::new("ES256");
    let before = accepted.external();
    accepted.issuer.rotate();
    accepted.external().get("/contacts").expect(401);
    // The worker's visit is enough: nobody tells PostgREST by hand.
    assert!(accepted.issuer.publish().unwrap());
    accepted.until_known();
    before.get("/contacts").expect(200);
    accepted.issuer.keys.truncate(1);
    assert!(accepted.issuer.publish().unwrap());
    assert_eq!(before.get("/contacts").expect(401).code(), "PT401");
    accepted.external().get("/contacts").expect(200);
}

#[test]
fn everybody_elses_tokens_are_checked_as_before_meanwhile() {
    let accepted = Accepted::new("RS256");
    let original = Original::register();
    original.user.get("/contacts").expect(200);
    original.user.logged_in(None).get("/contacts").expect(200);
    original.user.request("GET", "/contacts").header("X-Org-ID", &original.user.organization.slug).send().expect(200);
    // PostgREST does not look at the audience now.
    all([json!("other"), json!(AUDIENCE), json!([AUDIENCE]), json!([]), json!(""), Value::Null], |audience| {
        let token = original.claim("aud", audience.clone());
        refused(&audience.to_string(), &token, 401)
    });
    all([("iss", json!(accepted.issuer.url)), ("exp", json!(now() - 10)), ("sid", Value::Null)], |(name, value)| {
        refused(name, &original.claim(name, value), 401)
    });
}

#[test]
fn a_user_of_another_issuer_has_the_time_that_users_have() {
    let accepted = Accepted::new("ES256");
    let token = accepted.token();
    let claims = with(&payload(&token), "role", json!("crm_anon"));
    let headers = json!({ "authorization": format!("Bearer {token}") });
    let limit = |role: &str| -> String {
        let query = "select split_part(s, '=', 2) from pg_roles, unnest(rolconfig) as s
                     where rolname = $1 and s like 'statement_timeout=%'";
        admin::value(query, &[&role])
    };
    sql::session(|client| {
        let mut request = client.transaction().unwrap();
        // As PostgREST does for a token without a role.
        let begin = "select set_config('role', 'crm_anon', true), set_config('statement_timeout', $1, true),
                         set_config('request.jwt.claims', $2, true), set_config('request.headers', $3, true)";
        request.execute(begin, &[&limit("crm_anon"), &claims.to_string(), &headers.to_string()]).unwrap();
        request.execute("select crm.pre_request()", &[]).unwrap();
        let now: String = request.query_one("show statement_timeout", &[]).unwrap().get(0);
        assert_eq!((sql::whoami(&mut request)["database_role"].clone(), now), (json!("crm_app"), limit("crm_app")));
    });
    assert_ne!(limit("crm_app"), limit("crm_anon"));
}

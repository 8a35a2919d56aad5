//! Good tokens in the wrong place or at the wrong time, and other secrets in the place of a token.

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::forgery::{Original, refused, refused_in_sql};
use crm_http_tests::http::{Request, text};
use crm_http_tests::token::{self, Signer, now, with};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, raw, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

fn refused_everywhere(what: &str, token: &str) -> Result<(), String> {
    refused(what, token, 401).and(refused_in_sql(what, token, "PT401"))
}

/// Good over HTTP and in SQL.
fn accepted_everywhere(original: &Original, what: &str, token: &str) -> Result<(), String> {
    let answer = original.user.with_token(token).get("/contacts");
    if answer.status != 200 || answer.rows().len() != 1 {
        return Err(format!("{what}: {answer}"));
    }
    refused_in_sql(what, token, "")
}

// ---------------------------------------------------------------------------------------------- time

#[test]
fn a_user_is_forgiven_five_seconds_of_a_clock_ahead_and_none_after_the_end() {
    let original = Original::register();
    let now = now();
    let good = [("nbf", now + 4), ("iat", now + 4), ("nbf", 0), ("iat", 0), ("nbf", -1), ("exp", now + 4)];
    all(good, |(name, time)| {
        accepted_everywhere(&original, &format!("{name}: {time}"), &original.claim(name, json!(time)))
    });
    let bad =
        [("nbf", now + 20), ("iat", now + 20), ("nbf", i64::MAX), ("iat", i64::MAX), ("exp", now), ("exp", now - 4)];
    all(bad, |(name, time)| refused_everywhere(&format!("{name}: {time}"), &original.claim(name, json!(time))));
}

#[test]
fn a_token_that_says_it_lives_for_ever_lives_no_longer_than_its_session() {
    let original = Original::register();
    // Only who has the key can make one.
    let tokens = [now() + 315_360_000, 253_402_300_799, i64::MAX].map(|exp| original.claim("exp", json!(exp)));
    assert_eq!(accepted_everywhere(&original, "ten years", &tokens[0]), Ok(()));
    admin::execute("update crm_private.sessions set expires_at = now() where id = $1", &[&original.user.session()]);
    all(&tokens, |token| refused_everywhere("after the session", token));
}

// ---------------------------------------------------------------------------------------------- the place

fn authorization(value: &str) -> u16 {
    raw::request("GET", "/contacts", &[format!("Authorization: {value}").as_bytes()]).unwrap().status
}

#[test]
fn a_user_may_write_the_scheme_in_any_case_and_no_other_scheme() {
    let user = Actor::with_contacts(1);
    let token = user.token();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(authorization(&format!("{scheme} {token}")), 200, "{scheme}");
    }
    let others = ["Basic", "Token", "JWT", "DPoP", "Digest", "MAC", "Bearer:", "Bearer,", "Bearers", "\"Bearer\"", "B"];
    all(others, |scheme| match authorization(&format!("{scheme} {token}")) {
        401 => Ok(()),
        status => Err(format!("{scheme}: {status}")),
    });
    let basic = token::base64url(format!("user:{token}"));
    assert_eq!(authorization(&format!("Basic {basic}")), 401);
}

#[test]
fn an_attacker_gets_nothing_with_a_good_token_anywhere_but_in_the_authorization_header() {
    let original = Original::register();
    let token = original.user.token();
    let get = |path: &str| Request::new("GET", path);
    let form = format!("access_token={token}");
    let requests = [
        ("a cookie", get("/contacts").header("Cookie", &format!("access_token={token}; Authorization=Bearer {token}"))),
        ("the query", get(&format!("/contacts?access_token={token}"))),
        ("the query, as a header", get(&format!("/contacts?authorization=Bearer%20{token}"))),
        ("another header", get("/contacts").header("X-Authorization", &format!("Bearer {token}"))),
        ("the proxy's header", get("/contacts").header("Proxy-Authorization", &format!("Bearer {token}"))),
        ("a forwarded header", get("/contacts").header("X-Forwarded-Authorization", &format!("Bearer {token}"))),
        ("X-Access-Token", get("/contacts").header("X-Access-Token", token)),
        ("an API key's header", get("/contacts").header("x-api-key", token)),
        ("apikey", get("/contacts").header("apikey", token)),
        ("a form", Request::new("POST", "/contacts").body("application/x-www-form-urlencoded", form)),
        ("a body", Request::new("POST", "/contacts").json(&json!({ "access_token": token, "last_name": "x" }))),
        ("X-Org-ID", get("/contacts").header("X-Org-ID", token)),
        ("the protocol of a socket", get("/contacts").header("Sec-WebSocket-Protocol", &format!("Bearer, {token}"))),
    ];
    all(requests, |(what, request)| {
        let answer = request.send();
        // 400: PostgREST reads it as a filter or a column, before it asks the database.
        if [400, 401].contains(&answer.status) && !answer.text().contains("Guarded") {
            Ok(())
        } else {
            Err(format!("{what}: {answer}"))
        }
    });
    assert_eq!(original.user.count("contacts"), 1);
}

// ---------------------------------------------------------------------------------------------- other secrets

#[test]
fn a_user_gets_nothing_with_another_secret_in_the_place_of_a_token() {
    let user = Actor::register();
    let answer = login(&user.email, &user.password, None).expect(200).json();
    let key = user.post("/rpc/create_api_key", &json!({ "name": "mine", "scopes": ["*.read"] })).expect(200).json();
    let platform: Value = admin::value("select crm.create_platform_key('everything')", &[]);
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": user.email })).send().expect(200);
    let reset: String = admin::value(
        "select secret from crm_private.messages where kind = 'password_reset' and recipient = $1",
        &[&user.email],
    );
    let secrets = [
        ("a refresh token", text(&answer["refresh_token"])),
        ("an API key", text(&key["key"])),
        ("a platform key", text(&platform["key"])),
        ("a password reset token", reset),
        ("a password", user.password.clone()),
        ("a session's id", user.session().to_string()),
        ("a user's id", user.user.to_string()),
    ];
    all(secrets, |(what, secret)| {
        assert!(!secret.is_empty(), "{what}");
        refused_everywhere(what, &secret)
    });
    for (path, name) in [("/rpc/refresh_token", "refresh_token"), ("/rpc/verify_email", "token")] {
        let answer = anonymous("POST", path).json(&json!({ name: user.token() })).send();
        assert!([400, 401].contains(&answer.status), "{answer}");
    }
    user.get("/rpc/me").expect(200);
}

#[test]
fn a_user_gets_nothing_with_an_id_token_in_the_place_of_an_access_token() {
    let original = Original::register();
    let (user, now) = (&original.user, now());
    let id_token = json!({
        "iss": original.payload["iss"], "sub": user.user, "aud": "crm", "iat": now, "exp": now + 900,
        "nonce": "n", "email": user.email, "email_verified": true, "azp": "crm", "at_hash": "x", "auth_time": now,
    });
    let with_role = with(&with(&id_token, "role", json!("crm_app")), "sid", json!(user.session()));
    for typ in ["JWT", "at+jwt", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "application/at+jwt", "AT+JWT"] {
        let header = with(&original.header, "typ", json!(typ)).to_string();
        for claims in [&id_token, &with_role] {
            let answer = user.with_token(&original.signer.sign_bytes(&header, claims.to_string())).get("/contacts");
            assert!([401, 403].contains(&answer.status), "{typ}: {answer}");
            assert_eq!(refused_in_sql(typ, &original.signer.sign_bytes(&header, claims.to_string()), "PT401"), Ok(()));
        }
        if typ != "at+jwt" {
            // As RFC 9068 has it, in the one spelling that is ours.
            let token = original.signer.sign_bytes(&header, original.payload.to_string());
            assert_eq!(refused_everywhere(typ, &token), Ok(()));
        }
    }
}

// ---------------------------------------------------------------------------------------------- whom it stands for

#[test]
fn a_thief_of_the_key_gets_nothing_by_adding_or_removing_who_acts() {
    let original = Original::register();
    let support = Actor::register();
    admin::execute("select crm.grant_platform_role($1, 'super_admin')", &[&support.user]);
    let acts = [
        json!({ "sub": support.user }),
        json!({ "sub": original.user.user }),
        json!({ "sub": Uuid::nil() }),
        json!({ "sub": support.user, "act": { "sub": support.user } }),
        json!({ "sub": [support.user] }),
        json!({}),
        json!([]),
        json!(support.user),
        json!(true),
    ];
    all(acts, |act| refused_everywhere(&format!("act: {act}"), &original.claim("act", act)));

    let arguments = json!({ "user_id": original.user.user, "reason": "a question" });
    let answer = support.post("/rpc/impersonate", &arguments).expect(200).json();
    let acting = text(&answer["access_token"]);
    assert_eq!(accepted_everywhere(&original, "impersonation", &acting), Ok(()));
    let (header, claims) = (token::header(&acting), token::payload(&acting));
    let changed = [
        ("without act", with(&claims, "act", Value::Null)),
        ("somebody else acts", with(&claims, "act", json!({ "sub": original.user.user }))),
        ("for somebody else", with(&claims, "sub", json!(support.user))),
        ("in the user's own session", with(&claims, "sid", json!(original.user.session()))),
    ];
    all(changed, |(what, claims)| {
        refused_everywhere(what, &Signer::stolen().sign_bytes(header.to_string(), claims.to_string()))
    });
    admin::execute("select crm.revoke_platform_role($1)", &[&support.user]);
    assert_eq!(refused_everywhere("no longer of the platform", &acting), Ok(()));
}

#[test]
fn a_thief_of_a_token_gets_nothing_once_the_user_changed_the_password() {
    let original = Original::register();
    let user = &original.user;
    let stolen = user.logged_in(None);
    assert_eq!(accepted_everywhere(&original, "before", stolen.token()), Ok(()));
    let arguments = json!({ "current_password": user.password, "new_password": unique(PASSWORD_PREFIX) });
    user.post("/rpc/change_password", &arguments).expect(200);
    assert_eq!(refused_everywhere("after", stolen.token()), Ok(()));
    assert_eq!(accepted_everywhere(&original, "the session it was changed in", user.token()), Ok(()));
}

#[test]
fn a_thief_of_a_token_gets_nothing_after_the_user_logged_out() {
    let original = Original::register();
    let other = original.user.logged_in(None);
    original.user.post("/rpc/logout", &json!({})).expect(200);
    assert_eq!(refused_everywhere("logged out", original.user.token()), Ok(()));
    assert_eq!(accepted_everywhere(&original, "the other session", other.token()), Ok(()));
    other.post("/rpc/logout", &json!({ "everywhere": true })).expect(200);
    assert_eq!(refused_everywhere("logged out everywhere", other.token()), Ok(()));
}

#[test]
fn a_token_shown_twice_stands_for_the_same_person_in_http_and_in_sql() {
    let user = Actor::with_contacts(1);
    for _ in 0..2 {
        let over_http = user.get("/rpc/whoami").expect(200).json();
        let in_sql: Value = sql::session(|client| {
            let mut transaction = sql::begin_authenticated(client, user.token()).unwrap();
            sql::whoami(&mut transaction)
        });
        assert_eq!(over_http, in_sql);
        assert_eq!(over_http["user_id"], json!(user.user));
    }
}

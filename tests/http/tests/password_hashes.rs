//! Hashes of another system, and of another cost, until their owner's next login. Settings are everybody's, so these
//! tests run one at a time.

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::http::text;
use crm_http_tests::identity::{Settings, at_once, call, with_status};
use crm_http_tests::mailbox::token_to;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, alone, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// Of crypt_blowfish's own tests.
const OF_U_STAR_U: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Somebody whose password another system has hashed: their e-mail and id.
fn taken_over(hash: &str) -> Result<(String, Uuid), postgres::Error> {
    let email = format!("{}@example.com", unique("migrated"));
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_admin")?;
    let made: Value =
        transaction.query_one("select crm.create_user(email => $1, password_hash => $2)", &[&email, &hash])?.get(0);
    transaction.commit()?;
    Ok((email, Uuid::parse_str(&text(&made["id"])).unwrap()))
}

fn hash_of(user: Uuid) -> String {
    admin::value("select hash from crm_private.passwords where user_id = $1", &[&user])
}

#[test]
fn a_user_of_another_system_logs_in_and_the_hash_is_ours_afterwards() {
    let _alone = alone();
    for hash in [OF_U_STAR_U.to_owned(), OF_U_STAR_U.replace("$2a$", "$2b$"), OF_U_STAR_U.replace("$2a$", "$2y$")] {
        let (email, user) = taken_over(&hash).unwrap();
        assert_eq!(hash_of(user), hash);
        for wrong in ["U*", "U*U*", "u*u", &hash] {
            login(&email, wrong, None).expect(401);
        }
        assert_eq!(hash_of(user), hash, "a wrong password changes no hash");
        let answer = login(&email, "U*U", None).expect(200).json();
        assert_eq!(answer["organization"], Value::Null);
        let ours = hash_of(user);
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
        login(&email, "U*U", None).expect(200);
        assert_eq!(hash_of(user), ours);
        login(&email, "U*", None).expect(401);
    }
}

#[test]
fn a_dba_cannot_take_over_what_is_no_hash_or_too_dear() {
    let _alone = alone();
    let cases = [
        String::new(),
        "plain text".into(),
        "5f4dcc3b5aa765d61d8327deb882cf99".into(),
        OF_U_STAR_U.replace("$05$", "$31$"),
        OF_U_STAR_U.replace("$2a$", "$2x$"),
        OF_U_STAR_U[..59].into(),
        format!("{OF_U_STAR_U}x"),
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4".into(),
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY".into(),
    ];
    all(cases, |hash| match sql::sqlstate(taken_over(&hash)).as_str() {
        "22023" => Ok(()),
        other => Err(format!("{hash}: {other:?}")),
    });
}

#[test]
fn a_user_and_nobody_cannot_make_users_with_a_hash() {
    let _alone = alone();
    let user = Actor::register();
    for role in ["crm_anon", "crm_app", "crm_multi"] {
        let made =
            call(role, "select crm.create_user(email => $1, password_hash => $2)", &["a@example.com", OF_U_STAR_U]);
        assert_eq!(sql::sqlstate(made), "42501", "{role}");
    }
    let arguments = json!({ "email": "a@example.com", "password_hash": OF_U_STAR_U });
    user.post("/rpc/create_user", &arguments).expect(403);
}

#[test]
fn a_user_whose_hash_is_cheaper_than_the_settings_gets_a_new_one_at_the_next_login() {
    let settings = Settings::keep();
    let user = Actor::register();
    assert!(hash_of(user.user).contains("$m=19456,t=2,p=1$"));
    for (assignments, params) in [
        ("argon2_iterations = 3", "$m=19456,t=3,p=1$"),
        ("argon2_memory_kib = 20480", "$m=20480,t=3,p=1$"),
        ("argon2_parallelism = 2", "$m=20480,t=3,p=2$"),
        ("argon2_memory_kib = 19456, argon2_iterations = 2, argon2_parallelism = 1", "$m=19456,t=2,p=1$"),
    ] {
        settings.set(assignments);
        let before = hash_of(user.user);
        login(&user.email, "kzq-passphrase-wrong", None).expect(401);
        assert_eq!(hash_of(user.user), before, "a wrong password changes no hash");
        login(&user.email, &user.password, None).expect(200);
        let after = hash_of(user.user);
        assert!(after != before && after.contains(params), "{after}");
        login(&user.email, &user.password, None).expect(200);
        assert_eq!(hash_of(user.user), after);
    }
}

#[test]
fn a_user_whose_hash_is_made_anew_stays_logged_in_elsewhere() {
    let settings = Settings::keep();
    let user = Actor::register();
    settings.set("argon2_iterations = 3");
    user.logged_in(None).get("/rpc/me").expect(200);
    user.get("/rpc/me").expect(200);
}

#[test]
fn ten_logins_at_once_may_all_make_a_hash_anew() {
    let settings = Settings::keep();
    let user = Actor::register();
    settings.set("argon2_iterations = 3");
    let answers = at_once(10, |_| login(&user.email, &user.password, None));
    assert_eq!(with_status(&answers, 200), 10, "{answers:?}");
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn a_login_that_makes_a_hash_anew_and_a_reset_at_once_wait_for_neither_forever() {
    let settings = Settings::keep();
    for iterations in [3, 4, 5, 6] {
        let user = Actor::register();
        anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": user.email })).send().expect(200);
        let token = token_to(&user.email, "password_reset");
        settings.set(&format!("argon2_iterations = {iterations}"));
        login(&user.email, "kzq-passphrase-wrong", None).expect(401);
        let new = unique(PASSWORD_PREFIX);
        let answers = at_once(2, |number| match number {
            0 => login(&user.email, &user.password, None),
            _ => anonymous("POST", "/rpc/reset_password").json(&json!({ "token": token, "new_password": new })).send(),
        });
        assert!([200, 401].contains(&answers[0].status) && answers[1].status == 200, "{answers:?}");
        login(&user.email, &user.password, None).expect(401);
        login(&user.email, &new, None).expect(200);
    }
}

#[test]
fn a_dba_may_ask_for_longer_passwords() {
    let _settings = Settings::with("password_length_min = 15");
    let arguments = |password: &str| {
        let name = unique("newcomer");
        json!({ "email": format!("{name}@example.com"), "password": password, "organization_name": name })
    };
    let register = |password| anonymous("POST", "/rpc/register").json(&arguments(password)).send();
    let answer = register("kzq-passphrase").expect(400);
    assert!(answer.text().contains("too short: at least 15"), "{answer}");
    register("kzq-passphrase-").expect(200);
}

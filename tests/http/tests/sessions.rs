//! Logging out here, elsewhere and everywhere, and seeing where one is logged in.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::{Response, text};
use crm_http_tests::identity::{Session, login_request, refresh};
use crm_http_tests::{admin, all, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

fn end(by: &Session, id: &Value) -> Response {
    by.user.post("/rpc/end_session", &json!({ "session_id": id }))
}

fn listed(session: &Session) -> Vec<Value> {
    session.user.get("/rpc/my_sessions").expect(200).rows()
}

#[test]
fn a_user_who_logs_out_here_goes_on_elsewhere() {
    let here = Session::open();
    let (elsewhere, refreshed) = (Session::of(&here.user), here.refreshed());
    for session in [&here, &elsewhere, &refreshed] {
        session.used_everywhere();
    }
    let answer = refreshed.user.post("/rpc/logout", &json!({})).expect(200);
    assert_eq!(answer.json(), json!({ "ended_sessions": 1 }));
    here.expect_ended();
    refreshed.expect_ended();
    let in_sql = sql::session(|client| sql::sqlstate(sql::begin_authenticated(client, here.user.token())));
    assert_eq!(in_sql, "PT401");
    here.user.post("/rpc/logout", &json!({})).expect(401);
    elsewhere.expect_alive();
    assert_eq!(here.end_reason().as_deref(), Some("logout"));
}

#[test]
fn a_user_who_logs_out_everywhere_is_logged_in_nowhere() {
    let here = Session::open();
    let elsewhere = [Session::of(&here.user), Session::of(&here.user), Session::of(&here.user)];
    let somebody_else = Session::open();
    for session in &elsewhere {
        session.used_everywhere();
    }
    let live = listed(&here).len();
    let answer = here.user.post("/rpc/logout", &json!({ "everywhere": true })).expect(200);
    assert_eq!(answer.json(), json!({ "ended_sessions": live }));
    here.expect_ended();
    for session in elsewhere {
        session.expect_ended();
    }
    somebody_else.expect_alive();
    Session::of(&here.user).expect_alive();
}

#[test]
fn a_user_who_says_nothing_or_null_logs_out_here_only() {
    for arguments in [json!({}), json!({ "everywhere": null }), json!({ "everywhere": false })] {
        let here = Session::open();
        let elsewhere = Session::of(&here.user);
        let answer = here.user.post("/rpc/logout", &arguments).expect(200).json();
        assert_eq!(answer["ended_sessions"], 1, "{arguments}");
        elsewhere.expect_alive();
    }
}

#[test]
fn a_user_ends_the_session_of_another_device() {
    let laptop = Session::open();
    let phone = Session::of(&laptop.user);
    phone.used_everywhere();
    assert_eq!(end(&laptop, &json!(phone.id())).expect(200).json(), json!({ "ended_sessions": 1 }));
    phone.expect_ended();
    assert_eq!(end(&laptop, &json!(phone.id())).expect(200).json(), json!({ "ended_sessions": 0 }));
    assert_eq!(end(&laptop.expect_alive(), &json!(laptop.id())).expect(200).json(), json!({ "ended_sessions": 1 }));
    laptop.user.get("/rpc/me").expect(401);
}

#[test]
fn a_user_cannot_end_a_session_of_somebody_else() {
    let (user, colleague) = (Session::open(), Actor::register());
    colleague.join(&user.user.organization, "owner");
    let victims = [Session::of(&colleague), Session::open()];
    for victim in &victims {
        let answer = end(&user, &json!(victim.id())).expect(200);
        assert_eq!(answer.json(), json!({ "ended_sessions": 0 }));
        assert_eq!(answer.text(), end(&user, &json!(Uuid::new_v4())).expect(200).text());
        victim.expect_alive();
        assert_eq!(end(victim, &json!(user.id())).expect(200).json(), json!({ "ended_sessions": 0 }));
    }
    user.expect_alive();
}

#[test]
fn a_user_who_names_no_session_is_told_so() {
    let user = Session::open();
    let cases = [json!(null), json!(""), json!("everything"), json!(1), json!([user.id()]), json!("\u{0}")];
    all(cases, |id| {
        let answer = end(&user, &id);
        if answer.status == 400 { Ok(()) } else { Err(answer.to_string()) }
    });
    user.expect_alive();
}

#[test]
fn nobody_and_a_get_request_end_no_session() {
    let session = Session::open();
    for (path, arguments) in [
        ("/rpc/logout", json!({})),
        ("/rpc/logout", json!({ "everywhere": true })),
        ("/rpc/end_session", json!({ "session_id": session.id() })),
        ("/rpc/my_sessions", json!({})),
        ("/rpc/change_password", json!({ "current_password": session.user.password, "new_password": unique("x") })),
        ("/rpc/request_email_verification", json!({})),
    ] {
        let answer = anonymous("POST", path).json(&arguments).send().expect(401);
        assert_eq!(answer.code(), "42501", "{answer}");
    }
    for path in ["/rpc/logout", "/rpc/logout?everywhere=true", &format!("/rpc/end_session?session_id={}", session.id())]
    {
        session.user.get(path).expect(405);
    }
    session.expect_alive();
}

#[test]
fn an_api_key_has_no_session_to_end_or_list() {
    let owner = Session::open();
    let key = owner.user.post("/rpc/create_api_key", &json!({ "name": "k", "scopes": ["*.*"] })).expect(200).json();
    let key = text(&key["key"]);
    for (path, arguments) in [
        ("/rpc/logout", json!({})),
        ("/rpc/logout", json!({ "everywhere": true })),
        ("/rpc/end_session", json!({ "session_id": owner.id() })),
        ("/rpc/my_sessions", json!({})),
        ("/rpc/switch_org", json!({})),
        ("/rpc/change_password", json!({ "current_password": owner.user.password, "new_password": unique("x") })),
        ("/rpc/request_email_verification", json!({})),
    ] {
        let answer = anonymous("POST", path).header("x-api-key", &key).json(&arguments).send();
        assert_eq!((answer.status, answer.code().as_str()), (403, "PT403"), "{answer}");
    }
    owner.expect_alive();
}

#[test]
fn a_user_sees_where_they_are_logged_in_and_nobody_elses_devices() {
    let user = Actor::register();
    user.post("/rpc/logout", &json!({})).expect(200);
    let from = |agent: &str, forwarded_for: &str| {
        let request = login_request(&user.email, &user.password);
        let answer = request.header("User-Agent", agent).header("X-Forwarded-For", forwarded_for).send().expect(200);
        Session::told(&user, &answer)
    };
    let laptop = from("Laptop/1.0 (ä)", "198.51.100.7");
    let phone = from("Phone/2.0", "1.1.1.1, 2001:db8::7");
    let _ended = from("Ended/3.0", "198.51.100.7").user.post("/rpc/logout", &json!({})).expect(200);
    let colleague = Actor::register();
    colleague.join(&user.organization, "owner");

    let rows = listed(&laptop);
    let seen: Vec<_> =
        rows.iter().map(|row| (text(&row["user_agent"]), text(&row["ip_address"]), row["current"].clone())).collect();
    assert_eq!(seen[0], ("Phone/2.0".into(), "2001:db8::7".into(), json!(false)));
    assert_eq!((&seen[1].1, &seen[1].2, seen.len()), (&"198.51.100.7".into(), &json!(true), 2));
    assert!(seen[1].0.starts_with("Laptop/1.0"), "{seen:?}");
    assert_eq!((&rows[0]["id"], &rows[1]["id"]), (&json!(phone.id()), &json!(laptop.id())));
    for row in &rows {
        assert_eq!((&row["kind"], &row["reason"]), (&json!("password"), &Value::Null));
        for time in ["created_at", "refreshed_at", "expires_at"] {
            assert!(row[time].is_string(), "{row}");
        }
    }
    let currents: Vec<_> = listed(&phone).iter().map(|row| row["current"].clone()).collect();
    assert_eq!(currents, [true, false]);
    let next = phone.refreshed();
    let currents: Vec<_> = listed(&next).iter().map(|row| row["current"].clone()).collect();
    assert_eq!(currents, [true, false]);
    let colleagues = listed(&Session::of(&colleague));
    assert!(colleagues.iter().all(|row| ![&rows[0]["id"], &rows[1]["id"]].contains(&&row["id"])), "{colleagues:?}");
}

#[test]
fn a_user_sees_no_session_that_is_over() {
    let user = Session::open();
    let over = Session::of(&user.user);
    assert_eq!(listed(&user).len(), 3);
    admin::execute("update crm_private.sessions set expires_at = now() where id = $1", &[&over.id()]);
    assert_eq!(listed(&user).len(), 2);
}

#[test]
fn a_device_may_call_itself_anything_of_any_length() {
    let user = Actor::register();
    for agent in ["", " ", "x'; drop table crm.contacts --", "<script>alert(1)</script>", "\\u0000", &"x".repeat(4000)]
    {
        let answer = login_request(&user.email, &user.password).header("User-Agent", agent).send().expect(200);
        let row = listed(&Session::told(&user, &answer)).remove(0);
        let kept = text(&row["user_agent"]);
        assert!(agent.starts_with(&kept) && kept.len() <= 1000, "{kept}");
    }
    for forwarded_for in ["", "unknown", "999.1.1.1", "1.1.1.1,", "' or true --", &"1.1.1.1, ".repeat(500)] {
        let request = login_request(&user.email, &user.password).header("X-Forwarded-For", forwarded_for);
        let row = listed(&Session::told(&user, &request.send().expect(200))).remove(0);
        assert_eq!(row["ip_address"], Value::Null, "{forwarded_for}");
    }
}

#[test]
fn a_sql_client_lists_and_ends_sessions() {
    let (here, elsewhere) = (Session::open(), Session::open());
    let phone = Session::of(&here.user);
    sql::session(|client| {
        let mut transaction = sql::begin_authenticated(client, here.user.token()).unwrap();
        let mine: i64 = transaction.query_one("select count(*) from crm.my_sessions()", &[]).unwrap().get(0);
        assert_eq!(mine, 3);
        let current: Uuid =
            transaction.query_one("select id from crm.my_sessions() where current", &[]).unwrap().get(0);
        assert_eq!(current, here.id());
        let end = "select (crm.end_session($1) ->> 'ended_sessions')::int";
        for (id, ended) in [(phone.id(), 1), (phone.id(), 0), (elsewhere.id(), 0)] {
            let told: i32 = transaction.query_one(end, &[&id]).unwrap().get(0);
            assert_eq!(told, ended);
        }
        transaction.commit().unwrap();
    });
    phone.expect_ended();
    elsewhere.expect_alive();
    sql::session(|client| {
        for role in ["crm_app", "crm_multi"] {
            for query in ["select crm.logout()", "select crm.logout(true)", "select from crm.my_sessions()"] {
                let mut transaction = sql::begin_as(client, role).unwrap();
                assert_eq!(sql::sqlstate(transaction.query_one(query, &[])), "42501", "{query}");
            }
        }
    });
    assert_eq!(refresh(&here.refresh_token).status, 200);
}

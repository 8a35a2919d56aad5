//! What is wrong with the request around the data is refused with a 4xx, and nothing changes.

use crm_http_tests::actor::{self, Actor};
use crm_http_tests::fixture::Fixture;
use crm_http_tests::{admin, all, raw};
use serde_json::json;

#[test]
fn a_user_is_told_that_a_content_type_is_not_taken() {
    let fixture = Fixture::register();
    for content_type in ["text/plain", "application/xml", "multipart/form-data", "application/octet-stream", "nonsense"]
    {
        let request = fixture.user.request("POST", "/contacts").body(content_type, "{\"last_name\": \"x\"}");
        fixture.refuses(request, 400, "Content-Type").unwrap();
    }
}

#[test]
fn a_user_is_told_what_is_wrong_with_a_query() {
    let fixture = Fixture::register();
    let queries = [
        ("/contacts?id=eq.not-a-uuid", 400, "not-a-uuid"),
        ("/contacts?id=like.a*", 404, "operator"),
        ("/contacts?birthday=gt.soon", 400, "soon"),
        ("/contacts?do_not_call=is.perhaps", 400, "perhaps"),
        ("/accounts?employees=eq.many", 400, "many"),
        ("/accounts?employees=eq.99999999999999999999", 400, "99999999999999999999"),
        ("/contacts?surname=eq.x", 400, "surname"),
        ("/contacts?last_name=x", 400, "operator"),
        ("/contacts?last_name=nonsense.x", 400, "nonsense"),
        ("/contacts?last_name=match.(", 400, "regular expression"),
        ("/contacts?last_name=fts(nonsense).x", 400, "nonsense"),
        ("/contacts?order=surname", 400, "surname"),
        ("/contacts?order=last_name.sideways", 400, "sideways"),
        ("/contacts?select=surname", 400, "surname"),
        ("/contacts?select=last_name::nonsense", 400, "nonsense"),
        ("/contacts?select=birthday::int", 400, "integer"),
        ("/contacts?select=last_name::regclass", 404, "kept"),
        ("/contacts?select=*,planets(*)", 400, "planets"),
        ("/contacts?select=id.count()", 400, "aggregate"),
        ("/contacts?or=(", 400, ""),
        ("/contacts?or=()", 400, ""),
        ("/contacts?and=(id.eq.1,", 400, ""),
        ("/contacts?limit=-1", 416, ""),
        ("/nonsense", 404, "nonsense"),
        ("/rpc/nonsense", 404, "nonsense"),
        ("/rpc/org_ids_for_user", 404, "org_ids_for_user"),
        ("/rpc/org_ids_for_user?uid=x", 400, "x"),
        ("/rpc/org_ids_for_user?uid=00000000-0000-0000-0000-000000000000&x=1", 404, "x"),
        ("/contacts/1", 404, ""),
        ("/..%2f..%2fetc%2fpasswd", 404, ""),
    ];
    all(queries, |(path, status, word)| fixture.refuses(fixture.user.request("GET", path), status, word).map(drop));
}

#[test]
fn a_user_is_told_what_is_wrong_with_a_header() {
    let fixture = Fixture::register();
    let headers = [
        ("Prefer", "count=planned", 400, "count=planned"),
        ("Prefer", "count=estimated", 400, "count=exact"),
        ("Prefer", "return=minimal,count=planned", 400, "count=exact"),
        ("Prefer", "count=planned, count=exact", 400, "count=exact"),
        ("Prefer", "count=exact, count=planned", 400, "count=exact"),
        ("Prefer", "handling=strict, nonsense=1", 400, "nonsense"),
        ("Range", "9-5", 416, ""),
        ("Accept", "application/vnd.pgrst.plan+json", 415, ""),
        ("Accept", "image/png", 415, ""),
        ("Accept-Profile", "public", 406, "crm"),
        ("X-Org-ID", "", 403, "organization"),
        ("X-Org-ID", "nowhere", 403, "organization"),
        ("X-Org-ID", "' or true --", 403, "organization"),
        ("X-Tenant-ID", "00000000-0000-0000-0000-000000000000", 403, "organization"),
    ];
    all(headers, |(name, value, status, word)| {
        let request = fixture.user.request("GET", "/contacts").header(name, value);
        fixture.refuses(request, status, word).map(drop).map_err(|problem| format!("{name}: {value}: {problem}"))
    });
    let long = "x".repeat(20_000);
    fixture.refuses(fixture.user.request("GET", "/contacts").header("X-Org-ID", &long), 403, "organization").unwrap();
}

#[test]
fn a_user_is_told_that_a_method_is_not_allowed() {
    let fixture = Fixture::register();
    let methods = [
        ("TRACE", "/contacts", 405),
        ("NONSENSE", "/contacts", 405),
        ("PATCH", "/rpc/me", 405),
        ("DELETE", "/rpc/me", 405),
        ("PUT", "/rpc/me", 405),
    ];
    all(methods, |(method, path, status)| {
        let answer = raw::request(method, path, &[]);
        let answer = answer.ok_or_else(|| format!("{method} {path}: no answer"))?;
        if answer.status == status { Ok(()) } else { Err(answer.to_string()) }
    });
    fixture.user.get("/contacts").expect(200);
}

#[test]
fn a_user_who_sends_a_bare_value_changes_nothing() {
    // PostgREST takes it for an insert of no rows.
    let fixture = Fixture::register();
    let before = admin::fingerprint(fixture.user.organization.id);
    for body in ["1", "\"text\"", "null", "true", "[]"] {
        fixture.user.request("POST", "/contacts").body("application/json", body).send();
        fixture.user.request("PATCH", "/contacts?last_name=eq.Kept").body("application/json", body).send();
    }
    assert_eq!(admin::fingerprint(fixture.user.organization.id), before);
}

#[test]
fn an_attacker_who_sends_no_http_gets_no_server_error() {
    let user = Actor::register();
    let bearer = format!("Authorization: Bearer {}", user.token());
    let requests: Vec<Vec<u8>> = vec![
        b"nonsense\r\n\r\n".into(),
        b"GET\r\n\r\n".into(),
        b"GET /contacts\r\n\r\n".into(),
        b"GET /contacts HTTP/9.9\r\n\r\n".into(),
        b"GET /contacts%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
        b"GET /contacts?\0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
        b"\0\0\0\0\r\n\r\n".into(),
        format!("GET /contacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\nX-Org-ID: \0\r\n\r\n").into(),
        format!("POST /contacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n{{}}").into(),
        format!("POST /contacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").into(),
        format!("GET /contacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n{}\r\n", "X-Many: 1\r\n".repeat(2000)).into(),
        format!("GET /contacts?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n\r\n", "last_name=eq.x&".repeat(1000)).into(),
        format!("GET /contacts?id=in.({}) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n\r\n", "x,".repeat(10_000)).into(),
    ];
    // raw::exchange itself refuses a 5xx; no answer at all is an answer to what is no HTTP.
    for request in requests {
        raw::exchange(&request);
    }
    user.get("/contacts").expect(200);
}

/// PostgREST 12.0.2 answers 500 of its own to most of these, before it asks the database; that it says no more is tested here.
#[test]
fn an_attacker_who_sends_bytes_that_are_no_utf8_learns_nothing_and_stops_nothing() {
    let user = Actor::register();
    user.insert("contacts", &json!({ "last_name": "Guarded" }));
    let authorization = format!("Authorization: Bearer {}", user.token());
    let requests: [(&str, &[u8]); 7] = [
        ("/contacts?last_name=eq.%ff", b"Accept: */*"),
        ("/contacts?select=%ff", b"Accept: */*"),
        ("/contacts", b"X-Org-ID: \xff\xfe"),
        ("/contacts", b"User-Agent: \xff\xfe"),
        ("/contacts", b"Prefer: \xff\xfe"),
        ("/contacts", b"Cookie: \xff=\xfe"),
        ("/contacts", b"Accept: \xff"),
    ];
    for (path, header) in requests {
        let answer = raw::exchange_with_any_answer(&raw::bytes_of("GET", path, &[authorization.as_bytes(), header]));
        let text = answer.map(|answer| answer.text()).unwrap_or_default();
        for internal in ["pgrx", "crm_private", "/src/", "SELECT", "backtrace"] {
            assert!(!text.contains(internal), "{path}: {text}");
        }
        assert_eq!(user.get("/contacts").expect(200).column("last_name"), ["Guarded"], "after {path}");
    }
}

#[test]
fn a_visitor_with_bad_input_learns_nothing_but_401() {
    for row in [json!({ "last_name": "" }), json!({ "surname": 1 }), json!({ "org_id": "x" })] {
        let answer = actor::anonymous("POST", "/contacts").json(&row).send();
        assert!(matches!(answer.status, 400 | 401), "{answer}");
    }
}

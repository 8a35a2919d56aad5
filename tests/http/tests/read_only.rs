//! Reading never writes: no transaction id is taken, and a read only transaction is enough.

use crm_http_tests::actor::Actor;
use crm_http_tests::http::Request;
use crm_http_tests::{admin, all, alone, sql};
use serde_json::json;

/// The next transaction id; it grows when anybody takes one, and by nothing else.
fn next_transaction_id() -> i64 {
    admin::value("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint", &[])
}

const READS: [(&str, &str); 17] = [
    ("GET", "/contacts"),
    ("HEAD", "/contacts"),
    ("GET", "/contacts?order=created_at.desc,id.desc&limit=50"),
    ("GET", "/contacts?select=*,account:accounts(*)"),
    ("GET", "/accounts?select=*,contacts(*)"),
    ("GET", "/organizations"),
    ("GET", "/users"),
    ("GET", "/memberships"),
    ("GET", "/"),
    ("GET", "/rpc/me"),
    ("GET", "/rpc/whoami"),
    ("GET", "/rpc/jwks"),
    ("GET", "/rpc/health"),
    ("GET", "/rpc/current_user_id"),
    ("GET", "/rpc/visible_user_ids"),
    ("POST", "/rpc/me"),
    ("POST", "/rpc/whoami"),
];

/// Transaction ids taken meanwhile. Autovacuum takes some now and then, so the fewest of several attempts count.
fn ids_taken(work: impl Fn()) -> i64 {
    let attempt = || {
        let before = next_transaction_id();
        work();
        next_transaction_id() - before
    };
    (0..5).map(|_| attempt()).min().unwrap()
}

#[test]
fn a_user_who_reads_takes_no_transaction_id() {
    let _alone = alone();
    let user = Actor::with_contacts(3);
    let multi = user.clone();
    multi.join(&Actor::register().organization, "sales");
    let multi = multi.logged_in(None);
    for reader in [&user, &multi] {
        all(READS, |(method, path)| {
            let taken = ids_taken(|| {
                for _ in 0..3 {
                    reader.request(method, path).prefer("count=exact").send().expect(200);
                }
            });
            if taken == 0 { Ok(()) } else { Err(format!("{method} {path}: {taken} in 3 requests")) }
        });
    }
    assert_eq!(ids_taken(|| drop(Request::new("GET", "/rpc/whoami").send().expect(200))), 0);
    assert_eq!(ids_taken(|| drop(Request::new("GET", "/contacts").send().expect(401))), 0);
    assert_eq!(ids_taken(|| drop(user.with_token("e30.e30.e30").get("/contacts").expect(401))), 0);
    assert_eq!(ids_taken(|| drop(user.working_in("nowhere").get("/contacts").expect(403))), 0);
}

#[test]
fn a_user_who_writes_takes_a_transaction_id() {
    // That the counter counts.
    let _alone = alone();
    let user = Actor::register();
    assert!(ids_taken(|| drop(user.insert("contacts", &json!({ "last_name": "X" })))) >= 1);
}

#[test]
fn a_user_reads_in_a_read_only_transaction() {
    let _alone = alone();
    let user = Actor::with_contacts(2);
    let mut client = sql::connect();
    for begin in [sql::begin_authenticated, sql::begin_request] {
        client.batch_execute("set default_transaction_read_only = on").unwrap();
        let mut transaction = begin(&mut client, user.token()).unwrap();
        for (query, rows) in [
            ("select id from crm.contacts order by created_at desc, id desc limit 50", 2),
            ("select crm.me()", 1),
            ("select crm.jwks()", 1),
            ("select crm.whoami()", 1),
            ("select unnest(crm.org_ids_for_user(crm.current_user_id()))", 1),
            ("select unnest(crm.permitted_org_ids('contacts.read'))", 1),
            ("select id from crm.users where id = any (crm.visible_user_ids())", 1),
        ] {
            assert_eq!(transaction.query(query, &[]).unwrap().len(), rows, "{query}");
        }
        let taken: Option<String> =
            transaction.query_one("select pg_current_xact_id_if_assigned()::text", &[]).unwrap().get(0);
        assert_eq!(taken, None);
        transaction.commit().unwrap();
    }
}

#[test]
fn a_user_cannot_change_anything_with_get() {
    let _alone = alone();
    let user = Actor::register();
    let query = format!("email={}&password={}", user.email, user.password);
    for path in [format!("/rpc/login?{query}"), format!("/rpc/register?{query}&organization_name=x")] {
        user.get(&path).expect(405);
    }
}

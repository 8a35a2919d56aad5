//! Secrets stay where they are: whatever was done with a password, token or key, nobody who may not have it finds it
//! anywhere. All of it is done once, then each test looks in another place.

mod attempts;
mod known;
mod reading;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crm_http_tests::http::text;
use crm_http_tests::{admin, all, setting, sql};
use known::{Known, Needles};
use postgres::fallible_iterator::FallibleIterator;
use serde_json::json;

/// What was seen while the secrets were used.
struct Seen {
    known: Known,
    needles: Needles,
    /// A token across all organizations.
    multi: String,
    http_answers: Vec<String>,
    sql_answers: Vec<String>,
    statements: BTreeSet<String>,
    notifications: Vec<String>,
}

static SEEN: LazyLock<Seen> = LazyLock::new(Seen::gather);

impl Seen {
    fn gather() -> Self {
        let mut listener = admin::connect();
        listener.batch_execute("listen pgrst; listen crm_oauth; listen crm_events").unwrap();
        let ended = AtomicBool::new(false);
        let (known, multi, http_answers, sql_answers, statements) = thread::scope(|scope| {
            let statements = scope.spawn(|| watch_statements(&ended));
            let known = Known::make();
            let switched = known.owner.post("/rpc/switch_org", &json!({ "organization": null })).expect(200).json();
            let multi = text(&switched["access_token"]);
            let http = attempts::over_http(&known);
            let sql = attempts::in_sql(&known, &multi);
            finish_sign_in(&known);
            deliver(&known);
            ended.store(true, Relaxed);
            (known, multi, http, sql, statements.join().unwrap())
        });
        admin::execute("notify pgrst", &[]);
        let mut notifications = listener.notifications();
        let mut notifications = notifications.timeout_iter(Duration::from_secs(1));
        let mut payloads = vec![];
        while let Some(notification) = notifications.next().unwrap() {
            payloads.push(format!("{} {}", notification.channel(), notification.payload()));
        }
        let needles = Needles::new(known.secrets());
        Self { known, needles, multi, http_answers, sql_answers, statements, notifications: payloads }
    }
}

/// A sign-in with all its secrets, as far as the worker.
fn finish_sign_in(known: &Known) {
    let arguments = json!({ "state": known.state, "code": known.code, "code_verifier": known.code_verifier });
    let finish = || crm_http_tests::actor::anonymous("POST", "/rpc/oauth_finish").json(&arguments).send();
    finish().expect(202);
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_worker").unwrap();
    let claimed = transaction.query_one(
        "select id, client_secret, code from crm.claim_oauth_exchanges() where provider = $1",
        &[&known.provider],
    );
    let claimed = claimed.unwrap();
    assert_eq!((claimed.get::<_, &str>(1), claimed.get::<_, &str>(2)), (&*known.client_secret, &*known.code));
    let failed: bool = transaction
        .query_one("select crm.fail_oauth_exchange($1)", &[&claimed.get::<_, uuid::Uuid>(0)])
        .unwrap()
        .get(0);
    assert!(failed);
    transaction.commit().unwrap();
    finish().expect(401);
}

/// What is on its way to the webhook, with its headers and signatures; the receiver does not take it.
fn deliver(known: &Known) {
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_worker").unwrap();
    transaction.execute("select crm.fan_out_events()", &[]).unwrap();
    let claimed = transaction.query(
        "select crm.fail_webhook_delivery(org_id, id, attempt, 500, 12, 'no', 'HTTP 500'), headers ->> 'x-token'
         from crm.claim_webhook_deliveries(1000) where webhook_id = $1",
        &[&known.webhook],
    );
    let headers: Vec<String> = claimed.unwrap().iter().map(|row| row.get(1)).collect();
    assert!(!headers.is_empty() && headers.iter().all(|header| *header == known.webhook_header), "{headers:?}");
    transaction.commit().unwrap();
}

/// What every session runs, as a superuser sees it, again and again.
fn watch_statements(ended: &AtomicBool) -> BTreeSet<String> {
    let mut client = admin::connect();
    let mut seen = BTreeSet::new();
    while !ended.load(Relaxed) {
        let rows = client.query("select query from pg_stat_activity where query <> ''", &[]).unwrap();
        seen.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        thread::sleep(Duration::from_millis(3));
    }
    seen
}

#[test]
fn a_client_finds_no_secret_in_an_error() {
    assert!(SEEN.http_answers.len() > 300, "{}", SEEN.http_answers.len());
    all(&SEEN.http_answers, |answer| SEEN.needles.find("HTTP", answer.as_bytes()));
}

#[test]
fn a_sql_client_finds_no_secret_in_an_error_or_a_result() {
    assert!(SEEN.sql_answers.len() > 300, "{}", SEEN.sql_answers.len());
    all(&SEEN.sql_answers, |answer| SEEN.needles.find("SQL", answer.as_bytes()));
}

#[test]
fn no_api_role_finds_a_secret_in_anything_it_can_read() {
    admin::execute("analyze", &[]);
    let roles: [(&str, Option<(&str, &str)>); 5] = [
        ("crm_anon", None),
        ("crm_app", Some(("authenticate", SEEN.known.owner.token()))),
        ("crm_multi", Some(("authenticate", &SEEN.multi))),
        ("crm_service", Some(("authenticate_api_key", &SEEN.known.platform_key))),
        ("crm_worker", None),
    ];
    for (role, identity) in roles {
        let mut client = if role == "crm_worker" { admin::connect() } else { sql::connect() };
        let mut transaction = sql::begin_as(&mut client, role).unwrap();
        if let Some((function, secret)) = identity {
            transaction.execute(&format!("select crm.{function}($1)"), &[&secret]).unwrap();
        }
        let read = reading::everything(&mut transaction, role);
        assert!(read.len() > 150 && read.iter().any(|(name, _)| name == "pg_stats"), "{role} reads {}", read.len());
        all(&read, |(name, text)| SEEN.needles.find(&format!("{role} in {name}"), text));
    }
}

#[test]
fn an_auditor_who_may_read_all_data_and_statistics_finds_no_secret() {
    admin::execute("analyze", &[]);
    let mut client = admin::connect();
    let mut transaction = client.transaction().unwrap();
    // Roles belong to the cluster: this one is gone with the transaction.
    transaction
        .batch_execute(
            "create role crm_test_auditor; grant pg_read_all_data, pg_read_all_stats, pg_monitor to crm_test_auditor",
        )
        .unwrap();
    transaction.batch_execute("set local role crm_test_auditor").unwrap();
    // The catalog is asked in another session, which does not see the new role.
    let read = reading::everything(&mut transaction, "pg_read_all_data");
    for table in ["pg_statistic", "pg_stats", "pg_stat_activity", "crm_private.passwords"] {
        assert!(read.iter().any(|(name, _)| name == table), "{table}");
    }
    all(&read, |(name, text)| SEEN.needles.find(name, text));
}

#[test]
fn an_administrator_finds_no_secret_in_the_statistics() {
    admin::execute("analyze", &[]);
    let statistics: String = admin::value(
        "select string_agg(format('%s %s %s %s', schemaname, tablename, attname, s::text), chr(10)) from pg_stats as s",
        &[],
    );
    assert!(statistics.contains("crm_private sessions user_id"));
    assert_eq!(SEEN.needles.find("pg_stats", statistics.as_bytes()), Ok(()));
}

#[test]
fn an_administrator_finds_no_secret_in_the_statements_that_run() {
    let login = SEEN.statements.iter().any(|statement| statement.contains("login"));
    assert!(SEEN.statements.len() > 20 && login, "{:?}", SEEN.statements);
    all(&SEEN.statements, |statement| SEEN.needles.find("pg_stat_activity", statement.as_bytes()));
}

#[test]
fn an_administrator_finds_no_secret_in_a_log() {
    LazyLock::force(&SEEN);
    let server = setting("CRM_TEST_LOG");
    let postgrest = Path::new(&server).with_file_name("postgrest.log");
    for (log, word) in [(Path::new(&server), "ERROR"), (postgrest.as_path(), "")] {
        let text = std::fs::read(log).unwrap();
        assert!(String::from_utf8_lossy(&text).contains(word));
        assert_eq!(SEEN.needles.find(&log.display().to_string(), &text), Ok(()));
    }
}

#[test]
fn a_listener_is_told_of_no_secret() {
    assert!(SEEN.notifications.iter().any(|payload| payload == "pgrst "), "{:?}", SEEN.notifications);
    assert!(SEEN.notifications.iter().any(|payload| payload == "crm_oauth "), "{:?}", SEEN.notifications);
    assert!(SEEN.notifications.iter().any(|payload| payload == "crm_events "), "{:?}", SEEN.notifications);
    // The worker and PostgREST are told that there is something, not what.
    assert!(
        SEEN.notifications.iter().all(|payload| ["pgrst ", "crm_oauth ", "crm_events "].contains(&payload.as_str()))
    );
}

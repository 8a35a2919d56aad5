//! The worker as a program: its settings, its log, its end.

use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crm_http_tests::certificate::Certificate;
use crm_http_tests::worker::{Role, Worker, eventually, output};
use crm_http_tests::{admin, alone};
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_worker_with_wrong_settings_says_all_that_is_wrong_and_does_not_begin() {
    let settings = [
        ("DATABASE_URL", "mysql://worker:hunter2@db/crm"),
        ("CONCURRENCY", "many"),
        ("SMTP_URL", "smtp://me:hunter2@mail.example"),
        ("COLOUR", "red"),
    ];
    for arguments in [&[][..], &["--check"]] {
        let run = output(arguments, &settings);
        let told = text(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{told}");
        for (name, _) in settings {
            assert_eq!(told.matches(&format!("error: CRM_WORKER_{name}: ")).count(), 1, "{name}: {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert_eq!(output(&["--colour"], &[]).status.code(), Some(2));
}

#[test]
fn a_worker_tells_what_it_is_and_whether_its_settings_are_good() {
    let version = output(&["--version"], &[]);
    assert_eq!(text(&version.stdout), format!("crm-worker {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&output(&["--help"], &[]).stdout);
    assert!(help.contains("--config FILE") && help.contains("DATABASE_URL"), "{help}");
    let role = Role::new();
    let good = output(&["--check"], &[("DATABASE_URL", &role.url)]);
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), "the settings are good\n"));
}

#[test]
fn a_worker_that_may_do_nothing_says_so() {
    let _alone = alone();
    let worker = Worker::begin(&[("DATABASE_URL", &crm_http_tests::setting("CRM_TEST_APP_DB"))]);
    let line = worker.until_logged("the role has not the rights of crm_worker: grant crm_worker to it");
    assert_eq!(line["role"], "crm_authenticator");
}

#[test]
fn a_worker_tells_how_it_is() {
    let _alone = alone();
    let worker = Worker::start(&[]);
    let (status, report) = eventually("it is well", || worker.get("/health").filter(|(status, _)| *status == 200));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((status, &report["status"], &report["database"]), (200, &json!("ok"), &json!("ok")));
    for job in ["deliveries", "keys", "oauth", "maintenance"] {
        assert_eq!(report["jobs"][job], "ok", "{report}");
    }
    assert_eq!(worker.metric("crm_worker_database_up"), Some(1.0));
    assert_eq!(worker.get("/elsewhere").unwrap().0, 404);
    eventually("it clears up", || {
        worker.metric("crm_worker_maintenance_runs_total{task=\"clear_expired\",outcome=\"done\"}")
    });
    eventually("it keeps history in order", || {
        worker.metric("crm_worker_maintenance_runs_total{task=\"maintain_audit\",outcome=\"done\"}")
    });
}

#[test]
fn a_worker_that_is_asked_to_stop_stops_well() {
    let _alone = alone();
    for signal in ["TERM", "INT"] {
        let mut worker = Worker::start(&[]);
        let began = Instant::now();
        worker.signal(signal);
        assert_eq!(worker.wait().code(), Some(0), "{}", worker.log());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(worker.logged("stopped").len(), 1);
        eventually("its sessions are closed", || (worker.sessions() == 0).then_some(()));
    }
}

#[test]
fn a_worker_whose_connections_are_cut_makes_new_ones() {
    let _alone = alone();
    let mut worker = Worker::start(&[("JOBS", "oauth,maintenance")]);
    for _ in 0..3 {
        eventually("it is connected", || (worker.sessions() >= 2).then_some(()));
        worker.disconnect();
    }
    eventually("it is connected again", || (worker.sessions() >= 2).then_some(()));
    assert!(worker.is_running());
    eventually("it is well", || worker.get("/health").filter(|(status, _)| *status == 200));
}

#[test]
fn a_worker_waits_for_a_database_that_is_not_there() {
    let nowhere = "postgresql://worker:hunter2@127.0.0.1:1/crm";
    let mut worker = Worker::begin(&[("DATABASE_URL", nowhere)]);
    let line = worker.until_logged("a round failed");
    assert!(line["error"].as_str().unwrap().contains("refused"), "{line}");
    sleep(Duration::from_millis(500));
    assert!(worker.is_running());
    let (status, report) = worker.get("/health").unwrap();
    assert_eq!((status, report.contains("\"database\":\"failing\"")), (503, true), "{report}");
    assert!(!worker.log().contains("hunter2"), "{}", worker.log());
    worker.signal("TERM");
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.log());
}

/// The server speaks TLS, with this certificate, for as long as this lives.
struct Encrypted;

impl Encrypted {
    fn with(certificate: &Certificate) -> Self {
        for (name, content) in [("crm_test.crt", &certificate.pem), ("crm_test.key", &certificate.key_pem)] {
            let program = format!("base64 -d > {name} && chmod 600 {name}");
            let lines = BASE64_STANDARD.encode(content);
            admin::execute(&format!("copy (select '{lines}') to program '{program}'"), &[]);
        }
        for setting in ["ssl_cert_file = 'crm_test.crt'", "ssl_key_file = 'crm_test.key'", "ssl = on"] {
            admin::execute(&format!("alter system set {setting}"), &[]);
        }
        admin::execute("select pg_reload_conf()", &[]);
        eventually("TLS is on", || (admin::value::<String>("show ssl", &[]) == "on").then_some(()));
        Self
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        for setting in ["ssl", "ssl_cert_file", "ssl_key_file"] {
            admin::execute(&format!("alter system reset {setting}"), &[]);
        }
        admin::execute("select pg_reload_conf()", &[]);
    }
}

#[test]
fn a_worker_speaks_tls_with_its_database_as_the_url_asks_for_it() {
    let _alone = alone();
    let (certificate, other) = (Certificate::of("127.0.0.1"), Certificate::of("127.0.0.1"));
    let _encrypted = Encrypted::with(&certificate);
    let role = Role::new();
    let cases = [
        ("sslmode=disable".to_owned(), Some(false)),
        ("sslmode=prefer".into(), Some(true)),
        ("sslmode=require".into(), Some(true)),
        (format!("sslmode=verify-full&sslrootcert={}", certificate.path()), Some(true)),
        (format!("sslmode=require&sslrootcert={}", other.path()), None),
        (format!("sslmode=verify-full&sslrootcert={}", other.path()), None),
        ("sslmode=verify-full".into(), None),
    ];
    for (query, expected) in cases {
        let worker = Worker::begin(&[("DATABASE_URL", &format!("{}?{query}", role.url)), ("JOBS", "oauth")]);
        let Some(expected) = expected else {
            let line = worker.until_logged("a round failed");
            assert!(line["error"].as_str().unwrap().contains("certificate"), "{query}: {line}");
            continue;
        };
        worker.until_logged("connected");
        let encrypted: Option<bool> = admin::value(
            "select bool_and(s.ssl) from pg_stat_ssl as s join pg_stat_activity as a using (pid) where a.usename = $1",
            &[&role.name],
        );
        assert_eq!(encrypted, Some(expected), "{query}");
        drop(worker);
        eventually("its sessions are closed", || (role.sessions() == 0).then_some(()));
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let role = Role::new();
    let run = output(&[], &[("DATABASE_URL", &role.url), ("LISTEN", &address)]);
    let told = text(&run.stderr);
    assert!(run.status.code() == Some(1) && told.contains("CRM_WORKER_LISTEN"), "{told}");
}

#[test]
fn several_workers_keep_one_database_in_order() {
    let _alone = alone();
    let workers: Vec<_> = (0..3).map(|_| Worker::start(&[("JOBS", "maintenance")])).collect();
    admin::execute(
        "insert into crm_private.one_time_tokens (hash, purpose, email, expires_at)
         select sha256(n::text::bytea), 'password_reset', 'nobody@example.com', now() - interval '1 day' from generate_series(1, 200) as n",
        &[],
    );
    for worker in &workers {
        eventually("it has cleared up", || {
            worker.metric("crm_worker_maintenance_runs_total{task=\"clear_expired\",outcome=\"done\"}")
        });
        eventually("it has kept history in order", || {
            worker.metric("crm_worker_maintenance_runs_total{task=\"maintain_audit\",outcome=\"done\"}")
        });
        assert!(worker.logged("maintenance failed").is_empty(), "{}", worker.log());
    }
    let left: i64 = admin::value(
        "select count(*) from crm_private.one_time_tokens where expires_at < now() - interval '1 hour'",
        &[],
    );
    assert_eq!(left, 0);
}

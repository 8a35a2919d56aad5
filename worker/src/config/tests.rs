#![allow(clippy::unwrap_used)]

use super::*;

const DATABASE: &str = "postgresql://worker:hunter2@db.example/crm";

fn load(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    let given = variables.iter().map(|(name, value)| (format!("CRM_WORKER_{name}").into(), (*value).into()));
    Settings::load(None, given)
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    load(variables).err().map_or(vec![], |problems| problems.0)
}

/// The settings of a file of this text, and of the environment.
fn load_file(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Problems> {
    let path = std::env::temp_dir().join(format!("crm-worker-{}.toml", uuid::Uuid::new_v4()));
    std::fs::write(&path, text).unwrap();
    let given = variables.iter().map(|(name, value)| (format!("CRM_WORKER_{name}").into(), (*value).into()));
    let settings = Settings::load(Some(path.clone()), given);
    std::fs::remove_file(path).unwrap();
    settings
}

#[test]
fn a_database_is_all_that_must_be_said() {
    let settings = load(&[("DATABASE_URL", DATABASE)]).unwrap();
    assert_eq!(settings.jobs, Job::ALL);
    assert_eq!(settings.listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(settings.poll_interval, Duration::from_secs(1));
    let deliveries = &settings.deliveries;
    assert_eq!(
        (deliveries.concurrency, deliveries.endpoint_concurrency, deliveries.organization_concurrency),
        (128, 4, 32)
    );
    assert_eq!(settings.deliveries.timeout, Duration::from_secs(15));
    assert!(!settings.network.allow_http && settings.network.allowed.is_empty());
    assert!(settings.mail.is_none());
    assert_eq!(settings.database.mode, SslMode::Prefer);
}

#[test]
fn every_wrong_value_is_told_with_its_place_its_problem_and_an_example() {
    let cases = [
        ("DATABASE_URL", "", "is missing"),
        ("DATABASE_URL", "mysql://x/y", "is no URL of a PostgreSQL database"),
        ("DATABASE_URL", "postgresql:///crm", "names no host"),
        ("DATABASE_URL", "postgresql://db/crm?sslmode=maybe", "sslmode"),
        ("DATABASE_URL", "postgresql://db/crm?sslmode=require&sslrootcert=/nowhere", "sslrootcert"),
        ("DATABASE_URL", "postgresql://db/crm?colour=red", "is no URL that names"),
        ("JOBS", "deliveries,dishes", "\"dishes\" is no job"),
        ("JOBS", ",", "names no job"),
        ("POLL_INTERVAL", "1", "is no duration"),
        ("POLL_INTERVAL", "1 week", "is no duration"),
        ("POLL_INTERVAL", "0s", "must be between"),
        ("STOP_TIMEOUT", "2h", "must be between"),
        ("LISTEN", "9090", "is no address with a port"),
        ("LISTEN", "localhost:9090", "is no address with a port"),
        ("LOG", "loud", "is none of"),
        ("LOG_FORMAT", "xml", "is none of"),
        ("ALLOW_HTTP", "perhaps", "neither true nor false"),
        ("ALLOWED_NETWORKS", "10.0.0.0/33", "is no network"),
        ("ALLOWED_NETWORKS", "10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("ALLOWED_NETWORKS", "example.com", "is no network"),
        ("CA_FILE", "/nowhere.pem", "there is no such file"),
        ("CONNECT_TIMEOUT", "1ms", "must be between"),
        ("CONCURRENCY", "0", "must be between"),
        ("CONCURRENCY", "many", "is no whole number"),
        ("ENDPOINT_CONCURRENCY", "-1", "is no whole number"),
        ("DELIVERY_TIMEOUT", "10m", "must be between"),
        ("LEASE", "20s", "at least twice delivery_timeout"),
        ("RESPONSE_LIMIT", "1", "must be between"),
        ("KEYS_MAX_AGE", "1s", "must be between"),
        ("SMTP_URL", "https://mail.example", "begins neither"),
        ("SMTP_URL", "smtp://user:hunter2@mail.example", "without encryption"),
        ("SMTP_URL", "smtp://mail.example?tls=maybe", "tls other than"),
        ("MAIL_FROM", "nobody", "is no e-mail address"),
        ("APP_URL", "app.example", "is no URL"),
        ("APP_URL", "ftp://app.example", "is no http or https URL"),
        ("PASSWORD_RESET_PATH", "reset?token={token}", "does not begin with a slash"),
        ("INVITATION_PATH", "/join", "does not contain {token} once"),
        ("TEMPLATES", "/nowhere", "there is no such folder"),
    ];
    for (name, value, problem) in cases {
        let told = problems(&[("DATABASE_URL", DATABASE), (name, value)]);
        let [told] = told.as_slice() else { unreachable!("{name}={value}: {told:?}") };
        assert!(told.starts_with(&format!("CRM_WORKER_{name}: ")) && told.contains(problem), "{name}={value}: {told}");
        assert!(told.contains("; for example: "), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let told = problems(&[("CONCURRENCY", "x"), ("LOG", "x"), ("COLOUR", "red"), ("SMTP_URL", "smtp://localhost")]);
    let names: Vec<_> = told.iter().filter_map(|problem| problem.split(':').next()).collect();
    let expected = ["COLOUR", "DATABASE_URL", "LOG", "CONCURRENCY", "MAIL_FROM", "APP_URL"];
    assert_eq!(names, expected.map(|name| format!("CRM_WORKER_{name}")), "{told:?}");
}

#[test]
fn a_file_says_the_same_and_the_environment_overrides_it() {
    let text = format!(
        "database_url = \"{DATABASE}\"\nconcurrency = 7\nallow_http = true\nallowed_networks = [\"10.0.0.0/8\", \"::1\"]\nlog = \"debug\"\n"
    );
    let settings = load_file(&text, &[("CONCURRENCY", "8")]).unwrap();
    assert_eq!(settings.deliveries.concurrency, 8);
    assert!(settings.network.allow_http);
    assert_eq!(settings.network.allowed, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse::<IpNet>().unwrap()]);
    assert_eq!(settings.log.level, tracing::Level::DEBUG);
}

#[test]
fn what_is_wrong_in_a_file_is_told_without_its_secrets() {
    let cases = [
        ("database_url = \"postgresql://w:hunter2@db/crm\"\ncolour = \"red\"", "there is no such setting"),
        ("database_url = \"postgresql://w:hunter2@db/crm\"\nlog = { level = \"info\" }", "is neither a text"),
        ("database_url = postgresql://w:hunter2@db/crm", "is no TOML"),
        ("database_url = \"postgresql://w:hunter2@db/crm?x=y\"", "database_url in /"),
        ("database_url = \"postgresql://w:hunter2@db/crm\"\nconcurrency = 1.5", "is neither a text"),
    ];
    for (text, problem) in cases {
        let told = load_file(text, &[]).err().map_or(String::new(), |problems| problems.to_string());
        assert!(told.contains(problem) && !told.contains("hunter2"), "{text}: {told}");
    }
    let nowhere = [("CRM_WORKER_CONFIG".into(), "/nowhere.toml".into())];
    let told = Settings::load(None, nowhere).err().map_or(String::new(), |problems| problems.to_string());
    assert!(told.contains("/nowhere.toml: cannot be read"), "{told}");
}

#[test]
fn mail_needs_a_sender_and_where_links_lead() {
    let settings = load(&[
        ("DATABASE_URL", DATABASE),
        ("SMTP_URL", "smtps://user:hunter2@mail.example"),
        ("MAIL_FROM", "Example <crm@example.com>"),
        ("APP_URL", "https://app.example/"),
        ("INVITATION_PATH", "/join#{token}"),
    ]);
    let mail = settings.unwrap().mail.unwrap();
    assert_eq!(mail.links.password_reset, "https://app.example/reset-password?token={token}");
    assert_eq!(mail.links.invitation, "https://app.example/join#{token}");
    assert_eq!(format!("{:?}", mail.smtp), "(secret)");
}

#[test]
fn tls_of_the_database_is_what_its_url_says() {
    for (mode, expected) in [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-full", SslMode::VerifyFull),
    ] {
        let url = format!("{DATABASE}?connect_timeout=3&sslmode={mode}&sslrootcert=system");
        let database = load(&[("DATABASE_URL", &url)]).unwrap().database;
        assert_eq!((database.mode, database.root), (expected, None));
        assert_eq!(database.connection.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }
    let socket = load(&[("DATABASE_URL", "postgresql:///crm?user=w&host=/run/postgresql&port=5433")]).unwrap();
    assert_eq!(socket.database.connection.get_dbname(), Some("crm"));
}

#[test]
fn every_setting_is_in_the_help_and_in_its_document() {
    let document = include_str!("../../../docs/worker.md");
    for setting in SETTINGS {
        let name = setting.name.to_uppercase();
        assert!(help().contains(&name), "{name}");
        let line = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(line.is_some_and(|line| line.contains(setting.default)), "docs/worker.md: {name} {line:?}");
    }
}

//! Settings: from a file and from the environment, checked before anything begins. All that is wrong is said at once.

mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use lettre::message::Mailbox;

/// What must not be seen in a log, nor in an error.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Job {
    Deliveries,
    Keys,
    Oauth,
    Mail,
    Maintenance,
}

impl Job {
    pub const ALL: [Self; 5] = [Self::Deliveries, Self::Keys, Self::Oauth, Self::Mail, Self::Maintenance];

    pub fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Keys => "keys",
            Self::Oauth => "oauth",
            Self::Mail => "mail",
            Self::Maintenance => "maintenance",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    Json,
    Human,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SslMode {
    Disable,
    Prefer,
    /// Encrypted; the certificate is verified where `sslrootcert` says with what, as libpq does.
    Require,
    VerifyFull,
}

impl SslMode {
    fn of_client(self) -> tokio_postgres::config::SslMode {
        match self {
            Self::Disable => tokio_postgres::config::SslMode::Disable,
            Self::Prefer => tokio_postgres::config::SslMode::Prefer,
            Self::Require | Self::VerifyFull => tokio_postgres::config::SslMode::Require,
        }
    }
}

#[derive(Clone)]
pub struct Database {
    pub connection: tokio_postgres::Config,
    pub mode: SslMode,
    /// The only certificates that are believed.
    pub root: Option<PathBuf>,
}

pub struct Log {
    pub level: tracing::Level,
    pub format: LogFormat,
}

pub struct Network {
    pub allow_http: bool,
    /// Which addresses may be called though they are not public.
    pub allowed: Vec<IpNet>,
    pub ca_file: Option<PathBuf>,
    pub connect_timeout: Duration,
}

#[derive(Clone, Copy)]
pub struct Deliveries {
    pub concurrency: usize,
    pub endpoint_concurrency: usize,
    pub organization_concurrency: usize,
    pub timeout: Duration,
    pub lease: Duration,
    pub response_limit: usize,
}

pub struct Mail {
    pub smtp: Secret,
    pub from: Mailbox,
    pub links: Links,
    pub templates: Option<PathBuf>,
}

/// Whole URLs with `{token}` in them.
#[derive(Clone)]
pub struct Links {
    pub app: String,
    pub password_reset: String,
    pub email_verification: String,
    pub invitation: String,
}

pub struct Settings {
    pub database: Database,
    pub jobs: Vec<Job>,
    pub poll_interval: Duration,
    pub stop_timeout: Duration,
    pub listen: Option<SocketAddr>,
    pub log: Log,
    pub network: Network,
    pub deliveries: Deliveries,
    /// The age at which a provider's keys are fetched again.
    pub keys_max_age: Duration,
    pub mail: Option<Mail>,
}

/// What there is to set.
struct Setting {
    name: &'static str,
    default: &'static str,
    example: &'static str,
    help: &'static str,
}

const fn setting(name: &'static str, default: &'static str, example: &'static str, help: &'static str) -> Setting {
    Setting { name, default, example, help }
}

const SETTINGS: [Setting; 26] = [
    setting("database_url", "", "postgresql://worker:password@db.example/crm?sslmode=verify-full", "the database"),
    setting("jobs", "deliveries,keys,oauth,mail,maintenance", "keys,oauth", "what this worker does"),
    setting("poll_interval", "1s", "500ms", "how often it looks for work of which it was not told"),
    setting("stop_timeout", "20s", "30s", "how long what runs may go on after SIGTERM"),
    setting("listen", "127.0.0.1:9090", "0.0.0.0:9090", "where /metrics and /health are; empty: nowhere"),
    setting("log", "info", "debug", "error, warn, info, debug or trace"),
    setting("log_format", "auto", "json", "json, human, or auto: human on a terminal"),
    setting("allow_http", "false", "true", "whether http:// may be called, and not https:// alone"),
    setting("allowed_networks", "", "10.20.0.0/16,fd12::/16", "networks that may be called though they are not public"),
    setting("ca_file", "", "/etc/ssl/our-ca.pem", "certificates (PEM) to believe beside the system's"),
    setting("connect_timeout", "5s", "3s", "how long connecting to an endpoint may take"),
    setting("concurrency", "128", "64", "deliveries at a time"),
    setting("endpoint_concurrency", "4", "2", "deliveries at a time to one webhook"),
    setting("organization_concurrency", "32", "16", "deliveries at a time to all webhooks of one organization"),
    setting("delivery_timeout", "15s", "10s", "how long a delivery may take, from the name to the end of the answer"),
    setting("lease", "60s", "2m", "for how long a delivery is the worker's that has claimed it"),
    setting("response_limit", "65536", "16384", "bytes of an answer that are read"),
    setting("keys_max_age", "1h", "30m", "the age at which a provider's keys are fetched again"),
    setting("smtp_url", "", "smtp://user:password@mail.example:587?tls=required", "where e-mail goes; empty: it waits"),
    setting("mail_from", "", "Example CRM <crm@example.com>", "the sender of e-mail"),
    setting("app_url", "", "https://app.example.com", "what links in e-mail begin with"),
    setting("password_reset_path", "/reset-password?token={token}", "/reset#{token}", "how a link goes on"),
    setting("email_verification_path", "/verify-email?token={token}", "/verify#{token}", "how a link goes on"),
    setting("invitation_path", "/accept-invitation?token={token}", "/join#{token}", "how a link goes on"),
    setting("templates", "", "/etc/crm-worker/templates", "a folder of templates in place of the built-in ones"),
    setting("config", "", "/etc/crm-worker.toml", "the file of settings; in the environment only"),
];

/// One line for each setting.
pub fn help() -> String {
    let line = |setting: &Setting| {
        let default = if setting.default.is_empty() { String::new() } else { format!(" ({})", setting.default) };
        format!("  {:<24}{}{default}\n", setting.name.to_uppercase(), setting.help)
    };
    SETTINGS.iter().map(line).collect()
}

/// Everything that is wrong, a line each.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|problem| writeln!(f, "error: {problem}"))
    }
}

const PREFIX: &str = "CRM_WORKER_";

/// A value and where it stands.
struct Given {
    value: String,
    place: String,
}

#[derive(Default)]
struct Reader {
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
}

impl Reader {
    fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(place) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            match value.into_string() {
                Ok(value) => self.add(&place[PREFIX.len()..].to_lowercase(), place.into(), value),
                Err(_) => self.problems.push(format!("{place}: is no text")),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{shown}: cannot be read: {}", error.kind())),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => table.into_iter().for_each(|(name, value)| self.file_value(&name, value, path)),
            // toml shows the line, which may hold a password.
            Err(error) => self.problems.push(format!("{shown}: is no TOML: {}", error.message())),
        }
    }

    fn file_value(&mut self, name: &str, value: toml::Value, path: &Path) {
        let place = format!("{name} in {}", path.display());
        let text = match value {
            toml::Value::Array(values) => {
                values.into_iter().map(scalar).collect::<Option<Vec<_>>>().map(|v| v.join(","))
            }
            value => scalar(value),
        };
        match text {
            // The environment was read before, and overrides.
            Some(_) if self.given.contains_key(name) => {}
            Some(text) => self.add(name, place, text),
            None => {
                self.problems.push(format!("{place}: is neither a text, a number, true, false, nor a list of these"))
            }
        }
    }

    fn add(&mut self, name: &str, place: String, value: String) {
        if SETTINGS.iter().any(|setting| setting.name == name) {
            self.given.insert(name.into(), Given { value: value.trim().into(), place });
        } else {
            self.problems.push(format!("{place}: there is no such setting; see crm-worker --help"));
        }
    }

    /// The value of a setting; `None` when it is wrong, which is noted.
    fn get<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
        let value = self.given.get(name).map_or(setting.default, |given| &given.value);
        match parse(value) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(name, &problem);
                None
            }
        }
    }

    fn duration(&mut self, name: &str, least: u64, most: u64) -> Option<Duration> {
        self.get(name, |text| values::duration(text, Duration::from_millis(least), Duration::from_secs(most)))
    }

    fn number(&mut self, name: &str, least: usize, most: usize) -> Option<usize> {
        self.get(name, |text| values::number(text, least, most))
    }

    fn problem(&mut self, name: &str, problem: &str) {
        let place =
            self.given.get(name).map_or(format!("{PREFIX}{}", name.to_uppercase()), |given| given.place.clone());
        let example = SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.example);
        self.problems.push(format!("{place}: {problem}; for example: {example}"));
    }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

impl Settings {
    /// From the file, and from the environment, which overrides.
    pub fn load(
        file: Option<PathBuf>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        reader.environment(environment);
        let named = reader.given.get("config").map(|given| given.value.clone()).filter(|name| !name.is_empty());
        if let Some(file) = file.or_else(|| named.map(Into::into)) {
            reader.file(&file);
        }
        let settings = Self::read(&mut reader);
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(Problems(reader.problems)),
        }
    }

    /// Each part is read before any is missed, so that all problems are found.
    fn read(reader: &mut Reader) -> Option<Self> {
        let database = reader.get("database_url", |text| match text {
            "" => Err("is missing".into()),
            text => values::database(text),
        });
        let jobs = reader.get("jobs", values::jobs);
        let poll_interval = reader.duration("poll_interval", 50, 3600);
        let stop_timeout = reader.duration("stop_timeout", 0, 3600);
        let listen = reader.get("listen", values::address);
        let log = Log::read(reader);
        let network = Network::read(reader);
        let deliveries = Deliveries::read(reader);
        let keys_max_age = reader.duration("keys_max_age", 60_000, 7 * 86_400);
        let mail = Mail::read(reader);
        Some(Self {
            database: database?,
            jobs: jobs?,
            poll_interval: poll_interval?,
            stop_timeout: stop_timeout?,
            listen: listen?,
            log: log?,
            network: network?,
            deliveries: deliveries?,
            keys_max_age: keys_max_age?,
            mail: mail?,
        })
    }
}

impl Log {
    fn read(reader: &mut Reader) -> Option<Self> {
        let level = reader.get("log", values::level);
        let format = reader.get("log_format", values::log_format);
        Some(Self { level: level?, format: format? })
    }
}

impl Network {
    fn read(reader: &mut Reader) -> Option<Self> {
        let allow_http = reader.get("allow_http", values::flag);
        let allowed = reader.get("allowed_networks", values::networks);
        let ca_file = reader.get("ca_file", values::file);
        let connect_timeout = reader.duration("connect_timeout", 100, 60);
        Some(Self { allow_http: allow_http?, allowed: allowed?, ca_file: ca_file?, connect_timeout: connect_timeout? })
    }
}

impl Deliveries {
    fn read(reader: &mut Reader) -> Option<Self> {
        let concurrency = reader.number("concurrency", 1, 1000);
        let endpoint_concurrency = reader.number("endpoint_concurrency", 1, 1000);
        let organization_concurrency = reader.number("organization_concurrency", 1, 1000);
        let timeout = reader.duration("delivery_timeout", 100, 300);
        let lease = reader.duration("lease", 1000, 3600);
        let response_limit = reader.number("response_limit", 1024, 16 << 20);
        if let (Some(timeout), Some(lease)) = (timeout, lease)
            && lease < 2 * timeout
        {
            reader.problem("lease", "must be at least twice delivery_timeout, or a delivery is made twice");
        }
        Some(Self {
            concurrency: concurrency?,
            endpoint_concurrency: endpoint_concurrency?,
            organization_concurrency: organization_concurrency?,
            timeout: timeout?,
            lease: lease?,
            response_limit: response_limit?,
        })
    }
}

impl Mail {
    /// `Some(None)`: no e-mail is sent.
    fn read(reader: &mut Reader) -> Option<Option<Self>> {
        let smtp = reader.get("smtp_url", values::smtp);
        let from = reader.get("mail_from", values::mailbox);
        let app = reader.get("app_url", values::app_url);
        let paths = ["password_reset_path", "email_verification_path", "invitation_path"]
            .map(|name| reader.get(name, values::path));
        let templates = reader.get("templates", values::folder);
        let Some(smtp) = smtp? else { return Some(None) };
        if let Some(None) = from {
            reader.problem("mail_from", "is missing, and there is smtp_url");
        }
        if let Some(None) = app {
            reader.problem("app_url", "is missing, and there is smtp_url");
        }
        let app = app??;
        let [password_reset, email_verification, invitation] = paths.map(|path| Some(format!("{app}{}", path?)));
        let links = Links {
            password_reset: password_reset?,
            email_verification: email_verification?,
            invitation: invitation?,
            app,
        };
        Some(Some(Self { smtp, from: from??, links, templates: templates? }))
    }
}

#[cfg(test)]
mod tests;

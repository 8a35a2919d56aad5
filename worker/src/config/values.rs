//! How the values of settings are written. What is wrong with one is said without the value: it may be a secret.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::{Database, Job, LogFormat, Secret, SslMode};

pub type Checked<T> = Result<T, String>;

/// A number and its unit, within bounds.
pub fn duration(text: &str, least: Duration, most: Duration) -> Checked<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "is no duration: a whole number and ms, s, m or h")?;
    let factor = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("is no duration: a whole number and ms, s, m or h".into()),
    };
    let duration = Duration::from_millis(number.saturating_mul(factor));
    if duration < least || duration > most {
        return Err(format!("must be between {least:?} and {most:?}"));
    }
    Ok(duration)
}

pub fn number(text: &str, least: usize, most: usize) -> Checked<usize> {
    let number = text.parse().map_err(|_| "is no whole number")?;
    if !(least..=most).contains(&number) {
        return Err(format!("must be between {least} and {most}"));
    }
    Ok(number)
}

pub fn flag(text: &str) -> Checked<bool> {
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err("is neither true nor false".into()),
    }
}

/// The parts of a list, which commas divide.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

pub fn networks(text: &str) -> Checked<Vec<IpNet>> {
    let network = |part: &str| -> Checked<IpNet> {
        let network = match part.parse::<std::net::IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => part.parse().map_err(|_| format!("{part:?} is no network"))?,
        };
        // 10.0.0.1/8 may be a slip of the pen for one address.
        if network.trunc() != network {
            return Err(format!("{part:?} has bits beyond its prefix: did you mean {}?", network.trunc()));
        }
        Ok(network)
    };
    list(text).map(network).collect()
}

pub fn jobs(text: &str) -> Checked<Vec<Job>> {
    let job = |part: &str| Job::ALL.into_iter().find(|job| job.name() == part).ok_or(format!("{part:?} is no job"));
    let jobs: Vec<_> = list(text).map(job).collect::<Checked<_>>()?;
    if jobs.is_empty() { Err("names no job".into()) } else { Ok(jobs) }
}

pub fn address(text: &str) -> Checked<Option<SocketAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "is no address with a port".into())
}

pub fn level(text: &str) -> Checked<tracing::Level> {
    text.parse().map_err(|_| "is none of error, warn, info, debug, trace".into())
}

pub fn log_format(text: &str) -> Checked<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "human" => Ok(LogFormat::Human),
        _ => Err("is none of auto, json, human".into()),
    }
}

pub fn file(text: &str) -> Checked<Option<PathBuf>> {
    existing(text, |path| path.is_file(), "there is no such file")
}

pub fn folder(text: &str) -> Checked<Option<PathBuf>> {
    existing(text, |path| path.is_dir(), "there is no such folder")
}

fn existing(text: &str, is_there: impl Fn(&PathBuf) -> bool, problem: &str) -> Checked<Option<PathBuf>> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match path {
        Some(path) if !is_there(&path) => Err(problem.into()),
        path => Ok(path),
    }
}

/// A PostgreSQL URL. tokio-postgres knows neither `verify-full` nor `sslrootcert`, so what is said of TLS is taken out first.
pub fn database(text: &str) -> Checked<Database> {
    if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
        return Err("is no URL of a PostgreSQL database".into());
    }
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let (mut mode, mut root, mut rest) = (SslMode::Prefer, None, vec![]);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = ssl_mode(value)?,
            Some(("sslrootcert", "system")) => root = None,
            Some(("sslrootcert", value)) => {
                let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
                root = file(&decoded.map_or(value.into(), |(_, path)| path)).map_err(|_| "sslrootcert is no file")?;
            }
            _ => rest.push(pair),
        }
    }
    let mut connection: tokio_postgres::Config =
        format!("{base}?{}", rest.join("&")).parse().map_err(|_| "is no URL that names a PostgreSQL database")?;
    if connection.get_hosts().is_empty() && connection.get_hostaddrs().is_empty() {
        return Err("names no host".into());
    }
    connection.ssl_mode(mode.of_client());
    if connection.get_application_name().is_none() {
        connection.application_name("crm-worker");
    }
    Ok(Database { connection, mode, root })
}

fn ssl_mode(text: &str) -> Checked<SslMode> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err("has an sslmode other than disable, prefer, require, verify-full".into()),
    }
}

pub fn smtp(text: &str) -> Checked<Option<Secret>> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    match (url.scheme(), tls.as_deref()) {
        ("smtps", None) | ("smtp", Some("required")) => {}
        ("smtp", None | Some("opportunistic")) if url.password().is_none() => {}
        ("smtp", None | Some("opportunistic")) => {
            return Err("would send the password without encryption: add ?tls=required".into());
        }
        ("smtp" | "smtps", _) => return Err("has a tls other than required, opportunistic".into()),
        _ => return Err("begins neither with smtp:// nor with smtps://".into()),
    }
    if url.host_str().unwrap_or_default().is_empty() {
        return Err("names no host".into());
    }
    Ok(Some(Secret::new(text)))
}

pub fn mailbox(text: &str) -> Checked<Option<lettre::message::Mailbox>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "is no e-mail address".into())
}

/// Where links in messages begin: without a slash at the end.
pub fn app_url(text: &str) -> Checked<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() || url.fragment().is_some()
    {
        return Err("is no http or https URL without query".into());
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

/// What follows `app_url` in a link.
pub fn path(text: &str) -> Checked<String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".into());
    }
    if text.matches("{token}").count() != 1 {
        return Err("does not contain {token} once".into());
    }
    Ok(text.to_owned())
}

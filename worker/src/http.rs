//! Requests to others: within bounds of time and size, never further than where they were sent.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, redirect};
use rustls::{CertificateError, ClientConfig};

use crate::guard::{Guard, Refusal, Resolver};

/// No redirects, no proxy of the environment, no cookies, no compression: what is sent goes to the address that was checked, and
/// what comes is as large as it looks.
pub fn client(guard: Arc<Guard>, tls: ClientConfig, connect_timeout: Duration) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Resolver(guard))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .http1_only()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(4)
        .user_agent(concat!("crm-worker/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client: {error}"))
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<i32>,
    pub body: Vec<u8>,
    /// Whether there was more than the limit.
    pub cut: bool,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer, or no whole one.
#[derive(Debug)]
pub struct Failure {
    /// For whoever owns the endpoint: says nothing of what is around the worker.
    pub word: String,
    /// What had come of an answer.
    pub answer: Option<Answer>,
    /// Nothing was sent.
    pub before_sending: bool,
}

/// Sends a request and reads its answer, all within `timeout`, and no more than `limit` bytes of it.
pub async fn exchange(request: RequestBuilder, timeout: Duration, limit: usize) -> Result<Answer, Failure> {
    let mut begun = None;
    let reading = async {
        let mut response = request.send().await?;
        let answer = begun.insert(begin(&response));
        read(&mut response, answer, limit).await
    };
    let failure = match tokio::time::timeout(timeout, reading).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((word(&error), error.is_connect())),
        Err(_) => Some(("timeout".into(), false)),
    };
    match (failure, begun) {
        (None, Some(answer)) => Ok(answer),
        (Some((word, before_sending)), answer) => Err(Failure { word, answer, before_sending }),
        (None, None) => Err(Failure { word: "failed".into(), answer: None, before_sending: false }),
    }
}

fn begin(response: &Response) -> Answer {
    let retry_after = retry_after(response.headers(), SystemTime::now());
    Answer { status: response.status().as_u16(), retry_after, body: vec![], cut: false }
}

async fn read(response: &mut Response, answer: &mut Answer, limit: usize) -> Result<(), reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = limit - answer.body.len();
        answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            answer.cut = true;
            break;
        }
    }
    Ok(())
}

/// `Retry-After` in seconds, of either form (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<i32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(i32::MAX));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let seconds = until.duration_since(now).unwrap_or_default().as_secs_f64().ceil();
    Some(seconds as i32)
}

/// What a failure is called. The libraries' own texts tell of addresses and certificates.
fn word(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timeout".into();
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(word) = word_of_cause(cause) {
            return word;
        }
        source = cause.source();
    }
    if error.is_connect() { "not connected" } else { "failed" }.into()
}

fn word_of_cause(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(refusal.to_string());
    }
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(word_of_tls(error));
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return word_of_io(error);
    }
    let error = cause.downcast_ref::<hyper::Error>()?;
    if error.is_incomplete_message() || error.is_closed() {
        return Some("connection closed".into());
    }
    (error.is_parse() || error.is_parse_too_large()).then(|| "invalid answer".into())
}

fn word_of_io(error: &io::Error) -> Option<String> {
    // An io::Error is not the source's parent, but its box.
    if let Some(inner) = error.get_ref()
        && let Some(word) = word_of_cause(inner)
    {
        return Some(word);
    }
    let word = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset",
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => "connection closed",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::TimedOut => "timeout",
        _ => return None,
    };
    Some(word.into())
}

fn word_of_tls(error: &rustls::Error) -> String {
    let reason = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate not yet valid",
            CertificateError::UnknownIssuer => "certificate of an unknown issuer",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "certificate of another name"
            }
            CertificateError::Revoked => "certificate revoked",
            _ => "certificate not valid",
        },
        _ => "no agreement",
    };
    format!("tls: {reason}")
}

/// The beginning of an answer as text that can be stored and shown: at most so many bytes.
pub fn excerpt(body: &[u8], limit: usize) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(body).chars() {
        let c = match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if text.len() + c.len_utf8() > limit {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn told(value: &str) -> Option<i32> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        // 1994-11-06 08:49:37
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let cases = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999", Some(i32::MAX)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(i32::MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(told(value), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    #[test]
    fn an_excerpt_is_text_within_its_limit() {
        assert_eq!(excerpt(b"ok\r\n\tdone", 100), "ok   done");
        assert_eq!(excerpt(b"a\0b\x1b[31mc\x7f", 100), "a\u{fffd}b\u{fffd}[31mc\u{fffd}");
        assert_eq!(excerpt(b"\xff\xfe", 100), "\u{fffd}\u{fffd}");
        assert_eq!(excerpt("ä".repeat(10).as_bytes(), 5), "ää");
        assert_eq!(excerpt(b"", 5), "");
        // A character that the limit of bytes has cut in two.
        assert_eq!(excerpt(&"ä".as_bytes()[..1], 5), "\u{fffd}");
        assert_eq!(excerpt(&[b'x'; 5000], 1024).len(), 1024);
    }
}

//! One attempt to deliver, without a database: a request, and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use crate::guard::Guard;
use crate::http::{self, Failure};

/// How much of an answer is kept.
const EXCERPT: usize = 1024;

/// What is to be delivered. It has no Debug: the body is a tenant's, and the headers may hold a secret.
pub struct Delivery {
    pub org_id: Uuid,
    pub id: Uuid,
    pub attempt: i32,
    pub webhook_id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub url: String,
    pub headers: Value,
    pub body: String,
}

#[derive(Clone, Copy)]
pub struct Limits {
    /// Of the whole attempt.
    pub timeout: Duration,
    /// Of the answer, in bytes.
    pub response: usize,
}

#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub status: Option<u16>,
    pub duration: Duration,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// Why there was no answer, or no whole one.
    pub error: Option<String>,
    /// Seconds.
    pub retry_after: Option<i32>,
}

impl Outcome {
    /// A 2xx, and the end of it or more than enough.
    pub fn is_delivered(&self) -> bool {
        self.error.is_none() && self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

pub async fn attempt(client: &Client, guard: &Guard, delivery: &Delivery, limits: Limits) -> Outcome {
    let began = Instant::now();
    let outcome = match prepare(guard, delivery) {
        Ok((url, headers)) => {
            let request = client.post(url).headers(headers).body(delivery.body.clone());
            told(http::exchange(request, limits.timeout, limits.response).await)
        }
        Err(error) => Outcome { error: Some(error), ..Outcome::default() },
    };
    Outcome { duration: began.elapsed(), ..outcome }
}

fn told(answer: Result<http::Answer, Failure>) -> Outcome {
    let (answer, error) = match answer {
        // No status of HTTP's: the client reads up to 999.
        Ok(answer) if answer.status >= 600 => (None, Some("invalid answer".into())),
        Ok(answer) => (Some(answer), None),
        Err(failure) => (failure.answer.filter(|answer| answer.status < 600), Some(failure.word)),
    };
    Outcome {
        status: answer.as_ref().map(|answer| answer.status),
        response: answer.as_ref().map(|answer| http::excerpt(&answer.body, EXCERPT)),
        retry_after: answer.as_ref().and_then(|answer| answer.retry_after),
        duration: Duration::ZERO,
        error,
    }
}

fn prepare(guard: &Guard, delivery: &Delivery) -> Result<(url::Url, HeaderMap), String> {
    let url = guard.check(&delivery.url).map_err(|refusal| refusal.to_string())?;
    Ok((url, headers(&delivery.headers)?))
}

/// What says where a request ends and where it goes is the client's alone: with it, one request could pass for two.
const OF_THE_CONNECTION: [&str; 9] =
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"];

fn headers(told: &Value) -> Result<HeaderMap, String> {
    let told: BTreeMap<String, String> =
        serde_json::from_value(told.clone()).map_err(|_| "invalid header".to_owned())?;
    let mut headers = HeaderMap::with_capacity(told.len());
    for (name, value) in told {
        let name: HeaderName = name.parse().map_err(|_| "invalid header".to_owned())?;
        if OF_THE_CONNECTION.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
            return Err("header not allowed".into());
        }
        let value = HeaderValue::from_str(&value).or_else(|_| HeaderValue::from_bytes(value.as_bytes()));
        headers.insert(name, value.map_err(|_| "invalid header".to_owned())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    #[test]
    fn headers_that_rule_the_connection_are_refused() {
        let good = headers(&json!({ "content-type": "application/json", "X-Note": "ä" })).unwrap();
        assert_eq!(
            (good["content-type"].as_bytes(), good["x-note"].as_bytes()),
            (&b"application/json"[..], "ä".as_bytes())
        );
        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "Proxy-Authorization"] {
            assert_eq!(headers(&json!({ name: "x" })).unwrap_err(), "header not allowed", "{name}");
        }
        for bad in [json!({ "a b": "x" }), json!({ "a": "x\r\ny: z" }), json!({ "a": 1 }), json!(["a"])] {
            assert_eq!(headers(&bad).unwrap_err(), "invalid header", "{bad}");
        }
    }
}

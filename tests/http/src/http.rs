//! Requests and answers. What no answer may ever show is checked on every single one.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

/// Words of the inside. An error that contains one, without having been sent it, tells too much.
const INTERNALS: [&str; 16] = [
    "pgrx",
    ".rs",
    "crm_private",
    "signing_keys",
    "spi_",
    "panicked",
    "backtrace",
    "argon2",
    "private key",
    "begin_request",
    "/home/",
    "/.cargo/",
    "/usr/",
    "select set_config",
    " from crm",
    "insert into",
];

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        // A connection of its own for every request: one that the server closes would disturb the next test.
        .max_idle_connections(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
});

#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: vec![], body: vec![] }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn prefer(self, preference: &str) -> Self {
        self.header("Prefer", preference)
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sends it, and stops the test at an answer that no request may ever get.
    #[track_caller]
    pub fn send(self) -> Response {
        self.try_send().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Sends it; an answer that no request may ever get is an error.
    pub fn try_send(self) -> Result<Response, String> {
        let described = format!("{} {} {}", self.method, self.path, self.excerpt());
        let mut request = ureq::http::Request::builder().method(self.method.as_str()).uri(format!(
            "{}{}",
            crate::setting("CRM_TEST_URL"),
            self.path
        ));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = if self.body.is_empty() && matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS") {
            AGENT.run(request.body(()).unwrap())
        } else {
            AGENT.run(request.body(self.body.clone()).unwrap())
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{described}: {error}"));
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value.as_bytes()).into()));
        let response = Response {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            body: answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap(),
            request: described,
        };
        match response.broken_promise(&self) {
            Some(problem) => Err(format!("{problem}: {response}")),
            None => Ok(response),
        }
    }

    fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }

    fn contains(&self, word: &str) -> bool {
        let headers: String = self.headers.iter().map(|(_, value)| value.as_str()).collect();
        let sent = format!("{}{headers}{}", self.path, String::from_utf8_lossy(&self.body));
        sent.to_lowercase().contains(word)
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub request: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    /// The rows of a JSON array.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        self.json().as_array().unwrap_or_else(|| panic!("no rows: {self}")).clone()
    }

    /// One text column of all rows.
    #[track_caller]
    pub fn column(&self, name: &str) -> Vec<String> {
        self.rows().iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The `code` of an error.
    pub fn code(&self) -> String {
        serde_json::from_slice::<Value>(&self.body).map_or(String::new(), |body| text(&body["code"]))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// What is wrong with this answer, to whatever request.
    fn broken_promise(&self, sent: &Request) -> Option<String> {
        if self.status >= 500 {
            return Some("a server error is a defect".into());
        }
        if self.status < 400 {
            return None;
        }
        let body = self.text();
        // The second is PostgREST's answer to a path of two parts.
        let empty = body.is_empty() || (self.status == 404 && body == "{}");
        if !empty && self.members() != ["code", "details", "hint", "message"] {
            return Some("an error of another shape".into());
        }
        let shown = format!("{body}{:?}", self.headers).to_lowercase();
        let internal = INTERNALS.iter().find(|word| shown.contains(*word) && !sent.contains(word));
        internal.map(|word| format!("an error that shows {word}"))
    }

    fn members(&self) -> Vec<String> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut members: Vec<_> = body.as_object().map_or(vec![], |body| body.keys().cloned().collect());
        members.sort();
        members
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let body: String = self.text().chars().take(600).collect();
        write!(f, "{} → {} {body}", self.request, self.status)
    }
}

/// A JSON string's text; empty for anything else.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Percent-encoded for a query.
pub fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

//! Sends the messages that wait for people, by SMTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{Address, AsyncTransport, Message, Tokio1Executor};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use tracing::{error, info, warn};
use url::Url;
use uuid::Uuid;

use crate::config::{Mail, Network};
use crate::db::{Error, Link};
use crate::letter::{About, KINDS, Letters};
use crate::metrics::Metrics;
use crate::repeat::{Backoff, Stop};

/// Also how long a message waits that could not be sent.
const LEASE: Duration = Duration::from_secs(120);
const AT_ONCE: i32 = 10;
/// Of one message, which the ten of a claim take one after the other.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A refusal for good may be a mistake in the settings, which is mended: only the so-manieth is believed.
const REFUSALS: i32 = 5;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

pub struct Postman {
    link: Arc<Link>,
    metrics: Arc<Metrics>,
    transport: Transport,
    letters: Letters,
    from: Mailbox,
}

/// A message as it was claimed. It has no Debug: the token lets its reader in.
struct Waiting {
    id: Uuid,
    kind: String,
    recipient: Option<String>,
    content: Value,
    token: Option<String>,
    expires_at: String,
    attempt: i32,
}

/// How sending one ended.
enum Sent {
    Yes,
    /// It never can be.
    Never(String),
    /// It is tried again after the lease.
    Later(String),
    /// The server takes nothing.
    Unreachable(String),
}

impl Postman {
    pub fn new(link: Arc<Link>, metrics: Arc<Metrics>, mail: &Mail, network: &Network) -> Result<Self, String> {
        let transport = transport(mail.smtp.reveal(), network)?;
        Ok(Self { link, metrics, transport, letters: Letters::new(mail)?, from: mail.from.clone() })
    }

    /// Fails when the server takes nothing, so that the next messages are claimed later.
    pub async fn round(&self, stop: &Stop) -> Result<bool, String> {
        let claimed = Instant::now();
        let waiting = self.claim().await.map_err(|error| error.to_string())?;
        let all = waiting.len() == AT_ONCE as usize;
        for message in &waiting {
            // What is left of the lease is not enough: somebody else may have it by then.
            if claimed.elapsed() + TIMEOUT > LEASE || stop.soon.is_cancelled() {
                break;
            }
            self.handle(message, claimed + LEASE).await?;
        }
        Ok(all)
    }

    async fn claim(&self) -> Result<Vec<Waiting>, Error> {
        let rows = self
            .link
            .query(
                "select id, kind, recipient, content, token, pg_catalog.to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI \"UTC\"'), attempt
                 from crm.claim_messages($1, pg_catalog.make_interval(secs => $2))",
                &[(&AT_ONCE, Type::INT4), (&LEASE.as_secs_f64(), Type::FLOAT8)],
            )
            .await?;
        Ok(rows.iter().map(Waiting::of).collect::<Result<_, _>>()?)
    }

    async fn handle(&self, message: &Waiting, deadline: Instant) -> Result<(), String> {
        let (kind, attempt, id) = (&message.kind, message.attempt, message.id);
        let outcome = match self.send(message).await {
            Sent::Yes => {
                info!(message_id = %id, kind, attempt, "sent a message");
                self.complete(id, deadline).await.map(|()| "sent")
            }
            Sent::Never(problem) => {
                error!(message_id = %id, kind, attempt, problem, "a message can never be sent");
                self.complete(id, deadline).await.map(|()| "refused")
            }
            Sent::Later(problem) => {
                warn!(message_id = %id, kind, attempt, problem, "a message is sent later");
                Ok("postponed")
            }
            Sent::Unreachable(problem) => {
                self.metrics.message(kind, "postponed");
                return Err(format!("the mail server takes no message: {problem}"));
            }
        };
        self.metrics.message(kind, outcome.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Until it is noted, or the message would be sent again.
    async fn complete(&self, id: Uuid, deadline: Instant) -> Result<(), Error> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            match self.link.query("select crm.complete_message($1)", &[(&id, Type::UUID)]).await {
                Err(error) if error.lost && Instant::now() < deadline => tokio::time::sleep(backoff.failed()).await,
                answer => return answer.map(drop),
            }
        }
    }

    async fn send(&self, message: &Waiting) -> Sent {
        if !KINDS.contains(&message.kind.as_str()) {
            return Sent::Later("this worker has no template for it: is it older than the database?".into());
        }
        let email = match self.email(message) {
            Ok(email) => email,
            Err(problem) => return Sent::Never(problem),
        };
        match tokio::time::timeout(TIMEOUT, self.transport.send(email)).await {
            Ok(Ok(_)) => Sent::Yes,
            Ok(Err(error)) => verdict(&error, message.attempt),
            Err(_) => Sent::Unreachable("timeout".into()),
        }
    }

    fn email(&self, message: &Waiting) -> Result<Message, String> {
        let recipient: Address = message
            .recipient
            .as_deref()
            .and_then(|recipient| recipient.parse().ok())
            .ok_or("its recipient is no e-mail address")?;
        let about = About {
            kind: &message.kind,
            content: &message.content,
            token: message.token.as_deref(),
            expires_at: &message.expires_at,
        };
        let letter = self.letters.write(&about)?;
        Message::builder()
            .from(self.from.clone())
            .to(recipient.into())
            .subject(letter.subject)
            // The same each time, so that a reader's program knows a message it has got already.
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .raw_header(automatic())
            .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
            .map_err(|error| error.to_string())
    }
}

/// So that nobody's absence is announced to us (RFC 3834).
fn automatic() -> lettre::message::header::HeaderValue {
    use lettre::message::header::{HeaderName, HeaderValue};
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into())
}

/// What an error says of this message, and what of the server.
fn verdict(error: &smtp::Error, attempt: i32) -> Sent {
    let text = error.to_string();
    let Some(code) = error.status() else { return Sent::Unreachable(text) };
    decide(code.into(), &text, attempt)
}

fn decide(code: u16, text: &str, attempt: i32) -> Sent {
    // Of RFC 3463: the mailbox, the host, or the form of the recipient's address.
    const NO_SUCH_RECIPIENT: [&str; 6] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"];
    let text = crate::http::excerpt(text.as_bytes(), 300);
    match code {
        // It does not know us, or is busy or ending: nothing else will be taken either.
        421 | 530 | 534 | 535 | 538 | 454 => Sent::Unreachable(text),
        400..500 => Sent::Later(text),
        _ if text.split(' ').any(|word| NO_SUCH_RECIPIENT.contains(&word)) => Sent::Never(text),
        _ if attempt >= REFUSALS => Sent::Never(text),
        _ => Sent::Later(text),
    }
}

impl Waiting {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            kind: row.try_get(1)?,
            recipient: row.try_get(2)?,
            content: row.try_get(3)?,
            token: row.try_get(4)?,
            expires_at: row.try_get(5)?,
            attempt: row.try_get(6)?,
        })
    }
}

fn transport(url: &str, network: &Network) -> Result<Transport, String> {
    let unusable = |error: smtp::Error| format!("CRM_WORKER_SMTP_URL: {error}");
    let mut builder = Transport::from_url(url).map_err(unusable)?.timeout(Some(TIMEOUT));
    if let Some(path) = &network.ca_file {
        let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Some(tls) = tls_with(url, &pem).map_err(unusable)? {
            builder = builder.tls(tls);
        }
    }
    Ok(builder.build())
}

/// The way the URL asks for, believing these certificates too.
fn tls_with(url: &str, pem: &[u8]) -> Result<Option<Tls>, smtp::Error> {
    let Ok(url) = Url::parse(url) else { return Ok(None) };
    let parameters = TlsParameters::builder(url.host_str().unwrap_or_default().to_owned());
    let parameters = parameters.add_root_certificate(Certificate::from_pem(pem)?).build()?;
    let asked = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    Ok(match (url.scheme(), asked.as_deref()) {
        ("smtps", _) => Some(Tls::Wrapper(parameters)),
        (_, Some("required")) => Some(Tls::Required(parameters)),
        (_, Some("opportunistic")) => Some(Tls::Opportunistic(parameters)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(code: u16, text: &str, attempt: i32) -> &'static str {
        match decide(code, text, attempt) {
            Sent::Yes => "yes",
            Sent::Never(_) => "never",
            Sent::Later(_) => "later",
            Sent::Unreachable(_) => "unreachable",
        }
    }

    #[test]
    fn a_refusal_for_good_is_believed_of_the_recipient_at_once_and_otherwise_the_fifth_time() {
        let cases = [
            (550, "permanent error (550): 5.1.1 no such user", 1, "never"),
            (550, "permanent error (550): 5.7.1 sender rejected", 1, "later"),
            (550, "permanent error (550): 5.7.1 sender rejected", 5, "never"),
            (554, "permanent error (554): no", 4, "later"),
            (450, "transient error (450): 4.2.1 greylisted", 9, "later"),
            (421, "transient error (421): too many", 1, "unreachable"),
            (535, "permanent error (535): 5.7.8 bad credentials", 9, "unreachable"),
        ];
        for (code, text, attempt, expected) in cases {
            assert_eq!(decided(code, text, attempt), expected, "{text}, attempt {attempt}");
        }
    }
}

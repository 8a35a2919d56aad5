//! Attempts to deliver, against receivers that behave and receivers that do not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crm_worker::deliver::{Delivery, Limits, Outcome, attempt};
use crm_worker::guard::Guard;
use crm_worker::{http, tls};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(2), response: 64 * 1024 };

/// Takes connections, and does the same with each.
async fn receiver<F: Future<Output = io::Result<()>> + Send + 'static>(
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// Reads a request to the end of its body.
async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut request = vec![];
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await?;
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) || read == 0 {
                return Ok(text);
            }
        }
    }
}

/// Answers every request with these bytes and closes.
async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<Vec<u8>> = Arc::new(answer.into());
    receiver(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
    })
    .await
}

fn delivery(url: &str) -> Delivery {
    Delivery {
        org_id: Uuid::new_v4(),
        id: Uuid::new_v4(),
        attempt: 1,
        webhook_id: Uuid::new_v4(),
        event_id: Uuid::new_v4(),
        event_type: "contact.created".into(),
        url: url.into(),
        headers: json!({
            "content-type": "application/json", "webhook-id": "evt_1", "webhook-timestamp": "1700000000",
            "webhook-signature": "v1,abc=", "X-Webhook-Signature": "sha256=00",
        }),
        body: "{\"type\": \"contact.created\"}".into(),
    }
}

fn guard(allowed: &[&str]) -> Arc<Guard> {
    Arc::new(Guard::new(true, allowed.iter().map(|network| network.parse().unwrap()).collect()))
}

async fn attempt_with(guard: Arc<Guard>, url: &str) -> Outcome {
    let client = http::client(guard.clone(), tls::client(None).unwrap(), Duration::from_secs(1)).unwrap();
    attempt(&client, &guard, &delivery(url), LIMITS).await
}

async fn deliver_to(address: SocketAddr) -> Outcome {
    attempt_with(guard(&["127.0.0.0/8"]), &format!("http://{address}/hook?key=1")).await
}

fn failed(outcome: &Outcome, status: Option<u16>, error: Option<&str>) {
    assert!(!outcome.is_delivered(), "{outcome:?}");
    assert_eq!((outcome.status, outcome.error.as_deref()), (status, error), "{outcome:?}");
}

#[tokio::test]
async fn a_receiver_gets_what_the_database_has_prepared() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let address = receiver(move |mut stream| {
        let told = told.clone();
        async move {
            told.send(read_request(&mut stream).await?).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
        }
    })
    .await;
    let outcome = deliver_to(address).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    assert_eq!((outcome.status, outcome.response.as_deref(), outcome.error), (Some(204), Some(""), None));
    let request = heard.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /hook?key=1 http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/json",
        "webhook-id: evt_1",
        "webhook-timestamp: 1700000000",
        "webhook-signature: v1,abc=",
        "x-webhook-signature: sha256=00",
        "user-agent: crm-worker/",
        &format!("host: {address}"),
        "content-length: 27",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{line} in {head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
    assert_eq!(body, "{\"type\": \"contact.created\"}");
}

#[tokio::test]
async fn what_is_not_2xx_is_a_failure_with_its_answer_and_redirects_are_not_followed() {
    let followed = Arc::new(AtomicUsize::new(0));
    let target = {
        let followed = followed.clone();
        receiver(move |mut stream| {
            followed.fetch_add(1, Ordering::Relaxed);
            async move { stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await }
        })
        .await
    };
    for status in [300, 301, 302, 303, 307, 308, 400, 401, 404, 410, 500, 503] {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: http://{target}/\r\ncontent-length: 4\r\n\r\nno\r\n");
        let outcome = deliver_to(answering(answer).await).await;
        failed(&outcome, Some(status), None);
        assert_eq!(outcome.response.as_deref(), Some("no  "));
    }
    assert_eq!(followed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let answer = "HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n";
    let outcome = deliver_to(answering(answer).await).await;
    failed(&outcome, Some(429), None);
    assert_eq!(outcome.retry_after, Some(120));
    let then = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(300));
    let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {then}\r\ncontent-length: 0\r\n\r\n");
    let seconds = deliver_to(answering(answer).await).await.retry_after.unwrap();
    assert!((298..=300).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_receiver_that_stalls_gets_no_more_time_than_there_is() {
    let silent = receiver(|mut stream| async move {
        read_request(&mut stream).await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    })
    .await;
    let began = Instant::now();
    let outcome = deliver_to(silent).await;
    failed(&outcome, None, Some("timeout"));
    assert!((1900..3500).contains(&(began.elapsed().as_millis())), "{:?}", began.elapsed());
    assert!(outcome.duration >= Duration::from_millis(1900), "{outcome:?}");
}

#[tokio::test]
async fn a_receiver_that_reads_nothing_gets_no_more_time_either() {
    let deaf = receiver(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
        Ok(())
    })
    .await;
    failed(&deliver_to(deaf).await, None, Some("timeout"));
}

#[tokio::test]
async fn an_answer_that_drips_is_cut_off_in_time() {
    // In the head, then in the body: neither is a whole answer.
    for (head, status) in
        [("HTTP/1.1 200 OK\r\n", None), ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", Some(200))]
    {
        let dripping = receiver(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        let began = Instant::now();
        failed(&deliver_to(dripping).await, status, Some("timeout"));
        assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_huge_answer_is_good_and_not_read_to_its_end() {
    let written = Arc::new(AtomicUsize::new(0));
    let endless = {
        let written = written.clone();
        receiver(move |mut stream| {
            let written = written.clone();
            async move {
                read_request(&mut stream).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let chunk = format!("10000\r\n{}\r\n", "y".repeat(0x10000));
                loop {
                    stream.write_all(chunk.as_bytes()).await?;
                    written.fetch_add(chunk.len(), Ordering::Relaxed);
                }
            }
        })
        .await
    };
    let began = Instant::now();
    let outcome = deliver_to(endless).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    assert_eq!(outcome.response, Some("y".repeat(1024)));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // What the kernel had room for has been sent, and no more: the connection is closed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = written.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(written.load(Ordering::Relaxed), sent);
}

#[tokio::test]
async fn a_huge_head_is_no_answer() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "z".repeat(2 << 20));
    let outcome = deliver_to(answering(huge).await).await;
    assert!(!outcome.is_delivered() && outcome.status.is_none(), "{outcome:?}");
}

#[tokio::test]
async fn a_connection_that_ends_too_early_is_a_failure() {
    failed(&deliver_to(answering("").await).await, None, Some("connection closed"));
    let cut = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    failed(&deliver_to(cut).await, Some(200), Some("connection closed"));
    let nonsense = deliver_to(answering("SSH-2.0-OpenSSH_9.2\r\n\r\n").await).await;
    failed(&nonsense, None, Some("invalid answer"));
    let strange = deliver_to(answering("HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n").await).await;
    failed(&strange, None, Some("invalid answer"));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    failed(&deliver_to(free).await, None, Some("connection refused"));
}

#[tokio::test]
async fn answers_are_kept_as_text() {
    let body = b"a\0b\xff\nc";
    let mut answer = format!("HTTP/1.1 500 X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    let outcome = deliver_to(answering(answer).await).await;
    assert_eq!(outcome.response.as_deref(), Some("a\u{fffd}b\u{fffd} c"));
}

#[tokio::test]
async fn nothing_is_sent_where_it_may_not_go() {
    let reached = Arc::new(AtomicUsize::new(0));
    let address = {
        let reached = reached.clone();
        receiver(move |_| {
            reached.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        })
        .await
    };
    let port = address.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        // By its name: the resolver refuses it.
        format!("http://localhost:{port}/"),
    ] {
        failed(&attempt_with(guard(&[]), &url).await, None, Some("address not allowed"));
    }
    let strict = Arc::new(Guard::new(false, vec!["127.0.0.0/8".parse().unwrap()]));
    failed(&attempt_with(strict, &format!("http://127.0.0.1:{port}/")).await, None, Some("scheme not allowed"));
    let credentials = format!("http://user:password@127.0.0.1:{port}/");
    failed(&attempt_with(guard(&["127.0.0.0/8"]), &credentials).await, None, Some("credentials in url"));
    failed(&attempt_with(guard(&[]), "http://no-such-name.invalid/").await, None, Some("dns"));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    attempt_with(guard(&["127.0.0.0/8"]), &format!("http://localhost:{port}/")).await;
    assert!(reached.load(Ordering::Relaxed) > 0, "a name that may be called is");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let address = receiver(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            stream.read_u8().await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            stream.shutdown().await
        }
    })
    .await;
    let url = format!("https://localhost:{}/", address.port());
    let refused = attempt_with(guard(&["127.0.0.0/8"]), &url).await;
    failed(&refused, None, Some("tls: certificate of an unknown issuer"));
    // The same with the certificate among those that are believed.
    let pem = std::env::temp_dir().join(format!("crm-worker-{}.pem", Uuid::new_v4()));
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let guard = guard(&["127.0.0.0/8"]);
    let client = http::client(guard.clone(), tls::client(Some(&pem)).unwrap(), Duration::from_secs(1)).unwrap();
    let outcome = attempt(&client, &guard, &delivery(&url), LIMITS).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    // But not under another name.
    let url = format!("https://127.0.0.1:{}/", address.port());
    let refused = attempt(&client, &guard, &delivery(&url), LIMITS).await;
    failed(&refused, None, Some("tls: certificate of another name"));
    std::fs::remove_file(pem).unwrap();
}

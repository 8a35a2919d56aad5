//! Proxies that the environment names are not asked. A program of its own, for it changes its environment.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crm_worker::deliver::{Delivery, Limits, attempt};
use crm_worker::guard::Guard;
use crm_worker::{http, tls};
use uuid::Uuid;

#[test]
fn a_delivery_goes_to_its_receiver_and_not_to_a_proxy() {
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        // SAFETY: nothing else runs in this process yet.
        unsafe { std::env::set_var(name, "http://127.0.0.1:1") };
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let guard = Arc::new(Guard::new(true, vec!["127.0.0.0/8".parse().unwrap()]));
    let client = http::client(guard.clone(), tls::client(None).unwrap(), Duration::from_secs(1)).unwrap();
    let delivery = Delivery {
        org_id: Uuid::nil(),
        id: Uuid::nil(),
        attempt: 1,
        webhook_id: Uuid::nil(),
        event_id: Uuid::nil(),
        event_type: String::new(),
        url,
        headers: serde_json::json!({}),
        body: String::new(),
    };
    let limits = Limits { timeout: Duration::from_secs(5), response: 1024 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(attempt(&client, &guard, &delivery, limits));
    assert!(outcome.is_delivered(), "{outcome:?}");
}

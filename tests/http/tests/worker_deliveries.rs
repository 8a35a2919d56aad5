//! Events on their way to receivers, with a worker that is disturbed in every way. One test at a time: a worker takes what waits
//! for anybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::text;
use crm_http_tests::receiver::{Answer, Receiver};
use crm_http_tests::worker::{Worker, eventually};
use crm_http_tests::{admin, alone, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// Somebody with a webhook that is told of contacts.
struct Subscriber {
    user: Actor,
    webhook: Uuid,
    secret: String,
}

impl Subscriber {
    fn new(url: &str) -> Self {
        let user = Actor::register();
        let arguments = json!({ "name": unique("hook"), "url": url, "events": ["contact.created"] });
        let made = user.post("/rpc/create_webhook", &arguments).expect(200).json();
        Self { user, webhook: id_of(&made), secret: text(&made["secret"]) }
    }

    /// So many contacts, in one statement.
    fn make_contacts(&self, number: usize) {
        let rows: Vec<_> = (1..=number).map(|n| json!({ "last_name": format!("Contact {n}") })).collect();
        self.user.request("POST", "/contacts").json(&json!(rows)).send().expect(201);
    }

    /// What was tried: outcome, status and error, the oldest first.
    fn attempts(&self) -> Vec<Value> {
        let rows: Value = admin::value(
            "select coalesce(jsonb_agg(jsonb_build_array(outcome, status, error) order by id), '[]')
             from crm.webhook_attempts where webhook_id = $1",
            &[&self.webhook],
        );
        rows.as_array().unwrap().clone()
    }

    #[track_caller]
    fn until_attempted(&self, number: usize) -> Vec<Value> {
        eventually(&format!("{number} attempts"), || Some(self.attempts()).filter(|tried| tried.len() >= number))
    }

    /// How many deliveries wait, are leased, and have been tried.
    fn queue(&self) -> (i64, i64, i64) {
        let counted: Value = admin::value(
            "select jsonb_build_array(count(*), count(leased_until), count(*) filter (where attempts > 0))
             from crm.webhook_deliveries where webhook_id = $1",
            &[&self.webhook],
        );
        let number = |at: usize| counted[at].as_i64().unwrap();
        (number(0), number(1), number(2))
    }
}

impl Drop for Subscriber {
    /// What waits would go to whom the next test starts.
    fn drop(&mut self) {
        admin::execute("delete from crm.webhooks where id = $1", &[&self.webhook]);
    }
}

/// A worker that delivers to this machine.
fn worker(settings: &[(&str, &str)]) -> Worker {
    let mut all =
        vec![("JOBS", "deliveries"), ("ALLOW_HTTP", "true"), ("ALLOWED_NETWORKS", "127.0.0.1,::1"), ("LOG", "debug")];
    all.extend(settings);
    Worker::start(&all)
}

#[test]
fn a_change_reaches_its_receiver_signed_and_once() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(204, ""));
    let subscriber = Subscriber::new(&format!("{}/hook?key=kzq-secret", receiver.url));
    let worker = worker(&[]);
    subscriber.make_contacts(1);
    assert_eq!(subscriber.until_attempted(1), [json!(["delivered", 204, null])]);
    let call = receiver.calls_of("/hook?key=kzq-secret").remove(0);
    let event: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!((&event["type"], &event["data"]["last_name"]), (&json!("contact.created"), &json!("Contact 1")));
    let secret = BASE64_STANDARD.decode(subscriber.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!("{}.{}.{}", call.header("webhook-id"), call.header("webhook-timestamp"), call.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    assert_eq!(call.header("webhook-signature"), format!("v1,{}", BASE64_STANDARD.encode(tag)));
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(subscriber.queue(), (0, 0, 0));
    let line = worker.until_logged("delivery");
    assert_eq!(line["org_id"], json!(subscriber.user.organization.id), "{line}");
    assert_eq!(line["webhook_id"], json!(subscriber.webhook), "{line}");
    assert_eq!((&line["status"], &line["attempt"], &line["outcome"]), (&json!(204), &json!(1), &json!("delivered")));
    assert!(!worker.log().contains("kzq-secret") && !worker.log().contains("Contact 1"), "{}", worker.log());
    sleep(Duration::from_millis(500));
    assert_eq!(receiver.calls().len(), 1);
    assert_eq!(worker.metric("crm_worker_deliveries_total{outcome=\"delivered\"}"), Some(1.0));
}

#[test]
fn a_worker_hears_of_a_change_at_once() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, ""));
    let subscriber = Subscriber::new(&receiver.url);
    let _worker = worker(&[("POLL_INTERVAL", "1h")]);
    // The round that it begins with finds nothing.
    sleep(Duration::from_millis(500));
    let began = Instant::now();
    subscriber.make_contacts(1);
    eventually("the delivery", || (!receiver.calls().is_empty()).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn an_attempt_that_fails_is_told_and_made_again_later() {
    let _alone = alone();
    let refusing = Receiver::plain(|call| match call.path.as_str() {
        "/busy" => Answer::new(429, "slow down\0").header("retry-after", "3600"),
        "/moved" => Answer::new(308, "").header("location", "/busy"),
        _ => Answer::new(410, ""),
    });
    let free = crm_http_tests::worker::free_address();
    let cases = [
        (format!("{}/busy", refusing.url), json!(["failed", 429, null])),
        (format!("{}/moved", refusing.url), json!(["failed", 308, null])),
        (format!("http://{free}/"), json!(["failed", null, "connection refused"])),
        ("http://169.254.169.254/latest/meta-data/".into(), json!(["failed", null, "address not allowed"])),
        (format!("{}/gone", refusing.url), json!(["failed", 410, null])),
    ];
    let subscribers = cases.map(|(url, expected)| (Subscriber::new(&url), expected));
    let _worker = worker(&[]);
    for (subscriber, expected) in &subscribers {
        subscriber.make_contacts(1);
        assert_eq!(subscriber.until_attempted(1), std::slice::from_ref(expected));
    }
    let minutes: f64 = admin::value(
        "select extract(epoch from run_at - now())::float8 / 60 from crm.webhook_deliveries where webhook_id = $1",
        &[&subscribers[0].0.webhook],
    );
    assert!(minutes > 58.0, "Retry-After: {minutes}");
    let response: String =
        admin::value("select response from crm.webhook_attempts where webhook_id = $1", &[&subscribers[0].0.webhook]);
    assert_eq!(response, "slow down\u{fffd}");
    let enabled: bool = admin::value("select enabled from crm.webhooks where id = $1", &[&subscribers[4].0.webhook]);
    assert!(!enabled, "410 is the end");
    assert_eq!(refusing.calls_of("/busy").len(), 1, "a redirect was followed");
}

#[test]
fn a_receiver_that_is_mended_gets_what_it_missed() {
    let _alone = alone();
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    let receiver = Receiver::plain(move |_| Answer::new(if state.load(Ordering::Relaxed) { 500 } else { 200 }, "x"));
    let subscriber = Subscriber::new(&receiver.url);
    let _worker = worker(&[]);
    subscriber.make_contacts(1);
    assert_eq!(subscriber.until_attempted(1), [json!(["failed", 500, null])]);
    broken.store(false, Ordering::Relaxed);
    // The first pause is five seconds.
    assert_eq!(subscriber.until_attempted(2)[1], json!(["delivered", 200, null]));
    let ids: BTreeSet<_> = receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();
    assert_eq!((receiver.calls().len(), ids.len()), (2, 1), "the same id with every attempt");
}

#[test]
fn a_receiver_that_stalls_holds_nobody_up() {
    let _alone = alone();
    let stalling = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(13)));
    let receiver = Receiver::plain(|_| Answer::new(200, ""));
    let (slow, quick) = (Subscriber::new(&stalling.url), Subscriber::new(&receiver.url));
    let worker = worker(&[("CONCURRENCY", "8"), ("ENDPOINT_CONCURRENCY", "2")]);
    slow.make_contacts(60);
    eventually("it stalls", || (stalling.calls().len() >= 2).then_some(()));
    let began = Instant::now();
    quick.make_contacts(40);
    quick.until_attempted(40);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(stalling.calls().len() <= 4, "{} at a time", stalling.calls().len());
    eventually("what waits too long is given back", || {
        (worker.metric("crm_worker_deliveries_total{outcome=\"released\"}") >= Some(1.0)).then_some(())
    });
    // What was given back counts as no attempt.
    let (_, leased, tried) = slow.queue();
    assert_eq!(leased, tried);
}

#[test]
fn one_organization_does_not_take_all_that_a_worker_can_do() {
    let _alone = alone();
    let stalling = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(13)));
    let receiver = Receiver::plain(|_| Answer::new(200, ""));
    let (slow, quick) = (Subscriber::new(&stalling.url), Subscriber::new(&receiver.url));
    let _worker = worker(&[("CONCURRENCY", "4"), ("ENDPOINT_CONCURRENCY", "4"), ("ORGANIZATION_CONCURRENCY", "2")]);
    slow.make_contacts(30);
    eventually("it stalls", || (stalling.calls().len() >= 2).then_some(()));
    let began = Instant::now();
    quick.make_contacts(10);
    quick.until_attempted(10);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(stalling.calls().len(), 2);
}

#[test]
fn workers_together_deliver_everything_once() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, ""));
    let subscriber = Subscriber::new(&receiver.url);
    let _workers = [worker(&[]), worker(&[]), worker(&[])];
    for _ in 0..4 {
        subscriber.make_contacts(75);
    }
    subscriber.until_attempted(300);
    eventually("the queue is empty", || (subscriber.queue().0 == 0).then_some(()));
    let ids: BTreeSet<_> = receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();
    assert_eq!((receiver.calls().len(), ids.len(), subscriber.attempts().len()), (300, 300, 300));
}

#[test]
fn a_worker_that_is_asked_to_stop_ends_what_it_has_begun() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(2)));
    let subscriber = Subscriber::new(&receiver.url);
    let mut worker = worker(&[("ENDPOINT_CONCURRENCY", "2")]);
    subscriber.make_contacts(6);
    eventually("it has begun", || (receiver.calls().len() >= 2).then_some(()));
    worker.signal("TERM");
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.log());
    assert_eq!(subscriber.attempts(), [json!(["delivered", 200, null]), json!(["delivered", 200, null])]);
    assert_eq!((receiver.calls().len(), subscriber.queue()), (2, (4, 0, 0)), "{}", worker.log());
}

#[test]
fn a_worker_that_has_no_more_time_gives_back_what_it_has_begun() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(14)));
    let subscriber = Subscriber::new(&receiver.url);
    let mut worker = worker(&[("STOP_TIMEOUT", "1s")]);
    subscriber.make_contacts(3);
    eventually("it has begun", || (receiver.calls().len() >= 3).then_some(()));
    let began = Instant::now();
    worker.signal("INT");
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.log());
    assert!((1..5).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(subscriber.queue(), (3, 0, 0));
    assert!(subscriber.attempts().is_empty());
}

#[test]
fn a_second_signal_ends_a_worker_at_once() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(10)));
    let subscriber = Subscriber::new(&receiver.url);
    let mut worker = worker(&[]);
    subscriber.make_contacts(1);
    eventually("it has begun", || (!receiver.calls().is_empty()).then_some(()));
    worker.signal("TERM");
    worker.until_logged("stopping");
    let began = Instant::now();
    worker.signal("TERM");
    assert_eq!(worker.wait().code(), Some(1), "{}", worker.log());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn what_a_worker_had_that_was_killed_comes_again() {
    let _alone = alone();
    let slow = Arc::new(AtomicBool::new(true));
    let state = slow.clone();
    let receiver = Receiver::plain(move |_| {
        let pause = if state.load(Ordering::Relaxed) { 10 } else { 0 };
        Answer::new(200, "").after(Duration::from_secs(pause))
    });
    let subscriber = Subscriber::new(&receiver.url);
    let settings = [("LEASE", "3s"), ("DELIVERY_TIMEOUT", "1500ms"), ("CONNECT_TIMEOUT", "1s")];
    let mut first = worker(&settings);
    subscriber.make_contacts(5);
    eventually("it has begun", || (!receiver.calls().is_empty()).then_some(()));
    first.signal("KILL");
    first.wait();
    slow.store(false, Ordering::Relaxed);
    let _second = worker(&settings);
    eventually("the queue is empty", || (subscriber.queue().0 == 0).then_some(()));
    let arrived: BTreeSet<_> = receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();
    assert_eq!(arrived.len(), 5);
    let delivered = subscriber.attempts().iter().filter(|attempt| attempt[0] == "delivered").count();
    assert_eq!(delivered, 5);
}

#[test]
fn a_delivery_is_noted_though_the_connection_was_lost_meanwhile() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_secs(1)));
    let subscriber = Subscriber::new(&receiver.url);
    let worker = worker(&[]);
    subscriber.make_contacts(4);
    eventually("it has begun", || (receiver.calls().len() >= 4).then_some(()));
    worker.disconnect();
    assert_eq!(subscriber.until_attempted(4), [(); 4].map(|()| json!(["delivered", 200, null])));
    assert_eq!(receiver.calls().len(), 4);
}

#[test]
fn a_worker_that_is_cut_off_again_and_again_goes_on() {
    let _alone = alone();
    let receiver = Receiver::plain(|_| Answer::new(200, "").after(Duration::from_millis(200)));
    let subscriber = Subscriber::new(&receiver.url);
    // What was claimed by a statement whose answer was lost comes again.
    let worker = worker(&[("LEASE", "3s"), ("DELIVERY_TIMEOUT", "1s"), ("CONNECT_TIMEOUT", "1s")]);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..10 {
                subscriber.make_contacts(5);
                sleep(Duration::from_millis(100));
            }
            done.store(1, Ordering::Relaxed);
        });
        while done.load(Ordering::Relaxed) == 0 {
            worker.disconnect();
            sleep(Duration::from_millis(150));
        }
    });
    let arrived =
        || -> BTreeSet<_> { receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect() };
    eventually("all have arrived", || (arrived().len() == 50).then_some(()));
    eventually("the queue is empty", || (subscriber.queue().0 == 0).then_some(()));
}

//! The worker as a whole: what begins, and how it ends.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Job, Settings};
use crate::db::{self, Link, Server};
use crate::guard::Guard;
use crate::health::{self, Health};
use crate::jwks::{self, Fetcher};
use crate::letter::Letters;
use crate::mail::Postman;
use crate::maintenance::{self, Keeper};
use crate::metrics::Metrics;
use crate::oauth::Exchanger;
use crate::queue::{Courier, Links};
use crate::repeat::{Rhythm, Stop, repeat};
use crate::{http, tls};

/// Of a statement. fan_out_events and the claims take milliseconds.
const STATEMENT: Duration = Duration::from_secs(30);
/// How long the round may go on that a job is in.
const LAST_ROUND: Duration = Duration::from_secs(15);

/// Everything but the database: also what `--check` looks at.
pub fn check(settings: &Settings) -> Result<(), String> {
    tls::client(settings.network.ca_file.as_deref())?;
    tls::for_database(&settings.database)?;
    settings.mail.as_ref().map(Letters::new).transpose().map(drop)
}

pub fn run(settings: Settings) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the worker cannot begin: {error}"))?;
    let ended = runtime.block_on(work(settings));
    // A name that is being looked up would hold up the end.
    runtime.shutdown_background();
    ended
}

async fn work(settings: Settings) -> Result<(), String> {
    let mut signals = Signals::new()?;
    let listener = match settings.listen {
        Some(address) => Some(health::bind(address).await?),
        None => None,
    };
    let stop_timeout = settings.stop_timeout;
    let worker = Worker::new(settings)?;
    worker.say_what_it_does();
    let courier = worker.begin(listener)?;
    let reason = signals.next().await;
    info!(reason, "stopping");
    worker.stop.soon.cancel();
    tokio::select! {
        () = worker.finish(courier, stop_timeout) => info!("stopped"),
        reason = signals.next() => {
            warn!(reason, "stopped at once: what was under way comes again when its lease ends");
            return Err("stopped by a second signal".into());
        }
    }
    Ok(())
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

struct Worker {
    settings: Settings,
    server: Arc<Server>,
    client: Client,
    guard: Arc<Guard>,
    health: Arc<Health>,
    stop: Stop,
    tasks: TaskTracker,
    /// What claims deliveries, apart: it ends before those that it has claimed are waited for.
    claims: TaskTracker,
}

impl Worker {
    fn new(settings: Settings) -> Result<Self, String> {
        let network = &settings.network;
        let guard = Arc::new(Guard::new(network.allow_http, network.allowed.clone()));
        let tls = tls::client(network.ca_file.as_deref())?;
        let client = http::client(guard.clone(), tls, network.connect_timeout)?;
        let (metrics, stop) = (Arc::new(Metrics::default()), Stop::default());
        let health = Arc::new(Health::new(metrics.clone(), stop.clone()));
        let server = Server::new(settings.database.clone(), guard.clone(), metrics)?;
        let (tasks, claims) = (TaskTracker::new(), TaskTracker::new());
        Ok(Self { settings, server, client, guard, health, stop, tasks, claims })
    }

    fn say_what_it_does(&self) {
        let jobs: Vec<_> = self.settings.jobs.iter().map(|job| job.name()).collect();
        info!(version = env!("CARGO_PKG_VERSION"), jobs = jobs.join(","), "crm-worker begins");
        let network = &self.settings.network;
        if network.allow_http || !network.allowed.is_empty() {
            let allowed: Vec<_> = network.allowed.iter().map(ToString::to_string).collect();
            warn!(
                allow_http = network.allow_http,
                allowed_networks = allowed.join(","),
                "what is not public may be called, as it was asked for"
            );
        }
    }

    fn has(&self, job: Job) -> bool {
        self.settings.jobs.contains(&job)
    }

    /// Begins every job; gives what has deliveries under way.
    fn begin(&self, listener: Option<TcpListener>) -> Result<Option<Arc<Courier>>, String> {
        if let Some(listener) = listener {
            // Until the very end: who watches is to see how it stops.
            tokio::spawn(health::serve(listener, self.health.clone()));
        }
        self.watch();
        let shared = Arc::new(Link::new(&self.server, STATEMENT));
        if self.has(Job::Keys) {
            self.fetch_keys(shared.clone());
        }
        if self.has(Job::Oauth) {
            self.exchange_codes(shared.clone());
        }
        if self.has(Job::Mail) {
            self.send_mail(shared)?;
        }
        if self.has(Job::Maintenance) {
            self.maintain();
        }
        Ok(self.has(Job::Deliveries).then(|| self.deliver()))
    }

    fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(job);
    }

    fn watch(&self) {
        let (health, link) = (self.health.clone(), Link::listening(&self.server, STATEMENT));
        self.spawn(async move {
            // A role that is not right is said once; the jobs say why they fail.
            let _ = db::check_role(&link).await;
            health.watch(&link).await;
        });
    }

    fn fetch_keys(&self, link: Arc<Link>) {
        let fetcher = Fetcher {
            link,
            client: self.client.clone(),
            guard: self.guard.clone(),
            metrics: self.health.metrics.clone(),
            max_age: self.settings.keys_max_age,
            failing: Mutex::default(),
        };
        let (health, stop) = (self.health.clone(), self.stop.clone());
        let pause = jwks::PAUSE.min(self.settings.poll_interval.saturating_mul(10));
        self.spawn(async move {
            let rhythm = Rhythm { job: "keys", pause, round: STATEMENT * 3, wake: None };
            repeat(rhythm, &stop, &health.beats, || fetcher.round()).await;
        });
    }

    fn exchange_codes(&self, link: Arc<Link>) {
        let exchanger = Exchanger {
            link,
            client: self.client.clone(),
            guard: self.guard.clone(),
            metrics: self.health.metrics.clone(),
        };
        let (health, stop, pause) = (self.health.clone(), self.stop.clone(), self.settings.poll_interval);
        let server = self.server.clone();
        self.spawn(async move {
            let wake = Some(&server.wakes.oauth);
            let rhythm = Rhythm { job: "oauth", pause, round: STATEMENT * 4, wake };
            repeat(rhythm, &stop, &health.beats, || exchanger.round()).await;
        });
    }

    fn send_mail(&self, link: Arc<Link>) -> Result<(), String> {
        let Some(mail) = &self.settings.mail else {
            info!("CRM_WORKER_SMTP_URL is not set: messages to people wait for a worker that sends them");
            return Ok(());
        };
        let postman = Postman::new(link, self.health.metrics.clone(), mail, &self.settings.network)?;
        let (health, stop, pause) = (self.health.clone(), self.stop.clone(), self.settings.poll_interval);
        self.spawn(async move {
            let rhythm = Rhythm { job: "mail", pause, round: STATEMENT * 6, wake: None };
            repeat(rhythm, &stop, &health.beats, || postman.round(&stop)).await;
        });
        Ok(())
    }

    fn maintain(&self) {
        let link = Link::new(&self.server, maintenance::TIMEOUT);
        let keeper = Keeper::new(link, self.health.metrics.clone());
        let (health, stop) = (self.health.clone(), self.stop.clone());
        self.spawn(async move {
            let rhythm =
                Rhythm { job: "maintenance", pause: maintenance::PAUSE, round: maintenance::TIMEOUT * 3, wake: None };
            repeat(rhythm, &stop, &health.beats, || keeper.round(&stop)).await;
        });
    }

    fn deliver(&self) -> Arc<Courier> {
        let link = || Link::new(&self.server, STATEMENT);
        let courier = Courier::new(
            Links { claims: link(), results: link() },
            self.client.clone(),
            self.guard.clone(),
            self.health.metrics.clone(),
            self.settings.deliveries,
            self.stop.clone(),
        );
        let (health, stop, pause) = (self.health.clone(), self.stop.clone(), self.settings.poll_interval);
        let (server, begun) = (self.server.clone(), courier.clone());
        self.claims.spawn(async move {
            let wake = Some(&server.wakes.events);
            let rhythm = Rhythm { job: "deliveries", pause, round: STATEMENT * 4, wake };
            repeat(rhythm, &stop, &health.beats, || begun.clone().round()).await;
        });
        courier
    }

    async fn finish(&self, courier: Option<Arc<Courier>>, patience: Duration) {
        self.tasks.close();
        self.claims.close();
        let began = Instant::now();
        let deliveries = async {
            let _ = tokio::time::timeout(LAST_ROUND, self.claims.wait()).await;
            if let Some(courier) = courier {
                courier.finish(patience.saturating_sub(began.elapsed())).await;
            }
        };
        let jobs = tokio::time::timeout(patience.min(LAST_ROUND), self.tasks.wait());
        let _ = tokio::join!(deliveries, jobs);
    }
}

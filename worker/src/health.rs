//! /health for who decides whether to start the worker anew, /metrics for who watches it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::db::{Error, Link};
use crate::metrics::Metrics;
use crate::repeat::{Beats, Rhythm, Stop, repeat};

/// After how long without an answer the database counts as gone.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);
const PING: Duration = Duration::from_secs(5);

pub struct Health {
    pub beats: Beats,
    pub metrics: Arc<Metrics>,
    pub stop: Stop,
    answered: Mutex<Option<Instant>>,
}

impl Health {
    pub fn new(metrics: Arc<Metrics>, stop: Stop) -> Self {
        Self { beats: Beats::default(), metrics, stop, answered: Mutex::default() }
    }

    /// Keeps the connection alive that hears of events, and notes that the database answers.
    pub async fn watch(&self, link: &Link) {
        let rhythm = Rhythm { job: "database", pause: PING, round: Duration::from_secs(60), wake: None };
        repeat(rhythm, &self.stop, &self.beats, || self.ping(link)).await;
    }

    async fn ping(&self, link: &Link) -> Result<bool, Error> {
        let answer = link.query("select 1", &[]).await;
        self.metrics.database_up.set(answer.is_ok().into());
        answer?;
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(false)
    }

    fn database_answers(&self) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|then| then.elapsed() < DATABASE_PATIENCE)
    }

    fn report(&self) -> (StatusCode, String) {
        let (database, jobs, stopping) = (self.database_answers(), self.beats.jobs(), self.stop.soon.is_cancelled());
        let well = database && !stopping && jobs.iter().all(|(_, alive)| *alive);
        let status = if stopping {
            "stopping"
        } else if well {
            "ok"
        } else {
            "failing"
        };
        let word = |alive: bool| if alive { "ok" } else { "failing" };
        let jobs: serde_json::Map<_, _> =
            jobs.into_iter().map(|(job, alive)| (job.to_owned(), word(alive).into())).collect();
        let report =
            json!({ "status": status, "version": env!("CARGO_PKG_VERSION"), "database": word(database), "jobs": jobs });
        (if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, report.to_string())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let (status, kind, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/health") => {
                let (status, report) = self.report();
                (status, "application/json", report)
            }
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", self.metrics.text())
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "there are /health and /metrics\n".into()),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        answer
    }
}

/// Before anything else begins: a port that is taken is a mistake in the settings.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("CRM_WORKER_LISTEN: {address} cannot be used: {error}"))
}

pub async fn serve(listener: TcpListener, health: Arc<Health>) {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening");
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = health.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let answer = health.answer(&request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
                    // Who closes too early is no concern of ours.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Err(error) => {
                warn!(error = %error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

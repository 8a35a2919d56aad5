//! Takes deliveries from the queue, runs them, and says what came of each. The queue is the database's: a delivery that a
//! worker has claimed and lost comes again when its lease ends.

mod endpoint;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::Deliveries;
use crate::db::{Error, Link, has_function};
use crate::deliver::{Delivery, Limits, Outcome, attempt};
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::repeat::{Backoff, Stop};
use endpoint::{Admission, Endpoints, Sizes};

/// Events that one call of crm.fan_out_events takes, and how often it is called in a row.
const FAN_OUT: i32 = 1000;
const FAN_OUTS: usize = 20;
/// What one claim takes.
const CLAIM: usize = 100;
/// How long results are still written when the worker ends.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub struct Courier {
    claims: Link,
    results: Link,
    client: Client,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    settings: Deliveries,
    slots: Arc<Semaphore>,
    endpoints: Endpoints,
    /// There was more to claim than room for it.
    starved: AtomicBool,
    tasks: TaskTracker,
    stop: Stop,
    has_queue: AtomicBool,
    missing_said: AtomicBool,
}

/// The connections: one on which claims are made, and one for what came of them, which must not wait for claims.
pub struct Links {
    pub claims: Link,
    pub results: Link,
}

impl Courier {
    pub fn new(
        links: Links,
        client: Client,
        guard: Arc<Guard>,
        metrics: Arc<Metrics>,
        settings: Deliveries,
        stop: Stop,
    ) -> Arc<Self> {
        Arc::new(Self {
            claims: links.claims,
            results: links.results,
            client,
            guard,
            metrics,
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            endpoints: Endpoints::new(Sizes {
                webhook: settings.endpoint_concurrency,
                organization: settings.organization_concurrency,
            }),
            settings,
            starved: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            stop,
            has_queue: AtomicBool::new(false),
            missing_said: AtomicBool::new(false),
        })
    }

    /// Whether there is more to do at once.
    pub async fn round(self: Arc<Self>) -> Result<bool, Error> {
        if !self.queue_is_there().await? {
            return Ok(false);
        }
        let more_events = self.fan_out().await?;
        let room = self.slots.available_permits().min(CLAIM);
        // What waits for its endpoint has no slot, but a lease that runs.
        if room == 0 || self.tasks.len() >= 4 * self.settings.concurrency {
            self.starved.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        let claimed = Instant::now();
        let deliveries = self.claim(room).await?;
        let full = deliveries.len() == room;
        for delivery in deliveries {
            self.metrics.deliveries_claimed.inc();
            self.tasks.spawn(self.clone().handle(delivery, claimed));
        }
        // They take their slots now, or the next claim would count those as free.
        tokio::task::yield_now().await;
        self.endpoints.forget_idle();
        Ok(more_events || full)
    }

    async fn queue_is_there(&self) -> Result<bool, Error> {
        if self.has_queue.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let there = has_function(&self.claims, "claim_webhook_deliveries").await?;
        self.has_queue.store(there, Ordering::Relaxed);
        if !there && !self.missing_said.swap(true, Ordering::Relaxed) {
            warn!("this database has no deliveries: update the extension, or leave deliveries out of CRM_WORKER_JOBS");
        }
        Ok(there)
    }

    async fn fan_out(&self) -> Result<bool, Error> {
        for _ in 0..FAN_OUTS {
            let told: Value = self.claims.value("select crm.fan_out_events($1)", &[(&FAN_OUT, Type::INT4)]).await?;
            let (events, deliveries) = (told["events"].as_u64(), told["deliveries"].as_u64());
            self.metrics.events.inc_by(events.unwrap_or(0));
            if events > Some(0) {
                debug!(events, deliveries, "made deliveries of events");
            }
            if told["more"] != true || self.stop.soon.is_cancelled() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn claim(&self, room: usize) -> Result<Vec<Delivery>, Error> {
        let passed_over = self.endpoints.pass_over();
        let (organizations, webhooks): (Vec<_>, Vec<_>) =
            passed_over.into_iter().map(|key| (key.organization, key.webhook)).unzip();
        let rows = self
            .claims
            .query(
                "select org_id, id, attempt, webhook_id, event_id, event_type, url, headers, body
                 from crm.claim_webhook_deliveries($1, pg_catalog.make_interval(secs => $2), $3, $4)",
                &[
                    (&(room as i32), Type::INT4),
                    (&self.settings.lease.as_secs_f64(), Type::FLOAT8),
                    (&organizations, Type::UUID_ARRAY),
                    (&webhooks, Type::UUID_ARRAY),
                ],
            )
            .await?;
        Ok(rows.iter().map(delivery).collect::<Result<_, _>>()?)
    }

    async fn handle(self: Arc<Self>, delivery: Delivery, claimed: Instant) {
        let deadline = claimed + self.settings.lease;
        match self.endpoints.admit(delivery.org_id, delivery.webhook_id, &self.stop).await {
            Admission::Refused(delay) => self.release(&delivery, delay, deadline).await,
            Admission::Granted(places) => {
                let outcome = self.run(&delivery, deadline).await;
                drop(places);
                match outcome {
                    Some(outcome) => self.report(&delivery, &outcome, deadline).await,
                    None => self.release(&delivery, Duration::ZERO, deadline).await,
                }
            }
        }
        let has_room = self.endpoints.has_room_again(delivery.org_id, delivery.webhook_id);
        if self.starved.swap(false, Ordering::Relaxed) || has_room {
            self.claims.wakes().events.notify_one();
        }
    }

    /// `None` when it was given up before anything came of it, or not begun.
    async fn run(&self, delivery: &Delivery, deadline: Instant) -> Option<Outcome> {
        let Ok(_slot) = self.slots.acquire().await else { return None };
        // It has waited for so long that it would be delivered a second time by whoever claims it next.
        if self.stop.soon.is_cancelled() || Instant::now() + self.settings.timeout > deadline {
            return None;
        }
        self.metrics.deliveries_running.inc();
        let limits = Limits { timeout: self.settings.timeout, response: self.settings.response_limit };
        let outcome = tokio::select! {
            biased;
            outcome = attempt(&self.client, &self.guard, delivery, limits) => Some(outcome),
            () = self.stop.now.cancelled() => None,
        };
        self.metrics.deliveries_running.dec();
        outcome
    }

    async fn report(&self, delivery: &Delivery, outcome: &Outcome, deadline: Instant) {
        self.metrics.attempt(outcome.status, outcome.duration);
        let told = if outcome.is_delivered() {
            self.complete(delivery, outcome, deadline).await
        } else {
            self.fail(delivery, outcome, deadline).await
        };
        match told {
            Ok(ended) => {
                self.metrics.delivery(&ended);
                log_attempt(delivery, outcome, &ended);
            }
            Err(error) => self.lose(delivery, &error),
        }
    }

    async fn complete(&self, delivery: &Delivery, outcome: &Outcome, deadline: Instant) -> Result<String, Error> {
        let status = outcome.status.map(i32::from);
        let row = self
            .tell(
                "select crm.complete_webhook_delivery($1, $2, $3, $4, $5, $6)",
                &[
                    (&delivery.org_id, Type::UUID),
                    (&delivery.id, Type::UUID),
                    (&delivery.attempt, Type::INT4),
                    (&status, Type::INT4),
                    (&milliseconds(outcome.duration), Type::INT4),
                    (&outcome.response, Type::TEXT),
                ],
                deadline,
            )
            .await?;
        // Not when the lease had ended, and somebody else has it now.
        Ok(if row.is_some_and(|row| row.try_get(0).unwrap_or(false)) { "delivered" } else { "late" }.into())
    }

    async fn fail(&self, delivery: &Delivery, outcome: &Outcome, deadline: Instant) -> Result<String, Error> {
        let status = outcome.status.map(i32::from);
        let row = self
            .tell(
                "select crm.fail_webhook_delivery($1, $2, $3, $4, $5, $6, $7, $8)",
                &[
                    (&delivery.org_id, Type::UUID),
                    (&delivery.id, Type::UUID),
                    (&delivery.attempt, Type::INT4),
                    (&status, Type::INT4),
                    (&milliseconds(outcome.duration), Type::INT4),
                    (&outcome.response, Type::TEXT),
                    (&outcome.error, Type::TEXT),
                    (&outcome.retry_after, Type::INT4),
                ],
                deadline,
            )
            .await?;
        let told: Option<Value> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(told.as_ref().and_then(|told| told["outcome"].as_str()).unwrap_or("late").to_owned())
    }

    async fn release(&self, delivery: &Delivery, delay: Duration, deadline: Instant) {
        let statement = "select crm.release_webhook_delivery($1, $2, $3, pg_catalog.make_interval(secs => $4))";
        let told = self
            .tell(
                statement,
                &[
                    (&delivery.org_id, Type::UUID),
                    (&delivery.id, Type::UUID),
                    (&delivery.attempt, Type::INT4),
                    (&delay.as_secs_f64(), Type::FLOAT8),
                ],
                deadline,
            )
            .await;
        match told {
            Ok(_) => {
                self.metrics.delivery("released");
                debug!(
                    org_id = %delivery.org_id, webhook_id = %delivery.webhook_id, delivery_id = %delivery.id,
                    delay_ms = milliseconds(delay), "gave a delivery back"
                );
            }
            Err(error) => self.lose(delivery, &error),
        }
    }

    /// Tries until the lease has ended: after that it is no longer ours to say.
    async fn tell(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        deadline: Instant,
    ) -> Result<Option<Row>, Error> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            match self.results.query(statement, parameters).await {
                Err(error) if error.lost && Instant::now() < deadline => tokio::time::sleep(backoff.failed()).await,
                answer => return answer.map(|mut rows| rows.pop()),
            }
        }
    }

    fn lose(&self, delivery: &Delivery, error: &Error) {
        self.metrics.delivery("lost");
        warn!(
            org_id = %delivery.org_id, webhook_id = %delivery.webhook_id, delivery_id = %delivery.id,
            attempt = delivery.attempt, error = %error, "what came of a delivery could not be stored: it comes again"
        );
    }

    /// Waits for what runs; what runs longer than that is given back.
    pub async fn finish(&self, patience: Duration) {
        self.tasks.close();
        if self.tasks.is_empty() {
            return;
        }
        info!(running = self.tasks.len(), "waiting for deliveries under way");
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            self.stop.now.cancel();
            if tokio::time::timeout(LAST_WRITES, self.tasks.wait()).await.is_err() {
                warn!(
                    left = self.tasks.len(),
                    "deliveries could not be given back: they come again when their leases end"
                );
            }
        }
    }
}

fn delivery(row: &Row) -> Result<Delivery, tokio_postgres::Error> {
    Ok(Delivery {
        org_id: row.try_get(0)?,
        id: row.try_get(1)?,
        attempt: row.try_get(2)?,
        webhook_id: row.try_get(3)?,
        event_id: row.try_get(4)?,
        event_type: row.try_get(5)?,
        url: row.try_get(6)?,
        headers: row.try_get(7)?,
        body: row.try_get(8)?,
    })
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Neither the URL, which may hold a secret, nor what was sent or answered.
fn log_attempt(delivery: &Delivery, outcome: &Outcome, ended: &str) {
    info!(
        org_id = %delivery.org_id,
        webhook_id = %delivery.webhook_id,
        delivery_id = %delivery.id,
        event_id = %delivery.event_id,
        event_type = delivery.event_type,
        attempt = delivery.attempt,
        status = outcome.status,
        error = outcome.error,
        duration_ms = milliseconds(outcome.duration),
        outcome = ended,
        "delivery"
    );
}

//! What is counted, for Prometheus. Labels have few values: none is a tenant's word.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde_json::Value;

type Label = [(&'static str, String); 1];
type Labels = [(&'static str, String); 2];

#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0])
    }
}

pub struct Metrics {
    registry: Registry,
    deliveries: Family<Label, Counter>,
    delivery_seconds: Family<Label, Histogram, Buckets>,
    pub deliveries_claimed: Counter,
    pub deliveries_running: Gauge,
    pub events: Counter,
    queue: Family<Label, Gauge>,
    queue_age: Gauge,
    organizations_behind: Gauge,
    messages: Family<Labels, Counter>,
    key_fetches: Family<Label, Counter>,
    oauth_exchanges: Family<Label, Counter>,
    maintenance: Family<Labels, Counter>,
    pub database_connects: Counter,
    database_errors: Family<Label, Counter>,
    pub database_up: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crm_worker");
        let metrics = Self {
            deliveries: Family::default(),
            delivery_seconds: Family::new_with_constructor(Buckets),
            deliveries_claimed: Counter::default(),
            deliveries_running: Gauge::default(),
            events: Counter::default(),
            queue: Family::default(),
            queue_age: Gauge::default(),
            organizations_behind: Gauge::default(),
            messages: Family::default(),
            key_fetches: Family::default(),
            oauth_exchanges: Family::default(),
            maintenance: Family::default(),
            database_connects: Counter::default(),
            database_errors: Family::default(),
            database_up: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Self { registry, ..metrics }
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("build", "The worker's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("deliveries", "Webhook deliveries, by how they ended", self.deliveries.clone());
        registry.register("delivery_seconds", "How long attempts took", self.delivery_seconds.clone());
        registry.register("deliveries_claimed", "Webhook deliveries taken on", self.deliveries_claimed.clone());
        registry.register("deliveries_running", "Attempts under way", self.deliveries_running.clone());
        registry.register("events_fanned_out", "Events for which deliveries were made", self.events.clone());
        registry.register("queue_deliveries", "Deliveries in the queue, of all workers", self.queue.clone());
        registry.register(
            "queue_age_seconds",
            "For how long the oldest one could be delivered",
            self.queue_age.clone(),
        );
        registry.register(
            "organizations_behind",
            "Organizations with events that were not fanned out yet",
            self.organizations_behind.clone(),
        );
        registry.register("messages", "E-mail, by kind and how it ended", self.messages.clone());
        registry.register("key_fetches", "Fetches of identity providers' keys", self.key_fetches.clone());
        registry.register("oauth_exchanges", "Exchanges of sign-in codes", self.oauth_exchanges.clone());
        registry.register("maintenance_runs", "Calls of maintenance functions", self.maintenance.clone());
        registry.register("database_connects", "Connections made to the database", self.database_connects.clone());
        registry.register("database_errors", "Statements without an answer", self.database_errors.clone());
        registry.register("database_up", "Whether the database answered the last time", self.database_up.clone());
    }

    /// What crm.webhook_queue() tells.
    pub fn queue(&self, told: &Value) {
        for state in ["due", "delayed", "backlog"] {
            self.queue.get_or_create(&[("state", state.into())]).set(told[state].as_i64().unwrap_or(0));
        }
        self.queue_age.set(told["oldest_due_seconds"].as_f64().unwrap_or(0.0) as i64);
        self.organizations_behind.set(told["organizations_behind"].as_i64().unwrap_or(0));
    }

    pub fn delivery(&self, outcome: &str) {
        self.deliveries.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// `class`: 2xx and so on, or none.
    pub fn attempt(&self, status: Option<u16>, duration: Duration) {
        let class = status.map_or("none".into(), |status| format!("{}xx", status / 100));
        self.delivery_seconds.get_or_create(&[("class", class)]).observe(duration.as_secs_f64());
    }

    pub fn message(&self, kind: &str, outcome: &str) {
        self.messages.get_or_create(&[("kind", kind.into()), ("outcome", outcome.into())]).inc();
    }

    pub fn key_fetch(&self, outcome: &str) {
        self.key_fetches.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    pub fn oauth_exchange(&self, outcome: &str) {
        self.oauth_exchanges.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    pub fn maintenance(&self, task: &str, outcome: &str) {
        self.maintenance.get_or_create(&[("task", task.into()), ("outcome", outcome.into())]).inc();
    }

    pub fn database_error(&self, lost: bool) {
        let kind = if lost { "unreachable" } else { "refused" };
        self.database_errors.get_or_create(&[("kind", kind.into())]).inc();
    }

    /// In the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_metric_under_its_documented_name() {
        let metrics = Metrics::default();
        metrics.delivery("delivered");
        metrics.attempt(Some(204), Duration::from_millis(30));
        metrics.attempt(None, Duration::from_secs(15));
        metrics.message("invitation", "sent");
        metrics.key_fetch("stored");
        metrics.oauth_exchange("completed");
        metrics.maintenance("clear_expired", "done");
        metrics.database_error(true);
        let text = metrics.text();
        for line in [
            "crm_worker_deliveries_total{outcome=\"delivered\"} 1",
            "crm_worker_delivery_seconds_count{class=\"2xx\"} 1",
            "crm_worker_delivery_seconds_bucket{le=\"+Inf\",class=\"none\"} 1",
            "crm_worker_deliveries_claimed_total 0",
            "crm_worker_deliveries_running 0",
            "crm_worker_events_fanned_out_total 0",
            "crm_worker_messages_total{kind=\"invitation\",outcome=\"sent\"} 1",
            "crm_worker_key_fetches_total{outcome=\"stored\"} 1",
            "crm_worker_oauth_exchanges_total{outcome=\"completed\"} 1",
            "crm_worker_maintenance_runs_total{task=\"clear_expired\",outcome=\"done\"} 1",
            "crm_worker_database_connects_total 0",
            "crm_worker_database_errors_total{kind=\"unreachable\"} 1",
            "crm_worker_database_up 0",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
        let documents = include_str!("../../docs/worker.md");
        for name in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let name = name.split(' ').next().unwrap_or_default();
            assert!(documents.contains(name), "docs/worker.md does not tell of {name}");
        }
    }
}

//! Keeps the database in order: what has expired goes, history is chained and pruned, the queue of webhooks is looked after.
//! Several workers may do so at once: each of these functions takes what no other one has under its hands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{debug, info, warn};

use crate::db::{Error, Link, has_function};
use crate::metrics::Metrics;
use crate::repeat::{Stop, uneven};

/// Of one call.
pub const TIMEOUT: Duration = Duration::from_secs(600);
pub const PAUSE: Duration = Duration::from_secs(5);
/// How often a function is called again at once that has left something.
const AGAIN: usize = 50;
/// Rows of each kind that a call takes.
const BATCH: i64 = 10_000;

/// As many as a call takes: there may be more.
fn whole_batch(told: &Value) -> bool {
    told.as_object().is_some_and(|kinds| kinds.values().any(|number| number.as_i64() >= Some(BATCH)))
}

struct Task {
    name: &'static str,
    call: &'static str,
    every: Duration,
    left: fn(&Value) -> bool,
}

const TASKS: [Task; 3] = [
    Task {
        name: "clear_expired",
        call: "select crm.clear_expired(10000)",
        every: Duration::from_secs(60),
        left: whole_batch,
    },
    Task {
        name: "maintain_webhooks",
        call: "select crm.maintain_webhooks()",
        every: Duration::from_secs(60),
        left: whole_batch,
    },
    Task {
        name: "maintain_audit",
        call: "select crm.maintain_audit()",
        every: Duration::from_secs(3600),
        left: |told| told["organizations_postponed"].as_i64() > Some(0),
    },
];

/// How often the queue is measured.
const MEASURED: Duration = Duration::from_secs(15);

pub struct Keeper {
    link: Link,
    metrics: Arc<Metrics>,
    due: Mutex<[Instant; TASKS.len()]>,
    measured: Mutex<Option<Instant>>,
}

impl Keeper {
    /// The first time soon, but not at once: workers that begin together are not to come together.
    pub fn new(link: Link, metrics: Arc<Metrics>) -> Self {
        let due = TASKS.map(|_| Instant::now() + uneven(Duration::from_secs(4)));
        Self { link, metrics, due: Mutex::new(due), measured: Mutex::default() }
    }

    pub async fn round(&self, stop: &Stop) -> Result<bool, Error> {
        self.measure().await?;
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, task) in TASKS.iter().enumerate() {
            if due[number] <= Instant::now() && !stop.soon.is_cancelled() {
                // Also after a failure: a function that fails every time must not be called every second.
                self.due.lock().unwrap_or_else(PoisonError::into_inner)[number] = Instant::now() + uneven(task.every);
                self.run(task, stop).await?;
            }
        }
        Ok(false)
    }

    async fn measure(&self) -> Result<(), Error> {
        {
            let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
            if measured.is_some_and(|then| then.elapsed() < MEASURED) {
                return Ok(());
            }
            *measured = Some(Instant::now());
        }
        if has_function(&self.link, "webhook_queue").await? {
            self.metrics.queue(&self.link.value("select crm.webhook_queue()", &[]).await?);
        }
        Ok(())
    }

    async fn run(&self, task: &Task, stop: &Stop) -> Result<(), Error> {
        if !has_function(&self.link, task.name).await? {
            return Ok(());
        }
        for _ in 0..AGAIN {
            let told = self.call(task).await?;
            let Some(told) = told else { return Ok(()) };
            if !(task.left)(&told) || stop.soon.is_cancelled() {
                return Ok(());
            }
        }
        debug!(task = task.name, "there is more to do than one round does");
        Ok(())
    }

    /// What the function says; `None` when it was refused, which is no reason not to call the others.
    async fn call(&self, task: &Task) -> Result<Option<Value>, Error> {
        let began = Instant::now();
        match self.link.value::<Value>(task.call, &[]).await {
            Ok(told) => {
                self.metrics.maintenance(task.name, "done");
                let duration_ms = began.elapsed().as_millis() as u64;
                if is_news(&told) {
                    info!(task = task.name, duration_ms, result = %told, "maintenance");
                } else {
                    debug!(task = task.name, duration_ms, result = %told, "maintenance");
                }
                Ok(Some(told))
            }
            Err(error) => {
                self.metrics.maintenance(task.name, "failed");
                if error.lost {
                    return Err(error);
                }
                warn!(task = task.name, error = %error, "maintenance failed");
                Ok(None)
            }
        }
    }
}

/// Whether anything was done.
fn is_news(told: &Value) -> bool {
    told.as_object().is_some_and(|told| told.values().any(|value| value.as_i64() > Some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_goes_on_at_once_where_something_is_left() {
        let left = |number: usize, told: Value| (TASKS[number].left)(&told);
        assert!(left(0, json!({ "sessions": 3, "messages": 10_000 })));
        assert!(!left(0, json!({ "sessions": 3, "messages": 9_999 })));
        assert!(left(2, json!({ "organizations_postponed": 1 })));
        assert!(!left(2, json!({ "organizations_postponed": 0, "entries_pruned": 10_000 })));
        assert!(!left(1, json!({ "attempts_removed": 7 })));
        assert!(left(1, json!({ "attempts_removed": 10_000 })));
        assert!(TASKS[0].call.contains(&BATCH.to_string()));
    }

    #[test]
    fn what_did_nothing_is_no_news() {
        assert!(!is_news(&json!({ "sessions": 0, "messages": 0 })));
        assert!(is_news(&json!({ "sessions": 0, "messages": 1 })));
    }
}

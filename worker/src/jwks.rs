//! Keeps the key sets of identity providers fresh. A set that cannot be fetched leaves the one before where it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::header::{ACCEPT, HeaderValue};
use serde_json::Value;
use tokio_postgres::types::Type;
use tracing::{info, warn};

use crate::db::{Error, Link};
use crate::guard::Guard;
use crate::http;
use crate::metrics::Metrics;
use crate::repeat::Backoff;

const TIMEOUT: Duration = Duration::from_secs(15);
const LIMIT: usize = 256 * 1024;

/// How often it is looked whether a provider is new or its keys are old.
pub const PAUSE: Duration = Duration::from_secs(10);

pub struct Fetcher {
    pub link: Arc<Link>,
    pub client: Client,
    pub guard: Arc<Guard>,
    pub metrics: Arc<Metrics>,
    pub max_age: Duration,
    /// Providers that failed, until when they are left alone.
    pub failing: Mutex<HashMap<String, (Backoff, Instant)>>,
}

impl Fetcher {
    pub async fn round(&self) -> Result<bool, Error> {
        let rows = self
            .link
            .query(
                "select provider, jwks_uri from crm.providers_to_fetch(pg_catalog.make_interval(secs => $1))",
                &[(&self.max_age.as_secs_f64(), Type::FLOAT8)],
            )
            .await?;
        let mut providers: Vec<(String, String)> = vec![];
        for row in rows {
            providers.push((row.try_get(0)?, row.try_get(1)?));
        }
        providers.retain(|(provider, _)| self.is_due(provider));
        // One that stalls does not hold up the others.
        let fetches = providers.iter().map(|(provider, uri)| self.fetch(provider, uri));
        futures_util::future::join_all(fetches).await.into_iter().collect::<Result<(), Error>>()?;
        Ok(false)
    }

    fn is_due(&self, provider: &str) -> bool {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.get(provider).is_none_or(|(_, until)| *until <= Instant::now())
    }

    async fn fetch(&self, provider: &str, uri: &str) -> Result<(), Error> {
        let problem = match self.key_set(uri).await {
            Ok(keys) => self.store(provider, keys).await?,
            Err(problem) => Some(problem),
        };
        match problem {
            None => {
                self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(provider);
                self.metrics.key_fetch("stored");
                info!(provider, "stored the provider's keys");
            }
            Some(problem) => {
                let pause = self.note_failure(provider);
                self.metrics.key_fetch("failed");
                warn!(provider, problem, again_in_s = pause.as_secs(), "the provider's keys could not be fetched");
            }
        }
        Ok(())
    }

    fn note_failure(&self, provider: &str) -> Duration {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || (Backoff::new(Duration::from_secs(15), Duration::from_secs(900)), Instant::now());
        let (backoff, until) = failing.entry(provider.to_owned()).or_insert_with(first);
        let pause = backoff.failed();
        *until = Instant::now() + pause;
        pause
    }

    async fn key_set(&self, uri: &str) -> Result<Value, String> {
        let url = self.guard.check(uri).map_err(|refusal| refusal.to_string())?;
        let request = self.client.get(url).header(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = http::exchange(request, TIMEOUT, LIMIT).await.map_err(|failure| failure.word)?;
        match (answer.is_success(), answer.cut) {
            (false, _) => Err(format!("HTTP {}", answer.status)),
            (true, true) => Err("answer too large".into()),
            (true, false) => serde_json::from_slice(&answer.body).map_err(|_| "the answer is no JSON".into()),
        }
    }

    /// What is wrong with the set, in the database's words.
    async fn store(&self, provider: &str, keys: Value) -> Result<Option<String>, Error> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&provider, Type::TEXT), (&keys, Type::JSONB)];
        match self.link.query("select crm.store_provider_keys($1, $2)", &parameters).await {
            Ok(_) => Ok(None),
            Err(error) if error.lost => Err(error),
            Err(error) => Ok(Some(error.to_string())),
        }
    }
}

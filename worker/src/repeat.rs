//! How jobs go round: until the worker stops, slower while something fails, and so that it is seen when one stands still.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The end, in two steps.
#[derive(Clone, Default)]
pub struct Stop {
    /// Nothing new begins.
    pub soon: CancellationToken,
    /// What runs is given up.
    pub now: CancellationToken,
}

/// Waits that grow while something fails: doubled each time, and of uneven length, so that workers do not come back together.
pub struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, failures: 0 }
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub fn failed(&mut self) -> Duration {
        let wait = self.least.saturating_mul(1 << self.failures.min(16)).min(self.most);
        self.failures += 1;
        uneven(wait)
    }
}

/// Three quarters to five quarters of it.
pub fn uneven(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    wait.mul_f64(0.75 + random as f64 / 1024.0)
}

/// When each job was seen at work.
#[derive(Default)]
pub struct Beats(Mutex<BTreeMap<&'static str, (Instant, Duration)>>);

impl Beats {
    fn beat(&self, job: &'static str, patience: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, (Instant::now(), patience));
    }

    /// Every job, and whether it is at work.
    pub fn jobs(&self) -> Vec<(&'static str, bool)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().map(|(job, (last, patience))| (*job, last.elapsed() < *patience)).collect()
    }
}

/// How a job goes round.
pub struct Rhythm<'a> {
    pub job: &'static str,
    pub pause: Duration,
    /// How long one round may take, all in all.
    pub round: Duration,
    pub wake: Option<&'a Notify>,
}

const MOST_BACKOFF: Duration = Duration::from_secs(30);

/// Rounds until the worker stops. A round says whether there is more to do at once.
pub async fn repeat<E: Display, R: Future<Output = Result<bool, E>> + Send>(
    rhythm: Rhythm<'_>,
    stop: &Stop,
    beats: &Beats,
    mut round: impl FnMut() -> R,
) {
    let patience = rhythm.round + rhythm.pause * 2 + MOST_BACKOFF * 2;
    let mut backoff = Backoff::new(Duration::from_secs(1), MOST_BACKOFF);
    while !stop.soon.is_cancelled() {
        beats.beat(rhythm.job, patience);
        match round().await {
            Ok(more) => {
                backoff.succeeded();
                if !more {
                    wait(rhythm.pause, rhythm.wake, stop).await;
                }
            }
            Err(error) => {
                let pause = backoff.failed();
                warn!(job = rhythm.job, error = %error, again_in_ms = pause.as_millis() as u64, "a round failed");
                wait(pause, None, stop).await;
            }
        }
    }
}

async fn wait(pause: Duration, wake: Option<&Notify>, stop: &Stop) {
    let woken = async {
        match wake {
            Some(wake) => wake.notified().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.soon.cancelled() => {}
        () = woken => {}
        () = tokio::time::sleep(pause) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_backoff_grows_to_its_end_and_begins_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let waits: Vec<_> = (0..20).map(|_| backoff.failed()).collect();
        assert!(waits[0] <= Duration::from_millis(1250) && waits[0] >= Duration::from_millis(750), "{waits:?}");
        assert!(waits[3] >= Duration::from_secs(6), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(37_500)), "{waits:?}");
        backoff.succeeded();
        assert!(backoff.failed() <= Duration::from_millis(1250));
    }

    #[tokio::test]
    async fn a_round_with_more_to_do_is_followed_at_once_and_a_stop_ends_it() {
        let (stop, beats) = (Stop::default(), Beats::default());
        let rhythm = Rhythm { job: "test", pause: Duration::from_secs(60), round: Duration::from_secs(1), wake: None };
        let mut rounds = 0;
        repeat(rhythm, &stop, &beats, || {
            rounds += 1;
            if rounds == 5 {
                stop.soon.cancel();
            }
            async { Ok::<_, String>(true) }
        })
        .await;
        assert_eq!(rounds, 5);
        assert_eq!(beats.jobs(), [("test", true)]);
    }
}

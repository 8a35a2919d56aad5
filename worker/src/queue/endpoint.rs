//! How many deliveries go to one webhook at a time. Those that it cannot take now wait a little, and are then given back for
//! longer and longer: one that stalls must not hold up the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::repeat::{Stop, uneven};

/// How long a delivery waits here for its webhook.
const PATIENCE: Duration = Duration::from_secs(2);
/// The delay is doubled for as long as the webhook stays slow: to give one back, and to claim it again, is work for the database.
const LEAST_DELAY: Duration = Duration::from_millis(500);
const MOST_DELAY: Duration = Duration::from_secs(60);
/// One that takes a delivery in this time is not slow.
const QUICK: Duration = Duration::from_secs(1);
/// Waiting ones for each that runs.
const WAITING: usize = 8;

struct Endpoint {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// How long those are given back for that find no place, and since when it is so long.
    delay: Option<(Duration, Instant)>,
}

impl Endpoint {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay(&self) -> Duration {
        let mut state = self.state();
        let (delay, _) = match state.delay {
            // All that came back by then found no place again.
            Some((delay, since)) if since.elapsed() >= delay => {
                *state.delay.insert(((delay * 2).min(MOST_DELAY), Instant::now()))
            }
            Some(known) => known,
            None => *state.delay.insert((LEAST_DELAY, Instant::now())),
        };
        uneven(delay)
    }
}

/// A place at a webhook, until it is dropped.
pub struct Place {
    endpoint: Arc<Endpoint>,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn at(endpoint: Arc<Endpoint>, permit: OwnedSemaphorePermit) -> Self {
        Self { endpoint, began: Instant::now(), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.began.elapsed() < QUICK {
            self.endpoint.state().delay = None;
        }
    }
}

pub enum Admission {
    Granted(Place),
    /// To be given back for so long.
    Refused(Duration),
}

pub struct Endpoints {
    places: usize,
    known: Mutex<HashMap<Uuid, Arc<Endpoint>>>,
}

impl Endpoints {
    pub fn new(places: usize) -> Self {
        Self { places, known: Mutex::default() }
    }

    fn endpoint(&self, webhook: Uuid) -> Arc<Endpoint> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Endpoint { places: Arc::new(Semaphore::new(self.places)), state: Mutex::default() });
        known.entry(webhook).or_insert_with(new).clone()
    }

    pub async fn admit(&self, webhook: Uuid, stop: &Stop) -> Admission {
        let endpoint = self.endpoint(webhook);
        if let Ok(permit) = endpoint.places.clone().try_acquire_owned() {
            return Admission::Granted(Place::at(endpoint, permit));
        }
        {
            let mut state = endpoint.state();
            if state.waiting >= WAITING * self.places {
                drop(state);
                return Admission::Refused(endpoint.delay());
            }
            state.waiting += 1;
        }
        let permit = tokio::select! {
            permit = endpoint.places.clone().acquire_owned() => permit.ok(),
            () = tokio::time::sleep(PATIENCE) => None,
            () = stop.soon.cancelled() => None,
        };
        endpoint.state().waiting -= 1;
        match permit {
            Some(permit) => Admission::Granted(Place::at(endpoint, permit)),
            None if stop.soon.is_cancelled() => Admission::Refused(Duration::ZERO),
            None => Admission::Refused(endpoint.delay()),
        }
    }

    /// Webhooks to which nothing goes.
    pub fn forget_idle(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    fn granted(admission: Admission) -> Place {
        match admission {
            Admission::Granted(place) => place,
            Admission::Refused(delay) => panic!("refused for {delay:?}"),
        }
    }

    fn refused(admission: Admission) -> Duration {
        match admission {
            Admission::Granted(_) => panic!("granted"),
            Admission::Refused(delay) => delay,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_gets_so_many_at_a_time_and_others_are_not_held_up() {
        let (endpoints, stop) = (Endpoints::new(2), Stop::default());
        let (busy, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = granted(endpoints.admit(busy, &stop).await);
        let _second = granted(endpoints.admit(busy, &stop).await);
        let _other = granted(endpoints.admit(other, &stop).await);
        let (third, ()) = tokio::join!(endpoints.admit(busy, &stop), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(first);
        });
        granted(third);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_or_is_too_many_is_given_back() {
        let (endpoints, stop) = (Endpoints::new(1), Stop::default());
        let webhook = Uuid::from_u128(1);
        let _running = granted(endpoints.admit(webhook, &stop).await);
        let waiting = futures_util::future::join_all((0..WAITING).map(|_| endpoints.admit(webhook, &stop)));
        let (waited, at_once) = tokio::join!(waiting, endpoints.admit(webhook, &stop));
        assert!(refused(at_once) >= Duration::from_millis(375));
        assert!(waited.into_iter().map(refused).all(|delay| delay >= Duration::from_millis(375)));
    }

    #[test]
    fn the_delay_grows_while_a_webhook_is_slow_and_not_with_the_number_of_those_given_back() {
        let endpoint = Endpoint { places: Arc::new(Semaphore::new(1)), state: Mutex::default() };
        let around = |delay: Duration, expected: Duration| {
            assert!(delay >= expected.mul_f64(0.75) && delay <= expected.mul_f64(1.25), "{delay:?} {expected:?}");
        };
        let age = |by: Duration| {
            if let Some((_, since)) = &mut endpoint.state().delay {
                *since -= by;
            }
        };
        for _ in 0..100 {
            around(endpoint.delay(), LEAST_DELAY);
        }
        let mut expected = LEAST_DELAY;
        for _ in 0..10 {
            age(expected);
            expected = (expected * 2).min(MOST_DELAY);
            around(endpoint.delay(), expected);
        }
        assert_eq!(expected, MOST_DELAY);
    }

    #[tokio::test]
    async fn a_stop_gives_back_what_waits_and_idle_webhooks_are_forgotten() {
        let (endpoints, stop) = (Endpoints::new(1), Stop::default());
        let webhook = Uuid::from_u128(1);
        let running = granted(endpoints.admit(webhook, &stop).await);
        stop.soon.cancel();
        assert_eq!(refused(endpoints.admit(webhook, &stop).await), Duration::ZERO);
        endpoints.forget_idle();
        assert_eq!(endpoints.known.lock().map_or(0, |known| known.len()), 1);
        drop(running);
        endpoints.forget_idle();
        assert_eq!(endpoints.known.lock().map_or(9, |known| known.len()), 0);
    }
}

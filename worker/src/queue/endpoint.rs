//! How many deliveries go to one webhook at a time, and to all of one organization. Those that it cannot take now wait a little,
//! and are then given back for longer and longer, and no more are claimed: one that stalls must not hold up the others.

use std::collections::{HashMap, HashSet};
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

/// What takes so many at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub organization: Uuid,
    /// Or all of the organization's.
    pub webhook: Option<Uuid>,
}

struct Endpoint {
    size: usize,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// How long those are given back for that find no place, and since when it is so long.
    delay: Option<(Duration, Instant)>,
    /// A claim has left its deliveries where they are.
    passed_over: bool,
}

impl Endpoint {
    fn new(size: usize) -> Self {
        Self { size, places: Arc::new(Semaphore::new(size)), state: Mutex::default() }
    }

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

    /// Whether what is claimed for it now would wait longer than what runs takes.
    fn is_full(&self, state: &State) -> bool {
        self.places.available_permits() == 0 && (state.waiting >= self.size || state.delay.is_some())
    }

    async fn place(self: Arc<Self>, stop: &Stop) -> Result<Place, Duration> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(Place::at(self, permit));
        }
        {
            let mut state = self.state();
            if state.waiting >= WAITING * self.size {
                drop(state);
                return Err(self.delay());
            }
            state.waiting += 1;
        }
        let permit = tokio::select! {
            permit = self.places.clone().acquire_owned() => permit.ok(),
            () = tokio::time::sleep(PATIENCE) => None,
            () = stop.soon.cancelled() => None,
        };
        self.state().waiting -= 1;
        match permit {
            Some(permit) => Ok(Place::at(self, permit)),
            None if stop.soon.is_cancelled() => Err(Duration::ZERO),
            None => Err(self.delay()),
        }
    }
}

/// A place, until it is dropped.
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
    /// At the webhook, and among those of its organization.
    Granted([Place; 2]),
    /// To be given back for so long.
    Refused(Duration),
}

/// How many go to one of them at a time.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub webhook: usize,
    pub organization: usize,
}

pub struct Endpoints {
    sizes: Sizes,
    known: Mutex<HashMap<Key, Arc<Endpoint>>>,
}

impl Endpoints {
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Endpoint>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The webhook, and its organization.
    fn of(&self, organization: Uuid, webhook: Uuid) -> [Arc<Endpoint>; 2] {
        let mut known = self.known();
        [(Some(webhook), self.sizes.webhook), (None, self.sizes.organization)].map(|(webhook, size)| {
            known.entry(Key { organization, webhook }).or_insert_with(|| Arc::new(Endpoint::new(size))).clone()
        })
    }

    pub async fn admit(&self, organization: Uuid, webhook: Uuid, stop: &Stop) -> Admission {
        let [webhook, organization] = self.of(organization, webhook);
        let place = match webhook.place(stop).await {
            Ok(place) => place,
            Err(delay) => return Admission::Refused(delay),
        };
        match organization.place(stop).await {
            Ok(other) => Admission::Granted([place, other]),
            Err(delay) => Admission::Refused(delay),
        }
    }

    /// Those that a claim is to pass over; of an organization its webhooks, too, as far as they are known.
    pub fn pass_over(&self) -> Vec<Key> {
        let known = self.known();
        let mut full: HashSet<Key> = HashSet::new();
        for (key, endpoint) in known.iter() {
            let mut state = endpoint.state();
            if endpoint.is_full(&state) {
                state.passed_over = true;
                full.insert(*key);
            }
        }
        let is_full = |key: &&Key| full.contains(*key) || full.contains(&Key { webhook: None, ..**key });
        known.keys().filter(is_full).copied().collect()
    }

    /// Whether a delivery that has ended makes room for what was passed over.
    pub fn has_room_again(&self, organization: Uuid, webhook: Uuid) -> bool {
        let known = self.known();
        let keys = [Some(webhook), None].map(|webhook| Key { organization, webhook });
        let mut again = false;
        for endpoint in keys.iter().filter_map(|key| known.get(key)) {
            let mut state = endpoint.state();
            if state.passed_over && !endpoint.is_full(&state) {
                state.passed_over = false;
                again = true;
            }
        }
        again
    }

    /// Webhooks to which nothing goes.
    pub fn forget_idle(&self) {
        self.known().retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    const OURS: Uuid = Uuid::from_u128(100);
    const THEIRS: Uuid = Uuid::from_u128(200);
    const WEBHOOK: Uuid = Uuid::from_u128(1);

    fn endpoints(webhook: usize, organization: usize) -> (Endpoints, Stop) {
        (Endpoints::new(Sizes { webhook, organization }), Stop::default())
    }

    fn granted(admission: Admission) -> [Place; 2] {
        match admission {
            Admission::Granted(places) => places,
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
        let (endpoints, stop) = endpoints(2, 10);
        let other = Uuid::from_u128(2);
        let first = granted(endpoints.admit(OURS, WEBHOOK, &stop).await);
        let _second = granted(endpoints.admit(OURS, WEBHOOK, &stop).await);
        let _other = granted(endpoints.admit(OURS, other, &stop).await);
        let _copied = granted(endpoints.admit(THEIRS, WEBHOOK, &stop).await);
        let (third, ()) = tokio::join!(endpoints.admit(OURS, WEBHOOK, &stop), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(first);
        });
        granted(third);
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_gets_so_many_with_all_of_its_webhooks() {
        let (endpoints, stop) = endpoints(2, 3);
        let of_many = |webhook: u128| endpoints.admit(OURS, Uuid::from_u128(webhook), &stop);
        let _running = [granted(of_many(1).await), granted(of_many(2).await), granted(of_many(3).await)];
        refused(of_many(4).await);
        let _other = granted(endpoints.admit(THEIRS, WEBHOOK, &stop).await);
        let passed: HashSet<_> = endpoints
            .pass_over()
            .into_iter()
            .map(|key| (key.organization, key.webhook.map(|id| id.as_u128())))
            .collect();
        assert_eq!(passed, [None, Some(1), Some(2), Some(3), Some(4)].map(|webhook| (OURS, webhook)).into());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_or_is_too_many_is_given_back() {
        let (endpoints, stop) = endpoints(1, 10);
        let _running = granted(endpoints.admit(OURS, WEBHOOK, &stop).await);
        let waiting = futures_util::future::join_all((0..WAITING).map(|_| endpoints.admit(OURS, WEBHOOK, &stop)));
        let (waited, at_once) = tokio::join!(waiting, endpoints.admit(OURS, WEBHOOK, &stop));
        assert!(refused(at_once) >= Duration::from_millis(375));
        assert!(waited.into_iter().map(refused).all(|delay| delay >= Duration::from_millis(375)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_slow_is_passed_over_until_it_takes_some_again() {
        let (endpoints, stop) = endpoints(1, 10);
        let running = granted(endpoints.admit(OURS, WEBHOOK, &stop).await);
        assert!(endpoints.pass_over().is_empty());
        refused(endpoints.admit(OURS, WEBHOOK, &stop).await);
        let passed: Vec<_> = endpoints.pass_over().into_iter().map(|key| key.webhook).collect();
        assert_eq!(passed, [Some(WEBHOOK)]);
        assert!(!endpoints.has_room_again(OURS, WEBHOOK));
        drop(running);
        assert!(endpoints.has_room_again(OURS, WEBHOOK));
        assert!(!endpoints.has_room_again(OURS, WEBHOOK), "said once");
        assert!(endpoints.pass_over().is_empty());
    }

    #[test]
    fn the_delay_grows_while_a_webhook_is_slow_and_not_with_the_number_of_those_given_back() {
        let endpoint = Endpoint::new(1);
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
        let (endpoints, stop) = endpoints(1, 10);
        let running = granted(endpoints.admit(OURS, WEBHOOK, &stop).await);
        stop.soon.cancel();
        assert_eq!(refused(endpoints.admit(OURS, WEBHOOK, &stop).await), Duration::ZERO);
        endpoints.forget_idle();
        assert_eq!(endpoints.known().len(), 2);
        drop(running);
        endpoints.forget_idle();
        assert_eq!(endpoints.known().len(), 0);
    }
}

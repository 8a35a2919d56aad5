//! How often something was tried in vain: after so many failures within a window, further attempts are refused until the
//! window is over. The same for known and unknown e-mail addresses, so that it tells nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use pgrx::pg_sys;

use super::secret;
use super::settings::Settings;
use crate::db;
use crate::error::Result;

#[derive(Clone, Copy)]
pub enum Counter {
    /// Logins to the account of an e-mail address.
    Account,
    /// Logins from a network address.
    Address,
    /// Messages to an e-mail address, by what they are for.
    PasswordReset,
    EmailVerification,
    Invitation,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::PasswordReset => "password_reset",
            Self::EmailVerification => "email_verification",
            Self::Invitation => "invitation",
        }
    }
}

/// Seconds to wait.
#[derive(Debug, PartialEq)]
pub struct Locked(pub i64);

/// Counts an attempt before it is known how it ends, so that many at once cannot all be made: each waits here until the
/// one before it has ended. Who succeeds calls [`forgive`].
pub fn admit(counter: Counter, subject: &str) -> Result<Result<(), Locked>> {
    let settings = Settings::current()?;
    let hash = secret::hash(subject);
    let undone = ATTEMPTS.with_borrow_mut(|attempts| attempts.undone(counter, &hash, settings.login_failures_window));
    if undone >= settings.login_failures_max {
        return Ok(Err(Locked(settings.login_failures_window)));
    }
    let counted = db::execute(
        "insert into crm_private.login_failures as f (kind, subject, failures, window_started_at)
         values ($1, $2, 1 + $5, clock_timestamp())
         on conflict (kind, subject) do update
         set failures = 1 + $5 + case when f.window_started_at <= clock_timestamp() - make_interval(secs => $3) then 0 else f.failures end,
             window_started_at = case
                 when f.window_started_at <= clock_timestamp() - make_interval(secs => $3) then clock_timestamp()
                 else f.window_started_at
             end
         where f.failures + $5 < $4 or f.window_started_at <= clock_timestamp() - make_interval(secs => $3)",
        &[
            counter.name().into(),
            hash.clone().into(),
            (settings.login_failures_window as f64).into(),
            settings.login_failures_max.into(),
            undone.into(),
        ],
    )?;
    if counted == 0 {
        return Ok(Err(Locked(wait(counter, subject)?.unwrap_or(1))));
    }
    ATTEMPTS.with_borrow_mut(|attempts| attempts.counted(counter, hash, 1 + undone));
    Ok(Ok(()))
}

/// Waits for attempts that are under way and keeps others waiting, to the end of the transaction.
pub fn hold(counter: Counter, subject: &str) -> Result<()> {
    db::execute(
        "insert into crm_private.login_failures as f (kind, subject, failures, window_started_at)
         values ($1, $2, 0, clock_timestamp())
         on conflict (kind, subject) do update set failures = f.failures",
        &[counter.name().into(), secret::hash(subject).into()],
    )?;
    Ok(())
}

/// What is counted: the counter's name and the subject's hash.
type Attempt = (&'static str, Vec<u8>);

/// Attempts whose count was rolled back still count with the next one on this connection: whoever makes one can also see to
/// a rollback, in SQL of their own or by an error after the answer.
#[derive(Default)]
struct Attempts {
    /// Counted in this transaction, on which level of savepoints, and how many.
    counted: Vec<(Attempt, i32, i32)>,
    undone: HashMap<Attempt, (Instant, i32)>,
}

thread_local! {
    static ATTEMPTS: RefCell<Attempts> = RefCell::default();
}

/// With more than that somebody is filling the memory.
const UNDONE_MAX: usize = 1_000;

impl Attempts {
    fn undone(&mut self, counter: Counter, hash: &[u8], window: i64) -> i32 {
        self.undone.retain(|_, (since, _)| since.elapsed().as_secs() < window.unsigned_abs());
        self.undone.get(&(counter.name(), hash.to_vec())).map_or(0, |(_, count)| *count)
    }

    fn counted(&mut self, counter: Counter, hash: Vec<u8>, count: i32) {
        let attempt = (counter.name(), hash);
        self.undone.remove(&attempt);
        // SAFETY: reads the transaction's state.
        let level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
        self.counted.push((attempt, level, count));
    }

    fn forgiven(&mut self, counter: Counter, hash: &[u8]) {
        self.counted.retain(|((name, of), ..)| (*name, of.as_slice()) != (counter.name(), hash));
        self.undone.remove(&(counter.name(), hash.to_vec()));
    }

    /// What was counted on this level or below it is rolled back.
    fn roll_back(&mut self, from: i32) {
        for (attempt, level, count) in std::mem::take(&mut self.counted) {
            if level >= from {
                self.undone.entry(attempt).or_insert((Instant::now(), 0)).1 += count;
                self.keep_few();
            } else {
                self.counted.push((attempt, level, count));
            }
        }
    }

    fn keep_few(&mut self) {
        if self.undone.len() > UNDONE_MAX {
            let oldest = self.undone.iter().min_by_key(|(_, (since, _))| *since).map(|(attempt, _)| attempt.clone());
            oldest.map(|attempt| self.undone.remove(&attempt));
        }
    }

    /// A savepoint's level ends well: what it holds is its parent's now.
    fn release(&mut self, level: i32) {
        for (_, of, _) in &mut self.counted {
            *of = (*of).min(level - 1);
        }
    }
}

/// Called once, while the library is loaded.
pub fn listen() {
    // SAFETY: registers functions that live as long as the backend.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_ends), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(savepoint_ends), std::ptr::null_mut());
    }
}

/// An error in here would end the whole cluster, so it only takes notes, and not even those where they are being read.
extern "C-unwind" fn transaction_ends(event: pg_sys::XactEvent::Type, _: *mut std::ffi::c_void) {
    ATTEMPTS.with(|attempts| {
        if let Ok(mut attempts) = attempts.try_borrow_mut() {
            match event {
                // What is prepared may yet be rolled back, by another connection.
                pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => attempts.roll_back(0),
                pg_sys::XactEvent::XACT_EVENT_COMMIT => attempts.counted.clear(),
                _ => {}
            }
        }
    });
}

/// As above.
extern "C-unwind" fn savepoint_ends(
    event: pg_sys::SubXactEvent::Type,
    _: pg_sys::SubTransactionId,
    _: pg_sys::SubTransactionId,
    _: *mut std::ffi::c_void,
) {
    // SAFETY: reads the transaction's state; the level that ends is still the current one.
    let level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    ATTEMPTS.with(|attempts| {
        if let Ok(mut attempts) = attempts.try_borrow_mut() {
            match event {
                pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => attempts.roll_back(level),
                pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => attempts.release(level),
                _ => {}
            }
        }
    });
}

/// Seconds for which attempts are refused; `None` when they are not.
pub fn wait(counter: Counter, subject: &str) -> Result<Option<i64>> {
    let settings = Settings::current()?;
    db::write(
        "select ceil(extract(epoch from window_started_at + make_interval(secs => $3) - clock_timestamp()))::bigint
         from crm_private.login_failures
         where kind = $1 and subject = $2 and failures >= $4
             and window_started_at > clock_timestamp() - make_interval(secs => $3)",
        &[
            counter.name().into(),
            secret::hash(subject).into(),
            (settings.login_failures_window as f64).into(),
            settings.login_failures_max.into(),
        ],
        |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<i64>()?.map(|seconds| seconds.max(1))) }
        },
    )
}

/// It was right after all.
pub fn forgive(counter: Counter, subject: &str) -> Result<()> {
    ATTEMPTS.with_borrow_mut(|attempts| attempts.forgiven(counter, &secret::hash(subject)));
    db::execute(
        "delete from crm_private.login_failures where kind = $1 and subject = $2",
        &[counter.name().into(), secret::hash(subject).into()],
    )?;
    Ok(())
}

/// Clears counts whose window is over; tells how many. Within a login as the last step: it holds what it clears, and
/// nobody who holds one count may wait for another in the opposite order.
pub fn clear(batch: i32) -> Result<usize> {
    let window = Settings::current()?.login_failures_window;
    db::execute(
        "with over as materialized (
             select kind, subject from crm_private.login_failures
             where window_started_at <= clock_timestamp() - make_interval(secs => $1)
             order by window_started_at limit $2
             for update skip locked
         )
         delete from crm_private.login_failures as f using over
         where f.kind = over.kind and f.subject = over.subject",
        &[(window as f64).into(), batch.into()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(levels: &[i32]) -> Attempts {
        let counted = levels.iter().map(|&level| (("account", vec![1]), level, 1)).collect();
        Attempts { counted, undone: HashMap::new() }
    }

    fn undone(attempts: &mut Attempts) -> i32 {
        attempts.undone(Counter::Account, &[1], 900)
    }

    #[test]
    fn what_is_rolled_back_counts_all_the_same() {
        let mut all = attempts(&[1, 1, 2]);
        all.roll_back(0);
        assert_eq!(undone(&mut all), 3);
        assert!(all.counted.is_empty());
        assert_eq!(all.undone(Counter::Address, &[1], 900), 0);
        assert_eq!(all.undone(Counter::Account, &[2], 900), 0);
    }

    #[test]
    fn a_savepoint_takes_back_what_was_counted_in_it() {
        let mut some = attempts(&[1, 2, 3]);
        some.roll_back(2);
        assert_eq!((undone(&mut some), some.counted.len()), (2, 1));
    }

    #[test]
    fn what_a_released_savepoint_holds_is_its_parents() {
        let mut held = attempts(&[1, 3]);
        held.release(3);
        held.roll_back(3);
        assert_eq!(undone(&mut held), 0);
        held.roll_back(2);
        assert_eq!(undone(&mut held), 1);
    }

    #[test]
    fn the_oldest_goes_where_somebody_fills_the_memory() {
        let mut many = Attempts::default();
        for number in 0..=UNDONE_MAX {
            many.counted.push((("account", number.to_be_bytes().to_vec()), 1, 1));
            many.roll_back(0);
        }
        assert_eq!(many.undone.len(), UNDONE_MAX);
        assert_eq!(many.undone(Counter::Account, &0_usize.to_be_bytes(), 900), 0);
        assert_eq!(many.undone(Counter::Account, &UNDONE_MAX.to_be_bytes(), 900), 1);
    }

    #[test]
    fn who_succeeds_is_forgiven() {
        let mut all = attempts(&[1, 2]);
        all.roll_back(2);
        all.forgiven(Counter::Account, &[1]);
        all.roll_back(0);
        assert_eq!(undone(&mut all), 0);
    }
}

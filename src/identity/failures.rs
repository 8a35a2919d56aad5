//! How often something was tried in vain: after so many failures within a window, further attempts are refused until the
//! window is over. The same for known and unknown e-mail addresses, so that it tells nothing.

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
    /// Requests for a message to an e-mail address.
    PasswordReset,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::PasswordReset => "password_reset",
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
    let counted = db::execute(
        "insert into crm_private.login_failures as f (kind, subject, failures, window_started_at)
         values ($1, $2, 1, clock_timestamp())
         on conflict (kind, subject) do update
         set failures = case when f.window_started_at <= clock_timestamp() - make_interval(secs => $3) then 1 else f.failures + 1 end,
             window_started_at = case
                 when f.window_started_at <= clock_timestamp() - make_interval(secs => $3) then clock_timestamp()
                 else f.window_started_at
             end
         where f.failures < $4 or f.window_started_at <= clock_timestamp() - make_interval(secs => $3)",
        &[
            counter.name().into(),
            secret::hash(subject).into(),
            (settings.login_failures_window as f64).into(),
            settings.login_failures_max.into(),
        ],
    )?;
    if counted > 0 { Ok(Ok(())) } else { Ok(Err(Locked(wait(counter, subject)?.unwrap_or(1)))) }
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
        "delete from crm_private.login_failures
         where (kind, subject) in (
             select kind, subject from crm_private.login_failures
             where window_started_at <= clock_timestamp() - make_interval(secs => $1)
             order by window_started_at limit $2
             for update skip locked
         )",
        &[(window as f64).into(), batch.into()],
    )
}

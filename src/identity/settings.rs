//! `crm_private.settings`, as one value.

use std::cell::RefCell;
use std::rc::Rc;

use super::memory;
use super::password::{Cost, Rules};
use crate::db;
use crate::error::{CrmError, Result};

/// Durations in seconds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub issuer: String,
    pub audience: String,
    pub additional_audiences: Vec<String>,
    pub public_url: String,
    pub access_token_ttl: i64,
    pub service_token_ttl: i64,
    pub impersonation_ttl: i64,
    pub refresh_token_ttl: i64,
    pub refresh_grace: i64,
    pub session_max_age: i64,
    pub clock_leeway: i64,
    pub key_lead_time: i64,
    pub login_failures_max: i32,
    pub login_failures_window: i64,
    pub trusted_proxies: usize,
    pub password_reset_ttl: i64,
    pub email_verification_ttl: i64,
    pub invitation_ttl: i64,
    pub oauth_ttl: i64,
    password_length_min: i32,
    argon2: [i32; 3],
}

thread_local! {
    static REMEMBERED: RefCell<Option<(u64, Rc<Settings>)>> = const { RefCell::new(None) };
}

impl Settings {
    pub fn current() -> Result<Rc<Self>> {
        let generation = memory::generation();
        let remembered = REMEMBERED.with_borrow(|kept| match kept {
            Some((under, settings)) if *under == generation => Some(Rc::clone(settings)),
            _ => None,
        });
        if let Some(settings) = remembered {
            return Ok(settings);
        }
        let (settings, keep_under) = memory::ask(Self::load)?;
        let settings = Rc::new(settings);
        if let Some(generation) = keep_under {
            REMEMBERED.set(Some((generation, Rc::clone(&settings))));
        }
        Ok(settings)
    }

    /// What new password hashes cost.
    pub fn password_cost(&self) -> Cost {
        let [memory_kib, iterations, parallelism] = self.argon2.map(i32::unsigned_abs);
        Cost { memory_kib, iterations, parallelism }
    }

    pub fn password_rules(&self) -> Rules {
        Rules { length_min: self.password_length_min.unsigned_abs() as usize }
    }

    fn load() -> Result<Self> {
        db::select(
            "select issuer, audience, additional_audiences, public_url,
                 array[
                     extract(epoch from access_token_ttl), extract(epoch from service_token_ttl),
                     extract(epoch from impersonation_ttl), extract(epoch from refresh_token_ttl),
                     extract(epoch from refresh_grace), extract(epoch from session_max_age),
                     extract(epoch from clock_leeway), extract(epoch from key_lead_time),
                     extract(epoch from login_failures_window), extract(epoch from password_reset_ttl),
                     extract(epoch from email_verification_ttl), extract(epoch from invitation_ttl),
                     extract(epoch from oauth_ttl)
                 ]::bigint[],
                 array[
                     login_failures_max, trusted_proxies, password_length_min,
                     argon2_memory_kib, argon2_iterations, argon2_parallelism
                 ]
             from crm_private.settings",
            &[],
            &[],
            |rows| {
                let missing = || CrmError::internal("crm_private.settings has no row");
                let row = rows.first();
                if row.is_empty() {
                    return Err(missing());
                }
                let seconds: [i64; 13] =
                    row.get::<Vec<i64>>(5)?.and_then(|all| all.try_into().ok()).ok_or_else(missing)?;
                let numbers: [i32; 6] =
                    row.get::<Vec<i32>>(6)?.and_then(|all| all.try_into().ok()).ok_or_else(missing)?;
                let [
                    access,
                    service,
                    impersonation,
                    refresh,
                    grace,
                    max_age,
                    leeway,
                    lead,
                    window,
                    reset,
                    verify,
                    invite,
                    oauth,
                ] = seconds;
                let [failures, proxies, length, memory, iterations, parallelism] = numbers;
                Ok(Self {
                    issuer: row.get(1)?.ok_or_else(missing)?,
                    audience: row.get(2)?.ok_or_else(missing)?,
                    additional_audiences: row.get(3)?.ok_or_else(missing)?,
                    public_url: row.get(4)?.ok_or_else(missing)?,
                    access_token_ttl: access,
                    service_token_ttl: service,
                    impersonation_ttl: impersonation,
                    refresh_token_ttl: refresh,
                    refresh_grace: grace,
                    session_max_age: max_age,
                    clock_leeway: leeway,
                    key_lead_time: lead,
                    login_failures_max: failures,
                    login_failures_window: window,
                    trusted_proxies: proxies.unsigned_abs() as usize,
                    password_reset_ttl: reset,
                    email_verification_ttl: verify,
                    invitation_ttl: invite,
                    oauth_ttl: oauth,
                    password_length_min: length,
                    argon2: [memory, iterations, parallelism],
                })
            },
        )
    }
}

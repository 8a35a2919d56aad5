//! Signing keys and settings: what a test changes of them, it changes for everybody.

use std::sync::MutexGuard;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::actor::{self, Actor};
use crate::http::text;
use crate::{admin, alone};

/// The keys and settings as they were; they come back when this goes. Nobody else runs until then.
pub struct Everybodys {
    active: Value,
    settings: Value,
    _alone: MutexGuard<'static, ()>,
}

impl Everybodys {
    /// New keys sign at once here; rotation.rs shows the time before.
    pub fn keep() -> Self {
        Self::keep_with_lead_time("0")
    }

    pub fn keep_with_lead_time(lead_time: &str) -> Self {
        let alone = alone();
        let kept = Self {
            active: admin::value("select to_jsonb(k) from crm_private.signing_keys as k where retired_at is null", &[]),
            settings: admin::value("select to_jsonb(s) from crm_private.settings as s", &[]),
            _alone: alone,
        };
        admin::execute("update crm_private.settings set key_lead_time = $1::text::interval", &[&lead_time]);
        kept
    }

    /// The key that signed before.
    pub fn kid(&self) -> String {
        text(&self.active["kid"])
    }

    fn restore(&self) {
        admin::execute("delete from crm_private.signing_keys", &[]);
        admin::execute(
            "insert into crm_private.signing_keys
             select * from jsonb_populate_record(null::crm_private.signing_keys, $1)",
            &[&self.active],
        );
        admin::execute(
            "update crm_private.settings as s
             set issuer = was.issuer, audience = was.audience, additional_audiences = was.additional_audiences,
                 public_url = was.public_url, access_token_ttl = was.access_token_ttl,
                 service_token_ttl = was.service_token_ttl, clock_leeway = was.clock_leeway,
                 key_lead_time = was.key_lead_time
             from jsonb_populate_record(null::crm_private.settings, $1) as was",
            &[&self.settings],
        );
        admin::execute("notify pgrst", &[]);
    }
}

impl Drop for Everybodys {
    fn drop(&mut self) {
        self.restore();
        let user = Actor::register();
        until_accepted(&user);
    }
}

/// PostgREST reads the new keys a moment after the rotation; until then it refuses what is signed with them.
pub fn until_accepted(user: &Actor) {
    let started = Instant::now();
    while user.get("/rpc/me").status != 200 {
        assert!(started.elapsed() < Duration::from_secs(15), "PostgREST did not take the new configuration over");
        sleep(Duration::from_millis(50));
    }
}

pub fn rotate(alg: &str) -> String {
    admin::value("select crm.rotate_signing_key($1)", &[&alg])
}

/// The keys of /rpc/jwks.
pub fn published() -> Vec<Value> {
    actor::anonymous("GET", "/rpc/jwks").send().expect(200).json()["keys"].as_array().unwrap().clone()
}

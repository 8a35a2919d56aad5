//! What load balancers ask: anybody is told whether the CRM works, and nothing else.

use crm_http_tests::actor::{self, Actor};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::{admin, alone, raw};
use serde_json::{Value, json};

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// As a probe asks: any answer is one.
fn probe() -> Response {
    raw::exchange_with_any_answer(&raw::bytes_of("GET", "/rpc/health", &[])).unwrap()
}

/// The tables' version as it was; it comes back when this goes.
struct Version(String);

impl Version {
    fn set(version: &str) -> Self {
        let before = admin::value("select version from crm_private.schema_version", &[]);
        admin::execute("update crm_private.schema_version set version = $1", &[&version]);
        Self(before)
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        admin::execute("update crm_private.schema_version set version = $1", &[&self.0]);
    }
}

#[test]
fn anybody_is_told_that_all_is_well_and_nothing_else() {
    let _alone = alone();
    let answer = Request::new("GET", "/rpc/health").send().expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let health = answer.json();
    assert_eq!(members(&health), ["checks", "schema_version", "status", "time", "version"]);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], health["schema_version"]);
    assert_eq!(
        health["checks"],
        json!({ "keys": "ok", "schema": "ok", "delivery": "ok", "writable": true, "shared_memory": "not preloaded" })
    );
    Request::new("HEAD", "/rpc/health").send().expect(200);
    Request::new("POST", "/rpc/health").json(&json!({})).send().expect(200);
}

#[test]
fn a_user_and_one_of_several_organizations_are_told_too() {
    let _alone = alone();
    let user = Actor::register();
    assert_eq!(user.get("/rpc/health").expect(200).json()["status"], "ok");
    user.join(&Actor::register().organization, "sales");
    assert_eq!(user.logged_in(None).get("/rpc/health").expect(200).json()["status"], "ok");
    user.with_token("e30.e30.e30").get("/rpc/health").expect(401);
}

#[test]
fn a_probe_gets_503_while_the_tables_are_of_another_version_and_200_after() {
    let _alone = alone();
    for (version, state) in [("0.0.1", "behind"), ("99.0.0", "ahead")] {
        let other = Version::set(version);
        let answer = probe();
        assert_eq!(answer.status, 503, "{answer}");
        let health = answer.json();
        assert_eq!((&health["status"], &health["checks"]["schema"]), (&json!("failing"), &json!(state)));
        assert_eq!(health["schema_version"], version);
        drop(other);
        assert_eq!(probe().status, 200);
    }
}

#[test]
fn what_is_wrong_in_particular_is_for_the_administrator_alone() {
    let _alone = alone();
    let owner = Actor::register();
    owner.get("/rpc/doctor").expect(403);
    actor::anonymous("GET", "/rpc/doctor").send().expect(401);
}

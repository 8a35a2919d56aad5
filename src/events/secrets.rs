//! What webhooks are signed with, and the headers that receivers want: nobody reads them back.

use std::collections::BTreeMap;

use pgrx::JsonB;
use serde_json::Value;
use uuid::Uuid;

use super::signature::{SECRET, secret_of};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;
use crate::random;

/// Gives a webhook a new secret, and tells it; those of before sign along for so many seconds.
pub fn renew(organization: Uuid, webhook: Uuid, overlap: f64) -> Result<String> {
    let secret = random::bytes::<SECRET>()?;
    let key = [to_pg(organization), to_pg(webhook)];
    db::as_definer(|| {
        db::execute(
            "update crm_private.webhook_secrets set expires_at = least(expires_at, clock_timestamp() + make_interval(secs => $3))
             where org_id = $1 and webhook_id = $2",
            &[key[0].into(), key[1].into(), overlap.into()],
        )?;
        db::execute(
            "delete from crm_private.webhook_secrets where org_id = $1 and webhook_id = $2 and expires_at <= clock_timestamp()",
            &[key[0].into(), key[1].into()],
        )?;
        db::execute(
            "insert into crm_private.webhook_secrets (org_id, webhook_id, secret) values ($1, $2, $3)",
            &[key[0].into(), key[1].into(), secret.as_slice().into()],
        )
    })?;
    Ok(secret_of(&secret))
}

/// A header's name and value (RFC 9110, 5.1 and 5.5), as far as receivers may ask for one.
pub fn checked_headers(headers: &Value) -> Result<BTreeMap<String, String>> {
    const MOST: usize = 20;
    let problem = |problem: String| CrmError::invalid("headers", problem);
    let members = headers.as_object().ok_or_else(|| problem("must be an object like {\"X-Token\": \"…\"}".into()))?;
    if members.len() > MOST {
        return Err(problem(format!("must be at most {MOST}")));
    }
    let mut checked = BTreeMap::new();
    for (name, value) in members {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(50).collect();
        if !is_header_name(name) {
            return Err(problem(format!("\"{shown}\" is no name of a header")));
        }
        let name = name.to_ascii_lowercase();
        if is_ours(&name) {
            return Err(problem(format!("\"{shown}\" is set by the sender")));
        }
        let value = value.as_str().filter(|value| is_header_value(value));
        let value = value
            .ok_or_else(|| problem(format!("\"{shown}\" must be a text of 1 to 2000 printable ASCII characters")))?;
        checked.insert(name, value.to_owned());
    }
    Ok(checked)
}

fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 100 && name.bytes().all(is_token)
}

fn is_header_value(value: &str) -> bool {
    let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !value.is_empty() && value.len() <= 2000 && value.bytes().all(is_printable) && value.trim() == value
}

/// What says who sends, what, and how long it is.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 14] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "user-agent",
        "x-webhook-signature",
        "proxy-authorization",
    ];
    OURS.contains(&name) || name.starts_with("webhook-")
}

pub fn store_headers(organization: Uuid, webhook: Uuid, headers: &BTreeMap<String, String>) -> Result<()> {
    let headers = serde_json::to_value(headers).map_err(|_| CrmError::internal("headers have no JSON form"))?;
    db::as_definer(|| {
        db::execute(
            "update crm_private.webhook_states set headers = $3 where org_id = $1 and webhook_id = $2",
            &[to_pg(organization).into(), to_pg(webhook).into(), JsonB(headers).into()],
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_that_receivers_may_want_are_taken() {
        let headers = checked_headers(&json!({"X-Token": "a b", "authorization": "Bearer x"})).unwrap();
        assert_eq!(headers.get("x-token").map(String::as_str), Some("a b"));
        assert_eq!(headers.len(), 2);
        assert!(checked_headers(&json!({})).unwrap().is_empty());
    }

    #[test]
    fn others_are_not() {
        for bad in [
            json!([]),
            json!({"": "x"}),
            json!({"X Token": "x"}),
            json!({"X-Token": ""}),
            json!({"X-Token": 5}),
            json!({"X-Token": "a\r\nHost: b"}),
            json!({"X-Token": " a"}),
            json!({"X-Token": "ä"}),
            json!({"X-Token": "x".repeat(2001)}),
            json!({"Host": "a"}),
            json!({"Webhook-Id": "a"}),
            json!({"CONTENT-LENGTH": "5"}),
        ] {
            assert!(checked_headers(&bad).is_err(), "{bad}");
        }
    }
}

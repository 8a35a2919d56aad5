//! Signatures are those that the reference libraries of the Standard Webhooks specification verify, in Python and JavaScript.

use std::io::Write;
use std::process::{Command, Stdio};

use crm_http_tests::actor::Actor;
use crm_http_tests::http::text;
use crm_http_tests::issuer::as_role;
use crm_http_tests::{alone, setting, unique};
use serde_json::{Value, json};

/// Told on its input: {secret, body, headers}. Ends well if the library takes it, and its event is the body's.
const PYTHON: &str = "
import json, sys
from standardwebhooks import Webhook
told = json.load(sys.stdin)
event = Webhook(told['secret']).verify(told['body'], told['headers'])
assert event == json.loads(told['body'])
";
const NODE: &str = "
const { Webhook } = require('standardwebhooks');
const told = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const event = new Webhook(told.secret).verify(told.body, told.headers);
require('assert').deepStrictEqual(event, JSON.parse(told.body));
";

fn libraries() -> [(&'static str, Command); 2] {
    let folder = setting("CRM_TEST_WEBHOOK_LIBRARIES");
    let mut python = Command::new(format!("{folder}/python/bin/python"));
    python.args(["-c", PYTHON]);
    let mut node = Command::new("node");
    node.args(["-e", NODE]).env("NODE_PATH", format!("{folder}/node/node_modules"));
    [("python", python), ("node", node)]
}

/// Which of the libraries take it.
fn taken(secret: &str, delivery: &Value, body: &str) -> Vec<&'static str> {
    let told = json!({ "secret": secret, "body": body, "headers": delivery["headers"] }).to_string();
    let takes = |(name, mut library): (&'static str, Command)| {
        let mut child = library.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
        child.wait().unwrap().success().then_some(name)
    };
    libraries().into_iter().filter_map(takes).collect()
}

fn delivery(owner: &Actor, webhook: &Value) -> Value {
    owner.post("/rpc/test_webhook", &json!({ "webhook_id": webhook["id"] })).expect(200);
    as_role("crm_worker", |sql| {
        let rows = sql.query("select to_jsonb(c) from crm.claim_webhook_deliveries(1000) as c", &[]).unwrap();
        let mut claimed = rows.iter().map(|row| row.get::<_, Value>(0));
        claimed.find(|delivery| delivery["webhook_id"] == webhook["id"]).unwrap()
    })
}

#[test]
fn the_reference_libraries_take_what_is_sent_and_nothing_else() {
    let _alone = alone();
    let owner = Actor::register();
    let arguments = json!({ "name": unique("hook"), "url": "https://example.com/ä", "events": ["deal.won"] });
    let webhook = owner.post("/rpc/create_webhook", &arguments).expect(200).json();
    let (secret, sent) = (text(&webhook["secret"]), delivery(&owner, &webhook));
    let body = text(&sent["body"]);
    assert_eq!(taken(&secret, &sent, &body), ["python", "node"]);
    assert_eq!(taken(&secret, &sent, &body.replace("webhook.test", "webhook.tost")), [""; 0], "another body");
    let mut later = sent.clone();
    later["headers"]["webhook-timestamp"] =
        json!((text(&sent["headers"]["webhook-timestamp"]).parse::<i64>().unwrap() + 1).to_string());
    assert_eq!(taken(&secret, &later, &body), [""; 0], "another time");
    let mut other = sent.clone();
    other["headers"]["webhook-id"] = json!("another");
    assert_eq!(taken(&secret, &other, &body), [""; 0], "another event");

    let rotated = owner.post("/rpc/rotate_webhook_secret", &json!({ "webhook_id": webhook["id"] })).expect(200).json();
    let sent = delivery(&owner, &webhook);
    let body = text(&sent["body"]);
    for secret in [&secret, &text(&rotated["secret"])] {
        assert_eq!(
            taken(secret, &sent, &body),
            ["python", "node"],
            "the old secret and the new one, while it is changed"
        );
    }
    let rotated = owner
        .post("/rpc/rotate_webhook_secret", &json!({ "webhook_id": webhook["id"], "overlap_seconds": 0 }))
        .expect(200)
        .json();
    let sent = delivery(&owner, &webhook);
    let body = text(&sent["body"]);
    assert_eq!(taken(&text(&rotated["secret"]), &sent, &body), ["python", "node"]);
    assert_eq!(taken(&secret, &sent, &body), [""; 0], "the old one no more");
}

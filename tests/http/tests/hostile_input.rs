//! Probes made from the API's own description: whatever is put wherever, nobody gets a server error. That no answer is
//! a 5xx, has another shape or shows internals is checked on each by the client these tests share.

use std::collections::HashSet;

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::admin;
use crm_http_tests::http::{Request, encode};
use crm_http_tests::openapi::{self, Argument, Column, Function, Table};
use serde_json::{Value, json};

/// Values that some type, rule or library may stumble over.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!(" "),
        json!("x"),
        json!("x".repeat(100_000)),
        json!("😀".repeat(1000)),
        json!("a\u{0}b"),
        json!("\u{1}\u{1b}\u{7f}\u{85}\u{2028}\u{202e}\u{feff}\u{ffff}"),
        json!("e\u{301}".repeat(500)),
        json!("' or true; drop table crm.contacts; --"),
        json!("$1 %s %n {} \\ \" ' ` \u{a0}"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("infinity"),
        json!("-infinity"),
        json!("NaN"),
        json!("9999-12-31"),
        json!("5874897-12-31"),
        json!("4713-01-01 BC"),
        json!("now"),
        json!("+999999999999999999999999999999"),
        json!("tel:+1;ext=99999999999999999999;isub=1;phone-context=example.com"),
        json!("https://[::1]:99999/"),
        json!("https://xn--a.example"),
        json!("xn--\u{e4}.example"),
        json!("\"a b\"@example.com"),
        json!(format!("{}@{}.example", "a".repeat(64), "b".repeat(180))),
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e308),
        json!(-1.5),
        json!(true),
        json!([]),
        json!({}),
        json!([[[[null]]]]),
        json!({ "a": { "b": [1, "2"] } }),
    ]
}

/// The problems among the answers to these requests.
fn problems(requests: impl IntoIterator<Item = Request>) -> Vec<String> {
    requests.into_iter().filter_map(|request| request.try_send().err()).collect()
}

fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// A JSON object with one member set, also to null.
fn set(object: &Value, member: &str, value: &Value) -> Value {
    let mut copy = object.clone();
    copy[member] = value.clone();
    copy
}

#[test]
fn an_attacker_gets_no_server_error_from_any_column() {
    let user = Actor::register();
    let least = json!({ "accounts": { "name": "Kept" }, "contacts": { "last_name": "Kept" } });
    for Table { name, columns } in openapi::tables(&user) {
        let Some(least) = least.get(&name) else { continue };
        let (table, row) = (format!("/{name}"), format!("/{name}?id=eq.{}", id_of(&user.insert(&name, least))));
        assert!(columns.len() > 10);
        for Column { name: column, .. } in &columns {
            none(problems(values().iter().flat_map(|value| {
                let insert = user.request("POST", &table).json(&set(least, column, value));
                let update = user.request("PATCH", &row).json(&set(&json!({}), column, value));
                [insert, update].map(|request| request.prefer("return=minimal"))
            })));
        }
        // What was taken can be read.
        user.get(&table).expect(200);
        user.request("GET", &table).header("Accept", "text/csv").send().expect(200);
    }
}

const OPERATORS: [&str; 27] = [
    "eq",
    "neq",
    "gt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "in",
    "is",
    "isdistinct",
    "fts",
    "fts(nonsense)",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
    "eq(any)",
    "like(all)",
    "not.eq",
];

const OPERANDS: [&str; 11] =
    ["", "x", "(x,)", "{x}", "(", "\u{0}", "null", "[1,2)", "**", "99999999999999999999", "'\"\\"];

#[test]
fn an_attacker_gets_no_server_error_from_any_filter() {
    let user = Actor::with_contacts(1);
    let mut formats = HashSet::new();
    for Table { name, columns } in openapi::tables(&user) {
        let get = |query: String| user.request("GET", &format!("/{name}?limit=1&{query}"));
        for Column { name: column, format } in &columns {
            none(problems(uses(column).map(get)));
            // What a filter does depends on the type alone.
            if formats.insert(format.clone()) {
                none(problems(filters(column).map(get)));
            }
        }
    }
    assert!(formats.len() >= 7, "{formats:?}");
}

fn filters(column: &str) -> impl Iterator<Item = String> {
    let filter = move |operator, operand| format!("{column}={operator}.{}", encode(operand));
    OPERATORS.iter().flat_map(move |operator| OPERANDS.map(|operand| filter(operator, operand)))
}

fn uses(column: &str) -> impl Iterator<Item = String> {
    [
        format!("order={column}.desc.nullslast"),
        format!("select=x:{column}::text,y:{column}::int,z:{column}::jsonb"),
        format!("select={column}-%3Ea-%3E%3E0,b:{column}-%3E-1"),
        format!("or=({column}.eq.x,not.and({column}.is.null,{column}.gt.1))"),
    ]
    .into_iter()
}

/// A call of the function with arguments that its types take.
fn good_call(function: &Function, user: &Actor) -> Value {
    function.arguments.iter().fold(json!({}), |call, argument| {
        let is_uuid = argument.schema["format"] == "uuid";
        set(&call, &argument.name, &if is_uuid { json!(user.user) } else { json!("nobody@example.com") })
    })
}

#[test]
fn an_attacker_gets_no_server_error_from_any_argument() {
    let user = Actor::register();
    let visitor = Actor { token: None, ..user.clone() };
    let before = admin::fingerprint(user.organization.id);
    let mut seen = HashSet::new();
    for actor in [&visitor, &user] {
        let functions = openapi::functions(actor);
        assert!(functions.len() >= 6);
        for function in functions.into_iter().filter(|function| seen.insert(function.path.clone())) {
            let good = good_call(&function, &user);
            let bad = |argument: &Argument| {
                values().iter().map(|value| set(&good, &argument.name, value)).collect::<Vec<_>>()
            };
            let calls = function.arguments.iter().flat_map(bad).chain([json!([]), json!({ "nonsense": 1 })]);
            none(problems(calls.map(|call| actor.request("POST", &function.path).json(&call))));
            none(problems([actor.request("GET", &function.path)]));
        }
    }
    assert_eq!(admin::fingerprint(user.organization.id), before);
}

//! What no column takes: derived from the catalog for every column, so that none is forgotten.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::catalog::{self, Column};
use super::world::World;
use super::{Spec, merged};
use crate::all;
use crate::http::Response;

/// A value that a column refuses, and a word of the answer.
struct Bad {
    column: String,
    value: Value,
    word: String,
    /// 409 for what is referred to and not there, 422 for a state, 400 for all else.
    status: u16,
}

/// Longer than any text may be.
const TOO_LONG: usize = 200_000;

pub fn refuses_bad_input_in_each_column(spec: &'static Spec) {
    let world = World::of(spec);
    let tried = bad_input(&world);
    // What is changed: a least row, and one with each column that a least row has not.
    let least = world.insert(Map::new());
    let mut rows = BTreeMap::new();
    for bad in &tried {
        rows.entry(&bad.column).or_insert_with(|| {
            let variant = world.variant(&bad.column, world.next());
            if variant.is_empty() { least.clone() } else { world.insert(variant) }
        });
    }
    let n = world.next();
    let whole = |bad: &Bad| {
        let value = Map::from_iter([(bad.column.clone(), bad.value.clone())]);
        merged(merged(world.least(n), world.variant(&bad.column, n)), value)
    };
    // With all their parents, before it is looked at what there is.
    let inserts: Vec<_> = tried.iter().map(whole).collect();
    let before = world.fingerprint();
    all(tried.iter().zip(inserts), |(bad, insert)| {
        refused(spec, bad, &world.owner.post(&world.path(""), &json!(insert)))?;
        let update = world.owner.request("PATCH", &world.path_of(&rows[&bad.column]));
        refused(spec, bad, &update.json(&json!({ bad.column.as_str(): bad.value })).send())
    });
    assert_ne!(before, None);
    assert_eq!(world.fingerprint(), before, "something of it is stored");
}

fn bad_input(world: &World) -> Vec<Bad> {
    let (spec, written) = (world.spec, world.spec.written());
    let columns = catalog::columns(spec.table).into_iter();
    let columns = columns.filter(|column| written.contains(&column.name) || column.name == "external_id");
    let told = spec.bad.iter().map(|(column, value, word)| {
        let value = world.fill(value, world.last());
        let value: Value = serde_json::from_str(&value).unwrap_or_else(|error| panic!("{error}: {value}"));
        bad(column, value, word)
    });
    columns.flat_map(|column| of_column(&column)).chain(told).collect()
}

fn refused(spec: &Spec, bad: &Bad, answer: &Response) -> Result<(), String> {
    // What is referred to is also looked for by triggers, and nobody gives away what only they see.
    let of_others = spec.personal && answer.code() == "42501";
    let sooner = bad.status == 409 && (answer.code() == "22023" || of_others);
    // A state machine may be asked before the constraint.
    let of_state = answer.status == 422 && answer.text().contains(&format!(r#"{{\"column\":\"{}\""#, bad.column));
    if answer.status != bad.status && !sooner && !of_state {
        return Err(format!("{}: {} expected: {answer}", bad.column, bad.status));
    }
    if answer.header("X-Injected").is_some() {
        return Err(format!("{}: a value becomes a header: {answer}", bad.column));
    }
    let said = answer.text().contains(&bad.word) || of_others;
    if said { Ok(()) } else { Err(format!("{}: does not say {:?}: {answer}", bad.column, bad.word)) }
}

fn status_of(word: &str) -> u16 {
    match word {
        _ if word.contains("_org_id_") => 409,
        _ if word.contains("there is no step") => 422,
        _ => 400,
    }
}

fn bad(column: &str, value: impl Into<Value>, word: &str) -> Bad {
    Bad { column: column.into(), value: value.into(), word: word.into(), status: status_of(word) }
}

fn of_column(column: &Column) -> Vec<Bad> {
    let name = column.name.as_str();
    let mut values = match column.kind.as_str() {
        "text" => of_text(column),
        "uuid" => vec![bad(name, "not-a-uuid", "not-a-uuid"), bad(name, 1, "1")],
        "integer" | "bigint" | "smallint" => {
            vec![
                bad(name, "many", "many"),
                bad(name, 1.5, "1.5"),
                bad(name, "99999999999999999999", "99999999999999999999"),
            ]
        }
        "numeric" => vec![bad(name, "much", "much"), bad(name, "NaN", name), bad(name, 1e30, "numeric")],
        "boolean" => vec![bad(name, "perhaps", "perhaps"), bad(name, 7.5, "7.5")],
        "date" | "timestamp with time zone" => vec![
            bad(name, "soon", "soon"),
            bad(name, "2023-02-30", "2023-02-30"),
            bad(name, true, "true"),
            // By a constraint that may be about another column, too.
            bad(name, "infinity", "_check"),
        ],
        _ => vec![],
    };
    if column.kind == "text[]" {
        values.push(bad(name, json!(["a\u{0}b"]), r"\\u0000 cannot be converted to text"));
        for element in ["a\nb".to_owned(), "a\u{1}b".to_owned(), "x".repeat(TOO_LONG)] {
            values.push(bad(name, json!(["fine", element]), name));
        }
    }
    if column.not_null {
        values.push(bad(name, Value::Null, name));
    }
    if column.refers_to.is_some() && column.kind == "uuid" {
        values.push(Bad { status: 409, ..bad(name, json!(Uuid::nil()), name) });
    }
    values
}

/// Too long, control characters, a NUL, and what does not have the column's form.
fn of_text(column: &Column) -> Vec<Bad> {
    let name = column.name.as_str();
    let mut values = vec![bad(name, "a\u{0}b", r"\\u0000 cannot be converted to text")];
    let about = |problem: &str| format!("{name}: {problem}");
    let rule = column.rule.as_deref().unwrap_or_default();
    let (required, rule) = match rule.strip_prefix("required ") {
        Some(rule) => (true, rule),
        None => (false, rule),
    };
    if required {
        for blank in ["", "   ", "\u{3000}"] {
            values.push(bad(name, blank, &about("must not be empty")));
        }
    }
    let (kind, argument) = rule.split_once(' ').unwrap_or((rule, ""));
    let (form, word) = misformed(kind);
    let ruled = !matches!(kind, "" | "steps");
    for value in form {
        // Without a rule, a constraint named like the column refuses.
        values.push(bad(name, *value, &if ruled { about(word) } else { name.to_owned() }));
    }
    let longer = "x".repeat(argument.parse::<usize>().unwrap_or(TOO_LONG) + 1);
    let long = if matches!(kind, "line" | "text" | "html") { about("too long") } else { name.to_owned() };
    values.push(bad(name, longer, &long));
    if kind == "steps" {
        values.iter_mut().skip(1).for_each(|bad| bad.status = 422);
    }
    values
}

/// What does not have the form of such a rule, and what is said of it.
fn misformed(kind: &str) -> (&[&str], &str) {
    match kind {
        "line" => (&["a\nb", "a\u{1}b", "a\u{7f}b", "a\u{85}b"], "line breaks and control characters are not allowed"),
        "text" | "html" => (&["a\u{1b}[31mb", "a\u{7}b"], "control characters are not allowed"),
        "email" => {
            (&["ann", "ann@localhost", "Ann <ann@example.com>", "a\u{1}b@example.com"], "not a valid e-mail address")
        }
        "phone" => (&["1", "call me", "<script>123</script>"], "not a phone number"),
        "domain" => (&["localhost", "http://example.com", "127.0.0.1", "a\u{1}b.example"], "not a domain name"),
        "url" => (&["example.com", "javascript:alert(1)", "data:text/html,x", "//example.com"], "not a web address"),
        "code" => (&["11", "€", "a\u{1}b", "Germany"], "not a code of"),
        // The message of a 422 stands in the answer's status line.
        "steps" => (&["nonsense", "a\r\nX-Injected: yes", "a\u{1}b", ""], ""),
        "" => (&["no such value", "a\u{1}b", "a\nb"], ""),
        // Of countries, currencies, colours, time zones …
        _ => (&["§ 1", "a\u{1}b"], ""),
    }
}

/// Of the states of each column that has some, none but the first ones can be begun with, and none but the next ones follow.
pub fn takes_only_the_steps_of_its_states(spec: &'static Spec) {
    let world = World::of(spec);
    for column in catalog::columns(spec.table) {
        let Some((_, steps)) = column.rule.as_deref().and_then(|rule| rule.split_once("steps ")) else { continue };
        let steps: Vec<(&str, Vec<&str>)> = steps
            .split(' ')
            .map(|step| step.split_once(':').unwrap())
            .map(|(from, to)| (from, to.split(',').filter(|state| !state.is_empty()).collect()))
            .collect();
        let after = |state: &str| &steps.iter().find(|(from, _)| *from == state).unwrap().1;
        let row = world.insert(Map::new());
        let now = row[&column.name].as_str().unwrap();
        let before = world.fingerprint();
        for (state, _) in steps.iter().filter(|(state, _)| *state != "*") {
            let value = Map::from_iter([(column.name.clone(), json!(state))]);
            if !after("*").contains(state) {
                let answer = world.post(&world.owner, &merged(world.least(world.next()), value.clone())).send();
                assert_refused(&answer, &column.name, None, state, after("*"));
            }
            if now != *state && !after(now).contains(state) {
                let answer = world.owner.patch(&world.path_of(&row), &json!(value));
                assert_refused(&answer, &column.name, Some(now), state, after(now));
            }
        }
        assert_eq!(world.fingerprint(), before);
    }
}

#[track_caller]
fn assert_refused(answer: &Response, column: &str, from: Option<&str>, to: &str, allowed: &[&str]) {
    assert_eq!(answer.status, 422, "{answer}");
    let body = answer.json();
    let details: Value = serde_json::from_str(body["details"].as_str().unwrap_or_default()).unwrap_or_default();
    assert_eq!(details, json!({ "column": column, "from": from, "to": to, "allowed": allowed }), "{answer}");
}

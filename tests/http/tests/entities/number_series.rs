//! Every organization has one row of each kind from the beginning, so this is no entity like the others.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::{admin, all};
use serde_json::{Value, json};

fn of(user: &Actor, kind: &str) -> Value {
    user.get(&format!("/number_series?kind=eq.{kind}")).expect(200).rows().remove(0)
}

fn fingerprint(user: &Actor) -> String {
    admin::value(
        "select string_agg(s::text, '|' order by s.id) from crm.number_series as s where s.org_id = $1",
        &[&user.organization.id],
    )
}

#[test]
fn an_owner_reads_filters_sorts_and_pages_the_series() {
    let user = Actor::register();
    let kinds = user.get("/number_series?order=kind").expect(200).column("kind");
    assert_eq!(kinds, ["estimate", "invoice", "ticket"]);
    let descending = user.get("/number_series?order=kind.desc,id.desc&padding=eq.4").expect(200).column("kind");
    assert_eq!(descending, ["ticket", "invoice", "estimate"]);
    let page = user.request("GET", "/number_series?order=kind&limit=2&offset=1").prefer("count=exact").send();
    assert_eq!(page.header("Content-Range"), Some("1-2/3"), "{page}");
    let csv = user
        .request("GET", "/number_series?select=kind,first_number,last_number&order=kind")
        .header("Accept", "text/csv");
    let csv = csv.send().expect(200).text();
    assert_eq!(csv.trim_end(), "kind,first_number,last_number\nestimate,1,0\ninvoice,1,0\nticket,1,0");
    assert_eq!(of(&user, "invoice")["org_id"], json!(user.organization.id));
}

#[test]
fn an_owner_changes_how_numbers_look_and_not_which_are_next() {
    let user = Actor::register();
    let before = of(&user, "invoice");
    let path = format!("/number_series?id=eq.{}", id_of(&before));
    let change = json!({ "prefix": "2030/R", "padding": 6, "first_number": 7, "last_number": 8, "version": 9 });
    let after = user.patch(&path, &change).expect(200).rows().remove(0);
    for (column, expected) in [
        ("prefix", json!("2030/R")),
        ("padding", json!(6)),
        ("first_number", json!(1)),
        ("last_number", json!(0)),
        ("version", json!(2)),
        ("kind", json!("invoice")),
    ] {
        assert_eq!(after[column], expected, "{column}");
    }
    let upsert = user.request("POST", "/number_series?on_conflict=org_id,kind");
    let upsert = upsert.prefer("resolution=merge-duplicates, return=representation");
    let merged = upsert.json(&json!({ "kind": "invoice", "prefix": "R-" })).send().expect(200).rows().remove(0);
    assert_eq!((&merged["id"], &merged["prefix"], &merged["version"]), (&before["id"], &json!("R-"), &json!(3)));
}

#[test]
fn an_owner_has_one_series_of_each_kind() {
    let user = Actor::register();
    let before = fingerprint(&user);
    let again = user.post("/number_series", &json!({ "kind": "invoice" })).expect(409);
    assert!(again.text().contains("number_series_org_id_kind_key"), "{again}");
    assert_eq!(fingerprint(&user), before);
    assert_eq!(user.delete("/number_series?kind=eq.estimate").expect(200).rows().len(), 1);
    let csv = "kind,prefix,padding\nestimate,\"A, \",5\n";
    user.request("POST", "/number_series").body("text/csv", csv).send().expect(201);
    assert_eq!(of(&user, "estimate")["padding"], json!(5));
}

#[test]
fn an_owner_is_told_which_value_is_wrong() {
    let user = Actor::register();
    let before = fingerprint(&user);
    let values = [
        ("prefix", json!("INV-1"), "number_series_prefix_check", 400),
        ("prefix", json!("x".repeat(21)), "prefix: too long", 400),
        ("prefix", json!("a\u{1}b"), "prefix: line breaks and control characters", 400),
        ("prefix", json!("a\u{0}b"), r"\\u0000 cannot be converted to text", 400),
        ("padding", json!(0), "number_series_padding_check", 400),
        ("padding", json!(13), "number_series_padding_check", 400),
        ("padding", json!(null), "padding", 400),
        ("padding", json!("many"), "many", 400),
        ("kind", json!("ticket"), "kind", 403),
        ("kind", json!("receipt"), "kind", 403),
    ];
    all(values, |(column, value, word, status)| {
        let answer = user.patch("/number_series?kind=eq.invoice", &json!({ column: value }));
        let fits = answer.status == status && answer.text().contains(word);
        if fits { Ok(()) } else { Err(format!("{status} {word:?} expected: {answer}")) }
    });
    assert_eq!(fingerprint(&user), before);
}

#[test]
fn nobody_else_changes_a_series() {
    let (user, stranger) = (Actor::register(), Actor::register());
    let path = format!("/number_series?id=eq.{}", id_of(&of(&user, "invoice")));
    let (before, change) = (fingerprint(&user), json!({ "prefix": "TAKEN-" }));
    assert_eq!(stranger.get(&path).expect(200).text(), "[]");
    assert_eq!(stranger.patch(&path, &change).expect(200).text(), "[]");
    assert_eq!(stranger.delete(&path).expect(200).text(), "[]");
    let into = json!({ "org_id": user.organization.id, "kind": "invoice" });
    assert_eq!(stranger.post("/number_series", &into).expect(403).code(), "42501");
    for role in ["manager", "sales", "support", "read_only"] {
        let member = Actor::member(&user.organization, role);
        assert_eq!(member.get(&path).expect(200).rows().len(), 1, "{role}");
        member.patch(&path, &change).expect(403);
        member.delete(&path).expect(403);
        member.post("/number_series", &json!({ "kind": "invoice" })).expect(403);
    }
    assert_eq!(fingerprint(&user), before);
}

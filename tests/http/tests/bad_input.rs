//! What is wrong with the data is refused with a 4xx that says what it is, and nothing changes.

use crm_http_tests::fixture::Fixture;
use crm_http_tests::token::with;
use crm_http_tests::{admin, all};
use serde_json::{Value, json};
use uuid::Uuid;

/// The least row a table takes.
fn least(table: &str) -> Value {
    if table == "accounts" { json!({ "name": "New" }) } else { json!({ "last_name": "New" }) }
}

fn long(length: usize) -> Value {
    "x".repeat(length).into()
}

/// Table, column, value, and a word of the answer. Each is tried by POST and by PATCH.
fn bad_values() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let mut values = vec![
        // Length.
        ("contacts", "last_name", long(101), "last_name: too long"),
        ("contacts", "first_name", long(101), "first_name: too long"),
        ("contacts", "salutation", long(51), "salutation: too long"),
        ("contacts", "title", long(201), "title: too long"),
        ("contacts", "department", long(201), "department: too long"),
        ("contacts", "lead_source", long(101), "lead_source: too long"),
        ("contacts", "street", long(501), "street: too long"),
        ("contacts", "city", long(101), "city: too long"),
        ("contacts", "postal_code", long(21), "postal_code: too long"),
        ("contacts", "description", long(20_001), "description: too long"),
        ("contacts", "external_id", long(201), "external_id: too long"),
        ("contacts", "phone", format!("+{}", "1".repeat(60)).into(), "phone: too long"),
        (
            "contacts",
            "linkedin_url",
            format!("https://e.example/{}", "x".repeat(2000)).into(),
            "linkedin_url: too long",
        ),
        ("contacts", "description", long(5 << 20), "description: too long"),
        ("contacts", "email", format!("{}@example.com", "x".repeat(300)).into(), "email"),
        ("accounts", "name", long(201), "name: too long"),
        ("accounts", "industry", long(101), "industry: too long"),
        ("accounts", "tax_id", long(51), "tax_id: too long"),
        ("accounts", "billing_street", long(501), "billing_street: too long"),
        ("accounts", "shipping_city", long(101), "shipping_city: too long"),
        ("accounts", "description", long(20_001), "description: too long"),
        ("accounts", "domain", format!("{}.example", "x".repeat(300)).into(), "domain"),
        // Required.
        ("contacts", "last_name", json!(""), "last_name: must not be empty"),
        ("contacts", "last_name", json!("   "), "last_name: must not be empty"),
        ("contacts", "last_name", json!("\u{3000}"), "last_name: must not be empty"),
        ("contacts", "last_name", json!(null), "last_name"),
        ("accounts", "name", json!(""), "name: must not be empty"),
        ("accounts", "name", json!(null), "name"),
        ("contacts", "status", json!(null), "status"),
        ("accounts", "type", json!(null), "type"),
        ("contacts", "do_not_call", json!(null), "do_not_call"),
        // Lists of values.
        ("contacts", "status", json!("nonsense"), "contacts_status_check"),
        ("contacts", "status", json!("Active"), "contacts_status_check"),
        ("contacts", "country", json!("Germany"), "country: not a country's code of two letters"),
        ("contacts", "country", json!("D1"), "country: not a country's code of two letters"),
        ("accounts", "status", json!(""), "accounts_status_check"),
        ("accounts", "type", json!("enemy"), "accounts_type_check"),
        ("accounts", "currency", json!("euro"), "currency: not a currency's code of three letters"),
        ("accounts", "currency", json!("€"), "currency: not a currency's code of three letters"),
        ("accounts", "billing_country", json!("Germany"), "billing_country: not a country's code of two letters"),
        ("accounts", "shipping_country", json!("1"), "shipping_country: not a country's code of two letters"),
        // Numbers and dates.
        ("accounts", "employees", json!(-1), "accounts_employees_check"),
        ("accounts", "employees", json!(3_000_000_000_u32), "3000000000"),
        ("accounts", "employees", json!(1.5), "1.5"),
        ("accounts", "employees", json!("many"), "many"),
        ("accounts", "employees", json!([1]), "[1]"),
        ("accounts", "annual_revenue", json!(-0.01), "accounts_annual_revenue_check"),
        ("accounts", "annual_revenue", json!("NaN"), "annual_revenue"),
        ("accounts", "annual_revenue", json!("Infinity"), "numeric"),
        ("accounts", "annual_revenue", json!(1e30), "numeric"),
        ("accounts", "annual_revenue", json!("much"), "much"),
        ("contacts", "birthday", json!("soon"), "soon"),
        ("contacts", "birthday", json!("2023-02-30"), "2023-02-30"),
        ("contacts", "birthday", json!("infinity"), "contacts_birthday_check"),
        ("contacts", "birthday", json!("0044-03-15 BC"), "contacts_birthday_check"),
        ("contacts", "birthday", json!("1492-10-12"), "contacts_birthday_check"),
        ("contacts", "birthday", json!(true), "true"),
        // Types.
        ("contacts", "do_not_call", json!("perhaps"), "perhaps"),
        ("contacts", "do_not_email", json!(7.5), "7.5"),
        ("contacts", "account_id", json!("not-a-uuid"), "not-a-uuid"),
        ("contacts", "account_id", json!(1), "1"),
        ("contacts", "owner_id", json!({}), "{}"),
        ("contacts", "id", json!("1"), "1"),
        ("contacts", "org_id", json!(true), "true"),
        ("accounts", "parent_id", json!("' or true --"), "' or true --"),
        // References.
        ("contacts", "account_id", json!(Uuid::nil()), "contacts_org_id_account_id_fkey"),
        ("contacts", "owner_id", json!(Uuid::nil()), "contacts_org_id_owner_id_fkey"),
        ("accounts", "parent_id", json!(Uuid::nil()), "accounts_org_id_parent_id_fkey"),
        // Columns.
        ("contacts", "surname", json!("x"), "surname"),
        ("contacts", "Last_Name", json!("x"), "Last_Name"),
        ("contacts", "last_name; drop table crm.contacts", json!("x"), "drop table"),
        ("contacts", "", json!("x"), ""),
        ("accounts", "contacts", json!([{ "last_name": "x" }]), "contacts"),
    ];
    for bad in [
        "ann",
        "ann@",
        "@example.com",
        "ann@localhost",
        "a b@example.com",
        "Ann <ann@example.com>",
        "ann@example..com",
        "ann@[127.0.0.1]",
        "a@b@example.com",
    ] {
        values.push(("contacts", "email", bad.into(), "email: not a valid e-mail address"));
        values.push(("accounts", "email", bad.into(), "email: not a valid e-mail address"));
    }
    for bad in ["1", "call me", "<script>123</script>", "+49\u{202e}123456", "١٢٣٤٥٦"] {
        values.push(("contacts", "phone", bad.into(), "phone: not a phone number"));
    }
    for bad in ["localhost", "http://example.com", "a b.example", "127.0.0.1", "[::1]", "example.com/path"] {
        values.push(("accounts", "domain", bad.into(), "domain: not a domain name"));
    }
    for bad in
        ["example.com", "javascript:alert(1)", "ftp://example.com", "https://", "data:text/html,x", "//example.com"]
    {
        values.push(("accounts", "website", bad.into(), "website: not a web address"));
        values.push(("contacts", "avatar_url", bad.into(), "avatar_url: not a web address"));
    }
    for control in ["\u{1}", "\u{7}", "\u{8}", "\u{1b}", "\u{7f}", "\u{85}", "\n", "\r\n"] {
        values.push((
            "contacts",
            "last_name",
            format!("a{control}b").into(),
            "last_name: line breaks and control characters",
        ));
        values.push(("accounts", "name", format!("a{control}b").into(), "name: line breaks and control characters"));
    }
    values.push(("contacts", "description", "a\u{1b}[31mb".into(), "description: control characters"));
    for (table, column) in
        [("contacts", "last_name"), ("contacts", "description"), ("contacts", "email"), ("accounts", "name")]
    {
        values.push((table, column, "a\u{0}b".into(), "\\\\u0000 cannot be converted to text"));
    }
    values
}

fn status_of(word: &str) -> u16 {
    if word.ends_with("_fkey") { 409 } else { 400 }
}

#[test]
fn a_user_is_told_which_value_is_wrong() {
    let fixture = Fixture::register();
    all(bad_values(), |(table, column, value, word)| {
        let row = with_even_null(&least(table), column, value.clone());
        let insert = fixture.user.request("POST", &format!("/{table}")).json(&row);
        fixture.refuses(insert, status_of(word), word)?;
        if matches!(column, "id" | "org_id") {
            return Ok(());
        }
        let path = format!("/{table}?id=eq.{}", fixture.id(table));
        let update = fixture.user.request("PATCH", &path).json(&with_even_null(&json!({}), column, value));
        fixture.refuses(update, status_of(word), word).map(drop)
    });
}

/// `with` takes null for "without".
fn with_even_null(object: &Value, member: &str, value: Value) -> Value {
    let mut copy = with(object, member, json!(""));
    copy[member] = value;
    copy
}

#[test]
fn a_user_whose_one_bad_row_is_among_a_hundred_adds_none() {
    let fixture = Fixture::register();
    for (bad, word) in [
        (json!({ "last_name": "", "email": "x@example.com" }), "last_name"),
        (json!({ "last_name": "Bad", "email": "no address" }), "email"),
        (json!({ "last_name": "Bad", "email": "c1@example.com" }), "contacts_org_id_email_key"),
        (json!({ "last_name": "Bad", "email": "kept@example.com" }), "contacts_org_id_email_key"),
        (json!({ "last_name": null, "email": "x@example.com" }), "last_name"),
    ] {
        let mut rows: Vec<_> = (0..100)
            .map(|n| json!({ "last_name": format!("Good{n}"), "email": format!("c{n}@example.com") }))
            .collect();
        rows.insert(70, bad);
        let status = if word.ends_with("_key") { 409 } else { 400 };
        let request = fixture.user.request("POST", "/contacts").json(&json!(rows));
        assert!(fixture.refuses(request, status, word).is_ok_and(|answer| answer.status == status));
    }
}

#[test]
fn a_user_whose_csv_has_a_bad_line_adds_none() {
    let fixture = Fixture::register();
    for (csv, word) in [
        ("last_name,email\nGood,good@example.com\nBad,nowhere\n", "email"),
        ("last_name,email\nGood,good@example.com\n,\n", "last_name"),
        ("last_name,surname\nGood,x\n", "surname"),
        ("last_name,birthday\nGood,soon\n", "soon"),
        ("last_name,do_not_call\nGood,perhaps\n", "perhaps"),
        ("", ""),
        ("last_name\nGood\0\n", ""),
    ] {
        let request = fixture.user.request("POST", "/contacts").body("text/csv", csv);
        fixture.refuses(request, 400, word).unwrap_or_else(|problem| panic!("{csv:?}: {problem}"));
    }
}

#[test]
fn a_user_is_told_that_a_body_is_no_json() {
    let fixture = Fixture::register();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"{".into(),
        b"[".into(),
        b"[1".into(),
        b"not json".into(),
        b"'{}'".into(),
        b"{\"last_name\": }".into(),
        b"{\"last_name\": 'x'}".into(),
        b"{last_name: \"x\"}".into(),
        b"{\"last_name\": \"x\",}".into(),
        b"{\"last_name\": \"x\"} {}".into(),
        b"{\"last_name\": \"\xff\xfe\"}".into(),
        b"{\"last_name\": \"a\0b\"}".into(),
        b"\xef\xbb\xbf{".into(),
        b"\0".into(),
        deep("[", "]").into(),
        deep("{\"a\":", "}").into(),
        format!("{{\"last_name\": {}}}", deep("[", "]")).into(),
        "[".repeat(10_000).into(),
        b"[1, 2]".into(),
        b"[null]".into(),
        b"[[]]".into(),
        b"[{\"last_name\": \"x\"}, {\"first_name\": \"y\"}]".into(),
        b"[{\"last_name\": \"x\"}, 1]".into(),
    ];
    all(bodies, |body| {
        let shown = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        for (method, path) in [
            ("POST", "/contacts"),
            ("PATCH", "/contacts?last_name=eq.Kept"),
            ("POST", "/rpc/login"),
            ("POST", "/rpc/register"),
        ] {
            let request = fixture.user.request(method, path).body("application/json", body.clone());
            let organization = fixture.user.organization.id;
            let before = admin::fingerprint(organization);
            let answer = request.send();
            if !(400..500).contains(&answer.status) || admin::fingerprint(organization) != before {
                return Err(format!("{shown}: {method} {path}: {answer}"));
            }
        }
        Ok(())
    });
}

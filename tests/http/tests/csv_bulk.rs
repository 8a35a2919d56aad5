//! Somebody moves in: a hundred thousand contacts as one CSV file, within the time and the memory that every request has.

use std::fmt::Write;
use std::time::Instant;

use crm_http_tests::actor::Actor;
use crm_http_tests::admin;
use crm_http_tests::machine::Key;
use serde_json::json;

const CONTACTS: usize = 100_000;
/// What a backend may ever have used for it, the server's shared memory included.
const MEGABYTES: u64 = 600;

fn csv() -> String {
    let mut csv = String::from("first_name,last_name,email,phone,external_id\n");
    for n in 0..CONTACTS {
        writeln!(csv, "Erika{n},Mustermann{n:06},mustermann{n}@example.com,+49 30 2{n:06},ERP-{n:06}").unwrap();
    }
    csv
}

/// PostgREST's backends.
fn backends() -> Vec<i32> {
    let query = "select array_agg(pid) from pg_stat_activity where usename = 'crm_authenticator' and datname = current_database()";
    admin::value(query, &[])
}

/// What other tests made of them does not count.
fn forget_peaks() {
    for pid in backends() {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    }
}

/// The most memory that one of them has had at a time.
fn peak() -> u64 {
    let peaks = backends().into_iter().filter_map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024)
    });
    peaks.max().unwrap()
}

#[test]
fn an_organization_adds_a_hundred_thousand_contacts_by_one_request() {
    let user = Actor::register();
    let plan = json!({ "org_id": user.organization.id, "plan": "enterprise" });
    Key::of_platform(&["organizations.*"]).call("set_plan", &plan).expect(200);
    let timeout: String = admin::value(
        "select split_part(setting, '=', 2) from pg_db_role_setting cross join unnest(setconfig) as setting
         where setrole = 'crm_app'::regrole and setting like 'statement_timeout=%'",
        &[],
    );
    assert_eq!(timeout, "15s", "the time that the shipped configuration gives a statement");

    let body = csv();
    forget_peaks();
    let before = peak();
    let (size, started) = (body.len(), Instant::now());
    let request = user.request("POST", "/contacts").prefer("return=minimal, count=exact").body("text/csv", body);
    let answer = request.send().expect(201);
    let taken = started.elapsed();
    println!("{size} bytes in {taken:.1?}; the largest backend had {before} MB before and {} MB after", peak());
    assert_eq!(answer.header("Content-Range"), Some(format!("*/{CONTACTS}").as_str()));
    assert!(peak() < MEGABYTES, "a backend had {} MB, and before {before} MB", peak());

    assert_eq!(admin::count("contacts", user.organization.id), CONTACTS as i64);
    let last = user.get("/contacts?external_id=eq.ERP-099999&select=last_name,phone_normalized,version").expect(200);
    let expected = json!([{ "last_name": "Mustermann099999", "phone_normalized": "+49302099999", "version": 1 }]);
    assert_eq!(last.json(), expected);
}

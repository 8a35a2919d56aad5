//! The first requests of README.md, run as they stand there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use crm_http_tests::{setting, unique};

/// The first block of shell lines below a heading.
fn shell_block(heading: &str) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let section = readme.split(heading).nth(1).unwrap();
    section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn a_newcomer_pastes_the_lines_of_the_readme_and_they_work() {
    let api = format!("API={}", setting("CRM_TEST_URL"));
    let lines = shell_block("## First requests")
        .replace("API=http://127.0.0.1:3000", &api)
        // The same lines run again on the same database.
        .replace("ann@acme.example", &format!("{}@acme.example", unique("ann")));
    assert!(lines.contains(&api));
    let run = Command::new("bash").args(["-euo", "pipefail", "-c", &lines]).output().unwrap();
    let shown = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{shown}{}", String::from_utf8_lossy(&run.stderr));
    assert!(!shown.contains("\"code\""), "an error: {shown}");
    for expected in
        ["\"access_token\"", "bo.lind@example.com", "]201\n", "First1000", "100-199/1001", "Head of Sales", "]204\n"]
    {
        assert!(shown.contains(expected), "{expected:?} is missing: {shown}");
    }
}

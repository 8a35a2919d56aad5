//! The first requests of README.md, run as they stand there.

use std::process::Command;

use crm_http_tests::{document, setting, unique};

#[test]
fn a_newcomer_pastes_the_lines_of_the_readme_and_they_work() {
    let api = format!("API={}", setting("CRM_TEST_URL"));
    let lines = document::shell_block(&document::read("README.md"), "## First requests")
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

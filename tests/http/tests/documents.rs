//! What the documents say is shown by a test, is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crm_http_tests::all;

/// The tests a document names as `file::test`.
fn named(document: &str) -> Vec<(&str, &str)> {
    let is_path = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_/".contains(c)) && !text.is_empty();
    let quoted = document.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once("::")).filter(|(file, test)| is_path(file) && is_path(test)).collect()
}

#[test]
fn a_reader_finds_every_test_that_tokens_md_names() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let document = std::fs::read_to_string(root.join("docs/tokens.md")).unwrap();
    let tests: Vec<_> = named(&document).into_iter().filter(|names| *names != ("file", "test")).collect();
    assert!(tests.len() > 80, "{}", tests.len());
    all(tests, |(file, test)| {
        let path = if file.contains('/') { format!("{file}.rs") } else { format!("tests/http/tests/{file}.rs") };
        let source = std::fs::read_to_string(root.join(&path)).map_err(|error| format!("{path}: {error}"))?;
        let declared = source.split("#[test]").skip(1).any(|rest| {
            let head = rest.split('{').next().unwrap_or_default();
            head.split_whitespace().skip_while(|word| *word != "fn").nth(1) == Some(&format!("{test}()"))
        });
        if declared { Ok(()) } else { Err(format!("{path} has no test {test}")) }
    });
}

#[test]
fn a_test_is_named_by_its_file_and_its_name() {
    let document = "a `tokens::a_user` b `crm.login()` `src/identity/jwt::x` `a::b::c` `{a}::b`";
    assert_eq!(named(document), [("tokens", "a_user"), ("src/identity/jwt", "x")]);
}

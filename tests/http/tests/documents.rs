//! What the documents say is shown by a test, is; and every file of tests is among them.

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

#[test]
fn every_file_is_part_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let program = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    let files = std::fs::read_dir(folder).unwrap().filter_map(|file| file.unwrap().file_name().into_string().ok());
    let names: Vec<_> = files.filter_map(|file| Some(file.strip_suffix(".rs")?.to_owned())).collect();
    assert!(names.len() > 80, "{}", names.len());
    let is_missing = |name: &&String| *name != "main" && !program.lines().any(|line| line == format!("mod {name};"));
    assert_eq!(names.iter().filter(is_missing).collect::<Vec<_>>(), Vec::<&String>::new());
}

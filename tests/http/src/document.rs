//! The project's documents, where tests hold them to what they say.

/// A document, by its path from the root of the project.
pub fn read(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    std::fs::read_to_string(format!("{root}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands below a heading, up to the next of the same depth.
#[track_caller]
pub fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let depth = heading.split(' ').next().unwrap_or_default();
    let below = document.split(&format!("{heading}\n")).nth(1).unwrap_or_else(|| panic!("there is no {heading}"));
    below.split(&format!("\n{depth} ")).next().unwrap_or_default()
}

/// The first block of shell lines below a heading.
#[track_caller]
pub fn shell_block(document: &str, heading: &str) -> String {
    let block = section(document, heading).split("```sh\n").nth(1).unwrap_or_else(|| panic!("no lines: {heading}"));
    block.split("```").next().unwrap_or_default().to_owned()
}

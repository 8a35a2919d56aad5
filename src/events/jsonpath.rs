//! SQL/JSON paths that tenants write, and the server runs for them.

use pgrx::PgBuiltInOids;

use crate::db::{self, savepoint};

/// As the server writes it, if it is one that is available.
pub fn parsed(path: &str) -> Result<String, String> {
    let parsed = savepoint::attempt(|| {
        db::select("select $1::pg_catalog.jsonpath::text", &[PgBuiltInOids::TEXTOID], &[path.into()], |rows| {
            rows.first().get_one::<String>()
        })
    })?;
    let parsed = parsed.unwrap_or_default();
    check(&parsed)?;
    Ok(parsed)
}

/// Whether a word of the language stands in a path as the server writes it.
pub fn uses(parsed: &str, word: &str) -> bool {
    without_strings(parsed).contains(word)
}

/// Of the form in which the server writes it: what could take very long, and what nobody could give a value.
fn check(path: &str) -> Result<(), &'static str> {
    let refers_back = path.as_bytes().windows(2).any(|two| two[0] == b'\\' && two[1].is_ascii_digit());
    let words = without_strings(path);
    match () {
        () if words.contains("**") => Err("** is not available in paths"),
        () if words.contains("$\"") => Err("variables are not available in paths"),
        () if words.contains("like_regex") && refers_back => Err("back-references are not available in paths"),
        () => Ok(()),
    }
}

/// With nothing between the quotation marks.
fn without_strings(path: &str) -> String {
    let (mut is_inside, mut is_escaped) = (false, false);
    let mut words = String::new();
    for character in path.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_inside => is_escaped = true,
            '"' => {
                is_inside = !is_inside;
                words.push('"');
            }
            _ if is_inside => (),
            _ => words.push(character),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_take_long_or_lacks_a_value_is_refused() {
        for fine in [
            r#"$."a""#,
            r#"$."a"[*]?(@."b" like_regex "^x.*$" flag "i")"#,
            r#"$."a\\1""#,
            r#"$."a**"."like_regex \" $""#,
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for bad in [r#"$.**."a""#, r#"$."a"?(@ == $"x")"#, r#"$."a"?(@ like_regex "(a*)*\\1")"#] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_word_is_found_outside_of_strings() {
        assert!(uses(r#"(@."a" like_regex "b")"#, "like_regex"));
        assert!(!uses(r#"($."like_regex" == "like_regex")"#, "like_regex"));
    }
}

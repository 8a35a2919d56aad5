//! What tags are called, and in which order a record has them. Pure.

use std::collections::BTreeMap;

use crate::text::{self, Checked};

/// Tags of one record.
const MOST: usize = 50;

/// Characters of a name.
const LONGEST: usize = 50;

/// A tag's name as it is stored: one line without what has a meaning in an array literal, so that `tags=cs.{vip}` needs no
/// quoting. Empty for what is blank.
pub fn name(value: &str) -> Checked<String> {
    let name = text::line(value, usize::MAX)?.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = text::line(&name, LONGEST)?;
    if name.contains(['"', '\\', ',', '{', '}']) {
        return Err("a tag contains no comma, brace, quotation mark or backslash".into());
    }
    if name.eq_ignore_ascii_case("null") {
        return Err("\"null\" would be read as nothing: choose another name".into());
    }
    Ok(name)
}

/// By this one tag is told from another: in upper or lower case it is the same.
pub fn key(name: &str) -> String {
    name.to_lowercase()
}

/// A record's tags: by key, and so in order, the name each was given first. What is blank is left out.
pub fn of_record(given: impl IntoIterator<Item = Option<String>>) -> Checked<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for value in given.into_iter().flatten() {
        let name = name(&value)?;
        if !name.is_empty() {
            tags.entry(key(&name)).or_insert(name);
        }
        if tags.len() > MOST {
            return Err(format!("a record has at most {MOST} tags").into());
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> Vec<String> {
        of_record(given.iter().map(|&name| Some(name.to_owned()))).unwrap().into_values().collect()
    }

    #[test]
    fn a_name_is_trimmed_and_its_words_stand_one_blank_apart() {
        for (given, stored) in
            [(" vip ", "vip"), ("Big   deal", "Big deal"), ("a\u{a0}b", "a b"), ("Women's", "Women's")]
        {
            assert_eq!(name(given).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn what_would_need_quoting_in_an_array_is_refused() {
        for bad in ["a,b", "{a", "a}", "\"a\"", "a\\b", "null", "NULL", "a\nb", "a\tb", "a\0b"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_has_fifty_characters_at_most() {
        assert!(name(&"ü".repeat(50)).is_ok());
        assert!(name(&"ü".repeat(51)).is_err());
        assert!(name(&format!("a{}b", " ".repeat(60))).is_ok());
    }

    #[test]
    fn a_records_tags_are_sorted_and_each_is_there_once() {
        assert_eq!(names(&["vip", "Lead", "VIP", " lead ", "", "  ", "Äpfel", "äpfel"]), ["Lead", "vip", "Äpfel"]);
        assert_eq!(of_record([None, Some("a".into())]).unwrap().len(), 1);
    }

    #[test]
    fn a_record_has_fifty_tags_at_most() {
        let tags = |number: usize| of_record((0..number).map(|n| Some(format!("tag {n}"))));
        assert_eq!(tags(50).unwrap().len(), 50);
        assert!(tags(51).is_err());
        assert!(of_record((0..1000).map(|_| Some("same".into()))).is_ok());
    }
}

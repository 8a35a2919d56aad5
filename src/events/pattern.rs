//! Which events somebody wants: `*`, `deal.*`, `*.created` or `deal.won`. Pure.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    noun: Option<String>,
    name: Option<String>,
}

const LONGEST: usize = 63;

impl Pattern {
    pub const ALL: Self = Self { noun: None, name: None };

    pub fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let (noun, name) = match text.split_once('.') {
            Some(parts) => parts,
            None if text == "*" => ("*", "*"),
            None => ("", ""),
        };
        if !is_word(noun) || !is_word(name) {
            let shown: String = text.chars().take(50).collect();
            return Err(format!("\"{shown}\" is no event like deal.won, deal.*, *.created or *").into());
        }
        let part = |word: &str| (word != "*").then(|| word.to_owned());
        Ok(Self { noun: part(noun), name: part(name) })
    }

    pub fn matches(&self, noun: &str, name: &str) -> bool {
        self.noun.as_deref().is_none_or(|wanted| wanted == noun)
            && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }

    /// The one entity that it is of, in the singular; `None` for all.
    pub fn noun(&self) -> Option<&str> {
        self.noun.as_deref()
    }
}

pub fn parse_all(texts: &[String]) -> Result<Vec<Pattern>, Cow<'static, str>> {
    texts.iter().map(|text| Pattern::parse(text)).collect()
}

/// Whether a type like `deal.won` is among these.
pub fn is_named(patterns: &[Pattern], kind: &str) -> bool {
    let parts = kind.split_once('.');
    parts.is_some_and(|(noun, name)| patterns.iter().any(|pattern| pattern.matches(noun, name)))
}

fn is_word(word: &str) -> bool {
    let is_name = word.len() <= LONGEST
        && word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    word == "*" || is_name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, noun: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(noun, name)
    }

    #[test]
    fn a_pattern_matches_what_it_names() {
        assert!(matches("*", "deal", "won") && matches("*.*", "deal", "won"));
        assert!(matches("deal.*", "deal", "won") && !matches("deal.*", "lead", "won"));
        assert!(matches("*.created", "lead", "created") && !matches("*.created", "lead", "deleted"));
        assert!(matches("deal.won", "deal", "won") && !matches("deal.won", "deal", "lost"));
        let patterns = parse_all(&["task.*".into(), "deal.won".into()]).unwrap();
        assert!(is_named(&patterns, "deal.won") && !is_named(&patterns, "deal.lost") && !is_named(&patterns, "deal"));
        assert_eq!(Pattern::parse("deal.*").unwrap().noun(), Some("deal"));
        assert_eq!(Pattern::parse("*.created").unwrap().noun(), None);
    }

    #[test]
    fn all_is_an_asterisk() {
        assert_eq!(Pattern::parse("*"), Ok(Pattern::ALL));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in
            ["", ".", "deal", "deal.", ".won", "deal.won.now", "Deal.won", "de*l.won", "deal won", "deal.*x", "1.a"]
        {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}

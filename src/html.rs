//! Rich text from outside: what could run or reach out when it is shown is taken away. Pure.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use crate::text::{self, Checked};

/// What rich text of letters and notes is made of.
static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]))
        // An image would tell its server who reads a message, and when.
        .rm_tags(["img", "map", "area"])
        .tag_attributes(attributes_without_cite())
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
});

/// Addresses of sources are shown by no browser, and not looked at by their scheme.
fn attributes_without_cite() -> HashMap<&'static str, HashSet<&'static str>> {
    let mut attributes = Builder::default().clone_tag_attributes();
    for names in attributes.values_mut() {
        names.remove("cite");
    }
    attributes
}

/// Without scripts, event handlers, styles, images and addresses other than of web, mail and telephone; `max` characters at
/// most, before and after.
pub fn clean(value: &str, max: usize) -> Checked<String> {
    let value = text::text(value, max)?;
    if Weight::of(&value).is_too_heavy() {
        return Err("too many elements are open within each other".into());
    }
    text::text(&CLEANER.clean(&value).to_string(), max)
}

/// What a parser would have to build. Formatting that is not closed is opened again in every element that follows, so a few
/// thousand characters could come to gigabytes; and whoever nests tens of thousands of elements has each of them looked at
/// for each. Nothing can interrupt that, so it is counted before, from the tags alone, and rather too much than too little.
#[derive(Default)]
struct Weight(RefCell<Counts>);

#[derive(Default)]
struct Counts {
    tags: usize,
    formatting: usize,
    /// With their attributes: of the same ones at most three are opened again.
    kinds: HashSet<String>,
    /// Opened and not closed, by name.
    open: HashMap<String, i64>,
}

const MOST_BUILT: usize = 1_000_000;
const DEEPEST: i64 = 1_000;

/// The HTML standard's formatting elements, but for those of which one closes the other (a, nobr).
const FORMATTING: [&str; 12] = ["b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"];

/// What is never open, or is closed by the next of its kind.
const SHALLOW: [&str; 30] = [
    "a", "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "nobr",
    "option", "optgroup", "p", "param", "rp", "rt", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track",
    "wbr",
];

impl Weight {
    fn of(value: &str) -> Self {
        let tokenizer = Tokenizer::new(Self::default(), TokenizerOpts::default());
        let input = BufferQueue::default();
        input.push_back(value.into());
        drop(tokenizer.feed(&input));
        tokenizer.end();
        tokenizer.sink
    }

    fn is_too_heavy(&self) -> bool {
        let counts = self.0.borrow();
        let reopened = counts.formatting.min(3 * counts.kinds.len());
        let depth: i64 = counts.open.values().filter(|open| **open > 0).sum();
        reopened.saturating_mul(counts.tags) > MOST_BUILT || depth > DEEPEST
    }
}

impl Counts {
    fn add(&mut self, tag: &Tag) {
        let name = &*tag.name;
        if tag.kind == TagKind::EndTag {
            *self.open.entry(name.to_owned()).or_default() -= 1;
            return;
        }
        self.tags += 1;
        if FORMATTING.contains(&name) {
            self.formatting += 1;
            self.kinds.insert(format!("{name} {:?}", tag.attrs));
        }
        if !SHALLOW.contains(&name) {
            let open = self.open.entry(name.to_owned()).or_default();
            // What was closed before it was opened closes nothing later.
            *open = (*open).max(0) + 1;
        }
    }
}

impl TokenSink for Weight {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        if let Token::TagToken(tag) = token {
            self.0.borrow_mut().add(&tag);
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_stays() {
        let letter = "<p>Dear <b>Bo</b>,</p><ul><li>one</li></ul>";
        assert_eq!(clean(letter, 1_000).as_deref(), Ok(letter));
        assert_eq!(clean("plain &amp; simple", 100).as_deref(), Ok("plain &amp; simple"));
    }

    #[test]
    fn what_could_run_goes() {
        // OWASP, XSS Filter Evasion Cheat Sheet.
        for attack in [
            "<script>alert(1)</script>",
            "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
            "<a href=\"&#106;avascript:alert(1)\">x</a>",
            "<a href=\" data:text/html,<script>alert(1)</script>\">x</a>",
            "<b onmouseover=alert(1)>x</b>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<svg><script>alert(1)</script></svg>",
            "<iframe src=https://evil.example></iframe>",
            "<object data=x></object><embed src=x>",
            "<style>@import 'https://evil.example';</style>",
            "<div style=\"background:url(javascript:alert(1))\">x</div>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<form action=https://evil.example><input></form>",
            "<base href=https://evil.example>",
            "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
            "<<script>alert(1)//<</script>",
            "<q cite=\"javascript:alert(1)\">x</q>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        ] {
            let cleaned = clean(attack, 1_000).unwrap().to_lowercase();
            for bad in [
                "<script",
                "javascript:",
                "<img",
                "<svg",
                "<iframe",
                "<style",
                "style=",
                "<form",
                "<base",
                "<meta",
                "data:",
            ] {
                assert!(!cleaned.contains(bad), "{attack}: {cleaned}");
            }
            // An event handler's text may stay as text, not as an attribute.
            assert!(!cleaned.contains("<b on") && !cleaned.contains("<p title"), "{attack}: {cleaned}");
        }
    }

    #[test]
    fn a_link_tells_its_target_nothing() {
        let link = clean("<a href=\"https://example.com\">x</a>", 100).unwrap();
        assert!(link.contains("rel=\"noopener noreferrer nofollow\""), "{link}");
    }

    #[test]
    fn what_would_take_the_server_s_time_and_memory_is_refused() {
        let bomb = |n: usize| {
            let formats: String = (0..n).map(|i| format!("<b a={i}>")).collect();
            format!("<p>{formats}{}", "<p>x".repeat(n))
        };
        assert!(clean(&bomb(20), 500_000).is_ok());
        for bad in [
            bomb(3_000),
            "<div>".repeat(40_000),
            "<div></span>".repeat(10_000),
            "</div>".repeat(5_000) + &"<div>".repeat(5_000),
            "<div><object></div>".repeat(5_000),
        ] {
            assert!(clean(&bad, 500_000).is_err(), "{}", &bad[..30]);
        }
    }

    #[test]
    fn a_long_letter_is_not_too_much() {
        let row =
            "<tr><td style=\"x\"><p><b>Price</b> <a href=\"https://example.com/{}\">more</a><br><i>now</i></td></tr>";
        let letter = format!("<table>{}</table>", row.repeat(3_000));
        assert!(clean(&letter, 500_000).is_ok());
        assert!(clean(&"<p>line<li>item".repeat(5_000), 500_000).is_ok());
    }

    #[test]
    fn it_is_as_long_as_it_may_be() {
        assert!(clean("12345", 4).is_err());
        // Escaping makes it longer.
        assert!(clean("<<<<", 4).is_err());
    }
}

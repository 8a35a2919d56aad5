//! Rich text from outside: what could run or reach out when it is shown is taken away. Pure.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::Builder;

use crate::text::{self, Checked};

/// What rich text of letters and notes is made of.
static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]))
        // An image would tell its server who reads a message, and when.
        .rm_tags(["img", "map", "area"])
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
});

/// Without scripts, event handlers, styles, images and addresses other than of web, mail and telephone; `max` characters at
/// most, before and after.
pub fn clean(value: &str, max: usize) -> Checked<String> {
    let value = text::text(value, max)?;
    text::text(&CLEANER.clean(&value).to_string(), max)
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
    fn it_is_as_long_as_it_may_be() {
        assert!(clean("12345", 4).is_err());
        // Escaping makes it longer.
        assert!(clean("<<<<", 4).is_err());
    }
}

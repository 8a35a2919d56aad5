//! Text from outside: checked, and brought into the one form that is stored. Pure: no PostgreSQL in here.
//!
//! Every function takes what the client sent and gives what is stored, or says in words what is wrong with it.

use std::borrow::Cow;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use phonenumber::Mode;
use url::{Host, Url};

pub type Checked<T> = Result<T, Cow<'static, str>>;

/// The longest e-mail address there can be (RFC 5321, path of 256 octets with its brackets).
const EMAIL_MAX: usize = 254;
const URL_MAX: usize = 2_000;
const PHONE_MAX: usize = 50;

/// One line of text: trimmed, without control characters, `max` characters at most.
pub fn line(value: &str, max: usize) -> Checked<String> {
    let value = value.trim();
    if value.chars().any(char::is_control) {
        return Err("line breaks and control characters are not allowed".into());
    }
    within(value, max)
}

/// Text of several lines: as given, but no control characters other than tab and line ends.
pub fn text(value: &str, max: usize) -> Checked<String> {
    if value.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err("control characters are not allowed".into());
    }
    within(value, max)
}

fn within(value: &str, max: usize) -> Checked<String> {
    let length = value.chars().count();
    if length > max {
        return Err(format!("too long: {length} characters, at most {max} are allowed").into());
    }
    Ok(value.to_owned())
}

/// An e-mail address (RFC 5321), trimmed and in lower case.
pub fn email(value: &str) -> Checked<String> {
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    let value = value.trim();
    // The Kelvin sign would become a k: two addresses must not fold into one.
    let folds = value.chars().any(|c| !c.is_ascii() && c.to_lowercase().any(|lower| lower.is_ascii()));
    if folds || value.len() > EMAIL_MAX || EmailAddress::parse_with_options(value, options).is_err() {
        return Err("not a valid e-mail address".into());
    }
    Ok(value.to_lowercase())
}

/// A phone number as people write it.
pub fn phone(value: &str) -> Checked<String> {
    let value = line(value, PHONE_MAX)?;
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let strange = value.chars().any(|c| !(c.is_ascii_alphanumeric() || " +-./()#*,;:=".contains(c)));
    if digits < 3 || strange {
        return Err("not a phone number".into());
    }
    Ok(value)
}

/// The E.164 form of a phone number, if it is a valid one; without a country code it is read as a number of `country`
/// (ISO 3166-1 alpha-2).
pub fn phone_e164(value: &str, country: Option<&str>) -> Option<String> {
    let country = country.and_then(|code| phonenumber::country::Id::from_str(code).ok());
    let number = phonenumber::parse(country, value).ok()?;
    number.is_valid().then(|| number.format().mode(Mode::E164).to_string())
}

/// An internet domain: ASCII (IDNA), lower case, without a leading `www.`.
pub fn domain(value: &str) -> Checked<String> {
    let host = value.trim().trim_end_matches('.');
    match Host::parse(host) {
        Ok(Host::Domain(name)) if name.contains('.') && name.len() <= 253 => {
            Ok(name.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(&name).to_owned())
        }
        _ => Err("not a domain name like example.com".into()),
    }
}

/// A web address: absolute, http or https.
pub fn url(value: &str) -> Checked<String> {
    let value = line(value, URL_MAX)?;
    match Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(value),
        _ => Err("not a web address like https://example.com".into()),
    }
}

/// A code of so many letters, in upper case.
pub fn code(value: &str, letters: usize) -> Checked<String> {
    let value = value.trim();
    if value.len() != letters || !value.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(format!("not a code of {letters} letters").into());
    }
    Ok(value.to_ascii_uppercase())
}

/// A country or territory by its code (ISO 3166-1 alpha-2), in upper case.
pub fn country(value: &str) -> Checked<String> {
    let code = value.trim().to_ascii_uppercase();
    match rust_iso3166::from_alpha2(&code) {
        Some(_) => Ok(code),
        None => Err("not a country's code of two letters (ISO 3166-1) like DE".into()),
    }
}

/// A currency by its code (ISO 4217), in upper case.
pub fn currency(value: &str) -> Checked<String> {
    let code = value.trim().to_ascii_uppercase();
    match iso_currency::Currency::from_code(&code) {
        Some(_) => Ok(code),
        None => Err("not a currency's code of three letters (ISO 4217) like EUR".into()),
    }
}

/// How many decimal places amounts of a currency have; two where the standard names none.
pub fn decimal_places(currency: &str) -> u16 {
    iso_currency::Currency::from_code(currency).and_then(iso_currency::Currency::exponent).unwrap_or(2)
}

/// A colour of red, green and blue: `#1e90ff`.
pub fn color(value: &str) -> Checked<String> {
    let value = value.trim().to_ascii_lowercase();
    let digits = value.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value);
    }
    Err("not a colour like #1e90ff".into())
}

/// A name for programs.
pub fn key(value: &str) -> Checked<String> {
    let value = value.trim();
    let mut letters = value.bytes();
    if value.len() <= 63
        && letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        return Ok(value.to_owned());
    }
    Err("not a name of lower-case letters, digits and _ that begins with a letter, of at most 63".into())
}

/// The type of a file's content (RFC 6838), without parameters: `image/png`.
pub fn mime(value: &str) -> Checked<String> {
    let value = value.trim().to_ascii_lowercase();
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    match value.split_once('/') {
        Some((kind, subtype)) if is_name(kind) && is_name(subtype) => Ok(value),
        _ => Err("not a type of file like image/png".into()),
    }
}

/// The name of a time zone as the IANA database has it, in form only. Without a digit nothing PostgreSQL would read as a
/// POSIX rule has this form.
pub fn time_zone(value: &str) -> Checked<String> {
    let value = value.trim();
    let is_word = |word: &str| {
        word.len() <= 32
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-')
    };
    let words: Vec<_> = value.split('/').collect();
    let of_place = (2..=3).contains(&words.len()) && words.iter().all(|word| is_word(word));
    if of_place || value == "UTC" || is_fixed_offset(value) {
        return Ok(value.to_owned());
    }
    Err("not a time zone like Europe/Berlin or UTC".into())
}

/// `Etc/GMT-14` (which is 14 hours ahead) to `Etc/GMT+12`.
fn is_fixed_offset(value: &str) -> bool {
    let Some(offset) = value.strip_prefix("Etc/GMT") else { return false };
    let hours = |sign: char, most: u8| {
        let digits = offset.strip_prefix(sign)?;
        let hours = digits.parse::<u8>().ok()?;
        (digits == hours.to_string() && (1..=most).contains(&hours)).then_some(())
    };
    offset.is_empty() || hours('-', 14).or(hours('+', 12)).is_some()
}

/// A language, perhaps with script and region, as BCP 47 writes it: `de`, `pt-BR`, `zh-Hant-TW`.
pub fn locale(value: &str) -> Checked<String> {
    let value = value.trim().replace('_', "-");
    let mut parts = value.split('-').peekable();
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let language = parts.next().filter(|part| (2..=3).contains(&part.len()) && letters(part));
    let script = parts.next_if(|part| part.len() == 4 && letters(part));
    let region = parts.next_if(|part| {
        (part.len() == 2 && letters(part)) || (part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    match (language, parts.next()) {
        (Some(language), None) => {
            let mut locale = language.to_ascii_lowercase();
            if let Some(script) = script {
                locale += &format!("-{}{}", script[..1].to_ascii_uppercase(), script[1..].to_ascii_lowercase());
            }
            if let Some(region) = region {
                locale += &format!("-{}", region.to_ascii_uppercase());
            }
            Ok(locale)
        }
        _ => Err("not a language like de, pt-BR or zh-Hant-TW".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_trimmed_and_lower_cased() {
        assert_eq!(email("  Ann.Lee@Example.COM ").as_deref(), Ok("ann.lee@example.com"));
    }

    #[test]
    fn what_is_no_email_is_refused() {
        for bad in [
            "",
            "ann",
            "ann@",
            "@example.com",
            "ann@localhost",
            "a b@example.com",
            "Ann <ann@example.com>",
            "ann@[127.0.0.1]",
            "\u{212a}ate@example.com",
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert!(email(&format!("{}@example.com", "a".repeat(250))).is_err());
    }

    #[test]
    fn a_phone_number_becomes_e164() {
        // Example numbers of the ITU national plans, as published by libphonenumber.
        assert_eq!(phone_e164("+1 (650) 253-0000", None).as_deref(), Some("+16502530000"));
        assert_eq!(phone_e164("030 123456", Some("DE")).as_deref(), Some("+4930123456"));
        assert_eq!(phone_e164("030 123456", None), None);
        assert_eq!(phone_e164("not a number", Some("DE")), None);
    }

    #[test]
    fn a_phone_number_is_kept_as_given() {
        assert_eq!(phone(" (650) 253-0000 ext. 12 ").as_deref(), Ok("(650) 253-0000 ext. 12"));
        assert!(phone("12").is_err());
        assert!(phone("<script>123</script>").is_err());
    }

    #[test]
    fn a_domain_is_ascii_lower_case_without_www() {
        assert_eq!(domain(" WWW.Example.com. ").as_deref(), Ok("example.com"));
        assert_eq!(domain("bücher.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert!(domain("localhost").is_err());
        assert!(domain("127.0.0.1").is_err());
        assert!(domain("a b.com").is_err());
    }

    #[test]
    fn only_web_addresses_are_urls() {
        assert!(url("https://example.com/a?b=c").is_ok());
        for bad in ["example.com", "javascript:alert(1)", "ftp://example.com", "https://", "data:text/html,x"] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(line("a\nb", 10).is_err());
        assert!(line("a\u{1b}b", 10).is_err());
        assert!(text("a\nb\tc", 10).is_ok());
        assert!(text("a\u{7}b", 10).is_err());
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        assert!(line("äöü", 3).is_ok());
        assert_eq!(line("äöüß", 3).unwrap_err(), "too long: 4 characters, at most 3 are allowed");
    }

    #[test]
    fn a_time_zone_has_the_form_of_one() {
        for good in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "America/Port-au-Prince",
            "Etc/GMT",
            "Etc/GMT+12",
            "Etc/GMT-14",
        ] {
            assert_eq!(time_zone(&format!(" {good} ")).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "EST5EDT",
            "CET",
            "UTC+3",
            "Foo/Bar-3",
            "Etc/GMT+13",
            "Etc/GMT-15",
            "Etc/GMT+01",
            "Etc/GMT+",
            "Etc/GMT+0",
            "/etc/passwd",
            "../../etc/passwd",
            "Europe/",
            "Europe//Berlin",
            "Europe/Berlin/A/B",
            "Europe/B erlin",
            "Europe/Bérlin",
            "<x>/y",
        ] {
            assert!(time_zone(bad).is_err(), "{bad:?}");
        }
        assert!(time_zone(&format!("Europe/{}", "x".repeat(33))).is_err());
    }

    #[test]
    fn countries_and_currencies_are_those_of_iso() {
        assert_eq!(country(" de ").as_deref(), Ok("DE"));
        assert_eq!(currency("eur").as_deref(), Ok("EUR"));
        for bad in ["", "XX", "DEU", "D", "ÄÖ", "EU"] {
            assert!(country(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "EU", "ZZZ", "Euro", "€"] {
            assert!(currency(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn amounts_have_as_many_decimals_as_their_currency() {
        // ISO 4217: Japan's yen has no minor unit, the dinar of Kuwait a thousandth.
        for (code, places) in [("EUR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("???", 2)] {
            assert_eq!(decimal_places(code), places, "{code}");
        }
    }

    #[test]
    fn a_colour_has_six_hexadecimal_digits() {
        assert_eq!(color(" #1E90ff ").as_deref(), Ok("#1e90ff"));
        for bad in ["", "red", "#fff", "1e90ff", "#1e90fg", "#1e90ff00", "url(x)", "#ÄÄÄ"] {
            assert!(color(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_a_name_for_programs() {
        assert_eq!(key(" tier_2 ").as_deref(), Ok("tier_2"));
        for bad in ["", "Tier", "2tier", "_tier", "a b", "a-b", "tür", &"a".repeat(64)] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_type_of_file_has_two_parts() {
        assert_eq!(mime(" Image/PNG ").as_deref(), Ok("image/png"));
        assert!(mime("application/vnd.openxmlformats-officedocument.wordprocessingml.document").is_ok());
        for bad in ["", "png", "image/", "/png", "image/png; q=1", "image/png/x", "im age/png", "*/*"] {
            assert!(mime(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_locale_is_written_as_bcp_47_does() {
        for (given, kept) in
            [("de", "de"), (" EN_us ", "en-US"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("FIL", "fil")]
        {
            assert_eq!(locale(given).as_deref(), Ok(kept), "{given}");
        }
        for bad in ["", "d", "german", "de-", "de-DE-1996", "de-D", "12", "de--DE", "dé", "de-12", "de-DE-AT"] {
            assert!(locale(bad).is_err(), "{bad:?}");
        }
    }
}

//! The parts of an HTTP request the CRM looks at, as PostgREST hands them on. Pure: headers are a client's words.

use std::collections::HashMap;

use crate::error::Refusal;
use crate::identity::verify::OrganizationRef;

/// Header names in lower case.
#[derive(Debug, Default)]
pub struct Headers(HashMap<String, String>);

impl Headers {
    /// `request.headers`; what is not a JSON object of strings has no headers.
    pub fn parse(json: Option<&str>) -> Self {
        Self(json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The token of `Authorization: Bearer …` (RFC 6750; the scheme's case does not matter).
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.get("authorization")?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// The organization named by `X-Org-ID` or `X-Tenant-ID`.
    pub fn organization(&self) -> Result<Option<OrganizationRef>, Refusal> {
        let named = |name| self.get(name).map(OrganizationRef::parse);
        match (named("x-org-id"), named("x-tenant-id")) {
            (Some(one), Some(other)) if one != other => Err(Refusal::ORGANIZATION_AMBIGUOUS),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// Whether `Prefer` asks for a count from the planner's statistics, which know every tenant's rows.
    pub fn wants_estimated_count(&self) -> bool {
        self.get("prefer").is_some_and(|prefer| {
            prefer.split([',', ';']).filter_map(|part| part.split_once('=')).any(|(name, value)| {
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("count") && !value.eq_ignore_ascii_case("exact")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let map: HashMap<_, _> = pairs.iter().copied().collect();
        Headers::parse(Some(&serde_json::to_string(&map).unwrap()))
    }

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(headers(&[("authorization", "Bearer a.b.c")]).bearer(), Some("a.b.c"));
        assert_eq!(headers(&[("authorization", "bearer  a.b.c ")]).bearer(), Some("a.b.c"));
        assert_eq!(headers(&[("authorization", "Basic YTpi")]).bearer(), None);
        assert_eq!(headers(&[("authorization", "Bearer")]).bearer(), None);
        assert_eq!(headers(&[]).bearer(), None);
    }

    #[test]
    fn what_is_no_headers_object_has_no_headers() {
        for json in [None, Some(""), Some("[]"), Some("{\"authorization\": 1}"), Some("not json")] {
            assert_eq!(Headers::parse(json).bearer(), None);
        }
    }

    #[test]
    fn either_header_names_the_organization() {
        let acme = Some(OrganizationRef::Slug("acme".into()));
        assert_eq!(headers(&[("x-org-id", "acme")]).organization(), Ok(acme.clone()));
        assert_eq!(headers(&[("x-tenant-id", "Acme")]).organization(), Ok(acme.clone()));
        assert_eq!(headers(&[("x-org-id", "acme"), ("x-tenant-id", "ACME")]).organization(), Ok(acme));
        assert_eq!(headers(&[]).organization(), Ok(None));
        assert_eq!(
            headers(&[("x-org-id", "acme"), ("x-tenant-id", "other")]).organization(),
            Err(Refusal::ORGANIZATION_AMBIGUOUS)
        );
    }

    #[test]
    fn only_exact_counts_are_given() {
        for estimated in [
            "count=planned",
            "count=estimated",
            "return=minimal, count=planned",
            "Count = \"estimated\"",
            "a=b;count=planned",
        ] {
            assert!(headers(&[("prefer", estimated)]).wants_estimated_count(), "{estimated}");
        }
        for fine in ["count=exact", "return=representation", "", "count"] {
            assert!(!headers(&[("prefer", fine)]).wants_estimated_count(), "{fine}");
        }
    }
}

//! The parts of an HTTP request the CRM looks at, as PostgREST hands them on. Pure: headers are a client's words.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use crate::error::Refusal;
use crate::identity::verify::OrganizationRef;

/// Those of the headers that are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Headers<'a> {
    #[serde(borrow)]
    authorization: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_api_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_org_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_tenant_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_org_subdomain: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prefer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_forwarded_for: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x_event_name: Option<Cow<'a, str>>,
}

/// What a request says of where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    forwarded_for: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
}

/// Who sent a request, as far as that is known.
#[derive(Debug, Default, PartialEq)]
pub struct Client {
    pub address: Option<String>,
    /// What failures are counted by: the address, of IPv6 the /64 that one subscriber has.
    pub network: Option<String>,
    pub user_agent: Option<String>,
}

const USER_AGENT_MAX: usize = 300;
const REQUEST_ID_MAX: usize = 200;

impl<'a> Headers<'a> {
    /// `request.headers`; what is not a JSON object of strings has no headers.
    pub fn parse(json: Option<&'a str>) -> Self {
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The API key of `x-api-key`.
    pub fn api_key(&self) -> Option<&str> {
        self.x_api_key.as_deref().map(str::trim)
    }

    /// `Idempotency-Key`, which is a quoted string by its draft, and mostly sent without the quotes.
    pub fn idempotency_key(&self) -> Option<&str> {
        let key = self.idempotency_key.as_deref()?.trim();
        Some(key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key))
    }

    /// `X-Event-Name`, which the gateway takes from the path.
    pub fn event_name(&self) -> Option<&str> {
        self.x_event_name.as_deref().map(str::trim)
    }

    pub fn sender(&self) -> Sender {
        let [forwarded_for, user_agent, request_id] = [&self.x_forwarded_for, &self.user_agent, &self.x_request_id]
            .map(|header| header.as_deref().map(str::to_owned));
        Sender { forwarded_for, user_agent, request_id }
    }

    /// The token of `Authorization: Bearer …` (RFC 6750; the scheme's case does not matter).
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_deref()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// The organization named by `X-Org-ID`, by `X-Tenant-ID`, or by the first part of the host name, which the gateway hands on
    /// as `X-Org-Subdomain`. Whether an id and a slug are of one organization, only the database knows.
    pub fn organization(&self) -> Result<Option<OrganizationRef>, Refusal> {
        let named = [&self.x_org_id, &self.x_tenant_id].map(|header| header.as_deref().map(OrganizationRef::parse));
        let subdomain = self.x_org_subdomain.as_deref().map(str::trim).filter(|subdomain| !subdomain.is_empty());
        let mut all = named.into_iter().flatten().chain(subdomain.map(OrganizationRef::of_slug));
        let Some(first) = all.next() else { return Ok(None) };
        all.try_fold(first, OrganizationRef::and).map(Some).ok_or(Refusal::ORGANIZATION_AMBIGUOUS)
    }

    /// Whether `Prefer` asks for a count from the planner's statistics, which know every tenant's rows.
    pub fn wants_estimated_count(&self) -> bool {
        self.prefer.as_deref().is_some_and(|prefer| {
            prefer.split([',', ';']).filter_map(|part| part.split_once('=')).any(|(name, value)| {
                let value = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("count") && !value.eq_ignore_ascii_case("exact")
            })
        })
    }
}

impl Sender {
    /// The client behind so many proxies. What stands further left in X-Forwarded-For, anybody can write there.
    pub fn client(&self, proxies: usize) -> Client {
        let address = self
            .forwarded_for
            .as_deref()
            .filter(|_| proxies > 0)
            .and_then(|list| list.rsplit(',').nth(proxies - 1).and_then(|address| parse_address(address.trim())));
        let address = address.map(|address| address.to_canonical());
        let user_agent = self
            .user_agent
            .as_deref()
            .map(|agent| agent.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX).collect::<String>());
        Client {
            address: address.map(|address| address.to_string()),
            network: address.map(network),
            user_agent: user_agent.filter(|agent| !agent.is_empty()),
        }
    }

    /// `X-Request-Id`, if it is what such ids are: some visible characters.
    pub fn request_id(&self) -> Option<String> {
        let id = self.request_id.as_deref()?.trim();
        let fits = (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| id.to_owned())
    }
}

/// Some proxies add the port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers<'static> {
        let map: HashMap<_, _> = pairs.iter().copied().collect();
        Headers::parse(Some(serde_json::to_string(&map).unwrap().leak()))
    }

    #[test]
    fn the_client_is_the_last_that_a_trusted_proxy_saw() {
        let address = |list: &str, proxies| headers(&[("x-forwarded-for", list)]).sender().client(proxies).address;
        assert_eq!(address("203.0.113.7", 1).as_deref(), Some("203.0.113.7"));
        assert_eq!(address("1.1.1.1, 203.0.113.7", 1).as_deref(), Some("203.0.113.7"));
        assert_eq!(address("1.1.1.1, 203.0.113.7, 10.0.0.1", 2).as_deref(), Some("203.0.113.7"));
        assert_eq!(address("203.0.113.7:51234", 1).as_deref(), Some("203.0.113.7"));
        assert_eq!(address("[2001:db8::1]:443", 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(address("[2001:db8::1]", 1).as_deref(), Some("2001:db8::1"));
        assert_eq!(address("::ffff:203.0.113.7", 1).as_deref(), Some("203.0.113.7"));
        for (list, proxies) in
            [("203.0.113.7", 0), ("203.0.113.7", 2), (",,,,", 5), ("", 1), ("not an address", 1), ("203.0.113.7, x", 1)]
        {
            assert_eq!(address(list, proxies), None, "{list} {proxies}");
        }
        assert_eq!(headers(&[]).sender().client(1), Client::default());
    }

    #[test]
    fn an_ipv6_subscriber_is_one_network() {
        let network = |address: &str| headers(&[("x-forwarded-for", address)]).sender().client(1).network;
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::1"));
        assert_eq!(network("203.0.113.7").as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn a_user_agent_is_one_short_line() {
        let agent = |agent: &str| headers(&[("user-agent", agent)]).sender().client(1).user_agent;
        assert_eq!(agent("curl/8.0").as_deref(), Some("curl/8.0"));
        assert_eq!(agent("a\u{1b}[31mb").as_deref(), Some("a[31mb"));
        assert_eq!(agent(&"x".repeat(1000)).map(|agent| agent.len()), Some(USER_AGENT_MAX));
        assert_eq!(agent(""), None);
    }

    #[test]
    fn a_request_id_is_a_short_visible_word() {
        let id = |id: &str| headers(&[("x-request-id", id)]).sender().request_id();
        assert_eq!(id(" 4f0c-9/a:b ").as_deref(), Some("4f0c-9/a:b"));
        for not_one in ["", "two words", "ünïcödé", "a\u{7f}", &"x".repeat(201)] {
            assert_eq!(id(not_one), None, "{not_one}");
        }
    }

    #[test]
    fn an_idempotency_key_is_the_same_with_and_without_quotes() {
        let key = |key: &str| headers(&[("idempotency-key", key)]).idempotency_key().map(str::to_owned);
        assert_eq!(key(" 8e03978e ").as_deref(), Some("8e03978e"));
        assert_eq!(key("\"8e03978e\"").as_deref(), Some("8e03978e"));
        assert_eq!(key("\"").as_deref(), Some("\""));
        assert_eq!(headers(&[]).idempotency_key(), None);
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
    fn any_of_three_headers_names_the_organization() {
        let acme = Ok(Some(OrganizationRef::of_slug("acme")));
        for header in ["x-org-id", "x-tenant-id", "x-org-subdomain"] {
            assert_eq!(headers(&[(header, " Acme ")]).organization(), acme, "{header}");
        }
        let all = [("x-org-id", "acme"), ("x-tenant-id", "ACME"), ("x-org-subdomain", "Acme")];
        assert_eq!(headers(&all).organization(), acme);
        assert_eq!(headers(&[]).organization(), Ok(None));
        assert_eq!(headers(&[("x-org-subdomain", " ")]).organization(), Ok(None));
        assert_eq!(headers(&[("x-org-id", "")]).organization(), Ok(Some(OrganizationRef::of_slug(""))));
    }

    #[test]
    fn headers_that_name_different_organizations_name_none() {
        let names = ["x-org-id", "x-tenant-id", "x-org-subdomain"];
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let pair = [(names[one], "acme"), (names[other], "other")];
            assert_eq!(headers(&pair).organization(), Err(Refusal::ORGANIZATION_AMBIGUOUS), "{pair:?}");
        }
        let ids = [
            ("x-org-id", "00000000-0000-0000-0000-000000000001"),
            ("x-tenant-id", "00000000-0000-0000-0000-000000000002"),
        ];
        assert_eq!(headers(&ids).organization(), Err(Refusal::ORGANIZATION_AMBIGUOUS));
        let third = [("x-org-id", "acme"), ("x-tenant-id", "acme"), ("x-org-subdomain", "other")];
        assert_eq!(headers(&third).organization(), Err(Refusal::ORGANIZATION_AMBIGUOUS));
    }

    #[test]
    fn an_id_and_a_slug_are_both_kept() {
        let id = uuid::Uuid::from_u128(1);
        let both = OrganizationRef { id: Some(id), slug: Some("acme".into()) };
        let text = id.to_string();
        assert_eq!(headers(&[("x-org-id", &text), ("x-org-subdomain", "acme")]).organization(), Ok(Some(both.clone())));
        assert_eq!(headers(&[("x-org-id", "acme"), ("x-tenant-id", &text)]).organization(), Ok(Some(both)));
        // A host name is a slug, whatever it looks like.
        assert_eq!(headers(&[("x-org-subdomain", &text)]).organization(), Ok(Some(OrganizationRef::of_slug(&text))));
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

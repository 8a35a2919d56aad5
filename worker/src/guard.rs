//! What may be called. A webhook's URL is a tenant's word: nobody may use the worker to reach what only the worker can reach.
//! It is the address that decides, and the one that was looked at is the one that is connected to.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Not on the internet, or not one receiver on it (IANA's registry of special addresses, RFC 6890).
const SPECIAL_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Link-local; 169.254.169.254 tells cloud machines their credentials.
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // The host of Azure's machines, under an address that looks public.
    v4(168, 63, 129, 16, 32),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// All that is on the internet. So loopback, unique local (and fd00:ec2::254 with them), link-local, site-local and multicast
/// addresses are out, as are IPv4 addresses in all their disguises: mapped, compatible, NAT64.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What of it is special: protocol assignments (Teredo, benchmarking, ORCHID), documentation, 6to4, documentation.
const SPECIAL_V6: [Ipv6Net; 4] = [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

/// Whether anybody on the internet could have this address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// Why something is not called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    Url,
    Scheme,
    Credentials,
    Address,
    Unknown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "invalid url",
            Self::Scheme => "scheme not allowed",
            Self::Credentials => "credentials in url",
            Self::Address => "address not allowed",
            Self::Unknown => "dns",
        })
    }
}

impl Error for Refusal {}

pub struct Guard {
    allow_http: bool,
    allowed: Vec<IpNet>,
    /// The database's own addresses: they may be public.
    database: RwLock<Vec<IpAddr>>,
}

impl Guard {
    pub fn new(allow_http: bool, allowed: Vec<IpNet>) -> Self {
        Self { allow_http, allowed, database: RwLock::default() }
    }

    pub fn set_database(&self, addresses: Vec<IpAddr>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub fn allows(&self, address: IpAddr) -> bool {
        let is_database = || self.database.read().unwrap_or_else(PoisonError::into_inner).contains(&address);
        self.allowed.iter().any(|network| network.contains(&address)) || (is_public(address) && !is_database())
    }

    /// Looks at all of a URL but what its name stands for, which `Resolver` does. Addresses go past any resolver, in whatever
    /// form: `Url` has read decimal, octal and hexadecimal ones already.
    pub fn check(&self, url: &str) -> Result<Url, Refusal> {
        let url = Url::parse(url).map_err(|_| Refusal::Url)?;
        if url.scheme() != "https" && !(self.allow_http && url.scheme() == "http") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let allowed = match url.host() {
            Some(Host::Ipv4(address)) => self.allows(address.into()),
            Some(Host::Ipv6(address)) => self.allows(address.into()),
            Some(Host::Domain(_)) => true,
            None => return Err(Refusal::Url),
        };
        if allowed { Ok(url) } else { Err(Refusal::Address) }
    }

    /// Of what a name stands for, what may be called.
    pub fn select(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(Refusal::Unknown);
        }
        let allowed: Vec<_> = found.into_iter().filter(|address| self.allows(address.ip())).collect();
        if allowed.is_empty() { Err(Refusal::Address) } else { Ok(allowed) }
    }
}

/// Gives reqwest the addresses that were looked at: a name that stands for something else a moment later gains nothing.
pub struct Resolver(pub Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| Refusal::Unknown)?;
            let allowed: Addrs = Box::new(guard.select(found)?.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests;

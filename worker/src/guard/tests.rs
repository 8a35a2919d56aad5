#![allow(clippy::unwrap_used)]

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_special_network_is_refused_from_its_first_address_to_its_last_and_no_further() {
    // The address before, the first, the last, the one after; an empty text where that is special for another reason.
    let networks = [
        ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
        ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
        ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
        ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
        ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
        ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
        ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
        ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
        ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
        ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
        ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
        ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
        ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
        ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
        ("223.255.255.255", "224.0.0.0", "239.255.255.255", ""),
        ("", "240.0.0.0", "255.255.255.255", ""),
        // All of IPv6 below and above the internet's.
        ("", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
        ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
        ("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
        (
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
        ),
        ("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
        ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
    ];
    for (before, first, last, after) in networks {
        for special in [first, last] {
            assert!(!is_public(address(special)), "{special}");
        }
        for public in [before, after].into_iter().filter(|text| !text.is_empty()) {
            assert!(is_public(address(public)), "{public}");
        }
    }
}

#[test]
fn addresses_that_are_known_by_name_are_refused() {
    let cases = [
        ("loopback", "127.0.0.1"),
        ("loopback", "::1"),
        ("unspecified", "0.0.0.0"),
        ("unspecified", "::"),
        ("metadata", "169.254.169.254"),
        ("metadata of EC2", "fd00:ec2::254"),
        ("metadata of Alibaba", "100.100.100.200"),
        ("metadata of Oracle", "192.0.0.192"),
        ("broadcast", "255.255.255.255"),
        ("multicast", "224.0.0.1"),
        ("multicast", "ff02::1"),
        ("link-local", "fe80::1"),
        ("site-local", "fec0::1"),
        ("unique local", "fc00::1"),
        ("unique local", "fdff::1"),
        ("mapped loopback", "::ffff:127.0.0.1"),
        ("mapped public", "::ffff:93.184.216.34"),
        ("compatible", "::127.0.0.1"),
        ("NAT64 of loopback", "64:ff9b::7f00:1"),
        ("NAT64, local", "64:ff9b:1::a00:1"),
        ("6to4 of 10.0.0.1", "2002:a00:1::"),
        ("Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        ("discard", "100::1"),
        ("segment routing", "5f00::1"),
        ("ORCHID", "2001:20::1"),
    ];
    for (name, text) in cases {
        assert!(!is_public(address(text)), "{name}: {text}");
    }
    for text in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"]
    {
        assert!(is_public(address(text)), "{text}");
    }
}

fn checked(guard: &Guard, url: &str) -> Option<Refusal> {
    guard.check(url).err()
}

#[test]
fn a_url_is_refused_for_its_scheme_its_credentials_or_the_address_in_it() {
    let guard = Guard::new(false, vec![]);
    let cases = [
        ("https://hooks.example/a?b=c", None),
        ("https://hooks.example:8443/", None),
        ("https://93.184.216.34/", None),
        ("https://[2606:4700:4700::1111]/", None),
        ("http://hooks.example/", Some(Refusal::Scheme)),
        ("ftp://hooks.example/", Some(Refusal::Scheme)),
        ("file:///etc/passwd", Some(Refusal::Scheme)),
        ("gopher://hooks.example/", Some(Refusal::Scheme)),
        ("https://user@hooks.example/", Some(Refusal::Credentials)),
        ("https://user:password@hooks.example/", Some(Refusal::Credentials)),
        ("https://:password@hooks.example/", Some(Refusal::Credentials)),
        ("https://", Some(Refusal::Url)),
        ("hooks.example", Some(Refusal::Url)),
        ("", Some(Refusal::Url)),
        // Addresses, in every form that is read as one.
        ("https://127.0.0.1/", Some(Refusal::Address)),
        ("https://127.1/", Some(Refusal::Address)),
        ("https://2130706433/", Some(Refusal::Address)),
        ("https://0x7f.0.0.1/", Some(Refusal::Address)),
        ("https://0x7f000001/", Some(Refusal::Address)),
        ("https://0177.0.0.1/", Some(Refusal::Address)),
        ("https://127.0.0.1./", Some(Refusal::Address)),
        ("https://①②⑦.0.0.1/", Some(Refusal::Address)),
        ("https://0/", Some(Refusal::Address)),
        ("https://169.254.169.254/latest/meta-data/", Some(Refusal::Address)),
        ("https://[::1]/", Some(Refusal::Address)),
        ("https://[::ffff:127.0.0.1]/", Some(Refusal::Address)),
        ("https://[::ffff:7f00:1]/", Some(Refusal::Address)),
        ("https://[64:ff9b::7f00:1]/", Some(Refusal::Address)),
        ("https://[fd00:ec2::254]/", Some(Refusal::Address)),
    ];
    for (url, refusal) in cases {
        assert_eq!(checked(&guard, url), refusal, "{url}");
    }
    let lenient = Guard::new(true, vec!["127.0.0.0/8".parse().unwrap()]);
    assert_eq!(checked(&lenient, "http://127.0.0.1:8080/"), None);
    assert_eq!(checked(&lenient, "http://10.0.0.1/"), Some(Refusal::Address));
    assert_eq!(checked(&lenient, "http://[::ffff:127.0.0.1]/"), Some(Refusal::Address));
}

#[test]
fn of_several_addresses_only_those_are_called_that_may_be() {
    let guard = Guard::new(false, vec!["10.1.0.0/16".parse().unwrap()]);
    let at = |text: &str| SocketAddr::new(address(text), 443);
    let selected = guard.select([at("10.0.0.1"), at("93.184.216.34"), at("10.1.2.3"), at("::1")].into_iter());
    assert_eq!(selected, Ok(vec![at("93.184.216.34"), at("10.1.2.3")]));
    assert_eq!(guard.select([at("10.0.0.1"), at("::1")].into_iter()), Err(Refusal::Address));
    assert_eq!(guard.select(std::iter::empty()), Err(Refusal::Unknown));
}

#[test]
fn the_databases_own_address_is_refused_though_it_is_public_unless_it_is_allowed() {
    let guard = Guard::new(false, vec![]);
    guard.set_database(vec![address("93.184.216.34")]);
    assert!(!guard.allows(address("93.184.216.34")) && guard.allows(address("93.184.216.35")));
    let allowing = Guard::new(false, vec!["93.184.216.34/32".parse().unwrap()]);
    allowing.set_database(vec![address("93.184.216.34")]);
    assert!(allowing.allows(address("93.184.216.34")));
}

#[tokio::test]
async fn a_name_that_stands_for_a_special_address_is_refused_by_the_resolver() {
    let resolve = |guard: Guard| async move {
        let found = Resolver(Arc::new(guard)).resolve("localhost".parse().unwrap()).await;
        found.map(Iterator::collect::<Vec<_>>).map_err(|error| error.to_string())
    };
    assert_eq!(resolve(Guard::new(false, vec![])).await, Err("address not allowed".into()));
    let found = resolve(Guard::new(false, vec!["127.0.0.0/8".parse().unwrap()])).await;
    assert_eq!(found, Ok(vec![SocketAddr::new(address("127.0.0.1"), 0)]));
}

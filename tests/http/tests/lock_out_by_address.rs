//! Guessing at many accounts from one network address, as the proxies before PostgREST saw it.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::Response;
use crm_http_tests::identity::{Settings, at_once, login_from, login_request, told, unique_address, with_status};
use crm_http_tests::{admin, all, alone, unique};
use uuid::Uuid;

const WRONG: &str = "kzq-passphrase-wrong";

/// A guess at an account that nobody has guessed at before.
fn guess(forwarded_for: &str) -> Response {
    login_from(forwarded_for, &format!("{}@example.com", unique("nobody")), WRONG)
}

fn failures(network: &str) -> Option<i32> {
    admin::value(
        "select max(failures) from crm_private.login_failures where kind = 'address' and subject = sha256($1)",
        &[&network.as_bytes()],
    )
}

/// The first half of an IPv6 address, which a household has for itself.
fn unique_prefix() -> String {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    format!("2001:db8:{:x}:{:x}", u16::from_be_bytes([a, b]) | 0x1000, u16::from_be_bytes([c, d]) | 0x1000)
}

#[test]
fn an_address_with_five_failures_is_locked_out_whatever_the_account() {
    let _alone = alone();
    let (user, address) = (Actor::register(), unique_address());
    for _ in 0..5 {
        guess(&address).expect(401);
    }
    let answer = login_from(&address, &user.email, &user.password).expect(429);
    assert_eq!(answer.code(), "53400");
    let seconds: i64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds), "{seconds}");
    assert_eq!(told(&guess(&address).expect(429)), told(&answer));
    assert_eq!(failures(&address), Some(5));
    login_from(&unique_address(), &user.email, &user.password).expect(200);
    login(&user.email, &user.password, None).expect(200);
    guess(&address).expect(429);
}

#[test]
fn an_address_that_is_locked_out_does_not_count_against_accounts() {
    let _alone = alone();
    let (user, address) = (Actor::register(), unique_address());
    for _ in 0..5 {
        guess(&address).expect(401);
    }
    for _ in 0..10 {
        login_from(&address, &user.email, WRONG).expect(429);
    }
    login_from(&unique_address(), &user.email, &user.password).expect(200);
}

#[test]
fn a_right_password_does_not_forgive_an_address() {
    let _alone = alone();
    let (attacker, address) = (Actor::register(), unique_address());
    for _ in 0..4 {
        guess(&address).expect(401);
        login_from(&address, &attacker.email, &attacker.password).expect(200);
    }
    guess(&address).expect(401);
    login_from(&address, &attacker.email, &attacker.password).expect(429);
}

#[test]
fn an_address_gets_in_once_the_window_is_over() {
    let _alone = alone();
    let (user, address) = (Actor::register(), unique_address());
    for _ in 0..5 {
        guess(&address).expect(401);
    }
    guess(&address).expect(429);
    admin::execute(
        "update crm_private.login_failures set window_started_at = now() - interval '15 minutes'
         where kind = 'address' and subject = sha256($1)",
        &[&address.as_bytes()],
    );
    login_from(&address, &user.email, &user.password).expect(200);
    guess(&address).expect(401);
    assert_eq!(failures(&address), Some(1));
}

#[test]
fn an_attacker_gets_no_more_guesses_by_writing_into_the_header() {
    let _alone = alone();
    let address = unique_address();
    let spoofed = [
        format!("{}, {address}", unique_address()),
        format!("{},{address}", unique_address()),
        format!("{}, {}, {address}", unique_address(), unique_address()),
        format!("unknown, {address} "),
        format!("::ffff:{address}"),
    ];
    for forwarded_for in &spoofed {
        guess(forwarded_for).expect(401);
    }
    assert_eq!(failures(&address), Some(5));
    for forwarded_for in &spoofed {
        guess(forwarded_for).expect(429);
    }
    // Somebody whom the attacker names is not locked out.
    guess(&format!("{address}, {}", unique_address())).expect(401);
}

#[test]
fn an_attacker_gets_no_more_guesses_by_a_header_of_their_own_before_the_proxys() {
    let _alone = alone();
    let address = unique_address();
    let statuses: Vec<_> = (0..8)
        .map(|_| {
            let request = login_request(&format!("{}@example.com", unique("nobody")), WRONG);
            // Some proxies add a line instead of an entry.
            let request = request.header("X-Forwarded-For", &unique_address());
            request.header("X-Forwarded-For", &address).send().status
        })
        .collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
}

#[test]
fn a_household_with_many_ipv6_addresses_is_one_address() {
    let _alone = alone();
    let (prefix, neighbour) = (unique_prefix(), unique_prefix());
    for host in ["::1", ":0:0:0:2", ":aaaa:bbbb:cccc:dddd", "::ffff", ":1::"] {
        guess(&format!("{prefix}{host}")).expect(401);
    }
    guess(&format!("{prefix}::77")).expect(429);
    guess(&format!("{}::77", prefix.to_uppercase())).expect(429);
    guess(&format!("{neighbour}::1")).expect(401);
}

#[test]
fn of_fifty_guesses_at_once_from_one_address_five_are_looked_at() {
    let _alone = alone();
    let address = unique_address();
    let answers = at_once(50, |_| guess(&address));
    assert_eq!((with_status(&answers, 401), with_status(&answers, 429)), (5, 45), "{answers:?}");
    assert_eq!(failures(&address), Some(5));
}

#[test]
fn guesses_from_many_addresses_at_many_accounts_never_block_each_other() {
    let _alone = alone();
    let emails: Vec<_> = (0..4).map(|_| format!("{}@example.com", unique("nobody"))).collect();
    let addresses: Vec<_> = (0..4).map(|_| unique_address()).collect();
    let answers = at_once(48, |number| login_from(&addresses[number / 4 % 4], &emails[number % 4], WRONG));
    assert!(answers.iter().all(|answer| [401, 429].contains(&answer.status)), "{answers:?}");
    assert!(with_status(&answers, 401) <= 20);
}

#[test]
fn nobody_is_locked_out_where_the_address_is_not_known() {
    let _alone = alone();
    let cases = ["", "unknown", "not an address", "10.0.0", "10.0.0.1, "];
    all(cases, |forwarded_for| {
        let statuses: Vec<_> = (0..6).map(|_| guess(forwarded_for).status).collect();
        if statuses == [401; 6] { Ok(()) } else { Err(format!("{forwarded_for}: {statuses:?}")) }
    });
}

#[test]
fn a_dba_says_how_many_proxies_are_trusted() {
    let settings = Settings::with("trusted_proxies = 2");
    let address = unique_address();
    for _ in 0..5 {
        guess(&format!("{}, {address}, {}", unique_address(), unique_address())).expect(401);
    }
    guess(&format!("{address}, {}", unique_address())).expect(429);
    guess(&address).expect(401);
    settings.set("trusted_proxies = 0");
    for _ in 0..6 {
        guess(&address).expect(401);
    }
}

#[test]
fn a_dba_says_how_many_failures_lock_out_and_for_how_long() {
    let _settings = Settings::with("login_failures_max = 2, login_failures_window = '5 seconds'");
    let (user, address) = (Actor::register(), unique_address());
    for _ in 0..2 {
        login(&user.email, WRONG, None).expect(401);
    }
    let answer = login(&user.email, &user.password, None).expect(429);
    assert!((1..=5).contains(&answer.header("Retry-After").unwrap().parse::<i64>().unwrap()), "{answer}");
    for _ in 0..2 {
        guess(&address).expect(401);
    }
    guess(&address).expect(429);
    std::thread::sleep(std::time::Duration::from_secs(5));
    login_from(&address, &user.email, &user.password).expect(200);
}

//! E-mail as people get it: from a request over HTTP, through the worker, to a mail server. One test at a time: a worker takes
//! what waits for anybody.

use std::sync::MutexGuard;
use std::thread::sleep;
use std::time::Duration;

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::certificate::Certificate;
use crm_http_tests::smtp::Smtp;
use crm_http_tests::worker::{Worker, eventually, free_address};
use crm_http_tests::{PASSWORD_PREFIX, admin, alone, unique};
use serde_json::{Value, json};

/// Nothing waits that other tests have left.
fn empty_mailroom() -> MutexGuard<'static, ()> {
    let alone = alone();
    admin::execute(
        "update crm_private.messages set finished_at = clock_timestamp(), secret = null where finished_at is null",
        &[],
    );
    alone
}

fn mail_worker(smtp: &str) -> Worker {
    Worker::start(&[
        ("JOBS", "mail"),
        ("SMTP_URL", smtp),
        ("MAIL_FROM", "Example CRM <crm@crm.example>"),
        ("APP_URL", "https://app.example"),
    ])
}

/// Kind, number of attempts, whether it is finished, whether its token is forgotten.
fn message(address: &str, kind: &str) -> (i32, bool, bool) {
    let stored: Value = admin::value(
        "select jsonb_build_array(attempts, finished_at is not null, secret is null)
         from crm_private.messages where recipient = $1 and kind = $2 order by id desc limit 1",
        &[&address, &kind],
    );
    (stored[0].as_i64().unwrap() as i32, stored[1].as_bool().unwrap(), stored[2].as_bool().unwrap())
}

fn until_finished(address: &str, kind: &str) {
    eventually(&format!("{kind} for {address} is finished"), || message(address, kind).1.then_some(()));
}

fn request_reset(email: &str) {
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": email })).send().expect(200);
}

fn try_again_now(email: &str) {
    admin::execute("update crm_private.messages set claimed_until = null where recipient = $1", &[&email]);
}

#[test]
fn a_user_who_forgot_the_password_gets_a_mail_whose_link_works() {
    let _alone = empty_mailroom();
    let (smtp, user) = (Smtp::start(), Actor::register_as("Ada Lovelace"));
    let worker = mail_worker(&smtp.url);
    request_reset(&user.email);
    let mail = smtp.mail(&user.email, "Reset your password");
    assert_eq!(mail.from, "crm@crm.example");
    assert_eq!(mail.header("To"), user.email);
    assert_eq!(mail.header("From"), "\"Example CRM\" <crm@crm.example>");
    assert_eq!(mail.header("MIME-Version"), "1.0");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(
        mail.header("Date").contains("20") && mail.header("Message-ID").ends_with("@crm.example>"),
        "{}",
        mail.text
    );
    let (text, token) = (mail.part("text/plain"), mail.token());
    assert!(text.starts_with("Hello Ada Lovelace,"), "{text}");
    assert!(text.contains(&format!("https://app.example/reset-password?token={token}")), "{text}");
    assert!(mail.part("text/html").contains(&format!("reset-password?token={token}")));
    let new = unique(PASSWORD_PREFIX);
    let arguments = json!({ "token": token, "new_password": new });
    anonymous("POST", "/rpc/reset_password").json(&arguments).send().expect(200);
    login(&user.email, &new, None).expect(200);
    until_finished(&user.email, "password_reset");
    assert_eq!(message(&user.email, "password_reset"), (1, true, true));
    // The user is told of it, too.
    let told = smtp.mail(&user.email, "Your password was changed").part("text/plain");
    assert!(told.contains("https://app.example") && !told.contains("token="), "{told}");
    assert!(!worker.log().contains(&token) && !worker.log().contains(&user.email), "{}", worker.log());
    assert!(worker.metric("crm_worker_messages_total{kind=\"password_reset\",outcome=\"sent\"}") >= Some(1.0));
}

#[test]
fn a_newcomer_confirms_the_address_and_somebody_invited_joins_by_mail() {
    let _alone = empty_mailroom();
    let (smtp, owner) = (Smtp::start(), Actor::register());
    let _worker = mail_worker(&smtp.url);
    let token = smtp.mail(&owner.email, "Confirm your e-mail address").token();
    owner.post("/rpc/verify_email", &json!({ "token": token })).expect(200);
    let invited = format!("{}@example.com", unique("invited"));
    owner.post("/rpc/invite_user", &json!({ "email": invited, "role": "sales" })).expect(200);
    let mail = smtp.mail(&invited, &format!("Invitation to {}", owner.organization.slug));
    let text = mail.part("text/plain");
    assert!(text.contains("Somebody invites you to") && text.contains("(role: sales)"), "{text}");
    assert!(text.contains("https://app.example/accept-invitation?token="), "{text}");
    let arguments = json!({ "token": mail.token(), "password": unique(PASSWORD_PREFIX), "full_name": "Ida" });
    anonymous("POST", "/rpc/accept_invitation").json(&arguments).send().expect(200);
}

#[test]
fn who_asked_for_it_is_told_of_notifications_by_mail_until_they_end_it_and_nobody_else() {
    let _alone = empty_mailroom();
    let (smtp, owner) = (Smtp::start(), Actor::register_as("Ada Lovelace"));
    let member = Actor::member(&owner.organization, "sales");
    admin::execute(
        "update crm.users set email_verified_at = now() where id = any ($1)",
        &[&vec![owner.user, member.user]],
    );
    let wants =
        |who: &Actor, enabled| who.post("/rpc/set_notification_email", &json!({ "enabled": enabled })).expect(200);
    let tell = |who: &Actor, title: &str| {
        let told = json!({ "user_id": who.user, "kind": "mention", "title": title, "body": "Have a look:\nhttps://a.example" });
        owner.request("POST", "/notifications").header("Prefer", "return=minimal").json(&told).send().expect(201);
    };
    wants(&member, true);
    tell(&owner, "Not asked for");
    tell(&member, "Deal won: Miller & Sons");
    let worker = mail_worker(&smtp.url);
    let mail = smtp.mail(&member.email, "Deal won: Miller & Sons");
    assert_eq!((mail.header("To"), mail.header("Auto-Submitted")), (member.email.clone(), "auto-generated".into()));
    let text = mail.part("text/plain");
    assert!(text.contains("Have a look:") && text.contains("https://a.example"), "{text}");
    assert!(text.contains("switch that off where you work: https://app.example"), "{text}");
    assert!(mail.part("text/html").contains("Miller &amp; Sons"), "{}", mail.part("text/html"));
    wants(&member, false);
    wants(&owner, true);
    tell(&member, "Not asked for any more");
    tell(&owner, "To oneself");
    smtp.mail(&owner.email, "To oneself");
    for who in [&member, &owner] {
        assert!(smtp.mails_to(&who.email).iter().all(|mail| !mail.header("Subject").starts_with("Not asked")));
    }
    assert!(!worker.log().contains("Deal won"), "{}", worker.log());
    assert!(worker.metric("crm_worker_messages_total{kind=\"notification\",outcome=\"sent\"}") >= Some(1.0));
}

#[test]
fn a_message_to_nobody_known_ends_and_one_that_is_refused_for_now_comes_again() {
    let _alone = empty_mailroom();
    let (smtp, gone, busy) = (Smtp::start(), Actor::register(), Actor::register());
    smtp.refuse(&gone.email, "550 5.1.1 no such user");
    smtp.refuse(&busy.email, "450 4.2.1 try later");
    let worker = mail_worker(&smtp.url);
    until_finished(&gone.email, "email_verification");
    let line = worker.until_logged("a message can never be sent");
    assert_eq!((&line["level"], &line["kind"]), (&json!("ERROR"), &json!("email_verification")));
    eventually("an attempt", || (message(&busy.email, "email_verification").0 == 1).then_some(()));
    worker.until_logged("a message is sent later");
    assert!(!message(&busy.email, "email_verification").1);
    smtp.accept_all();
    try_again_now(&busy.email);
    smtp.mail(&busy.email, "Confirm your e-mail address");
    until_finished(&busy.email, "email_verification");
    assert!(smtp.mails_to(&gone.email).is_empty());
}

#[test]
fn a_mail_server_that_is_away_costs_no_message() {
    let _alone = empty_mailroom();
    let address = free_address();
    let worker = mail_worker(&format!("smtp://{address}"));
    let user = Actor::register();
    let line = worker.until_logged("a round failed");
    assert_eq!(line["job"], "mail", "{line}");
    assert!(!message(&user.email, "email_verification").1);
    let smtp = Smtp::start_at(&address);
    try_again_now(&user.email);
    smtp.mail(&user.email, "Confirm your e-mail address");
}

#[test]
fn a_mail_server_is_believed_by_its_certificate() {
    let _alone = empty_mailroom();
    let certificate = Certificate::of("localhost");
    let (smtp, user) = (Smtp::start_tls(&certificate), Actor::register());
    let settings = [
        ("JOBS", "mail"),
        ("SMTP_URL", &smtp.url),
        ("MAIL_FROM", "crm@crm.example"),
        ("APP_URL", "https://app.example"),
    ];
    {
        let worker = Worker::start(&settings);
        let line = worker.until_logged("a round failed");
        assert!(line["error"].as_str().unwrap().contains("certificate"), "{line}");
    }
    try_again_now(&user.email);
    let _worker = Worker::start(&[&settings[..], &[("CA_FILE", certificate.path())]].concat());
    smtp.mail(&user.email, "Confirm your e-mail address");
}

#[test]
fn without_a_mail_server_messages_wait_and_it_is_said_once() {
    let _alone = empty_mailroom();
    let worker = Worker::start(&[("JOBS", "mail,maintenance")]);
    let user = Actor::register();
    sleep(Duration::from_millis(500));
    assert_eq!(message(&user.email, "email_verification"), (0, false, false));
    let said = "CRM_WORKER_SMTP_URL is not set: messages to people wait for a worker that sends them";
    assert_eq!(worker.logged(said).len(), 1);
}

#[test]
fn two_workers_send_each_message_once() {
    let _alone = empty_mailroom();
    let smtp = Smtp::start();
    let users: Vec<_> = (0..15).map(|_| Actor::register()).collect();
    let (_one, _other) = (mail_worker(&smtp.url), mail_worker(&smtp.url));
    for user in &users {
        until_finished(&user.email, "email_verification");
        assert_eq!(smtp.mails_to(&user.email).len(), 1);
    }
}

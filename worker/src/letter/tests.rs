#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::config::Secret;
use serde_json::json;

fn settings(templates: Option<&Path>) -> Mail {
    Mail {
        smtp: Secret::new("smtp://localhost"),
        from: "CRM <crm@example.com>".parse().unwrap(),
        links: Links {
            app: "https://app.example".into(),
            password_reset: "https://app.example/reset?token={token}".into(),
            email_verification: "https://app.example/verify#{token}".into(),
            invitation: "https://app.example/join?token={token}&from=mail".into(),
        },
        templates: templates.map(Into::into),
    }
}

fn written(kind: &str, content: &Value) -> Letter {
    let about = About { kind, content, token: Some("to-ken_1"), expires_at: "2026-01-02 03:04 UTC" };
    Letters::new(&settings(None)).unwrap().write(&about).unwrap()
}

#[test]
fn every_kind_has_a_subject_a_text_and_html_with_its_link() {
    let links = [
        ("password_reset", Some("https://app.example/reset?token=to-ken_1")),
        ("email_verification", Some("https://app.example/verify#to-ken_1")),
        ("invitation", Some("https://app.example/join?token=to-ken_1&from=mail")),
        ("password_changed", None),
        ("notification", None),
    ];
    assert_eq!(links.map(|(kind, _)| kind), KINDS);
    for (kind, link) in links {
        let letter = written(kind, &json!({ "full_name": "Ada" }));
        assert!(!letter.subject.is_empty() && !letter.subject.contains('\n'), "{kind}");
        assert!(letter.text.starts_with("Hello") && letter.html.contains("<title>"), "{kind}: {}", letter.text);
        if let Some(link) = link {
            let escaped = link.replace('&', "&amp;").replace('/', "&#x2f;");
            assert!(letter.text.contains(link), "{kind}: {}", letter.text);
            assert!(letter.html.contains(&format!("href=\"{escaped}\"")), "{kind}: {}", letter.html);
            assert!(letter.text.contains("2026-01-02 03:04 UTC"), "{kind}: {}", letter.text);
        } else {
            assert!(!letter.html.contains("to-ken_1") && !letter.text.contains("to-ken_1"));
        }
    }
}

#[test]
fn an_invitation_tells_who_invites_whereto() {
    let letter = written("invitation", &json!({ "organization": "Acme & Sons", "role": "sales", "invited_by": "Bo" }));
    assert_eq!(letter.subject, "Invitation to Acme & Sons");
    assert!(letter.text.contains("Bo invites you to Acme & Sons (role: sales)"), "{}", letter.text);
    assert!(letter.html.contains("<strong>Acme &amp; Sons</strong>"), "{}", letter.html);
    let bare = written("invitation", &json!({ "organization": "Acme", "role": "sales", "invited_by": null }));
    assert!(bare.text.contains("somebody invites you to Acme"), "{}", bare.text);
}

#[test]
fn a_first_password_is_set_and_not_reset() {
    assert_eq!(written("password_reset", &json!({ "first": true })).subject, "Set your password");
    assert_eq!(written("password_reset", &json!({})).subject, "Reset your password");
}

#[test]
fn a_name_cannot_carry_a_link_markup_or_another_header() {
    for name in [
        "Win at https://evil.example",
        "www.evil.example",
        "evil.com now",
        "a@evil.example",
        "<b>x</b>",
        &"x".repeat(101),
    ] {
        let letter = written("password_reset", &json!({ "full_name": name }));
        assert!(letter.text.starts_with("Hello,"), "{name}: {}", letter.text);
    }
    for name in ["Ada", "J. R. R. Tolkien", "Dr. Ada O'Neil", "Ada\r\nBcc: all", "Jr."] {
        let letter = written("password_reset", &json!({ "full_name": name }));
        assert!(letter.text.starts_with(&format!("Hello {},", one_line(name))), "{name}: {}", letter.text);
    }
    let letter = written("invitation", &json!({ "organization": "Acme\r\nBcc: everybody" }));
    assert_eq!(letter.subject, "Invitation to Acme Bcc: everybody");
}

#[test]
fn a_notification_says_what_it_is_about_where_it_comes_from_and_how_to_end_that() {
    let content = json!({
        "title": "Deal <b>won</b>: see https://crm.example/deals/7", "body": "Well done.\r\n\r\n1 < 2", "organization": "Acme & Sons",
        "full_name": "Ada", "entity": "deals", "record_id": "0199", "notification_id": "0198",
    });
    let letter = written("notification", &content);
    assert_eq!(letter.subject, "Deal <b>won</b>: see https://crm.example/deals/7");
    for said in ["Hello Ada,", "Acme & Sons has a notification", "<b>won</b>: see https://crm.example", "1 < 2"] {
        assert!(letter.text.contains(said), "{said}: {}", letter.text);
    }
    assert!(letter.text.contains("notifications of Acme & Sons as e-mail. You can switch that off"), "{}", letter.text);
    assert!(letter.text.contains("https://app.example"), "{}", letter.text);
    for said in ["<strong>Deal &lt;b&gt;won", "1 &lt; 2", "of Acme &amp; Sons as e-mail"] {
        assert!(letter.html.contains(said), "{said}: {}", letter.html);
    }
    let bare = written("notification", &json!({ "title": "Look", "body": null, "organization": "evil.example/x" }));
    assert!(bare.text.contains("your organization has a notification for you:\n\nLook\n\nYou get"), "{}", bare.text);
    assert!(!bare.html.contains("evil"), "{}", bare.html);
}

#[test]
fn a_title_is_one_line_of_the_subject_and_no_header_and_what_is_said_is_no_template() {
    let content = json!({ "title": "Look\r\nBcc: everybody\u{2028}X-Evil: 1\u{0}\u{85}{{ link }}", "body": "{{ app_url }}\nSubject: no" });
    let letter = written("notification", &content);
    assert_eq!(letter.subject, "Look Bcc: everybody X-Evil: 1 {{ link }}");
    assert!(letter.text.starts_with("Hello,") && letter.text.contains("{{ app_url }}\nSubject: no"), "{}", letter.text);
    let nameless = written("notification", &json!({ "title": " \r\n " }));
    assert_eq!(nameless.subject, "Notification");
}

#[test]
fn a_template_of_ones_own_makes_a_link_of_what_a_notification_is_about() {
    let folder = std::env::temp_dir().join(format!("crm-worker-letters-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let template = "{{ title }}\n\n{{ app_url }}/{{ entity }}/{{ record_id }}?n={{ notification_id }}\n";
    std::fs::write(folder.join("notification.txt"), template).unwrap();
    let letters = Letters::new(&settings(Some(&folder))).unwrap();
    let content = json!({ "title": "Won", "entity": "deals", "record_id": "7", "notification_id": "8" });
    let letter =
        letters.write(&About { kind: "notification", content: &content, token: None, expires_at: "" }).unwrap();
    assert_eq!((letter.subject.as_str(), letter.text.as_str()), ("Won", "https://app.example/deals/7?n=8"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_replaces_templates_one_by_one_and_mistakes_are_found_at_once() {
    let folder = std::env::temp_dir().join(format!("crm-worker-letters-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("invitation.txt"), "Komm zu {{ organization }}\n\n{{ link }}\n").unwrap();
    let letters = Letters::new(&settings(Some(&folder))).unwrap();
    let content = json!({ "organization": "Acme" });
    let about = About { kind: "invitation", content: &content, token: Some("x"), expires_at: "" };
    let letter = letters.write(&about).unwrap();
    assert_eq!(
        (letter.subject.as_str(), letter.text.as_str()),
        ("Komm zu Acme", "https://app.example/join?token=x&from=mail")
    );
    for mistake in ["Subject\n{{ tokenn }}", "Subject\n{% if %}", "{{ link"] {
        std::fs::write(folder.join("invitation.txt"), mistake).unwrap();
        assert!(Letters::new(&settings(Some(&folder))).is_err(), "{mistake}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

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

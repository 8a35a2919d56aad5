//! What is written in e-mail: templates, built in or from a folder, and what they are filled with.

use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, Value as Filling, context};
use serde_json::Value;

use crate::config::{Links, Mail};

/// The kinds of messages that the database has. The first line of the text is the subject.
pub const KINDS: [&str; 5] = ["password_reset", "email_verification", "invitation", "password_changed", "notification"];

const BUILT_IN: [(&str, &str); 11] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("password_reset.txt", include_str!("../templates/password_reset.txt")),
    ("password_reset.html", include_str!("../templates/password_reset.html")),
    ("email_verification.txt", include_str!("../templates/email_verification.txt")),
    ("email_verification.html", include_str!("../templates/email_verification.html")),
    ("invitation.txt", include_str!("../templates/invitation.txt")),
    ("invitation.html", include_str!("../templates/invitation.html")),
    ("password_changed.txt", include_str!("../templates/password_changed.txt")),
    ("password_changed.html", include_str!("../templates/password_changed.html")),
    ("notification.txt", include_str!("../templates/notification.txt")),
    ("notification.html", include_str!("../templates/notification.html")),
];

/// What an e-mail says. It has no Debug: the link lets its reader in.
pub struct Letter {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// What a letter is about. It has no Debug either.
pub struct About<'a> {
    pub kind: &'a str,
    pub content: &'a Value,
    pub token: Option<&'a str>,
    pub expires_at: &'a str,
}

pub struct Letters {
    templates: Environment<'static>,
    links: Links,
}

impl Letters {
    /// Reads every template and fills it once: what does not work is found before the first message.
    pub fn new(mail: &Mail) -> Result<Self, String> {
        let mut templates = Environment::new();
        // A misspelt name is a mistake, not nothing; a name that may be missing is asked for with `if`.
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        for (name, built_in) in BUILT_IN {
            let text = match &mail.templates {
                Some(folder) => replacement(folder, name)?.unwrap_or_else(|| built_in.to_owned()),
                None => built_in.to_owned(),
            };
            templates.add_template_owned(name, text).map_err(|error| problem(&error))?;
        }
        let letters = Self { templates, links: mail.links.clone() };
        for kind in KINDS {
            let about = About { kind, content: &Value::Null, token: Some("token"), expires_at: "2026-01-01 00:00 UTC" };
            letters.write(&about)?;
        }
        Ok(letters)
    }

    pub fn write(&self, about: &About) -> Result<Letter, String> {
        let text = self.render(about, "txt", "")?;
        let (subject, text) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = one_line(subject);
        let html = self.render(about, "html", &subject)?;
        Ok(Letter { text: text.trim_start_matches('\n').to_owned(), html, subject })
    }

    fn render(&self, about: &About, format: &str, subject: &str) -> Result<String, String> {
        let template = self.templates.get_template(&format!("{}.{format}", about.kind)).map_err(|e| problem(&e))?;
        template.render(self.filling(about, subject)).map_err(|error| problem(&error))
    }

    fn filling(&self, about: &About, subject: &str) -> Filling {
        let name = |key: &str| about.content[key].as_str().and_then(safe_name);
        // What a notification says is the organization's own word to its member, who asked for it.
        let said = |key: &str| about.content[key].as_str();
        context! {
            subject,
            full_name => name("full_name"),
            organization => name("organization"),
            invited_by => name("invited_by"),
            role => name("role"),
            title => said("title").map(one_line),
            body => said("body"),
            entity => said("entity"),
            record_id => said("record_id"),
            notification_id => said("notification_id"),
            first => about.content["first"] == true,
            link => self.link(about),
            expires_at => about.expires_at,
            app_url => self.links.app,
        }
    }

    fn link(&self, about: &About) -> Option<String> {
        let template = match about.kind {
            "password_reset" => &self.links.password_reset,
            "email_verification" => &self.links.email_verification,
            "invitation" => &self.links.invitation,
            _ => return None,
        };
        let token: String = url::form_urlencoded::byte_serialize(about.token?.as_bytes()).collect();
        Some(template.replace("{token}", &token))
    }
}

fn replacement(folder: &Path, name: &str) -> Result<Option<String>, String> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}

fn problem(error: &minijinja::Error) -> String {
    format!("the template {}", error)
}

/// A name that somebody chose for themselves, as it may stand in a message to somebody else: one line, not long, and nothing that
/// programs make a link of, or our mail would carry anybody's advertisement.
fn safe_name(name: &str) -> Option<String> {
    let name = one_line(name);
    let is_link = name.contains(['/', '@', '<', '>', '\\']) || name.to_lowercase().contains("www.");
    let looks_like_host = name.split(' ').any(|word| {
        word.split_once('.').is_some_and(|(_, rest)| rest.chars().take(2).filter(|c| c.is_alphanumeric()).count() == 2)
    });
    (!name.is_empty() && !is_link && !looks_like_host && name.chars().count() <= 100).then_some(name)
}

fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;

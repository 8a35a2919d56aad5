//! Permissions as an API key carries them: `resource.action`, where `*` stands for any. Pure.

/// Whether one of the scopes permits `resource.action`.
pub fn permit(scopes: &[String], permission: &str) -> bool {
    scopes.iter().any(|scope| covers(scope, permission))
}

/// Whether a scope permits all that another one does.
pub fn covers(scope: &str, other: &str) -> bool {
    let (Some((resource, action)), Some((other_resource, other_action))) =
        (scope.split_once('.'), other.split_once('.'))
    else {
        return false;
    };
    matches(resource, other_resource) && matches(action, other_action)
}

fn matches(pattern: &str, word: &str) -> bool {
    pattern == "*" || pattern == word
}

/// Whether this has the form of a scope.
pub fn is_scope(scope: &str) -> bool {
    let is_word = |word: &str| {
        word == "*"
            || (!word.is_empty()
                && word.len() <= 63
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
    };
    scope.split_once('.').is_some_and(|(resource, action)| is_word(resource) && is_word(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(scopes: &[&str], permission: &str) -> bool {
        permit(&scopes.iter().map(|&scope| scope.to_owned()).collect::<Vec<_>>(), permission)
    }

    #[test]
    fn a_scope_permits_what_it_says() {
        assert!(permits(&["contacts.read"], "contacts.read"));
        assert!(permits(&["accounts.read", "contacts.*"], "contacts.delete"));
        assert!(permits(&["*.read"], "contacts.read"));
        assert!(permits(&["*.*"], "contacts.read"));
    }

    #[test]
    fn a_scope_permits_nothing_else() {
        for (scopes, permission) in [
            (&["contacts.read"][..], "contacts.update"),
            (&["contacts.read"], "accounts.read"),
            (&["*.read"], "contacts.update"),
            (&["contacts.*"], "accounts.read"),
            (&["contacts"], "contacts.read"),
            (&["*"], "contacts.read"),
            (&["contacts.read"], "contacts"),
            (&["contacts.read"], "contacts.*"),
            (&[], "contacts.read"),
        ] {
            assert!(!permits(scopes, permission), "{scopes:?} {permission}");
        }
    }

    #[test]
    fn scopes_have_two_words() {
        for good in ["contacts.read", "*.*", "custom_fields.create", "a1.*"] {
            assert!(is_scope(good), "{good}");
        }
        for bad in ["", ".", "contacts", "contacts.", ".read", "contacts.read.all", "Contacts.read", "a b.read", "**.*"]
        {
            assert!(!is_scope(bad), "{bad}");
        }
    }
}

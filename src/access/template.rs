//! What the built-in roles may do with an enrolled table, in the words of `crm.enroll`. Pure.

use std::collections::BTreeMap;

use super::grants::Scope;

/// Owners and administrators may do everything, everywhere.
const ROLES: [&str; 4] = ["manager", "sales", "support", "read_only"];

const ACTIONS: [&str; 4] = ["create", "read", "update", "delete"];

#[derive(Debug, PartialEq)]
pub struct Template(BTreeMap<(String, String), Scope>);

impl Template {
    /// For what salespeople work with.
    pub fn usual() -> Self {
        let usual = [
            ("manager", &ACTIONS[..], Scope::Team),
            ("sales", &ACTIONS[..], Scope::Own),
            ("support", &["read"], Scope::All),
            ("support", &["create", "update"], Scope::Own),
            ("read_only", &["read"], Scope::All),
        ];
        let of_role = |(role, actions, scope): (&'static str, &'static [&'static str], Scope)| {
            actions.iter().map(move |action| ((role.to_owned(), (*action).to_owned()), scope))
        };
        Self(usual.into_iter().flat_map(of_role).collect())
    }

    /// Entries like `manager read,create team`; without a scope: all.
    pub fn parse(entries: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut grants = BTreeMap::new();
        for entry in entries {
            let words: Vec<_> = entry.split_whitespace().collect();
            let (role, actions, scope) = match words.as_slice() {
                [role, actions] => (role, actions, "all"),
                [role, actions, scope] => (role, actions, *scope),
                _ => return Err(format!("\"{entry}\" is not like \"manager read,create team\"")),
            };
            if !ROLES.contains(role) {
                return Err(format!("\"{entry}\": the role must be one of {}", ROLES.join(", ")));
            }
            let scope = Scope::parse(scope).ok_or(format!("\"{entry}\": the scope must be own, team or all"))?;
            for action in actions.split(',') {
                if !ACTIONS.contains(&action) {
                    return Err(format!("\"{entry}\": the actions are {}", ACTIONS.join(", ")));
                }
                if grants.insert(((*role).to_owned(), action.to_owned()), scope).is_some() {
                    return Err(format!("{role} {action} is there twice"));
                }
            }
        }
        Ok(Self(grants))
    }

    /// Role, action and scope.
    pub fn grants(&self) -> impl Iterator<Item = (&str, &str, Scope)> {
        self.0.iter().map(|((role, action), scope)| (role.as_str(), action.as_str(), *scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Template, String> {
        Template::parse(entries.iter().map(|&entry| entry.to_owned()))
    }

    #[test]
    fn an_entry_names_role_actions_and_scope() {
        let template = parse(&["manager read,create team", " sales  read "]).unwrap();
        let grants: Vec<_> = template.grants().collect();
        let expected =
            [("manager", "create", Scope::Team), ("manager", "read", Scope::Team), ("sales", "read", Scope::All)];
        assert_eq!(grants, expected);
        assert_eq!(parse(&[]).unwrap().grants().count(), 0);
    }

    #[test]
    fn what_is_no_entry_is_refused_with_the_reason() {
        for (entry, reason) in [
            ("", "is not like"),
            ("manager", "is not like"),
            ("manager read team now", "is not like"),
            ("owner read", "role must be"),
            ("boss read", "role must be"),
            ("sales write", "actions are"),
            ("sales read,", "actions are"),
            ("sales read mine", "scope must be"),
            ("sales read,read", "twice"),
        ] {
            let problem = parse(&[entry]).unwrap_err();
            assert!(problem.contains(reason), "{entry}: {problem}");
        }
        assert!(parse(&["sales read own", "sales read all"]).is_err());
    }

    #[test]
    fn usually_salespeople_have_their_own_and_managers_their_teams() {
        let usual = Template::usual();
        let scope = |wanted: (&str, &str)| {
            usual.grants().find(|(role, action, _)| (*role, *action) == wanted).map(|(.., scope)| scope)
        };
        assert_eq!(scope(("sales", "read")), Some(Scope::Own));
        assert_eq!(scope(("manager", "delete")), Some(Scope::Team));
        assert_eq!(scope(("support", "read")), Some(Scope::All));
        assert_eq!(scope(("support", "delete")), None);
        assert_eq!(scope(("read_only", "read")), Some(Scope::All));
        assert_eq!(scope(("read_only", "update")), None);
    }
}

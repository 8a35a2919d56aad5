//! What somebody was granted: permissions (`resource.action`, where `*` stands for any), each with a scope. Pure.

use serde::Serialize;

use super::scopes::covers;

/// Whose rows a permission reaches. A wider scope is the greater one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Own,
    Team,
    All,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Own, Self::Team, Self::All];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Team => "team",
            Self::All => "all",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grant {
    pub permission: String,
    pub scope: Scope,
    /// Where it comes from, in words.
    pub via: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants(pub Vec<Grant>);

impl Grants {
    /// How far `resource.action` reaches; `None` where it is not granted.
    pub fn scope(&self, permission: &str) -> Option<Scope> {
        self.behind(permission).map(|grant| grant.scope).max()
    }

    /// The grants that give this permission.
    pub fn behind<'a>(&'a self, permission: &'a str) -> impl Iterator<Item = &'a Grant> {
        self.0.iter().filter(move |grant| covers(&grant.permission, permission))
    }

    /// Whether somebody with these may give this one away. A wildcard needs one of their own: several that happen to amount
    /// to it today would not tomorrow.
    pub fn include(&self, permission: &str, scope: Scope) -> bool {
        self.behind(permission).any(|grant| grant.scope >= scope)
    }

    /// The first of the others' that is not among these.
    pub fn lack<'a>(&self, others: &'a Self) -> Option<&'a Grant> {
        others.0.iter().find(|grant| !self.include(&grant.permission, grant.scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(given: &[(&str, Scope)]) -> Grants {
        let grant =
            |&(permission, scope): &(&str, Scope)| Grant { permission: permission.into(), scope, via: String::new() };
        Grants(given.iter().map(grant).collect())
    }

    #[test]
    fn the_widest_scope_counts() {
        let mine = grants(&[("contacts.read", Scope::Own), ("contacts.*", Scope::Team), ("accounts.read", Scope::All)]);
        assert_eq!(mine.scope("contacts.read"), Some(Scope::Team));
        assert_eq!(mine.scope("contacts.delete"), Some(Scope::Team));
        assert_eq!(mine.scope("accounts.read"), Some(Scope::All));
        assert_eq!(mine.scope("accounts.update"), None);
        assert_eq!(Grants::default().scope("contacts.read"), None);
    }

    #[test]
    fn what_is_not_a_permission_is_not_granted() {
        let everything = grants(&[("*.*", Scope::All)]);
        assert_eq!(everything.scope("contacts.read"), Some(Scope::All));
        for bad in ["", "contacts", "read"] {
            assert_eq!(everything.scope(bad), None, "{bad}");
        }
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let mine = grants(&[("contacts.read", Scope::Team), ("contacts.update", Scope::All)]);
        assert!(mine.include("contacts.read", Scope::Own));
        assert!(mine.include("contacts.read", Scope::Team));
        assert!(mine.include("contacts.update", Scope::Team));
        assert!(!mine.include("contacts.read", Scope::All));
        assert!(!mine.include("contacts.*", Scope::Own));
        assert!(!mine.include("*.*", Scope::Own));
        assert!(grants(&[("*.*", Scope::All)]).include("contacts.*", Scope::All));
        let others = grants(&[("contacts.update", Scope::All), ("accounts.read", Scope::Own)]);
        assert_eq!(mine.lack(&others).map(|grant| grant.permission.as_str()), Some("accounts.read"));
        assert_eq!(grants(&[("*.*", Scope::All)]).lack(&others), None);
    }

    #[test]
    fn scopes_are_ordered_and_named() {
        assert!(Scope::Own < Scope::Team && Scope::Team < Scope::All);
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.name()), Some(scope));
        }
        assert_eq!(Scope::parse("organization"), None);
    }
}

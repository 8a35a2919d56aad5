//! The built-in roles of a membership and what they permit. Pure.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Admin,
    Manager,
    Sales,
    Support,
    ReadOnly,
}

impl Role {
    pub const ALL: [Self; 6] = [Self::Owner, Self::Admin, Self::Manager, Self::Sales, Self::Support, Self::ReadOnly];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Sales => "sales",
            Self::Support => "support",
            Self::ReadOnly => "read_only",
        }
    }

    /// Whether the role permits `resource.action`; what is not known is not permitted.
    pub fn permits(self, permission: &str) -> bool {
        let Some((resource, action)) = permission.split_once('.') else { return false };
        let administers = matches!(self, Self::Owner | Self::Admin);
        match action {
            "read" if KEPT_BY_ADMINISTRATORS.contains(&resource) => administers,
            "read" => true,
            "create" | "update" | "delete" if ADMINISTRATION.contains(&resource) => administers,
            "create" | "update" | "delete" => self != Self::ReadOnly,
            _ => false,
        }
    }

    /// Whether a scope, `*` in it standing for anything, is within what the role permits.
    pub fn may_delegate(self, scope: &str) -> bool {
        // What an owner or administrator may do is everything there is in the organization.
        matches!(self, Self::Owner | Self::Admin) || (!scope.contains('*') && self.permits(scope))
    }

    /// Whether somebody with this role may make somebody else that one: nobody gives more than they have.
    pub fn may_grant(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => other != Self::Owner,
            _ => false,
        }
    }
}

/// Only owners and administrators write here …
const ADMINISTRATION: [&str; 4] = ["organizations", "memberships", "invitations", "api_keys"];

/// … and read here.
const KEPT_BY_ADMINISTRATORS: [&str; 2] = ["invitations", "api_keys"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_reads_and_nothing_else() {
        assert!(Role::ReadOnly.permits("contacts.read"));
        for action in ["create", "update", "delete"] {
            assert!(!Role::ReadOnly.permits(&format!("contacts.{action}")));
            assert!(Role::Sales.permits(&format!("contacts.{action}")));
        }
    }

    #[test]
    fn an_unknown_permission_is_permitted_to_nobody() {
        for role in Role::ALL {
            for permission in ["", "contacts", "contacts.", "contacts.reads", ".", "contacts.read.all"] {
                assert!(!role.permits(permission), "{role:?} {permission:?}");
            }
        }
    }

    #[test]
    fn only_owners_and_administrators_administer() {
        for role in Role::ALL {
            let administers = matches!(role, Role::Owner | Role::Admin);
            for resource in ["organizations", "memberships", "invitations", "api_keys"] {
                assert_eq!(role.permits(&format!("{resource}.create")), administers, "{role:?} {resource}");
            }
            assert_eq!(role.permits("invitations.read"), administers, "{role:?}");
            assert!(role.permits("memberships.read"), "{role:?}");
            assert_eq!(role.may_delegate("*.*"), administers, "{role:?}");
        }
        assert!(Role::Sales.may_delegate("contacts.read"));
        assert!(!Role::ReadOnly.may_delegate("contacts.update"));
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        assert!(Role::Owner.may_grant(Role::Owner));
        assert!(Role::Admin.may_grant(Role::Admin));
        assert!(!Role::Admin.may_grant(Role::Owner));
        for role in [Role::Manager, Role::Sales, Role::Support, Role::ReadOnly] {
            assert!(Role::ALL.into_iter().all(|other| !role.may_grant(other)), "{role:?}");
        }
    }

    #[test]
    fn names_are_parsed_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}

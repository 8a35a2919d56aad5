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
        match permission.split_once('.') {
            Some((_, "read")) => true,
            Some((_, "create" | "update" | "delete")) => self != Self::ReadOnly,
            _ => false,
        }
    }
}

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
    fn names_are_parsed_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}

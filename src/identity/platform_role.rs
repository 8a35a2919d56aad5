//! What the platform's own people may do with their own login. Pure.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformRole {
    SuperAdmin,
    Support,
}

impl PlatformRole {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "super_admin" => Some(Self::SuperAdmin),
            "support" => Some(Self::Support),
            _ => None,
        }
    }

    /// Whether it permits `resource.action` of the platform. To act as a user is open to both.
    pub fn permits(self, permission: &str) -> bool {
        match self {
            Self::SuperAdmin => true,
            Self::Support => ["organizations.read", "users.read"].contains(&permission),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_looks_and_changes_nothing() {
        for permission in ["organizations.read", "users.read"] {
            assert!(PlatformRole::Support.permits(permission), "{permission}");
        }
        for permission in
            ["organizations.update", "users.delete", "tokens.create", "keys.update", "*.read", "", "contacts.read"]
        {
            assert!(!PlatformRole::Support.permits(permission), "{permission:?}");
            assert!(PlatformRole::SuperAdmin.permits(permission), "{permission:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_database() {
        for (name, role) in [("super_admin", PlatformRole::SuperAdmin), ("support", PlatformRole::Support)] {
            assert_eq!(PlatformRole::parse(name), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        assert_eq!(PlatformRole::parse("root"), None);
    }
}

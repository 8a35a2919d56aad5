//! The table of docs/permissions.md: how far each built-in role reaches.

use std::collections::BTreeMap;

use crate::document;

/// A wider scope is the greater one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    None,
    Own,
    Team,
    All,
}

/// Whose a row is, seen from who acts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    Own,
    Team,
    Other,
    Nobody,
}

impl Scope {
    fn parse(cell: &str) -> Self {
        match cell {
            "–" => Self::None,
            "own" => Self::Own,
            "team" => Self::Team,
            "all" => Self::All,
            _ => panic!("a cell of docs/permissions.md says {cell:?}"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Own => "own",
            Self::Team => "team",
            Self::All => "all",
        }
    }

    pub fn reaches(self, whose: Whose) -> bool {
        let least = match whose {
            Whose::Own => Self::Own,
            Whose::Team => Self::Team,
            Whose::Other | Whose::Nobody => Self::All,
        };
        self >= least
    }
}

impl Whose {
    pub const ANY: [Self; 4] = [Self::Own, Self::Team, Self::Other, Self::Nobody];
}

pub struct Matrix {
    pub roles: Vec<String>,
    /// By permission, for each of the roles.
    scopes: BTreeMap<String, Vec<Scope>>,
}

impl Matrix {
    pub fn documented() -> Self {
        let document = document::read("docs/permissions.md");
        let rows = document::section(&document, "## The built-in roles").lines().filter(|line| line.starts_with('|'));
        let mut rows = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
        let head = rows.next().unwrap_or_default();
        assert!(head.starts_with(&["resource", "action"]), "docs/permissions.md has no table of the roles");
        let mut scopes = BTreeMap::new();
        for row in rows.filter(|row| !row[0].starts_with("---")) {
            assert_eq!(row.len(), head.len(), "{row:?}");
            let cells = row[2..].iter().map(|cell| Scope::parse(cell)).collect();
            let twice = scopes.insert(format!("{}.{}", row[0], row[1]), cells);
            assert!(twice.is_none(), "{row:?} is there twice");
        }
        assert!(!scopes.is_empty(), "the table in docs/permissions.md is empty");
        Self { roles: head[2..].iter().map(|&role| role.to_owned()).collect(), scopes }
    }

    /// `resource.action`
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    #[track_caller]
    pub fn scope(&self, role: &str, permission: &str) -> Scope {
        let cells = self.scopes.get(permission).unwrap_or_else(|| panic!("{permission} is not in docs/permissions.md"));
        cells[self.roles.iter().position(|other| other == role).unwrap()]
    }
}

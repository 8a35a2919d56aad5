//! The enrolled tables, and how rows of each are made.

use crm_http_tests::actor::Organization;
use crm_http_tests::{admin, team, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// An enrolled table.
pub struct Table {
    pub name: &'static str,
    /// Makes a row in the organization $1, which is called $2, and if the table's rows have owners, is $3's.
    make: &'static str,
    pub change: &'static str,
    pub owned: bool,
}

pub const TABLES: [Table; 9] = [
    Table {
        name: "accounts",
        make: "insert into crm.accounts (org_id, name, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"industry": "changed"}"#,
        owned: true,
    },
    Table {
        name: "contacts",
        make: "insert into crm.contacts (org_id, last_name, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"title": "changed"}"#,
        owned: true,
    },
    Table {
        name: "tags",
        make: "insert into crm.tags (org_id, name) values ($1, $2) returning id",
        change: r#"{"description": "changed"}"#,
        owned: false,
    },
    Table {
        name: "custom_fields",
        make: "insert into crm.custom_fields (org_id, entity, key, label, type)
            values ($1, 'contacts', $2, 'Field', 'text') returning id",
        change: r#"{"label": "changed"}"#,
        owned: false,
    },
    Table {
        name: "roles",
        make: "insert into crm.roles (org_id, name) values ($1, $2) returning id",
        change: r#"{"title": "changed"}"#,
        owned: false,
    },
    Table {
        name: "role_permissions",
        make: "with role as (insert into crm.roles (org_id, name) values ($1, $2))
            insert into crm.role_permissions (org_id, role, permission, scope)
            values ($1, $2, 'contacts.read', 'own') returning id",
        change: r#"{"scope": "team"}"#,
        owned: false,
    },
    Table {
        name: "groups",
        make: "insert into crm.groups (org_id, name) values ($1, $2) returning id",
        change: r#"{"description": "changed"}"#,
        owned: false,
    },
    Table {
        name: "group_members",
        make: "with made as (insert into crm.groups (org_id, name) values ($1, $2) returning id)
            insert into crm.group_members (org_id, group_id, user_id)
            select $1, made.id, (select user_id from crm.memberships where org_id = $1 limit 1) from made
            returning id",
        change: r#"{"is_lead": true}"#,
        owned: false,
    },
    Table {
        name: "group_permissions",
        make: "with made as (insert into crm.groups (org_id, name) values ($1, $2) returning id)
            insert into crm.group_permissions (org_id, group_id, permission, scope)
            select $1, id, 'contacts.read', 'own' from made returning id",
        change: r#"{"scope": "team"}"#,
        owned: false,
    },
    Table {
        name: "group_roles",
        make: "with made as (insert into crm.groups (org_id, name) values ($1, $2) returning id),
                role as (insert into crm.roles (org_id, name) values ($1, $2))
            insert into crm.group_roles (org_id, group_id, role) select $1, id, $2 from made returning id",
        change: r#"{"role": "read_only"}"#,
        owned: false,
    },
];

impl Table {
    pub fn make(&self, organization: &Organization, owner: Option<Uuid>) -> Uuid {
        let name = team::role_name();
        if self.owned {
            admin::value(self.make, &[&organization.id, &name, &owner])
        } else {
            admin::value(self.make, &[&organization.id, &name])
        }
    }

    /// What a request would have to say to make such a row.
    pub fn body(&self, organization: &Organization) -> Value {
        let (id, name) = (organization.id, unique("new"));
        let row = |table: &str| {
            let made = self.sibling(table).make(organization, None);
            admin::value::<Value>(&format!("select to_jsonb(t) from crm.{table} as t where id = $1"), &[&made])
        };
        match self.name {
            "accounts" | "groups" | "tags" => json!({ "name": name }),
            "contacts" => json!({ "last_name": name }),
            "custom_fields" => {
                json!({ "entity": "contacts", "key": team::role_name(), "label": "Field", "type": "text" })
            }
            "roles" => json!({ "name": team::role_name() }),
            "role_permissions" => {
                json!({ "role": row("roles")["name"], "permission": "contacts.read", "scope": "own" })
            }
            "group_members" => {
                let owner: Uuid = admin::value("select user_id from crm.memberships where org_id = $1 limit 1", &[&id]);
                json!({ "group_id": row("groups")["id"], "user_id": owner })
            }
            "group_permissions" => {
                json!({ "group_id": row("groups")["id"], "permission": "contacts.read", "scope": "own" })
            }
            _ => json!({ "group_id": row("groups")["id"], "role": row("roles")["name"] }),
        }
    }

    fn sibling(&self, name: &str) -> &'static Self {
        TABLES.iter().find(|table| table.name == name).unwrap()
    }

    /// The row as it is stored.
    pub fn stored(&self, id: Uuid) -> Option<Value> {
        let query = format!("select (select to_jsonb(t) from crm.{} as t where id = $1)", self.name);
        admin::value(&query, &[&id])
    }

    pub fn rows(&self, organization: &Organization) -> i64 {
        admin::count(self.name, organization.id)
    }
}

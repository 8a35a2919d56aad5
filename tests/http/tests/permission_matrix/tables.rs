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

pub const TABLES: [Table; 27] = [
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
        name: "leads",
        make: "insert into crm.leads (org_id, last_name, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"title": "changed"}"#,
        owned: true,
    },
    Table {
        name: "deals",
        make: "insert into crm.deals (org_id, name, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"next_step": "changed"}"#,
        owned: true,
    },
    Table {
        name: "projects",
        make: "insert into crm.projects (org_id, name, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"status": "active"}"#,
        owned: true,
    },
    Table {
        name: "jobs",
        make: "insert into crm.jobs (org_id, title, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"city": "changed"}"#,
        owned: true,
    },
    Table {
        name: "tickets",
        make: "insert into crm.tickets (org_id, subject, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"category": "changed"}"#,
        owned: true,
    },
    Table {
        name: "activities",
        make: "insert into crm.activities (org_id, subject, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"outcome": "changed"}"#,
        owned: true,
    },
    Table {
        name: "tasks",
        make: "insert into crm.tasks (org_id, title, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"priority": "high"}"#,
        owned: true,
    },
    Table {
        name: "appointments",
        make: "insert into crm.appointments (org_id, title, starts_at, ends_at, owner_id) values ($1, $2, now(), now() + interval '1 hour', $3) returning id",
        change: r#"{"location": "changed"}"#,
        owned: true,
    },
    Table {
        name: "messages",
        make: "insert into crm.messages (org_id, subject, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"body": "changed"}"#,
        owned: true,
    },
    Table {
        name: "estimates",
        make: "insert into crm.estimates (org_id, title, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"notes": "changed"}"#,
        owned: true,
    },
    Table {
        name: "invoices",
        make: "insert into crm.invoices (org_id, title, owner_id) values ($1, $2, $3) returning id",
        change: r#"{"notes": "changed"}"#,
        owned: true,
    },
    Table {
        name: "attachments",
        make: "with made as (insert into crm.accounts (org_id, name) values ($1, $2) returning id)
            insert into crm.attachments (org_id, file_name, content_type, size_bytes, storage_key, account_id, owner_id)
            select $1, $2, 'image/png', 1, $2, id, $3 from made returning id",
        change: r#"{"file_name": "changed"}"#,
        owned: true,
    },
    Table {
        name: "saved_filters",
        make: "insert into crm.saved_filters (org_id, entity, name, visibility, owner_id)
            values ($1, 'contacts', $2, 'organization', $3) returning id",
        change: r#"{"is_pinned": true}"#,
        owned: true,
    },
    Table {
        name: "automations",
        make: "insert into crm.automations (org_id, name, trigger_event) values ($1, $2, 'lead.created') returning id",
        change: r#"{"description": "changed"}"#,
        owned: false,
    },
    Table {
        name: "integration_rules",
        make: "insert into crm.integration_rules (org_id, name, event_name, entity, mapping)
            values ($1, $2, $2 || '.made', 'contacts', '{\"last_name\": \"$.name\"}') returning id",
        change: r#"{"name": "changed"}"#,
        owned: false,
    },
    Table {
        name: "pipelines",
        make: "insert into crm.pipelines (org_id, name) values ($1, $2) returning id",
        change: r#"{"description": "changed"}"#,
        owned: false,
    },
    Table {
        name: "pipeline_stages",
        make: "insert into crm.pipeline_stages (org_id, pipeline_id, name)
            select org_id, id, $2 from crm.pipelines where org_id = $1 and is_default returning id",
        change: r#"{"description": "changed"}"#,
        owned: false,
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

/// Enrolled tables in which more than permissions decides, and the permissions they have: tests/sql/entities tries them, and
/// tests/http/tests/entities.
pub const APART: [(&str, &[&str]); 6] = [
    // The database's: nobody writes it.
    ("daily_metrics", &["read"]),
    // That of functions, but to delete: inbound.rs.
    ("integration_events", &["read", "create", "update", "delete"]),
    // Everybody has their own, whatever their scope.
    ("notifications", &["read", "create", "update", "delete"]),
    // There is one of each kind, which stays.
    ("number_series", &["read", "create", "update", "delete"]),
    // Of an invoice that one sees.
    ("payments", &["read", "create", "update", "delete"]),
    // Made by a function, which tells their secret.
    ("webhooks", &["read", "update", "delete"]),
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
            "accounts" | "deals" | "groups" | "pipelines" | "projects" | "tags" => json!({ "name": name }),
            "contacts" | "leads" => json!({ "last_name": name }),
            "jobs" | "tasks" | "estimates" | "invoices" => json!({ "title": name }),
            "tickets" | "activities" | "messages" => json!({ "subject": name }),
            "appointments" => {
                json!({ "title": name, "starts_at": "2030-01-02T10:00:00Z", "ends_at": "2030-01-02T11:00:00Z" })
            }
            "attachments" => {
                let account = row("accounts")["id"].clone();
                json!({ "file_name": name, "content_type": "image/png", "size_bytes": 1, "storage_key": name, "account_id": account })
            }
            "saved_filters" => json!({ "entity": "contacts", "name": name, "visibility": "organization" }),
            "automations" => json!({ "name": name, "trigger_event": "lead.created" }),
            "integration_rules" => {
                let event = format!("{}.new", team::role_name());
                json!({ "name": name, "event_name": event, "entity": "contacts", "mapping": { "last_name": "$.name" } })
            }
            "pipeline_stages" => json!({ "name": name, "pipeline_id": row("pipelines")["id"] }),
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

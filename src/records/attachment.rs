//! What `crm.enroll` puts on a table, as SQL: policies, grants and triggers. Pure but for quoting.

use pgrx::spi::{quote_identifier, quote_literal};

use super::enroll::{COMMANDS, Record};
use super::guard::{PART, UNOWNED};
use super::rules::{Kind, Rule};
use crate::audit::keep::{PART as PART_OF_RECORD, RECORD, audit_triggers};

pub struct Attachment<'a> {
    /// Quoted and with its schema.
    pub table: &'a str,
    pub name: &'a str,
    pub rules: &'a [String],
    /// Whether its rows have owners.
    pub owned: bool,
    /// Whose parts they are.
    pub record: Option<Record>,
    pub read_only: bool,
    /// Whether the table has the column.
    pub custom_fields: bool,
}

impl Attachment<'_> {
    pub fn statements(&self) -> String {
        self.rights() + &self.without_rights()
    }

    /// All but what the API's roles may do: of a table that was enrolled before, they may do less by now, or others something.
    pub fn without_rights(&self) -> String {
        let counts = self.record.is_none() && !self.read_only;
        [
            self.security(),
            self.policies(),
            self.checks(),
            self.stamps(),
            if self.custom_fields { self.custom_fields() } else { String::new() },
            self.history(),
            if counts { count_triggers(self.table, &quote_literal(self.name)) } else { String::new() },
        ]
        .concat()
    }

    /// Whose permissions are asked for.
    fn resource(&self) -> &str {
        self.record.as_ref().map_or(self.name, |record| &record.name)
    }

    /// The action that a command is to the resource: whatever is done to a part changes the record.
    fn action(&self, action: &'static str) -> &'static str {
        if self.record.is_some() && action != "read" { "update" } else { action }
    }

    fn rights(&self) -> String {
        let table = self.table;
        let rights = if self.read_only { "select" } else { "select, insert, update, delete" };
        format!(
            "revoke all on table {table} from public, crm_anon;
             grant {rights} on table {table} to crm_app, crm_multi;\n"
        )
    }

    fn security(&self) -> String {
        let table = self.table;
        format!(
            "alter table {table} enable row level security, force row level security;
             grant select on table {table} to crm_backup;\n"
        )
    }

    fn policies(&self) -> String {
        let table = self.table;
        let mut sql = String::new();
        for (command, action) in COMMANDS {
            let action = self.action(action);
            for who in ["app", "multi"] {
                let rows = |action| conditions(who, self.resource(), action, self.owned);
                let allowed = rows(action).within(action);
                // What may be seen is let through to be changed or deleted, and _400_scope refuses it where it is out of
                // reach: a row that a policy passes over is passed over in silence.
                let touched = match (self.owned, who) {
                    (false, _) => allowed.clone(),
                    (true, "app") => rows("read").within(action),
                    // Of several organizations, the action may be permitted in one and not in the other.
                    (true, _) => rows("read").within("read"),
                };
                let clause = match command {
                    "insert" => format!("with check ({allowed})"),
                    "update" => format!("using ({touched}) with check ({allowed})"),
                    _ => format!("using ({touched})"),
                };
                let policy = quote_identifier(format!("{}_{command}_{who}", self.name));
                sql += &format!("create policy {policy} on {table} for {command} to crm_{who} {clause};\n");
            }
        }
        sql
    }

    fn checks(&self) -> String {
        let (table, resource) = (self.table, quote_literal(self.resource()));
        let kind = match () {
            () if self.record.is_some() => format!(", {}", quote_literal(PART)),
            () if !self.owned => format!(", {}", quote_literal(UNOWNED)),
            () => String::new(),
        };
        let mut sql = format!(
            "create trigger _300_guard before insert or update or delete on {table}
             for each statement execute function crm_private.guard({resource}{kind});\n"
        );
        if self.owned {
            sql += &format!(
                "create trigger _400_scope before update or delete on {table}
                 for each row execute function crm_private.check_scope({resource}{kind});\n"
            );
        }
        sql
    }

    /// What changes no custom field costs nothing. A row that goes may be one that others point to.
    fn custom_fields(&self) -> String {
        let (table, entity) = (self.table, quote_literal(self.name));
        let record = self.record.as_ref().map_or(String::new(), |record| format!(", {}", quote_literal(&record.name)));
        let keep = |condition: &str| {
            format!("for each row when ({condition}) execute function crm_private.keep_custom_values({entity})")
        };
        format!(
            "create trigger _150_custom_fields before insert or update on {table}
             for each row execute function crm_private.check_custom_fields({entity}{record});
             create trigger _800_custom_values_insert after insert on {table} {};
             create trigger _800_custom_values_update after update on {table} {};
             create trigger _800_custom_values_delete after delete on {table} {};
             create trigger _800_custom_values_truncate after truncate on {table}
             for each statement execute function crm_private.keep_custom_values({entity});\n",
            keep("new.custom_fields <> '{}'"),
            keep("old.custom_fields <> new.custom_fields"),
            keep("true")
        )
    }

    fn history(&self) -> String {
        let kind = if self.record.is_some() || self.read_only { PART_OF_RECORD } else { RECORD };
        let secrets =
            self.rules.iter().filter_map(|rule| Rule::parse(rule).ok()).filter(|rule| rule.kind == Kind::Secret);
        let secrets: Vec<_> = secrets.map(|rule| rule.column).collect();
        audit_triggers(self.table, self.resource(), "id", kind, &secrets)
    }

    fn stamps(&self) -> String {
        let table = self.table;
        let mut sql = String::new();
        if !self.rules.is_empty() {
            let rules = self.rules.iter().map(quote_literal).collect::<Vec<_>>().join(", ");
            sql += &format!(
                "create trigger _100_normalize before insert or update on {table}
                 for each row execute function crm_private.normalize({rules});\n"
            );
        }
        let of = self.record.as_ref().map_or(String::new(), |record| {
            [&record.column, &record.qualified, &record.name].map(quote_literal).join(", ")
        });
        sql += &format!(
            "create trigger _500_stamp before insert or update on {table}
             for each row execute function crm_private.stamp({of});\n"
        );
        if let Some(record) = &self.record {
            sql += &format!(
                "create trigger {} after update on {}
                 for each row when (old.owner_id is distinct from new.owner_id)
                 execute function crm_private.pass_owner({}, {});\n",
                quote_identifier(format!("_600_owner_{}", self.name)),
                record.qualified,
                quote_literal(table),
                quote_literal(&record.column)
            );
        }
        sql
    }
}

/// Whose rows: the parts of a policy's condition.
struct Conditions<'a> {
    who: &'a str,
    resource: &'a str,
    scope: String,
}

/// The rows of a table that a permission reaches.
///
/// Every function stands in a sub-select, so that it runs once per statement, and the organization comes first, as a scalar:
/// that is what index scans and parallel plans need. Only those who look across several organizations pay for arrays.
fn conditions<'a>(who: &'a str, resource: &'a str, action: &str, owned: bool) -> Conditions<'a> {
    let permission = quote_literal(format!("{resource}.{action}"));
    let scope = match (who, owned) {
        ("app", true) => format!(
            "owner_id = any ((select crm.scope_user_ids({permission}))::uuid[])
             or org_id = (select crm.all_scope_org_id({permission}))"
        ),
        ("app", false) => format!("org_id = (select crm.all_scope_org_id({permission}))"),
        (_, true) => format!(
            "owner_id = (select crm.current_user_id())
             or org_id = any ((select crm.all_scope_org_ids({permission}))::uuid[])
             or org_id::text || '/' || owner_id::text = any ((select crm.team_scope_keys({permission}))::text[])"
        ),
        (_, false) => format!("org_id = any ((select crm.all_scope_org_ids({permission}))::uuid[])"),
    };
    Conditions { who, resource, scope }
}

impl Conditions<'_> {
    /// And only where this action is permitted at all.
    fn within(&self, action: &str) -> String {
        let permission = quote_literal(format!("{}.{action}", self.resource));
        let scope = &self.scope;
        match self.who {
            "app" => format!("org_id = (select crm.permitted_org_id({permission})) and ({scope})"),
            _ => format!("org_id = any ((select crm.permitted_org_ids({permission}))::uuid[]) and ({scope})"),
        }
    }
}

/// What counts the rows of a resource, both quoted. With transition tables each event needs a trigger of its own.
fn count_triggers(table: &str, resource: &str) -> String {
    let trigger = |event: &str, rows: &str| {
        format!(
            "create trigger _800_count_{event} after {event} on {table} {rows}
             for each statement execute function crm_private.count_usage({resource});\n"
        )
    };
    trigger("insert", "referencing new table as added")
        + &trigger("delete", "referencing old table as removed")
        + &trigger("truncate", "")
}

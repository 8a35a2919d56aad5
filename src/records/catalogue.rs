//! What is known of an enrolled table: its permissions, and what its columns are.

use pgrx::PgBuiltInOids;

use super::enroll::{COMMANDS, Table};
use crate::access::template::Template;
use crate::db;
use crate::error::Result;

/// What the API's documentation says of the columns that every table has.
const DESCRIPTIONS: [(&str, &str); 12] = [
    ("org_id", "The organization the row belongs to; by default the active one. It cannot be changed."),
    ("id", "UUID version 7, made by the database unless one is given. It cannot be changed."),
    (
        "owner_id",
        "The member of the organization who owns the row; by default whoever makes it. The scopes own and team go by it.",
    ),
    (
        "external_id",
        "The row's key in another system, unique within the organization: for upserts with on_conflict=org_id,external_id.",
    ),
    ("tags", "Names of tags: filter with tags=cs.{vip}."),
    (
        "custom_fields",
        "Values of the organization's own fields, by their keys: filter with custom_fields->>key=eq.value.",
    ),
    ("created_at", "When the row was made; kept by the database."),
    ("created_by", "The user who made it; kept by the database."),
    ("updated_at", "When it was changed last; kept by the database."),
    ("updated_by", "The user who changed it last; kept by the database."),
    ("version", "Grows by one with every change; kept by the database."),
    (
        "phone_normalized",
        "The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.",
    ),
];

impl Table {
    /// Makes the table's permissions known, and gives them to the built-in roles: as told, or as they were, or as usual.
    pub fn catalogue(&self, template: Option<Template>, read_only: bool) -> Result<()> {
        let title = self.name.replace('_', " ");
        let mut known = false;
        for (action, description) in [
            ("read", format!("See {title}.")),
            ("create", format!("Add {title}.")),
            ("update", format!("Change {title}.")),
            ("delete", format!("Delete {title}.")),
        ]
        .into_iter()
        .take(if read_only { 1 } else { COMMANDS.len() })
        {
            let made = db::execute(
                "insert into crm.permissions (resource, action, description) values ($1, $2, $3)
                 on conflict (resource, action) do nothing returning 1",
                &[self.name.as_str().into(), action.into(), description.into()],
            )?;
            known = known || made == 0;
        }
        let template = match template {
            None if known => return Ok(()),
            None => Template::usual(),
            Some(told) => told,
        };
        self.forget_built_in()?;
        for (role, action, scope) in template.grants().filter(|(_, action, _)| !read_only || *action == "read") {
            db::execute(
                "insert into crm.built_in_permissions (role, permission, scope) values ($1, $2, $3)",
                &[role.into(), format!("{}.{action}", self.name).into(), scope.name().into()],
            )?;
        }
        Ok(())
    }

    /// Says of the columns that every table has what they are, where nothing is said yet.
    pub fn describe(&self) -> Result<()> {
        let comments = db::select(
            "select string_agg(format('comment on column %s.%I is %L', $1::regclass, a.attname, known.text), '; ')
             from unnest($2, $3) as known (name, text)
             join pg_catalog.pg_attribute as a on a.attrelid = $1 and a.attname = known.name and not a.attisdropped
             where pg_catalog.col_description(a.attrelid, a.attnum) is null",
            &[PgBuiltInOids::OIDOID, PgBuiltInOids::TEXTARRAYOID, PgBuiltInOids::TEXTARRAYOID],
            &[
                self.oid.into(),
                DESCRIPTIONS.map(|(name, _)| name.to_owned()).to_vec().into(),
                DESCRIPTIONS.map(|(_, text)| text.to_owned()).to_vec().into(),
            ],
            |rows| rows.first().get_one::<String>(),
        )?;
        db::run(&comments.unwrap_or_default())
    }

    fn forget_built_in(&self) -> Result<()> {
        db::execute(
            "delete from crm.built_in_permissions where permission in ($1, $2, $3, $4)",
            &COMMANDS.map(|(_, action)| format!("{}.{action}", self.name).into()),
        )?;
        Ok(())
    }

    /// Its permissions are known no more. What organizations granted of them stays: the table may come back.
    pub fn forget(&self) -> Result<()> {
        self.forget_built_in()?;
        db::execute("delete from crm.permissions where resource = $1", &[self.name.as_str().into()])?;
        Ok(())
    }
}

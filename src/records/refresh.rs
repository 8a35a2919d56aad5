//! Gives every enrolled table what enrolment gives today, as after `crm.enroll`: the DBA's own tables, too. How a table was
//! enrolled is read from what is attached to it. Rights and permissions stay as they are, and what is counted is right already.

use std::collections::HashMap;

use pgrx::PgBuiltInOids;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;

use super::attachment::Attachment;
use super::enroll::{Record, Table};
use super::guard::{PART, UNOWNED};
use super::tags;
use crate::db;
use crate::error::{CrmError, Result};

/// All of them, in one order. It changes nothing but the catalog, so nothing that others attached to the tables runs in it: it
/// has the rights of whoever updates.
pub fn all() -> Result<()> {
    for table in enrolled()? {
        // SAFETY: takes a lock that the end of the transaction releases: from here on it is the same table that has the name.
        unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE) };
        Enrolment::of(Table::find(table)?)?.renew()?;
    }
    Ok(())
}

fn enrolled() -> Result<Vec<pg_sys::Oid>> {
    let found = db::select(
        "select pg_catalog.array_agg(c.oid order by n.nspname, c.relname)
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_proc as p on p.oid = t.tgfoid
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'guard' and not t.tgisinternal",
        &[],
        &[],
        |rows| rows.first().get_one::<Vec<pg_sys::Oid>>(),
    )?;
    Ok(found.unwrap_or_default())
}

/// How a table was enrolled.
struct Enrolment {
    table: Table,
    /// The table's when it was enrolled.
    name: String,
    /// The arguments of its triggers, by their functions.
    triggers: HashMap<String, Vec<String>>,
}

impl Enrolment {
    fn of(table: Table) -> Result<Self> {
        table.check_owner()?;
        let name = table.find_one(
            "select pg_catalog.left(polname::text, -pg_catalog.length('_select_app'))
             from pg_catalog.pg_policy
             where polrelid = $1 and polname ~ '_select_app$' and polroles = array[to_regrole('crm_app')]::oid[]",
        )?;
        let triggers = triggers(table.oid)?;
        let name = name.unwrap_or_else(|| table.name.clone());
        Ok(Self { table, name, triggers })
    }

    fn arguments(&self, function: &str) -> &[String] {
        self.triggers.get(function).map_or(&[], Vec::as_slice)
    }

    fn has(&self, function: &str) -> bool {
        self.triggers.contains_key(function)
    }

    fn renew(&self) -> Result<()> {
        let table = &self.table;
        let record = self.record()?;
        table.detach()?;
        if let Some(record) = &record {
            // Under another name of the table, it is not known for this table's.
            let passing = quote_identifier(format!("_600_owner_{}", self.name));
            db::run(&format!("drop trigger if exists {passing} on {}", record.qualified))?;
        }
        let attachment = Attachment {
            table: &table.qualified,
            name: &self.name,
            rules: self.arguments("normalize"),
            owned: self.arguments("guard").get(1).is_none_or(|kind| kind != UNOWNED),
            read_only: if record.is_some() { table.is_read_only()? } else { !self.has("count_usage") },
            record,
            custom_fields: self.has("check_custom_fields"),
        };
        db::run(&attachment.without_rights())?;
        if self.has("tag_record") {
            db::run(&tags::attachment(&table.qualified))?;
        }
        table.seal()
    }

    /// Whose parts these are, under the name that the permissions have.
    fn record(&self) -> Result<Option<Record>> {
        let guard = self.arguments("guard");
        if guard.get(1).is_none_or(|kind| kind != PART) {
            return Ok(None);
        }
        let column = self.arguments("stamp").first().map(String::as_str).unwrap_or_default();
        let record = self.table.record(column).map_err(|_| CrmError::Refused {
            message: format!("{} has no foreign key any more to the record whose parts it holds", self.table.qualified),
            hint: "Call crm.enroll for it, or crm.unenroll.".into(),
        })?;
        Ok(Some(Record { name: guard[0].clone(), ..record }))
    }
}

impl Table {
    fn is_read_only(&self) -> Result<bool> {
        let found = self.find_one(
            "select 'yes'
             from pg_catalog.pg_class
             where oid = $1 and not pg_catalog.has_any_column_privilege('crm_app', oid, 'insert, update')
                 and not pg_catalog.has_table_privilege('crm_app', oid, 'insert, update, delete')",
        )?;
        Ok(found.is_some())
    }

    fn check_owner(&self) -> Result<()> {
        let owner = self.find_one(
            "select relowner::regrole::text
             from pg_catalog.pg_class
             where oid = $1 and not pg_catalog.pg_has_role(relowner, 'usage')",
        )?;
        match owner {
            None => Ok(()),
            Some(owner) => Err(CrmError::Refused {
                message: format!("{} belongs to {owner}, whose rights you do not have", self.qualified),
                hint: "Let somebody who has them do it, or a superuser.".into(),
            }),
        }
    }
}

/// What is attached to the table, by the names of the functions.
fn triggers(table: pg_sys::Oid) -> Result<HashMap<String, Vec<String>>> {
    db::select(
        "select p.proname::text, t.tgargs
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_proc as p on p.oid = t.tgfoid
         where t.tgrelid = $1 and not t.tgisinternal and p.pronamespace = to_regnamespace('crm_private')",
        &[PgBuiltInOids::OIDOID],
        &[table.into()],
        |rows| {
            let mut triggers = HashMap::new();
            for row in rows {
                if let (Some(function), Some(arguments)) = (row.get::<String>(1)?, row.get::<Vec<u8>>(2)?) {
                    triggers.insert(function, texts(&arguments));
                }
            }
            Ok(triggers)
        },
    )
}

/// Each of a trigger's arguments ends with a zero.
fn texts(arguments: &[u8]) -> Vec<String> {
    let mut texts: Vec<_> =
        arguments.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    texts.pop();
    texts
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn arguments_of_a_trigger_are_its_texts() {
        assert_eq!(texts(b""), Vec::<String>::new());
        assert_eq!(texts(b"a b\0\0\xC3\xA4'\0"), ["a b", "", "ä'"]);
    }
}

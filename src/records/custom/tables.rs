//! The tables whose rows have custom fields, and changing their values behind their rows' backs.

use std::cell::Cell;

use pgrx::PgBuiltInOids;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;

thread_local! {
    static REWRITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is written now are values that a change of definitions makes: they are right, and noted already.
pub fn is_rewriting() -> bool {
    REWRITING.get()
}

pub struct Table {
    /// Quoted and with its schema.
    pub name: String,
    pub owner: pg_sys::Oid,
}

/// The tables that were enrolled as this entity and have custom fields: mostly one.
pub fn of_entity(entity: &str) -> Result<Vec<Table>> {
    db::select(
        "select format('%I.%I', n.nspname, c.relname), c.relowner
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_proc as p on p.oid = t.tgfoid
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'check_custom_fields' and t.tgparentid = 0
             and split_part(encode(t.tgargs, 'escape'), '\\000', 1) = $1
         order by n.nspname, c.relname",
        &[PgBuiltInOids::TEXTOID],
        &[entity.into()],
        |rows| {
            let mut tables = vec![];
            for row in rows {
                if let (Some(name), Some(owner)) = (row.get(1)?, row.get(2)?) {
                    tables.push(Table { name, owner });
                }
            }
            Ok(tables)
        },
    )
}

impl Table {
    /// Changes custom fields as the table's owner, past policies.
    pub fn rewrite(&self, sets_where: &str, arguments: &[DatumWithOid]) -> Result<usize> {
        struct Before(bool);
        impl Drop for Before {
            fn drop(&mut self) {
                REWRITING.set(self.0);
            }
        }
        let _before = Before(REWRITING.replace(true));
        let statement = format!("update {} set custom_fields = {sets_where}", self.name);
        db::as_owner(self.owner, || db::execute(&statement, arguments))
    }

    /// How many rows of the organization `$1` there are with this condition.
    pub fn count(&self, condition: &str, arguments: &[DatumWithOid]) -> Result<i64> {
        let query = format!("select count(*) from {} where org_id = $1 and {condition}", self.name);
        db::as_owner(self.owner, || {
            db::write(&query, arguments, |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)))
        })
    }

    /// The values of a field, as text, with the rows they are of.
    pub fn values(&self, organization: Uuid, key: &str) -> Result<(Vec<String>, Vec<pgrx::Uuid>)> {
        let query = format!(
            "select coalesce(array_agg(custom_fields ->> $2), '{{}}'), coalesce(array_agg(id), '{{}}')
             from {} where org_id = $1 and custom_fields ? $2",
            self.name
        );
        db::as_owner(self.owner, || {
            db::write(&query, &[to_pg(organization).into(), key.into()], |rows| {
                let (values, ids) = rows.first().get_two::<Vec<String>, Vec<pgrx::Uuid>>()?;
                Ok((values.unwrap_or_default(), ids.unwrap_or_default()))
            })
        })
    }

    /// Whether the row is there, and stays as long as this transaction runs: as a foreign key looks at it.
    pub fn hold(&self, organization: Uuid, id: Uuid) -> Result<bool> {
        let query = format!("select from {} where org_id = $1 and id = $2 for key share", self.name);
        let arguments = [to_pg(organization).into(), to_pg(id).into()];
        db::as_owner(self.owner, || Ok(db::execute(&query, &arguments)? > 0))
    }

    /// Whether whoever is asking sees the row.
    pub fn shows(&self, organization: Uuid, id: Uuid) -> Result<bool> {
        let query = format!("select 1 from {} where org_id = $1 and id = $2", self.name);
        db::select_once(&query, &[to_pg(organization).into(), to_pg(id).into()], |rows| Ok(!rows.is_empty()))
    }
}

/// Values are changed in rows that this transaction sees: it has to see all there are.
pub fn needs_all_rows() -> Result<()> {
    // SAFETY: reads the isolation level.
    if unsafe { pg_sys::XactIsoLevel } < pg_sys::XACT_REPEATABLE_READ as i32 {
        return Ok(());
    }
    Err(CrmError::Refused {
        message: "the records cannot be changed by the state of a while ago".into(),
        hint: "Use the isolation level READ COMMITTED.".into(),
    })
}

/// Whether all that the organization has is going: then values go with their rows.
pub fn is_going(organization: Uuid) -> Result<bool> {
    db::as_definer(|| {
        db::select(
            "select not exists (select from crm.organizations where id = $1 and status <> 'cancelled')",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into()],
            |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
        )
    })
}

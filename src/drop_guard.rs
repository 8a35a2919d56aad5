//! DROP EXTENSION … CASCADE takes the two schemas and with them every table: it is refused while there is data. An event trigger
//! does it, because the library is in no session that has not called one of its functions.

use std::ffi::CStr;

use pgrx::PgList;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::error::{CrmError, Result};
use crate::schema;

const EXTENSION: &CStr = c"crm_ext";

#[pg_extern(sql = false)]
fn guard_drop(call: pg_sys::FunctionCallInfo) -> Result<(), ErrorReport> {
    // SAFETY: the server hands in a valid call; what an event trigger is called with is looked at below.
    let statement = unsafe { statement(call) }.ok_or_else(|| CrmError::internal("guard_drop is an event trigger"))?;
    let owner = owner()?;
    // SAFETY: the statement that is about to run.
    if unsafe { takes_the_extension(statement, owner) } && db::as_definer(has_data)? {
        return Err(CrmError::Refused {
            message: "CASCADE would delete the data of the CRM".into(),
            hint: "Nothing was dropped. To be rid of the CRM and of all that its organizations and users have, first: truncate crm.organizations, crm.users cascade; (which empties your own tables that point to them, too)".into(),
        }
        .into());
    }
    Ok(())
}

/// What the event trigger was called for; `None` where this is no event trigger's call.
///
/// # Safety
///
/// A valid call.
unsafe fn statement(call: pg_sys::FunctionCallInfo) -> Option<*mut pg_sys::Node> {
    // SAFETY: as above; the type of the context says what it is.
    unsafe {
        let context = (*call).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_EventTriggerData {
            return None;
        }
        Some((*context.cast::<pg_sys::EventTriggerData>()).parsetree)
    }
}

/// # Safety
///
/// A statement of the parser's.
unsafe fn takes_the_extension(statement: *mut pg_sys::Node, owner: pg_sys::Oid) -> bool {
    // SAFETY: the type of the node says what it is; an extension's name is a string, a role a RoleSpec.
    unsafe {
        match (*statement).type_ {
            pg_sys::NodeTag::T_DropStmt => {
                let drop = &*statement.cast::<pg_sys::DropStmt>();
                drop.behavior == pg_sys::DropBehavior::DROP_CASCADE
                    && drop.removeType == pg_sys::ObjectType::OBJECT_EXTENSION
                    && PgList::<pg_sys::String>::from_pg(drop.objects)
                        .iter_ptr()
                        .any(|name| CStr::from_ptr((*name).sval) == EXTENSION)
            }
            pg_sys::NodeTag::T_DropOwnedStmt => {
                let drop = &*statement.cast::<pg_sys::DropOwnedStmt>();
                drop.behavior == pg_sys::DropBehavior::DROP_CASCADE
                    && PgList::<pg_sys::RoleSpec>::from_pg(drop.roles)
                        .iter_ptr()
                        .any(|role| pg_sys::get_rolespec_oid(role, true) == owner)
            }
            _ => false,
        }
    }
}

/// Who installed the extension.
fn owner() -> Result<pg_sys::Oid> {
    db::select("select extowner from pg_extension where extname = 'crm_ext'", &[], &[], |rows| {
        rows.first().get_one::<pg_sys::Oid>()?.ok_or_else(|| CrmError::internal("crm_ext is not installed"))
    })
}

fn has_data() -> Result<bool> {
    if !schema::tables_exist()? {
        return Ok(false);
    }
    db::select("select exists (select from crm.organizations) or exists (select from crm.users)", &[], &[], |rows| {
        Ok(rows.first().get_one::<bool>()?.unwrap_or(true))
    })
}

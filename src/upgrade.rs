//! From an earlier version to this one. The functions of this version replace those of before, from the same texts that install
//! them; then the tables take the steps that lead here. A database that was updated equals one that was made anew.
//!
//! What the steps meet may be anybody's: the tables' owner can have attached triggers to them, and the script of an update runs
//! as a superuser. So what meets it runs as one of the CRM's own roles, and what it sets, a search path for instance, ends with it.

mod code;
mod tables;
pub mod versions;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::deployment;
use crate::error::CrmError;

/// The whole of an update's script.
#[pg_extern(sql = false)]
fn upgrade() -> Result<(), ErrorReport> {
    if !in_script() {
        return Err(CrmError::Refused {
            message: "only an update of the extension brings its functions up to date".into(),
            hint: "Run: alter extension crm_ext update; (the tables alone: select crm_private.upgrade_tables();)"
                .into(),
        }
        .into());
    }
    let rights = code::Rights::given_by_others()?;
    code::replace()?;
    rights.give_again()?;
    tables::upgrade()?;
    // Tables of before there were copies to tell apart: where the extension itself was of that version, they are no copy's.
    db::as_definer(deployment::bind_if_never)?;
    code::drop_what_is_gone()?;
    Ok(())
}

#[pg_extern(sql = false)]
fn upgrade_tables() -> Result<(), ErrorReport> {
    tables::upgrade()?;
    Ok(())
}

/// Whether a script of this extension runs: no call of anybody's.
fn in_script() -> bool {
    // SAFETY: reads the backend's state, and looks the extension up.
    unsafe {
        let own = pg_sys::get_extension_oid(c"crm_ext".as_ptr(), true);
        pg_sys::creating_extension && pg_sys::CurrentExtensionObject == own
    }
}

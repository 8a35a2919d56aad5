//! `crm.check_enrollment`: tables of the CRM that are not, or no longer, what `crm.enroll` makes of them.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::doctor;

#[pg_extern(sql = false)]
fn check_enrollment() -> Result<TableIterator<'static, (name!(relation, String), name!(problem, String))>, ErrorReport>
{
    let findings = doctor::enrollment()?;
    Ok(TableIterator::new(findings.into_iter().map(|finding| (finding.object, finding.problem))))
}

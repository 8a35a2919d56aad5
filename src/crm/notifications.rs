//! Notifications as e-mail, for those who want that.
//!
//! The message names the notification and holds nothing of it: where it goes and what it says is looked up when it is handed
//! out. So nothing outlives what was erased, and who has read the notification, left or changed their mind gets none.

use std::collections::HashMap;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use crate::db::{self, restoring::is_restoring};
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::identity::profile;
use crate::records::row;
use crate::schema::is_restore;

/// How many go to a person in an hour, from each organization.
macro_rules! hourly {
    () => {
        "20"
    };
}

/// Who can be told what `n` is about, a row with `org_id`, `user_id` and `read_at`.
macro_rules! wanted {
    () => {
        " join crm_private.notification_emails as e on e.org_id = n.org_id and e.user_id = n.user_id
         join crm.memberships as m on m.org_id = n.org_id and m.user_id = n.user_id and m.status = 'active'
         join crm.users as u on u.id = n.user_id and u.status = 'active' and u.email_verified_at is not null
         join crm.organizations as o on o.id = n.org_id and o.status = 'active'
         where n.read_at is null"
    };
}

#[pg_trigger(sql = false)]
fn mail_notifications<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    // A dump brings its messages, and what history brings back is no news.
    if is_restore() || is_restoring(trigger) {
        return Ok(None);
    }
    row::answer(db::write_on_rows_of(trigger, MAIL).map(|()| None))
}

const MAIL: &str = concat!(
    "insert into crm_private.messages (kind, org_id, user_id, notification_id, expires_at)
     select 'notification', a.org_id, a.user_id, a.id, now() + interval '1 day'
     from (
         select n.org_id, n.user_id, n.id, row_number() over (partition by n.org_id, n.user_id order by n.id) as place
         from added as n",
    wanted!(),
    "
     ) as a
     where a.place <= ",
    hourly!(),
    " and a.place <= ",
    hourly!(),
    " - (
         select count(*) from crm_private.messages as b
         where b.org_id = a.org_id and b.user_id = a.user_id and b.created_at > now() - interval '1 hour'
     )"
);

/// What a message that was claimed says, and to whom.
pub struct Letter {
    pub recipient: String,
    pub content: JsonB,
}

/// Of these messages, those that are still to go out.
pub fn letters(messages: &[Uuid]) -> Result<HashMap<Uuid, Letter>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let messages: Vec<_> = messages.iter().copied().map(to_pg).collect();
    // Whoever delivers is nobody whom the policies would show a notification.
    db::as_owner_of(c"crm", c"notifications", || {
        db::select(LETTERS, &[PgBuiltInOids::UUIDARRAYOID], &[messages.into()], |rows| {
            let mut letters = HashMap::new();
            for row in rows {
                if let (Some(id), Some(recipient), Some(content)) =
                    (row.get::<pgrx::Uuid>(1)?, row.get(2)?, row.get(3)?)
                {
                    letters.insert(from_pg(id), Letter { recipient, content });
                }
            }
            Ok(letters)
        })
    })
}

/// Statements that ran at the same time did not count each other's messages: here those before each are counted again.
const LETTERS: &str = concat!(
    "select w.id, u.email, jsonb_build_object(
         'organization', o.name, 'full_name', u.full_name, 'title', n.title, 'body', n.body, 'entity', n.entity,
         'record_id', n.record_id, 'notification_id', n.id
     )
     from crm_private.messages as w
     join crm.notifications as n on n.org_id = w.org_id and n.id = w.notification_id and n.user_id = w.user_id",
    wanted!(),
    "    and w.id = any ($1) and (
             select count(*) from crm_private.messages as b
             where b.org_id = w.org_id and b.user_id = w.user_id and b.created_at > w.created_at - interval '1 hour' and b.id < w.id
         ) < ",
    hourly!()
);

#[pg_extern(sql = false)]
fn set_notification_email(enabled: Option<bool>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_notification_email")?;
    let principal = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let user = profile::own(&principal)?;
    let enabled = given("enabled", enabled)?;
    let organization =
        principal.org_id().ok_or_else(|| CrmError::invalid("organization", "none is active: name it with X-Org-ID"))?;
    if enabled {
        db::execute(
            "insert into crm_private.notification_emails (org_id, user_id) values ($1, $2)
             on conflict (org_id, user_id) do nothing",
            &[to_pg(organization).into(), to_pg(user).into()],
        )?;
    } else {
        db::execute(
            "delete from crm_private.notification_emails where org_id = $1 and user_id = $2",
            &[to_pg(organization).into(), to_pg(user).into()],
        )?;
    }
    Ok(JsonB(json!({ "notification_email": enabled })))
}

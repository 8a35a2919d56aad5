//! Messages to people, and the single-use tokens they carry. The token is in the message only; here is its hash.

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::principal::{from_pg, to_pg};
use super::secret;
use super::session::new_secret;
use crate::crm::notifications;
use crate::db;
use crate::deployment;
use crate::error::Result;

/// The kind that stands for a notification, which says the rest.
const NOTIFICATION: &str = "notification";

#[derive(Clone, Copy)]
pub enum Purpose {
    PasswordReset,
    EmailVerification,
    Invitation,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::EmailVerification => "email_verification",
            Self::Invitation => "invitation",
        }
    }
}

/// What a token stands for.
pub struct Token {
    pub user: Option<Uuid>,
    pub email: Option<String>,
    pub invitation: Option<(Uuid, Uuid)>,
}

/// Sends a message with a new token. Without a user (and no invitation) the address is nobody's: the same is written, but
/// nothing goes out, and the token is no use.
pub fn send(purpose: Purpose, email: &str, about: &Token, life: i64, content: Value) -> Result<()> {
    let token = new_secret()?;
    let (organization, invitation) = about.invitation.unzip();
    let to_nobody = about.user.is_none() && invitation.is_none();
    db::execute(
        "insert into crm_private.one_time_tokens (hash, purpose, user_id, email, org_id, invitation_id, expires_at)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))",
        &[
            secret::hash(&token).into(),
            purpose.name().into(),
            about.user.map(to_pg).into(),
            email.into(),
            organization.map(to_pg).into(),
            invitation.map(to_pg).into(),
            (life as f64).into(),
        ],
    )?;
    db::execute(
        "insert into crm_private.messages (kind, recipient, content, secret, expires_at, finished_at, org_id)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), case when $4 is null then clock_timestamp() end, $6)",
        &[
            purpose.name().into(),
            email.into(),
            JsonB(content).into(),
            (!to_nobody).then_some(token).into(),
            (life as f64).into(),
            organization.map(to_pg).into(),
        ],
    )?;
    Ok(())
}

/// Says something that needs no answer.
pub fn tell(kind: &str, email: &str, content: Value) -> Result<()> {
    db::execute(
        "insert into crm_private.messages (kind, recipient, content, expires_at) values ($1, $2, $3, now() + interval '7 days')",
        &[kind.into(), email.into(), JsonB(content).into()],
    )?;
    Ok(())
}

/// Where a token that is still good was sent to.
pub fn recipient(purpose: Purpose, token: &str) -> Result<Option<String>> {
    db::write(
        "select email from crm_private.one_time_tokens
         where hash = $1 and purpose = $2 and used_at is null and expires_at > clock_timestamp() and user_id is not null",
        &[secret::hash(token.trim()).into(), purpose.name().into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
    )
}

/// Uses a token up; `None` when it is not known, was used, or is too old. The second of two at once waits, and gets none.
pub fn redeem(purpose: Purpose, token: &str) -> Result<Option<Token>> {
    db::write(
        "update crm_private.one_time_tokens
         set used_at = clock_timestamp()
         where hash = $1 and purpose = $2 and used_at is null and expires_at > clock_timestamp()
             and (user_id is not null or invitation_id is not null)
         returning user_id, email, org_id, invitation_id",
        &[secret::hash(token.trim()).into(), purpose.name().into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            let organization = row.get::<pgrx::Uuid>(3)?.map(from_pg);
            let invitation = row.get::<pgrx::Uuid>(4)?.map(from_pg);
            Ok(Some(Token {
                user: row.get::<pgrx::Uuid>(1)?.map(from_pg),
                email: row.get(2)?,
                invitation: organization.zip(invitation),
            }))
        },
    )
}

/// Ends the tokens of a user that were sent and not used.
pub fn withdraw(purpose: Purpose, user: Uuid) -> Result<()> {
    db::execute(
        "update crm_private.one_time_tokens set used_at = clock_timestamp()
         where user_id = $1 and purpose = $2 and used_at is null",
        &[to_pg(user).into(), purpose.name().into()],
    )?;
    Ok(())
}

type Message = (pgrx::Uuid, String, Option<String>, JsonB, Option<String>, TimestampWithTimeZone, i32);

/// At once.
const AT_MOST: i32 = 100;

/// A notification that nobody waits for any more takes no other message's place: so many times others are looked for instead.
const PASSES: usize = 100;

#[pg_extern(sql = false)]
fn claim_messages(
    count: Option<i32>,
    lease: Option<pgrx::datum::Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(kind, String),
            name!(recipient, Option<String>),
            name!(content, JsonB),
            name!(token, Option<String>),
            name!(expires_at, TimestampWithTimeZone),
            name!(attempt, i32),
        ),
    >,
    ErrorReport,
> {
    if !deployment::may_deliver()? {
        return Ok(TableIterator::empty());
    }
    let wanted = count.unwrap_or(10).clamp(0, AT_MOST) as usize;
    let mut handed_out = vec![];
    for _ in 0..PASSES {
        let missing = wanted - handed_out.len();
        let claimed = claim(missing, lease)?;
        let are_all = claimed.len() < missing;
        handed_out.extend(still_wanted(claimed)?);
        if are_all || handed_out.len() == wanted {
            break;
        }
    }
    Ok(TableIterator::new(handed_out))
}

fn claim(count: usize, lease: Option<pgrx::datum::Interval>) -> Result<Vec<Message>> {
    db::write(
        "with waiting as materialized (
             select w.id from crm_private.messages as w
             where w.finished_at is null and w.expires_at > clock_timestamp()
                 and (w.claimed_until is null or w.claimed_until < clock_timestamp())
             order by w.id
             limit $1
             for update skip locked
         )
         update crm_private.messages as m
         set claimed_until = clock_timestamp() + least(greatest(coalesce($2, '1 minute'), interval '1 second'), interval '1 hour'),
             attempts = m.attempts + 1
         from waiting where m.id = waiting.id
         returning m.id, m.kind, m.recipient, m.content, m.secret, m.expires_at, m.attempts",
        &[(count as i64).into(), lease.into()],
        |rows| {
            let mut claimed = vec![];
            for row in rows {
                if let (Some(id), Some(kind), Some(content), Some(expires), Some(attempt)) =
                    (row.get(1)?, row.get(2)?, row.get(4)?, row.get(6)?, row.get(7)?)
                {
                    claimed.push((id, kind, row.get(3)?, content, row.get(5)?, expires, attempt));
                }
            }
            Ok(claimed)
        },
    )
}

/// All but notifications that are not to go out any more, which end here. The others are given what they say.
fn still_wanted(claimed: Vec<Message>) -> Result<Vec<Message>> {
    let (of_notifications, mut handed_out): (Vec<_>, Vec<_>) =
        claimed.into_iter().partition(|(_, kind, ..)| kind == NOTIFICATION);
    let ids: Vec<_> = of_notifications.iter().map(|(id, ..)| from_pg(*id)).collect();
    let mut letters = notifications::letters(&ids)?;
    let mut ended = vec![];
    for (id, kind, _, _, _, expires, attempt) in of_notifications {
        match letters.remove(&from_pg(id)) {
            Some(letter) => {
                handed_out.push((id, kind, Some(letter.recipient), letter.content, None, expires, attempt));
            }
            None => ended.push(id),
        }
    }
    if !ended.is_empty() {
        db::execute(
            "update crm_private.messages set finished_at = clock_timestamp() where id = any ($1)",
            &[ended.into()],
        )?;
    }
    Ok(handed_out)
}

#[pg_extern(sql = false)]
fn complete_message(id: pgrx::Uuid) -> Result<bool, ErrorReport> {
    let done = db::execute(
        "update crm_private.messages set finished_at = clock_timestamp(), secret = null
         where id = $1 and finished_at is null returning 1",
        &[id.into()],
    )?;
    Ok(done > 0)
}

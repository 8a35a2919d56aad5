//! Inviting people into an organization.

use std::rc::Rc;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::failures::{self, Counter, Locked};
use super::messages::{self, Purpose, Token};
use super::principal::{Person, Principal, from_pg, to_pg};
use super::recovery;
use super::session::Kind;
use super::settings::Settings;
use crate::access::grants::Scope;
use crate::access::permissions::{self, Holder, Permissions};
use crate::access::policy;
use crate::access::roles::check_grantable;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

/// The caller's active organization, what they may do there, and who they are, if this is permitted.
fn administered(permission: &str) -> Result<(Uuid, Rc<Permissions>, Uuid)> {
    let Person { user, .. } = Principal::person()?;
    let (holder, permissions) = policy::require_to_write(permission)?;
    Ok((holder.organization(), permissions, user))
}

#[pg_extern(sql = false)]
fn invite_user(email: Option<&str>, role: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("invite_user")?;
    let (organization, mine, user) = administered("invitations.create")?;
    let email = text::email(given("email", email)?).map_err(|problem| CrmError::invalid("email", problem))?;
    let role = given("role", role)?;
    check_grantable(&mine, organization, role, None)?;
    if is_member(organization, &email)? {
        return Err(CrmError::Conflict {
            message: "somebody with this e-mail is a member already".into(),
            hint: "See /memberships and /users.".into(),
        }
        .into());
    }
    if let Err(Locked(seconds)) = failures::admit(Counter::Invitation, &email)? {
        return Ok(answer::refuse_until(seconds, "too many messages to this e-mail: try again later"));
    }
    Ok(invite(organization, user, &email, role)?)
}

fn is_member(organization: Uuid, email: &str) -> Result<bool> {
    db::select(
        "select exists (
             select from crm.memberships as m
             join crm.users as u on u.id = m.user_id
             where m.org_id = $1 and u.email = $2 and m.status = 'active'
         )",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), email.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

fn invite(organization: Uuid, by: Uuid, email: &str, role: &str) -> Result<JsonB> {
    let life = Settings::current()?.invitation_ttl;
    db::execute(
        "update crm_private.invitations set revoked_at = clock_timestamp()
         where org_id = $1 and email = $2 and accepted_at is null and revoked_at is null",
        &[to_pg(organization).into(), email.into()],
    )?;
    let (id, expires_at) = db::write(
        "insert into crm_private.invitations (org_id, email, role, invited_by, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5)) returning id, expires_at",
        &[to_pg(organization).into(), email.into(), role.into(), to_pg(by).into(), (life as f64).into()],
        |rows| {
            let (id, expires_at) = rows.first().get_two::<pgrx::Uuid, TimestampWithTimeZone>()?;
            id.map(from_pg).zip(expires_at).ok_or_else(|| CrmError::internal("the invitation was not stored"))
        },
    )?;
    let content = db::write(
        "select jsonb_build_object('organization', o.name, 'role', $3, 'invited_by', u.full_name)
         from crm.organizations as o, crm.users as u where o.id = $1 and u.id = $2",
        &[to_pg(organization).into(), to_pg(by).into(), role.into()],
        |rows| Ok(rows.first().get_one::<JsonB>()?.map(|JsonB(content)| content)),
    )?;
    let about = Token { user: None, email: Some(email.to_owned()), invitation: Some((organization, id)) };
    messages::send(Purpose::Invitation, email, &about, life, content.unwrap_or_default())?;
    Ok(JsonB(json!({ "id": id, "email": email, "role": role, "expires_at": expires_at })))
}

struct Invitation {
    organization: Uuid,
    email: String,
    role: String,
    /// The user with that e-mail.
    user: Option<Uuid>,
}

#[pg_extern(sql = false)]
fn accept_invitation(
    token: Option<&str>,
    password: Option<&str>,
    full_name: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("accept_invitation")?;
    let not_valid = || CrmError::invalid("token", "is not valid: it is unknown, was used or revoked, or has expired");
    let redeemed = messages::redeem(Purpose::Invitation, given("token", token)?)?.ok_or_else(not_valid)?;
    let (organization, id) = redeemed.invitation.ok_or_else(not_valid)?;
    let invitation = take(organization, id)?.ok_or_else(not_valid)?;
    let user = who_accepts(&invitation, password, full_name)?;
    join(&invitation, user)?;
    // The message reached the address.
    recovery::note_verified(user)?;
    Ok(JsonB(accounts::welcome(user, Some(invitation.organization), &Kind::Invitation)?))
}

fn take(organization: Uuid, id: Uuid) -> Result<Option<Invitation>> {
    let taken = db::write(
        "update crm_private.invitations as i set accepted_at = clock_timestamp()
         from crm.organizations as o
         where i.org_id = $1 and i.id = $2 and i.accepted_at is null and i.revoked_at is null
             and i.expires_at > clock_timestamp() and o.id = i.org_id and o.status = 'active'
         returning i.email, i.role, (select u.id from crm.users as u where u.email = i.email), i.invited_by",
        &[to_pg(organization).into(), to_pg(id).into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            let user = row.get::<pgrx::Uuid>(3)?.map(from_pg);
            let invitation =
                row.get(1)?.zip(row.get(2)?).map(|(email, role)| Invitation { organization, email, role, user });
            Ok(invitation.zip(row.get::<pgrx::Uuid>(4)?.map(from_pg)))
        },
    )?;
    match taken {
        Some((invitation, inviter)) if could_invite(inviter, organization, &invitation.role)? => Ok(Some(invitation)),
        _ => Ok(None),
    }
}

/// Whoever invited has to be able to, still.
fn could_invite(inviter: Uuid, organization: Uuid, role: &str) -> Result<bool> {
    let theirs = permissions::of(Holder::Member { user: inviter, organization })?;
    let may_invite = theirs.scope("invitations.create") == Some(Scope::All);
    match check_grantable(&theirs, organization, role, None) {
        Ok(()) => Ok(may_invite),
        Err(CrmError::Forbidden { .. } | CrmError::InvalidInput { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The invited person: somebody new, or the user with that e-mail, who has to be logged in.
fn who_accepts(invitation: &Invitation, password: Option<&str>, full_name: Option<&str>) -> Result<Uuid> {
    match (Principal::current(), invitation.user) {
        (Some(_), Some(user)) if Principal::person()?.user == user => Ok(user),
        (Some(_), _) => Err(CrmError::forbidden("this invitation is for another e-mail")),
        (None, Some(_)) => Err(CrmError::forbidden("log in first, as the user with the invited e-mail")),
        (None, None) => accounts::create_user(&invitation.email, Some(given("password", password)?), full_name),
    }
}

/// Also for somebody who was a member before; the groups of that time are not theirs any more, nor what they wanted then.
fn join(invitation: &Invitation, user: Uuid) -> Result<()> {
    // As a foreign key's action would: it is nobody's permission that is asked.
    db::as_owner_of(c"crm", c"group_members", || {
        db::execute(
            "delete from crm.group_members as g using crm.memberships as m
         where g.org_id = $1 and g.user_id = $2 and m.org_id = $1 and m.user_id = $2 and m.status <> 'active'",
            &[to_pg(invitation.organization).into(), to_pg(user).into()],
        )
    })?;
    db::execute(
        "delete from crm_private.notification_emails as e using crm.memberships as m
         where e.org_id = $1 and e.user_id = $2 and m.org_id = $1 and m.user_id = $2 and m.status <> 'active'",
        &[to_pg(invitation.organization).into(), to_pg(user).into()],
    )?;
    let joined = db::execute(
        "insert into crm.memberships as m (org_id, user_id, role) values ($1, $2, $3)
         on conflict (org_id, user_id) do update set role = excluded.role, status = 'active', ended_at = null
         where m.status <> 'active' returning 1",
        &[to_pg(invitation.organization).into(), to_pg(user).into(), invitation.role.as_str().into()],
    )?;
    if joined > 0 {
        return Ok(());
    }
    Err(CrmError::Conflict {
        message: "you are a member of this organization already".into(),
        hint: "Switch to it with /rpc/switch_org.".into(),
    })
}

#[pg_extern(sql = false)]
fn revoke_invitation(invitation_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("revoke_invitation")?;
    let (organization, ..) = administered("invitations.delete")?;
    let revoked = db::execute(
        "update crm_private.invitations set revoked_at = clock_timestamp()
         where org_id = $1 and id = $2 and accepted_at is null and revoked_at is null and expires_at > clock_timestamp()
         returning 1",
        &[to_pg(organization).into(), given("invitation_id", invitation_id)?.into()],
    )?;
    Ok(JsonB(json!({ "revoked": revoked })))
}

type InvitationRow = (pgrx::Uuid, String, String, Option<pgrx::Uuid>, TimestampWithTimeZone, TimestampWithTimeZone);

#[pg_extern(sql = false)]
fn list_invitations() -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(email, String),
            name!(role, String),
            name!(invited_by, Option<pgrx::Uuid>),
            name!(created_at, TimestampWithTimeZone),
            name!(expires_at, TimestampWithTimeZone),
        ),
    >,
    ErrorReport,
> {
    let organization = policy::require("invitations.read")?.0.organization();
    let open: Vec<InvitationRow> = db::select(
        "select id, email, role, invited_by, created_at, expires_at
         from crm_private.invitations
         where org_id = $1 and accepted_at is null and revoked_at is null and expires_at > clock_timestamp()
         order by created_at desc, id desc",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| {
            let mut open = vec![];
            for row in rows {
                if let (Some(id), Some(email), Some(role), Some(created), Some(expires)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(5)?, row.get(6)?)
                {
                    open.push((id, email, role, row.get(4)?, created, expires));
                }
            }
            Ok(open)
        },
    )?;
    Ok(TableIterator::new(open))
}

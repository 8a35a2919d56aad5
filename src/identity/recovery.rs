//! Changing a password, getting back in without it, and proving that an e-mail address is one's own.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, Verdict};
use super::answer::{self, given};
use super::failures::{self, Counter, Locked};
use super::messages::{self, Purpose, Token};
use super::principal::{Person, Principal, from_pg, to_pg};
use super::session;
use super::settings::Settings;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

/// A user as messages and password rules need them.
struct Known {
    id: Uuid,
    email: String,
    full_name: Option<String>,
}

fn find(user: Uuid) -> Result<Option<Known>> {
    known("select id, email, full_name from crm.users where id = $1 and status = 'active'", to_pg(user).into())
}

fn find_by_email(email: &str) -> Result<Option<Known>> {
    known("select id, email, full_name from crm.users where email = $1 and status = 'active'", email.into())
}

fn known(query: &str, argument: pgrx::datum::DatumWithOid) -> Result<Option<Known>> {
    db::write(query, &[argument], |rows| {
        if rows.is_empty() {
            return Ok(None);
        }
        let (id, email, full_name) = rows.first().get_three::<pgrx::Uuid, String, String>()?;
        Ok(id.zip(email).map(|(id, email)| Known { id: from_pg(id), email, full_name }))
    })
}

#[pg_extern(sql = false)]
fn change_password(current_password: Option<&str>, new_password: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("change_password")?;
    let Person { user, session } = Principal::person()?;
    let (current, new) = (given("current_password", current_password)?, given("new_password", new_password)?);
    let user = find(user)?.ok_or_else(|| CrmError::forbidden("this user is not active"))?;
    accounts::check_new_password("new_password", new, &user.email, user.full_name.as_deref())?;
    match accounts::check_password(&user.email, current)? {
        Verdict::Right(_) => {}
        Verdict::Wrong => return Ok(answer::refuse(403, "28P01", "the current password is wrong")),
        Verdict::Locked(Locked(seconds)) => {
            return Ok(answer::refuse_until(seconds, "too many failed attempts: try again later"));
        }
    }
    let ended = set_password(&user, new, Some(session))?;
    Ok(JsonB(json!({ "ended_sessions": ended })))
}

/// Sets a password, ends what the one before has opened, and tells the user.
fn set_password(user: &Known, password: &str, but: Option<Uuid>) -> Result<usize> {
    accounts::lock_user(user.id)?;
    accounts::store_password(user.id, &accounts::hash_password(password)?)?;
    messages::withdraw(Purpose::PasswordReset, user.id)?;
    messages::tell("password_changed", &user.email, json!({ "full_name": user.full_name }))?;
    session::end_all_of(user.id, but, "password_changed")
}

#[pg_extern(sql = false)]
fn request_password_reset(email: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("request_password_reset")?;
    let email = text::email(given("email", email)?).map_err(|problem| CrmError::invalid("email", problem))?;
    if let Err(Locked(seconds)) = failures::admit(Counter::PasswordReset, &email)? {
        return Ok(answer::refuse_until(seconds, "too many messages were asked for: try again later"));
    }
    let user = find_by_email(&email)?;
    send_reset(user.as_ref().map(|user| user.id), &email, user.as_ref().and_then(|user| user.full_name.as_deref()))?;
    Ok(JsonB(json!({ "message": "if somebody has this e-mail, a message is on its way to it" })))
}

/// Sends a token for `reset_password`; for nobody, does the same work.
fn send_reset(user: Option<Uuid>, email: &str, full_name: Option<&str>) -> Result<()> {
    let about = Token { user, email: Some(email.to_owned()), invitation: None };
    let life = Settings::current()?.password_reset_ttl;
    messages::send(Purpose::PasswordReset, email, &about, life, json!({ "full_name": full_name }))
}

/// The same for a new user, who has no password yet and did not ask for the message.
pub fn send_first_password(user: Uuid, email: &str, full_name: Option<&str>) -> Result<()> {
    let about = Token { user: Some(user), email: Some(email.to_owned()), invitation: None };
    let life = Settings::current()?.invitation_ttl;
    messages::send(Purpose::PasswordReset, email, &about, life, json!({ "full_name": full_name, "first": true }))
}

fn bad_token() -> CrmError {
    CrmError::invalid("token", "is not valid: it is unknown, was used, or has expired")
}

#[pg_extern(sql = false)]
fn reset_password(token: Option<&str>, new_password: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("reset_password")?;
    let (token, new) = (given("token", token)?, given("new_password", new_password)?);
    // Before anything of the user's is looked at: a login that is under way with the old password has to end first.
    let email = messages::recipient(Purpose::PasswordReset, token)?.ok_or_else(bad_token)?;
    failures::hold(Counter::Account, &email)?;
    if let Some(user) = accounts::user_by_email(&email)? {
        accounts::lock_user(user)?;
    }
    let redeemed = messages::redeem(Purpose::PasswordReset, token)?.ok_or_else(bad_token)?;
    let user = redeemed.user.map(find).transpose()?.flatten();
    // The address may have changed since.
    let user = user.filter(|user| Some(&user.email) == redeemed.email.as_ref()).ok_or_else(bad_token)?;
    accounts::check_new_password("new_password", new, &user.email, user.full_name.as_deref())?;
    let ended = session::end_all_of(user.id, None, "password_changed")?;
    end_what_is_unproven(user.id)?;
    set_password(&user, new, None)?;
    note_verified(user.id)?;
    failures::forgive(Counter::Account, &user.email)?;
    Ok(JsonB(json!({ "ended_sessions": ended })))
}

#[pg_extern(sql = false)]
fn request_email_verification() -> Result<JsonB, ErrorReport> {
    answer::needs_post("request_email_verification")?;
    let Person { user, .. } = Principal::person()?;
    let known = find(user)?.ok_or_else(|| CrmError::forbidden("this user is not active"))?;
    if let Err(Locked(seconds)) = failures::admit(Counter::EmailVerification, &known.email)? {
        return Ok(answer::refuse_until(seconds, "too many messages were asked for: try again later"));
    }
    send_verification(user)?;
    Ok(JsonB(json!({ "message": "a message is on its way" })))
}

/// Sends a token for `verify_email`; the ones before end.
pub fn send_verification(user: Uuid) -> Result<()> {
    let Some(known) = find(user)? else { return Ok(()) };
    messages::withdraw(Purpose::EmailVerification, user)?;
    let about = Token { user: Some(user), email: Some(known.email.clone()), invitation: None };
    let life = Settings::current()?.email_verification_ttl;
    messages::send(Purpose::EmailVerification, &known.email, &about, life, json!({ "full_name": known.full_name }))
}

#[pg_extern(sql = false)]
fn verify_email(token: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("verify_email")?;
    // By the user alone: whoever registered somebody else's address waits for its owner to click.
    let Person { user, .. } = Principal::person()?;
    accounts::lock_user(user)?;
    let redeemed = messages::redeem(Purpose::EmailVerification, given("token", token)?)?.ok_or_else(bad_token)?;
    let user = redeemed.user.filter(|of| *of == user).map(find).transpose()?.flatten();
    let user = user.filter(|user| Some(&user.email) == redeemed.email.as_ref()).ok_or_else(bad_token)?;
    note_verified(user.id)?;
    Ok(JsonB(json!({ "email": user.email })))
}

/// Whoever registered an address without proving that it is theirs may have done so to wait for its owner: what they could
/// still come in with ends, now that the owner is here.
pub fn end_what_is_unproven(user: Uuid) -> Result<()> {
    accounts::lock_user(user)?;
    let unproven = db::select(
        "select email_verified_at is null from crm.users where id = $1",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
    )?;
    if !unproven {
        return Ok(());
    }
    for statement in [
        "delete from crm_private.passwords where user_id = $1",
        "delete from crm_private.user_identities where user_id = $1",
        "update crm_private.api_keys set revoked_at = clock_timestamp() where created_by = $1 and revoked_at is null",
        "update crm_private.invitations set revoked_at = clock_timestamp()
         where invited_by = $1 and accepted_at is null and revoked_at is null",
        "update crm_private.one_time_tokens set used_at = clock_timestamp() where user_id = $1 and used_at is null",
    ] {
        db::execute(statement, &[to_pg(user).into()])?;
    }
    session::end_all_of(user, None, "e_mail_taken_over")?;
    Ok(())
}

/// The user has proved to read their address.
pub fn note_verified(user: Uuid) -> Result<()> {
    db::execute(
        "update crm.users set email_verified_at = now(), updated_at = now() where id = $1 and email_verified_at is null",
        &[to_pg(user).into()],
    )?;
    Ok(())
}

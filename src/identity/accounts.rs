//! Registering, logging in, and what a caller can learn of themselves.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::Value;
use uuid::Uuid;

use super::answer::{self, given};
use super::failures::{self, Counter, Locked};
use super::password;
use super::principal::{Principal, from_pg, to_pg};
use super::recovery;
use super::session::{self, Kind, Tokens};
use super::settings::Settings;
use super::verify::OrganizationRef;
use super::workplace;
use crate::access::roles::OWNER;
use crate::db;
use crate::edge::pre_request::client;
use crate::error::{CrmError, Refusal, Result};
use crate::records::row::{self, Row, Rows};
use crate::schema::is_restore;
use crate::text;

/// Of a slug made from a name: shorter than a slug may be, so that a random end fits.
const SLUG_MAX: usize = 50;

const EMAIL_LOOKED_AT: usize = 300;

#[pg_extern(sql = false)]
fn register(
    email: Option<&str>,
    password: Option<&str>,
    organization_name: Option<&str>,
    full_name: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("register")?;
    let email = given("email", email)?;
    let user = create_user(email, Some(given("password", password)?), full_name)?;
    let organization = create_organization(given("organization_name", organization_name)?)?;
    add_member(organization, user, OWNER)?;
    recovery::send_verification(user)?;
    Ok(JsonB(welcome(user, Some(organization), &Kind::Password)?))
}

/// The same words for an e-mail that nobody has.
const WRONG: &str = "the e-mail or the password is wrong";

const LOCKED: &str = "too many failed logins: try again later";

#[pg_extern(sql = false)]
fn login(email: Option<&str>, password: Option<&str>, organization: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("login")?;
    // Longer ones are nobody's, and not worth copying.
    let email: String = given("email", email)?.trim().chars().take(EMAIL_LOOKED_AT).collect();
    let email = email.to_lowercase();
    let user = match check_password(&email, given("password", password)?)? {
        Verdict::Right(user) => user,
        Verdict::Wrong => return Ok(answer::refuse(401, "28P01", WRONG)),
        Verdict::Locked(Locked(seconds)) => return Ok(answer::refuse_until(seconds, LOCKED)),
    };
    let active = match active_organization(user, organization)? {
        Ok(active) => active,
        Err(refusal) => return Ok(answer::refuse_for(&refusal)),
    };
    Ok(JsonB(welcome(user, active, &Kind::Password)?))
}

#[pg_extern(sql = false)]
fn me() -> Result<JsonB, ErrorReport> {
    let current = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let user = current.user_id.ok_or_else(|| CrmError::forbidden("an API key is nobody"))?;
    Ok(JsonB(profile(user, current.org_id())?))
}

/// What becomes of a password.
pub enum Verdict {
    Right(Uuid),
    Wrong,
    Locked(Locked),
}

/// Whose password this is, within what failures allow. Every way through does the same work: what comes back and when
/// tells nothing of an e-mail.
pub fn check_password(email: &str, password: &str) -> Result<Verdict> {
    let settings = Settings::current()?;
    let address = client(settings.trusted_proxies).network;
    if let Some(address) = &address
        && let Some(seconds) = failures::wait(Counter::Address, address)?
    {
        return Ok(Verdict::Locked(Locked(seconds)));
    }
    if let Err(locked) = failures::admit(Counter::Account, email)? {
        return Ok(Verdict::Locked(locked));
    }
    let stored = stored_password(email)?;
    let cost = settings.password_cost();
    let outcome = password::verify(password, stored.as_ref().map(|(_, hash)| hash.as_str()), &cost);
    let Some((user, _)) = stored.filter(|_| outcome.right) else {
        let locked = address.map(|address| failures::admit(Counter::Address, &address)).transpose()?;
        failures::clear(10)?;
        // Others may have failed from there while this one was looked at.
        return Ok(match locked {
            Some(Err(locked)) => Verdict::Locked(locked),
            _ => Verdict::Wrong,
        });
    };
    failures::forgive(Counter::Account, email)?;
    if outcome.rehash {
        store_password(user, &hash_password(password)?)?;
    }
    Ok(Verdict::Right(user))
}

fn stored_password(email: &str) -> Result<Option<(Uuid, String)>> {
    db::write(
        "select u.id, p.hash
         from crm.users as u
         join crm_private.passwords as p on p.user_id = u.id
         where u.email = $1 and u.status = 'active'",
        &[email.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let (user, hash) = rows.first().get_two::<pgrx::Uuid, String>()?;
            Ok(user.map(from_pg).zip(hash))
        },
    )
}

pub fn hash_password(password: &str) -> Result<String> {
    let cost = Settings::current()?.password_cost();
    password::hash(password, &cost).map_err(|_| CrmError::internal("the password could not be hashed"))
}

pub fn store_password(user: Uuid, hash: &str) -> Result<()> {
    db::execute(
        "insert into crm_private.passwords (user_id, hash) values ($1, $2)
         on conflict (user_id) do update set hash = excluded.hash, changed_at = now()",
        &[to_pg(user).into(), hash.into()],
    )?;
    Ok(())
}

/// Says what is wrong with a new password of somebody with this e-mail and name.
pub fn check_new_password(argument: &str, password: &str, email: &str, full_name: Option<&str>) -> Result<()> {
    let rules = Settings::current()?.password_rules();
    let about: Vec<_> = std::iter::once(email).chain(full_name).collect();
    password::check(password, &rules, &about).map_err(|problem| CrmError::invalid(argument, problem))
}

/// Makes a user; without a password, one who cannot log in with one yet.
pub fn create_user(email: &str, password: Option<&str>, full_name: Option<&str>) -> Result<Uuid> {
    let email = text::email(email).map_err(|problem| CrmError::invalid("email", problem))?;
    let full_name = full_name.map(|name| text::line(name, 200)).transpose();
    let full_name =
        full_name.map_err(|problem| CrmError::invalid("full_name", problem))?.filter(|name| !name.is_empty());
    // Before the e-mail is looked at, so that the time taken does not tell whether it is known.
    let hash = match password {
        Some(password) => {
            check_new_password("password", password, &email, full_name.as_deref())?;
            Some(hash_password(password)?)
        }
        None => None,
    };
    let user = insert_user(&email, full_name.as_deref())?.ok_or_else(|| CrmError::Conflict {
        message: "this e-mail cannot be registered".into(),
        hint: "If it is yours, log in with /rpc/login.".into(),
    })?;
    if let Some(hash) = hash {
        store_password(user, &hash)?;
    }
    Ok(user)
}

/// Makes a user without a password, whose e-mail and name were checked elsewhere.
pub fn try_create_user(email: &str, full_name: Option<&str>) -> Result<Option<Uuid>> {
    let full_name = full_name.and_then(|name| text::line(name, 200).ok()).filter(|name| !name.is_empty());
    insert_user(email, full_name.as_deref())
}

/// `None` when the e-mail is somebody's.
fn insert_user(email: &str, full_name: Option<&str>) -> Result<Option<Uuid>> {
    let user = db::execute_returning::<pgrx::Uuid>(
        "insert into crm.users (email, full_name) values ($1, $2) on conflict (email) do nothing returning id",
        &[email.into(), full_name.into()],
    )?;
    Ok(user.map(from_pg))
}

/// Makes an organization under a slug of its own.
pub fn create_organization(name: &str) -> Result<Uuid> {
    create_organization_as(name, None)
}

/// The same under exactly this slug.
pub fn create_organization_at(name: &str, slug: &str) -> Result<Uuid> {
    let name = organization_name(name, "name")?;
    check_slug(slug)?;
    insert_organization(slug, &name)?.ok_or_else(|| CrmError::Conflict {
        message: "this slug is taken".into(),
        hint: "Choose another, or leave it out.".into(),
    })
}

fn check_slug(slug: &str) -> Result<()> {
    let is_slug = !slug.is_empty() && slug.len() <= 63 && slug::slugify(slug) == slug;
    if is_slug && !reads_as_uuid(slug) {
        return Ok(());
    }
    Err(CrmError::invalid("slug", "must be lower case letters and digits, in words joined by hyphens"))
}

/// `None` when the slug is taken.
fn insert_organization(slug: &str, name: &str) -> Result<Option<Uuid>> {
    let made = db::execute_returning::<pgrx::Uuid>(
        "insert into crm.organizations (slug, name) values ($1, $2) on conflict (slug) do nothing returning id",
        &[slug.into(), name.into()],
    )?;
    Ok(made.map(from_pg))
}

/// The active user with this e-mail.
pub fn user_by_email(email: &str) -> Result<Option<Uuid>> {
    db::select(
        "select id from crm.users where email = $1 and status = 'active'",
        &[PgBuiltInOids::TEXTOID],
        &[email.into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?.map(from_pg)) },
    )
}

/// Held to the end of the transaction by whatever changes how somebody proves who they are, before anything else of theirs
/// is locked: so two such changes follow each other, and none waits for one that waits for it.
pub fn lock_user(user: Uuid) -> Result<()> {
    db::execute("select from crm.users where id = $1 for no key update", &[to_pg(user).into()])?;
    Ok(())
}

/// Whether it is anybody's, active or not.
pub fn email_is_taken(email: &str) -> Result<bool> {
    db::select(
        "select exists (select from crm.users where email = $1)",
        &[PgBuiltInOids::TEXTOID],
        &[email.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
    )
}

/// The same with a slug like this text, an e-mail address for instance.
pub fn create_organization_as(name: &str, slug_like: Option<&str>) -> Result<Uuid> {
    let name = organization_name(name, "organization_name")?;
    let base = slug_of(slug_like.unwrap_or(&name));
    let mut slug = base.clone();
    loop {
        match insert_organization(&slug, &name)? {
            Some(organization) => return Ok(organization),
            None => slug = other_slug(&base),
        }
    }
}

/// Random, not counted up: a number would tell how many others have the name.
fn other_slug(base: &str) -> String {
    format!("{base}-{}", &Uuid::new_v4().simple().to_string()[..8])
}

#[pg_trigger(sql = false)]
fn find_slug<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(with_slug(trigger).map(Some))
}

fn with_slug(trigger: &PgTrigger) -> Result<Row> {
    let mut new = Rows::of(trigger)?.new;
    if is_restore() {
        return Ok(new);
    }
    match new.get::<String>("slug")? {
        Some(slug) => check_slug(&slug)?,
        None => {
            let name = new.get::<String>("name")?.unwrap_or_default();
            let base = slug_of(&name);
            let slug = if slug_is_taken(&base)? { other_slug(&base) } else { base };
            new.set("slug", Some(slug))?;
        }
    }
    Ok(new)
}

fn slug_is_taken(slug: &str) -> Result<bool> {
    db::select(
        "select exists (select from crm.organizations where slug = $1)",
        &[PgBuiltInOids::TEXTOID],
        &[slug.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
    )
}

pub fn organization_name(name: &str, argument: &str) -> Result<String> {
    let name = text::line(name, 200).map_err(|problem| CrmError::invalid(argument, problem))?;
    if name.is_empty() { Err(CrmError::invalid(argument, "must not be empty")) } else { Ok(name) }
}

fn slug_of(name: &str) -> String {
    let slug = slug::slugify(name);
    let slug = slug.get(..SLUG_MAX).unwrap_or(&slug).trim_matches('-');
    if slug.is_empty() || reads_as_uuid(slug) { "organization".into() } else { slug.into() }
}

/// It would be taken for an id in X-Org-ID.
fn reads_as_uuid(slug: &str) -> bool {
    Uuid::try_parse(slug).is_ok()
}

pub fn add_member(organization: Uuid, user: Uuid, role: &str) -> Result<()> {
    db::execute(
        "insert into crm.memberships (org_id, user_id, role) values ($1, $2, $3)",
        &[to_pg(organization).into(), to_pg(user).into(), role.into()],
    )?;
    Ok(())
}

pub fn is_active(user: Uuid) -> Result<bool> {
    db::select(
        "select exists (select from crm.users where id = $1 and status = 'active')",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// The organization to start in: the one that is named, or the only one.
pub fn active_organization(user: Uuid, named: Option<&str>) -> Result<Result<Option<Uuid>, Refusal>> {
    let chosen = workplace::choose(user, named.map(OrganizationRef::parse).as_ref())?;
    Ok(chosen.map(|organization| organization.map(|organization| organization.id)))
}

/// A new session's tokens with the profile.
pub fn welcome(user: Uuid, organization: Option<Uuid>, kind: &Kind) -> Result<Value> {
    with_profile(&session::open(user, organization, kind)?, user, organization)
}

pub fn with_profile(tokens: &Tokens, user: Uuid, organization: Option<Uuid>) -> Result<Value> {
    let mut answer = answer::to_json(tokens)?;
    if let (Some(answer), Value::Object(profile)) = (answer.as_object_mut(), profile(user, organization)?) {
        answer.extend(profile);
    }
    Ok(answer)
}

fn profile(user: Uuid, organization: Option<Uuid>) -> Result<Value> {
    db::select(
        "with mine as (
             select o.id, jsonb_build_object(
                 'id', o.id, 'slug', o.slug, 'name', o.name, 'role', m.role, 'status', o.status,
                 'status_reason', o.status_reason, 'status_changed_at', o.status_changed_at,
                 'notification_email', e.user_id is not null
             ) as entry
             from crm.memberships as m
             join crm.organizations as o on o.id = m.org_id
             left join crm_private.notification_emails as e on e.org_id = m.org_id and e.user_id = m.user_id
             where m.user_id = $1 and m.status = 'active'
         )
         select jsonb_build_object(
             'user', (
                 select jsonb_build_object(
                     'id', u.id, 'email', u.email, 'full_name', u.full_name, 'email_verified', u.email_verified_at is not null,
                     'time_zone', u.time_zone, 'locale', u.locale, 'avatar_url', u.avatar_url
                 )
                 from crm.users as u where u.id = $1
             ),
             'organization', (select entry - '{status,status_reason,status_changed_at}'::text[] from mine where id = $2),
             'organizations', coalesce((select jsonb_agg(entry order by id) from mine), '[]')
         )",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(user).into(), organization.map(to_pg).into()],
        |rows| {
            let profile = rows.first().get_one::<JsonB>()?;
            Ok(profile.map_or(Value::Null, |JsonB(value)| value))
        },
    )
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_any_name() {
        for (name, slug) in [
            ("Acme, Inc.", "acme-inc"),
            ("Müller & Söhne", "muller-sohne"),
            ("---", "organization"),
            ("00000000-0000-0000-0000-000000000001", "organization"),
        ] {
            assert_eq!(slug_of(name), slug);
        }
        assert!(slug_of(&"long name ".repeat(20)).len() <= SLUG_MAX);
        assert!(!slug_of(&"a".repeat(49).repeat(2)).ends_with('-'));
    }
}

//! Registering, logging in, and what a caller can learn of themselves.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Value, json};
use uuid::Uuid;

use super::password;
use super::principal::{Principal, from_pg, memberships_of, to_pg};
use super::session::{self, Kind};
use super::verify::OrganizationRef;
use crate::access::roles::Role;
use crate::db;
use crate::error::{CrmError, Result};
use crate::gucs;
use crate::text;

const SLUG_MAX: usize = 50;

#[pg_extern(sql = false)]
fn register(
    email: Option<&str>,
    password: Option<&str>,
    organization_name: Option<&str>,
    full_name: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    let user = create_user(given("email", email)?, given("password", password)?, full_name)?;
    let organization = create_organization(given("organization_name", organization_name)?)?;
    add_member(organization, user, Role::Owner)?;
    Ok(JsonB(welcome(user, Some(organization))?))
}

#[pg_extern(sql = false)]
fn login(email: Option<&str>, password: Option<&str>, organization: Option<&str>) -> Result<JsonB, ErrorReport> {
    // SAFETY: reads a flag of the transaction manager.
    if unsafe { pg_sys::XactReadOnly } {
        // Said before the password is looked at: a GET request has it in its URL.
        return Err(CrmError::ReadOnly { message: "login needs a POST request".into() }.into());
    }
    let Some(user) = user_with_password(given("email", email)?, given("password", password)?)? else {
        return Ok(refuse(401, "28P01", "the e-mail or the password is wrong"));
    };
    let active = match active_organization(user, organization)? {
        Ok(active) => active,
        Err(()) => return Ok(refuse(403, "42501", "no access to this organization")),
    };
    Ok(JsonB(welcome(user, active)?))
}

#[pg_extern(sql = false)]
fn me() -> Result<JsonB, ErrorReport> {
    let Some(principal) = Principal::current() else {
        return Err(CrmError::forbidden("nobody is logged in").into());
    };
    Ok(JsonB(profile(principal.user_id, principal.org_id())?))
}

#[pg_extern(sql = false)]
fn issue_token(user_id: Option<pgrx::Uuid>, org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    let user = from_pg(given("user_id", user_id)?);
    let organization = org_id.map(from_pg);
    let memberships = memberships_of(user)?;
    if organization.is_some_and(|wanted| memberships.iter().all(|(org, _)| *org != wanted)) || !is_active(user)? {
        return Err(CrmError::forbidden("this user is not an active member of this organization").into());
    }
    let token = session::open(user, organization, Kind::Service)?;
    let mut answer = to_json(&token)?;
    // The names that backends which follow the older convention look for.
    answer["token"] = json!(token.access_token);
    answer["expiresIn"] = json!(token.expires_in);
    Ok(JsonB(answer))
}

/// An argument that SQL allows to be NULL and the function does not.
fn given<T>(argument: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| CrmError::invalid(argument, "is missing"))
}

/// Makes a user who can log in.
pub fn create_user(email: &str, password: &str, full_name: Option<&str>) -> Result<Uuid> {
    let email = text::email(email).map_err(|problem| CrmError::invalid("email", problem))?;
    password::check(password).map_err(|problem| CrmError::invalid("password", problem))?;
    let full_name = full_name.map(|name| text::line(name, 200)).transpose();
    let full_name = full_name.map_err(|problem| CrmError::invalid("full_name", problem))?;
    // Before the e-mail is looked at, so that the time taken does not tell whether it is known.
    let hash = password::hash(password).map_err(|_| CrmError::internal("the password could not be hashed"))?;
    let user = db::execute_returning::<pgrx::Uuid>(
        "insert into crm.users (email, full_name) values ($1, $2) on conflict (email) do nothing returning id",
        &[email.into(), full_name.into()],
    )?;
    let Some(user) = user else {
        return Err(CrmError::Conflict {
            message: "this e-mail cannot be registered".into(),
            hint: "If it is yours, log in with /rpc/login.".into(),
        });
    };
    db::execute("insert into crm_private.passwords (user_id, hash) values ($1, $2)", &[user.into(), hash.into()])?;
    Ok(from_pg(user))
}

/// Makes an organization under a slug of its own.
pub fn create_organization(name: &str) -> Result<Uuid> {
    let name = text::line(name, 200).map_err(|problem| CrmError::invalid("organization_name", problem))?;
    if name.is_empty() {
        return Err(CrmError::invalid("organization_name", "must not be empty"));
    }
    let base = slug_of(&name);
    let mut slug = base.clone();
    loop {
        let made = db::execute_returning::<pgrx::Uuid>(
            "insert into crm.organizations (slug, name) values ($1, $2) on conflict (slug) do nothing returning id",
            &[slug.into(), name.as_str().into()],
        )?;
        match made {
            Some(organization) => return Ok(from_pg(organization)),
            // Random, not counted up: a number would tell how many others have the name.
            None => slug = format!("{base}-{}", &Uuid::new_v4().simple().to_string()[..8]),
        }
    }
}

fn slug_of(name: &str) -> String {
    let slug = slug::slugify(name);
    let slug = slug.get(..SLUG_MAX).unwrap_or(&slug).trim_matches('-');
    // Something that reads as a UUID would be taken for an id in X-Org-ID.
    if slug.is_empty() || Uuid::try_parse(slug).is_ok() { "organization".into() } else { slug.into() }
}

pub fn add_member(organization: Uuid, user: Uuid, role: Role) -> Result<()> {
    db::execute(
        "insert into crm.memberships (org_id, user_id, role) values ($1, $2, $3)",
        &[to_pg(organization).into(), to_pg(user).into(), role.name().into()],
    )?;
    Ok(())
}

fn user_with_password(email: &str, password: &str) -> Result<Option<Uuid>> {
    let found = db::select(
        "select u.id, p.hash
         from crm.users as u
         join crm_private.passwords as p on p.user_id = u.id
         where u.email = $1 and u.status = 'active'",
        &[PgBuiltInOids::TEXTOID],
        &[email.trim().to_lowercase().into()],
        |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_two::<pgrx::Uuid, String>()?)) }
        },
    )?;
    let (user, hash) = found.unwrap_or((None, None));
    // A longer one was never accepted, so it is no password; the work is done all the same.
    let too_long = password::check(password).is_err();
    let right = password::verify(password, hash.as_deref().filter(|_| !too_long));
    Ok(user.filter(|_| right).map(from_pg))
}

fn is_active(user: Uuid) -> Result<bool> {
    db::select(
        "select exists (select from crm.users where id = $1 and status = 'active')",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// The organization to start in: the one that is named, or the only one.
fn active_organization(user: Uuid, named: Option<&str>) -> Result<Result<Option<Uuid>, ()>> {
    let memberships = memberships_of(user)?;
    let Some(named) = named else {
        return Ok(Ok(match memberships.as_slice() {
            [(only, _)] => Some(*only),
            _ => None,
        }));
    };
    let named = match OrganizationRef::parse(named) {
        OrganizationRef::Id(id) => Some(id),
        OrganizationRef::Slug(slug) => db::select(
            "select id from crm.organizations where slug = $1",
            &[PgBuiltInOids::TEXTOID],
            &[slug.into()],
            |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?) },
        )?
        .map(from_pg),
    };
    Ok(match named {
        Some(id) if memberships.iter().any(|(org, _)| *org == id) => Ok(Some(id)),
        _ => Err(()),
    })
}

/// A new session's token with the profile.
fn welcome(user: Uuid, organization: Option<Uuid>) -> Result<Value> {
    let mut answer = to_json(&session::open(user, organization, Kind::Password)?)?;
    if let (Some(answer), Value::Object(profile)) = (answer.as_object_mut(), profile(user, organization)?) {
        answer.extend(profile);
    }
    Ok(answer)
}

fn profile(user: Uuid, organization: Option<Uuid>) -> Result<Value> {
    db::select(
        "with mine as (
             select o.id, jsonb_build_object('id', o.id, 'slug', o.slug, 'name', o.name, 'role', m.role) as entry
             from crm.memberships as m
             join crm.organizations as o on o.id = m.org_id
             where m.user_id = $1 and m.status = 'active' and o.status = 'active'
         )
         select jsonb_build_object(
             'user', (
                 select jsonb_build_object('id', u.id, 'email', u.email, 'full_name', u.full_name)
                 from crm.users as u where u.id = $1
             ),
             'organization', (select entry from mine where id = $2),
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

fn to_json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| CrmError::internal("the answer has no JSON form"))
}

/// A refusal that commits, in the shape of PostgREST's errors: raising would undo what has to be remembered of it.
fn refuse(status: u16, code: &str, message: &str) -> JsonB {
    if let Ok(status) = std::ffi::CString::new(status.to_string()) {
        gucs::set_local_as_user(c"response.status", &status);
    }
    JsonB(json!({ "code": code, "message": message, "details": null, "hint": null }))
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

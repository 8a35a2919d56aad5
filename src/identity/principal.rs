//! The verified identity of the transaction, and the functions that tell it.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::rc::Rc;

use pgrx::JsonB;
use pgrx::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::platform_role::PlatformRole;
use crate::error::{CrmError, Result};
use crate::gucs;

/// Who a transaction acts for: a user in a session (perhaps with support acting as them), a user with a token of an
/// external issuer, or an API key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Principal {
    pub user_id: Option<Uuid>,
    /// None for API keys and external tokens.
    pub session_id: Option<Uuid>,
    /// Who of the platform's support acts as the user.
    pub actor_id: Option<Uuid>,
    pub api_key: Option<ApiKey>,
    /// What the user is to the platform itself; only in a session of their own.
    pub platform_role: Option<PlatformRole>,
    /// The active organization, and what the user is in it.
    pub organization: Option<ActiveOrganization>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ApiKey {
    pub id: Uuid,
    pub scopes: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ActiveOrganization {
    pub id: Uuid,
    /// None for an API key, which has scopes instead.
    pub role: Option<String>,
    /// ISO 3166-1 alpha-2, for phone numbers without a country code.
    pub country: Option<String>,
}

/// A user in a session of their own: who may change what proves them.
pub struct Person {
    pub user: Uuid,
    pub session: Uuid,
}

thread_local! {
    /// The last value of the setting and what it says. Parsing is all that is saved: the setting stays the truth.
    static PARSED: RefCell<Option<(CString, Rc<Principal>)>> = const { RefCell::new(None) };
}

impl Principal {
    /// Who the transaction acts for; `None` without a verified identity.
    pub fn current() -> Option<Rc<Self>> {
        gucs::with_identity(|value| {
            PARSED.with_borrow_mut(|parsed| {
                if let Some((of, principal)) = parsed
                    && of.as_c_str() == value
                {
                    return Some(Rc::clone(principal));
                }
                let principal: Rc<Self> = Rc::new(serde_json::from_slice(value.to_bytes()).ok()?);
                *parsed = Some((value.to_owned(), Rc::clone(&principal)));
                Some(principal)
            })
        })?
    }

    /// The current principal's user in a session; refused to API keys, to support acting as somebody, and to tokens of
    /// other issuers.
    pub fn person() -> Result<Person> {
        let current = Self::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
        match (current.user_id, current.session_id, current.actor_id) {
            (Some(user), Some(session), None) => Ok(Person { user, session }),
            (Some(_), Some(_), Some(_)) => Err(CrmError::forbidden("not while acting as somebody else")),
            _ => Err(CrmError::forbidden("only for users who logged in here")),
        }
    }

    /// The value of the setting that says this.
    pub fn to_setting(&self) -> Result<CString> {
        let json = serde_json::to_string(self).map_err(|_| CrmError::internal("the identity has no JSON form"))?;
        CString::new(json).map_err(|_| CrmError::internal("the identity contains NUL"))
    }

    /// Makes this the identity of the rest of the transaction. Only for what has been verified.
    #[cfg(any(test, feature = "pg_test"))]
    pub fn assume(&self) -> Result<()> {
        gucs::set_identity(&self.to_setting()?);
        Ok(())
    }

    pub fn forget() {
        if gucs::with_identity(|_| ()).is_some() {
            gucs::set_identity(c"");
        }
    }

    pub fn org_id(&self) -> Option<Uuid> {
        self.organization.as_ref().map(|organization| organization.id)
    }

    /// Whether this is a key of the platform itself.
    pub fn is_platform(&self) -> bool {
        self.api_key.is_some() && self.organization.is_none()
    }
}

pub fn to_pg(id: Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}

pub fn from_pg(id: pgrx::Uuid) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The role that was set with SET ROLE (by PostgREST, from the token), whatever definer function is running.
pub fn outer_role() -> String {
    role_name(outer_user())
}

pub fn outer_user() -> pg_sys::Oid {
    // SAFETY: reads the session's state.
    unsafe { pg_sys::GetOuterUserId() }
}

/// A role's name.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a palloc'ed string, or an error when the role was dropped meanwhile.
    unsafe { CStr::from_ptr(pg_sys::GetUserNameFromId(role, false)) }.to_string_lossy().into_owned()
}

#[pg_extern(sql = false)]
fn current_user_id() -> Option<pgrx::Uuid> {
    Principal::current()?.user_id.map(to_pg)
}

#[pg_extern(sql = false)]
fn current_org_id() -> Option<pgrx::Uuid> {
    Principal::current()?.org_id().map(to_pg)
}

#[pg_extern(sql = false)]
fn whoami() -> JsonB {
    JsonB(describe(Principal::current().as_deref()))
}

/// The identity in the shape of `crm.whoami()`.
pub fn describe(principal: Option<&Principal>) -> serde_json::Value {
    let organization = principal.and_then(|p| p.organization.as_ref());
    let key = principal.and_then(|p| p.api_key.as_ref());
    serde_json::json!({
        "authenticated": principal.is_some(),
        "user_id": principal.and_then(|p| p.user_id),
        "org_id": organization.map(|o| o.id),
        "role": organization.and_then(|o| o.role.as_ref()),
        "session_id": principal.and_then(|p| p.session_id),
        "actor_id": principal.and_then(|p| p.actor_id),
        "api_key_id": key.map(|key| key.id),
        "scopes": key.map(|key| &key.scopes),
        "platform": principal.is_some_and(Principal::is_platform),
        "platform_role": principal.and_then(|p| p.platform_role),
        // SAFETY: reads the current user.
        "database_role": role_name(unsafe { pg_sys::GetUserId() }),
    })
}

/// Whether a role can do nothing without an identity: an API role, or one that has its rights. A superuser needs none.
pub fn needs_identity(user: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up.
    let superuser = unsafe { pg_sys::superuser_arg(user) };
    !superuser && (has_rights_of(user, c"crm_app") || has_rights_of(user, c"crm_multi"))
}

/// Whether the role has the rights of the other; a superuser has those of every role.
pub fn has_rights_of(user: pg_sys::Oid, role: &CStr) -> bool {
    // SAFETY: catalog look-ups with a NUL-terminated name; an unknown role gives InvalidOid.
    unsafe {
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role)
    }
}

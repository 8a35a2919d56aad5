//! Who changes something, and from where.

use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::net::IpAddr;
use std::rc::Rc;

use pgrx::{direct_function_call_as_datum, pg_sys};
use uuid::Uuid;

use crate::edge::request::{Headers, Sender};
use crate::error::Result;
use crate::gucs;
use crate::identity::principal::{Principal, outer_user, role_name};
use crate::identity::settings::Settings;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    pub actor_id: Option<Uuid>,
    pub impersonator_id: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub database_role: String,
    pub login_role: String,
    pub request_id: Option<String>,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub application: Option<String>,
}

/// What an origin was made from: as long as it is the same, so is the origin.
type Made = (Option<Rc<Principal>>, pg_sys::Oid);

thread_local! {
    /// Of the transaction, as its pre-request found it: later somebody could set the headers to anything.
    static REQUEST: RefCell<Option<Sender>> = const { RefCell::new(None) };
    static KNOWN: RefCell<Option<(Made, Rc<Origin>)>> = const { RefCell::new(None) };
}

/// The transaction is a request. Only the first of its pre-requests is PostgREST's.
pub fn begin_request(headers: &Headers) {
    if !gucs::in_request() {
        REQUEST.set(Some(headers.sender()));
    }
}

pub fn end_of_transaction() {
    REQUEST.with(|request| request.take());
    KNOWN.with(|known| known.take());
}

/// Of what this transaction changes now.
pub fn current() -> Result<Rc<Origin>> {
    let made = (Principal::current(), outer_user());
    let known = KNOWN
        .with_borrow(|known| known.as_ref().filter(|(of, _)| same(of, &made)).map(|(_, origin)| Rc::clone(origin)));
    if let Some(origin) = known {
        return Ok(origin);
    }
    let origin = Rc::new(find(made.0.as_deref(), made.1)?);
    KNOWN.set(Some((made, Rc::clone(&origin))));
    Ok(origin)
}

fn same(one: &Made, other: &Made) -> bool {
    one.1 == other.1
        && match (&one.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Rc::ptr_eq(one, other),
            _ => false,
        }
}

fn find(principal: Option<&Principal>, role: pg_sys::Oid) -> Result<Origin> {
    let sender = REQUEST.with_borrow(Option::clone);
    let address = match &sender {
        Some(sender) => sender.client(Settings::current()?.trusted_proxies).address,
        None => connection_address(),
    };
    let sender = sender.unwrap_or_default();
    Ok(Origin {
        actor_id: principal.and_then(|principal| principal.user_id),
        impersonator_id: principal.and_then(|principal| principal.actor_id),
        api_key_id: principal.and_then(|principal| principal.api_key.as_ref().map(|key| key.id)),
        database_role: role_name(role),
        // SAFETY: reads the session's state.
        login_role: role_name(unsafe { pg_sys::GetSessionUserId() }),
        request_id: sender.request_id(),
        address,
        user_agent: sender.client(0).user_agent,
        // SAFETY: the setting's value, or null.
        application: text(unsafe { pg_sys::application_name }),
    })
}

/// None where the client came through a Unix socket, or there is none.
fn connection_address() -> Option<String> {
    // SAFETY: functions of the server's that take no argument, and an address.
    let address = unsafe {
        let address = direct_function_call_as_datum(pg_sys::inet_client_addr, &[])?;
        text(pg_sys::OidOutputFunctionCall(pg_sys::Oid::from(pg_sys::F_INET_OUT), address))
    };
    let address: IpAddr = address?.parse().ok()?;
    Some(address.to_canonical().to_string())
}

fn text(value: *const c_char) -> Option<String> {
    if value.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated string of the server's.
    let text = unsafe { CStr::from_ptr(value) }.to_string_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}

//! A jsonb as its text. pgrx's own `JsonB` takes numbers for floating point ones: it rounds them, and fails at 1e400.

use std::ffi::{CStr, CString};

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum, direct_function_call, direct_function_call_as_datum, pg_sys};
use serde::de::DeserializeOwned;

use crate::error::{CrmError, Result as CrmResult};

#[derive(Clone, Debug, PartialEq)]
pub struct RawJson(pub String);

impl RawJson {
    /// What it holds, for an argument that is no record of the client's. A jsonb may be nested deeper, and hold greater numbers,
    /// than serde takes: pgrx's `JsonB` panics at those.
    pub fn parse<T: DeserializeOwned>(&self, argument: &str) -> CrmResult<T> {
        let problem = "is nested too deeply, holds too great a number, or has another form than this takes";
        serde_json::from_str(&self.0).map_err(|_| CrmError::invalid(argument, problem))
    }
}

impl FromDatum for RawJson {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: a jsonb, whose text form is NUL-terminated and in the server's encoding.
        let text = unsafe { direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) }?;
        Some(Self(text.to_string_lossy().into_owned()))
    }
}

impl IntoDatum for RawJson {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let text = CString::new(self.0).ok()?;
        // SAFETY: jsonb_in copies what it is given, or raises what is wrong with it.
        unsafe { direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(pg_sys::Datum::from(text.as_ptr()))]) }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: the functions that take one declare a jsonb.
unsafe impl<'fcx> ArgAbi<'fcx> for RawJson {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as the caller promises, it is not NULL.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(String::new()))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as the caller promises.
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}

// SAFETY: it is a jsonb.
unsafe impl SqlTranslatable for RawJson {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(RawJson);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

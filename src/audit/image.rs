//! A row as JSON: what a table's columns are, and how their values are written.
//!
//! The form is that of PostgreSQL's own `row_to_json`, so that `json_populate_record` reads it back, but for what is NULL, which is left
//! out; and it is the same in whatever session (`db::plain`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::fmt::Display;
use std::io::Write;
use std::rc::Rc;

use pgrx::datum::FromDatum;
use pgrx::{PgBuiltInOids, direct_function_call_as_datum, pg_sys};
use uuid::Uuid;

use super::keep::RECORD;
use crate::db::plain::Plain;
use crate::db::transition::datum;
use crate::db::{self, catalog};
use crate::error::{CrmError, Result};

/// What the database keeps by itself in every row: that it changed is no change.
pub const STAMPS: [&str; 3] = ["updated_at", "updated_by", "version"];

/// A table whose rows are noted.
pub struct Shape {
    generation: u64,
    /// The name that entries have for it.
    pub entity: String,
    /// Whose permissions its rows have.
    pub resource: String,
    /// Whether its rows stand for themselves.
    pub is_record: bool,
    /// Whether a foreign key has looked for the organization, and holds it, before an insert is noted.
    pub is_bound: bool,
    pub columns: Vec<Column>,
    /// Positions in a slot's values.
    pub org_id: usize,
    pub key: usize,
    pub owner_id: Option<usize>,
    /// How many of a slot's columns have to be taken out of its row.
    pub width: c_int,
}

pub struct Column {
    /// Position in a slot's values.
    pub at: usize,
    pub name: String,
    /// `"name":`
    label: String,
    kind: Kind,
    by_value: bool,
    length: i16,
    pub is_stamp: bool,
    is_secret: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Text,
    Uuid,
    /// The type.
    Time(pg_sys::Oid),
    Formatted(Format),
}

/// What the server writes.
#[derive(Clone, Copy)]
enum Format {
    Array,
    Composite,
    /// JSON as it is. These three: the output function.
    Json(pg_sys::Oid),
    Number(pg_sys::Oid),
    Other(pg_sys::Oid),
}

thread_local! {
    static KNOWN: RefCell<HashMap<u32, Rc<Shape>>> = RefCell::default();
}

/// The shape of an open table, by the arguments of its trigger.
pub fn shape_of(relation: pg_sys::Relation, arguments: impl FnOnce() -> Vec<String>) -> Result<Rc<Shape>> {
    // SAFETY: an open relation.
    let table = unsafe { (*relation).rd_id.to_u32() };
    let generation = catalog::generation();
    let known = KNOWN.with_borrow(|known| known.get(&table).filter(|shape| shape.generation == generation).cloned());
    if let Some(shape) = known {
        return Ok(shape);
    }
    let shape = Rc::new(describe(relation, generation, &arguments())?);
    KNOWN.with_borrow_mut(|known| known.insert(table, Rc::clone(&shape)));
    Ok(shape)
}

fn describe(relation: pg_sys::Relation, generation: u64, arguments: &[String]) -> Result<Shape> {
    let [resource, key, kind, secrets @ ..] = arguments else {
        return Err(CrmError::internal("the trigger does not say what it notes"));
    };
    let mut columns = vec![];
    // SAFETY: an open relation with its descriptor.
    let attributes = unsafe {
        let descriptor = (*relation).rd_att;
        (*descriptor).attrs.as_slice((*descriptor).natts as usize)
    };
    for (at, attribute) in attributes.iter().enumerate().filter(|(_, attribute)| !attribute.attisdropped) {
        let name = text(attribute.attname.data.as_ptr());
        columns.push(Column {
            at,
            label: format!("{}:", serde_json::Value::from(name.as_str())),
            kind: kind_of(attribute.atttypid),
            by_value: attribute.attbyval,
            length: attribute.attlen,
            is_stamp: STAMPS.contains(&name.as_str()),
            is_secret: secrets.contains(&name),
            name,
        });
    }
    let place = |name: &str| {
        columns.iter().find(|column| column.name == name && matches!(column.kind, Kind::Uuid)).map(|column| column.at)
    };
    if let Some(secret) = secrets.iter().find(|secret| columns.iter().all(|column| column.name != **secret)) {
        return Err(CrmError::Refused {
            message: format!("the secret column {secret} of this table is gone, or has another name: nothing was saved"),
            hint: "What it is called now would be in history. Give it its name back, or call crm.unenroll and crm.enroll with its name.".into(),
        });
    }
    // The organization itself is its own record.
    let (Some(org_id), Some(key)) = (place("org_id").or_else(|| place(key)), place(key)) else {
        return Err(CrmError::internal("the table lacks the columns org_id and id"));
    };
    Ok(Shape {
        generation,
        entity: entity(relation),
        resource: resource.clone(),
        is_record: kind == RECORD,
        is_bound: is_bound(relation, org_id)?,
        org_id,
        key,
        owner_id: place("owner_id"),
        width: attributes.len() as c_int,
        columns,
    })
}

fn is_bound(relation: pg_sys::Relation, org_id: usize) -> Result<bool> {
    // SAFETY: an open relation.
    let table = unsafe { (*relation).rd_id };
    let column = i16::try_from(org_id + 1).map_err(|_| CrmError::internal("a table has too many columns"))?;
    let bound = db::select(
        "select exists (
             select from pg_catalog.pg_constraint
             where conrelid = $1 and contype = 'f' and confrelid = 'crm.organizations'::pg_catalog.regclass
                 and conkey = array[$2] and not condeferrable
         )",
        &[PgBuiltInOids::OIDOID, PgBuiltInOids::INT2OID],
        &[table.into(), column.into()],
        |rows| rows.first().get_one::<bool>(),
    )?;
    Ok(bound == Some(true))
}

/// Names a table as entries do.
pub fn entity(relation: pg_sys::Relation) -> String {
    // SAFETY: an open relation; its schema exists as long as it does.
    let (schema, name) = unsafe {
        let class = (*relation).rd_rel;
        (text(pg_sys::get_namespace_name((*class).relnamespace)), text((*class).relname.data.as_ptr()))
    };
    if schema == "crm" || schema == "crm_private" { name } else { format!("{schema}.{name}") }
}

fn text(name: *const c_char) -> String {
    // SAFETY: a name of the catalog, NUL-terminated.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

fn kind_of(of_type: pg_sys::Oid) -> Kind {
    let mut output = pg_sys::InvalidOid;
    let mut is_varlena = false;
    // SAFETY: look-ups of a column's type, which exists.
    let base = unsafe {
        let base = pg_sys::getBaseType(of_type);
        pg_sys::getTypeOutputInfo(base, &mut output, &mut is_varlena);
        base
    };
    let format = match base {
        pg_sys::BOOLOID => return Kind::Bool,
        pg_sys::INT2OID => return Kind::Int2,
        pg_sys::INT4OID => return Kind::Int4,
        pg_sys::INT8OID => return Kind::Int8,
        pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => return Kind::Text,
        pg_sys::UUIDOID => return Kind::Uuid,
        pg_sys::TIMESTAMPTZOID | pg_sys::TIMESTAMPOID | pg_sys::DATEOID => return Kind::Time(base),
        pg_sys::JSONOID | pg_sys::JSONBOID => Format::Json(output),
        pg_sys::FLOAT4OID | pg_sys::FLOAT8OID | pg_sys::NUMERICOID => Format::Number(output),
        // SAFETY: as above.
        _ if unsafe { pg_sys::get_element_type(base) } != pg_sys::InvalidOid => Format::Array,
        // SAFETY: as above.
        _ if unsafe { pg_sys::type_is_rowtype(base) } => Format::Composite,
        _ => Format::Other(output),
    };
    Kind::Formatted(format)
}

type Slot = *mut pg_sys::TupleTableSlot;

/// What a record is called: the first of these that it has.
const TITLES: [&[&str]; 6] =
    [&["name"], &["subject"], &["first_name", "last_name"], &["number"], &["title"], &["email"]];

const TITLE_MAX: usize = 300;

impl Shape {
    /// # Safety
    ///
    /// A slot with a row of the table, all columns taken out.
    pub unsafe fn title(&self, slot: Slot) -> Option<String> {
        let told = |name: &&str| {
            let column = self.columns.iter().find(|column| column.name == *name && column.is_open())?;
            // SAFETY: by the caller.
            unsafe { column.told(datum(slot, column.at)?) }
        };
        let title = TITLES.iter().map(|names| names.iter().filter_map(told).collect::<Vec<_>>().join(" "));
        let title = title.into_iter().find(|title| !title.is_empty())?;
        Some(title.chars().take(TITLE_MAX).collect())
    }
}

impl Column {
    /// Its value as people read it, if it is a text or a number.
    ///
    /// # Safety
    ///
    /// A value of this column that is not NULL.
    unsafe fn told(&self, value: pg_sys::Datum) -> Option<String> {
        let mut json = vec![];
        // SAFETY: by the caller.
        unsafe { self.kind.write(value, &mut json) };
        match serde_json::from_slice(&json).ok()? {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether its value may be written.
    pub fn is_open(&self) -> bool {
        !self.is_secret
    }

    /// Whether two values of the column are the same, byte for byte.
    ///
    /// # Safety
    ///
    /// Two values of this column that are not NULL.
    pub unsafe fn same(&self, one: pg_sys::Datum, other: pg_sys::Datum) -> bool {
        unsafe extern "C-unwind" {
            fn datum_image_eq(one: pg_sys::Datum, other: pg_sys::Datum, by_value: bool, length: c_int) -> bool;
        }
        if self.by_value {
            return one == other;
        }
        // SAFETY: by the caller.
        unsafe { datum_image_eq(one, other, self.by_value, self.length.into()) }
    }

    /// Adds `"name":value` to an object that was begun.
    ///
    /// # Safety
    ///
    /// A value of this column that is not NULL.
    pub unsafe fn write(&self, value: pg_sys::Datum, into: &mut Vec<u8>) {
        if into.last() != Some(&b'{') {
            into.push(b',');
        }
        into.extend_from_slice(self.label.as_bytes());
        // SAFETY: by the caller.
        unsafe { self.kind.write(value, into) };
    }
}

/// # Safety
///
/// A slot with a row of the table, all columns taken out.
pub unsafe fn whole(shape: &Shape, slot: Slot, into: &mut Vec<u8>) {
    into.clear();
    into.push(b'{');
    for column in shape.columns.iter().filter(|column| column.is_open()) {
        // SAFETY: by the caller.
        unsafe {
            if let Some(value) = datum(slot, column.at) {
                column.write(value, into);
            }
        }
    }
    into.push(b'}');
}

/// What changed, before and after; gives the columns' names.
///
/// # Safety
///
/// Slots with rows of the table, all columns taken out.
pub unsafe fn difference<'a>(
    shape: &'a Shape,
    old: Slot,
    new: Slot,
    before: &mut Vec<u8>,
    after: &mut Vec<u8>,
) -> Vec<&'a str> {
    let mut changed = vec![];
    for into in [&mut *before, &mut *after] {
        into.clear();
        into.push(b'{');
    }
    for column in &shape.columns {
        // SAFETY: by the caller.
        unsafe {
            let (was, is) = (datum(old, column.at), datum(new, column.at));
            let same = match (was, is) {
                (None, None) => true,
                (Some(was), Some(is)) => column.same(was, is),
                _ => false,
            };
            if same {
                continue;
            }
            if column.is_open() {
                for (value, into) in [(was, &mut *before), (is, &mut *after)] {
                    if let Some(value) = value {
                        column.write(value, into);
                    }
                }
            }
        }
        if !column.is_stamp {
            changed.push(column.name.as_str());
        }
    }
    before.push(b'}');
    after.push(b'}');
    changed
}

impl Kind {
    /// # Safety
    ///
    /// A value of this kind that is not NULL.
    unsafe fn write(self, value: pg_sys::Datum, into: &mut Vec<u8>) {
        // SAFETY: by the caller.
        unsafe {
            match self {
                Self::Bool => into.extend_from_slice(if value.value() as u8 == 0 { b"false" } else { b"true" }),
                Self::Int2 => push_number(value.value() as i16, into),
                Self::Int4 => push_number(value.value() as i32, into),
                Self::Int8 => push_number(value.value() as i64, into),
                Self::Text => quote(<&str>::from_datum(value, false).unwrap_or_default(), into),
                Self::Uuid => {
                    let id = Uuid::from_bytes_ref(&*value.cast_mut_ptr::<uuid::Bytes>());
                    quote(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()), into);
                }
                Self::Time(of_type) => push_time(value, of_type, into),
                Self::Formatted(format) => format.write(value, into),
            }
        }
    }
}

impl Format {
    /// # Safety
    ///
    /// A value of this kind that is not NULL.
    unsafe fn write(self, value: pg_sys::Datum, into: &mut Vec<u8>) {
        let _plain = Plain::begin();
        // SAFETY: by the caller.
        unsafe {
            match self {
                Self::Array => push_json(direct_function_call_as_datum(pg_sys::array_to_json, &[Some(value)]), into),
                Self::Composite => push_json(direct_function_call_as_datum(pg_sys::row_to_json, &[Some(value)]), into),
                Self::Json(output) => with_output(output, value, |told| into.extend_from_slice(told)),
                // NaN and Infinity are no numbers of JSON.
                Self::Number(output) => with_output(output, value, |told| match told.last() {
                    Some(b'0'..=b'9') => into.extend_from_slice(told),
                    _ => quote(&String::from_utf8_lossy(told), into),
                }),
                Self::Other(output) => {
                    with_output(output, value, |told| quote(&String::from_utf8_lossy(told), into));
                }
            }
        }
    }
}

/// A time as JSON, of a type and a value.
struct Told {
    of: (pg_sys::Oid, pg_sys::Datum),
    json: Vec<u8>,
}

thread_local! {
    /// The last two, for before and after: the rows of a statement mostly have the same, and what they are called takes longer to
    /// find out than all else of a row.
    static TOLD: RefCell<[Option<Told>; 2]> = const { RefCell::new([None, None]) };
}

/// # Safety
///
/// A value of this type: timestamptz, timestamp or date, which are passed by value.
unsafe fn push_time(value: pg_sys::Datum, of_type: pg_sys::Oid, into: &mut Vec<u8>) {
    let of = (of_type, value);
    TOLD.with_borrow_mut(|told| {
        if let Some(known) = told.iter().flatten().find(|told| told.of == of) {
            into.extend_from_slice(&known.json);
            return;
        }
        // SAFETY: by the caller.
        let json = unsafe { time_as_json(value, of_type) };
        into.extend_from_slice(&json);
        told.rotate_right(1);
        told[0] = Some(Told { of, json });
    });
}

/// # Safety
///
/// As above.
unsafe fn time_as_json(value: pg_sys::Datum, of_type: pg_sys::Oid) -> Vec<u8> {
    let _plain = Plain::begin();
    let mut buffer = [0; pg_sys::MAXDATELEN as usize + 1];
    let mut json = vec![];
    // SAFETY: by the caller; the server writes a NUL-terminated text that is no longer.
    let text = unsafe {
        pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), value, of_type, std::ptr::null());
        CStr::from_ptr(buffer.as_ptr())
    };
    quote(&text.to_string_lossy(), &mut json);
    json
}

fn quote(text: &str, into: &mut Vec<u8>) {
    // Into memory nothing can fail.
    let _written = serde_json::to_writer(into, text);
}

fn push_number(number: impl Display, into: &mut Vec<u8>) {
    let _written = write!(into, "{number}");
}

/// # Safety
///
/// A value of type json.
unsafe fn push_json(value: Option<pg_sys::Datum>, into: &mut Vec<u8>) {
    // SAFETY: by the caller; json is text inside.
    if let Some(text) = value.and_then(|value| unsafe { <&str>::from_datum(value, false) }) {
        into.extend_from_slice(text.as_bytes());
    }
}

/// # Safety
///
/// A type's output function and a value of that type; the text is left to the current memory.
unsafe fn with_output(output: pg_sys::Oid, value: pg_sys::Datum, read: impl FnOnce(&[u8])) {
    // SAFETY: by the caller; the text is NUL-terminated.
    unsafe {
        read(CStr::from_ptr(pg_sys::OidOutputFunctionCall(output, value)).to_bytes());
    }
}

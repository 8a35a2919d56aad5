//! The custom fields of an organization: asked for once, remembered until one changes.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use pgrx::PgBuiltInOids;
use pgrx::prelude::*;
use uuid::Uuid;

use super::field::Field;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::memory;
use crate::identity::principal::to_pg;

/// Some hundred bytes for each field.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Ordered by entity and key.
#[derive(Debug, Default)]
pub struct Fields(Vec<Field>);

impl Fields {
    pub fn of_entity(&self, entity: &str) -> &[Field] {
        let start = self.0.partition_point(|field| field.entity.as_str() < entity);
        let end = self.0.partition_point(|field| field.entity.as_str() <= entity);
        &self.0[start..end]
    }

    /// Whether any field points to rows of this entity.
    pub fn refer_to(&self, entity: &str) -> bool {
        self.0.iter().any(|field| field.reference_entity.as_deref() == Some(entity))
    }
}

struct Known {
    generation: u64,
    fields: LruCache<Uuid, Rc<Fields>>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(Known { generation: 0, fields: LruCache::new(REMEMBERED) });
}

/// The fields that the organization has by now.
pub fn fields_of(organization: Uuid) -> Result<Rc<Fields>> {
    let generation = memory::generation();
    let remembered = KNOWN.with_borrow_mut(|known| {
        if known.generation != generation {
            known.generation = generation;
            known.fields.clear();
        }
        known.fields.get(&organization).cloned()
    });
    if let Some(fields) = remembered {
        return Ok(fields);
    }
    let (fields, keep_under) = memory::ask_while_writing(|| db::as_definer(|| load(organization)))?;
    let fields = Rc::new(fields);
    if let Some(generation) = keep_under {
        KNOWN.with_borrow_mut(|known| {
            if known.generation == generation {
                known.fields.put(organization, Rc::clone(&fields));
            }
        });
    }
    Ok(fields)
}

fn load(organization: Uuid) -> Result<Fields> {
    let found = db::select(
        "select jsonb_agg(jsonb_build_object(
             'id', id, 'entity', entity, 'key', key, 'kind', type, 'required', required, 'is_unique', is_unique,
             'default_value', default_value::text, 'reference_entity', reference_entity,
             'options', jsonb_path_query_array(coalesce(options, '[]'), '$[*].value')
         ) order by entity collate \"C\", key collate \"C\")::text
         from crm.custom_fields
         where org_id = $1",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| rows.first().get_one::<String>(),
    )?;
    let Some(fields) = found else { return Ok(Fields::default()) };
    let fields = serde_json::from_str(&fields);
    Ok(Fields(fields.map_err(|_| CrmError::internal("a custom field has another form than crm_ext gives it"))?))
}

/// Who writes values shares a lock, which who changes definitions has alone, each until their end: so no value is stored by a
/// definition that is gone.
pub fn lock(organization: Uuid, alone: bool) {
    /// The locks of `access::race` on the same object are 0, 1 and 2.
    const KIND: u16 = 3;
    let mode = if alone { pg_sys::ExclusiveLock } else { pg_sys::ShareLock };
    let table = memory::signal();
    if table != 0 {
        locks::lock(pg_sys::Oid::from(table), locks::number(organization), KIND, mode);
    }
}

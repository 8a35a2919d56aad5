//! Rows as they are now, in the form of entries' images.

use std::collections::HashMap;

use pgrx::spi::quote_identifier;
use uuid::Uuid;

use super::subject::Subject;
use crate::db::{self, plain::plainly};
use crate::error::Result;
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::object::Object;

/// Past policies: who may know of them is asked before, and what is said of them later. Without what is secret, as in entries.
pub fn current(subject: &Subject, organization: Uuid, ids: &[Uuid]) -> Result<HashMap<Uuid, Object>> {
    let key = quote_identifier(subject.key());
    // The organization itself is its own.
    let organization_column = if subject.has("org_id") { "org_id" } else { "id" };
    let query = format!(
        "select t.{key}, row_to_json(t)::text from {} as t where t.{organization_column} = $1 and t.{key} = any ($2)",
        subject.table
    );
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    plainly(|| {
        db::read_as_owner(subject.owner(), || {
            db::select_once(&query, &[to_pg(organization).into(), ids.into()], |rows| {
                let mut images = HashMap::new();
                for row in rows {
                    let image = row.get::<String>(2)?.and_then(|text| Object::parse(&text));
                    if let (Some(id), Some(mut image)) = (row.get::<pgrx::Uuid>(1)?, image) {
                        image.0.retain(|name, value| value != "null" && !subject.is_secret(name));
                        images.insert(from_pg(id), image);
                    }
                }
                Ok(images)
            })
        })
    })
}

/// Those of these rows that whoever called may read.
pub fn visible(subject: &Subject, organization: Uuid, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let key = quote_identifier(subject.key());
    let query = format!(
        "select coalesce(array_agg(t.{key}), '{{}}') from {} as t where t.org_id = $1 and t.{key} = any ($2)",
        subject.table
    );
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::as_caller(|| {
        db::select_once(&query, &[to_pg(organization).into(), ids.into()], |rows| {
            let found = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
            Ok(found.into_iter().map(from_pg).collect())
        })
    })
}

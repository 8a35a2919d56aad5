//! Record ids.

use pgrx::prelude::*;

use crate::identity::principal::to_pg;

/// RFC 9562, version 7: ids of one backend grow, so new rows go to the end of the primary key.
#[pg_extern(sql = false)]
fn uuid_v7() -> pgrx::Uuid {
    to_pg(uuid::Uuid::now_v7())
}
